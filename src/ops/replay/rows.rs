//! `data/_kb/replay_runs.jsonl`: the rows that replays append, and how they and the commits stay together.
//!
//! Rests on the store's publish and on a note below `.distill/tmp`. A commit's rows are written down in the note, with the length of
//! the file; then the commit is published, which holds the rows too; then they are appended; then the note goes. Whoever comes next and
//! finds a note ends what was begun: a published commit's rows are appended, in whatever middle of them the power went out; those
//! of a commit that was not published are forgotten. Invariants: a row stands in the file once; what stands before it is untouched.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::fs::{sync_dir, write_atomic};
use crate::object::{CommitId, ObjectId};
use crate::ops::error::{ErrorKind, OpError};
use crate::record::ExchangeRole;
use crate::repo::{REPLAY, Repo};
use crate::store::Lease;

use super::ask::Exchanged;
use super::prompt::object;
use super::{Arm, Attempt, SearchedSnapshot};

/// Where the rows stand, below the folder that source specs start from.
pub const FILE: &str = "data/_kb/replay_runs.jsonl";
/// Another replay appends for milliseconds.
const WAIT: Duration = Duration::from_mins(1);

/// One row, in the form that `sources/replay_runs.toml` reads.
#[derive(Serialize)]
struct Row<'a> {
    replay_id: &'a str,
    ts: &'a str,
    run_id: &'a str,
    task_id: &'a str,
    synthetic_depth: u64,
    prompt: &'a str,
    arm: Arm,
    retrieval: Option<Retrieval<'a>>,
    answer: &'a str,
    checks: Checks,
    faults: Vec<&'static str>,
    model: Model<'a>,
    usage: Usage,
    attempts: &'a [Attempt],
    prompt_id: ObjectId,
    answer_id: ObjectId,
}

#[derive(Serialize)]
struct Retrieval<'a> {
    corpus: &'a str,
    commit: CommitId,
    snapshot: ObjectId,
    hits: Vec<RowHit<'a>>,
}

#[derive(Serialize)]
struct RowHit<'a> {
    number: u64,
    id: &'a str,
    object: ObjectId,
    content: &'a str,
    score: f64,
}

#[derive(Serialize)]
struct Checks {
    complete: bool,
    grounded: bool,
}

#[derive(Serialize)]
struct Model<'a> {
    provider: &'a str,
    name: &'a str,
    role: ExchangeRole,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    latency_ms: u64,
}

/// What a row is made of besides the exchange.
pub(super) struct Frame<'a> {
    pub replay_id: &'a str,
    pub run_id: &'a str,
    pub ts: &'a str,
    pub snapshot: Option<&'a SearchedSnapshot>,
    pub attempts: &'a [Attempt],
}

/// The bytes of a row, without a line feed.
pub(super) fn row(frame: &Frame<'_>, exchanged: &Exchanged) -> Result<Vec<u8>, OpError> {
    let last = exchanged
        .last()
        .ok_or_else(|| OpError::new(ErrorKind::Outside, "a task was not asked", "run the command again"))?;
    let retrieval = frame.snapshot.filter(|_| exchanged.arm == Arm::Retrieval).map(|snapshot| Retrieval {
        corpus: &snapshot.name,
        commit: snapshot.commit_id,
        snapshot: *snapshot.root.object(),
        hits: (exchanged.prompt.records.iter())
            .map(|record| RowHit {
                number: record.number,
                id: &record.key,
                object: record.id,
                content: &record.content,
                score: record.score,
            })
            .collect(),
    });
    object(&Row {
        replay_id: frame.replay_id,
        ts: frame.ts,
        run_id: frame.run_id,
        task_id: &exchanged.task.id,
        synthetic_depth: exchanged.synthetic_depth,
        prompt: &exchanged.task.text,
        arm: exchanged.arm,
        retrieval,
        answer: &last.completion.text,
        checks: Checks { complete: last.judgement.complete, grounded: last.judgement.grounded },
        faults: last.judgement.faults.iter().map(|fault| fault.as_str()).collect(),
        model: Model { provider: &last.provider, name: &last.model, role: last.role },
        usage: Usage {
            prompt_tokens: last.completion.prompt_tokens,
            completion_tokens: last.completion.completion_tokens,
            latency_ms: last.completion.latency_ms,
        },
        attempts: frame.attempts,
        prompt_id: exchanged.prompt.id,
        answer_id: last.id,
    })
}

/// What is about to be appended, and where.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    run_id: String,
    /// How long the file was.
    offset: u64,
    /// What is appended, line feeds and all.
    text: String,
}

/// The right to append.
pub(super) struct Rows {
    file: PathBuf,
    note: PathBuf,
    _lease: Lease,
}

impl Rows {
    /// Waits for the right to append, and ends what somebody else began.
    ///
    /// # Errors
    /// Another writer that does not end; a file that cannot be read or written.
    pub(super) fn begin(repo: &Repo) -> Result<Self, OpError> {
        let lease = repo.store().lease(FILE, REPLAY, WAIT, &mut |_| {})?;
        let rows = Self { file: repo.base().join(FILE), note: note_of(repo), _lease: lease };
        if let Some(note) = read_note(&rows.note)? {
            repo.store().refresh()?;
            let name = format!("runs/{}", note.run_id);
            if repo.store().get_ref(&name).is_some() {
                append(&rows.file, &note)?;
            }
            rows.forget()?;
        }
        Ok(rows)
    }

