//! Everything that refs reach: tags, commits, reports, trees and rows.
//!
//! Rests on the repository and the tree's walker. Invariants: an object is read once at most, and not at all where a
//! check of its whole pack has just hashed it; what cannot be read is a finding, and what lies beside it is still
//! reached.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;

use rustc_hash::FxHashSet;

use super::Covered;
use super::Dependant;
use super::Findings;
use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::ops::progress::Progress;
use crate::record::DriftReport;
use crate::record::Record;
use crate::record::RunSummary;
use crate::record::StageReceipt;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::repo::Tag;
use crate::tree::Entry;
use crate::tree::TreeError;
use crate::tree::Visitor;
use crate::tree::Walker;

/// The commits that were read, with the refs that stand at each.
pub(super) struct Reached {
    pub(super) commits: BTreeMap<CommitId, Commit>,
    pub(super) refs: BTreeMap<CommitId, Vec<String>>,
}

pub(super) struct Reach<'a> {
    repo: &'a Repo,
    /// Packs that were hashed whole and hold.
    sound: BTreeSet<ObjectId>,
    covered: &'a mut Covered,
    findings: &'a mut Findings,
    progress: &'a dyn Progress,
    walker: Walker<'a>,
    /// The first 16 bytes of every object that was looked at, nodes apart.
    seen: FxHashSet<u128>,
    reached: Reached,
}

impl<'a> Reach<'a> {
    pub(super) fn new(
        repo: &'a Repo,
        sound: BTreeSet<ObjectId>,
        covered: &'a mut Covered,
        findings: &'a mut Findings,
        progress: &'a dyn Progress,
    ) -> Self {
        let reached = Reached { commits: BTreeMap::new(), refs: BTreeMap::new() };
        let walker = Walker::new(repo.store());
        Self { repo, sound, covered, findings, progress, walker, seen: FxHashSet::default(), reached }
    }

    /// Every ref, HEAD, and their histories.
    pub(super) fn everything(&mut self) {
        let mut starts = BTreeSet::new();
        for (name, id) in self.repo.store().refs() {
            self.covered.refs += 1;
            let commit = match name.strip_prefix("tags/") {
                Some(tag) => self.tag(tag, id),
                None => Some(CommitId::new(id)),
            };
            if let Some(commit) = commit {
                self.reached.refs.entry(commit).or_default().push(name);
                starts.insert(commit);
            }
        }
        if let Some(head) = self.repo.head_commit()
            && starts.insert(head)
        {
            self.reached.refs.entry(head).or_default().push("HEAD".to_owned());
        }
        self.history(starts);
    }

    /// The commits behind `starts` and all that they hold.
    pub(super) fn history(&mut self, starts: impl IntoIterator<Item = CommitId>) {
        let mut todo: Vec<(CommitId, Option<CommitId>)> = starts.into_iter().map(|id| (id, None)).collect();
        let mut known: HashSet<CommitId> = todo.iter().map(|(id, _)| *id).collect();
        while let Some((id, child)) = todo.pop() {
            let named_by = Dependant {
                refs: child.map_or_else(|| self.refs(id), |child| self.refs(child)),
                commit_id: child,
                part: if child.is_some() { "parent" } else { "ref" }.to_owned(),
                key: None,
            };
            let Some(commit) = self.parse("commit", *id.object(), named_by, |id, bytes| {
                Commit::parse(id, bytes).map_err(|error| error.detail)
            }) else {
                continue;
            };
            self.covered.commits += 1;
            self.commit(id, &commit);
            for parent in &commit.parents {
                if known.insert(*parent) {
                    todo.push((*parent, Some(id)));
                }
            }
            self.reached.commits.insert(id, commit);
        }
    }

    pub(super) fn finish(self) -> Reached {
        self.covered.nodes = self.walker.nodes_seen() as u64;
        self.covered.objects += self.covered.nodes;
        self.reached
    }

    fn refs(&self, id: CommitId) -> Vec<String> {
        self.reached.refs.get(&id).cloned().unwrap_or_default()
    }

    fn tag(&mut self, name: &str, id: ObjectId) -> Option<CommitId> {
        let full = format!("tags/{name}");
        let named_by = Dependant { refs: vec![full], commit_id: None, part: "ref".to_owned(), key: None };
        let tag = self.parse("tag", id, named_by, |id, bytes| {
            let tag = Tag::parse(id, bytes).map_err(|error| error.detail)?;
            if tag.name == name {
                Ok(tag)
            } else {
                Err(format!("it was made for the name `{}`, but stands under `{name}`", tag.name))
            }
        })?;
        self.covered.tags += 1;
        Some(tag.target)
    }

    fn commit(&mut self, id: CommitId, commit: &Commit) {
        let refs = self.refs(id);
        let part = |part: &str| Dependant {
            refs: refs.clone(),
            commit_id: Some(id),
            part: part.to_owned(),
            key: None,
        };
        let before = self.covered.objects;
        if let Some(summary) = commit.summary_id {
            self.parse("summary", summary, part("summary"), shape::<RunSummary>);
        }
        if let Some(drift) = commit.drift_id {
            self.parse("drift report", drift, part("drift"), shape::<DriftReport>);
        }
        if let Some(config) = commit.config_id {
            self.parse("configuration", config, part("config"), |_, _| Ok(()));
        }
        self.covered.reports += self.covered.objects - before;
        let before = self.covered.objects;
        for receipt in self.tree("receipts", commit.receipts, true) {
            self.parse("receipt", receipt, part("receipts"), shape::<StageReceipt>);
        }
        self.covered.receipts += self.covered.objects - before;
        if let Some(files) = commit.config_files {
            self.tree("config files", files, false);
        }
        for (name, root) in &commit.datasets {
            self.tree(name, *root, false);
        }
    }

