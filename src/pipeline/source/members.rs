//! Members of source rows: how often each name was there, how many bytes it holds, and the words of discriminators.
//!
//! Rests on `base::json`. Invariants: the bytes of all members of a row are those of its canonical form without the
//! outer braces and the commas between members; counting in parts and merging gives the same as counting at once; lists
//! that the data could make endless keep their first names in order and count the rest together.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::base::json::Value;

use super::coverage::NAMES_MAX;
use super::coverage::Tally;

/// Members whose values are words that say what kind of row (or part of a row) this is.
const DISCRIMINATORS: [&str; 7] = ["type", "kind", "event", "event_type", "role", "object", "status"];

/// The longest value of a discriminator, in bytes: what is longer is text.
const WORD_BYTES_MAX: usize = 64;

/// The most values of one discriminator that are told apart: a member with more is no discriminator.
pub const WORDS_MAX: usize = 64;

/// How often a member was there, and the bytes of its names and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Weight {
    pub(super) seen: u64,
    pub(super) bytes: u64,
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.seen += other.seen;
        self.bytes += other.bytes;
    }
}

/// Counts of members by path: `name`, `name.nested`, `name[].nested`. What lies deeper counts for its second level.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Members {
    pub(super) weights: BTreeMap<String, Weight>,
    /// Of all names beyond the first [`NAMES_MAX`].
    pub(super) others: Weight,
    /// Values of discriminators, by path.
    pub(super) kinds: BTreeMap<String, Tally>,
}

impl Members {
    /// Counts the members of a row.
    pub(super) fn see(&mut self, row: &Value<'_>) {
        let mut path = String::new();
        for (key, value) in row.iter_members() {
            path.clear();
            path.push_str(key);
            let mut bytes = string_bytes(key) + 1;
            match value {
                Value::Object(members) => {
                    bytes += around(members.len());
                    path.push('.');
                    for (inner, value) in members {
                        self.nested(&mut path, inner, value);
                    }
                    path.pop();
                }
                Value::Array(items) => {
                    bytes += around(items.len());
                    path.push_str("[].");
                    for item in items {
                        let Value::Object(members) = item else {
                            bytes += value_bytes(item);
                            continue;
                        };
                        bytes += around(members.len());
                        for (inner, value) in members {
                            self.nested(&mut path, inner, value);
                        }
                    }
                    path.truncate(key.len());
                }
                _ => {
                    bytes += value_bytes(value);
                    self.word(&path, key, value);
                }
            }
            self.add(&path, Weight { seen: 1, bytes });
        }
    }

    fn nested(&mut self, path: &mut String, key: &str, value: &Value<'_>) {
        let outer = path.len();
        path.push_str(key);
        self.add(path, Weight { seen: 1, bytes: string_bytes(key) + 1 + value_bytes(value) });
        self.word(path, key, value);
        path.truncate(outer);
    }

    fn word(&mut self, path: &str, key: &str, value: &Value<'_>) {
        if let Value::String(word) = value
            && word.len() <= WORD_BYTES_MAX
            && DISCRIMINATORS.contains(&key)
        {
            if !self.kinds.contains_key(path) {
                self.kinds.insert(path.to_owned(), Tally::default());
            }
            if let Some(words) = self.kinds.get_mut(path) {
                words.add_within(word, 1, WORDS_MAX);
            }
            // As with names: the paths that come last make room.
            if self.kinds.len() > WORDS_MAX {
                self.kinds.pop_last();
            }
        }
    }

    fn add(&mut self, path: &str, weight: Weight) {
        if let Some(known) = self.weights.get_mut(path) {
            known.add(weight);
            return;
        }
        self.weights.insert(path.to_owned(), weight);
        if self.weights.len() > NAMES_MAX
            && let Some((_, last)) = self.weights.pop_last()
        {
            self.others.add(last);
        }
    }

    /// Adds the counts of another part.
    pub(super) fn merge(&mut self, other: &Self) {
        for (path, weight) in &other.weights {
            self.add(path, *weight);
        }
        self.others.add(other.others);
        for (path, words) in &other.kinds {
            self.kinds.entry(path.clone()).or_default().merge_within(words, WORDS_MAX);
            if self.kinds.len() > WORDS_MAX {
                self.kinds.pop_last();
            }
        }
    }
}

/// Brackets and commas around `count` parts.
const fn around(count: usize) -> u64 {
    2 + count.saturating_sub(1) as u64
}

/// The length of a value's canonical form.
fn value_bytes(value: &Value<'_>) -> u64 {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(digits) => digits.len() as u64,
        // A string is borrowed where it holds no escape.
        Value::String(std::borrow::Cow::Borrowed(text)) => text.len() as u64 + 2,
        Value::String(text) => string_bytes(text),
        Value::Array(items) => around(items.len()) + items.iter().map(value_bytes).sum::<u64>(),
        Value::Object(members) => {
            let each = members.iter().map(|(key, value)| string_bytes(key) + 1 + value_bytes(value));
            around(members.len()) + each.sum::<u64>()
        }
    }
}

/// The length of a string's canonical form, with its quotes and escapes.
fn string_bytes(text: &str) -> u64 {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' | 8 | 9 | 10 | 12 | 13 => 1,
        0..0x20 => 5,
        _ => 0,
    };
    text.len() as u64 + 2 + text.bytes().map(escape).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::json::canonicalize;

    #[test]
    fn the_bytes_of_all_members_are_those_of_the_row() {
        for row in [
            r#"{"a":1,"b":"x\"\\\n\u0001é","c":null}"#,
            r#"{"o":{"type":"t","d":{"e":[1,{"f":"\t"}]}},"empty":{},"none":[]}"#,
            r#"{"m":[{"role":"user","n":1.5},{"role":"tool","n":[true,false]},"loose",{}],"k\n":"v"}"#,
        ] {
            let mut canonical = Vec::new();
            canonicalize(row.as_bytes(), &mut canonical).expect("JSON");
            let value = Value::parse(&canonical).expect("canonical");
            let mut members = Members::default();
            members.see(&value);
            let total: u64 = members.weights.values().map(|w| w.bytes).sum();
            let outer = around(value.iter_members().count());
            assert_eq!(total + outer, canonical.len() as u64, "{row}: {members:?}");
        }
    }

    #[test]
    fn parts_count_as_the_whole_does_and_a_member_with_too_many_words_is_open() {
        let row = |n: usize| format!(r#"{{"type":"w{n}","k{n}":{{"role":"user"}}}}"#);
        let (mut whole, mut even, mut odd) = (Members::default(), Members::default(), Members::default());
        for n in 0..1_500 {
            let mut canonical = Vec::new();
            canonicalize(row(n).as_bytes(), &mut canonical).expect("JSON");
            let value = Value::parse(&canonical).expect("canonical");
            whole.see(&value);
            if n % 2 == 0 { &mut even } else { &mut odd }.see(&value);
        }
        odd.merge(&even);
        assert_eq!(whole, odd);
        assert_eq!((whole.weights.len(), whole.kinds.len()), (NAMES_MAX, WORDS_MAX));
        assert_eq!(whole.weights.values().map(|w| w.seen).sum::<u64>() + whole.others.seen, 4_500);
        // `type` comes after the names of 1,500 others and is one of those that made room.
        assert!(!whole.kinds.contains_key("type"));
        assert_eq!(whole.kinds["k0.role"].counts["user"], 1);
    }
}
