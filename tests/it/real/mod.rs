//! Every embedded spec over the public data that it is for, from `run-all` to the last hash.
//!
//! One file for each data set. Each test refines the real files, lets [`refined`] check conservation and every hash, and
//! compares the category counts with the outcome field of the source, counted apart from distill by the `jq` program.
//! Needs `DISTILL_REAL_DATA`: a folder with the data sets, each in a folder of its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use distill::record::{Category, ScoredRun};

use crate::conservation::{View, check, real};

/// The data set `name` refined by its embedded spec and checked; nothing, and a line that says so, where it is not here.
pub(crate) fn refined(name: &str) -> Option<(tempfile::TempDir, View)> {
    let (dir, place) = real(name)?;
    let view = check(&place);
    Some((dir, view))
}

/// The folder of the data set `name`; only after [`refined`] said that it is here.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("DISTILL_REAL_DATA").expect("the folder")).join(name)
}

/// How many scored runs are of each category.
pub(crate) fn categories(view: &View) -> BTreeMap<Category, usize> {
    let mut counts = BTreeMap::new();
    for run in view.records::<ScoredRun>("scored-runs").values() {
        *counts.entry(run.category).or_default() += 1;
    }
    counts
}

/// What `jq -s FILTER FILES` prints, as JSON: the values of all files are one array, `.`.
#[track_caller]
pub(crate) fn jq<P: AsRef<Path>>(filter: &str, files: &[P]) -> serde_json::Value {
    let out = Command::new("jq")
        .args(["-c", "-s", filter])
        .args(files.iter().map(AsRef::as_ref))
        .output()
        .expect("jq is installed where real data is tested");
    assert!(out.status.success(), "jq {filter}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("one value")
}

#[test]
fn tau_bench_is_judged_by_its_rewards() {
    let Some((_dir, view)) = refined("tau-bench") else { return };
    let files = [folder("tau-bench").join("historical_trajectories/gpt-4o-airline.json")];
    let count = |reward: u8| {
        let count = jq(&format!("[.[][] | select(.reward == {reward})] | length"), &files);
        usize::try_from(count.as_u64().expect("a count")).expect("fits")
    };
    let expected = BTreeMap::from([(Category::Accepted, count(1)), (Category::Rejected, count(0))]);
    assert_eq!(categories(&view), expected);
}
