//! Canonical JSON against golden vectors, damage, an independent script, another implementation and real files.
//!
//! Two properties are asked of whatever goes in (`check`): a canonical text is its own canonical form, and
//! `Value::parse` accepts exactly those texts that `canonicalize` leaves as they are.

mod generated;
mod real;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use distill::base::json::{DEPTH_MAX, JsonError, JsonErrorCode, RawJson, Value, canonicalize, to_canonical};
use sha2::{Digest as _, Sha256};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    input: Option<String>,
    input_hex: Option<String>,
    /// The input stands this often behind itself.
    #[serde(default = "once")]
    times: usize,
    output: Option<String>,
    code: Option<String>,
    offset: Option<usize>,
}

fn once() -> usize {
    1
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        match (&self.input, &self.input_hex) {
            (Some(text), None) => text.as_bytes().repeat(self.times),
            (None, Some(digits)) => hex::decode(digits).expect("hex digits"),
            _ => panic!("{}: one of input and input_hex", self.name),
        }
    }
}

fn vectors(file: &str) -> Vec<Vector> {
    serde_json::from_slice(&fixture(file)).expect("a list of vectors")
}

fn fixture(file: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/json").join(file)).expect("a fixture")
}

fn canonical(input: &[u8]) -> Result<Vec<u8>, JsonError> {
    let mut out = Vec::new();
    canonicalize(input, &mut out).map(|()| out)
}

/// Checks what must hold of every input and returns its canonical form.
fn check(input: &[u8]) -> Result<Vec<u8>, JsonError> {
    let result = canonical(input);
    if let Ok(out) = &result {
        assert_eq!(canonical(out).as_ref(), Ok(out), "not its own canonical form: {}", out.escape_ascii());
        assert_eq!(Value::parse(out).map(|value| value.to_bytes()).as_ref(), Ok(out));
    }
    let unchanged = result.as_deref() == Ok(input);
    match Value::parse(input) {
        Ok(value) => {
            assert!(unchanged, "parsed although not canonical: {}", input.escape_ascii());
            assert_eq!(value.into_owned().to_bytes(), input);
        }
        Err(error) => {
            assert!(!unchanged, "{error} in canonical bytes: {}", input.escape_ascii());
            assert!(error.offset <= input.len());
        }
    }
    result
}

#[test]
fn accepted_vectors_give_their_output() {
    for vector in vectors("accepted.json") {
        let out = check(&vector.bytes());
        let text = out.map(|out| String::from_utf8(out).expect("UTF-8"));
        assert_eq!(text.ok(), vector.output, "{}", vector.name);
    }
}

#[test]
fn refused_vectors_give_their_code_and_offset_and_leave_the_output_alone() {
    for vector in vectors("refused.json") {
        let input = vector.bytes();
        check(&input).expect_err(&vector.name);
        let mut out = b"before".to_vec();
        let error = canonicalize(&input, &mut out).expect_err("refused a moment ago");
        assert_eq!(Some(error.code.as_str()), vector.code.as_deref(), "{}", vector.name);
        assert_eq!(Some(error.offset), vector.offset, "{}", vector.name);
        assert_eq!(out, b"before", "{}", vector.name);
    }
}

/// Every code has a vector, so that none is without a test.
#[test]
fn every_refusal_has_a_vector() {
    let codes: Vec<_> = vectors("refused.json").into_iter().filter_map(|vector| vector.code).collect();
    for code in [
        JsonErrorCode::Empty,
        JsonErrorCode::InvalidUtf8,
        JsonErrorCode::Syntax,
        JsonErrorCode::DuplicateKey,
        JsonErrorCode::LoneSurrogate,
        JsonErrorCode::NumberOverflow,
        JsonErrorCode::TooDeep,
        JsonErrorCode::TrailingBytes,
    ] {
        assert!(codes.iter().any(|found| found == code.as_str()), "{}", code.as_str());
    }
}

/// RFC 8785, appendix B, read as a bit pattern and as more decimal digits than are needed.
#[test]
fn numbers_of_the_rfc_are_printed_as_it_says() {
    let table: Vec<BTreeMap<String, String>> =
        serde_json::from_slice(&fixture("numbers.json")).expect("a table");
    assert_eq!(table.len(), 24);
    for row in table {
        let bits = u64::from_str_radix(&row["ieee754_hex"], 16).expect("16 hex digits");
        let number = f64::from_bits(bits);
        let value = Value::from_f64(number).expect("finite");
        assert_eq!(value.as_number(), Some(row["text"].as_str()));
        let long = format!("{number:.25e}");
        assert_eq!(check(long.as_bytes()).as_deref(), Ok(row["text"].as_bytes()), "{long}");
    }
    for bits in [0x7fff_ffff_ffff_ffff, 0x7ff0_0000_0000_0000, 0xfff0_0000_0000_0000_u64] {
        assert_eq!(Value::from_f64(f64::from_bits(bits)), None);
    }
}

