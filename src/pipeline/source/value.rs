//! Values: copies that own their text, their names in messages, and the way to jaq and back.
//!
//! Rests on `base::json::Value` and `jaq_json::Val`. Invariant: a number keeps its digits both ways; what comes back is
//! canonical again (members in canonical order, numbers as RFC 8785 writes them); what JSON cannot say is refused.

use std::borrow::Cow;

use jaq_core::ValT as _;
use jaq_json::Map;
use jaq_json::Num;
use jaq_json::Val;

use crate::base::json::DEPTH_MAX;
use crate::base::json::Value;

/// A copy that borrows nothing.
pub(super) fn owned(value: &Value<'_>) -> Value<'static> {
    let text = |t: &str| Cow::Owned(t.to_owned());
    match value {
        Value::Null => Value::Null,
        Value::Bool(b) => Value::Bool(*b),
        Value::Number(n) => Value::Number(text(n)),
        Value::String(s) => Value::String(text(s)),
        Value::Array(items) => Value::Array(items.iter().map(owned).collect()),
        Value::Object(members) => Value::Object(members.iter().map(|(k, v)| (text(k), owned(v))).collect()),
    }
}

/// What a value is, for messages: `a string`, `null`.
pub(crate) fn kind_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The same value for jaq.
pub(super) fn to_jaq(value: &Value<'_>) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(b) => Val::Bool(*b),
        Value::Number(n) => {
            n.parse::<isize>().map_or_else(|_| Val::from_num(n).unwrap_or_default(), Val::from)
        }
        Value::String(s) => Val::utf8_str(s.as_bytes().to_vec()),
        Value::Array(items) => items.iter().map(to_jaq).collect(),
        Value::Object(members) => {
            let pairs = members.iter().map(|(k, v)| (Val::utf8_str(k.as_bytes().to_vec()), to_jaq(v)));
            Val::obj(pairs.collect::<Map>())
        }
    }
}

/// The same value from jaq, canonical.
///
/// # Errors
/// What JSON cannot say (bytes, NaN, infinity, keys that are no strings, text that is not UTF-8) or that nests deeper
/// than [`DEPTH_MAX`].
pub(super) fn from_jaq(value: &Val) -> Result<Value<'static>, String> {
    from_jaq_at(value, 0)
}

fn from_jaq_at(value: &Val, depth: usize) -> Result<Value<'static>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("the result nests deeper than {DEPTH_MAX}"));
    }
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(b) => Value::Bool(*b),
        Val::Num(n) => Value::Number(Cow::Owned(number(n)?)),
        Val::TStr(bytes) => Value::String(Cow::Owned(text(bytes)?)),
        Val::BStr(_) => return Err("the result is a byte string, which JSON does not have".to_owned()),
        Val::Arr(items) => {
            Value::Array(items.iter().map(|v| from_jaq_at(v, depth + 1)).collect::<Result<_, _>>()?)
        }
        Val::Obj(members) => {
            let mut pairs = Vec::with_capacity(members.len());
            for (key, value) in members.iter() {
                let Val::TStr(key) = key else {
                    return Err("the result is an object with a key that is no string".to_owned());
                };
                pairs.push((Cow::Owned(text(key)?), from_jaq_at(value, depth + 1)?));
            }
            pairs.sort_by(|(a, _), (b, _): &(Cow<'_, str>, _)| a.encode_utf16().cmp(b.encode_utf16()));
            Value::Object(pairs)
        }
    })
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "the result holds text that is not UTF-8".to_owned())
}

fn number(number: &Num) -> Result<String, String> {
    match number {
        Num::Int(i) => Ok(i.to_string()),
        Num::BigInt(i) => Ok(i.to_string()),
        Num::Float(f) => float(*f),
        Num::Dec(digits) => float(digits.parse().unwrap_or(f64::NAN)),
    }
}

/// The text that RFC 8785 gives a binary64 number.
fn float(f: f64) -> Result<String, String> {
    if f.is_finite() {
        Ok(ryu_js::Buffer::new().format_finite(f).to_owned())
    } else {
        Err(format!("the result is the number {f}, which JSON does not have"))
    }
}
