//! What of an answer can be checked: quoted strings, paths, numbers, identifiers, verdicts and citations.
//!
//! Rests on the shape of words alone. Invariants: every claim has its place, in bytes of the answer, and the text there is the
//! claim; a place belongs to one claim; plain words are no claims, and what looks like a name is one, since a name that was made up
//! is what a reader cannot see.

use serde::{Deserialize, Serialize};

use super::form::Format;
use super::support::verdict_stem;

/// What is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// A string in quotes or as code.
    Quote,
    /// A path or an address.
    Path,
    /// A number, a date, a time.
    Number,
    /// A name of code: `snake_case`, `camelCase`, `a::b`, `DP-1001`, `--flag`, `BIGINT`.
    Identifier,
    /// A word that judges: accepted, failed …
    Verdict,
    /// A record by its number.
    Citation,
}

impl ClaimKind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Path => "path",
            Self::Number => "number",
            Self::Identifier => "identifier",
            Self::Verdict => "verdict",
            Self::Citation => "citation",
        }
    }
}

/// One claim of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What is claimed.
    pub kind: ClaimKind,
    /// The text, as the answer has it.
    pub text: String,
    /// Where it begins, in bytes of the answer.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// A record that an answer cites, and where.
type Cited = (u64, (usize, usize));

/// What an answer claims.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub claims: Vec<Claim>,
    pub cited: Vec<Cited>,
}

impl Found {
    /// `answer` with spaces in the place of citations.
    pub(super) fn without_citations(&self, answer: &str) -> String {
        let mut text = String::with_capacity(answer.len());
        let mut at = 0;
        for (_, (start, end)) in &self.cited {
            // One place may cite several records.
            if *start >= at {
                text.push_str(&answer[at..*start]);
                text.push(' ');
                at = *end;
            }
        }
        text.push_str(&answer[at..]);
        text
    }
}

/// The longest quoted string; a quote that does not end within it is none.
const QUOTE_BYTES_MAX: usize = 2000;
/// The longest one in marks that are also apostrophes.
const SINGLE_QUOTE_BYTES_MAX: usize = 400;
/// The longest name of a language behind a fence.
const LANGUAGE_BYTES_MAX: usize = 20;

/// Finds all claims, in the order of the answer.
pub(super) fn find(answer: &str, format: Format) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    let mut in_fence = false;
    let mut first_of_line = true;
    while let Some(c) = answer[at..].chars().next() {
        let rest = &answer[at..];
        if first_of_line {
            if let Some(len) = fence(rest) {
                in_fence = !in_fence;
                at += len;
                first_of_line = false;
                continue;
            }
            let mark = list_mark(rest);
            if mark > 0 {
                at += mark;
                first_of_line = false;
                continue;
            }
        }
        first_of_line = c == '\n';
        if let Some((numbers, len)) = citation(rest).filter(|_| !in_fence || !is_index(answer, at)) {
            found.cited.extend(numbers.into_iter().map(|number| (number, (at, at + len))));
            at += len;
        } else if let Some((open, len)) = quoted(answer, at, in_fence, format) {
            push(&mut found, answer, ClaimKind::Quote, at + open, at + len - open);
            at += len;
        } else if is_word_char(c) || (is_lead(c) && leads(answer, at)) {
            let len = rest.find(|c: char| !is_word_char(c) && !is_joint(c)).unwrap_or(rest.len());
            word(&mut found, answer, (at, at + len), format);
            at += len;
        } else {
            // An escape of JSON says nothing.
            at += c.len_utf8();
            if c == '\\' && format == Format::Json {
                at += answer[at..].chars().next().map_or(0, char::len_utf8);
            }
        }
    }
    found
}

fn push(found: &mut Found, answer: &str, kind: ClaimKind, start: usize, end: usize) {
    let text = answer[start..end].to_owned();
    if !text.trim().is_empty() {
        found.claims.push(Claim { kind, text, start, end });
    }
}

const fn is_joint(c: char) -> bool {
    matches!(c, '.' | '/' | '\\' | ':' | '@' | '-' | ',' | '%' | '+' | '~')
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What a path or an option may begin with.
const fn is_lead(c: char) -> bool {
    matches!(c, '/' | '.' | '~' | '-' | '@' | '\\')
}

/// Whether a word begins here with such a character, and does not go on.
fn leads(answer: &str, at: usize) -> bool {
    let before = answer[..at].chars().next_back();
    let opens = before.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '[' | '{' | '"' | '=' | ','));
    let mut after = answer[at..].chars().skip_while(|c| is_lead(*c));
    opens && after.next().is_some_and(is_word_char)
}

