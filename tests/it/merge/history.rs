//! Merge bases, and what a merge is to history: parents, generations, criss-cross, octopus, undo.

use distill::object::CommitId;
use distill::ops::merge::{MergeOptions, MergeOutcome};
use distill::ops::refs::{NewRef, create_branch, undo};
use distill::ops::run::{RunOptions, What};
use distill::tree;

use super::{bring, merged, tip, try_merge};
use crate::engine::{LINES, Place, receipts, result};

fn row(id: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"run\":\"{id}\",\"task\":\"t\",\"ask\":\"q\",\"say\":\"{id}\",\"ok\":true}}\n"
    )
}

/// A repository with one run over `in/base.jsonl`.
fn place(dir: &tempfile::TempDir) -> Place {
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    place.write("in/base.jsonl", row("base"));
    run(&place, "main", "base");
    place
}

fn run(place: &Place, branch: &str, run_id: &str) -> CommitId {
    let mut options = RunOptions::new(What::All);
    options.branch = Some(branch.to_owned());
    options.run_id = Some(run_id.to_owned());
    options.accept_source_loss = true;
    options.write_files = false;
    place.try_run(&options).unwrap_or_else(|e| panic!("{run_id}: {e}")).commit_id
}

fn branch(place: &Place, name: &str, rev: &str) {
    let new = NewRef { name: name.to_owned(), rev: Some(rev.to_owned()), ..NewRef::default() };
    create_branch(&place.repo(), &new, distill::base::clock::Clock::Fixed(0)).expect("a branch");
}

/// A run on `name` that has a file more than the branch before it, and nothing of other branches.
fn grow(place: &Place, name: &str, has: &[&str], new: &str) -> CommitId {
    for entry in std::fs::read_dir(place.root.join("in")).expect("a folder").flatten() {
        let file = entry.file_name().to_string_lossy().replace(".jsonl", "");
        if file != "base" && !has.contains(&file.as_str()) {
            std::fs::remove_file(entry.path()).expect("removed");
        }
    }
    for file in has.iter().chain([&new]) {
        place.write(&format!("in/{file}.jsonl"), row(file));
    }
    run(place, name, &format!("{name}-{new}"))
}

fn keys(place: &Place, commit: &CommitId) -> Vec<String> {
    let repo = place.repo();
    let root = repo.commit(*commit).expect("a commit").dataset("sources").expect("sources");
    tree::iter(repo.store(), root).map(|entry| entry.expect("an entry").key).collect()
}

#[test]
fn bases_are_the_best_common_ancestors() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    let base = tip(&place, "main");
    branch(&place, "side", "main");
    let ours = grow(&place, "main", &[], "a");
    let theirs = grow(&place, "side", &[], "b");
    let bases = |one, others: &[CommitId]| place.repo().merge_bases(one, others).expect("readable");
    assert_eq!(bases(ours, &[theirs]), [base]);
    assert_eq!(bases(theirs, &[ours]), [base]);
    assert_eq!(bases(ours, &[base]), [base]);
    assert_eq!(bases(ours, &[ours]), [ours]);
    assert_eq!(place.repo().independent(&[base, ours, theirs, ours]).expect("readable"), [ours, theirs]);

    let merge = merged(&place, &["side"]);
    let run = merge.run.expect("a commit");
    let commit = place.head();
    assert_eq!(commit.parents, [ours, theirs]);
    assert_eq!((commit.generation, commit.operation.as_str()), (2, "merge"));
    assert_eq!(place.repo().store().get_ref(&format!("runs/{}", run.run_id)), Some(*run.commit_id.object()));
    assert_eq!(bases(run.commit_id, &[theirs]), [theirs]);
    assert_eq!(
        keys(&place, &run.commit_id),
        ["in/a.jsonl/0000000000", "in/b.jsonl/0000000000", "in/base.jsonl/0000000000"]
    );
    // Drift is measured against the branch as it was.
    assert_eq!(run.drift.baseline.expect("a baseline").commit_id, ours);
}

#[test]
fn receipts_of_a_merge_say_where_its_rows_came_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    branch(&place, "side", "main");
    grow(&place, "main", &[], "a");
    grow(&place, "side", &[], "b");
    let before = receipts(&place.repo(), &place.head());
    merged(&place, &["side"]);
    let after = receipts(&place.repo(), &place.head());
    let inputs: Vec<_> = after["sources"].inputs.iter().map(|i| (i.dataset.as_str(), i.rows)).collect();
    assert_eq!(
        inputs,
        [
            ("file:in/a.jsonl", 1),
            ("merged:in/b.jsonl", 1),
            ("file:in/base.jsonl", 1),
            ("run:main-a", 2),
            ("run:side-b", 2),
        ]
    );
    assert_eq!(after["sources"].counts.rows_in, 3);
    let last = before["quarantine"].previous.is_some() && after["sources"].previous.is_some();
    assert!(last, "each names the receipt before it, across the merge");
    for (stage, receipt) in &after {
        assert_eq!(receipt.counts.fates(), receipt.counts.rows_in, "{stage}");
    }
}

