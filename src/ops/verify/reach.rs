//! Everything that refs reach: tags, commits, reports, trees and rows.
//!
//! Rests on the repository; `walks` goes through the datasets. Invariants: what cannot be read is a finding, and what
//! lies beside it is still reached; a dataset is walked once for all commits.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashSet;

use super::Covered;
use super::Dependant;
use super::Findings;
use super::known::{Known, Leaves};
use super::walks::{Trees, Walked, place_of, walk, walk_all, why};
use crate::base::json::canonicalize;
use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::progress::Progress;
use crate::record::DriftReport;
use crate::record::Record;
use crate::record::RunSummary;
use crate::record::StageReceipt;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::repo::Tag;
use crate::tree::TreeError;

/// The commits that were read, with the refs that stand at each.
#[derive(Default)]
pub(super) struct Reached {
    pub(super) commits: BTreeMap<CommitId, Commit>,
    pub(super) refs: BTreeMap<CommitId, Vec<String>>,
    /// Parts of commits in which something is damaged or missing.
    pub(super) hit: BTreeMap<CommitId, BTreeSet<String>>,
    /// Tags whose object cannot be used.
    pub(super) broken_tags: BTreeSet<String>,
    /// The sound leaves of each dataset.
    pub(super) leaves: BTreeMap<String, Leaves>,
}

impl Reached {
    /// Notes the refs that stand at the commits, where the walk did not begin at refs.
    pub(super) fn name(&mut self, repo: &Repo) {
        for name in repo.store().refs().into_keys() {
            // A tag that cannot be read stands at no commit.
            if let Ok(commit) = repo.peel(&name)
                && self.commits.contains_key(&commit)
            {
                self.refs.entry(commit).or_default().push(name);
            }
        }
    }

    /// Notes that something in `part` of a commit is damaged or missing.
    pub(super) fn hit(&mut self, commit: CommitId, part: &str) {
        let parts = self.hit.entry(commit).or_default();
        if !parts.contains(part) {
            parts.insert(part.to_owned());
        }
    }
}

pub(super) struct Reach<'a> {
    repo: &'a Repo,
    known: &'a Known,
    covered: &'a mut Covered,
    findings: &'a mut Findings,
    progress: &'a dyn Progress,
    /// The trees of the commits met so far, by name.
    trees: BTreeMap<String, Vec<RootId>>,
    reached: Reached,
}

impl<'a> Reach<'a> {
    /// What `known` has of sound packs need not be read again.
    pub(super) fn new(
        repo: &'a Repo,
        known: &'a Known,
        covered: &'a mut Covered,
        findings: &'a mut Findings,
        progress: &'a dyn Progress,
    ) -> Self {
        let reached = Reached::default();
        Self { repo, known, covered, findings, progress, trees: BTreeMap::new(), reached }
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

    /// Walks the trees of the commits that were met.
    pub(super) fn finish(mut self) -> Reached {
        let trees = std::mem::take(&mut self.trees);
        let trees = trees.into_iter().map(|(name, roots)| Trees { name, roots }).collect();
        for walked in walk_all(self.repo.store(), self.known, self.progress, trees) {
            self.take(walked);
        }
        self.reached
    }

    /// Takes in what a walk found; returns the rows that it kept.
    fn take(&mut self, walked: Walked) -> Vec<ObjectId> {
        let Walked { name, covered, damage, rows, leaves } = walked;
        self.covered.nodes += covered.nodes;
        self.covered.rows += covered.rows;
        self.covered.objects += covered.objects;
        self.covered.bytes += covered.bytes;
        for (kind, id, error) in damage {
            let place = place_of(self.repo.store(), &id, &error);
            self.findings.object("V2", &format!("{kind} of {name}"), id, place, why(&error));
        }
        self.reached.leaves.insert(name, leaves);
        rows
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
        let receipts = Trees { name: "receipts".to_owned(), roots: vec![commit.receipts] };
        let walked = walk(self.repo.store(), self.known, self.progress, receipts, true);
        let rows = self.take(walked);
        let before = self.covered.objects;
        for id in rows {
            let read = |_: &ObjectId, bytes: &ObjectBytes| {
                StageReceipt::parse(bytes).map_err(|error| error.to_string())
            };
            let Some(receipt) = self.parse("receipt", id, part("receipts"), read) else { continue };
            if let Some(previous) = receipt.previous {
                self.parse("receipt before", previous, part("receipts"), shape::<StageReceipt>);
            }
        }
        self.covered.receipts += self.covered.objects - before;
        let trees = commit.config_files.map(|root| ("config files", root)).into_iter();
        for (name, root) in trees.chain(commit.datasets.iter().map(|(name, root)| (name.as_str(), *root))) {
            match self.trees.get_mut(name) {
                Some(roots) => roots.push(root),
                None => drop(self.trees.insert(name.to_owned(), vec![root])),
            }
        }
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
                if self.known.look(&id).first {
                    self.covered.objects += 1;
                    self.covered.bytes += bytes.len() as u64;
                }
                match canonical(&bytes).and_then(|()| parse(&id, &bytes)) {
                    Ok(value) => return Some(value),
                    Err(detail) => {
                        let place = self.repo.store().locate(&id).ok().flatten().map(|at| at.path);
                        (place, detail)
                    }
                }
            }
            Err(error) => {
                let error = TreeError::Odb(error);
                (place_of(self.repo.store(), &id, &error), why(&error))
            }
        };
        if let Some(commit) = named_by.commit_id.filter(|_| named_by.part != "parent") {
            self.reached.hit(commit, &named_by.part);
        }
        if kind == "tag" {
            self.reached.broken_tags.extend(named_by.refs.iter().cloned());
        }
        if let Some(finding) = self.findings.object("V2", kind, id, place, detail) {
            finding.needed_by(named_by);
        }
        None
    }
}

/// Commits, tags and reports are few: that they are in canonical form is looked at, too.
fn canonical(bytes: &[u8]) -> Result<(), String> {
    let mut form = Vec::with_capacity(bytes.len());
    match canonicalize(bytes, &mut form) {
        Ok(()) if form == *bytes => Ok(()),
        Ok(()) => Err("it is not in canonical form".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn shape<T: Record>(_: &ObjectId, bytes: &ObjectBytes) -> Result<(), String> {
    T::parse(bytes).map(drop).map_err(|error| error.to_string())
}