/// The length of a list's mark at the beginning of a line: `1. `, `(2) `, with the white space before it.
fn list_mark(line: &str) -> usize {
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    let rest = &line[indent..];
    let open = usize::from(rest.starts_with('('));
    let digits = rest[open..].bytes().take_while(u8::is_ascii_digit).count();
    let behind = &rest[open + digits..];
    let is_mark = (1..=3).contains(&digits) && (behind.starts_with(". ") || behind.starts_with(") "));
    if is_mark { indent + open + digits + 1 } else { 0 }
}

/// The length of a fence at the beginning of a line, with the language that it names. More than one word is no language: whatever
/// stands there is looked at like the rest.
fn fence(line: &str) -> Option<usize> {
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    let marks = line[indent..].bytes().take_while(|b| *b == b'`').count();
    if marks < 3 {
        return None;
    }
    let behind = &line[indent + marks..];
    let end = behind.find('\n').unwrap_or(behind.len());
    let language = behind[..end].trim();
    if language.contains('`') {
        return None;
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '#' | '.');
    let is_language = language.len() <= LANGUAGE_BYTES_MAX && language.chars().all(is_word);
    // Up to the line feed, which begins the next line.
    let named = if is_language { end } else { 0 };
    Some(indent + marks + named)
}

/// Whether a bracket stands behind a name: in code, `row[1]` is no citation.
fn is_index(answer: &str, at: usize) -> bool {
    answer[..at].ends_with(|c: char| is_word_char(c) || matches!(c, ')' | ']'))
}

/// The beginning of a text, of about so many bytes.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// `[2]`, `[1, 3]`: the numbers, and the length.
fn citation(rest: &str) -> Option<(Vec<u64>, usize)> {
    let inner = beginning(rest.strip_prefix('[')?, 41);
    let end = inner.find(']').filter(|end| *end <= 40)?;
    let numbers =
        inner[..end].split([',', ';']).map(|part| part.trim().trim_start_matches('#').parse::<u64>());
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
    // Records are counted from 1: `row[0]` is code.
    if numbers.contains(&0) {
        return None;
    }
    Some((numbers, end + 2))
}

/// A quoted string that begins here: the length of its mark, and its whole length.
fn quoted(answer: &str, at: usize, in_fence: bool, format: Format) -> Option<(usize, usize)> {
    let rest = &answer[at..];
    let open = rest.chars().next()?;
    let close = match open {
        '`' if !in_fence => '`',
        '"' if !in_fence && format != Format::Json => '"',
        '\'' if !in_fence => '\'',
        '\u{201c}' => '\u{201d}',
        '\u{2018}' => '\u{2019}',
        '«' => '»',
        _ => return None,
    };
    let width = open.len_utf8();
    let may_open = match open {
        // An apostrophe stands within a word or behind one.
        '\'' | '\u{2018}' => {
            let before = answer[..at].chars().next_back();
            before.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | '[' | '{' | '=' | ':' | ','))
        }
        _ => true,
    };
    let most = if matches!(open, '\'' | '\u{2018}') { SINGLE_QUOTE_BYTES_MAX } else { QUOTE_BYTES_MAX };
    // Not a byte more is looked at: each mark of an answer may open one.
    let inner = beginning(&rest[width..], most + close.len_utf8());
    if !may_open || inner.starts_with(|c: char| c.is_whitespace()) && open != '`' {
        return None;
    }
    let mut from = 0;
    loop {
        let end = from + inner[from..].find(close)?;
        if end > most || inner[..end].contains("\n\n") {
            return None;
        }
        let behind = rest[width + end + close.len_utf8()..].chars().next();
        let is_apostrophe = matches!(close, '\'' | '\u{2019}') && behind.is_some_and(is_word_char);
        if !is_apostrophe {
            // Marks of one width on both sides, so that the caller can cut them off.
            return (end > 0 && close.len_utf8() == width).then_some((width, end + 2 * width));
        }
        from = end + close.len_utf8();
    }
}

/// Takes the word at `start..end` apart and notes what it claims.
fn word(found: &mut Found, answer: &str, (start, end): (usize, usize), format: Format) {
    let text = &answer[start..end];
    let trimmed = text.trim_end_matches(['.', ',', ':', '-', '+', '\\', '@', '~']);
    let trimmed = if trimmed.ends_with('/') && trimmed.matches('/').count() == 1 {
        trimmed.trim_end_matches('/')
    } else {
        trimmed
    };
    let end = start + trimmed.len();
    if trimmed.is_empty() || trimmed.chars().all(|c| !is_word_char(c)) {
        return;
    }
    if let Some(kind) = kind_of(trimmed) {
        push(found, answer, kind, start, end);
        return;
    }
    // What is joined may be several words: `and/or`, `read:write`, `one,two`.
    let mut from = start;
    for part in trimmed.split(['/', ':', ',', '\\', '.', '+']) {
        let (part_start, part_end) = (from, from + part.len());
        from = part_end + 1;
        let bare = part.trim_matches(|c: char| !is_word_char(c) && c != '%');
        let part_start =
            part_start + (part.len() - part.trim_start_matches(|c: char| !is_word_char(c)).len());
        let part_end = (part_start + bare.len()).min(part_end);
        if bare.is_empty() {
            continue;
        }
        if let Some(kind) = kind_of(bare) {
            push(found, answer, kind, part_start, part_end);
        } else if verdict_stem(bare).is_some() && !format.own_verdict(bare) {
            push(found, answer, ClaimKind::Verdict, part_start, part_end);
        }
    }
}

