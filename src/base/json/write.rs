//! A serde serializer that writes canonical JSON as it goes.
//!
//! Rests on `string`, `number`'s printer and `canon`. A type whose fields are declared in canonical order, and a map that
//! iterates in it, are written in one pass. Where a key comes out of order, is named twice or needs an escape, the text
//! is still JSON: [`Writer::settled`] turns false, and the whole goes through the canonicaliser once more, which sorts
//! or refuses. Invariant: what is written and settled is its own canonical form.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::string::{compare_keys, write_string};
use super::{DEPTH_MAX, JsonErrorCode, canonicalize};

/// The name under which `serde_json` hands over a value that is JSON text already (a test holds it).
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Where a value is written, and what is known of the text so far.
pub(super) struct Writer<'o> {
    pub(super) out: &'o mut Vec<u8>,
    depth: usize,
    settled: bool,
    /// The next string is JSON text.
    raw: bool,
}

impl<'o> Writer<'o> {
    pub(super) const fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, depth: 0, settled: true, raw: false }
    }

    /// Whether the text is canonical as it stands.
    pub(super) const fn settled(&self) -> bool {
        self.settled
    }

    fn open(&mut self, bracket: u8) -> Result<(), Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Refusal(JsonErrorCode::TooDeep));
        }
        self.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: u8) {
        self.depth -= 1;
        self.out.push(bracket);
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// JSON text of unknown form.
    fn raw(&mut self, text: &str) -> Result<(), Refusal> {
        canonicalize(text.as_bytes(), self.out).map_err(|error| Refusal(error.code))?;
        // The nesting inside counts from here; only text with that many brackets can go too deep.
        let brackets = || text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
        if text.len() > DEPTH_MAX - self.depth && brackets() > DEPTH_MAX - self.depth {
            self.settled = false;
        }
        Ok(())
    }
}

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.as_str())]
pub(super) struct Refusal(pub(super) JsonErrorCode);

impl serde::ser::Error for Refusal {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self(JsonErrorCode::Syntax)
    }
}

/// An array that is being written.
pub(super) struct Items<'w, 'o> {
    writer: &'w mut Writer<'o>,
    first: bool,
    /// How many brackets to close: a variant's array stands in an object.
    in_variant: bool,
}

impl Items<'_, '_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.first) {
            self.writer.out.push(b',');
        }
        value.serialize(&mut *self.writer)
    }

    fn done(self) {
        self.writer.close(b']');
        if self.in_variant {
            self.writer.close(b'}');
        }
    }
}

/// An object that is being written.
pub(super) struct Members<'w, 'o> {
    writer: &'w mut Writer<'o>,
    /// The inside of the last key, in the output.
    last: Option<(usize, usize)>,
    in_variant: bool,
    /// The one field is JSON text.
    raw: bool,
}

impl Members<'_, '_> {
    /// Writes a key and its colon.
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        let writer = &mut *self.writer;
        if self.last.is_some() {
            writer.out.push(b',');
        }
        let start = writer.out.len();
        key.serialize(&mut *writer)?;
        match writer.out.get(start) {
            Some(b'"') => {}
            // Numbers and booleans are keys as their text.
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                writer.out.insert(start, b'"');
                writer.out.push(b'"');
            }
            _ => return Err(Refusal(JsonErrorCode::Syntax)),
        }
        let key = (start + 1, writer.out.len() - 1);
        let text = |(from, to): (usize, usize)| &writer.out[from..to];
        let ordered = self.last.is_none_or(|last| compare_keys(text(last), text(key)).is_lt());
        // An escaped key stands in the order of what it stands for.
        if !ordered || memchr::memchr(b'\\', text(key)).is_some() {
            writer.settled = false;
        }
        writer.out.push(b':');
        self.last = Some(key);
        Ok(())
    }

    fn done(self) {
        if self.raw {
            return;
        }
        self.writer.close(b'}');
        if self.in_variant {
            self.writer.close(b'}');
        }
    }
}

