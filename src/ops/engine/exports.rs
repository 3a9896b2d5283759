//! The export files: every row read back, judged once more, hashed as JSONL and written where it can be renamed into
//! the working tree.
//!
//! Rests on trees and the object database. This is the third layer of the SFT firewall: it reads *bytes* after they were
//! written, knows nothing of record types or categories, and lets through only the words it was given. Invariants: what
//! a receipt says of an export was computed from the bytes that a consumer gets; every row was hashed on its way there.
//!
//! Rows of one key lie in one block of a pack whatever their export, so all exports are written in one walk over the
//! keys: a block is unpacked once. A row that the last run exported is taken from the file which that run left in the
//! working tree, if it still hashes to its name: most rows of a small change then cost no unpacking at all.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use serde::Deserialize;
use sha2::Digest as _;

use crate::base::fs::EarlySync;
use crate::object::Find;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::fault::{self, Fault, Planted};
use crate::ops::progress::Progress;
use crate::tree;

/// An export that is wanted as a file.
pub(crate) struct Wanted<'a> {
    /// The tree of its rows.
    pub root: RootId,
    /// Where to write it.
    pub path: PathBuf,
    /// The words that each row's quality must be one of; `None` for exports without a quality.
    pub allowed: Option<&'a [&'a str]>,
    /// What the last run exported, and the file it left.
    pub before: Option<(RootId, PathBuf)>,
}

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

