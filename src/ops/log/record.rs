//! `log --record`: the life of one record: when it appeared, changed, was judged anew, was exported, and left.
//!
//! Rests on `tree::get`: of every commit whose datasets have other roots than before, one path from root to leaf is read in
//! each, and nothing else of a dataset. Invariants: a commit is told of where the record is not as it was in any of its
//! parents; where it is as in one of them, history is followed there alone, so that a merge tells nothing that a line
//! merged in has told.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

use serde::Serialize;

use crate::object::{CommitId, Find, ObjectBytes, ObjectId, OdbError, RootId};
use crate::ops::diff::{RecordChange, RowChange, record_change};
use crate::ops::engine::Dataset;
use crate::ops::log::{range, reachable};
use crate::ops::{ErrorKind, OpError};
use crate::record::{Category, ScoredRun};
use crate::repo::{Commit, Repo, RepoError};
use crate::tree;

/// The datasets in which a record has its key, in the order of a run. A preference pair has the key of the run that was
/// chosen in front of its own.
const KEYED: [Dataset; 5] =
    [Dataset::Evidence, Dataset::ScoredRuns, Dataset::Rag, Dataset::Sft, Dataset::Preference];

/// The life of a record.
#[derive(Clone, Debug, Serialize)]
pub struct Life {
    /// Its key.
    pub key: String,
    /// The commit at which the telling starts.
    pub commit_id: CommitId,
    /// Where it is there.
    pub present: Vec<Presence>,
    /// How it is judged there.
    pub verdict: Option<Verdict>,
    /// Commits that were read.
    pub commits_read: u64,
    /// Tree nodes that were read.
    pub nodes_read: u64,
    /// What happened to it, the latest first.
    pub items: Vec<Event>,
}

/// A row of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Presence {
    /// The dataset.
    pub dataset: String,
    /// The key in it: the record's own but for preference pairs.
    pub key: String,
    /// The object.
    pub id: ObjectId,
}

/// How a record is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The category.
    pub category: Category,
    /// The rule of the policy that decided.
    pub deciding_rule: String,
}

/// What happened to a record, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It is there for the first time.
    Appeared,
    /// It is there again.
    Returned,
    /// Its content is another.
    Changed,
    /// Its category or the deciding rule is another.
    Rescored,
    /// An export took it in.
    Exported,
    /// An export left it out.
    Withdrawn,
    /// It is gone.
    Left,
}

impl Step {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Returned => "returned",
            Self::Changed => "changed",
            Self::Rescored => "re-scored",
            Self::Exported => "exported",
            Self::Withdrawn => "withdrawn",
            Self::Left => "left",
        }
    }
}

/// A commit in which a record is not as it was.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// What made it.
    pub operation: String,
    /// RFC 3339, UTC.
    pub committed_at: String,
    /// What for.
    pub message: String,
    /// The commit compared with: the first parent; null for a first commit.
    pub parent: Option<CommitId>,
    /// What happened, in words.
    pub steps: Vec<Step>,
    /// How it was judged before; null where it was not.
    pub verdict_before: Option<Verdict>,
    /// How it is judged.
    pub verdict_after: Option<Verdict>,
    /// Whether what can change a dataset was configured differently in the parent.
    pub config_changed: bool,
    /// The rows, dataset by dataset.
    pub changes: Vec<RecordChange>,
}

/// The life of the record `key` in the history of `rev` (HEAD by default; of a range `A..B`, what is of B and not of A),
/// in `dataset` or in all that know it by this key; at most `limit` events.
///
/// # Errors
/// A revision or dataset that names nothing, a key that no commit has, damage.
pub fn life(
    repo: &Repo,
    rev: Option<&str>,
    key: &str,
    dataset: Option<&str>,
    limit: Option<usize>,
) -> Result<Life, OpError> {
    let (start, left_out) = range(repo, rev)?;
    let left_out = left_out.map(|from| reachable(repo, from)).transpose()?.unwrap_or_default();
    let first = repo.commit(start)?;
    let datasets = chosen(&first, dataset)?;
    let mut walk = Walk {
        repo,
        find: Counting { find: repo.store(), reads: Cell::new(0) },
        key,
        datasets,
        looked_up: HashMap::new(),
        known: HashMap::new(),
        commits_read: 0,
    };
    let mut items = walk.events(start, &left_out)?;
    mark_returns(&mut items);
    let state = walk.state(&first)?;
    if items.is_empty() && state.is_empty() {
        return Err(unknown(&walk, &first)?);
    }
    items.truncate(limit.unwrap_or(usize::MAX));
    Ok(Life {
        key: key.to_owned(),
        commit_id: start,
        verdict: walk.verdict(&state)?,
        present: state,
        commits_read: walk.commits_read,
        nodes_read: walk.find.reads.get(),
        items,
    })
}

