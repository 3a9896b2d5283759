//! `merge`: the union of runs made apart, as one run over the union of their sources.

mod held;
mod history;
mod random;
mod terminal;

use std::path::Path;

use distill::base::clock::Clock;
use distill::object::{CommitId, ObjectId, Write as _};
use distill::ops::merge::{MergeOptions, MergeOutcome, MergeReport, merge};
use distill::ops::{OpError, Silent};
use distill::repo::Site;
use distill::store::{OpRequest, RefChange, Store};

use crate::engine::Place;

/// Brings every object of one store into another, and its branch `main` there under `name`: what fetching will do.
pub(crate) fn bring(from: &Path, to: &Path, name: &str) -> ObjectId {
    let from = Store::open(&from.join(".distill")).expect("a store");
    let to = Store::open(&to.join(".distill")).expect("a store");
    let mut staging = to.staging().expect("a staging");
    for pack in from.packs() {
        for object in from.iter_objects(&pack.id).expect("a pack") {
            let (_, kind, bytes) = object.expect("an object");
            staging.write(kind, &bytes).expect("written");
        }
    }
    let tip = from.get_ref("heads/main").expect("a commit");
    let name = format!("heads/{name}");
    let ref_changes = vec![RefChange { old: to.get_ref(&name), name, new: Some(tip) }];
    let at = "2026-01-01T00:00:00.000Z".to_owned();
    let request = OpRequest { operation: "fetch".to_owned(), at, ref_changes, ..OpRequest::default() };
    to.publish(Some(staging), request).expect("published");
    tip
}

/// Merges as the program would.
pub(crate) fn try_merge(place: &Place, options: &MergeOptions) -> Result<MergeReport, OpError> {
    merge(Site::at(&place.root)?, options, Clock::Fixed(1_700_000_000_000), &Silent)
}

/// Merges what must merge.
#[track_caller]
pub(crate) fn merged(place: &Place, revs: &[&str]) -> MergeReport {
    let report = try_merge(place, &MergeOptions::new(revs.iter().copied()))
        .unwrap_or_else(|e| panic!("{e}: {}", e.hint));
    assert_eq!(report.outcome, MergeOutcome::Merged, "{:?}", report.conflicts);
    report
}

/// The commit that a branch stands at.
pub(crate) fn tip(place: &Place, branch: &str) -> CommitId {
    CommitId::new(place.repo().store().get_ref(&format!("heads/{branch}")).expect("a branch"))
}
