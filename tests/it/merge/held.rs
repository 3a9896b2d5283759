//! Runs after a merge: what only the merge brought stays, what was here is still watched.

use distill::ops::ErrorKind;
use distill::ops::merge::{MergeOptions, Side};
use distill::ops::run::{RunOptions, What};

use super::{bring, merged, try_merge};
use crate::engine::{LINES, Place, receipts};

fn row(id: &str, say: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"run\":\"{id}\",\"task\":\"t\",\"ask\":\"q\",\"say\":\"{say}\",\"ok\":true}}\n"
    )
}

/// A site with one file of its own, run once.
fn site(dir: &tempfile::TempDir, name: &str) -> Place {
    let site = Place::new(dir.path(), &[("lines", LINES)]);
    site.write(&format!("in/{name}.jsonl"), row(name, name));
    site.run(What::All);
    site
}

/// Two sites, the second one merged into the first.
fn joined(dirs: &[tempfile::TempDir; 2]) -> (Place, Place) {
    let (here, there) = (site(&dirs[0], "here"), site(&dirs[1], "there"));
    bring(&there.root, &here.root, "there");
    let report = merged(&here, &["there"]);
    assert_eq!(report.files_elsewhere, ["in/there.jsonl"]);
    (here, there)
}

fn dirs() -> [tempfile::TempDir; 2] {
    [(); 2].map(|()| tempfile::tempdir().expect("a folder"))
}

fn inputs(place: &Place) -> Vec<String> {
    receipts(&place.repo(), &place.head())["sources"].inputs.iter().map(|i| i.dataset.clone()).collect()
}

#[test]
fn a_run_after_a_merge_keeps_what_the_merge_brought() {
    let dirs = dirs();
    let (here, _there) = joined(&dirs);
    let union = here.head().datasets;
    let again = here.run(What::All);
    assert_eq!((again.datasets, again.units_computed), (union, 0));
    assert_eq!(inputs(&here), ["file:in/here.jsonl", "merged:in/there.jsonl"]);
    // Drift is told against the merge, so that its rows do not look like news.
    assert!(again.drift.metrics.iter().all(|m| m.before == Some(m.after)), "{:?}", again.drift.metrics);
    here.append("in/here.jsonl", &row("more", "more"));
    let more = here.run(What::All);
    assert_eq!((more.summary.metrics.p2_evidence_rows, more.units_computed), (3, 1));
    std::fs::remove_dir_all(here.root.join(".distill/index")).expect("forgotten");
    assert_eq!(here.run(What::All).datasets, more.datasets, "without a memo");
    // A file of this folder is still watched, and what the merge brought is not lost with it.
    std::fs::remove_file(here.root.join("in/here.jsonl")).expect("removed");
    let error = here.try_run(&RunOptions::new(What::All)).expect_err("a loss");
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("in/here.jsonl") && !error.message.contains("there"), "{error}");
    let mut options = RunOptions::new(What::All);
    options.accept_source_loss = true;
    let left = here.try_run(&options).expect("accepted");
    assert_eq!(left.summary.metrics.p2_evidence_rows, 1);
}

#[test]
fn a_file_that_comes_to_the_folder_is_read_there_from_then_on() {
    let dirs = dirs();
    let (here, there) = joined(&dirs);
    let union = here.head().datasets;
    let text = std::fs::read(there.root.join("in/there.jsonl")).expect("readable");
    here.write("in/there.jsonl", &text);
    let run = here.run(What::All);
    assert_eq!((run.datasets, run.units_computed), (union, 0), "the same rows, from the file now");
    assert_eq!(inputs(&here), ["file:in/here.jsonl", "file:in/there.jsonl"]);
    // An older state of a file that a merge brought would lose rows.
    there.append("in/there.jsonl", &row("later", "later"));
    there.run(What::All);
    bring(&there.root, &here.root, "there");
    merged(&here, &["there"]);
    assert_eq!(inputs(&here)[1], "merged:in/there.jsonl");
    let error = here.try_run(&RunOptions::new(What::All)).expect_err("a loss");
    assert!(error.message.contains("in/there.jsonl (unit 1)"), "{error}");
}