impl<'w, 'o> Writer<'o> {
    fn items(&'w mut self) -> Result<Items<'w, 'o>, Refusal> {
        self.open(b'[')?;
        Ok(Items { writer: self, first: true, in_variant: false })
    }

    fn members(&'w mut self) -> Result<Members<'w, 'o>, Refusal> {
        self.open(b'{')?;
        Ok(Members { writer: self, last: None, in_variant: false, raw: false })
    }

    /// Opens `{"variant":`.
    fn variant(&mut self, variant: &str) -> Result<(), Refusal> {
        self.open(b'{')?;
        write_string(variant, self.out);
        self.out.push(b':');
        Ok(())
    }

    fn unsigned(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            // Below ten, so that nothing is cut off.
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }
}

macro_rules! widened {
    ($($method:ident($of:ty) as $wide:ident($to:ty);)+) => {$(
        fn $method(self, number: $of) -> Result<(), Refusal> {
            self.$wide(<$to>::from(number))
        }
    )+};
}

impl<'w, 'o> Serializer for &'w mut Writer<'o> {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Items<'w, 'o>;
    type SerializeTuple = Items<'w, 'o>;
    type SerializeTupleStruct = Items<'w, 'o>;
    type SerializeTupleVariant = Items<'w, 'o>;
    type SerializeMap = Members<'w, 'o>;
    type SerializeStruct = Members<'w, 'o>;
    type SerializeStructVariant = Members<'w, 'o>;

    widened! {
        serialize_i8(i8) as serialize_i64(i64);
        serialize_i16(i16) as serialize_i64(i64);
        serialize_i32(i32) as serialize_i64(i64);
        serialize_u8(u8) as serialize_u64(u64);
        serialize_u16(u16) as serialize_u64(u64);
        serialize_u32(u32) as serialize_u64(u64);
        // Widened, so that the text names the very number that was held.
        serialize_f32(f32) as serialize_f64(f64);
    }