    /// Writes down what will be appended when the commit of `run_id` is published.
    ///
    /// # Errors
    /// When the note or the file cannot be written or read.
    pub(super) fn announce(&self, run_id: &str, lines: &[Vec<u8>]) -> Result<(), OpError> {
        let (offset, is_open) = end_of(&self.file)?;
        let mut text = if is_open { "\n".to_owned() } else { String::new() };
        for line in lines {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        let bytes = object(&Note { run_id: run_id.to_owned(), offset, text })?;
        write_atomic(&self.note, &bytes).map_err(|error| OpError::io("write", &self.note, &error))
    }

    /// Appends what was announced: its commit is published.
    ///
    /// # Errors
    /// When the file cannot be written; whoever comes next tries again.
    pub(super) fn append(&self) -> Result<(), OpError> {
        if let Some(note) = read_note(&self.note)? {
            append(&self.file, &note)?;
        }
        self.forget()
    }

    /// Takes the announcement back.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub(super) fn forget(&self) -> Result<(), OpError> {
        match fs::remove_file(&self.note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(OpError::io("remove", &self.note, &error))
            }
            _ => Ok(()),
        }
    }
}

/// Ends what a replay began that was stopped between its commit and its rows.
///
/// # Errors
/// As [`Rows::begin`]; nothing is done where there is nothing to do.
pub(crate) fn settle(repo: &Repo) -> Result<(), OpError> {
    if note_of(repo).exists() { Rows::begin(repo).map(drop) } else { Ok(()) }
}

fn note_of(repo: &Repo) -> PathBuf {
    repo.dot().join("tmp").join("replay-rows.json")
}

fn read_note(path: &Path) -> Result<Option<Note>, OpError> {
    match fs::read(path) {
        // It was written whole or not at all; another form is of nobody who could be helped.
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpError::io("read", path, &error)),
    }
}

/// The length of the file, and whether its last line has no ending.
fn end_of(path: &Path) -> Result<(u64, bool), OpError> {
    let io = |error: std::io::Error| OpError::io("read", path, &error);
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((0, false)),
        Err(error) => return Err(io(error)),
    };
    let length = file.metadata().map_err(io)?.len();
    if length == 0 {
        return Ok((0, false));
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).map_err(io)?;
    Ok((length, last != *b"\n"))
}

/// Appends what of the note is not there yet, and makes it durable.
fn append(path: &Path, note: &Note) -> Result<(), OpError> {
    let io = |error: std::io::Error| OpError::io("append to", path, &error);
    let text = note.text.as_bytes();
    let tail = match fs::File::open(path) {
        Ok(mut file) => {
            let mut tail = Vec::new();
            file.seek(SeekFrom::Start(note.offset)).map_err(io)?;
            file.read_to_end(&mut tail).map_err(io)?;
            tail
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(io(error)),
    };
    if tail.starts_with(text) {
        return Ok(());
    }
    let rest = if text.starts_with(&tail) && end_of(path)?.0 >= note.offset {
        // Nothing, or a part of it, was appended.
        text[tail.len()..].to_vec()
    } else {
        // Somebody else changed the file meanwhile: the rows follow what is there now.
        let lines = note.text.trim_start_matches('\n').as_bytes();
        let held = fs::read(path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(Vec::new()),
            _ => Err(io(error)),
        })?;
        if memchr::memmem::find(&held, lines).is_some() {
            return Ok(());
        }
        let open = held.last().is_some_and(|last| *last != b'\n');
        if open { [b"\n", lines].concat() } else { lines.to_vec() }
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io)?;
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
    file.write_all(&rest).and_then(|()| file.sync_all()).map_err(io)?;
    match path.parent() {
        Some(folder) => sync_dir(folder).map_err(io),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the file holds after `append`, when it held `before` then and holds `now`.
    #[track_caller]
    fn check(before: &str, now: Option<&str>, expect: &str) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sub/rows.jsonl");
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        let lead = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
        let note = Note {
            run_id: "r".to_owned(),
            offset: before.len() as u64,
            text: format!("{lead}{{\"n\":1}}\n{{\"n\":2}}\n"),
        };
        if let Some(now) = now {
            fs::write(&path, now).expect("a file");
        }
        for _ in 0..2 {
            append(&path, &note).expect("appended");
            assert_eq!(fs::read_to_string(&path).expect("text"), expect, "{before:?} {now:?}");
        }
    }

    #[test]
    fn rows_are_appended_once_wherever_it_stopped() {
        let whole = "a\n{\"n\":1}\n{\"n\":2}\n";
        for end in 2..=whole.len() {
            check("a\n", Some(&whole[..end]), whole);
        }
        check("", None, &whole[2..]);
        check("a", Some("a"), whole);
        check("a", Some("a\n"), whole);
        check("a\n", Some("a\nb\n"), "a\nb\n{\"n\":1}\n{\"n\":2}\n");
        check("a\nlong\n", Some("a\n"), whole);
        check("a\n", Some("a\n{\"n\":1}\n{\"n\":2}\nb\n"), "a\n{\"n\":1}\n{\"n\":2}\nb\n");
    }
}
