//! The rows that moved: between categories, in and out of exports, into quarantine.
//!
//! Rests on the diff of trees. What always holds: the matrix counts every row whose category is not what it was, and
//! names a few of each kind, the first in key order.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::ops::error::OpError;
use crate::record::Record as _;
use crate::record::{Category, ScoredRun};
use crate::repo::{Commit, Repo};
use crate::tree;

/// Keys named for each kind of move.
const EXAMPLES: usize = 3;

/// Rows that went from one category to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The category before; null for rows that came.
    pub from: Option<Category>,
    /// The category after; null for rows that went.
    pub to: Option<Category>,
    /// How many.
    pub rows: u64,
    /// Keys of the first of them.
    pub examples: Vec<String>,
}

/// Where the change of a metric came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// By stream.
    pub streams: BTreeMap<String, i64>,
    /// By deciding rule, or by stage and reason.
    pub rules: BTreeMap<String, i64>,
}

/// Gathers moves.
#[derive(Default)]
pub(super) struct Moves {
    transitions: BTreeMap<(Option<Category>, Option<Category>), (u64, Vec<String>)>,
    origins: BTreeMap<&'static str, Origin>,
}

impl Moves {
    /// All moves between two commits. Reads the scored runs that are not the same, and no other row.
    pub(super) fn between(repo: &Repo, before: &Commit, after: &Commit) -> Result<Self, OpError> {
        let mut moves = Self::default();
        let read =
            |id: ObjectId| -> Result<ScoredRun, OpError> { Ok(ScoredRun::parse(&repo.store().find(&id)?)?) };
        changes(repo, before, after, "scored-runs", &mut |key, old, new| {
            let (old, new) = (old.map(read).transpose()?, new.map(read).transpose()?);
            moves.run(key, old.as_ref(), new.as_ref());
            Ok(())
        })?;
        for (dataset, metric) in [
            ("evidence", "p2_evidence_rows"),
            ("exports/rag", "p4_rag_rows"),
            ("exports/sft", "p4_sft_rows"),
            ("exports/preference", "p4_pref_pairs"),
        ] {
            changes(repo, before, after, dataset, &mut |key, old, new| {
                moves.add(metric, stream_of(key), None, i64::from(new.is_some()) - i64::from(old.is_some()));
                Ok(())
            })?;
        }
        changes(repo, before, after, "quarantine", &mut |key, old, new| {
            let by = i64::from(new.is_some()) - i64::from(old.is_some());
            let mut parts = key.splitn(3, '/');
            let (stage, reason) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let rule = format!("{stage}: {reason}");
            // A refused row of a file has no key yet, and so no stream.
            let stream = if stage == "evidence" { None } else { parts.next().and_then(stream_of) };
            if stage == "evidence" {
                moves.add("p2_evidence_quarantined", None, Some(&rule), by);
            }
            moves.add("p4_total_quarantined", stream, Some(&rule), by);
            Ok(())
        })?;
        Ok(moves)
    }

    /// Takes in one scored run as it was and as it is.
    pub(super) fn run(&mut self, key: &str, before: Option<&ScoredRun>, after: Option<&ScoredRun>) {
        let (from, to) = (before.map(|run| run.category), after.map(|run| run.category));
        if from != to {
            let (rows, examples) = self.transitions.entry((from, to)).or_default();
            *rows += 1;
            // They come in the order of rows or of keys; those named are the first by key in any case.
            examples.push(key.to_owned());
            examples.sort();
            examples.truncate(EXAMPLES);
        }
        for (run, by) in [(before, -1), (after, 1)] {
            if let Some(run) = run {
                self.add(metric_of(run.category), stream_of(key), Some(&run.deciding_rule), by);
            }
        }
    }

    fn add(&mut self, metric: &'static str, stream: Option<&str>, rule: Option<&str>, by: i64) {
        let origin = self.origins.entry(metric).or_default();
        for (name, of) in [(stream, &mut origin.streams), (rule, &mut origin.rules)] {
            if let Some(name) = name.filter(|_| by != 0) {
                match of.get_mut(name) {
                    Some(count) => *count += by,
                    None => drop(of.insert(name.to_owned(), by)),
                }
            }
        }
    }

    /// Where the change of `metric` came from; what came and went in equal number is left out.
    pub(super) fn origin(&self, metric: &str) -> Origin {
        let mut origin = self.origins.get(metric).cloned().unwrap_or_default();
        origin.streams.retain(|_, by| *by != 0);
        origin.rules.retain(|_, by| *by != 0);
        origin
    }

    /// The matrix, the most frequent moves first.
    pub(super) fn transitions(&self) -> Vec<Transition> {
        let mut all: Vec<Transition> = (self.transitions.iter())
            .map(|((from, to), (rows, examples))| Transition {
                from: *from,
                to: *to,
                rows: *rows,
                examples: examples.clone(),
            })
            .collect();
        all.sort_by_key(|transition| std::cmp::Reverse(transition.rows));
        all
    }
}

fn metric_of(category: Category) -> &'static str {
    match category {
        Category::Accepted => "p3_accepted",
        Category::PartiallyAccepted => "p3_partial",
        Category::Rejected => "p3_rejected",
        Category::NeedsHumanReview => "p3_human",
    }
}

/// The stream in a record key, `YYYY/MM/DD/<stream>/<row key>`.
fn stream_of(key: &str) -> Option<&str> {
    key.split('/').nth(3)
}

fn changes(
    repo: &Repo,
    before: &Commit,
    after: &Commit,
    dataset: &str,
    take: &mut dyn FnMut(&str, Option<ObjectId>, Option<ObjectId>) -> Result<(), OpError>,
) -> Result<(), OpError> {
    match (before.dataset(dataset), after.dataset(dataset)) {
        (Some(before), Some(after)) => {
            for change in tree::diff(repo.store(), before, after) {
                let change = change?;
                take(&change.key, change.before.map(|(id, _)| id), change.after.map(|(id, _)| id))?;
            }
        }
        (before, after) => {
            let Some(root) = before.or(after) else { return Ok(()) };
            for entry in tree::iter(repo.store(), root) {
                let entry = entry?;
                let side = |root: Option<crate::object::RootId>| root.map(|_| entry.id);
                take(&entry.key, side(before), side(after))?;
            }
        }
    }
    Ok(())
}
