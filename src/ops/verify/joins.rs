//! Whether what the rows of a commit say of each other holds: export row → scored run → evidence → source row.
//!
//! Rests on the gathered links, on the receipts for the trees that a dataset was made from, and on `tree::diff`. Invariants: a
//! dataset that stands unchanged over unchanged trees is looked at once, however many commits have it; where little changed
//! between two commits, only that is looked at; a row that was found damaged is not told of again.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use super::known::{Known, Rows};
use super::links::{RECORDS, Row, chosen_hash, key_hash};
use super::quick;
use super::reach::Reached;
use super::sets::Sets;
use crate::object::{CommitId, ObjectId, RootId};
use crate::ops::trace::{self, Origins};
use crate::repo::{Commit, DATASETS, Repo};
use crate::tree::{self, TreeError};

/// Of more changed keys than one in so many, all are looked at.
const FEW: u64 = 64;

/// The exports, with their stages.
const EXPORTS: [(&str, &str); 3] = [
    ("exports/rag", "export-rag"),
    ("exports/sft", "export-sft"),
    ("exports/preference", "export-preference"),
];

/// A dataset and the trees that it was made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Case {
    pub(super) dataset: &'static str,
    pub(super) root: RootId,
    pub(super) sources: Option<RootId>,
    pub(super) evidence: Option<RootId>,
    pub(super) scored: Option<RootId>,
}

/// Checks the links of all commits; returns how many rows were compared.
pub(super) fn check(repo: &Repo, known: &Known, reached: &Reached, findings: &mut Findings) -> u64 {
    let mut joins = Joins {
        repo,
        known,
        numbered: Rows { store: repo.store(), known, leaves: &reached.leaves },
        findings,
        done: BTreeSet::new(),
        latest: BTreeMap::new(),
        rows: 0,
        sets: Sets::default(),
    };
    // Parents before children, so that what changed is what a run did.
    let mut commits: Vec<_> = reached.commits.iter().collect();
    commits.sort_by_key(|(id, commit)| (commit.generation, **id));
    for (id, commit) in commits {
        let Ok(origins) = Origins::new(repo, commit) else { continue };
        joins.receipts(commit, *id, &origins);
        for case in cases(commit, &origins) {
            if joins.done.insert(case.clone()) {
                joins.case(&case, commit, *id).ok();
                joins.latest.insert(case.dataset, case);
            }
        }
    }
    joins.rows
}

/// What is to be checked of a commit.
fn cases(commit: &Commit, origins: &Origins<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |dataset, [sources, evidence, scored]: [Option<RootId>; 3]| {
        if let Some(root) = commit.dataset(dataset) {
            cases.push(Case { dataset, root, sources, evidence, scored });
        }
    };
    let read = |stage: &str, output: &str, input: &str| {
        commit.dataset(output).and_then(|root| origins.input(stage, output, root, input))
    };
    let sources = read("evidence", "evidence", "sources");
    add("evidence", [sources, None, None]);
    add("scored-runs", [None, read("score", "scored-runs", "evidence"), None]);
    for (dataset, stage) in EXPORTS {
        let scored = if dataset == "exports/preference" { None } else { read(stage, dataset, "scored-runs") };
        add(dataset, [None, read(stage, dataset, "evidence"), scored]);
    }
    let latest = origins.latest_input("evidence", "sources");
    let evidence = origins.latest_output("evidence", "evidence");
    add("quarantine", [latest, evidence, None]);
    add("duplicates", [latest, evidence, None]);
    cases
}

struct Joins<'a> {
    repo: &'a Repo,
    known: &'a Known,
    numbered: Rows<'a>,
    findings: &'a mut Findings,
    done: BTreeSet<Case>,
    /// The case of each dataset that was looked at last.
    latest: BTreeMap<&'static str, Case>,
    rows: u64,
    sets: Sets,
}

