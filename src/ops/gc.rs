//! `gc`: removes what nothing has named for a while, after it has said what that is and where it comes from.
//!
//! Rests on a walk of all that is named and on the store's roll. Invariants: what a ref, HEAD, or the operation log
//! within the grace period names is kept, with everything it needs; a commit is kept whole or removed whole; damage of
//! anything that is kept stops a collection before it removes anything; while it works nobody publishes, and readers go on.

pub(in crate::ops) mod leftovers;
pub(in crate::ops) mod mark;

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::base::clock::rfc3339;
use crate::object::ObjectId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::progress::Progress;
use crate::repo::Repo;
use crate::store::Keep;
use crate::store::OpRequest;
use crate::store::RollRow;

/// What to collect.
#[derive(Clone, Debug, Default)]
pub struct GcOptions {
    /// What was named this many seconds ago or later is kept; as configured when absent.
    pub grace_s: Option<u64>,
    /// Where a list that memory does not hold is spilled.
    pub spill_dir: PathBuf,
}

/// What a collection would do, or has done, and why.
#[derive(Clone, Debug, Serialize)]
pub struct GcPlan {
    /// The grace period in seconds.
    pub grace_s: u64,
    /// Its beginning, RFC 3339 in UTC.
    pub since: String,
    /// What is kept.
    pub kept: Amount,
    /// What is removed.
    pub removed: Amount,
    /// Where it comes from, the latest first; what nothing ever named is last.
    pub reasons: Vec<Reason>,
    /// The packs with something to remove, in the order in which they were published.
    pub packs: Vec<PackPlan>,
    /// How many packs stay as they are.
    pub packs_untouched: u64,
    /// Other files that go: caches that nobody will use, leftovers of killed processes.
    pub leftovers: Vec<Leftover>,
}

/// So many objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What they take in packs, compressed; without the packs' tables.
    pub stored_bytes: u64,
}

/// A sum that has not been rounded yet.
#[derive(Clone, Copy, Default)]
pub(in crate::ops) struct Sum {
    pub(in crate::ops) objects: u64,
    pub(in crate::ops) bytes: u64,
    pub(in crate::ops) packed_milli: u64,
}

impl Sum {
    pub(in crate::ops) fn add(&mut self, row: &RollRow) {
        self.plus(Self { objects: 1, bytes: row.bytes, packed_milli: row.packed_milli });
    }

    pub(in crate::ops) fn plus(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.packed_milli += other.packed_milli;
    }

    pub(in crate::ops) fn amount(self) -> Amount {
        Amount { objects: self.objects, bytes: self.bytes, stored_bytes: self.packed_milli / 1000 }
    }
}

/// Why objects are not named any more.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// The operation that took the name away; null for what no operation ever named.
    pub operation: Option<u64>,
    /// What it did: `undo`, `tag` …
    pub what: Option<String>,
    /// When, RFC 3339 in UTC.
    pub at: Option<String>,
    /// Its message.
    pub message: Option<String>,
    /// The refs that named it, by full name.
    pub refs: Vec<String>,
    /// What they named: a commit or a tag object.
    pub object: Option<ObjectId>,
    /// What only this had named.
    #[serde(flatten)]
    pub amount: Amount,
}

/// What becomes of a pack.
#[derive(Clone, Debug, Serialize)]
pub struct PackPlan {
    /// The pack.
    pub pack: ObjectId,
    /// Size of its file.
    pub file_bytes: u64,
    /// What of it is kept.
    pub kept: Amount,
    /// What is removed.
    pub removed: Amount,
    /// `rewritten`, or `deleted` where nothing is kept.
    pub fate: &'static str,
}

/// A file or folder that goes.
#[derive(Clone, Debug, Serialize)]
pub struct Leftover {
    /// Relative to `.distill`.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Why it is not needed.
    pub why: &'static str,
}