#[test]
fn what_a_branch_has_is_no_merge_and_what_goes_on_from_it_moves_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    branch(&place, "side", "main");
    let base = tip(&place, "main");
    let report = try_merge(&place, &MergeOptions::new(["side", "base"])).expect("an answer");
    assert_eq!((report.outcome, report.commit_id), (MergeOutcome::UpToDate, Some(base)));
    let ahead = grow(&place, "side", &[], "b");

    let mut options = MergeOptions::new(["side"]);
    options.dry_run = true;
    let report = try_merge(&place, &options).expect("an answer");
    assert_eq!(
        (report.outcome, tip(&place, "main")),
        (MergeOutcome::FastForward, base),
        "a dry run moves nothing"
    );
    options.dry_run = false;
    let report = try_merge(&place, &options).expect("an answer");
    assert_eq!((report.outcome, tip(&place, "main")), (MergeOutcome::FastForward, ahead));
    assert_eq!((report.rows_brought, report.run.is_none()), (1, true));

    undo(&place.repo(), false, distill::base::clock::Clock::Fixed(0)).expect("undone");
    assert_eq!(tip(&place, "main"), base);
    options.no_ff = true;
    let report = try_merge(&place, &options).expect("an answer");
    assert_eq!(report.outcome, MergeOutcome::Merged);
    assert_eq!(place.head().parents, [base, ahead]);
    assert_eq!(place.head().datasets, place.repo().commit(ahead).expect("a commit").datasets);
}

#[test]
fn histories_that_crossed_merge_by_asking_every_base() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = place(&dir);
    branch(&place, "side", "main");
    let a = grow(&place, "main", &[], "a");
    let b = grow(&place, "side", &[], "b");
    branch(&place, "cross", "side");
    // Each side merges the other's first commit.
    merged(&place, &["side"]);
    let ours = grow(&place, "main", &["a"], "c");
    let repo = place.repo();
    distill::ops::checkout::checkout(
        &repo,
        &distill::ops::checkout::CheckoutOptions {
            rev: Some("cross".to_owned()),
            force: true,
            ..Default::default()
        },
        distill::base::clock::Clock::Fixed(0),
    )
    .expect("switched");
    let mut options = MergeOptions::new([a.to_string()]);
    options.run.write_files = false;
    assert_eq!(try_merge(&place, &options).expect("merged").outcome, MergeOutcome::Merged);
    let theirs = grow(&place, "cross", &["b"], "d");
    let mut bases = vec![a, b];
    bases.sort();
    assert_eq!(place.repo().merge_bases(ours, &[theirs]).expect("readable"), bases);
    let mut options = MergeOptions::new(["main"]);
    options.run.write_files = false;
    let report = try_merge(&place, &options).expect("an answer");
    assert_eq!((report.outcome, &report.conflicts), (MergeOutcome::Merged, &Vec::new()));
    assert_eq!(report.parents[1].bases, bases);
    let files: Vec<String> = keys(&place, &report.commit_id.expect("a commit"));
    let files: Vec<&str> = files.iter().map(|key| &key[3..key.len() - 17]).collect();
    assert_eq!(files, ["a", "b", "base", "c", "d"]);
}

#[test]
fn an_octopus_is_one_commit_of_many_parents_and_the_order_changes_no_dataset() {
    let sites: Vec<_> = ["x", "y", "z"]
        .map(|name| {
            let dir = tempfile::tempdir().expect("a folder");
            let site = Place::new(dir.path(), &[("lines", LINES)]);
            site.write(&format!("in/{name}.jsonl"), row(name) + &row("same"));
            run(&site, "main", name);
            (dir, site)
        })
        .into();
    let mut made = Vec::new();
    for order in [["y", "z"], ["z", "y"]] {
        let dir = tempfile::tempdir().expect("a folder");
        let hub = Place::new(dir.path(), &[("lines", LINES)]);
        hub.write("in/x.jsonl", row("x") + &row("same"));
        run(&hub, "main", "x");
        bring(&sites[1].1.root, &hub.root, "y");
        bring(&sites[2].1.root, &hub.root, "z");
        let report = merged(&hub, &order);
        assert_eq!(report.parents.len(), 3);
        assert!(report.parents.iter().all(|side| side.bases.is_empty()), "the histories never met");
        assert_eq!(place_parents(&hub), 3);
        let mut result = result(&hub);
        result.stages.clear();
        made.push(result);
    }
    assert_eq!(made[0], made[1]);
}

fn place_parents(place: &Place) -> usize {
    place.head().parents.len()
}
