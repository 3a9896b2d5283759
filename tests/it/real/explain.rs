//! What `diff --explain` says of real data, where it is known what was changed: rows were held back from the first run,
//! and one rule of the policy is another in the second.

use std::path::Path;

use distill::ops::Silent;
use distill::ops::explain::{Explanation, Part, explain};
use distill::ops::run::What;
use distill::record::Category;

use crate::conservation::embedded_in;

/// Two runs by the spec `name`: before `add` is called on the folder of the data, and after, when passing runs are good
/// in part only.
fn told(name: &str, files: &[(String, Vec<u8>)], add: &[(String, Vec<u8>)]) -> Explanation {
    let dir = tempfile::tempdir().expect("a folder");
    let place = embedded_in(dir.path(), name);
    for (file, bytes) in files {
        place.write(file, bytes);
    }
    let first = place.run(What::All).commit_id;
    for (file, bytes) in add {
        place.write(file, bytes);
    }
    let policy = std::fs::read_to_string(place.root.join(".distill/policy.toml")).expect("the policy");
    let rule = "id = \"outcome-pass\"\ncategory = \"accepted\"";
    assert!(policy.contains(rule));
    place
        .write(".distill/policy.toml", policy.replace(rule, &rule.replace("accepted", "partially_accepted")));
    let second = place.run(What::All).commit_id;
    let spill = tempfile::tempdir().expect("a folder");
    explain(&place.repo(), Some(first), second, spill.path(), &Silent).unwrap_or_else(|e| panic!("{e}"))
}

/// `passed` and `failed` runs were there before, and as many more came.
fn reads_right(found: &Explanation, (passed, failed): (i64, i64), (more_passed, more_failed): (i64, i64)) {
    assert_eq!(found.changed, [Part::Policy, Part::Data]);
    assert_eq!((found.recomputed, &found.unattributed_because), (1, &None));
    let shares = |name: &str| found.metrics.get(name).map_or((0, 0), |of| (of.policy, of.data));
    // The rule takes every passing run of before out of `accepted`; what came is judged by the new policy.
    assert_eq!(shares("p3_accepted"), (-passed, 0));
    assert_eq!(shares("p3_partial"), (passed, more_passed));
    assert_eq!(shares("p3_rejected"), (0, more_failed));
    let came: i64 =
        ["p3_accepted", "p3_partial", "p3_rejected", "p3_human"].iter().map(|name| shares(name).1).sum();
    assert_eq!(shares("p2_evidence_rows"), (0, came));
    let accepted = &found.metrics["p3_accepted"];
    assert_eq!(
        accepted.rules.iter().map(|(r, by)| (r.as_str(), *by)).collect::<Vec<_>>(),
        [("outcome-pass", -passed)]
    );
    for (name, of) in &found.metrics {
        let sum = of.tool + of.specs + of.policy + of.data + of.unattributed;
        assert_eq!(
            sum,
            i64::try_from(of.after).expect("small") - i64::try_from(of.before).expect("small"),
            "{name}"
        );
    }
    let rows = |from, to| {
        let of = found.transitions.iter().find(|t| (t.from, t.to) == (from, to));
        of.map_or(0, |of| i64::try_from(of.rows).expect("small"))
    };
    assert_eq!(rows(Some(Category::Accepted), Some(Category::PartiallyAccepted)), passed);
    assert_eq!(
        (rows(None, Some(Category::PartiallyAccepted)), rows(None, Some(Category::Rejected))),
        (more_passed, more_failed)
    );
    assert!(failed > 0);
}

fn data(folder: &str) -> Option<std::path::PathBuf> {
    let Some(data) = std::env::var_os("DISTILL_REAL_DATA") else {
        println!("skipped: DISTILL_REAL_DATA is not set, {folder} is not read");
        return None;
    };
    Some(Path::new(&data).join(folder))
}

#[test]
fn tau_bench_reads_right() {
    let name = "historical_trajectories/gpt-4o-airline.json";
    let Some(folder) = data("tau-bench") else { return };
    let whole = std::fs::read(folder.join(name)).expect("the file");
    let rows: Vec<Box<serde_json::value::RawValue>> = serde_json::from_slice(&whole).expect("an array");
    let first: Vec<&str> = rows[..150].iter().map(|row| row.get()).collect();
    let held = format!("[{}]", first.join(","));
    let passed = |rows: &[Box<serde_json::value::RawValue>]| {
        let parsed =
            rows.iter().map(|row| serde_json::from_str::<serde_json::Value>(row.get()).expect("JSON"));
        let good = parsed.filter(|row| row["reward"] == 1.0).count();
        (i64::try_from(good).expect("small"), i64::try_from(rows.len() - good).expect("small"))
    };
    let found =
        told("tau-bench", &[(name.to_owned(), held.into_bytes())], &[(name.to_owned(), whole.clone())]);
    reads_right(&found, passed(&rows[..150]), passed(&rows[150..]));
}

#[test]
fn aider_reads_right() {
    let Some(folder) = data("aider-swe-bench") else { return };
    let (mut files, mut held) = (Vec::new(), Vec::new());
    for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
        let entry = entry.expect("an entry");
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(&folder).expect("below").to_str().expect("text").to_owned();
            let bytes = std::fs::read(entry.path()).expect("the file");
            if name.contains("sympy__") { held.push((name, bytes)) } else { files.push((name, bytes)) }
        }
    }
    let found = told("aider-swe-bench", &files, &held);
    // What the attempts of a task came to is counted by the program itself; here only what follows from it.
    let of = |name: &str| &found.metrics[name];
    let before = |name: &str| i64::try_from(of(name).before).expect("small");
    let (passed, came) = (before("p3_accepted"), (of("p3_partial").data, of("p3_rejected").data));
    assert!(passed > 0 && came.0 > 0 && came.1 > 0, "{found:?}");
    reads_right(&found, (passed, before("p3_rejected")), came);
}
