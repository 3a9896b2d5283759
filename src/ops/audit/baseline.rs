//! Baselines: what each audit found, one row after another in `data/_kb/audit_baselines.jsonl`, and once more in the store.
//!
//! Rests on trees and on the store's publish. A row names the row before it by its hash, so that the file can be checked by
//! itself; and the store keeps every row in a line of commits of its own, under the ref `audits/baselines`, so that a
//! file which was cut short is found out too. Invariants: a row is published before it is appended, and nothing that was
//! appended is touched again; no branch, tag or run moves; `gc`, `verify` and `reindex` see the line as they see any.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::json;
use crate::object::CommitId;
use crate::object::Exists as _;
use crate::object::FindExt as _;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::object::Write as _;
use crate::ops::checks::Breach;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::run::tool;
use crate::record::{Metrics, Tool};
use crate::repo::{Commit, CommitSchema, Repo};
use crate::store::{OpRequest, RefChange};
use crate::tree;

/// Where the rows stand, below the folder that holds `.distill`.
pub const FILE: &str = "data/_kb/audit_baselines.jsonl";
/// The ref that names the commit of the last row.
const REF: &str = "audits/baselines";
/// The dataset of that commit: row number to row.
const DATASET: &str = "audit-baselines";
/// The operation, and what made the commits.
const OPERATION: &str = "audit-full";

/// What one audit found. Its canonical JSON is the row, and BLAKE3 of that its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// When, RFC 3339 in UTC.
    pub audited_at: String,
    /// The audited commit.
    pub commit_id: CommitId,
    /// The configuration that it was held against.
    pub config_id: Option<ObjectId>,
    /// The numbers of the required checks that did not hold.
    pub failed: Vec<u8>,
    /// The acceptance fixture that this program carried.
    pub fixture: ObjectId,
    /// The ten metrics of the audited commit.
    pub metrics: Metrics,
    /// Its number, from 1.
    pub number: u64,
    /// The row before it; null for the first.
    pub previous: Option<ObjectId>,
    /// The run of the audited commit.
    pub run_id: String,
    /// `distill.audit_baseline.v1`
    pub schema: BaselineSchema,
    /// The program that audited.
    pub tool: Tool,
}

/// The schema of [`Baseline`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaselineSchema {
    /// `distill.audit_baseline.v1`
    #[default]
    #[serde(rename = "distill.audit_baseline.v1")]
    V1,
}

/// What a new row says, but for its place in the chain.
pub(super) struct NewBaseline {
    pub audited_at: String,
    pub commit_id: CommitId,
    pub config_id: Option<ObjectId>,
    pub failed: Vec<u8>,
    pub fixture: ObjectId,
    pub metrics: Metrics,
    pub run_id: String,
}

/// The rows so far, as the store has them, and what is wrong with the file.
pub(crate) struct Baselines {
    path: PathBuf,
    /// The commit of the last row.
    tip: Option<(CommitId, Commit)>,
    rows: Vec<(ObjectId, Baseline)>,
    faults: Vec<Breach>,
}

impl Baselines {
    /// Reads the store's rows and holds the file against them.
    ///
    /// # Errors
    /// When the file cannot be read, or the store's rows are missing or damaged.
    pub(super) fn load(repo: &Repo) -> Result<Self, OpError> {
        let path = repo.root().join(FILE);
        let tip = match repo.store().get_ref(REF) {
            Some(id) => Some((CommitId::new(id), repo.commit(CommitId::new(id))?)),
            None => None,
        };
        let root = tip.as_ref().and_then(|(_, commit)| commit.dataset(DATASET));
        let mut rows = Vec::new();
        for entry in root.into_iter().flat_map(|root| tree::iter(repo.store(), root)) {
            let id = entry?.id;
            let row = serde_json::from_slice(&repo.store().find(&id)?).map_err(|error| {
                let message = format!("the baseline {id} in the store cannot be read: {error}");
                OpError::new(ErrorKind::Damaged, message, "`distill verify` says what is damaged")
            })?;
            rows.push((id, row));
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(OpError::io("read", &path, &error)),
        };
        let ids: Vec<ObjectId> = rows.iter().map(|(id, _)| *id).collect();
        let faults = faults(&bytes, &ids);
        Ok(Self { path, tip, rows, faults })
    }

    /// What is wrong with the file; nothing where it is what the audits wrote.
    pub(super) fn faults(&self) -> &[Breach] {
        &self.faults
    }

    /// The latest row that passed, of `commit` or an ancestor of it.
    ///
    /// # Errors
    /// When history cannot be read.
    pub(super) fn compared_with(&self, repo: &Repo, commit: CommitId) -> Result<Option<Baseline>, OpError> {
        for (_, row) in self.rows.iter().rev().filter(|(_, row)| row.failed.is_empty()) {
            // A commit that was collected since is nobody's ancestor.
            let is_there = repo.store().exists(row.commit_id.object())?;
            if row.commit_id == commit || (is_there && repo.is_ancestor(row.commit_id, commit)?) {
                return Ok(Some(row.clone()));
            }
        }
        Ok(None)
    }

