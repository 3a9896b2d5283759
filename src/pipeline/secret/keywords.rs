//! The keyword sieve: which rules have a word in a text at all.
//!
//! Rests on the `aho-corasick` crate's vector search for short literals. A keyword is looked for by its rarest three
//! or four bytes, in every case that it may be written in, and what is found is compared with the whole word. What always holds:
//! a rule is handed on exactly where one of its keywords is in the text, or it has none.

use std::collections::BTreeMap;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Bytes of a keyword that are looked for where it counts only as it is written.
const LONG: usize = 4;
/// The same where it counts in any case, or is no longer. Four letters have too many spellings.
const SHORT: usize = 3;
/// Most literals to a vector search: the crate takes 128.
const LITERALS: usize = 127;
/// Most fragments to one, measured: with more to a bucket it stops too often, with fewer there are more searches.
const FRAGMENTS: usize = 48;
/// Texts shorter than this are searched with spaces behind them, in bytes.
const PADDED: usize = 64;

/// Keywords and the rules that they stand for.
pub(super) struct Keywords {
    words: Vec<Word>,
    searches: Vec<Search>,
    /// Rules without keywords.
    always: Vec<usize>,
}

struct Word {
    bytes: Vec<u8>,
    /// Whether it counts only as it is written.
    exact: bool,
    rules: Vec<usize>,
}

/// One search over some of the words.
enum Search {
    /// By fragments; for each literal the words that it is part of, and where.
    Fragments(Searcher, Vec<Vec<(usize, usize)>>),
    /// By automaton, of words as they are, in any case: for machines without vectors, and for words of a letter or two.
    Automaton(AhoCorasick, Vec<usize>),
}

/// Gathers keywords.
#[derive(Default)]
pub(super) struct Builder {
    words: BTreeMap<(Vec<u8>, bool), Vec<usize>>,
    always: Vec<usize>,
}

impl Builder {
    /// Adds the keywords of a rule; `exact` says which count only as they are written.
    pub(super) fn rule(&mut self, rule: usize, keywords: &[String], exact: &dyn Fn(&str) -> bool) {
        let keywords: Vec<&String> = keywords.iter().filter(|keyword| !keyword.is_empty()).collect();
        if keywords.is_empty() {
            self.always.push(rule);
        }
        for keyword in keywords {
            let exact = exact(keyword);
            let word = if exact { keyword.clone() } else { keyword.to_ascii_lowercase() };
            self.words.entry((word.into_bytes(), exact)).or_default().push(rule);
        }
    }

    pub(super) fn build(self) -> Keywords {
        self.build_with(true)
    }

    fn build_with(self, vectors: bool) -> Keywords {
        let words: Vec<Word> =
            (self.words.into_iter()).map(|((bytes, exact), rules)| Word { bytes, exact, rules }).collect();
        let (mut long, mut short) = (Fragments::default(), Fragments::default());
        let mut left = Vec::new();
        // Short words first: a fragment that is looked for already costs a longer word nothing.
        let mut order: Vec<usize> = (0..words.len()).collect();
        order.sort_by_key(|index| words[*index].bytes.len());
        for index in order {
            let word = &words[index];
            match word.bytes.len() {
                _ if !vectors => left.push(index),
                LONG.. if word.exact => long.add(index, word, LONG),
                SHORT.. => short.add(index, word, SHORT),
                _ => left.push(index),
            }
        }
        let mut searches = Vec::new();
        for part in long.parts().into_iter().chain(short.parts()) {
            let mut builder =
                Config::new().match_kind(MatchKind::LeftmostFirst).heuristic_pattern_limits(false).builder();
            builder.extend(part.iter().map(|(literal, _)| literal));
            match builder.build() {
                Some(found) => {
                    let places = part.into_iter().map(|(_, places)| places).collect();
                    searches.push(Search::Fragments(found, places));
                }
                None => left.extend(part.iter().flat_map(|(_, places)| places.iter().map(|(word, _)| *word))),
            }
        }
        left.sort_unstable();
        left.dedup();
        if !left.is_empty() {
            let found = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .kind(Some(AhoCorasickKind::DFA))
                .build(left.iter().map(|word| &words[*word].bytes));
            match found {
                Ok(found) => searches.push(Search::Automaton(found, left)),
                // More states than an automaton may have: such rules are asked always.
                Err(_) => {
                    let mut always = self.always;
                    always.extend(left.iter().flat_map(|word| words[*word].rules.iter().copied()));
                    always.sort_unstable();
                    always.dedup();
                    return Keywords { words, searches, always };
                }
            }
        }
        Keywords { words, searches, always: self.always }
    }
}

