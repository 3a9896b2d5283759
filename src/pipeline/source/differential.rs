//! The fast way against jaq: every form of a plain path or constant must give what jaq gives for the same text.
//!
//! Tests only. What is compared is canonical text, or that both refuse.

use proptest::prelude::*;

use crate::base::json::Value;
use crate::base::json::canonicalize;

use super::eval::Expr;
use super::eval::Scope;
use super::eval::Variable;
use super::jq::Program;
use super::native::Native;
use super::path::Fast;

/// Outputs as canonical text, or that there was an error.
fn outputs(expr: &Expr, row: &Value<'_>) -> Option<Vec<String>> {
    let path = Value::Object(vec![("file".into(), Value::String("a/b".into()))]);
    let variables = [Variable::new(row), Variable::new(&path)];
    let scope = Scope::new(row, &variables);
    let mut out = Vec::new();
    expr.run(&scope, 100, &mut out).ok()?;
    Some(out.iter().map(|value| text(value)).collect())
}

fn text(value: &Value<'_>) -> String {
    let mut bytes = Vec::new();
    value.write(&mut bytes);
    let mut again = Vec::new();
    canonicalize(&bytes, &mut again).expect("an output is JSON");
    assert_eq!(bytes, again, "an output is canonical");
    String::from_utf8(bytes).expect("UTF-8")
}

fn jaq(code: &str) -> Expr {
    let names = names();
    let program = Program::compile(code, &names).unwrap_or_else(|e| panic!("{code}: {e:?}"));
    Expr::Jaq { program: Box::new(program), wanted: vec![true; names.len()], native: None }
}

fn names() -> Vec<String> {
    vec!["unit".to_owned(), "path".to_owned()]
}

/// Every form of a fast expression.
const FAST: &[&str] = &[
    ".",
    ".a",
    ".a.b",
    ".\"a\"",
    ".a.\"b c\"",
    ".a[\"b\"]",
    ".[\"a\"].b",
    ".a[0]",
    ".a[-1]",
    ".a[-1].b",
    ".[0]",
    ".a?",
    ".a.b?",
    ".a?.b",
    ".a[0]?",
    ".a[]",
    ".a[]?",
    ".[]",
    ".[]?",
    ".a.b[]?",
    "$unit.a",
    "$path.file",
    "$path.x",
    "$unit",
    "$unit[0]?",
    "null",
    "true",
    "1",
    "-1",
    "1.50",
    "1E3",
    "\"x // y\"",
    "\"\\u00e9\"",
    "[]",
    "[1,\"]\"]",
    "{\"b\":1,\"a\":[{}]}",
    "12345678901234567890123",
    ".a // .b",
    ".a // .b // \"d\"",
    ".a? // .b",
    ".a.b // null",
    ".a//.b",
    " .a ",
    ".a // false",
    "false // .a",
    "null // 1",
    ".a // {}",
    ".a // $path.file",
    ".b // .a.b?",
];

/// Every form of a native expression.
const NATIVE: &[&str] = &[
    ".a == \"x\"",
    ".a != \"x\"",
    ".a == null",
    "\"x\" == .a",
    ".a == .b",
    ".a == 1e2",
    ".b >= 1",
    ".b < 1",
    ".b > 0 ",
    ".b <= 0.5",
    ".a // .b == \"y\"",
    ".a == \"x\" // \"z\"",
    "\"k:\" + .a",
    ".a + .b + \"c\"",
    ".a + null",
    "\"a\" + .a == \"ax\"",
    "[.a]",
    "[\"k:\" + .a]",
    "[.a[]?]",
    "[.a[]? | select(.b == 1)]",
    "[.a[]? | select(.b == 1) | .b][0]",
    "[.a[]? | select(.b? == 1) | .b][-1]",
    "[.a[]? | .b? | .[]?]",
    "[.a[]?.b]",
    "[ .[]? ]",
    "[.a[]? | { id: .b, b, \"b c\": .a }]",
    "{a, z: .b}",
    "{\"\u{1f600}\": .a, \"\u{fffd}\": .b}",
    "if .a == null then null else .b end",
    "if .a then [\"yes\"] else [] end",
    "if .a then if .b then 1 else 2 end else 3 end",
    "(.a // \"\") | split(\"/\")[0]",
    "(.a // \"u/v\") | split(\"/\")[1]",
    ".a // [] | join(\"\\n\")",
    "[.a[]? | tostring] | join(\"-\")",
    "\"t:\" + (.a | tostring)",
    ".a | tostring",
    ".a[0].b // .b",
    "(.a) | .b?",
    "$unit.a == $path.file",
    "[$path.file, 1]",
    ".a | .",
    ".a as $x | .b",
    "select(.a == \"x\")",
    "[.a, .b]",
    ".a|.b|.c",
    "[[.a]]",
    "[.a[0:1]]",
    ".a == 12345678901234567890123",
    "[.a[] | select(.b)]",
    "if .b == null then null else .b * 1000 end",
    ".b * 1.5 + 1",
    ".b * .b",
    "[.a[]?, .b]",
    "[.a, .b // 1, 2]",
    "[.a[]?, .b] | map({ b, c: [(.c // [])[] | {id}] })",
    ".a | map(.b?)",
    "[.a[]?] | map(select(. == 1), 2)",
];

