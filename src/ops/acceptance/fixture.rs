//! The acceptance fixture: its files, embedded, so that an installed program carries its own bar; and what is expected of
//! it.
//!
//! Rests on `fixtures/acceptance`. Changing a file there changes the bar, and the hash that every report names. Invariant:
//! expectations are pinned in [`UNREADABLE`], [`REFUSED`] and [`SKIPPED`], by hand; no run of distill made them.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use crate::object::ObjectId;
use crate::ops::error::OpError;
use crate::repo::DOT;

/// The files by name, in order; those below `data` are sources, the others configuration.
pub(super) const FILES: [(&str, &[u8]); 7] = [
    ("data/broken.jsonl", include_bytes!("../../../fixtures/acceptance/data/broken.jsonl")),
    ("data/contests.json", include_bytes!("../../../fixtures/acceptance/data/contests.json")),
    ("data/runs-a.jsonl", include_bytes!("../../../fixtures/acceptance/data/runs-a.jsonl")),
    ("data/runs-b.jsonl", include_bytes!("../../../fixtures/acceptance/data/runs-b.jsonl")),
    ("policy.toml", include_bytes!("../../../fixtures/acceptance/policy.toml")),
    ("sources/contests.toml", include_bytes!("../../../fixtures/acceptance/sources/contests.toml")),
    ("sources/runs.toml", include_bytes!("../../../fixtures/acceptance/sources/runs.toml")),
];

/// What cannot be read: file, line from 0, reason, byte offset within the line.
pub(super) const UNREADABLE: [(&str, usize, &str, usize); 14] = [
    ("data/broken.jsonl", 0, "json_syntax", 49),
    ("data/broken.jsonl", 1, "json_duplicate_key", 24),
    ("data/broken.jsonl", 2, "json_duplicate_key", 32),
    ("data/broken.jsonl", 3, "json_invalid_utf8", 42),
    ("data/broken.jsonl", 4, "json_lone_surrogate", 33),
    ("data/broken.jsonl", 5, "json_number_overflow", 35),
    ("data/broken.jsonl", 6, "json_trailing_bytes", 24),
    ("data/broken.jsonl", 7, "json_syntax", 21),
    ("data/broken.jsonl", 8, "json_syntax", 0),
    ("data/broken.jsonl", 9, "json_syntax", 23),
    ("data/broken.jsonl", 10, "json_syntax", 24),
    ("data/broken.jsonl", 11, "json_too_deep", 276),
    ("data/broken.jsonl", 12, "json_syntax", 1),
    ("data/broken.jsonl", 14, "unterminated", 60),
];

/// What is refused besides: stage, reason, and how the key of the refused thing ends.
pub(super) const REFUSED: [(&str, &str, &str); 24] = [
    ("export-rag", "secret_suspected", "/secret-plain"),
    ("export-rag", "secret_suspected", "/secret-base64"),
    ("export-rag", "secret_suspected", "/secret-percent"),
    ("export-rag", "secret_suspected", "/secret-escaped"),
    ("export-sft", "secret_suspected", "/secret-plain"),
    ("export-sft", "secret_suspected", "/secret-base64"),
    ("export-sft", "secret_suspected", "/secret-percent"),
    ("export-sft", "secret_suspected", "/secret-escaped"),
    ("evidence", "not_an_object", "data/runs-a.jsonl/0000000043"),
    ("evidence", "not_an_object", "data/runs-a.jsonl/0000000044"),
    ("evidence", "bad_key", "data/runs-a.jsonl/0000000045"),
    ("evidence", "field_type", "data/runs-a.jsonl/0000000046"),
    ("evidence", "invalid_evidence", "data/runs-a.jsonl/0000000047"),
    ("export-rag", "empty_content", "/blank-answer"),
    ("export-rag", "empty_content", "/no-answer"),
    ("export-rag", "empty_content", "/victim-refusal"),
    ("export-rag", "ungrounded", "/no-run"),
    ("export-sft", "empty_instruction", "/no-instruction"),
    ("export-sft", "empty_response", "/blank-answer"),
    ("export-sft", "empty_response", "/no-answer"),
    ("export-sft", "empty_response", "/victim-refusal"),
    ("export-sft", "ungrounded", "/no-run"),
    ("evidence", "json_too_deep", "data/broken.jsonl/0000000011"),
    ("evidence", "unterminated", "data/broken.jsonl/0000000014"),
];

/// What is left out by a rule: file, line from 0.
pub(super) const SKIPPED: [(&str, u64); 3] =
    [("data/runs-a.jsonl", 34), ("data/runs-a.jsonl", 41), ("data/runs-a.jsonl", 42)];

/// The name of the fixture: BLAKE3 of its files, each with its name and length, in order.
pub(super) fn hash() -> ObjectId {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in FILES {
        hasher
            .update(name.as_bytes())
            .update(b"\0")
            .update(&(bytes.len() as u64).to_le_bytes())
            .update(bytes);
    }
    ObjectId::from_bytes(*hasher.finalize().as_bytes())
}

/// A credential of nobody's, plain, in base64, in percent signs and in escapes, for the four places of runs-b.jsonl that
/// ask for them. Put together here, so that no file of this project holds one.
pub(super) fn credentials() -> [(&'static str, String); 4] {
    let plain = ["gh", "p_", "x7Kq2mWv9LdR4tYb8N", "cZ1sHj6PgF3aQe5UoT"].concat();
    let base64 = ["dG9rZW4gZ2hwX3g3S3Ey", "bVd2OUxkUjR0WWI4TmNa", "MXNIajZQZ0YzYVFlNVVvVCBlbmQ="].concat();
    let percent = plain.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let escaped = plain.bytes().map(|byte| format!("\\\\u{byte:04x}")).collect();
    [("@plain@", plain), ("@base64@", base64), ("@percent@", percent), ("@escaped@", escaped)]
}

/// The source files among the fixture's, with the credentials in place.
pub(super) fn sources() -> impl Iterator<Item = (&'static str, Cow<'static, [u8]>)> {
    let placed = |name: &str, bytes: &'static [u8]| match std::str::from_utf8(bytes) {
        Ok(text) if name == "data/runs-b.jsonl" => {
            let text = credentials().iter().fold(text.to_owned(), |text, (at, put)| text.replace(at, put));
            Cow::Owned(text.into_bytes())
        }
        _ => Cow::Borrowed(bytes),
    };
    let sources = FILES.into_iter().filter(|(name, _)| name.starts_with("data/"));
    sources.map(move |(name, bytes)| (name, placed(name, bytes)))
}

/// The units of a source file, cut by nothing but line feeds; `None` for a file that is no lines.
pub(super) fn lines<'a>(name: &str, bytes: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    if !name.ends_with(".jsonl") {
        return None;
    }
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    Some(bytes.split(|byte| *byte == b'\n').collect())
}

/// Lays the fixture out as a repository in `root`, with no store yet. `reversed` makes its files in the opposite order.
pub(super) fn lay_out(root: &Path, reversed: bool) -> Result<(), OpError> {
    let others = FILES.into_iter().filter(|(name, _)| !name.starts_with("data/"));
    let mut files: Vec<_> =
        sources().chain(others.map(|(name, bytes)| (name, Cow::Borrowed(bytes)))).collect();
    if reversed {
        files.reverse();
    }
    for (name, bytes) in files {
        let path = if name.starts_with("data/") { root.join(name) } else { root.join(DOT).join(name) };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| OpError::io("make", folder, &e))?;
        }
        fs::write(&path, &bytes).map_err(|e| OpError::io("write", &path, &e))?;
    }
    Ok(())
}
