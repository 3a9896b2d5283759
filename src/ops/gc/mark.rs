//! Which objects are named, and by what the others were.
//!
//! Rests on the operation log and the walk of what is named. Invariant: the label of an object is 0 where it is kept, and
//! otherwise one more than the number of the reason that took its last name away.

use std::path::Path;

use super::Amount;
use super::PackPlan;
use super::Reason;
use super::Sum;
use crate::object::Exists as _;
use crate::object::ObjectId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::closure::Closure;
use crate::ops::closure::Named;
use crate::ops::progress::Progress;
use crate::repo::Repo;
use crate::store::Head;
use crate::store::Keep;
use crate::store::Labels;
use crate::store::Operation;

/// The label of what is kept.
const KEPT: u64 = 0;

/// What was found.
pub(super) struct Marked {
    pub(super) kept: Amount,
    pub(super) removed: Amount,
    pub(super) reasons: Vec<Reason>,
    pub(super) packs: Vec<PackPlan>,
    pub(super) packs_untouched: u64,
    /// What to keep of the packs of `packs`.
    pub(super) keep: Vec<(ObjectId, Keep)>,
}

/// A name, and what an operation found or left under it.
pub(in crate::ops) struct Left {
    pub(in crate::ops) name: String,
    pub(in crate::ops) id: ObjectId,
}

/// Marks what is named since `cutoff` (milliseconds since the Unix epoch).
pub(super) fn mark(
    repo: &Repo,
    cutoff: i64,
    spill_dir: &Path,
    progress: &dyn Progress,
) -> Result<Marked, OpError> {
    let mut labels = Labels::new(spill_dir);
    let mut closure = Closure::new(repo, progress);
    let mut keep = |named: &Named| Ok(labels.add(named.id, KEPT)?);
    for (name, id) in repo.store().refs() {
        closure.of_ref(&name, &id, &mut keep)?;
    }
    if let Head::Detached(id) = repo.store().head() {
        closure.of_ref("HEAD", &id, &mut keep)?;
    }
    let (recent, earlier) = log_names(repo, cutoff)?;
    for Left { name, id } in recent {
        closure.of_ref(&name, &id, &mut keep)?;
    }
    let mut reasons: Vec<Reason> = Vec::new();
    for operation in earlier {
        let first = reasons.len();
        for Left { name, id } in old_sides(&operation) {
            if let Some(reason) = reasons[first..].iter_mut().find(|reason| reason.object == Some(id)) {
                reason.refs.push(name);
                continue;
            }
            if closure.has(&id) || !repo.store().exists(&id)? {
                continue;
            }
            let label = reasons.len() as u64 + 1;
            reasons.push(reason(&operation, name.clone(), id));
            // What is removed may be damaged, or have been kept in part by an older program: its cause stays unknown.
            closure.of_ref(&name, &id, &mut |named| Ok(labels.add(named.id, label)?)).ok();
        }
    }
    count(repo, labels, reasons)
}

/// What the log named since `cutoff` and is there, and the operations before, latest first.
pub(in crate::ops) fn log_names(repo: &Repo, cutoff: i64) -> Result<(Vec<Left>, Vec<Operation>), OpError> {
    let (mut recent, mut earlier) = (Vec::new(), Vec::new());
    for logged in repo.store().operations() {
        let operation = logged?.operation;
        // A time that cannot be read is taken for recent: what is not understood is kept.
        if ms(&operation.at).is_some_and(|at| at <= cutoff) {
            earlier.push(operation);
            continue;
        }
        for left in both_sides(&operation) {
            // An earlier collection with a shorter grace may have removed it, and then all of it.
            if repo.store().exists(&left.id)? {
                recent.push(left);
            }
        }
    }
    Ok((recent, earlier))
}

fn reason(operation: &Operation, name: String, id: ObjectId) -> Reason {
    Reason {
        operation: Some(operation.number),
        what: Some(operation.operation.clone()),
        at: Some(operation.at.clone()),
        message: operation.message.clone(),
        refs: vec![name],
        object: Some(id),
        amount: Amount::default(),
    }
}