const ROWS: &[&str] = &[
    "null",
    "true",
    "0",
    "12345678901234567890123",
    "1.5",
    "\"s\"",
    "[]",
    "{}",
    "[1,2]",
    "[{\"a\":1}]",
    "{\"b\":2.5}",
    "{\"a\":[{\"c\":[{\"id\":7}]},{\"b\":1}],\"b\":{\"b\":3}}",
    "{\"a\":null}",
    "{\"a\":false,\"b\":0}",
    "{\"a\":\"x\",\"b\":\"y\"}",
    "{\"a\":{\"b\":1,\"b c\":[2]}}",
    "{\"a\":[{\"b\":1},{\"b\":[3,4]}]}",
    "{\"a\":{\"b\":[1e2,98765432109876543210]},\"b\":true}",
    "{\"a\":{\"b\":null}}",
    "{\"a\":{\"b\":false}}",
    "{\"a\":{\"b\":{\"z\":1,\"\u{e9}\":2,\"\u{1f600}\":3,\"\u{fffd}\":4}}}",
];

#[test]
fn the_fast_way_and_jaq_agree() {
    for code in FAST {
        let fast = Expr::Fast(Fast::parse(code, &names()).unwrap_or_else(|| panic!("{code} is not fast")));
        let slow = jaq(code);
        for text in ROWS {
            let mut canonical = Vec::new();
            canonicalize(text.as_bytes(), &mut canonical).expect("a row");
            let row = Value::parse(&canonical).expect("canonical");
            assert_eq!(outputs(&fast, &row), outputs(&slow, &row), "{code} over {text}");
        }
    }
}

/// What the native way says, where it says anything.
fn native(code: &str, row: &Value<'_>) -> Option<Vec<String>> {
    let native = Native::parse(code, &names())?;
    let path = Value::Object(vec![("file".into(), Value::String("a/b".into()))]);
    let variables = [Variable::new(row), Variable::new(&path)];
    let mut out = Vec::new();
    native.run(&Scope::new(row, &variables), &mut out)?;
    Some(out.iter().map(|value| text(value)).collect())
}

#[test]
fn the_native_way_and_jaq_agree() {
    let mut unanswered = Vec::new();
    for code in NATIVE {
        let slow = jaq(code);
        let mut answered = 0;
        for text in ROWS {
            let mut canonical = Vec::new();
            canonicalize(text.as_bytes(), &mut canonical).expect("a row");
            let row = Value::parse(&canonical).expect("canonical");
            if let Some(answer) = native(code, &row) {
                answered += 1;
                assert_eq!(Some(answer), outputs(&slow, &row), "{code} over {text}");
            }
        }
        if answered == 0 {
            unanswered.push(*code);
        }
    }
    assert_eq!(unanswered, [".a as $x | .b", "[.a[0:1]]", ".b * 1.5 + 1"], "numbers are added by jaq");
}

#[test]
fn what_is_not_plain_goes_to_jaq() {
    let others = [
        "..",
        ".a | .b",
        ".a, .b",
        ".a + 1",
        "(.a)",
        ".a[0:1]",
        ".[.a]",
        "\"\\(.a)\"",
        ".a //= 1",
        ".a[] // 1",
        ".a[].b",
        "# c\n.a",
        ".a.[0] | .",
        "$other",
        "@json",
        "{a: 1}",
        "{a}",
        "[.a]",
        ".a ?// .b",
        "not",
        "",
        "$path.",
    ];
    for code in others {
        assert_eq!(Fast::parse(code, &names()), None, "{code}");
    }
}

#[test]
fn numbers_keep_their_digits_through_jaq() {
    let kept = [
        ("{\"a\":12345678901234567890123456789}", "[.a]", "[12345678901234567890123456789]"),
        ("{\"a\":-9223372036854775809}", ".a | .", "-9223372036854775809"),
        ("{\"a\":0.1}", "[.a][0]", "0.1"),
        ("{\"a\":5e-324}", "{b: .a}", "{\"b\":5e-324}"),
        ("{\"a\":1e21}", ".a | [.]", "[1e+21]"),
        ("{\"a\":9223372036854775807}", ".a + 1", "9223372036854775808"),
        ("{\"a\":1.5}", ".a + 0.5", "2"),
        ("{\"a\":-0.0}", ".a | .", "0"),
        ("{\"a\":\"1.50\"}", ".a | tonumber", "1.5"),
        ("{\"b\":1,\"a\":2}", "{z: .b, \"\u{e9}\": 1, a: .a}", "{\"a\":2,\"z\":1,\"\u{e9}\":1}"),
    ];
    for (row, code, expected) in kept {
        let mut canonical = Vec::new();
        canonicalize(row.as_bytes(), &mut canonical).expect("a row");
        let row = Value::parse(&canonical).expect("canonical");
        assert_eq!(outputs(&jaq(code), &row), Some(vec![expected.to_owned()]), "{code}");
    }
    for code in
        ["1 / 0", "nan", "{(\"a\", \"b\"): infinite}", "\"a\" | tobytes", "{(1|tostring): 1} | {(1): .}"]
    {
        assert_eq!(outputs(&jaq(code), &Value::Null), None, "{code} is not JSON");
    }
}

fn any_row() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Into::into),
        ".{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let key = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("b c".to_owned()), ".{0,2}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            proptest::collection::vec((key, inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_fast_way_and_jaq_agree_on_any_row(row in any_row(), picks in proptest::collection::vec(0..FAST.len(), 3)) {
        let text = serde_json::to_vec(&row).expect("JSON");
        let mut canonical = Vec::new();
        canonicalize(&text, &mut canonical).expect("a row");
        let row = Value::parse(&canonical).expect("canonical");
        for pick in picks {
            let code = FAST[pick];
            let fast = Expr::Fast(Fast::parse(code, &names()).expect("fast"));
            prop_assert_eq!(outputs(&fast, &row), outputs(&jaq(code), &row), "{}", code);
            let code = NATIVE[pick % NATIVE.len()];
            if let Some(answer) = native(code, &row) {
                prop_assert_eq!(Some(answer), outputs(&jaq(code), &row), "{}", code);
            }
        }
    }
}