#[test]
fn merging_a_site_again_takes_in_what_is_new_there() {
    let dirs = dirs();
    let (here, there) = joined(&dirs);
    here.append("in/here.jsonl", &row("more", "more"));
    here.run(What::All);
    there.append("in/there.jsonl", &row("later", "more"));
    there.run(What::All);
    bring(&there.root, &here.root, "there");
    let report = merged(&here, &["there"]);
    assert_eq!((report.rows_brought, report.rows_gone), (1, 0));
    let run = report.run.expect("a commit");
    assert_eq!((run.summary.metrics.p2_evidence_rows, run.units_computed), (4, 1), "the new row alone");
}

#[test]
fn keys_of_a_map_are_in_no_row_so_a_merge_does_not_guess_them() {
    const MAP: &str = "stream = \"map\"\nfiles = [\"*.json\"]\nunit = \"value\"\n[record]\nkey = \"$key\"\n[fields]\nresponse = \".say\"\n";
    let dirs = dirs();
    let here = site(&dirs[0], "here");
    let there = Place::new(dirs[1].path(), &[("map", MAP)]);
    there.write("map.json", "{\"k1\":{\"say\":\"one\"}}");
    there.run(What::All);
    bring(&there.root, &here.root, "there");
    let before = here.store_state();
    let error = try_merge(&here, &MergeOptions::new(["there"])).expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.message.contains("map.json") && error.message.contains("$key"), "{error}");
    assert_eq!(here.store_state(), before);
    // The site that has the file merges the other.
    bring(&here.root, &there.root, "here");
    assert_eq!(merged(&there, &["here"]).run.expect("a commit").summary.metrics.p2_evidence_rows, 2);
}

#[test]
fn what_stands_beside_the_rows_is_no_row_after_a_merge_either() {
    const LOG: &str = "stream = \"log\"\nfiles = [\"*.json\"]\nunit = \"element\"\nat = \".rows\"\n[record]\nkey = \".id\"\n[fields]\nresponse = \".say\"\nmodel.name = \"$beside.model\"\n";
    let text = "{\"model\":\"m\",\"rows\":[{\"id\":\"a\",\"say\":\"x\"},{\"id\":\"b\",\"say\":\"y\"}]}";
    let dirs = dirs();
    let here = site(&dirs[0], "here");
    let there = Place::new(dirs[1].path(), &[("log", LOG)]);
    there.write("log.json", text);
    there.run(What::All);
    // An ingest of a known file leaves what stands beside its rows where it is.
    let sources = there.head().datasets["sources"];
    there.run(What::Ingest);
    assert_eq!(there.head().datasets["sources"], sources);
    // It does not say whether the file was whole, so that the next run has to.
    bring(&there.root, &here.root, "there");
    let refused = try_merge(&here, &MergeOptions::new(["there"])).expect_err("an ingest of a container");
    assert!(refused.message.contains("`ingest`") && refused.message.contains("log.json"), "{refused}");
    there.run(What::All);
    bring(&there.root, &here.root, "there");
    let union = merged(&here, &["there"]).run.expect("a commit").datasets;
    let whole = tempfile::tempdir().expect("a folder");
    let all = Place::new(whole.path(), &[("lines", LINES), ("log", LOG)]);
    all.write("in/here.jsonl", row("here", "here"));
    all.write("log.json", text);
    assert_eq!(union, all.run(What::All).datasets);
    std::fs::remove_dir_all(here.root.join(".distill/index")).expect("forgotten");
    std::fs::write(here.root.join(".distill/sources/log.toml"), LOG).expect("written");
    assert_eq!(here.run(What::All).datasets, union, "rows from the store, without a memo");
}

