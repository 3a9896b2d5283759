//! The walk forward: what became of one source row, in every dataset of a commit.
//!
//! Rests on keys: a row's unit number finds it in `sources`, its entries in `quarantine` and `duplicates`, and the spec that
//! the commit stores, run once more on the row, the key of its evidence. Where keys do not tell (a spec that reads joined
//! rows, a row that only lookups read) one dataset is gone through, and the answer says so. Invariant: a record is taken for
//! one of this row only when its provenance names it.

mod exports;
mod find;

use serde::Serialize;

use super::follow::{hop, record, same};
use super::origins::Origins;
use super::{CheckName, Fault, Hop, Role, source};
use crate::object::CommitId;
use crate::object::RootId;
use crate::ops::engine::stored;
use crate::ops::open::resolve;
use crate::ops::progress::Progress;
use crate::ops::{ErrorKind, OpError};
use crate::record::{
    DuplicateEntry, EvidenceRecord, QuarantineEntry, ScoredRun, duplicate_key, quarantine_key, source_key,
};
use crate::repo::{Commit, Repo};
use crate::tree;

use find::Finder;

/// What became of a source row.
#[derive(Clone, Debug, Serialize)]
pub struct Reverse {
    /// The commit in which it was looked for.
    pub commit_id: CommitId,
    /// The run that made that commit.
    pub run_id: String,
    /// Whether every check held.
    pub holds: bool,
    /// The checks that did not.
    pub faults: Vec<Fault>,
    /// The row itself.
    pub row: Hop,
    /// The spec that reads its file, by the configuration that the commit stores.
    pub spec: Option<String>,
    /// What became of it.
    pub fate: SourceFate,
    /// The rule that skipped it, or the reason for which it was refused.
    pub rule: Option<String>,
    /// For a refusal: what and where; for a repetition: the key of the record that it repeats.
    pub detail: Option<String>,
    /// Its own entries in `quarantine` and `duplicates`.
    pub entries: Vec<Hop>,
    /// The evidence that was made of it, and what became of that.
    pub records: Vec<RecordFate>,
    /// Keys of evidence that joined it as a row of a lookup; looked for only where nothing else reads the file.
    pub joined_by: Vec<String>,
    /// Datasets that were gone through as a whole, since no key led to the row.
    pub scanned: Vec<String>,
}

/// What became of a source row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFate {
    /// It became evidence.
    Consumed,
    /// It repeats a row that comes earlier.
    Duplicate,
    /// It was refused.
    Quarantined,
    /// A rule left it out.
    Skipped,
    /// Only lookups read its file.
    Lookup,
    /// No record tells: it was stored after the evidence was made, or no spec of the commit reads its file.
    Unread,
}

impl SourceFate {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumed => "consumed",
            Self::Duplicate => "a duplicate",
            Self::Quarantined => "quarantined",
            Self::Skipped => "skipped",
            Self::Lookup => "read by lookups alone",
            Self::Unread => "not read",
        }
    }
}

/// A record that was made of the row.
#[derive(Clone, Debug, Serialize)]
pub struct RecordFate {
    /// Its key.
    pub key: String,
    /// Its row in `evidence`.
    pub evidence: Hop,
    /// Its row in `scored-runs`; null where it has none.
    pub scored: Option<Hop>,
    /// What each export made of it.
    pub exports: Vec<ExportFate>,
}

/// What an export made of a record.
#[derive(Clone, Debug, Serialize)]
pub struct ExportFate {
    /// The export's dataset.
    pub dataset: String,
    /// `exported`, `quarantined`, `duplicate`, `skipped` or `unpaired`.
    pub fate: &'static str,
    /// The rule that skipped it, or the reason for which it was refused.
    pub rule: Option<String>,
    /// For a repetition: the key of the row that it repeats; for a refusal: what was found.
    pub detail: Option<String>,
    /// The rows: of the export, or the entry in `quarantine` or `duplicates`.
    pub rows: Vec<Hop>,
}

