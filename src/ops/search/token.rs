//! Cuts text into the words by which it is found: those of prose, and those of code.
//!
//! Rests on tantivy's interface for tokenizers. `src/store/pack_file.rs` is found as a whole, as `pack_file.rs`, as `pack_file` and
//! as `pack`; `readBlock` as itself, `read` and `block`. Invariants: the same text gives the same words everywhere; no word is longer
//! than [`WORD_BYTES_MAX`]; what is indexed and what is asked are cut by the same rules.

use tantivy::tokenizer::{Token, TokenStream, Tokenizer};

/// Longer words are data, not language, and are left out; their parts are kept.
const WORD_BYTES_MAX: usize = 100;

/// Hands every word of `text`, lower-case, to `take`; the same word may come several times.
pub(super) fn words(text: &str, take: &mut dyn FnMut(&str)) {
    let mut lower = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(char::is_alphanumeric) {
        let end = rest[start..].find(|c: char| !c.is_alphanumeric() && !joins(c));
        let end = end.map_or(rest.len(), |end| start + end);
        compound(rest[start..end].trim_end_matches(joins), &LEVELS, &mut lower, take);
        rest = &rest[end..];
    }
}

/// What may stand between the parts of one name.
fn joins(c: char) -> bool {
    matches!(c, '_' | '-' | '.' | '/' | ':' | '\\' | '@' | '#')
}

/// By what a name is cut, coarse to fine: a path into files, a file or a call into its stem and its end, a stem into words.
const LEVELS: [fn(char) -> bool; 3] =
    [|c| matches!(c, '/' | ':' | '\\' | '@' | '#'), |c| c == '.', |c| matches!(c, '_' | '-')];

/// A name and its parts. A part that is the whole again is not told twice.
fn compound(name: &str, levels: &[fn(char) -> bool], lower: &mut String, take: &mut dyn FnMut(&str)) {
    let Some((cut, finer)) = levels.split_first() else { return word(name, lower, take) };
    if !name.contains(cut) {
        return compound(name, finer, lower, take);
    }
    tell(name, lower, take);
    for part in name.split(cut) {
        let part = part.trim_matches(joins);
        if !part.is_empty() {
            compound(part, finer, lower, take);
        }
    }
}

/// A word of letters and digits, with its humps; a run of characters of a script without spaces as its pairs.
fn word(word: &str, lower: &mut String, take: &mut dyn FnMut(&str)) {
    if word.is_ascii() {
        tell(word, lower, take);
        humps(word, lower, take);
        return;
    }
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let dense = is_dense(first);
        let end = rest.find(|c| is_dense(c) != dense).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        if dense {
            pairs(run, take);
        } else {
            tell(run, lower, take);
        }
        rest = after;
    }
}

/// Whether a character belongs to a script that does not set spaces between words.
fn is_dense(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn pairs(run: &str, take: &mut dyn FnMut(&str)) {
    let ends: Vec<usize> = run.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    if let [only] = ends[..] {
        return take(&run[..only]);
    }
    let mut start = 0;
    for two in ends.windows(2) {
        take(&run[start..two[1]]);
        start = two[0];
    }
}

/// The parts of `readBlock` and `HTTPServer`, where there are several.
fn humps(word: &str, lower: &mut String, take: &mut dyn FnMut(&str)) {
    let bytes = word.as_bytes();
    let begins = |at: usize| {
        let after_small = !bytes[at - 1].is_ascii_uppercase();
        let before_small = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        bytes[at].is_ascii_uppercase() && (after_small || before_small)
    };
    let mut start = 0;
    for at in (1..bytes.len()).filter(|at| begins(*at)) {
        tell(&word[start..at], lower, take);
        start = at;
    }
    if start > 0 {
        tell(&word[start..], lower, take);
    }
}

fn tell(word: &str, lower: &mut String, take: &mut dyn FnMut(&str)) {
    if word.len() > WORD_BYTES_MAX {
        return;
    }
    lower.clear();
    if word.is_ascii() {
        lower.push_str(word);
        lower.make_ascii_lowercase();
    } else {
        lower.extend(word.chars().flat_map(char::to_lowercase));
    }
    take(lower);
}

/// [`words`] as tantivy wants them.
#[derive(Clone, Default)]
pub(super) struct Words {
    text: String,
    ends: Vec<usize>,
    token: Token,
}

/// The words of one text.
pub(super) struct Stream<'a> {
    words: &'a mut Words,
    at: usize,
}

impl Tokenizer for Words {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        self.text.clear();
        self.ends.clear();
        self.token.reset();
        let (all, ends) = (&mut self.text, &mut self.ends);
        words(text, &mut |word| {
            all.push_str(word);
            ends.push(all.len());
        });
        Stream { words: self, at: 0 }
    }
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let Some(end) = self.words.ends.get(self.at).copied() else { return false };
        let start = self.at.checked_sub(1).map_or(0, |before| self.words.ends[before]);
        let token = &mut self.words.token;
        token.text.clear();
        token.text.push_str(&self.words.text[start..end]);
        token.position = token.position.wrapping_add(1);
        self.at += 1;
        true
    }

    fn token(&self) -> &Token {
        &self.words.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.words.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, &mut |word| found.push(word.to_owned()));
        found
    }

    #[test]
    fn names_are_found_whole_and_by_their_parts() {
        let cases: [(&str, &[&str]); 10] = [
            ("Hello, world.", &["hello", "world"]),
            (
                "src/store/pack_file.rs:12",
                &[
                    "src/store/pack_file.rs:12",
                    "src",
                    "store",
                    "pack_file.rs",
                    "pack_file",
                    "pack",
                    "file",
                    "rs",
                    "12",
                ],
            ),
            ("std::io::Error", &["std::io::error", "std", "io", "error"]),
            ("readBlock HTTPServer2", &["readblock", "read", "block", "httpserver2", "http", "server2"]),
            ("error[E0308]: --no-verify", &["error", "e0308", "no-verify", "no", "verify"]),
            ("v1.0.0", &["v1.0.0", "v1", "0", "0"]),
            ("a_b/", &["a_b", "a", "b"]),
            ("ÜBER größe", &["über", "größe"]),
            ("検索する x", &["検索", "索す", "する", "x"]),
            ("… -- //", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(cut(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_left_out_and_its_parts_are_kept() {
        let long = format!("{}/tail", "x".repeat(200));
        assert_eq!(cut(&long), ["tail"]);
    }

    #[test]
    fn the_stream_says_what_the_function_says() {
        let mut words = Words::default();
        let mut stream = words.token_stream("one/two THREE");
        let mut told = Vec::new();
        while stream.advance() {
            told.push((stream.token().text.clone(), stream.token().position));
        }
        let expected = [("one/two", 0), ("one", 1), ("two", 2), ("three", 3)];
        assert_eq!(told, expected.map(|(word, at)| (word.to_owned(), at)));
    }
}
