//! `stats`: the sums add up, agree with `verify`, `ls` and `gc`, and nothing is written.

use serde_json::Value;

use super::Bench;

fn sum(items: &Value, member: &str) -> u64 {
    items.as_array().expect("a list").iter().map(|item| item[member].as_u64().expect("a number")).sum()
}

fn amount(value: &Value) -> [u64; 3] {
    ["objects", "bytes", "stored_bytes"].map(|member| value[member].as_u64().expect("a number"))
}

#[test]
fn every_object_is_counted_once_and_the_sums_agree() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1", "r1", "-m", "first"]);
    let stats = bench.json("distill.stats.v1", &["stats"]);
    let covered = bench.json("distill.verify.v1", &["verify"])["covered"].clone();
    assert_eq!(stats["objects"]["objects"], covered["packed_objects"]);
    assert_eq!(stats["objects"]["bytes"], covered["packed_bytes"]);
    assert_eq!(stats["nodes"]["objects"], covered["nodes"]);
    assert_eq!(stats["named"], stats["objects"], "nothing lies about");
    assert_eq!((amount(&stats["dead"]), amount(&stats["kept_for_undo"])), ([0; 3], [0; 3]));
    let by_dataset: u64 =
        stats["datasets"].as_array().expect("a list").iter().map(|d| amount(&d["all"])[0]).sum();
    assert_eq!(by_dataset, amount(&stats["objects"])[0]);
    // The tag object belongs to no run.
    assert_eq!(sum(&stats["runs"], "objects") + 1, amount(&stats["objects"])[0]);
    let files = &stats["files"];
    let bytes: u64 = bench.packs().iter().map(|path| path.metadata().expect("there").len()).sum();
    assert_eq!((&files["pack_bytes"], &files["packs"]), (&bytes.into(), &3.into()));
    let blocks = files["block_bytes"].as_u64().expect("a number");
    let stored = amount(&stats["objects"])[2];
    assert!(stored == blocks && blocks < bytes, "{stored} of {blocks} of {bytes}");
}

#[test]
fn datasets_streams_and_runs_are_told_apart() {
    let bench = Bench::with_runs();
    let stats = bench.json("distill.stats.v1", &["stats"]);
    let of = |name: &str| {
        let all = stats["datasets"].as_array().expect("a list");
        all.iter().find(|dataset| dataset["dataset"] == name).expect("a dataset").clone()
    };
    assert_eq!((of("evidence")["rows"].as_u64(), of("sources")["rows"].as_u64()), (Some(4), Some(5)));
    assert_eq!(of("commits and tags")["rows"], Value::Null);
    assert_eq!(amount(&of("commits and tags")["all"])[0], 2);
    let ls = bench.json("distill.ls.v1", &["ls"]);
    for dataset in ls["items"].as_array().expect("a list") {
        assert_eq!(of(dataset["dataset"].as_str().expect("a name"))["rows"], dataset["rows"]);
    }
    // One row of each was added: the row itself and the leaf that holds it.
    assert_eq!((amount(&of("evidence")["new"])[0], amount(&of("sources")["new"])[0]), (2, 2));
    let streams: Vec<_> = stats["streams"].as_array().expect("a list").iter().collect();
    let notes = streams.iter().find(|stream| stream["stream"] == "notes").expect("the stream");
    assert_eq!(amount(&notes["sources"])[0], 5);
    assert!(amount(notes)[0] > 5 + 4 + 4, "sources, evidence, scored runs, exports");
    let runs: Vec<_> =
        stats["runs"].as_array().expect("a list").iter().map(|run| run["run_id"].clone()).collect();
    assert_eq!(runs, ["r2", "r1"]);
    assert_eq!(
        (stats["sharing"]["commits"].as_u64(), stats["sharing"]["rows"].as_u64().map(|n| n > 18)),
        (Some(2), Some(true))
    );
    assert!(stats["sharing"]["stored_once_bytes"].as_u64() < stats["sharing"]["bytes"].as_u64());
    let text = bench.ok(&["stats"]);
    for told in ["By dataset", "By stream", "By run", "Sharing", "times less", "notes", "r2"] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn a_revision_is_counted_by_itself() {
    let bench = Bench::with_runs();
    let all = bench.json("distill.stats.v1", &["stats"]);
    let r1 = bench.json("distill.stats.v1", &["stats", "r1"]);
    assert_eq!(
        (&r1["commit_id"], &r1["dead"], &r1["kept_for_undo"]),
        (&bench.id("r1").into(), &Value::Null, &Value::Null)
    );
    assert_eq!(amount(&r1["named"])[0] + amount(&r1["elsewhere"])[0], amount(&all["objects"])[0]);
    assert_eq!(r1["runs"].as_array().expect("a list").len(), 1);
    let covered = bench.json("distill.verify.v1", &["verify", "r1"])["covered"].clone();
    assert_eq!(r1["named"]["objects"], covered["objects"]);
    bench.fails(2, &["stats", "nothing"]).says("no revision is called `nothing`", "distill log");
}

#[test]
fn what_gc_would_remove_is_what_it_says() {
    let bench = Bench::with_runs();
    bench.ok(&["undo"]);
    let kept = bench.json("distill.stats.v1", &["stats"]);
    assert!(amount(&kept["kept_for_undo"])[0] > 0);
    assert_eq!(amount(&kept["dead"]), [0; 3]);
    bench.write(".distill/config.toml", "[gc]\ngrace = \"0\"\n");
    let stats = bench.json("distill.stats.v1", &["stats"]);
    assert_eq!(stats["dead"], kept["kept_for_undo"]);
    let gc = bench.json("distill.gc.v1", &["gc"]);
    assert_eq!(gc["removed"], stats["dead"]);
    let after = bench.json("distill.stats.v1", &["stats"]);
    assert_eq!((amount(&after["dead"]), &after["objects"]["objects"]), ([0; 3], &stats["named"]["objects"]));
}

#[test]
fn a_repository_without_a_commit_has_stats_too() {
    let bench = Bench::new();
    let stats = bench.json("distill.stats.v1", &["stats"]);
    assert_eq!((&stats["commit_id"], amount(&stats["objects"])), (&Value::Null, [0; 3]));
    bench.ok(&["stats"]);
    bench.ok(&["gc"]);
}
