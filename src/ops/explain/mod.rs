//! `diff --explain` and `whatif`: how much of a change is due to the tool, the specs, the policy and the data.
//!
//! Rests on the counting passes of the engine, which make again what a commit would have been with one part of it
//! exchanged. What always holds: parts are exchanged in the fixed order tool, specs, policy, data, so that the shares of a
//! metric add up to its change; a share that cannot be made again is `unattributed`, never guessed; nothing is written.

mod again;
mod moves;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::RootId;
use crate::ops::diff::Side;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::ops::run::tool;
use crate::ops::setup::{POLICY_FILE, Setup};
use crate::pipeline::policy::Policy;
use crate::record::Metrics;
use crate::repo::{Commit, Repo};
use again::{Again, Configured};
use moves::Moves;
pub use moves::{Origin, Transition};

/// What can change the datasets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The version of distill.
    Tool,
    /// The source specs.
    Specs,
    /// The policy, the options of exports, the rules for secrets.
    Policy,
    /// The source rows.
    Data,
}

impl Part {
    /// All, in the order in which they are exchanged.
    pub const ALL: [Self; 4] = [Self::Tool, Self::Specs, Self::Policy, Self::Data];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Specs => "specs",
            Self::Policy => "policy",
            Self::Data => "data",
        }
    }
}

/// The parts in which a run under `setup` that made these datasets is not what `before` was.
pub(crate) fn changed_parts(
    repo: &Repo,
    before: &Commit,
    setup: &Setup,
    roots: &BTreeMap<String, RootId>,
) -> Result<Vec<&'static str>, OpError> {
    let mut changed = Vec::new();
    let tool_changed = before.tool != tool();
    if tool_changed {
        changed.push(Part::Tool);
    }
    let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap_or_default();
    if let Some(id) = before.config_id.filter(|id| *id != setup.config_id()) {
        let (old, new) = (parse(&repo.store().find(&id)?), parse(&setup.config_object));
        if old["sources"] != new["sources"] {
            changed.push(Part::Specs);
        }
        // Rules for secrets that come with distill changed with it.
        let rules = !tool_changed && old["secrets"] != new["secrets"];
        if rules || old["policy"] != new["policy"] || old["options"] != new["options"] {
            changed.push(Part::Policy);
        }
    }
    if before.datasets.get("sources") != roots.get("sources") {
        changed.push(Part::Data);
    }
    Ok(changed.into_iter().map(Part::as_str).collect())
}

/// The shares of one metric's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shares {
    /// Its value before.
    pub before: u64,
    /// Its value after.
    pub after: u64,
    /// Due to the version of distill.
    pub tool: i64,
    /// Due to the specs.
    pub specs: i64,
    /// Due to the policy.
    pub policy: i64,
    /// Due to the rows.
    pub data: i64,
    /// What could not be told apart.
    pub unattributed: i64,
    /// The streams that it came from, with what each brought or took.
    pub streams: BTreeMap<String, i64>,
    /// The rules, or the stages and reasons of quarantine, that it came by.
    pub rules: BTreeMap<String, i64>,
}

/// Why metrics moved.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The commit before.
    pub before: Side,
    /// The commit after; null for a policy that is not in force.
    pub after: Option<Side>,
    /// The parts that are not the same on both sides, in the order in which they are exchanged.
    pub changed: Vec<Part>,
    /// The metrics that moved, by name.
    pub metrics: BTreeMap<String, Shares>,
    /// Why something is unattributed.
    pub unattributed_because: Option<String>,
    /// Rows that have another category than before, or came, or went.
    pub transitions: Vec<Transition>,
    /// How many states between the two were made again.
    pub recomputed: u64,
}