#[test]
fn an_ingest_after_a_merge_keeps_what_the_merge_brought() {
    let dirs = dirs();
    let (here, _there) = joined(&dirs);
    let union = here.head().datasets;
    assert_eq!(here.run(What::Ingest).datasets, union);
    assert_eq!(inputs(&here), ["file:in/here.jsonl", "merged:in/there.jsonl"]);
    here.append("in/here.jsonl", &row("more", "more"));
    let ingested = here.run(What::Ingest).datasets["sources"];
    let run = here.run(What::All);
    assert_eq!((run.datasets["sources"], run.summary.metrics.p2_evidence_rows), (ingested, 3));
}

#[test]
fn a_merge_of_ingested_rows_makes_everything_of_them() {
    let dirs = dirs();
    let (here, there) = (site(&dirs[0], "here"), site(&dirs[1], "there"));
    for (place, name) in [(&here, "here"), (&there, "there")] {
        place.append(&format!("in/{name}.jsonl"), &row(&format!("{name}-more"), "more"));
        place.run(What::Ingest);
    }
    bring(&there.root, &here.root, "there");
    let union = merged(&here, &["there"]).run.expect("a commit").datasets;
    let whole = tempfile::tempdir().expect("a folder");
    let all = Place::new(whole.path(), &[("lines", LINES)]);
    for name in ["here", "there"] {
        all.write(&format!("in/{name}.jsonl"), row(name, name) + &row(&format!("{name}-more"), "more"));
    }
    assert_eq!(union, all.run(What::All).datasets);
}

#[test]
fn rows_that_were_cut_another_way_are_not_merged() {
    let dirs = dirs();
    let here = site(&dirs[0], "here");
    let there = Place::new(dirs[1].path(), &[("lines", &format!("unit = \"file\"\n{LINES}"))]);
    there.write("in/there.jsonl", row("there", "there"));
    there.run(What::All);
    bring(&there.root, &here.root, "there");
    for side in [Side::Ours, Side::Theirs] {
        let options = MergeOptions { favour: Some(side), ..MergeOptions::new(["there"]) };
        let refused = try_merge(&here, &options).expect_err("one spec cuts lines, the other files");
        assert!(refused.message.contains("cut into units in another way"), "{refused}");
    }
}

/// The rules for secrets are part of the configuration: sites that have the same merge, and what only they refuse stays refused.
#[test]
fn a_merge_screens_by_the_rules_for_secrets_of_the_sites() {
    const RULES: &str = "[extend]\nuseDefault = true\n[[rules]]\nid = \"house-token\"\nregex = '''house_[a-z0-9]{24}'''\nkeywords = [\"house_\"]\n";
    let token = "house_q8z3kf02mxp47vtd9wjrh5la";
    let dirs = dirs();
    let sites: Vec<Place> = (dirs.iter().zip(["here", "there"]))
        .map(|(dir, name)| {
            let site = Place::new(dir.path(), &[("lines", LINES)]);
            site.write(".distill/secrets.toml", RULES);
            site.write(&format!("in/{name}.jsonl"), row(name, name) + &row(&format!("{name}-t"), token));
            site.run(What::All);
            site
        })
        .collect();
    bring(&sites[1].root, &sites[0].root, "there");
    merged(&sites[0], &["there"]);
    let rows = |dataset: &str| {
        let repo = sites[0].repo();
        let root = sites[0].head().dataset(dataset).expect("the dataset");
        distill::tree::totals(repo.store(), root).expect("totals").rows
    };
    assert_eq!((rows("evidence"), rows("exports/rag"), rows("exports/sft")), (4, 2, 2));
    let receipts = receipts(&sites[0].repo(), &sites[0].head());
    for stage in ["export-rag", "export-sft"] {
        assert_eq!(receipts[stage].quarantined_by.get("secret_suspected"), Some(&2), "{stage}");
    }
    let again = sites[0].run(What::All);
    assert_eq!(again.datasets, sites[0].head().datasets);
    assert_eq!(rows("exports/sft"), 2, "a run after the merge refuses them, too");
}