/// What became of line `line` (from 1) of `file` in the commit `at`, HEAD by default. Where the units of the file are
/// elements or values, `line` counts those.
///
/// # Errors
/// A file or line that the commit's sources do not have; damage on the way to the row.
pub fn reverse(
    repo: &Repo,
    file: &str,
    line: u64,
    at: Option<&str>,
    progress: &dyn Progress,
) -> Result<Reverse, OpError> {
    let commit_id = resolve(repo, at)?;
    let commit = repo.commit(commit_id)?;
    let unknown = |message: String, hint: String| OpError::new(ErrorKind::Usage, message, hint);
    let Some(number) = line.checked_sub(1) else {
        return Err(unknown("there is no line 0".to_owned(), "lines are counted from 1".to_owned()));
    };
    let short = commit_id.object().short(12);
    let sources = commit.dataset("sources").ok_or_else(|| {
        unknown(format!("commit {short} has no sources"), "name another with `--at REV`".to_owned())
    })?;
    let Some((file, units)) = file_of(repo, sources, file)? else {
        return Err(unknown(
            format!("commit {short} has no source file `{file}`"),
            format!("give its path relative to {}, as records carry it", repo.base().display()),
        ));
    };
    let key = source_key(&file, number).map_err(|e| unknown(e.to_string(), String::new()))?;
    let Some(entry) = tree::get(repo.store(), sources, &key)? else {
        return Err(unknown(
            format!("{file} has {units} rows in commit {short}, and none of number {line}"),
            "rows are counted from 1".to_owned(),
        ));
    };
    let finder = Finder::new(repo, &commit, &file, number, entry.id)?;
    let (mut row, bytes) = hop(repo, Role::Source, "sources", Some(sources), &key, None);
    row.source = Some(source::place(repo.base(), &file, finder.unit(), number, &entry.id));
    let mut told = Reverse {
        commit_id,
        run_id: commit.run_id.clone(),
        holds: true,
        faults: Vec::new(),
        row,
        spec: finder.spec_name(),
        fate: SourceFate::Unread,
        rule: None,
        detail: None,
        entries: Vec::new(),
        records: Vec::new(),
        joined_by: Vec::new(),
        scanned: Vec::new(),
    };
    told.tell(repo, &commit, &finder, &key, bytes.as_deref(), progress)?;
    told.gather();
    Ok(told)
}

/// The file as records call it, and how many units it has: as typed, or by its place on this disk.
fn file_of(repo: &Repo, sources: RootId, typed: &str) -> Result<Option<(String, u64)>, OpError> {
    let mut names = vec![typed.trim_start_matches("./").to_owned()];
    if let Ok(absolute) = std::path::absolute(typed) {
        let base = std::path::absolute(repo.base()).unwrap_or_else(|_| repo.base().to_owned());
        let below = absolute.strip_prefix(&base).ok().and_then(|path| path.to_str()).map(ToOwned::to_owned);
        names.extend(below);
    }
    for name in names {
        if source_key(&name, 0).is_err() {
            continue;
        }
        let units = stored::count(repo.store(), sources, &name)?;
        if units > 0 {
            return Ok(Some((name, units)));
        }
    }
    Ok(None)
}