/// Explains the way from one commit to another. `spill` is where a sort goes that memory does not hold.
///
/// # Errors
/// When there is no commit before, a commit has no summary, or something stored is missing or damaged.
pub fn explain(
    repo: &Repo,
    before: Option<CommitId>,
    after: CommitId,
    spill: &Path,
    progress: &dyn Progress,
) -> Result<Explanation, OpError> {
    let Some(before) = before else {
        return Err(OpError::new(
            ErrorKind::Usage,
            "there is no commit before this one, so there is no change to explain",
            "name two revisions: `distill diff --explain A B`",
        ));
    };
    let (a, b) = (repo.commit(before)?, repo.commit(after)?);
    let (first, last) = (measured(repo, &a)?, measured(repo, &b)?);
    let (old, new) = (Configured::of(repo, &a)?, Configured::of(repo, &b)?);
    let mut changed = Vec::new();
    for part in Part::ALL {
        let differs = match part {
            Part::Tool => a.tool != b.tool,
            Part::Specs => old.specs() != new.specs(),
            Part::Policy => old.policy() != new.policy(),
            Part::Data => a.dataset("sources") != b.dataset("sources"),
        };
        if differs {
            changed.push(part);
        }
    }
    let mut shares = BTreeMap::new();
    let (mut because, mut recomputed) = (None, 0);
    let mut state = first;
    let again = Again { repo, commit: &a, spill, progress };
    let mut config = old.clone();
    let mut left = changed.iter().copied().peekable();
    while let Some(part) = left.next() {
        match part {
            Part::Specs => config = config.with_specs(&new),
            Part::Policy => config = config.with_policy(&new),
            Part::Tool | Part::Data => {}
        }
        // With the last part exchanged the state is the one that there is.
        let next = if left.peek().is_none() {
            Ok(last)
        } else if tool() == b.tool {
            recomputed += 1;
            again.metrics(&config, changed.contains(&Part::Tool) || config.specs() != old.specs())
        } else {
            let made =
                format!("version {} made {}, and this is {}", b.tool.version, b.run_id, tool().version);
            Err(OpError::new(ErrorKind::Outside, made, "use that version"))
        };
        match next {
            Ok(next) => {
                shares.insert(part, difference(&state, &next));
                state = next;
            }
            Err(error) if error.kind == ErrorKind::Damaged => return Err(error),
            Err(error) => {
                because = Some(error.message);
                break;
            }
        }
    }
    let rest = difference(&state, &last);
    if because.is_none() && rest.iter().any(|n| *n != 0) {
        because = Some("neither tool, specs, policy nor data changed, and yet the metrics did".to_owned());
    }
    let moves = Moves::between(repo, &a, &b)?;
    let metrics = shared(&first, &last, &shares, &rest, &moves);
    let side = |id: CommitId, commit: &Commit| Side {
        commit_id: id,
        run_id: commit.run_id.clone(),
        committed_at: commit.committed_at.clone(),
    };
    Ok(Explanation {
        before: side(before, &a),
        after: Some(side(after, &b)),
        changed,
        metrics,
        unattributed_because: because,
        transitions: moves.transitions(),
        recomputed,
    })
}

/// What the policy in `text`, which `file` names in errors, would make of the evidence of a commit.
///
/// # Errors
/// A policy that cannot be used, a commit that another version made, damage.
pub fn whatif(
    repo: &Repo,
    commit_id: CommitId,
    (file, text): (&str, &str),
    spill: &Path,
    progress: &dyn Progress,
) -> Result<Explanation, OpError> {
    Policy::parse(file, text).map_err(|error| {
        OpError::new(
            ErrorKind::Usage,
            error.to_string(),
            format!("correct {file}; docs/handoff.md describes it"),
        )
    })?;
    let commit = repo.commit(commit_id)?;
    if commit.tool != tool() {
        let made = format!("{} was made by version {}", commit.run_id, commit.tool.version);
        let hint = format!("run `distill run-all` with version {} first, and ask again", tool().version);
        return Err(OpError::new(ErrorKind::Refused, made, hint));
    }
    let first = measured(repo, &commit)?;
    let old = Configured::of(repo, &commit)?;
    let new = old.with_file(POLICY_FILE, text);
    let setup = new.setup()?;
    let mut changed = Vec::new();
    let mut moves = Moves::default();
    let mut last = first;
    if setup.config_id() != old.setup()?.config_id() {
        changed.push(Part::Policy);
        let again = Again { repo, commit: &commit, spill, progress };
        last = again.rescored(&setup, &mut moves)?;
    }
    let shares = BTreeMap::from([(Part::Policy, difference(&first, &last))]);
    let metrics = shared(&first, &last, &shares, &[0; 10], &moves);
    Ok(Explanation {
        before: Side { commit_id, run_id: commit.run_id.clone(), committed_at: commit.committed_at.clone() },
        after: None,
        recomputed: changed.len() as u64,
        changed,
        metrics,
        unattributed_because: None,
        transitions: moves.transitions(),
    })
}

fn measured(repo: &Repo, commit: &Commit) -> Result<Metrics, OpError> {
    repo.metrics(commit)?.ok_or_else(|| {
        let message = format!("{} has no summary, so there is nothing to compare", commit.run_id);
        OpError::new(ErrorKind::Usage, message, "name a commit that a run made: `distill log` lists them")
    })
}

fn difference(before: &Metrics, after: &Metrics) -> [i64; 10] {
    let mut by = [0; 10];
    for ((by, before), after) in by.iter_mut().zip(before.values()).zip(after.values()) {
        *by = i64::try_from(i128::from(after) - i128::from(before)).unwrap_or(i64::MAX);
    }
    by
}

/// The metrics that moved, or that parts moved and others moved back.
fn shared(
    before: &Metrics,
    after: &Metrics,
    shares: &BTreeMap<Part, [i64; 10]>,
    rest: &[i64; 10],
    moves: &Moves,
) -> BTreeMap<String, Shares> {
    let mut metrics = BTreeMap::new();
    for (n, (name, value)) in before.iter().enumerate() {
        let share = |part: Part| shares.get(&part).map_or(0, |by| by[n]);
        let origin = moves.origin(name);
        let shares = Shares {
            before: value,
            after: after.values()[n],
            tool: share(Part::Tool),
            specs: share(Part::Specs),
            policy: share(Part::Policy),
            data: share(Part::Data),
            unattributed: rest[n],
            streams: origin.streams,
            rules: origin.rules,
        };
        let moved = Part::ALL.iter().any(|part| share(*part) != 0) || rest[n] != 0;
        if moved || !shares.streams.is_empty() || !shares.rules.is_empty() {
            metrics.insert(name.to_owned(), shares);
        }
    }
    metrics
}
