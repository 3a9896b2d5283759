//! Attributes as a tree: `llm.input_messages.0.message.role` is again an object of arrays of objects.
//!
//! Rests on dots in names and on OTLP's typed values. Invariants: every attribute is in the tree under its whole name; where
//! one name is both a value and a prefix of others, the value is the member `_`; lists keep the order of their numbers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::json::Value;

use super::super::word;

/// Prefixes by which a map that stands alone is known to be attributes.
const KNOWN: [&str; 4] = ["gen_ai.", "llm.", "ai.", "openinference."];

/// How many parts of a dotted name become levels; the rest is one name.
const LEVELS_MAX: usize = 32;

/// A view of a tree, by dotted path.
#[derive(Clone, Copy)]
pub(super) struct Tree<'v, 't>(pub(super) &'v Value<'t>);

impl<'v, 't> Tree<'v, 't> {
    /// What stands under a dotted name.
    pub(super) fn at(self, path: &str) -> Option<&'v Value<'t>> {
        path.split('.').try_fold(self.0, |value, name| value.get(name)).filter(|value| !value.is_null())
    }

    /// The same, where it is a string that says something.
    pub(super) fn word(self, path: &str) -> Option<&'v str> {
        word(self.at(path))
    }
}

/// Is this map one of attributes, without a span around it?
pub(super) fn is_bare(value: &Value<'_>) -> bool {
    value.iter_members().any(|(name, value)| {
        KNOWN.iter().any(|prefix| name.starts_with(prefix))
            && !matches!(value, Value::Object(_))
            && value.as_array().is_none_or(|items| items.iter().all(|item| !matches!(item, Value::Object(_))))
    })
}

/// The tree of attributes: a map of dotted names, or OTLP's list of keys and typed values.
pub(super) fn tree<'t>(attributes: &Value<'t>) -> Value<'t> {
    let mut root = Branch::default();
    match attributes {
        Value::Array(pairs) => {
            for pair in pairs {
                if let (Some(key), Some(value)) = (word(pair.get("key")), pair.get("value")) {
                    root.put(key, typed(value, 0));
                }
            }
        }
        other => other.iter_members().for_each(|(name, value)| root.put(name, value.clone())),
    }
    root.finish()
}

/// The plain value of one of OTLP's: `{"intValue": "5"}` is 5.
fn typed<'t>(value: &Value<'t>, depth: usize) -> Value<'t> {
    /// As deep as JSON itself may nest; such a value stands as it is.
    const DEPTH_MAX: usize = 64;
    if depth > DEPTH_MAX {
        return value.clone();
    }
    let values = |name: &str| value.get(name).and_then(|v| v.get("values")).and_then(Value::as_array);
    if let Some(number) = value.get("intValue") {
        return match number {
            Value::String(digits) if digits.parse::<i64>().is_ok() => Value::Number(digits.clone()),
            other => other.clone(),
        };
    }
    if let Some(items) = values("arrayValue") {
        return Value::Array(items.iter().map(|item| typed(item, depth + 1)).collect());
    }
    if let Some(pairs) = values("kvlistValue") {
        let members: BTreeMap<String, Value<'t>> = pairs
            .iter()
            .filter_map(|pair| {
                Some((word(pair.get("key"))?.to_owned(), typed(pair.get("value")?, depth + 1)))
            })
            .collect();
        let members = members.into_iter().map(|(key, value)| (Cow::Owned(key), value)).collect();
        // The keys of a map differ.
        return Value::object(members).unwrap_or(Value::Null);
    }
    ["stringValue", "boolValue", "doubleValue", "bytesValue"]
        .iter()
        .find_map(|name| value.get(name))
        .cloned()
        .unwrap_or(Value::Null)
}

/// A level of the tree while it grows.
#[derive(Default)]
struct Branch<'t> {
    value: Option<Value<'t>>,
    members: BTreeMap<String, Branch<'t>>,
}

impl<'t> Branch<'t> {
    fn put(&mut self, name: &str, value: Value<'t>) {
        let mut here = self;
        for part in name.splitn(LEVELS_MAX, '.') {
            here = here.members.entry(part.to_owned()).or_default();
        }
        // Of two with one name in a list, the first stands.
        here.value.get_or_insert(value);
    }

    fn finish(self) -> Value<'t> {
        let Self { value, members } = self;
        if members.is_empty() {
            return value.unwrap_or_else(|| Value::Object(Vec::new()));
        }
        let mut list: Vec<(u64, Branch<'t>)> = Vec::new();
        let is_list = value.is_none() && members.keys().all(|name| index(name).is_some());
        if is_list {
            list.extend(members.into_iter().filter_map(|(name, branch)| Some((index(&name)?, branch))));
            list.sort_by_key(|(index, _)| *index);
            return Value::Array(list.into_iter().map(|(_, branch)| branch.finish()).collect());
        }
        let mut finished: Vec<(Cow<'t, str>, Value<'t>)> =
            members.into_iter().map(|(name, branch)| (Cow::Owned(name), branch.finish())).collect();
        if let Some(value) = value
            && !finished.iter().any(|(name, _)| name == "_")
        {
            finished.push((Cow::Borrowed("_"), value));
        }
        // The names of a map differ.
        Value::object(finished).unwrap_or(Value::Null)
    }
}

/// The place in a list that a name is: digits without leading zeros.
fn index(name: &str) -> Option<u64> {
    let plain = name == "0" || (!name.starts_with('0') && name.bytes().all(|b| b.is_ascii_digit()));
    plain.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::json::to_canonical;

    fn check(attributes: &serde_json::Value, expected: &serde_json::Value) {
        let canonical = to_canonical(attributes).expect("JSON");
        let value = Value::parse(&canonical).expect("canonical");
        let expected = to_canonical(expected).expect("JSON");
        let found = String::from_utf8(tree(&value).to_bytes()).expect("UTF-8");
        assert_eq!(found, String::from_utf8(expected).expect("UTF-8"), "{attributes}");
    }

    #[test]
    fn dots_and_numbers_become_objects_and_arrays() {
        let flat =
            serde_json::json!({"m.10.r": "k", "m.2.r": "b", "m.0.r": "a", "x": 1, "x.y": 2, "n.01": 3});
        let deep = serde_json::json!({
            "m": [{"r": "a"}, {"r": "b"}, {"r": "k"}], "x": {"_": 1, "y": 2}, "n": {"01": 3},
        });
        check(&flat, &deep);
        check(&serde_json::json!({}), &serde_json::json!({}));
        check(&serde_json::json!("no map"), &serde_json::json!({}));
    }

    #[test]
    fn otlp_values_lose_their_wrapping() {
        let list = serde_json::json!([
            {"key": "a.b", "value": {"intValue": "9007199254740993"}},
            {"key": "a.c", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"boolValue": true}]}}},
            {"key": "d", "value": {"kvlistValue": {"values": [{"key": "e.f", "value": {"doubleValue": 0.5}}]}}},
            {"key": "d", "value": {"stringValue": "said twice"}},
            {"key": "n", "value": {}}, {"value": {"intValue": 1}}, 7,
        ]);
        let tree = serde_json::json!({
            "a": {"b": 9_007_199_254_740_993_u64, "c": ["x", true]}, "d": {"e.f": 0.5}, "n": null,
        });
        check(&list, &tree);
    }
}