/// Writes the rows of each export as JSONL, and reads the finished file of one with `allowed` again: every line must
/// carry one of these words as its quality. One batch of rows is hashed and written while the next is read.
///
/// # Errors
/// When a row is missing or damaged, a file cannot be written, or the firewall finds a forbidden row.
pub(crate) fn write(
    find: &dyn Find,
    wanted: &[Wanted<'_>],
    planted: Option<&Planted>,
    progress: &dyn Progress,
) -> Result<Vec<ExportFile>, OpError> {
    let mut bytes = 0;
    let mut outputs = Vec::with_capacity(wanted.len());
    for export in wanted {
        bytes += tree::totals(find, export.root)?.jsonl_bytes();
        outputs.push(Output::create(export)?);
    }
    progress.begin("exports", Some(bytes));
    let files = std::thread::scope(|scope| {
        let (sender, batches) = sync_channel::<Batch>(1);
        let writer = scope.spawn(move || {
            let mut early = EarlySync::default();
            for batch in batches {
                progress.advance(batch.rows, batch.bytes());
                for (output, text) in outputs.iter_mut().zip(&batch.texts) {
                    output.append(text)?;
                    early.wrote(&output.path, &output.out, text.len());
                }
            }
            early.finish().map_err(|(path, e)| OpError::io("sync", &path, &e))?;
            Ok::<_, OpError>(outputs.into_iter().map(Output::finish).collect())
        });
        let read = read_batches(find, wanted, &sender);
        drop(sender);
        let files = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        read.map(|()| files)
    })?;
    progress.end();
    for export in wanted {
        let Some(allowed) = export.allowed else { continue };
        if fault::has(planted, Fault::TampersWithFile) {
            tamper(&export.path).map_err(|e| OpError::io("write", &export.path, &e))?;
        }
        if !fault::has(planted, Fault::NoReadBack) {
            firewall(&export.path, allowed)?;
        }
    }
    Ok(files)
}

/// Calls the first row of a written export rejected.
fn tamper(path: &Path) -> io::Result<()> {
    let text = std::fs::read_to_string(path)?;
    std::fs::write(path, text.replacen(r#""quality_score":"accepted""#, r#""quality_score":"rejected""#, 1))
}

/// Bytes and rows that are read at a time.
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_ROWS: usize = 1 << 14;

/// Lines for each of the exports.
struct Batch {
    texts: Vec<Vec<u8>>,
    rows: u64,
}

impl Batch {
    fn bytes(&self) -> u64 {
        self.texts.iter().map(|text| text.len() as u64).sum()
    }
}

/// Reads all rows, until nobody takes them.
fn read_batches(find: &dyn Find, wanted: &[Wanted<'_>], sender: &SyncSender<Batch>) -> Result<(), OpError> {
    let open =
        |export: &Wanted<'_>| export.before.as_ref().and_then(|(root, path)| Before::open(find, *root, path));
    let mut before: Vec<_> = wanted.iter().map(open).collect();
    let mut entries = tree::together(find, wanted.iter().map(|export| export.root));
    // Where the rows lie that the last run's files have, one after another: the rest is found in the store.
    let (mut known, mut rows, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && rows.len() < BATCH_ROWS
            && let Some((at, entry)) = entries.next().transpose()?
        {
            bytes += entry.bytes;
            let is_known = before[at].as_mut().is_some_and(|before| before.take(&entry, &mut known));
            if !is_known {
                asked.push(entry.id);
            }
            rows.push((at, is_known.then_some(known.len())));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut found = find.try_find_many(&asked)?.into_iter().zip(&asked);
        let mut batch = Batch { texts: vec![Vec::new(); wanted.len()], rows: rows.len() as u64 };
        let mut start = 0;
        for (at, end) in rows.drain(..) {
            let text = &mut batch.texts[at];
            match (end, end.map_or_else(|| found.next(), |_| None)) {
                (Some(end), _) => {
                    text.extend_from_slice(&known[start..end]);
                    start = end;
                }
                (None, Some((Some(object), _))) => text.extend_from_slice(&object),
                (None, Some((None, id))) => return Err(OdbError::NotFound { id: *id }.into()),
                (None, None) => {}
            }
            text.push(b'\n');
        }
        drop(found);
        asked.clear();
        known.clear();
        if sender.send(batch).is_err() {
            // The writer failed, and says why.
            return Ok(());
        }
    }
}

/// One export on its way into a file.
struct Output {
    path: PathBuf,
    out: File,
    blake3: blake3::Hasher,
    sha256: sha2::Sha256,
}

impl Output {
    fn create(export: &Wanted<'_>) -> Result<Self, OpError> {
        let out = File::create(&export.path).map_err(|e| OpError::io("write", &export.path, &e))?;
        Ok(Self {
            path: export.path.clone(),
            out,
            blake3: blake3::Hasher::new(),
            sha256: sha2::Sha256::new(),
        })
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), OpError> {
        self.blake3.update(lines);
        self.sha256.update(lines);
        self.out.write_all(lines).map_err(|e| OpError::io("write", &self.path, &e))
    }

    fn finish(self) -> ExportFile {
        ExportFile {
            blake3: ObjectId::from_bytes(*self.blake3.finalize().as_bytes()),
            sha256: hex::encode(self.sha256.finalize()),
            path: self.path,
        }
    }
}

/// Bytes that are read of the last run's file at a time.
const READ_BYTES: usize = 256 << 10;

/// The file of the last run, walked along with the tree that it was written from. It is only believed where a row
/// hashes to the name that the tree gives it.
struct Before<'a> {
    rows: Peekable<tree::Rows<'a>>,
    input: BufReader<File>,
    /// It is not what was written.
    changed: bool,
}

impl<'a> Before<'a> {
    fn open(find: &'a dyn Find, root: RootId, path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let input = BufReader::with_capacity(READ_BYTES, file);
        Some(Self { rows: tree::iter(find, root).peekable(), input, changed: false })
    }

    /// Appends the row of `entry` to `out`, if it stands here as it should. Entries are asked for in order of key.
    fn take(&mut self, entry: &tree::Entry, out: &mut Vec<u8>) -> bool {
        while !self.changed {
            let Some(Ok(old)) = self.rows.peek() else { return false };
            match old.key.cmp(&entry.key) {
                std::cmp::Ordering::Greater => return false,
                std::cmp::Ordering::Equal if old.id == entry.id => return self.read(entry, out),
                std::cmp::Ordering::Equal | std::cmp::Ordering::Less => self.skip(),
            }
        }
        false
    }

    /// Reads the row that comes next, which should be that of `entry`.
    fn read(&mut self, entry: &tree::Entry, out: &mut Vec<u8>) -> bool {
        self.rows.next();
        let start = out.len();
        let read = (&mut self.input).take(entry.bytes + 1).read_to_end(out);
        let sound = read.is_ok_and(|len| len as u64 == entry.bytes + 1) && out.pop() == Some(b'\n');
        if sound && ObjectId::of(&out[start..]) == entry.id {
            return true;
        }
        // Not what was written: nothing after it can be trusted to lie where it should.
        out.truncate(start);
        self.changed = true;
        false
    }

    /// Passes over the row that comes next.
    fn skip(&mut self) {
        let len = self.rows.next().and_then(Result::ok).and_then(|old| i64::try_from(old.bytes + 1).ok());
        self.changed |= len.is_none_or(|len| self.input.seek_relative(len).is_err());
    }
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
