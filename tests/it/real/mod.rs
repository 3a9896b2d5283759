//! Every embedded spec over the public data that it is for, from `run-all` to the last hash.
//!
//! One file for each data set. Each test refines the real files, lets [`refined`] check conservation and every hash, and
//! compares the category counts with the outcome field of the source, counted apart from distill by the `jq` program.
//! Needs `DISTILL_REAL_DATA`: a folder with the data sets, each in a folder of its name.

mod claude_code;
mod code_review;
mod edges;
mod explain;
mod inspect;
mod mt_bench;
mod self_instruct;
mod spans;
mod swe_agent;
mod vexp;
mod who_and_when;
mod wildbench;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use distill::ops::Silent;
use distill::ops::health::{StreamHealth, health};
use distill::record::{Category, EvidenceRecord, ScoredRun};
use distill::repo::Site;
use serde_json::Value;

use crate::conservation::{View, check, real_in};

/// The data set `name` refined by its embedded spec and checked; nothing, and a line that says so, where it is not here.
pub(crate) fn refined(name: &str) -> Option<(tempfile::TempDir, View)> {
    refined_in(name, name)
}

/// As [`refined`], by the spec `name` over the data set in `folder`.
pub(crate) fn refined_in(name: &str, folder: &str) -> Option<(tempfile::TempDir, View)> {
    let (dir, place) = real_in(name, folder)?;
    let view = check(&place);
    Some((dir, view))
}

/// The keys of the rows in `folder` that no expression of the spec `name` reads, as `distill health` reports them.
pub(crate) fn unread(name: &str, folder: &str) -> Option<Vec<String>> {
    let (dir, _place) = real_in(name, folder)?;
    let health = health(&Site::at(dir.path()).expect("a site"), &[], &Silent).expect("health");
    Some(health.items.into_iter().flat_map(|item| item.unread).map(|key| key.key).collect())
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
pub(crate) fn jq<P: AsRef<Path>>(filter: &str, files: &[P]) -> Value {
    let out = Command::new("jq")
        .args(["-c", "-s", filter])
        .args(files.iter().map(AsRef::as_ref))
        .output()
        .expect("jq is installed where real data is tested");
    assert!(out.status.success(), "jq {filter}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("one value")
}

/// The category counts are those of the words that `jq` makes of the source's own outcome fields: `filter` gives one for
/// each record.
#[track_caller]
pub(crate) fn assert_categories<P: AsRef<Path>>(view: &View, filter: &str, files: &[P]) {
    let counted = jq(&format!("[{filter}] | group_by(.) | map({{(.[0]): length}}) | add"), files);
    let made: serde_json::Map<String, Value> =
        categories(view).into_iter().map(|(c, n)| (c.as_str().to_owned(), n.into())).collect();
    assert_eq!(Value::Object(made), counted);
}

/// What `health` says of the one spec of a repository.
pub(crate) fn health_of(dir: &Path) -> StreamHealth {
    let mut health = health(&Site::at(dir).expect("a site"), &[], &Silent).expect("health");
    assert_eq!(health.items.len(), 1);
    health.items.remove(0)
}

/// The members of the rows that no expression reads.
pub(crate) fn unread_of(dir: &Path) -> Vec<String> {
    health_of(dir).unread.into_iter().map(|key| key.key).collect()
}

/// The rows of a JSONL file.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Everything that a record says but its response.
pub(crate) fn around(record: &EvidenceRecord) -> String {
    let mut value = serde_json::to_value(record).expect("JSON");
    value["response"] = Value::Null;
    let mut texts = Vec::new();
    strings(&value, &mut texts);
    texts.join("\n")
}

fn strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(members) => members.values().for_each(|member| strings(member, out)),
        _ => {}
    }
}

/// [`jq`] with a filter that counts.
#[track_caller]
pub(crate) fn count<P: AsRef<Path>>(filter: &str, files: &[P]) -> usize {
    let count = jq(filter, files);
    usize::try_from(count.as_u64().unwrap_or_else(|| panic!("{filter} gives {count}"))).expect("fits")
}

#[test]
fn tau_bench_is_judged_by_its_rewards() {
    let Some((_dir, view)) = refined("tau-bench") else { return };
    let files = [folder("tau-bench").join("historical_trajectories/gpt-4o-airline.json")];
    let rewards = |reward: u8| count(&format!("[.[][] | select(.reward == {reward})] | length"), &files);
    let expected = BTreeMap::from([(Category::Accepted, rewards(1)), (Category::Rejected, rewards(0))]);
    assert_eq!(categories(&view), expected);
}