impl Keywords {
    pub(super) fn builder() -> Builder {
        Builder::default()
    }

    /// How many vector searches there are, and how many automata.
    #[cfg(test)]
    pub(super) fn searches(&self) -> (usize, usize) {
        let vectors = self.searches.iter().filter(|s| matches!(s, Search::Fragments(..))).count();
        (vectors, self.searches.len() - vectors)
    }

    /// The rules that have a keyword in `text`, in order.
    pub(super) fn hits(&self, text: &[u8]) -> Vec<usize> {
        // A vector search looks at short texts letter by letter, unless there is something behind them.
        let mut padded = [b' '; PADDED];
        match padded.get_mut(..text.len()) {
            Some(begin) if text.len() < PADDED => {
                begin.copy_from_slice(text);
                self.hits_in(text, &padded)
            }
            _ => self.hits_in(text, text),
        }
    }

    /// The same; `searched` begins with `text`.
    fn hits_in(&self, text: &[u8], searched: &[u8]) -> Vec<usize> {
        let mut hits = self.always.clone();
        let mut hit = |word: &Word| {
            for rule in &word.rules {
                if !hits.contains(rule) {
                    hits.push(*rule);
                }
            }
        };
        for search in &self.searches {
            match search {
                Search::Fragments(searcher, places) => {
                    let mut from = 0;
                    while let Some(found) = searcher.find_in(searched, (from..searched.len()).into()) {
                        for &(word, at) in &places[found.pattern().as_usize()] {
                            let word = &self.words[word];
                            if let Some(start) = found.start().checked_sub(at)
                                && word.stands_at(text, start)
                            {
                                hit(word);
                            }
                        }
                        from = found.start() + 1;
                    }
                }
                Search::Automaton(automaton, of) => {
                    for found in automaton.find_overlapping_iter(text) {
                        let word = &self.words[of[found.pattern().as_usize()]];
                        if word.stands_at(text, found.start()) {
                            hit(word);
                        }
                    }
                }
            }
        }
        hits.sort_unstable();
        hits
    }
}

impl Word {
    fn stands_at(&self, text: &[u8], start: usize) -> bool {
        let Some(there) = text.get(start..start + self.bytes.len()) else { return false };
        if self.exact { there == self.bytes } else { there.eq_ignore_ascii_case(&self.bytes) }
    }
}

/// Fragments of one length, with the words that they are part of, and where.
#[derive(Default)]
struct Fragments(BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<(usize, usize)>>>);

impl Fragments {
    /// Adds `word` by the fragment that is looked for anyway, or is seen least often in prose and in code.
    fn add(&mut self, index: usize, word: &Word, len: usize) {
        let all_known = |fragment: &[u8]| {
            let known = self.0.get(&fragment.to_ascii_lowercase());
            known.is_some_and(|known| spellings(fragment, word.exact).iter().all(|s| known.contains_key(s)))
        };
        let weight = |fragment: &[u8]| {
            if all_known(fragment) { 0 } else { fragment.iter().map(|byte| frequency(*byte)).sum() }
        };
        let fragments = word.bytes.windows(len).enumerate();
        let Some((at, fragment)) = fragments.rev().min_by_key(|(_, fragment)| weight(fragment)) else {
            return;
        };
        let group = self.0.entry(fragment.to_ascii_lowercase()).or_default();
        for literal in spellings(fragment, word.exact) {
            group.entry(literal).or_default().push((index, at));
        }
    }