    /// Publishes a new row and appends it to the file.
    ///
    /// # Errors
    /// Another audit at the same time, a full disk.
    pub(super) fn append(&self, repo: &Repo, new: NewBaseline) -> Result<(ObjectId, Baseline), OpError> {
        let NewBaseline { audited_at, commit_id, config_id, failed, fixture, metrics, run_id } = new;
        let number = self.rows.len() as u64 + 1;
        let previous = self.rows.last().map(|(id, _)| *id);
        let schema = BaselineSchema::V1;
        let row = Baseline {
            audited_at,
            commit_id,
            config_id,
            failed,
            fixture,
            metrics,
            number,
            previous,
            run_id,
            schema,
            tool: tool(),
        };
        let unwritable = |e: json::JsonError| {
            OpError::new(ErrorKind::Outside, format!("the baseline cannot be written: {e}"), "report this")
        };
        let bytes = json::to_canonical(&row).map_err(unwritable)?;
        let mut staging = repo.store().staging()?;
        let id = staging.write(Kind::Data, &bytes)?;
        let old = self.tip.as_ref().and_then(|(_, commit)| commit.dataset(DATASET));
        let entry = tree::Entry { key: format!("{number:010}"), id, bytes: bytes.len() as u64 };
        let mut rows = Vec::new();
        for entry in old.into_iter().flat_map(|root| tree::iter(repo.store(), root)) {
            rows.push(entry?);
        }
        rows.push(entry);
        let mut builder = tree::Builder::new(&mut staging);
        for entry in &rows {
            builder.push(entry)?;
        }
        let root = builder.finish()?.root;
        let receipts = tree::Builder::new(&mut staging).finish()?.root;
        let commit = Commit {
            schema: CommitSchema::V1,
            run_id: format!("{OPERATION}-{number}"),
            operation: OPERATION.to_owned(),
            parents: self.tip.iter().map(|(id, _)| *id).collect(),
            generation: self.tip.as_ref().map_or(0, |(_, commit)| commit.generation + 1),
            committed_at: row.audited_at.clone(),
            author: repo.config().author.clone(),
            message: format!("baseline {number}: {} of `{}`", commit_id.object().short(12), row.run_id),
            datasets: [(DATASET.to_owned(), root)].into(),
            receipts,
            summary_id: None,
            drift_id: None,
            config_id: None,
            config_files: None,
            tool: tool(),
        };
        let commit_bytes = commit.to_bytes().map_err(unwritable)?;
        let tip = staging.write(Kind::Data, &commit_bytes)?;
        let request = OpRequest {
            operation: OPERATION.to_owned(),
            message: Some(format!("baseline {number} {id}")),
            at: row.audited_at.clone(),
            ref_changes: vec![RefChange {
                name: REF.to_owned(),
                old: self.tip.as_ref().map(|(id, _)| *id.object()),
                new: Some(tip),
            }],
            head: None,
            drop_packs: Vec::new(),
        };
        repo.store().publish(Some(staging), request)?;
        append(&self.path, &bytes).map_err(|e| OpError::io("append to", &self.path, &e))?;
        Ok((id, row))
    }
}

/// Adds one line to the end of a file, on disk before this returns.
fn append(path: &Path, line: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&[line, b"\n"].concat())?;
    file.sync_all()
}

/// What is wrong with a file of rows, where `ids` are those that the audits wrote: cut short, edited, reordered, or with
/// rows that no audit wrote. Each row is named by its line.
fn faults(bytes: &[u8], ids: &[ObjectId]) -> Vec<Breach> {
    let mut faults = Vec::new();
    let mut fault = |line: usize, detail: String| {
        faults.push(Breach { file: Some(FILE.to_owned()), line: Some(line as u64), ..Breach::new(detail) });
    };
    let whole = bytes.strip_suffix(b"\n");
    let lines: Vec<&[u8]> = match whole.unwrap_or(bytes) {
        b"" => Vec::new(),
        text => text.split(|byte| *byte == b'\n').collect(),
    };
    for (at, line) in lines.iter().enumerate() {
        let id = ObjectId::of(line);
        if ids.get(at) == Some(&id) {
            continue;
        }
        let detail = match (ids.iter().position(|known| *known == id), ids.get(at)) {
            (Some(other), _) => format!("this is row {}: the file was reordered", other + 1),
            (None, Some(known)) => format!("this row was edited: the audit wrote {known}, and here is {id}"),
            (None, None) => format!("no audit wrote this row, {id}"),
        };
        fault(at + 1, detail);
    }
    if let Some(missing) = ids.get(lines.len()) {
        let n = ids.len() - lines.len();
        fault(
            lines.len() + 1,
            format!(
                "the file was truncated: {n} rows are missing, from row {} on, which is {missing} \
                 (`distill cat` prints it)",
                lines.len() + 1
            ),
        );
    } else if whole.is_none() && !bytes.is_empty() {
        fault(lines.len(), "the line feed behind this row is gone".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &[(u64, &str)]) {
        let ids = ["a", "b", "c"].map(|row| ObjectId::of(row.as_bytes()));
        let faults = faults(text.as_bytes(), &ids);
        assert_eq!(faults.len(), expect.len(), "{text:?}: {faults:?}");
        for (fault, (line, part)) in faults.iter().zip(expect) {
            assert_eq!(fault.line, Some(*line), "{text:?}: {fault:?}");
            assert!(fault.detail.contains(part), "{text:?}: {fault:?}");
        }
    }

    #[test]
    fn every_change_of_the_file_is_named() {
        check("a\nb\nc\n", &[]);
        check("a\nb\n", &[(3, "truncated: 1 rows")]);
        check("", &[(1, "truncated: 3 rows")]);
        check("a\nb\nc", &[(3, "line feed")]);
        check("a\nb\nx\n", &[(3, "edited")]);
        check("a\nc\nb\n", &[(2, "row 3: the file was reordered"), (3, "row 2")]);
        check("b\nc\n", &[(1, "row 2"), (2, "row 3"), (3, "truncated")]);
        check("a\nb\nc\nd\n", &[(4, "no audit wrote")]);
        check("a\n\nb\nc\n", &[(2, "edited"), (3, "row 2"), (4, "row 3")]);
    }
}
