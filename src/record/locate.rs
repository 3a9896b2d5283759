//! Names the field that serde refused: turns a position in a record's bytes into a field path.
//!
//! Rests on the lines and columns of `serde_json`. What always holds: no panic whatever the bytes; where a path cannot be
//! found, it is empty and the message still stands.

use super::validate::Violation;

/// One open array or object on the way to the position.
enum Frame {
    /// An object, and the key read last.
    Object(String),
    /// An array, and the index of its current element.
    Array(usize),
}

/// The field at which parsing `bytes` failed with `error`, and the reason without its position.
pub(super) fn violation(bytes: &[u8], error: &serde_json::Error) -> Violation {
    let message = error.to_string();
    let why = message.split(" at line ").next().unwrap_or(&message).to_owned();
    let mut end = offset(bytes, error.line(), error.column());
    let missing = why.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    // What a type refuses after its value was read is reported where the array or object around it ends.
    if missing.is_none() && matches!(bytes[..end].last(), Some(b']' | b'}')) {
        end -= 1;
    }
    let mut field = path_at(bytes, end);
    if let Some(name) = missing {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(name);
    }
    Violation { field, why }
}

/// The field at which two spellings of one record first differ; `None` where they do not.
pub(super) fn difference(left: &[u8], right: &[u8]) -> Option<String> {
    let same = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    (left != right).then(|| path_at(left, same))
}

/// The byte offset of a position as `serde_json` counts it: lines from 1, columns in bytes read on that line.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', bytes).map(|at| at + 1));
    starts.take(line.max(1)).last().unwrap_or(0).saturating_add(column).min(bytes.len())
}

/// The path of the value that ends at, or begins before, `end`.
fn path_at(bytes: &[u8], end: usize) -> String {
    let mut frames = Vec::new();
    let mut at = 0;
    let mut key_next = false;
    while at < end {
        match bytes[at] {
            b'{' => {
                frames.push(Frame::Object(String::new()));
                key_next = true;
            }
            b'[' => {
                frames.push(Frame::Array(0));
                key_next = false;
            }
            b'}' | b']' => {
                frames.pop();
                key_next = false;
            }
            b',' => match frames.last_mut() {
                Some(Frame::Array(index)) => *index += 1,
                Some(Frame::Object(_)) => key_next = true,
                None => {}
            },
            b'"' => {
                let close = string_end(bytes, at);
                if let (true, Some(Frame::Object(key))) = (key_next, frames.last_mut()) {
                    *key = serde_json::from_slice(&bytes[at..close]).unwrap_or_default();
                    key_next = false;
                }
                at = close - 1;
            }
            _ => {}
        }
        at += 1;
    }
    let mut path = String::new();
    for frame in &frames {
        match frame {
            Frame::Object(key) if key.is_empty() => {}
            Frame::Object(key) if path.is_empty() => path.push_str(key),
            Frame::Object(key) => {
                path.push('.');
                path.push_str(key);
            }
            Frame::Array(index) => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
    }
    path
}

/// One past the closing quote of the string that opens at `open`, or the end of the bytes.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors of reading it matter")]
    struct Outer {
        name: String,
        list: Vec<Inner>,
        #[serde(default)]
        ids: Vec<ObjectId>,
        id: Option<ObjectId>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors of reading it matter")]
    struct Inner {
        count: u64,
        kind: Option<Kind>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        One,
    }

    #[test]
    fn names_the_field() {
        let table = [
            (r#"{"list":[],"name":1}"#, "name"),
            (r#"{"list":[],"name":[1]}"#, "name"),
            (r#"{"list":[{"count":1},{"count":"x"}],"name":""}"#, "list[1].count"),
            (r#"{"list":[{"count":1},{"kind":null}],"name":""}"#, "list[1].count"),
            (r#"{"list":[{"count":1},{"count":2,"more":3}],"name":""}"#, "list[1].more"),
            (r#"{"list":[{"count":1,"kind":"two"}],"name":""}"#, "list[0].kind"),
            (r#"{"list":{},"name":""}"#, "list"),
            (r#"{"list":[]}"#, "name"),
            ("{\"list\":\n[{\n\"count\" :\n -1 } ]}", "list[0].count"),
            (r#"{"a\"b":1}"#, r#"a"b"#),
            (r#"{"name":"","ids":["x"]}"#, "ids[0]"),
            (r#"{"ids":[], "id": "x" }"#, "id"),
            ("7", ""),
            ("", ""),
            ("{\"list\":[\"", "list[0]"),
        ];
        for (text, field) in table {
            let error = serde_json::from_str::<Outer>(text).err().expect(text);
            assert_eq!(violation(text.as_bytes(), &error).field, field, "{text} {error}");
        }
        assert_eq!(difference(b"{\"a\":[1,20]}", b"{\"a\":[1,21]}"), Some("a[1]".to_owned()));
        assert_eq!(difference(b"{\"a\":[]}", b"{\"a\":{}}"), Some("a".to_owned()));
        assert_eq!(difference(b"{}", b"{}"), None);
        assert!(serde_json::from_str::<Outer>(r#"{"list":[{"count":1,"kind":"one"}],"name":""}"#).is_ok());
    }
}