fn ms(at: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(at).ok().map(|time| time.timestamp_millis())
}

/// Everything that an operation found or left under a name.
fn both_sides(operation: &Operation) -> Vec<Left> {
    let mut all = old_sides(operation);
    let new = operation.ref_changes.iter().filter_map(|change| Some((change.name.clone(), change.new?)));
    all.extend(new.map(|(name, id)| Left { name, id }));
    if let Some(Head::Detached(id)) = operation.head.as_ref().map(|change| &change.new) {
        all.push(Left { name: "HEAD".to_owned(), id: *id });
    }
    all
}

/// What an operation took a name away from.
fn old_sides(operation: &Operation) -> Vec<Left> {
    let old = operation.ref_changes.iter().filter_map(|change| Some((change.name.clone(), change.old?)));
    let mut all: Vec<Left> = old.map(|(name, id)| Left { name, id }).collect();
    if let Some(Head::Detached(id)) = operation.head.as_ref().map(|change| &change.old) {
        all.push(Left { name: "HEAD".to_owned(), id: *id });
    }
    all
}

#[derive(Default)]
struct PackSum {
    kept: Sum,
    removed: Sum,
    keep: Keep,
}

/// Holds every object of every pack against the labels.
fn count(repo: &Repo, labels: Labels, mut reasons: Vec<Reason>) -> Result<Marked, OpError> {
    let mut packs: Vec<PackSum> = Vec::new();
    let mut causes = vec![Sum::default(); reasons.len()];
    let mut unnamed = Sum::default();
    let roll = repo.store().roll_call(
        labels,
        |label| label == KEPT,
        |row| {
            if packs.len() <= row.pack {
                packs.resize_with(row.pack + 1, PackSum::default);
            }
            let pack = &mut packs[row.pack];
            if row.label == Some(KEPT) {
                // A copy in an older pack is kept, too: it may be the one that is sound.
                pack.kept.add(row);
                pack.keep.keep(row.position);
                return Ok::<(), OpError>(());
            }
            pack.removed.add(row);
            let cause = row.label.and_then(|label| causes.get_mut(usize::try_from(label - 1).ok()?));
            cause.unwrap_or(&mut unnamed).add(row);
            Ok(())
        },
    )?;
    if let Some((id, _)) = roll.missing.first() {
        return Err(OpError::new(
            ErrorKind::Damaged,
            format!("object {id} is needed and is not in the store; nothing was removed"),
            "run `distill verify` to see what is damaged and what depends on it",
        ));
    }
    packs.resize_with(roll.packs.len(), PackSum::default);
    for (reason, cause) in reasons.iter_mut().zip(&causes) {
        reason.amount = cause.amount();
    }
    reasons.retain(|reason| reason.amount.objects > 0);
    if unnamed.objects > 0 {
        reasons.push(Reason {
            operation: None,
            what: None,
            at: None,
            message: None,
            refs: Vec::new(),
            object: None,
            amount: unnamed.amount(),
        });
    }
    let mut total = PackSum::default();
    let (mut plans, mut keep) = (Vec::new(), Vec::new());
    let mut packs_untouched = 0;
    for (info, pack) in roll.packs.iter().zip(packs) {
        total.kept.plus(pack.kept);
        total.removed.plus(pack.removed);
        if pack.removed.objects == 0 {
            packs_untouched += 1;
            continue;
        }
        plans.push(PackPlan {
            pack: info.id,
            file_bytes: info.bytes,
            kept: pack.kept.amount(),
            removed: pack.removed.amount(),
            fate: if pack.kept.objects == 0 { "deleted" } else { "rewritten" },
        });
        keep.push((info.id, pack.keep));
    }
    Ok(Marked {
        kept: total.kept.amount(),
        removed: total.removed.amount(),
        reasons,
        packs: plans,
        packs_untouched,
        keep,
    })
}
