//! `trace`: from a row back to the line that it was made from, every hash computed again on the way; and from a line to
//! what became of it.
//!
//! Rests on trees, records and the receipts, which say which trees a dataset was made from. `walk` goes back, `reverse`
//! forward. Invariants: nothing is written; a link that does not hold is part of the answer and what lies beyond it is
//! still looked at; what was not checked is not called checked.

mod follow;
mod origins;
mod reverse;
mod rows;
mod source;
mod walk;

use schemars::JsonSchema;
use serde::Serialize;

use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::open::resolve;
use crate::ops::{ErrorKind, OpError};
use crate::record::Unit;
use crate::repo::{Commit, Repo, Target};
use crate::tree;

pub(crate) use origins::Origins;
pub use reverse::{ExportFate, RecordFate, Reverse, SourceFate, reverse};

use walk::Walk;

/// A row and everything that it was made from.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Trace {
    /// The commit in which it was looked for.
    pub commit_id: CommitId,
    /// The run that made that commit.
    pub run_id: String,
    /// Whether every check held.
    pub holds: bool,
    /// The checks that did not, in the order of the walk.
    pub faults: Vec<Fault>,
    /// The row, and below it what it was made from.
    pub row: Hop,
}

/// A check that did not hold, and where.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Fault {
    /// Which check.
    pub check: CheckName,
    /// The object that is damaged, missing or not what another says of it, where it has an id.
    pub object: Option<ObjectId>,
    /// The dataset.
    pub dataset: String,
    /// The key in it.
    pub key: String,
    /// What is wrong.
    pub detail: String,
}

/// One object on the way.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Hop {
    /// What it is to the one above it.
    pub role: Role,
    /// The dataset it stands in.
    pub dataset: String,
    /// The root of that dataset's tree; null where the commit has none.
    pub root: Option<RootId>,
    /// Its key there.
    pub key: String,
    /// The object; null where the key is not there.
    pub id: Option<ObjectId>,
    /// Its length; null where it could not be read.
    pub bytes: Option<u64>,
    /// What it says, in a few words: category, deciding rule, reason.
    pub says: Vec<(&'static str, String)>,
    /// For a source row: file and line.
    pub source: Option<SourceLine>,
    /// What was checked, in order.
    pub checks: Vec<Check>,
    /// What it was made from.
    pub below: Vec<Hop>,
}

/// What an object is to the one above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The row that was asked for.
    Row,
    /// The verdict that it rests on.
    ScoredRun,
    /// The evidence.
    Evidence,
    /// The unit of a source file.
    Source,
    /// The verdict on the better side of a pair.
    Chosen,
    /// The verdict on the worse side of a pair.
    Rejected,
    /// What was refused, or repeats something.
    Refused,
    /// The record that is repeated.
    Repeats,
}

impl Role {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::ScoredRun => "scored by",
            Self::Evidence => "evidence",
            Self::Source => "source row",
            Self::Chosen => "chosen",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Repeats => "repeats",
        }
    }
}

/// The place of a source row.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceLine {
    /// The file, relative to the base, with `/`.
    pub file: String,
    /// What is counted in it; null where no record says.
    pub unit: Option<Unit>,
    /// Its number there, from 0: `provenance.line_offset`.
    pub line_offset: u64,
    /// The same from 1, as people and `sed` count.
    pub line: u64,
    /// The file as it lies in the folder now.
    pub on_disk: OnDisk,
}

/// How a source row compares with the file in the folder. It is no check: files may change, the store keeps the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDisk {
    /// The line there is this row, byte for byte.
    Same,
    /// There is another line, or none.
    Differs,
    /// The file is not there or cannot be read.
    Absent,
    /// Only lines and whole files that are not compressed are compared.
    NotCompared,
}

/// What is checked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The dataset's tree has this key and names this object; every node on the path hashes to its id.
    InTree,
    /// The object's bytes hash to its id and have the length that the tree gives.
    Hash,
    /// It is a valid record of its schema.
    Record,
    /// The key that it carries is the key it stands under.
    Key,
    /// The id by which the object above names it is its own.
    Link,
    /// It says of its origin what the object above says.
    Provenance,
    /// It has the category that the object above says.
    Category,
    /// It names the run that the object above names.
    RunId,
    /// SHA-256 of the canonical form of the source row is the `sig_hash` that the records carry.
    SigHash,
    /// The joined rows are stored and hash to their ids.
    Lookups,
}

impl CheckName {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InTree => "in tree",
            Self::Hash => "hash",
            Self::Record => "record",
            Self::Key => "key",
            Self::Link => "link",
            Self::Provenance => "provenance",
            Self::Category => "category",
            Self::RunId => "run id",
            Self::SigHash => "sig_hash",
            Self::Lookups => "lookups",
        }
    }
}

/// One check.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Check {
    /// Which.
    pub check: CheckName,
    /// Whether it held.
    pub holds: bool,
    /// What is wrong; null where it holds.
    pub detail: Option<String>,
    /// The object at fault; null where it holds, or where the fault has no id.
    pub object: Option<ObjectId>,
}