impl Reverse {
    fn tell(
        &mut self,
        repo: &Repo,
        commit: &Commit,
        finder: &Finder<'_>,
        source: &str,
        bytes: Option<&[u8]>,
        progress: &dyn Progress,
    ) -> Result<(), OpError> {
        if let Some((reason, entry)) =
            quarantined::<QuarantineEntry>(repo, commit, "evidence", source, |e| &e.id)?
        {
            let (hop, entry) = entry;
            if let Some(entry) = entry {
                self.sig(&entry.provenance, bytes);
                self.detail = Some(entry.detail);
            }
            (self.fate, self.rule) = (SourceFate::Quarantined, Some(reason));
            self.entries.push(hop);
            return Ok(());
        }
        if let Some((hop, entry)) = duplicate(repo, commit, "evidence", source)? {
            if let Some(entry) = entry {
                self.sig(&entry.provenance, bytes);
                self.detail = Some(entry.duplicate_of);
            }
            self.fate = SourceFate::Duplicate;
            self.entries.push(hop);
            return Ok(());
        }
        let found = finder.find(bytes, progress)?;
        self.scanned.extend(found.scanned.then(|| "evidence".to_owned()));
        self.joined_by = found.joined_by;
        (self.fate, self.rule) = match (found.keys.is_empty(), found.skipped) {
            (false, _) => (SourceFate::Consumed, None),
            (true, Some(rule)) => (SourceFate::Skipped, Some(rule)),
            (true, None) if finder.is_lookup_only() => (SourceFate::Lookup, None),
            (true, None) => (SourceFate::Unread, None),
        };
        let exports = exports::Exports::new(repo, commit)?;
        let origins = Origins::new(repo, commit)?;
        for key in found.keys {
            let root = commit.dataset("evidence");
            let (mut evidence, read) = hop(repo, Role::Evidence, "evidence", root, &key, None);
            let Some(parsed) = record::<EvidenceRecord>(&mut evidence, &read, |e| &e.key) else {
                self.records.push(RecordFate { key, evidence, scored: None, exports: Vec::new() });
                continue;
            };
            self.sig(&parsed.provenance, bytes);
            let evidence_id = evidence.id;
            let scored_root = commit.dataset("scored-runs");
            let there = scored_root.map(|root| tree::get(repo.store(), root, &key)).transpose()?.flatten();
            let mut scored =
                there.is_some().then(|| hop(repo, Role::ScoredRun, "scored-runs", scored_root, &key, None));
            let mut verdict = None;
            if let Some((hop, read)) = &mut scored {
                verdict = record::<ScoredRun>(hop, read, |scored| &scored.key);
                if let (Some(verdict), Some(id)) = (&verdict, evidence_id) {
                    hop.says.push(("category", verdict.category.as_str().to_owned()));
                    hop.says.push(("rule", verdict.deciding_rule.clone()));
                    // Scored runs of an earlier commit may stand beside newer evidence.
                    let of =
                        scored_root.and_then(|root| origins.input("score", "scored-runs", root, "evidence"));
                    if of == root {
                        same(hop, CheckName::Link, &verdict.evidence_id, &id);
                    }
                }
            }
            let exports = match (&verdict, evidence_id) {
                (Some(verdict), Some(id)) => exports.of(id, &parsed, verdict, &mut self.scanned)?,
                _ => Vec::new(),
            };
            self.records.push(RecordFate { key, evidence, scored: scored.map(|(hop, _)| hop), exports });
        }
        Ok(())
    }

    /// Computes the row's `sig_hash` once, against the first record that carries one.
    fn sig(&mut self, provenance: &crate::record::Provenance, bytes: Option<&[u8]>) {
        let known = self.row.checks.iter().any(|check| check.check == CheckName::SigHash);
        if let (false, Some(bytes)) = (known, bytes) {
            source::check_sig(&mut self.row, bytes, provenance);
        }
    }

    fn gather(&mut self) {
        let mut faults = Vec::new();
        self.row.gather(&mut faults);
        for entry in &self.entries {
            entry.gather(&mut faults);
        }
        for record in &self.records {
            record.evidence.gather(&mut faults);
            for hop in record.scored.iter().chain(record.exports.iter().flat_map(|export| &export.rows)) {
                hop.gather(&mut faults);
            }
        }
        self.holds = faults.is_empty();
        self.faults = faults;
    }
}

/// The entry that `stage` made when it refused `key`, with its reason.
fn quarantined<T: crate::record::Record>(
    repo: &Repo,
    commit: &Commit,
    stage: &str,
    key: &str,
    key_of: impl Fn(&T) -> &str,
) -> Result<Option<(String, (Hop, Option<T>))>, OpError> {
    let Some(root) = commit.dataset("quarantine") else { return Ok(None) };
    for reason in find::reasons(repo, root, stage)? {
        let Ok(name) = quarantine_key(stage, &reason, key) else { continue };
        if tree::get(repo.store(), root, &name)?.is_some() {
            let (mut hop, bytes) = hop(repo, Role::Refused, "quarantine", Some(root), &name, None);
            let entry = record::<T>(&mut hop, &bytes, key_of);
            return Ok(Some((reason, (hop, entry))));
        }
    }
    Ok(None)
}

/// The entry that `stage` made when `key` repeated something.
fn duplicate(
    repo: &Repo,
    commit: &Commit,
    stage: &str,
    key: &str,
) -> Result<Option<(Hop, Option<DuplicateEntry>)>, OpError> {
    let Some(root) = commit.dataset("duplicates") else { return Ok(None) };
    let Ok(name) = duplicate_key(stage, key) else { return Ok(None) };
    if tree::get(repo.store(), root, &name)?.is_none() {
        return Ok(None);
    }
    let (mut hop, bytes) = hop(repo, Role::Repeats, "duplicates", Some(root), &name, None);
    let entry = record::<DuplicateEntry>(&mut hop, &bytes, |entry| &entry.id);
    Ok(Some((hop, entry)))
}