/// What a collection has done.
#[derive(Clone, Debug, Serialize)]
pub struct GcReport {
    /// What was to be done and why.
    #[serde(flatten)]
    pub plan: GcPlan,
    /// What was done; null where nothing was to be done but to look.
    pub done: Option<Done>,
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// Number of the operation; null where no pack changed.
    pub operation: Option<u64>,
    /// Packs that left.
    pub packs_removed: u64,
    /// Packs that were written in their place.
    pub packs_written: u64,
    /// Bytes of all packs before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

/// What a collection would do. Writes nothing into the store and takes no lock.
///
/// # Errors
/// Damage of anything that would be kept or of a pack's table; a damaged operation log.
pub fn plan(
    repo: &Repo,
    options: &GcOptions,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<GcReport, OpError> {
    let (plan, _) = survey(repo, options, clock, &options.spill_dir, progress)?;
    Ok(GcReport { plan, done: None })
}

/// Collects; `announce` is told the plan before anything is removed.
///
/// # Errors
/// As [`plan`]; a run that does not end in time; what `announce` says; a full disk. The store is then as it was.
pub fn collect<E: From<OpError>>(
    repo: &Repo,
    options: &GcOptions,
    clock: Clock,
    progress: &dyn Progress,
    announce: impl FnOnce(&GcPlan) -> Result<(), E>,
) -> Result<GcReport, E> {
    let timeout = Duration::from_secs(repo.config().run.lease_timeout_s);
    let alone = (repo.store())
        .hold_alone("gc", timeout, &mut |who| progress.note(&format!("waiting for {who}")))
        .map_err(OpError::from)?;
    let (plan, packs) = survey(repo, options, clock, &repo.dot().join("tmp"), progress)?;
    announce(&plan)?;
    let before = pack_bytes(repo);
    let mut done = Done {
        operation: None,
        packs_removed: 0,
        packs_written: 0,
        bytes_before: before,
        bytes_after: before,
    };
    if !packs.is_empty() {
        refuse_tombstones(repo)?;
        let request = OpRequest {
            operation: "gc".to_owned(),
            message: Some(format!(
                "{} objects that nothing has named since {}",
                plan.removed.objects, plan.since
            )),
            at: clock.now_rfc3339(),
            ..OpRequest::default()
        };
        progress.begin("rewriting packs", Some(plan.packs.iter().map(|pack| pack.kept.bytes).sum()));
        let published =
            repo.store().collect(&alone, &packs, request, &mut |bytes| progress.advance(1, bytes));
        progress.end();
        let published = published.map_err(OpError::from)?;
        done.operation = Some(published.number);
        done.packs_removed = published.dropped_packs.len() as u64;
        done.packs_written = published.packs.len() as u64;
    }
    leftovers::remove(repo, &alone, &plan.leftovers)?;
    repo.store().refresh().map_err(OpError::from)?;
    done.bytes_after = pack_bytes(repo);
    Ok(GcReport { plan, done: Some(done) })
}

fn pack_bytes(repo: &Repo) -> u64 {
    repo.store().packs().iter().map(|pack| pack.bytes).sum()
}

fn refuse_tombstones(repo: &Repo) -> Result<(), OpError> {
    if repo.store().has_tombstones()? {
        return Err(OpError::new(
            ErrorKind::Refused,
            "the store holds erased objects, which this version of distill does not rewrite",
            "use the version that erased them, or a later one",
        ));
    }
    Ok(())
}

/// The plan, and what to keep of each pack that changes.
fn survey(
    repo: &Repo,
    options: &GcOptions,
    clock: Clock,
    spill_dir: &Path,
    progress: &dyn Progress,
) -> Result<(GcPlan, Vec<(ObjectId, Keep)>), OpError> {
    let grace_s = options.grace_s.unwrap_or(repo.config().gc.grace_s);
    let grace_ms = i64::try_from(grace_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let cutoff = clock.now_ms().saturating_sub(grace_ms);
    progress.begin("walking what is named", None);
    let marked = mark::mark(repo, cutoff, spill_dir, progress);
    progress.end();
    let marked = marked?;
    let leftovers = leftovers::find(repo)?;
    Ok((
        GcPlan {
            grace_s,
            since: rfc3339(cutoff),
            kept: marked.kept,
            removed: marked.removed,
            reasons: marked.reasons,
            packs: marked.packs,
            packs_untouched: marked.packs_untouched,
            leftovers,
        },
        marked.keep,
    ))
}