    /// The literals in parts that one search each can take. The search puts literals into sixteen buckets by their
    /// number, but spellings of one fragment into the bucket of the first: so one of each comes before the others.
    fn parts(self) -> Vec<Vec<(Vec<u8>, Vec<(usize, usize)>)>> {
        let mut parts = Vec::new();
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        for group in self.0.into_values() {
            let literals = firsts.len() + others.len() + group.len();
            if literals > LITERALS || firsts.len() == FRAGMENTS {
                firsts.append(&mut others);
                parts.push(std::mem::take(&mut firsts));
            }
            let mut group = group.into_iter();
            firsts.extend(group.next());
            others.extend(group);
        }
        firsts.extend(others);
        parts.push(firsts);
        parts.retain(|part| !part.is_empty());
        parts
    }
}

/// How often a byte is seen, roughly, on a logarithmic scale.
fn frequency(byte: u8) -> u32 {
    match byte {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' => 10,
        b'h' | b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'f' => 8,
        b'y' => 7,
        b'g' | b'w' | b'b' | b'_' | b'-' | b'/' | b'.' | b':' | b'=' => 6,
        b'v' | b'k' | b'0'..=b'9' => 4,
        b'x' | b'j' | b'q' | b'z' => 1,
        b'A'..=b'Z' => 3,
        _ => 2,
    }
}

/// `fragment` in every way that it may be written: as it is, or each letter in both cases.
fn spellings(fragment: &[u8], exact: bool) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for byte in fragment {
        let mut ways = vec![*byte];
        if !exact && byte.is_ascii_alphabetic() {
            ways = vec![byte.to_ascii_lowercase(), byte.to_ascii_uppercase()];
        }
        all = (all.iter())
            .flat_map(|begun| ways.iter().map(move |way| [begun.as_slice(), &[*way]].concat()))
            .collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn builder(words: &[(&str, bool)]) -> Builder {
        let mut builder = Builder::default();
        for (rule, (word, exact)) in words.iter().enumerate() {
            builder.rule(rule, &[(*word).to_owned()], &|_| *exact);
        }
        builder
    }

    const WORDS: [(&str, bool); 7] = [
        ("AKIA", true),
        ("password", false),
        ("pass", false),
        ("sswo", false),
        ("://", true),
        ("k", false),
        ("API_KEY", false),
    ];

    /// What the sieve must say, in the plainest way.
    fn plain(text: &str) -> Vec<usize> {
        let lower = text.to_ascii_lowercase();
        (0..WORDS.len())
            .filter(|n| match WORDS[*n] {
                (word, true) => text.contains(word),
                (word, false) => lower.contains(&word.to_ascii_lowercase()),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn both_searches_find_what_plain_comparison_finds(
            text in "([a-zäA-Z :/_]{0,9}(AKIA|akia|PassWord|paSS|SSWO|://|Api_key|K){0,2}){0,9}",
        ) {
            for vectors in [true, false] {
                let keywords = builder(&WORDS).build_with(vectors);
                prop_assert_eq!(keywords.hits(text.as_bytes()), plain(&text), "vectors {}", vectors);
            }
        }
    }

    #[test]
    fn a_rule_without_keywords_is_always_asked() {
        let mut builder = Builder::default();
        builder.rule(4, &[], &|_| false);
        assert_eq!(builder.build().hits(b""), [4]);
    }

    #[test]
    fn many_words_take_several_searches_and_lose_none() {
        let words: Vec<String> = (0..400).map(|n| format!("w{n:03}x")).collect();
        let pairs: Vec<(&str, bool)> = words.iter().map(|word| (word.as_str(), true)).collect();
        let keywords = builder(&pairs).build();
        for (n, word) in words.iter().enumerate() {
            assert_eq!(keywords.hits(format!("a {word} b").as_bytes()), [n]);
        }
    }
}
