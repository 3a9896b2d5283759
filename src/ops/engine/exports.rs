//! The export files: every row read back, judged once more, hashed as JSONL and written where it can be renamed into
//! the working tree.
//!
//! Rests on trees and the object database. This is the third layer of the SFT firewall: it reads *bytes* after they were
//! written, knows nothing of record types or categories, and lets through only the words it was given. Invariant: what
//! a receipt says of an export was computed from the bytes that a consumer gets.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::Digest as _;

use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::tree;

/// One export as JSONL.
#[derive(Clone, Debug)]
pub(crate) struct ExportFile {
    /// BLAKE3 of the whole JSONL.
    pub blake3: ObjectId,
    /// SHA-256 of the whole JSONL, hexadecimal.
    pub sha256: String,
    /// Where it lies until it is renamed or removed.
    pub path: PathBuf,
}

/// The words that `quality_score` may have, as they stand in the bytes.
pub(crate) fn allowed_words(include_partial: bool) -> &'static [&'static str] {
    if include_partial { &["accepted", "partially_accepted"] } else { &["accepted"] }
}

/// Writes the rows of `root` as JSONL to `path`, reading each back from the object database. With `allowed`, every
/// line of the finished file is read again and must carry one of these words as its quality.
///
/// # Errors
/// When a row is missing or damaged, the file cannot be written, or the firewall finds a forbidden row.
pub(crate) fn write(
    find: &dyn Find,
    dataset: &str,
    root: RootId,
    path: &Path,
    allowed: Option<&[&str]>,
    progress: &dyn Progress,
) -> Result<ExportFile, OpError> {
    let failed = |error: &io::Error| OpError::io("write", path, error);
    let totals = tree::totals(find, root)?;
    progress.begin(dataset, Some(totals.jsonl_bytes()));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(|e| failed(&e))?);
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), sha2::Sha256::new());
    let mut line = Vec::new();
    let mut pending = (0, 0);
    for entry in tree::iter(find, root) {
        let entry = entry?;
        line.clear();
        line.extend_from_slice(&find.find(&entry.id)?);
        line.push(b'\n');
        blake3.update(&line);
        sha256.update(&line);
        out.write_all(&line).map_err(|e| failed(&e))?;
        pending = (pending.0 + 1, pending.1 + line.len() as u64);
        if pending.0 == 1024 {
            progress.advance(pending.0, pending.1);
            pending = (0, 0);
        }
    }
    out.flush().map_err(|e| failed(&e))?;
    drop(out);
    progress.end();
    if let Some(allowed) = allowed {
        firewall(path, allowed)?;
    }
    Ok(ExportFile {
        blake3: ObjectId::from_bytes(*blake3.finalize().as_bytes()),
        sha256: hex::encode(sha256.finalize()),
        path: path.to_owned(),
    })
}

/// The one field that the firewall looks at.
#[derive(Deserialize)]
struct Quality<'a> {
    #[serde(borrow)]
    quality_score: Option<std::borrow::Cow<'a, str>>,
}

/// Reads an SFT file back and stops at the first line whose quality is not in `allowed`.
///
/// # Errors
/// [`ErrorKind::Refused`], naming the line, when there is one.
pub(crate) fn firewall(path: &Path, allowed: &[&str]) -> Result<(), OpError> {
    let failed = |error: &io::Error| OpError::io("read", path, error);
    let mut input = BufReader::with_capacity(1 << 20, File::open(path).map_err(|e| failed(&e))?);
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).map_err(|e| failed(&e))? == 0 {
            return Ok(());
        }
        number += 1;
        let found = match serde_json::from_slice::<Quality<'_>>(&line) {
            Ok(Quality { quality_score: Some(word) }) if allowed.contains(&&*word) => continue,
            Ok(Quality { quality_score: Some(word) }) => format!("quality_score `{word}`"),
            Ok(Quality { quality_score: None }) => "no quality_score".to_owned(),
            Err(error) => format!("no readable row ({error})"),
        };
        return Err(OpError::new(
            ErrorKind::Refused,
            format!(
                "the SFT firewall found {found} in line {number} of the written export; nothing was committed"
            ),
            "this must never happen: keep the sources and report it; the store is as it was",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, partial: bool, verdict: Result<(), &str>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("sft.jsonl");
        std::fs::write(&path, text).expect("write");
        match (firewall(&path, allowed_words(partial)), verdict) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) => assert!(error.message.contains(part), "{error}"),
            (got, wanted) => panic!("{text}: got {got:?}, wanted {wanted:?}"),
        }
    }

    #[test]
    fn bytes_decide() {
        check("", false, Ok(()));
        check("{\"quality_score\":\"accepted\"}\n", false, Ok(()));
        check("{\"quality_score\":\"partially_accepted\"}\n", true, Ok(()));
        check("{\"quality_score\":\"partially_accepted\"}\n", false, Err("line 1"));
        let second = "{\"quality_score\":\"accepted\"}\n{\"quality_score\":\"rejected\"}\n";
        check(second, true, Err("`rejected` in line 2"));
        check("{\"x\":{\"quality_score\":\"accepted\"}}\n", true, Err("no quality_score"));
        check("{\"quality_score\":\"\\u0072ejected\"}\n", true, Err("`rejected`"));
        check("not json\n", true, Err("no readable row"));
    }
}