/// The datasets to look into.
fn chosen(commit: &Commit, dataset: Option<&str>) -> Result<Vec<String>, OpError> {
    let Some(wanted) = dataset else {
        return Ok(KEYED.iter().map(|dataset| dataset.name().to_owned()).collect());
    };
    let full = [wanted.to_owned(), format!("exports/{wanted}")];
    full.into_iter().find(|name| commit.datasets.contains_key(name)).map(|name| vec![name]).ok_or_else(|| {
        let names: Vec<_> = commit.datasets.keys().map(String::as_str).collect();
        let message = format!("there is no dataset called `{wanted}`");
        OpError::new(ErrorKind::Usage, message, format!("there are {}", names.join(", ")))
    })
}

/// A record that comes after it had left has returned.
fn mark_returns(items: &mut [Event]) {
    let mut been = false;
    for step in items.iter_mut().rev().flat_map(|event| &mut event.steps) {
        if *step == Step::Appeared {
            *step = if been { Step::Returned } else { Step::Appeared };
            been = true;
        }
    }
}

/// Nobody knows the key: the keys on either side of where it would stand say what keys look like.
fn unknown(walk: &Walk, commit: &Commit) -> Result<OpError, OpError> {
    let message = format!("no commit of this history has a record called `{}`", walk.key);
    let name = walk.datasets.first().map_or("evidence", String::as_str);
    let mut near = Vec::new();
    if let Some(root) = commit.dataset(name) {
        let row = tree::rank(walk.repo.store(), root, walk.key)?.rows;
        for row in row.saturating_sub(1)..=row {
            near.extend(tree::nth(walk.repo.store(), root, row)?.map(|entry| format!("`{}`", entry.key)));
        }
        near.dedup();
    }
    let hint = if near.is_empty() {
        format!("`distill ls HEAD:{name}` lists the keys")
    } else {
        format!("the nearest keys are {}; `distill ls HEAD:{name}` lists all", near.join(" and "))
    };
    Ok(OpError::new(ErrorKind::Usage, message, hint))
}

/// Rows of the record, dataset by dataset, each in order of key.
type State = Vec<Presence>;

struct Walk<'a> {
    repo: &'a Repo,
    find: Counting<'a>,
    key: &'a str,
    datasets: Vec<String>,
    /// What a tree holds of the record. Most commits share most trees with the one before.
    looked_up: HashMap<(RootId, bool), Vec<(String, ObjectId)>>,
    /// Commits that were read as parents and are still to come.
    known: HashMap<CommitId, (Commit, State)>,
    commits_read: u64,
}