    /// Walks a tree; its rows are looked at here, or with `keep` handed back unread.
    fn tree(&mut self, part: &str, root: RootId, keep: bool) -> Vec<ObjectId> {
        let mut visit = Visit { rows: Vec::new(), damage: Vec::new(), kept: keep };
        let mut rows = Rows {
            repo: self.repo,
            sound: &self.sound,
            covered: self.covered,
            seen: &mut self.seen,
            progress: self.progress,
        };
        let mut row_damage = Vec::new();
        self.walker.walk(root, &mut Both { visit: &mut visit, rows: &mut rows, damage: &mut row_damage });
        for (id, error) in visit.damage {
            let place = place_of(self.repo, &id, &error);
            self.findings.object(&format!("tree node of {part}"), id, place, why(&error));
        }
        for (id, error) in row_damage {
            let place = place_of(self.repo, &id, &error);
            self.findings.object(&format!("row of {part}"), id, place, why(&error));
        }
        visit.rows
    }

    /// Reads an object and parses it; a failure is a finding that `named_by` depends on.
    fn parse<T>(
        &mut self,
        kind: &str,
        id: ObjectId,
        named_by: Dependant,
        parse: impl FnOnce(&ObjectId, &ObjectBytes) -> Result<T, String>,
    ) -> Option<T> {
        let (place, detail) = match self.repo.store().find(&id) {
            Ok(bytes) => {
                if self.seen.insert(prefix(&id)) {
                    self.covered.objects += 1;
                    self.covered.bytes += bytes.len() as u64;
                }
                match parse(&id, &bytes) {
                    Ok(value) => return Some(value),
                    Err(detail) => {
                        let place = self.repo.store().locate(&id).ok().flatten().map(|at| at.path);
                        (place, detail)
                    }
                }
            }
            Err(error) => {
                let error = TreeError::Odb(error);
                (place_of(self.repo, &id, &error), why(&error))
            }
        };
        self.findings.object(kind, id, place, detail).needed_by(named_by);
        None
    }
}

fn shape<T: Record>(_: &ObjectId, bytes: &ObjectBytes) -> Result<(), String> {
    T::parse(bytes).map(drop).map_err(|error| error.to_string())
}

/// What a walk of one tree gathers.
struct Visit {
    kept: bool,
    rows: Vec<ObjectId>,
    damage: Vec<(ObjectId, TreeError)>,
}

/// Looks at row objects, each once.
struct Rows<'a> {
    repo: &'a Repo,
    sound: &'a BTreeSet<ObjectId>,
    covered: &'a mut Covered,
    seen: &'a mut FxHashSet<u128>,
    progress: &'a dyn Progress,
}

impl Rows<'_> {
    /// Whether the object is there and hashes to its name, and has the length that the tree gives it.
    fn check(&mut self, row: &Entry) -> Result<(), OdbError> {
        if !self.seen.insert(prefix(&row.id)) {
            return Ok(());
        }
        self.progress.advance(1, row.bytes);
        let len = match self.repo.store().locate(&row.id) {
            Ok(Some(at)) if self.sound.contains(&at.pack) => u64::from(at.len),
            _ => self.repo.store().find(&row.id)?.len() as u64,
        };
        if len != row.bytes {
            let detail = format!("it has {len} bytes, the tree says {}", row.bytes);
            let place = self.repo.store().locate(&row.id).ok().flatten().map(|at| at.path);
            return Err(OdbError::Corrupt { id: row.id, place: place.unwrap_or_default(), detail });
        }
        self.covered.rows += 1;
        self.covered.objects += 1;
        self.covered.bytes += len;
        Ok(())
    }
}

struct Both<'a, 'b> {
    visit: &'a mut Visit,
    rows: &'a mut Rows<'b>,
    damage: &'a mut Vec<(ObjectId, TreeError)>,
}

impl Visitor for Both<'_, '_> {
    fn node(&mut self, _: &ObjectId, _: u8) -> bool {
        true
    }

    fn row(&mut self, row: &Entry) {
        if self.visit.kept {
            self.visit.rows.push(row.id);
        } else if let Err(error) = self.rows.check(row) {
            self.damage.push((row.id, error.into()));
        }
    }

    fn damage(&mut self, id: &ObjectId, error: TreeError) {
        self.visit.damage.push((*id, error));
    }
}

fn prefix(id: &ObjectId) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

/// The file in which the damage is.
fn place_of(repo: &Repo, id: &ObjectId, error: &TreeError) -> Option<std::path::PathBuf> {
    match error {
        TreeError::Odb(OdbError::Corrupt { place, .. } | OdbError::Damaged { place, .. }) => {
            Some(place.clone())
        }
        TreeError::Odb(OdbError::Io { path, .. }) => Some(path.clone()),
        TreeError::Odb(OdbError::NotFound { .. }) => None,
        _ => repo.store().locate(id).ok().flatten().map(|at| at.path),
    }
}

/// What is wrong, without the id and the file, which stand beside it.
fn why(error: &TreeError) -> String {
    match error {
        TreeError::Odb(OdbError::Corrupt { detail, .. } | OdbError::Damaged { detail, .. })
        | TreeError::BadNode { detail, .. } => detail.clone(),
        TreeError::Odb(OdbError::NotFound { .. }) => "it is missing".to_owned(),
        other => other.to_string(),
    }
}
