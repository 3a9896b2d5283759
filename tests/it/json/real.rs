//! Canonical JSON on real files, which are not part of this project: `DISTILL_REAL_DATA` names their folder.

use std::fs;
use std::path::{Path, PathBuf};

use distill::base::json::{JsonErrorCode, Value};

use super::check;

/// Whether the other implementation reads every number of `value` as we do: it rounds integers beyond 2^53.
fn comparable(value: &Value<'_>) -> bool {
    match value {
        Value::Number(text) if text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) => {
            value.as_i64().is_some_and(|integer| integer.unsigned_abs() <= 1 << 53)
        }
        Value::Array(items) => items.iter().all(comparable),
        Value::Object(members) => members.iter().all(|(_, value)| comparable(value)),
        _ => true,
    }
}

#[derive(Default, Debug)]
struct Seen {
    compared: usize,
    not_comparable: usize,
    refused: usize,
}

impl Seen {
    fn text(&mut self, input: &[u8], place: &dyn std::fmt::Debug) {
        let theirs =
            std::str::from_utf8(input).ok().and_then(|text| serde_json_canonicalizer::pipe(text).ok());
        match check(input) {
            Ok(ours) if comparable(&Value::parse(&ours).expect("canonical")) => {
                assert_eq!(Some(String::from_utf8_lossy(&ours).into_owned()), theirs, "{place:?}");
                self.compared += 1;
            }
            Ok(_) => self.not_comparable += 1,
            Err(error) => {
                let stricter = matches!(error.code, JsonErrorCode::DuplicateKey);
                assert!(stricter || theirs.is_none(), "{place:?}: {error}");
                self.refused += 1;
            }
        }
    }
}

fn files(root: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(root).sort_by_file_name();
    walk.into_iter()
        .map(|entry| entry.expect("a readable folder").into_path())
        .filter(|path| path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)))
        .collect()
}

fn name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

/// Valid by RFC 8259 and refused here: an object that says two things under one name has no one meaning.
const DUPLICATES: [&str; 2] = ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

/// Excluded by their authors too: a string at the top, and twenty levels.
const FAIL_ELSEWHERE: [&str; 2] = ["fail01_EXCLUDE.json", "fail18_EXCLUDE.json"];

/// Files of other projects, not part of this one: the RFC author's vectors, `JSONTestSuite`, benchmark files and traces.
#[test]
fn real_files() {
    let Some(root) = std::env::var_os("DISTILL_REAL_DATA").map(PathBuf::from) else {
        #[expect(clippy::print_stderr, reason = "a test that did nothing says so")]
        {
            eprintln!("skipped: DISTILL_REAL_DATA does not name a folder of real files");
        }
        return;
    };
    let vectors = files(&root.join("jcs-vectors/testdata/input"), &["json"]);
    assert_eq!(vectors.len(), 6);
    for input in vectors {
        let output = root.join("jcs-vectors/testdata/output").join(name(&input));
        let ours = check(&fs::read(&input).expect("a vector")).expect("JSON");
        assert_eq!(ours, fs::read(output).expect("its output"), "{}", input.display());
    }

    let suite = files(&root.join("jsontestsuite/test_parsing"), &["json"]);
    assert!(suite.len() > 300);
    for path in suite {
        let name = name(&path);
        let result = check(&fs::read(&path).expect("a file of the suite"));
        match name.get(..2) {
            Some("y_") if DUPLICATES.contains(&name.as_str()) => {
                assert_eq!(result.map_err(|error| error.code), Err(JsonErrorCode::DuplicateKey), "{name}");
            }
            Some("y_") => assert!(result.is_ok(), "{name}: {result:?}"),
            Some("n_") => assert!(result.is_err(), "{name}"),
            _ => {}
        }
    }

    for path in files(&root.join("nativejson/data/jsonchecker"), &["json"]) {
        let name = name(&path);
        let valid = name.starts_with("pass") || FAIL_ELSEWHERE.contains(&name.as_str());
        let result = check(&fs::read(&path).expect("a file of the checker"));
        assert_eq!(result.is_ok(), valid, "{name}: {result:?}");
    }

    let mut seen = Seen::default();
    for path in files(&root, &["json", "jsonl", "traj"]) {
        let bytes = fs::read(&path).expect("a file");
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            for (i, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
                seen.text(line, &(&path, i));
            }
        } else if !path.starts_with(root.join("jsontestsuite")) {
            seen.text(&bytes, &path);
        }
    }
    assert!(seen.compared > 1_000, "{seen:?}");
}