/// Worker threads have stacks of 2 MiB; a quarter of that is enough for what is read and for what is refused.
#[test]
fn deep_nesting_needs_little_stack() {
    let deep = |levels: usize| format!("{}1{}", r#"[{"a":"#.repeat(levels / 2), "}]".repeat(levels / 2));
    let work = move || {
        check(deep(DEPTH_MAX).as_bytes()).expect("the deepest that is read");
        for levels in [DEPTH_MAX + 2, 1_000_000] {
            let error = check(deep(levels).as_bytes()).expect_err("deeper");
            assert_eq!(error.code, JsonErrorCode::TooDeep);
        }
        RawJson::new(deep(DEPTH_MAX).as_bytes()).expect("serde_json reads raw values of any depth");
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(work).expect("a thread");
    thread.join().expect("no panic");
}

#[test]
fn truncations_and_bit_flips_give_a_form_or_a_refusal() {
    let canonical_vectors = vectors("accepted.json").into_iter().filter_map(|vector| vector.output);
    let inputs =
        vectors("accepted.json").into_iter().filter_map(|vector| vector.input).chain(canonical_vectors);
    let mut checked = 0;
    for input in inputs.filter(|input| input.len() < 400) {
        let mut bytes = input.into_bytes();
        for end in 0..bytes.len() {
            let _ = check(&bytes[..end]);
            for bit in 0..8 {
                bytes[end] ^= 1 << bit;
                let _ = check(&bytes);
                bytes[end] ^= 1 << bit;
                checked += 1;
            }
        }
    }
    assert!(checked > 20_000, "only {checked} flips");
}

#[test]
fn the_strict_reader_tells_another_form_from_no_json() {
    let refused =
        |input: &str| Value::parse(input.as_bytes()).map(drop).map_err(|error| (error.code, error.offset));
    for (input, offset) in [
        (r#"{"b":1,"a":2}"#, 7),
        ("[1, 2]", 3),
        (" 1", 0),
        ("1\n", 1),
        ("[1.0]", 1),
        ("-0", 0),
        (r#"["\/"]"#, 2),
        (r#""\u001F""#, 1),
        (r#""\u0061""#, 1),
    ] {
        assert_eq!(refused(input), Err((JsonErrorCode::NotCanonical, offset)), "{input}");
    }
    assert_eq!(refused(r#"{"a":1,"a":2}"#), Err((JsonErrorCode::DuplicateKey, 7)));
    assert_eq!(refused("[1,]"), Err((JsonErrorCode::Syntax, 3)));
    assert_eq!(refused(" "), Err((JsonErrorCode::Empty, 1)));
}

#[test]
fn members_are_found_in_small_and_in_large_objects() {
    for count in [1_u64, 16, 17, 1_000] {
        let members = (0..count).rev().map(|n| (format!("\u{e000}{n}").into(), Value::from(n))).collect();
        let object = Value::object(members).expect("no key twice");
        let bytes = object.to_bytes();
        let parsed = Value::parse(&bytes).expect("canonical, for it was built so");
        for n in 0..count {
            assert_eq!(parsed.get(&format!("\u{e000}{n}")).and_then(Value::as_u64), Some(n));
        }
        assert_eq!(parsed.get("😀"), None);
        assert_eq!(parsed.iter_members().count() as u64, count);
    }
    let twice = vec![("a".into(), Value::Null), ("a".into(), Value::Null)];
    assert_eq!(Value::object(twice).map_err(|error| error.code), Err(JsonErrorCode::DuplicateKey));
}

#[test]
fn numbers_are_read_exactly_or_not_at_all() {
    let number = |text: &'static str| Value::parse(text.as_bytes()).expect("canonical");
    assert_eq!(number("18446744073709551615").as_u64(), Some(u64::MAX));
    assert_eq!(number("18446744073709551616").as_u64(), None);
    assert_eq!(number("-1").as_u64(), None);
    assert_eq!(number("-9223372036854775808").as_i64(), Some(i64::MIN));
    assert_eq!(number("1.5").as_u64(), None);
    assert_eq!(number("1.5").as_f64(), Some(1.5));
    assert_eq!(number("\"1\"").as_f64(), None);
    let huge = format!("1{}", "0".repeat(400));
    assert_eq!(Value::parse(huge.as_bytes()).expect("canonical").as_f64(), None);
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Call {
    name: String,
    arguments_object: Option<RawJson>,
}

#[test]
fn raw_json_passes_through_serde_in_canonical_form() {
    let text = r#"{"name":"f","arguments_object":{"n":123456789012345678901234567890,"a":1.50}}"#;
    let call: Call = serde_json::from_str(text).expect("a call");
    let arguments = call.arguments_object.as_ref().expect("an object");
    assert_eq!(arguments.as_str(), r#"{"a":1.5,"n":123456789012345678901234567890}"#);
    assert_eq!(RawJson::try_from(&arguments.value()).as_ref(), Ok(arguments));
    let bytes = to_canonical(&call).expect("JSON");
    assert_eq!(
        String::from_utf8_lossy(&bytes),
        r#"{"arguments_object":{"a":1.5,"n":123456789012345678901234567890},"name":"f"}"#
    );
    assert_eq!(serde_json::from_slice::<Call>(&bytes).expect("a call"), call);

    let none: Call = serde_json::from_str(r#"{"name":"f","arguments_object":null}"#).expect("a call");
    assert_eq!(none.arguments_object, None);

    let twice = r#"{"name":"f","arguments_object":{"a":1,"a":2}}"#;
    let error = serde_json::from_str::<Call>(twice).expect_err("a key twice");
    assert!(error.to_string().contains("json_duplicate_key"), "{error}");

    let schema = serde_json::to_string(&schemars::schema_for!(Call)).expect("a schema");
    assert!(schema.contains(r#""arguments_object":true"#), "{schema}");
}

/// `serde_json` would write `null`, and a score that was lost would read as one that was never given.
#[test]
fn a_number_that_is_not_finite_has_no_canonical_form_wherever_it_stands() {
    #[derive(serde::Serialize)]
    enum Shape {
        Newtype(Option<f64>),
        Tuple(u8, f32),
        Struct { x: BTreeMap<String, Vec<f64>> },
    }
    let shapes = |number: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "what is not finite stays so")]
        let short = number as f32;
        [
            Shape::Newtype(Some(number)),
            Shape::Tuple(1, short),
            Shape::Struct { x: BTreeMap::from([("k".to_owned(), vec![0.0, number])]) },
        ]
    };
    let texts: Vec<_> = shapes(-0.5).iter().map(|shape| to_canonical(shape).expect("finite")).collect();
    let expected = [r#"{"Newtype":-0.5}"#, r#"{"Tuple":[1,-0.5]}"#, r#"{"Struct":{"x":{"k":[0,-0.5]}}}"#];
    assert_eq!(texts, expected.map(|text| text.as_bytes().to_vec()));
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for shape in shapes(number) {
            let error = to_canonical(&shape).expect_err("not finite");
            assert_eq!(error.code, JsonErrorCode::NumberOverflow);
        }
    }
    let keys = BTreeMap::from([((1, 2), 3)]);
    assert_eq!(to_canonical(&keys).map_err(|error| error.code), Err(JsonErrorCode::Syntax));
}

/// Runs a script, once for each vector, in one process: its output or the word `refused` for each.
const DRIVER: &str = r#"
import io, json, sys
script = compile(sys.stdin.read(), "sig_hash.py", "exec")
for v in json.load(open(sys.argv[1])):
    data = v["input"].encode() * v.get("times", 1) if "input" in v else bytes.fromhex(v["input_hex"])
    sys.stdin = io.TextIOWrapper(io.BytesIO(data))
    try: exec(script, {})
    except (ValueError, RecursionError): print("refused")
"#;

/// The script that `docs/format.md` gives to auditors, run on the vectors. It shares no code with us.
#[test]
fn the_auditors_script_agrees() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/format.md")).expect("the page");
    let (_, script) = page.split_once("```python\n").expect("a script");
    let (script, _) = script.split_once("```").expect("its end");
    for file in ["accepted.json", "refused.json"] {
        let mut python = Command::new("python3");
        python.args(["-c", DRIVER]).arg(root.join("fixtures/json").join(file));
        let Ok(mut child) = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            #[expect(clippy::print_stderr, reason = "a test that did nothing says so")]
            {
                eprintln!("skipped: there is no python3 to run the auditor's script with");
            }
            return;
        };
        child.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads the script");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success());
        let output = String::from_utf8(output.stdout).expect("hex digits");
        let vectors = vectors(file);
        assert_eq!(output.lines().count(), vectors.len());
        for (theirs, vector) in output.lines().zip(vectors) {
            let ours = match canonical(&vector.bytes()) {
                Ok(bytes) => hex::encode(Sha256::digest(bytes)),
                // The script has no limit of depth of its own.
                Err(error) if error.code == JsonErrorCode::TooDeep => continue,
                Err(_) => "refused".to_owned(),
            };
            assert_eq!(theirs, ours, "{}", vector.name);
        }
    }
}
