//! A JSON writer that keeps the order of keys it is given and can write one row in several spellings.
//!
//! Rests on nothing: the sample must not depend on the canonicaliser that is tested with it. Invariant: two styles of
//! one row are the same JSON value, so their canonical forms are equal and one is a duplicate of the other.

/// How a row is spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// `{"a": 1, "b": 2}` as Python writes it, instead of `{"a":1,"b":2}`.
    pub spaced: bool,
    /// Everything beyond ASCII as `\uXXXX`.
    pub ascii: bool,
}

/// An object or array being written. The key `""` means an element of an array.
pub struct Json<'a> {
    out: &'a mut Vec<u8>,
    style: Style,
    first: bool,
}

impl<'a> Json<'a> {
    /// Writes one object to the end of `out`.
    pub fn row(out: &'a mut Vec<u8>, style: Style, fill: impl FnOnce(&mut Json<'_>)) {
        out.push(b'{');
        fill(&mut Json { out, style, first: true });
        out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.extend_from_slice(if self.style.spaced { b", " } else { b"," });
        }
        self.first = false;
        if !key.is_empty() {
            self.quoted(key);
            self.out.extend_from_slice(if self.style.spaced { b": " } else { b":" });
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push(b'"');
        let bytes = text.as_bytes();
        let mut from = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && (*byte < 0x80 || !self.style.ascii) {
                continue;
            }
            self.out.extend_from_slice(&bytes[from..at]);
            from = at + 1;
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                // The first byte of a character writes all of it; the others are dropped.
                0xc0.. => {
                    let mut units = [0; 2];
                    let wide = text[at..].chars().next().map(|c| c.encode_utf16(&mut units).len());
                    for unit in &units[..wide.unwrap_or(0)] {
                        self.escape(*unit);
                    }
                }
                0x80..=0xbf => {}
                control => self.escape(u16::from(*control)),
            }
        }
        self.out.extend_from_slice(&bytes[from..]);
        self.out.push(b'"');
    }

    fn escape(&mut self, unit: u16) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            self.out.push(DIGITS[usize::from((unit >> shift) & 15)]);
        }
    }

    /// A string.
    pub fn str(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quoted(value);
    }

    /// A token that is JSON already: a number of any size, `true`, `null`.
    pub fn raw(&mut self, key: &str, token: &str) {
        self.key(key);
        self.out.extend_from_slice(token.as_bytes());
    }

    /// An integer.
    pub fn int(&mut self, key: &str, value: i64) {
        self.key(key);
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b"0123456789"[usize::try_from(rest % 10).unwrap_or(0)];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    /// A decimal fraction: `value` divided by ten to the `places` (at most 9), with all its places.
    pub fn decimal(&mut self, key: &str, value: u64, places: u32) {
        let unit = 10_u64.pow(places.min(9));
        let width = places as usize;
        self.raw(key, &format!("{}.{:0width$}", value / unit, value % unit));
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    /// `null`.
    pub fn null(&mut self, key: &str) {
        self.raw(key, "null");
    }

    /// A string, or `null` where there is none.
    pub fn str_or_null(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.str(key, value),
            None => self.null(key),
        }
    }

    /// `true`, `false`, or `null` where it is not known.
    pub fn bool_or_null(&mut self, key: &str, value: Option<bool>) {
        self.raw(key, value.map_or("null", |v| if v { "true" } else { "false" }));
    }

    /// An object.
    pub fn object(&mut self, key: &str, fill: impl FnOnce(&mut Json<'_>)) {
        self.nested(key, [b'{', b'}'], fill);
    }

    /// An array.
    pub fn array(&mut self, key: &str, fill: impl FnOnce(&mut Json<'_>)) {
        self.nested(key, [b'[', b']'], fill);
    }

    /// An array of strings.
    pub fn strings(&mut self, key: &str, items: &[&str]) {
        self.array(key, |list| items.iter().for_each(|item| list.str("", item)));
    }

    fn nested(&mut self, key: &str, [open, close]: [u8; 2], fill: impl FnOnce(&mut Json<'_>)) {
        self.key(key);
        self.out.push(open);
        fill(&mut Json { out: self.out, style: self.style, first: true });
        self.out.push(close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(style: Style) -> String {
        let mut out = Vec::new();
        Json::row(&mut out, style, |row| {
            row.str("text", "a \"b\" \\ \n\u{1} é 😀");
            row.int("low", i64::MIN);
            row.decimal("share", 705, 2);
            row.object("inner", |inner| inner.null("none"));
            row.array("list", |list| {
                list.bool("", true);
                list.str_or_null("", None);
            });
        });
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn every_style_is_the_same_value() {
        let plain = write(Style::default());
        let parsed: serde_json::Value = serde_json::from_str(&plain).expect("valid JSON");
        assert_eq!(parsed["text"], "a \"b\" \\ \n\u{1} é 😀");
        assert_eq!(parsed["low"], i64::MIN);
        assert_eq!(parsed["share"], 7.05);
        let other = write(Style { spaced: true, ascii: true });
        assert!(
            other.is_ascii() && other.contains("\\ud83d\\ude00") && other.contains("\"share\": 7.05, "),
            "{other}"
        );
        assert_ne!(plain, other);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&other).expect("valid JSON"), parsed);
    }
}
