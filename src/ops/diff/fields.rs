//! The fields in which two JSON values differ, as JSON pointers with both values in short.
//!
//! Rests on canonical JSON, so that a number is compared by its digits. Invariants: equal bytes have no change; where
//! either side is no JSON there are no fields to tell of.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::json::Value;
use crate::base::json::canonicalize;

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldChange {
    /// JSON pointer (RFC 6901); empty for the whole value.
    pub pointer: String,
    /// Its JSON before, cut at `SHOWN_CHARS_MAX` characters; null where the field was absent.
    pub before: Option<String>,
    /// Its JSON after; null where the field is absent.
    pub after: Option<String>,
}

/// How much of a value is shown.
pub const SHOWN_CHARS_MAX: usize = 120;

/// The fields in which two JSON texts differ, in order. A source row is compared in its canonical form.
pub(super) fn changes(before: &[u8], after: &[u8]) -> Vec<FieldChange> {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let mut found = Vec::new();
    if canonicalize(before, &mut old).is_ok()
        && canonicalize(after, &mut new).is_ok()
        && let (Ok(before), Ok(after)) = (Value::parse(&old), Value::parse(&new))
    {
        compare(&mut String::new(), Some(&before), Some(&after), &mut found);
    }
    found
}

/// Adds the fields in which the values differ, each under `pointer`.
pub(super) fn compare(
    pointer: &mut String,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Vec<FieldChange>,
) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(_)), Some(Value::Object(_))) => {
            let (Some(before), Some(after)) = (before, after) else { return };
            for (name, old) in before.iter_members() {
                below(pointer, name, |pointer| compare(pointer, Some(old), after.get(name), found));
            }
            for (name, new) in after.iter_members() {
                if before.get(name).is_none() {
                    below(pointer, name, |pointer| compare(pointer, None, Some(new), found));
                }
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for n in 0..old.len().max(new.len()) {
                below(pointer, &n.to_string(), |pointer| compare(pointer, old.get(n), new.get(n), found));
            }
        }
        _ => found.push(FieldChange {
            pointer: pointer.clone(),
            before: before.map(short),
            after: after.map(short),
        }),
    }
}

fn below(pointer: &mut String, name: &str, step: impl FnOnce(&mut String)) {
    let len = pointer.len();
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
    step(pointer);
    pointer.truncate(len);
}

fn short(value: &Value) -> String {
    let text = String::from_utf8_lossy(&value.to_bytes()).into_owned();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_and_values() {
        let before = br#"{"a":{"b/c":1,"gone":null},"list":[1,2],"n":9007199254740993,"same":"x"}"#;
        let after = br#"{"a":{"b/c":2},"list":[1,3,4],"n":9007199254740992,"new":{"k":[]},"same":"x"}"#;
        let told: Vec<_> = (changes(before, after).into_iter())
            .map(|c| (c.pointer, c.before.unwrap_or("-".into()), c.after.unwrap_or("-".into())))
            .collect();
        let expect = [
            ("/a/b~1c", "1", "2"),
            ("/a/gone", "null", "-"),
            ("/list/1", "2", "3"),
            ("/list/2", "-", "4"),
            ("/n", "9007199254740993", "9007199254740992"),
            ("/new", "-", "{\"k\":[]}"),
        ];
        assert_eq!(told, expect.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
        assert_eq!(changes(before, before), []);
        assert_eq!(changes(b"{ \"a\": 1.0 }", b"{\"a\":1}"), [], "spaces and digits are form, not content");
        assert_eq!(changes(b"not json", after), [], "raw bytes have no fields");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let after = format!("{{\"a\":\"{}\"}}", "ä".repeat(500));
        let change = changes(b"{\"a\":1}", after.as_bytes()).remove(0);
        let shown = change.after.expect("there");
        assert_eq!((shown.chars().count(), shown.chars().last()), (SHOWN_CHARS_MAX + 1, Some('…')));
    }
}