impl Walk<'_> {
    fn events(&mut self, start: CommitId, left_out: &HashSet<CommitId>) -> Result<Vec<Event>, OpError> {
        let mut events = Vec::new();
        let mut frontier = BinaryHeap::new();
        let mut seen = HashSet::from([start]);
        self.learn(start)?;
        frontier.push((self.known[&start].0.generation, self.known[&start].0.committed_at.clone(), start));
        while let Some((_, _, id)) = frontier.pop() {
            let Some((commit, state)) = self.known.remove(&id) else { continue };
            if left_out.contains(&id) {
                continue;
            }
            for parent in &commit.parents {
                self.learn(*parent)?;
            }
            let same = commit.parents.iter().find(|parent| self.known[*parent].1 == state).copied();
            let unborn = commit.parents.is_empty() && state.is_empty();
            if same.is_none() && !unborn {
                events.push(self.event(id, &commit, &state)?);
            }
            let on = same.map_or(commit.parents, |parent| vec![parent]);
            for parent in on {
                if seen.insert(parent) {
                    let (commit, _) = &self.known[&parent];
                    frontier.push((commit.generation, commit.committed_at.clone(), parent));
                }
            }
        }
        Ok(events)
    }

    fn learn(&mut self, id: CommitId) -> Result<(), OpError> {
        if !self.known.contains_key(&id) {
            let commit = self.repo.commit(id)?;
            self.commits_read += 1;
            let state = self.state(&commit)?;
            self.known.insert(id, (commit, state));
        }
        Ok(())
    }

    fn state(&mut self, commit: &Commit) -> Result<State, OpError> {
        let mut state = Vec::new();
        for name in &self.datasets {
            let Some(root) = commit.dataset(name) else { continue };
            let pairs = name == Dataset::Preference.name();
            let rows = match self.looked_up.get(&(root, pairs)) {
                Some(rows) => rows,
                None => {
                    let rows = self.look_up(root, pairs)?;
                    self.looked_up.entry((root, pairs)).or_insert(rows)
                }
            };
            state.extend(rows.iter().map(|(key, id)| Presence {
                dataset: name.clone(),
                key: key.clone(),
                id: *id,
            }));
        }
        Ok(state)
    }

    fn look_up(&self, root: RootId, pairs: bool) -> Result<Vec<(String, ObjectId)>, OpError> {
        let mut rows = Vec::new();
        if let Some(entry) = tree::get(&self.find, root, self.key)? {
            rows.push((entry.key, entry.id));
        }
        if pairs {
            for entry in tree::prefix(&self.find, root, &format!("{}+", self.key)) {
                let entry = entry?;
                rows.push((entry.key, entry.id));
            }
        }
        Ok(rows)
    }

    /// What `commit` changed, compared with its first parent.
    fn event(&self, commit_id: CommitId, commit: &Commit, after: &State) -> Result<Event, OpError> {
        let parent = commit.parents.first().copied();
        let (config_before, before) = match parent.and_then(|parent| self.known.get(&parent)) {
            Some((parent, state)) => (parent.config_id, state.as_slice()),
            None => (None, &[][..]),
        };
        let side = |state: &[Presence]| -> BTreeMap<(String, String), ObjectId> {
            state.iter().map(|row| ((row.dataset.clone(), row.key.clone()), row.id)).collect()
        };
        let (old, new) = (side(before), side(after));
        let places: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let mut changes = Vec::new();
        for place in places.into_iter().filter(|place| old.get(*place) != new.get(*place)) {
            let (dataset, key) = place.clone();
            changes.push(record_change(
                self.repo,
                &dataset,
                key,
                old.get(place).copied(),
                new.get(place).copied(),
            )?);
        }
        let order = |name: &str| self.datasets.iter().position(|dataset| dataset == name);
        changes.sort_by_key(|change| order(&change.dataset));
        let (verdict_before, verdict_after) = (self.verdict(before)?, self.verdict(after)?);
        Ok(Event {
            commit_id,
            run_id: commit.run_id.clone(),
            operation: commit.operation.clone(),
            committed_at: commit.committed_at.clone(),
            message: commit.message.clone(),
            parent,
            steps: steps(before, after, &changes, verdict_before != verdict_after),
            verdict_before,
            verdict_after,
            config_changed: parent.is_some() && config_before != commit.config_id,
            changes,
        })
    }

    fn verdict(&self, state: &[Presence]) -> Result<Option<Verdict>, RepoError> {
        let Some(row) = state.iter().find(|row| row.dataset == Dataset::ScoredRuns.name()) else {
            return Ok(None);
        };
        let ScoredRun { category, deciding_rule, .. } = self.repo.record(&row.id)?;
        Ok(Some(Verdict { category, deciding_rule }))
    }
}

fn steps(before: &[Presence], after: &[Presence], changes: &[RecordChange], rescored: bool) -> Vec<Step> {
    if before.is_empty() {
        return vec![Step::Appeared];
    }
    if after.is_empty() {
        return vec![Step::Left];
    }
    let exports =
        |wanted: RowChange| changes.iter().any(|c| c.dataset.starts_with("exports/") && c.change == wanted);
    let changed = changes.iter().any(|c| c.dataset == Dataset::Evidence.name());
    let mut steps = Vec::new();
    steps.extend(changed.then_some(Step::Changed));
    steps.extend(rescored.then_some(Step::Rescored));
    steps.extend(exports(RowChange::Added).then_some(Step::Exported));
    steps.extend(exports(RowChange::Removed).then_some(Step::Withdrawn));
    if steps.is_empty() {
        steps.push(Step::Changed);
    }
    steps
}

/// A database that counts what is read.
struct Counting<'a> {
    find: &'a dyn Find,
    reads: Cell<u64>,
}

impl Find for Counting<'_> {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        self.reads.set(self.reads.get() + 1);
        self.find.try_find(id)
    }
}