/// Words in capitals that are stressed and name nothing.
const STRESSED: [&str; 22] = [
    "NOT",
    "AND",
    "THE",
    "ALL",
    "ANY",
    "BUT",
    "FOR",
    "MUST",
    "NEVER",
    "ALWAYS",
    "ONLY",
    "NOTE",
    "YES",
    "NOW",
    "TODO",
    "WARNING",
    "IMPORTANT",
    "BEFORE",
    "AFTER",
    "BOTH",
    "EACH",
    "EVERY",
];
/// Abbreviations with points.
const ABBREVIATIONS: [&str; 6] = ["e.g", "i.e", "a.k.a", "etc", "vs", "p.s"];

fn kind_of(word: &str) -> Option<ClaimKind> {
    if ABBREVIATIONS.iter().any(|known| word.eq_ignore_ascii_case(known)) {
        return None;
    }
    if is_number(word) {
        return Some(ClaimKind::Number);
    }
    if is_path(word) {
        return Some(ClaimKind::Path);
    }
    // Paths were told apart; what holds a slash or a comma now is several words.
    let is_one = !word.contains(['/', '\\', ',', '%', '+']);
    (is_one && is_identifier(word)).then_some(ClaimKind::Identifier)
}

/// Digits with what stands in and around them: signs, separators, a unit of up to three letters, dates, times.
pub(super) fn is_number(word: &str) -> bool {
    let core = word.trim_start_matches(['-', '+', '~', '.']);
    let digits = core.bytes().take_while(|b| b.is_ascii_digit() || b",._:-".contains(b)).count();
    let unit = core[digits..].trim_end_matches('%');
    let unit_is_one = unit.len() <= 3 && unit.bytes().all(|b| b.is_ascii_alphabetic());
    // `2026-01-07T10:50:49Z`, `1e-5`, `0x1f`.
    let is_time =
        core.contains('T') && core.split('T').all(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    core.starts_with(|c: char| c.is_ascii_digit())
        && (unit_is_one
            || is_time && core.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ+".contains(&b))
            || core.parse::<f64>().is_ok()
            || core.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())))
}

fn is_path(word: &str) -> bool {
    let slashes = word.matches(['/', '\\']).count();
    if slashes == 0 || !word.contains(is_word_char) {
        return false;
    }
    let begins = ["/", "./", "../", "~/", "~\\"].iter().any(|lead| word.starts_with(lead));
    begins
        || slashes > 1
        || word.contains("://")
        || word.contains(['.', '_'])
        || word.contains(|c: char| c.is_ascii_digit())
}

fn is_identifier(word: &str) -> bool {
    let word = word.trim_start_matches('@');
    if word.starts_with("--") || (word.starts_with('-') && word.len() == 2) {
        return true;
    }
    let (mut letters, mut digits, mut lower, mut upper) = (0, 0, 0, 0);
    let (mut camel, mut previous_lower) = (false, false);
    for c in word.chars() {
        letters += usize::from(c.is_alphabetic());
        digits += usize::from(c.is_numeric());
        lower += usize::from(c.is_lowercase());
        upper += usize::from(c.is_uppercase());
        camel |= previous_lower && c.is_uppercase();
        previous_lower = c.is_lowercase();
    }
    if letters == 0 {
        return false;
    }
    let inner = |mark: &str| word.trim_matches('.').contains(mark);
    let dotted = inner(".") && word.split('.').all(|part| !part.is_empty()) && !is_sentence_end(word);
    digits > 0
        || word.contains('_')
        || inner("::")
        || dotted
        || word.contains('@')
        || camel
        || (lower == 0 && upper >= 3 && !STRESSED.contains(&word))
}