impl Joins<'_> {
    /// Looks at one case. What cannot be read ends it: the walk of the tree has told of that.
    fn case(&mut self, case: &Case, commit: &Commit, id: CommitId) -> Result<(), TreeError> {
        if let Some(before) = self.latest.get(case.dataset).cloned()
            && let Some(keys) = self.few_changes(&before, case)?
        {
            return self.trace(case, commit, id, keys);
        }
        if has_own_keys(case.dataset) {
            if let Some(rows) = quick::side_by_side(&self.numbered, case) {
                self.rows += rows;
                return Ok(());
            }
            return self.side_by_side(case);
        }
        self.sets.load(&self.numbered, case)?;
        if let Some(rows) = quick::by_sets(&self.numbered, case, &self.sets) {
            self.rows += rows;
            return Ok(());
        }
        self.by_sets(case)
    }

    /// Every dataset of a commit that ran a pipeline is what one of its receipts says was put out.
    fn receipts(&mut self, commit: &Commit, id: CommitId, origins: &Origins<'_>) {
        let unsaid = DATASETS.iter().filter_map(|name| Some((*name, commit.dataset(name)?)));
        for (dataset, root) in unsaid.filter(|(dataset, root)| !origins.put_out(dataset, *root)) {
            let place = self.repo.store().locate(id.object()).ok().flatten().map(|at| at.path);
            let detail = format!("no receipt of it says that `{dataset}` {root} was put out");
            self.findings.object("V2", "commit", *id.object(), place, detail);
        }
    }

    /// The keys at which `after`, or a tree behind it, is not as in `before`; `None` where they are many, or where a change
    /// behind it does not tell which rows rest on it.
    fn few_changes(&self, before: &Case, after: &Case) -> Result<Option<BTreeSet<String>>, TreeError> {
        let store = self.repo.store();
        let limit = tree::totals(store, after.root)?.rows / FEW;
        let mut keys = BTreeSet::new();
        let mut changed = |before: Option<RootId>, after: Option<RootId>, by_key: bool| {
            let (Some(before), Some(after)) = (before, after) else { return Ok(before == after) };
            for change in tree::diff(store, before, after) {
                let change = change?;
                if by_key {
                    keys.insert(change.key);
                } else if change.before.is_some() {
                    // Something that rows may rest on is gone.
                    return Ok(false);
                }
                if keys.len() as u64 > limit {
                    return Ok(false);
                }
            }
            Ok::<bool, TreeError>(true)
        };
        let same_keys = has_own_keys(after.dataset);
        let few = changed(before.sources, after.sources, false)?
            && changed(before.evidence, after.evidence, same_keys)?
            && changed(before.scored, after.scored, true)?
            && changed(Some(before.root), Some(after.root), true)?;
        Ok(few.then_some(keys))
    }

    /// Follows single rows.
    fn trace(
        &mut self,
        case: &Case,
        commit: &Commit,
        id: CommitId,
        keys: BTreeSet<String>,
    ) -> Result<(), TreeError> {
        for key in keys {
            let Some(entry) = tree::get(self.repo.store(), case.root, &key)? else { continue };
            self.rows += 1;
            let Ok(told) = trace::trace_row(self.repo, id, commit, case.dataset, &key) else { continue };
            for fault in told.faults {
                // A damaged object has its own finding; here counts that this row rests on it.
                self.find(
                    case.dataset,
                    entry.id,
                    &format!("{} of {}/{}: {}", fault.check.as_str(), fault.dataset, fault.key, fault.detail),
                );
            }
        }
        Ok(())
    }

    /// Rows whose evidence and scored run have their key.
    fn side_by_side(&mut self, case: &Case) -> Result<(), TreeError> {
        let Some(evidence_root) = case.evidence else { return Ok(()) };
        let judged = case.scored.is_some();
        let roots: Vec<RootId> =
            [Some(evidence_root), case.scored, Some(case.root)].into_iter().flatten().collect();
        let own = roots.len() - 1;
        let kind = kind_of(case.dataset);
        let (mut evidence, mut scored) = (None::<(String, ObjectId)>, None::<(String, ObjectId)>);
        let repo = self.repo;
        for entry in tree::together(repo.store(), roots) {
            let (at, entry) = entry?;
            if at == 0 {
                evidence = Some((entry.key, entry.id));
                continue;
            }
            if at != own {
                scored = Some((entry.key, entry.id));
                continue;
            }
            self.rows += 1;
            let Some(row) = self.row(case.dataset, kind, &entry.key, entry.id) else { continue };
            let above = [("evidence", 0, Some(&evidence)), ("scored run", 1, judged.then_some(&scored))];
            for (what, kind, place) in above {
                let Some(place) = place else { continue };
                let there = place.as_ref().filter(|(key, _)| *key == entry.key);
                let detail = match there.map(|(_, id)| (id, self.known.get(id, kind))) {
                    None => format!("no {what} has its key `{}`", entry.key),
                    // That one is damaged, and said to be.
                    Some((_, None)) => continue,
                    Some((_, Some(other))) if other.flawed || other.link == row.link => continue,
                    Some((id, Some(_))) => {
                        format!(
                            "it does not rest on the {what} {id} of its key, or differs from it in provenance"
                        )
                    }
                };
                self.find(case.dataset, entry.id, &detail);
            }
        }
        Ok(())
    }

    /// Rows that name evidence or source rows by other keys than their own.
    fn by_sets(&mut self, case: &Case) -> Result<(), TreeError> {
        let kind = kind_of(case.dataset);
        let repo = self.repo;
        for entry in tree::iter(repo.store(), case.root) {
            let entry = entry?;
            self.rows += 1;
            let Some(row) = self.row(case.dataset, kind, &entry.key, entry.id) else { continue };
            if let Some(detail) = self.sets.fault(case, &row, chosen_hash(&entry.key)) {
                self.find(case.dataset, entry.id, detail);
            }
        }
        Ok(())
    }

    /// What is known of a row; a row that is no record of its dataset, or of another key, is a finding.
    fn row(&mut self, dataset: &str, kind: usize, key: &str, id: ObjectId) -> Option<Row> {
        let detail = match self.known.get(&id, kind) {
            Some(row) if row.flawed => "it has not the form of its schema".to_owned(),
            Some(row) if row.key != key_hash(key.as_bytes()) => {
                format!("it stands under `{key}` and carries another key")
            }
            Some(row) => return Some(row),
            // What could not be read has been told of.
            None if self.findings.knows(&id) => return None,
            None => format!("it is no `{}`", RECORDS[kind].1),
        };
        self.find(dataset, id, &detail);
        None
    }

    fn find(&mut self, dataset: &str, id: ObjectId, detail: &str) {
        let place = self.repo.store().locate(&id).ok().flatten().map(|at| at.path);
        self.findings.object("V2", &format!("link of {dataset}"), id, place, detail.to_owned());
    }
}

/// Whether rows of a dataset rest on evidence of their own key.
fn has_own_keys(dataset: &str) -> bool {
    matches!(dataset, "scored-runs" | "exports/rag" | "exports/sft")
}

fn kind_of(dataset: &str) -> usize {
    RECORDS.iter().position(|(name, _)| *name == dataset).unwrap_or_default()
}
