//! Generated JSON, and bytes that are nearly JSON, against another implementation and the two properties.

use std::collections::HashSet;

use proptest::prelude::*;

use super::check;

/// Characters, each with the way it is to be written.
type Spelled = Vec<(char, u8)>;

/// A JSON value with a spelling for each of its parts.
#[derive(Clone, Debug)]
enum Json {
    Word(&'static str),
    Integer(i64),
    Real(f64, bool),
    Text(Spelled),
    List(Vec<(Json, u8)>),
    Map(Vec<(Spelled, Json, u8)>),
}

fn spell_text(text: &[(char, u8)], out: &mut String) {
    out.push('"');
    for &(character, style) in text {
        let must = character < ' ' || matches!(character, '"' | '\\');
        match style {
            0..=3 if !must => out.push(character),
            4 if character == '/' => out.push_str("\\/"),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let digits = if style % 2 == 0 { format!("{unit:04x}") } else { format!("{unit:04X}") };
                    out.push_str("\\u");
                    out.push_str(&digits);
                }
            }
        }
    }
    out.push('"');
}

impl Json {
    fn spell(&self, out: &mut String) {
        const SPACE: [&str; 5] = ["", "", " ", "\n  ", "\t\r"];
        let space = |style: u8| SPACE[usize::from(style) % SPACE.len()];
        match self {
            Self::Word(word) => out.push_str(word),
            Self::Integer(integer) => out.push_str(&integer.to_string()),
            Self::Real(real, true) => {
                out.push_str(&format!("{real:e}").replace('e', "E+").replace("+-", "-"));
            }
            Self::Real(real, false) => {
                let text = real.to_string();
                out.push_str(&text);
                // An integer token would keep its digits, which the other implementation does not do.
                out.push_str(if text.contains('.') { "" } else { ".00" });
            }
            Self::Text(text) => spell_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (i, (item, style)) in items.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(space(*style));
                    item.spell(out);
                    out.push_str(space(style >> 2));
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (i, (key, value, style)) in members.iter().enumerate() {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(space(*style));
                    spell_text(key, out);
                    out.push_str(space(style >> 2));
                    out.push(':');
                    out.push_str(space(style >> 3));
                    value.spell(out);
                    out.push_str(space(style >> 4));
                }
                out.push('}');
            }
        }
    }
}

fn any_text() -> impl Strategy<Value = Spelled> {
    let character = prop_oneof![
        4 => prop::char::range('a', 'd'),
        2 => prop::char::range('\0', '\u{7f}'),
        1 => prop::sample::select(vec!['/', '"', '\\', 'é', '€', '\u{e000}', '\u{ffff}', '😀', '\u{10ffff}']),
        1 => any::<char>(),
    ];
    prop::collection::vec((character, 0_u8..6), 0..12)
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["null", "true", "false"]).prop_map(Json::Word),
        (-(1_i64 << 53)..=1 << 53).prop_map(Json::Integer),
        (any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |real| real.is_finite()), any::<bool>())
            .prop_map(|(real, style)| Json::Real(real, style)),
        (-1e6..1e6, 0_u32..5, any::<bool>()).prop_map(|(real, digits, style): (f64, u32, bool)| {
            let unit = f64::from(10_u32.pow(digits));
            Json::Real((real * unit).round() / unit, style)
        }),
        any_text().prop_map(Json::Text),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        let members =
            prop::collection::vec((any_text(), inner.clone(), any::<u8>()), 0..8).prop_map(|mut members| {
                let mut seen = HashSet::new();
                members.retain(|(key, _, _)| seen.insert(key.iter().map(|pair| pair.0).collect::<String>()));
                Json::Map(members)
            });
        prop_oneof![prop::collection::vec((inner, any::<u8>()), 0..8).prop_map(Json::List), members]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_another_implementation(json in any_json()) {
        let mut text = String::new();
        json.spell(&mut text);
        let theirs = serde_json_canonicalizer::pipe(&text).expect("JSON");
        let ours = String::from_utf8(check(text.as_bytes()).expect("JSON")).expect("UTF-8");
        prop_assert_eq!(ours, theirs, "{}", text);
    }

    #[test]
    fn texts_of_json_like_pieces_hold_the_two_properties(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\":", "\"\\u0061\"", "\"\\n\"", "\"\\ud83d\\ude00\":", "0", "-", "1",
            ".5", "e1", "1e400", "null", "true", " ", "\"", "\\", "\u{e000}", "{\"a\":", "{\"b\":1,", "\"a\":2}",
        ]), 0..10),
    ) {
        let _ = check(pieces.concat().as_bytes());
    }

    #[test]
    fn any_bytes_hold_the_two_properties(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = check(&bytes);
    }
}
