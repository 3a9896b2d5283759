//! `acceptance`: the whole system on its own fixture, held against 22 pinned invariants.
//!
//! Rests on `run`, in this process, and on `checks`. The fixture is embedded, so that an installed program carries its bar
//! with it. Invariants: everything happens in a folder of its own below the one it is given; the only thing written
//! elsewhere is the report, in a repository's working tree.

mod fixture;
mod invariants;
pub(crate) mod page;
mod power;
mod probes;
mod scene;

use std::path::PathBuf;

use serde::Serialize;

use crate::object::ObjectId;
use crate::ops::checks::{Found, Subject};
use crate::ops::error::OpError;
use crate::ops::fault::Fault;
use crate::ops::progress::Progress;
use crate::ops::snapshot::REPORTS;
use crate::repo::Site;
use crate::repo::worktree::Worktree;
use invariants::INVARIANTS;
use scene::Scene;

pub use crate::ops::checks::Breach;
pub use power::Planting;

/// The report's name below the folder of reports.
pub const PAGE: &str = "phase6-acceptance-report.md";

/// How to accept.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder for temporary files.
    pub tmp: PathBuf,
    /// Whether to plant a defect for each invariant as well.
    pub power: bool,
    /// Whether a report that was changed by hand may be overwritten.
    pub force: bool,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Acceptance {
    /// BLAKE3 of the fixture: the bar.
    pub fixture: ObjectId,
    /// How many invariants hold.
    pub held: usize,
    /// How many there are.
    pub of: usize,
    /// Whether all do, and every planted defect was caught.
    pub accepted: bool,
    /// The report that was written; null outside a repository.
    pub report: Option<String>,
    /// The invariants, in order of number.
    pub items: Vec<Judged>,
    /// The planted defects, in order of the invariants that they break; null where none were asked for.
    pub power: Option<Vec<Planting>>,
}

/// One invariant, judged.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// Its number, from 1.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// What it protects.
    pub protects: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What broke it: the first of them.
    pub breaches: Vec<Breach>,
    /// How many things broke it.
    pub breaches_total: u64,
}

/// Judges the program on its fixture, and in a repository writes the report.
///
/// # Errors
/// When the folder for temporary files cannot be used, the fixture cannot be refined at all, or the report was changed by
/// hand. What does not hold is part of the answer.
pub fn acceptance(
    site: Option<&Site>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Acceptance, OpError> {
    progress.begin("acceptance", None);
    let items = judge(options, &[])?;
    progress.end();
    let power = options.power.then(|| power::power(options, progress)).transpose()?;
    let held = items.iter().filter(|item| item.holds).count();
    let caught = power.iter().flatten().all(|planting| planting.caught);
    let mut accepted = Acceptance {
        fixture: fixture::hash(),
        held,
        of: items.len(),
        accepted: held == items.len() && caught,
        report: None,
        items,
        power,
    };
    if let Some(site) = site {
        let rel = format!("{REPORTS}{PAGE}");
        let worktree = Worktree::open(&site.root, &site.dot().join("index"))?;
        let mut transaction = worktree.begin()?;
        transaction.put(&rel, page::markdown(&accepted).as_bytes())?;
        transaction.commit(options.force, &|_| false)?;
        accepted.report = Some(rel);
    }
    Ok(accepted)
}

/// The name of the fixture that this program carries.
pub(crate) fn fixture_hash() -> ObjectId {
    fixture::hash()
}

/// Refines the fixture with `faults` planted and judges every invariant.
pub(crate) fn judge(options: &Options, faults: &[Fault]) -> Result<Vec<Judged>, OpError> {
    let scene = Scene::new(&options.tmp, faults)?;
    let subject = Subject::load(&scene.main, scene.commit.clone())?;
    let judged = INVARIANTS.iter().map(|invariant| {
        let mut found = Found::default();
        if let Err(error) = (invariant.check)(&scene, &subject, &mut found) {
            found.push(Breach::new(error.message));
        }
        Judged {
            number: invariant.number,
            name: invariant.name,
            protects: invariant.protects,
            holds: found.total == 0,
            breaches: found.named,
            breaches_total: found.total,
        }
    });
    Ok(judged.collect())
}

#[cfg(test)]
mod tests;