/// Traces what `text` names: an object id or its abbreviation, or `REV:DATASET/KEY`. An object is looked for in the commit
/// `at`, HEAD by default; with a path, `at` is not given.
///
/// # Errors
/// What names nothing, or no row, or no row of this commit; a damaged tree on the way to the row.
pub fn trace(repo: &Repo, text: &str, at: Option<&str>) -> Result<Trace, OpError> {
    if text.contains(':') {
        let located = repo.locate(text)?;
        return match located.target {
            Target::Row { dataset, key, .. } => {
                trace_row(repo, located.commit_id, &located.commit, &dataset, &key)
            }
            Target::Dataset { dataset, prefix, .. } => {
                let hint = format!("add a key: `distill ls {text}` lists them");
                let what = if prefix.is_empty() { dataset } else { format!("{dataset}/{prefix}") };
                Err(OpError::new(ErrorKind::Usage, format!("`{text}` names {what}, not a row"), hint))
            }
            Target::Commit => Err(no_row(text, "a commit")),
        };
    }
    let id = repo.resolve_object(text)?;
    let bytes = repo.store().find(&id)?;
    let commit_id = resolve(repo, at)?;
    let commit = repo.commit(commit_id)?;
    if *commit_id.object() == id || Commit::parse(&id, &bytes).is_ok() {
        return Err(no_row(text, "a commit"));
    }
    found(repo, commit_id, &commit, id, &bytes, &format!("object {id}"))
}

/// Traces a line of a file that `checkout` wrote, without its ending.
///
/// # Errors
/// As [`trace`]; a line that is no record, or that is not, byte for byte, a row of this commit.
pub fn trace_line(repo: &Repo, line: &[u8], at: Option<&str>) -> Result<Trace, OpError> {
    let commit_id = resolve(repo, at)?;
    let commit = repo.commit(commit_id)?;
    if rows::place_of(line).is_none() {
        return Err(OpError::new(
            ErrorKind::Usage,
            "the line is not a row that distill wrote",
            "give a line of an export, or of data/evidence or data/scored-runs; for a line of a source file there is \
             `distill trace --reverse FILE:LINE`",
        ));
    }
    let line_id = ObjectId::of(line);
    found(repo, commit_id, &commit, line_id, line, &format!("the line, which hashes to {line_id},"))
}

/// Traces the row of `key` in `dataset` of a commit.
///
/// # Errors
/// When the commit has no such dataset or row, or the tree is damaged on the way to it.
pub fn trace_row(
    repo: &Repo,
    commit_id: CommitId,
    commit: &Commit,
    dataset: &str,
    key: &str,
) -> Result<Trace, OpError> {
    let missing = || {
        let short = commit_id.object().short(12);
        let message = format!("commit {short} has no row `{key}` in {dataset}");
        OpError::new(ErrorKind::Usage, message, format!("`distill ls {short}:{dataset}` lists the keys"))
    };
    let root = commit.dataset(dataset).ok_or_else(missing)?;
    tree::get(repo.store(), root, key)?.ok_or_else(missing)?;
    let row = Walk::new(repo, commit)?.row(dataset, root, key);
    let mut faults = Vec::new();
    row.gather(&mut faults);
    Ok(Trace { commit_id, run_id: commit.run_id.clone(), holds: faults.is_empty(), faults, row })
}

/// Traces the object `id`, whose bytes say in which dataset and under which key it stands.
fn found(
    repo: &Repo,
    commit_id: CommitId,
    commit: &Commit,
    id: ObjectId,
    bytes: &[u8],
    what: &str,
) -> Result<Trace, OpError> {
    let short = commit_id.object().short(12);
    let absent = |why: String| {
        let hint =
            "name the commit that has it with `--at REV`; `distill log --record KEY` tells the life of a key";
        OpError::new(ErrorKind::Refused, format!("{what} is no row of commit {short}: {why}"), hint)
    };
    let why = match rows::place_of(bytes) {
        Some(rows::Place::Row { dataset, key }) => {
            let there =
                commit.dataset(dataset).map(|root| tree::get(repo.store(), root, &key)).transpose()?;
            match there.flatten() {
                Some(entry) if entry.id == id => return trace_row(repo, commit_id, commit, dataset, &key),
                Some(entry) => format!("under {dataset}/{key} stands {}", entry.id),
                None => format!("it has no {dataset}/{key}"),
            }
        }
        Some(rows::Place::NoRow(schema)) => return Err(no_row(what, &format!("a {schema}"))),
        None => "no key of `sources` names it".to_owned(),
    };
    // A source row may look like anything, one of distill's own rows too.
    match rows::key_of_raw(repo, commit, &id)? {
        Some(key) => trace_row(repo, commit_id, commit, "sources", &key),
        None => Err(absent(why)),
    }
}

fn no_row(text: &str, what: &str) -> OpError {
    let hint = "name a row: `REV:DATASET/KEY`, the id of a row, or `-` and a line of an export on stdin";
    OpError::new(ErrorKind::Usage, format!("`{text}` is {what}, not a row"), hint)
}

impl Hop {
    /// Whether every check of this hop, and of all below it, held.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds) && self.below.iter().all(Self::holds)
    }

    fn gather(&self, faults: &mut Vec<Fault>) {
        for check in self.checks.iter().filter(|check| !check.holds) {
            faults.push(Fault {
                check: check.check,
                object: check.object.or(self.id),
                dataset: self.dataset.clone(),
                key: self.key.clone(),
                detail: check.detail.clone().unwrap_or_default(),
            });
        }
        for hop in &self.below {
            hop.gather(faults);
        }
    }

    fn check(&mut self, check: CheckName, result: Result<(), String>) {
        let detail = result.err();
        let object = if detail.is_some() { self.id } else { None };
        self.checks.push(Check { check, holds: detail.is_none(), detail, object });
    }

    fn fault(&mut self, check: CheckName, object: Option<ObjectId>, detail: String) {
        self.checks.push(Check { check, holds: false, detail: Some(detail), object });
    }
}

/// The bytes of an object that was found, for the checks that follow.
type Read = Option<ObjectBytes>;
