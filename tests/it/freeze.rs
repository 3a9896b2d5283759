//! The bundled sample is frozen: what the pipeline makes of it is pinned by counts and by the root of every dataset.
//!
//! `DISTILL_UPDATE_GOLDEN=1` writes `fixtures/golden/lakehouse.json` anew, for a change that is meant.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use distill::base::clock::Clock;
use distill::ops::Silent;
use distill::ops::run::{RunOptions, RunReport, What, run};
use distill::repo::Site;
use serde_json::json;

use crate::engine::{Place, Rng};

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Copies what Git knows of the sample: its configuration and its rows. Files come in an order that `rng` chooses.
pub(crate) fn sample_in(root: &Path, rng: &mut Rng) -> Place {
    let mut files = Vec::new();
    for folder in [".distill/sources", "fixtures/lakehouse/data"] {
        let entries = walkdir::WalkDir::new(project().join(folder)).into_iter().filter_map(Result::ok);
        files.extend(entries.filter(|e| e.file_type().is_file()).map(walkdir::DirEntry::into_path));
    }
    files.extend(["config.toml", "policy.toml"].map(|name| project().join(".distill").join(name)));
    let place = Place { root: root.to_owned() };
    while !files.is_empty() {
        let path = files.swap_remove(rng.below(files.len()));
        let name = path.strip_prefix(project()).expect("in the project").to_str().expect("UTF-8").to_owned();
        place.write(&name, fs::read(&path).expect("a file"));
    }
    place
}

fn golden(report: &RunReport) -> serde_json::Value {
    let metrics = &report.summary.metrics;
    let stages: BTreeMap<&str, u64> =
        report.summary.stages.iter().map(|s| (s.stage.as_str(), s.counts.rows_in)).collect();
    let roots: BTreeMap<&String, String> =
        report.datasets.iter().map(|(name, root)| (name, root.object().to_string())).collect();
    json!({
        "rows_in": stages["evidence"],
        "rag": metrics.p4_rag_rows,
        "sft": metrics.p4_sft_rows,
        "pairs": metrics.p4_pref_pairs,
        "roots": roots,
    })
}

#[test]
fn the_sample_makes_what_it_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = sample_in(dir.path(), &mut Rng::new(1));
    let report = place.run(What::All);
    let made = golden(&report);
    let counts = [&made["rows_in"], &made["rag"], &made["sft"], &made["pairs"]];
    assert_eq!(counts.map(|n| n.as_u64().expect("a count")), [1052, 446, 351, 83]);
    let path = project().join("fixtures/golden/lakehouse.json");
    if std::env::var_os("DISTILL_UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&made).expect("JSON") + "\n";
        fs::write(&path, text).expect("written");
    }
    let pinned: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("the golden file")).expect("JSON");
    assert_eq!(pinned["roots"].as_object().map(serde_json::Map::len), Some(8));
    assert_eq!(made, pinned, "if this is meant, run once with DISTILL_UPDATE_GOLDEN=1");
}

#[test]
fn run_id_and_clock_reach_no_dataset() {
    let datasets = |run_id: &str, clock| {
        let dir = tempfile::tempdir().expect("a folder");
        let place = sample_in(dir.path(), &mut Rng::new(2));
        let options = RunOptions { run_id: Some(run_id.to_owned()), ..RunOptions::new(What::All) };
        let site = Site::at(&place.root).expect("a site");
        let report = run(site, &options, clock, &Silent).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(report.run_id, run_id);
        (report.datasets, place.head().config_id)
    };
    let (here, there) = (datasets("a", Clock::System), datasets("z-9", Clock::Fixed(0)));
    assert_eq!(here, there);
}
