//! Same input, same hashes: whatever the threads, the time zone, the locale, the folder and the order of its files.

use std::process::Command;

use distill::object::FindExt as _;
use distill::ops::run::{RunOptions, What};

use crate::engine::{LINES, Place, Rng, result};
use crate::freeze::sample_in;

#[test]
fn threads_zones_and_folders_change_nothing() {
    let mut known = None;
    for (seed, threads, zone, locale) in
        [(1, "1", "UTC", "C"), (2, "2", "Asia/Tokyo", "tr_TR.UTF-8"), (3, "5", "America/St_Johns", "de_DE")]
    {
        let dir = tempfile::tempdir().expect("a folder");
        let place = sample_in(&dir.path().join(format!("copy {seed}")), &mut Rng::new(seed));
        let output = Command::new(env!("CARGO_BIN_EXE_distill"))
            .args(["run-all", "--quiet", "--threads", threads])
            .current_dir(&place.root)
            .envs([("TZ", zone), ("LANG", locale), ("LC_ALL", locale)])
            .output()
            .expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made = result(&place);
        assert_eq!(made.datasets.len(), 8);
        match &known {
            None => known = Some(made),
            Some(known) => assert_eq!(known, &made, "{threads} threads, {zone}, {locale}"),
        }
    }
}

#[test]
fn an_unchanged_rerun_computes_nothing_and_stores_only_what_speaks_of_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = sample_in(dir.path(), &mut Rng::new(4));
    let first = place.run(What::All);
    let before: Vec<_> = place.repo().store().refs().into_keys().collect();
    let again = place.run(What::All);
    assert_eq!(first.datasets, again.datasets);
    assert_eq!(again.units_computed, 0);
    assert_eq!(place.repo().store().refs().len(), before.len() + 1, "one more run");
    // Seven receipts and their tree, summary, drift and commit.
    assert!(again.bytes_stored < 16 << 10, "{} bytes", again.bytes_stored);
}

#[test]
fn an_unterminated_last_line_is_known_until_its_file_changes() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    place.write("in/a.jsonl", "{\"id\":1}\n{\"id\":2");
    assert_eq!(place.run(What::All).units_computed, 2);
    assert_eq!(place.run(What::All).units_computed, 0);
    place.append("in/a.jsonl", "0}");
    let report = place.run(What::All);
    assert_eq!(report.units_computed, 1);
    assert_eq!(report.summary.metrics.p2_evidence_rows, 2);
    assert_eq!(report.summary.metrics.p2_evidence_quarantined, 0);
    place.append("in/a.jsonl", "\n{\"id\":3}");
    assert_eq!(place.run(What::All).summary.metrics.p2_evidence_rows, 3);
}

#[test]
fn evidence_names_its_raw_row_by_content() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    place.write("in/a.jsonl", "{\"id\":1}\r\n{\"id\":2}");
    let mut options = RunOptions::new(What::All);
    options.threads = Some(3);
    place.try_run(&options).unwrap_or_else(|e| panic!("{e}"));
    let (repo, head) = (place.repo(), place.head());
    let sources = head.dataset("sources").expect("sources");
    let rows: Vec<_> = distill::tree::iter(repo.store(), sources)
        .map(|e| repo.store().find(&e.expect("an entry").id).expect("a row").to_vec())
        .collect();
    assert_eq!(rows, [b"{\"id\":1}".to_vec(), b"{\"id\":2}".to_vec()]);
}
