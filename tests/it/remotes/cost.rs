//! What travels is what changed.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use super::Place;
use crate::cli::Bench;
use crate::store_damage::long;

/// A generated repository of so many rows, run once.
fn generated(rows: u64) -> Bench {
    let bench = Bench::empty();
    bench.ok(&["sample", ".", "--rows", &rows.to_string()]);
    // The specs of the twelve streams are this repository's own.
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill");
    let text = |name: &str| fs::read_to_string(own.join(name)).expect("this repository's configuration");
    bench.write(".distill/policy.toml", &text("policy.toml"));
    for entry in fs::read_dir(own.join("sources")).expect("the specs") {
        let name = entry.expect("listable").file_name().into_string().expect("text");
        bench.write(&format!(".distill/sources/{name}"), &text(&format!("sources/{name}")));
    }
    bench.ok(&["run-all", "--run-id", "first", "--no-files"]);
    bench
}

#[test]
fn a_small_change_costs_a_small_part() {
    let rows = if long() { 200_000 } else { 8_000 };
    let ours = generated(rows);
    let place = Place::folder();
    place.ok(&ours, &["remote", "add", "origin", &place.text]);
    let first = place.json(&ours, &["push"]);
    let theirs = place.clone();

    // One row in a thousand more, copied under another id at the end of the longest file.
    let data = ours.path().join("data/_kb");
    let files =
        fs::read_dir(&data).expect("the generated files").map(|entry| entry.expect("listable").path());
    let longest = files
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .max_by_key(|path| fs::metadata(path).expect("there").len())
        .expect("a file");
    // Some of what is generated is no text, on purpose.
    let bytes = fs::read(&longest).expect("readable");
    let lines = bytes.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let lines: Vec<&str> = lines.filter(|line| line.starts_with('{')).collect();
    let more: Vec<String> = (lines.iter().rev().take(usize::try_from(rows / 1000).expect("small")))
        .enumerate()
        .map(|(n, line)| line.replacen('{', &format!("{{\"copy\":{n},"), 1))
        .collect();
    let mut file = fs::File::options().append(true).open(&longest).expect("writable");
    writeln!(file, "{}", more.join("\n")).expect("written");
    drop(file);
    ours.ok(&["run-all", "--run-id", "second", "--no-files"]);
    let second = place.json(&ours, &["push"]);
    let bytes = |answer: &serde_json::Value, what: &str| answer[what].as_u64().expect("a number");
    let per_mille = bytes(&second, "sent_bytes") * 1000 / bytes(&first, "sent_bytes");
    println!(
        "{rows} rows: {} bytes in {} objects first, {} bytes in {} objects for 0.1 % more ({per_mille} per mille); {} rows skipped",
        first["sent_bytes"],
        first["objects"],
        second["sent_bytes"],
        second["objects"],
        second["rows_skipped"],
    );
    // Receipts, summary, drift report and the paths through the trees are a fixed part, which a small store feels.
    assert!(per_mille <= if long() { 5 } else { 60 }, "{per_mille} per mille were sent");
    assert!(bytes(&second, "rows_skipped") > 2 * rows, "{second}");

    let pulled = place.json(&theirs, &["fetch"]);
    assert!(bytes(&pulled, "bytes") <= bytes(&second, "sent_bytes") * 2 + 100_000, "{pulled}");
    theirs.ok(&["verify"]);
    // The own packs are known by their tables; nothing of them comes back.
    let own = place.json(&ours, &["fetch"]);
    assert_eq!(bytes(&own, "bytes"), 0, "{own}");
}