    fn serialize_bool(self, value: bool) -> Result<(), Refusal> {
        self.text(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i64(self, number: i64) -> Result<(), Refusal> {
        if number < 0 {
            self.out.push(b'-');
        }
        self.serialize_u64(number.unsigned_abs())
    }

    fn serialize_u64(self, number: u64) -> Result<(), Refusal> {
        self.unsigned(number);
        Ok(())
    }

    fn serialize_i128(self, number: i128) -> Result<(), Refusal> {
        self.text(&number.to_string());
        Ok(())
    }

    fn serialize_u128(self, number: u128) -> Result<(), Refusal> {
        self.text(&number.to_string());
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Refusal> {
        if !number.is_finite() {
            return Err(Refusal(JsonErrorCode::NumberOverflow));
        }
        self.text(ryu_js::Buffer::new().format_finite(number));
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Refusal> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Refusal> {
        if std::mem::take(&mut self.raw) {
            return self.raw(value);
        }
        write_string(value, self.out);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refusal> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), Refusal> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Refusal> {
        self.text("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refusal> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Refusal> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        self.variant(variant)?;
        value.serialize(&mut *self)?;
        self.close(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'w, 'o>, Refusal> {
        self.items()
    }

    fn serialize_tuple(self, _: usize) -> Result<Items<'w, 'o>, Refusal> {
        self.items()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items<'w, 'o>, Refusal> {
        self.items()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'w, 'o>, Refusal> {
        self.variant(variant)?;
        Ok(Items { in_variant: true, ..self.items()? })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'w, 'o>, Refusal> {
        self.members()
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Members<'w, 'o>, Refusal> {
        if name == RAW_VALUE {
            return Ok(Members { writer: self, last: None, in_variant: false, raw: true });
        }
        self.members()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'w, 'o>, Refusal> {
        self.variant(variant)?;
        Ok(Members { in_variant: true, ..self.members()? })
    }
}

macro_rules! items {
    ($($compound:ident::$method:ident;)+) => {$(
        impl $compound for Items<'_, '_> {
            type Ok = ();
            type Error = Refusal;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
                self.item(value)
            }

            fn end(self) -> Result<(), Refusal> {
                self.done();
                Ok(())
            }
        }
    )+};
}

items! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! fields {
    ($($compound:ident;)+) => {$(
        impl $compound for Members<'_, '_> {
            type Ok = ();
            type Error = Refusal;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Refusal> {
                if self.raw {
                    self.writer.raw = true;
                } else {
                    self.key(key)?;
                }
                value.serialize(&mut *self.writer)
            }

            fn end(self) -> Result<(), Refusal> {
                self.done();
                Ok(())
            }
        }
    )+};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl SerializeMap for Members<'_, '_> {
    type Ok = ();
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Refusal> {
        self.done();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::super::{JsonError, to_canonical};
    use super::{DEPTH_MAX, JsonErrorCode, Writer, canonicalize};

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Unit,
        New(i8),
        Pair(u8, f32),
        Named { b: bool, a: Option<char> },
    }

    /// Every shape that serde has, once in canonical order and once not.
    #[derive(Serialize)]
    struct Shapes<'a> {
        bytes: &'a [u8],
        kinds: Vec<Kind>,
        map: BTreeMap<i32, &'a str>,
        raw: Box<RawValue>,
        unit: (),
        wide: (u64, i128, u128, i64),
        again: Option<Box<Shapes<'a>>>,
    }

    fn shapes(again: Option<Box<Shapes<'static>>>) -> Shapes<'static> {
        Shapes {
            again,
            bytes: b"\x00\xff",
            kinds: vec![Kind::Unit, Kind::New(-8), Kind::Pair(7, 0.5), Kind::Named { b: true, a: Some('"') }],
            map: BTreeMap::from([(-1, "minus"), (10, "ten"), (9, "nine")]),
            raw: RawValue::from_string("{ \"b\": [1.0], \"a\": \"\\u0041\" }".to_owned()).expect("JSON"),
            unit: (),
            wide: (u64::MAX, i128::MIN, u128::MAX, i64::MIN),
        }
    }

    /// What `serde_json` writes, made canonical afterwards: another way to the same text.
    #[track_caller]
    fn by_way_of_serde_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        let mut out = Vec::new();
        canonicalize(&serde_json::to_vec(value).expect("JSON"), &mut out).expect("canonical");
        out
    }

    #[test]
    fn every_shape_is_written_as_serde_json_and_the_canonicaliser_would() {
        let value = shapes(Some(Box::new(shapes(None))));
        let written = to_canonical(&value).expect("canonical");
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&by_way_of_serde_json(&value)));
        assert!(String::from_utf8_lossy(&written).contains(r#""raw":{"a":"A","b":[1]}"#));
    }

    #[test]
    fn ordered_values_take_one_pass_and_others_two() {
        let settled = |value: &serde_json::Value| {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out);
            value.serialize(&mut writer).expect("written");
            let settled = writer.settled();
            assert_eq!(to_canonical(value).expect("canonical"), by_way_of_serde_json(value));
            assert!(!settled || out == by_way_of_serde_json(value));
            settled
        };
        assert!(settled(&json!({"a": 1, "aa": [{}, {"b": null}], "b": {"x": -0.0, "y": 1e300}})));
        assert!(settled(&json!({"\u{fb33}": 1})));
        // Bytes order these two one way and UTF-16 the other.
        assert!(!settled(&json!({"\u{fb33}": 1, "\u{1f600}": 2})));
        assert!(!settled(&json!({"a\n": 1, "b": 2})));
    }

    #[test]
    fn what_has_no_canonical_form_is_refused() {
        let code = |result: Result<Vec<u8>, JsonError>| result.expect_err("refused").code;
        assert_eq!(code(to_canonical(&[f64::NAN])), JsonErrorCode::NumberOverflow);
        assert_eq!(code(to_canonical(&f32::INFINITY)), JsonErrorCode::NumberOverflow);
        assert_eq!(code(to_canonical(&BTreeMap::from([(vec![1], 2)]))), JsonErrorCode::Syntax);
        let twice = BTreeMap::from([((1, "one"), 0)]);
        assert_eq!(code(to_canonical(&twice)), JsonErrorCode::Syntax, "a tuple is no key");
        let deep = |levels: usize| {
            let text = "[".repeat(levels) + &"]".repeat(levels);
            to_canonical(&[RawValue::from_string(text).expect("JSON")])
        };
        assert!(deep(DEPTH_MAX - 1).is_ok());
        assert_eq!(code(deep(DEPTH_MAX)), JsonErrorCode::TooDeep);
    }
}
