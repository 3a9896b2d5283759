//! When two rows are the same row: equal, and alike in everything else of theirs that the spec reads.

use std::collections::BTreeSet;

use distill::ops::run::What;
use distill::record::{DuplicateEntry, EvidenceRecord};
use sha2::Digest as _;

use crate::conservation::check;
use crate::engine::Place;

const ANSWERS: &str = r#"
stream = "answers"
files = ["**/*.jsonl"]
path = "{set}/{model}.jsonl"
[fields]
run_id = ".id"
response = ".say"
"#;

/// Three files with one line in common; the second holds it twice.
fn place(dir: &std::path::Path, spec: &str) -> Place {
    let place = Place::new(dir, &[("answers", spec)]);
    let line = "{\"id\": \"q\", \"say\": \"yes\"}\n";
    place.write("x/a.jsonl", line);
    place.write("x/b.jsonl", line.repeat(2));
    place.write("y/a.jsonl", line);
    place.run(What::All);
    place
}

#[test]
fn equal_rows_are_told_apart_by_what_the_spec_reads_of_their_path() {
    for (reads, records) in [
        ("", 1),
        ("model.name = \"$path.model\"\n", 2),
        ("model.name = '$path.model | ascii_upcase'\n", 2),
        ("model.name = '\"\\($path.set)/\\($path.model)\"'\n", 3),
        ("model.name = '$path | tojson'\n", 3),
        ("model.name = '$path.file'\n", 3),
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let place = place(dir.path(), &format!("{ANSWERS}{reads}"));
        let view = check(&place);
        let evidence = view.records::<EvidenceRecord>("evidence");
        let models: BTreeSet<_> = evidence.values().map(|record| record.model.name.clone()).collect();
        assert_eq!((evidence.len(), models.len()), (records, records), "{reads}");
        assert_eq!(view.records::<DuplicateEntry>("duplicates").len(), 4 - records, "{reads}");
        // The second run decides over remembered facts and must end at the same place.
        let before = place.head().datasets;
        place.run(What::All);
        assert_eq!(place.head().datasets, before, "{reads}");
    }
}

#[test]
fn equal_values_of_a_map_are_told_apart_by_their_keys_where_these_are_read() {
    for (run_id, records) in [("$key", 3), ("\\\"run\\\"", 1)] {
        let spec = format!(
            "stream = \"verdicts\"\nfiles = [\"*.json\"]\nunit = \"value\"\n[fields]\nrun_id = \"{run_id}\"\n\
             validation.outcome = \".ok\"\n"
        );
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::new(dir.path(), &[("verdicts", &spec)]);
        place.write("all.json", r#"{"t1": {"ok": true}, "t2": {"ok": true}, "t3": {"ok": true}}"#);
        place.run(What::All);
        let evidence = check(&place).records::<EvidenceRecord>("evidence");
        assert_eq!(evidence.len(), records, "{run_id}");
    }
}

#[test]
fn rows_that_differ_by_path_alone_keep_keys_apart() {
    let dir = tempfile::tempdir().expect("a folder");
    let spec = format!("{ANSWERS}model.name = \"$path.model\"\n");
    let place = Place::new(dir.path(), &[("answers", &spec)]);
    let row = "{\"id\":\"q\",\"say\":\"yes\"}";
    for n in 10..40 {
        place.write(&format!("x/m{n}.jsonl"), format!("{row}\n"));
    }
    place.run(What::All);
    let keys: Vec<String> = check(&place).records::<EvidenceRecord>("evidence").into_keys().collect();
    assert_eq!(keys.len(), 30);
    // The key of the second file, by the recipe of the format.
    let sha256 = |text: &str| hex::encode(sha2::Sha256::digest(text));
    let sig = sha256(row);
    let id = sha256(&format!("{{\"path\":{{\"model\":\"m11\"}},\"sig_hash\":\"{sig}\"}}"));
    let key = format!("0000/00/00/answers/{}~{}", &sig[..16], &id[..8]);
    assert!(keys.contains(&key), "{key} {keys:?}");
}