/// `end.Next`: two sentences without a space between them.
fn is_sentence_end(word: &str) -> bool {
    let Some((before, after)) = word.split_once('.') else { return false };
    let plain = |part: &str| part.chars().all(char::is_alphabetic);
    let capital = after.starts_with(char::is_uppercase);
    plain(before) && plain(after) && capital && before.len() > 2 && after[1..].chars().all(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expect: &[(ClaimKind, &str)]) {
        let found = find(answer, Format::Text);
        for claim in &found.claims {
            assert_eq!(&answer[claim.start..claim.end], claim.text, "{answer}");
        }
        let found: Vec<_> = found.claims.iter().map(|claim| (claim.kind, claim.text.as_str())).collect();
        assert_eq!(found, expect, "{answer}");
    }

    #[test]
    fn words_are_no_claims_and_names_are() {
        use ClaimKind::{Identifier, Number, Path, Quote, Verdict};
        check("The planner has no statistics, and/or they are old. It's the users' table, well-known.", &[]);
        check("1. First of all\n(2) Then", &[]);
        check(
            "customer_key of HashMap in std::fs; see DP-1001 and s3.",
            &[
                (Identifier, "customer_key"),
                (Identifier, "HashMap"),
                (Identifier, "std::fs"),
                (Identifier, "DP-1001"),
                (Identifier, "s3"),
            ],
        );
        check(
            "Run it with --lib -q in src/main.rs:12, ./x or /etc/passwd.",
            &[
                (Identifier, "--lib"),
                (Identifier, "-q"),
                (Path, "src/main.rs:12"),
                (Path, "./x"),
                (Path, "/etc/passwd"),
            ],
        );
        check(
            "It took 24s, 4,750,311 rows, 1.5 %, on 2026-01-07 at 10:50:49.",
            &[
                (Number, "24s"),
                (Number, "4,750,311"),
                (Number, "1.5"),
                (Number, "2026-01-07"),
                (Number, "10:50:49"),
            ],
        );
        check(
            "He said \"it’s slow\" and 'no way', so `a b` is «new».",
            &[(Quote, "it’s slow"), (Quote, "no way"), (Quote, "a b"), (Quote, "new")],
        );
        check(
            "EXPLAIN says NOT so; e.g. the run was rejected.",
            &[(Identifier, "EXPLAIN"), (Verdict, "rejected")],
        );
        check("```rust\nlet x_1 = \"a\";\n```\n", &[(Identifier, "x_1")]);
    }

    #[test]
    fn citations_are_numbers_in_brackets() {
        let found = find("It is so [1], and so [2, 3][#4]; but [not this] and a[0].", Format::Text);
        let numbers: Vec<u64> = found.cited.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        let texts: Vec<&str> = found.claims.iter().map(|claim| claim.text.as_str()).collect();
        assert_eq!(texts, ["0"], "an index is no citation");
    }

    #[test]
    fn what_stands_beside_a_fence_is_looked_at() {
        use ClaimKind::{Identifier, Number, Quote};
        check("```rust\nx_1\n```\ny_1", &[(Identifier, "x_1"), (Identifier, "y_1")]);
        check("```drop stock_2024 after 31 days\n```", &[(Identifier, "stock_2024"), (Number, "31")]);
        check("```\nx_1\n``` \"no\"", &[(Identifier, "x_1"), (Quote, "no")]);
        check("```x_1``` says \"no\"", &[(Quote, "x_1"), (Quote, "no")]);
        let found = find("```c\nargv[1] = row(2)[3];\n```\nSo it is[4].", Format::Text);
        assert_eq!(found.cited.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [4], "{found:?}");
    }

    #[test]
    fn a_long_quote_is_a_quote() {
        let long = "so it goes on ".repeat(100);
        check(&format!("He said “{long}”."), &[(ClaimKind::Quote, &long)]);
    }

    #[test]
    fn an_answer_of_marks_is_gone_through_in_no_time() {
        let started = std::time::Instant::now();
        for mark in ["[", "“", "«", "\"", " '", "`", "/", "- ", "a:1", "\\"] {
            let text = mark.repeat((1 << 20) / mark.len());
            for format in [Format::Text, Format::Json] {
                find(&text, format);
            }
        }
        // With each looked up to the end it takes many minutes.
        assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    }

    #[test]
    fn quotes_of_json_are_no_quotes() {
        let found = find(r#"{"file": "src/a.rs", "text": "it is\nslow"}"#, Format::Json);
        let texts: Vec<&str> = found.claims.iter().map(|claim| claim.text.as_str()).collect();
        assert_eq!(texts, ["src/a.rs"]);
    }

    #[test]
    fn any_text_is_gone_through() {
        for text in [
            "",
            "'",
            "``",
            "```",
            "[",
            "[1",
            "“”",
            "é_",
            "a\\",
            "-",
            "--",
            "\u{0}\u{fffd}é'é",
            "[99999999999999999999]",
        ] {
            for format in [Format::Text, Format::Json] {
                find(text, format);
            }
        }
    }
}
