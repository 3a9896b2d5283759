//! `ingest`: the source rows alone, with as little work as that takes. That its dataset is the one of a full run is
//! held by the histories of `incremental`; here are the sizes and shapes that those do not reach.

use distill::ops::ErrorKind;
use distill::ops::run::{RunOptions, What};

use crate::engine::{LINES, Place, Rng, result};

/// Lines of all shapes, several chunks of them: ends of both kinds, blank ones, long ones, the same twice.
fn lines(rng: &mut Rng, count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        match rng.below(12) {
            0 => text.push_str("\r\n"),
            1 => text.push_str(" \t\n"),
            2 => text.push_str("{\"id\":\"same\"}\n"),
            3 => text.push_str("\r\r\n"),
            _ => {
                let filler = "x".repeat(rng.below(900));
                text.push_str(&format!("{{\"id\":\"{number}\",\"say\":\"{filler}\"}}"));
                text.push_str(if rng.below(4) == 0 { "\r\n" } else { "\n" });
            }
        }
    }
    text
}

#[test]
fn chunks_are_cut_as_units_are() {
    let rng = &mut Rng::new(7);
    let (text, long) = (lines(rng, 14_000), "y".repeat(5 << 20));
    let (one, two) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let places = [Place::new(one.path(), &[("lines", LINES)]), Place::new(two.path(), &[("lines", LINES)])];
    for place in &places {
        place.write("in/a.jsonl", &text);
        // Sorted as a path before `a.jsonl`, as a key after `a%20b.jsonl`.
        place.write("in/a b.jsonl", text.trim_end_matches(['\r', '\n']));
        place.write("in/a-b.jsonl", format!("{{}}\n{{\"id\":\"{long}\"}}\n\n{{\"id\":\"cut"));
        place.write("in/empty.jsonl", "");
        place.write("in/z.jsonl", "\r");
    }
    let mut options = RunOptions::new(What::Ingest);
    options.threads = Some(3);
    places[0].try_run(&options).expect("ingested");
    places[1].run(What::All);
    let (ingested, full) = (result(&places[0]), result(&places[1]));
    assert_eq!(ingested.datasets["sources"], full.datasets["sources"]);
    assert_eq!(ingested.stages["sources"], full.stages["sources"]);
    assert_eq!(ingested.datasets.len(), 1, "nothing else is made");
    places[0].run(What::All);
    assert_eq!(result(&places[0]), full, "and a run goes on from there");
}

/// A file of lines, ends included.
fn long_file(rng: &mut Rng) -> Vec<String> {
    let mut lines: Vec<String> = lines(rng, 900).split_inclusive('\n').map(str::to_owned).collect();
    for _ in 0..rng.below(4) {
        let at = rng.below(lines.len());
        lines[at] = format!("{{\"long\":\"{}\"}}\n", "z".repeat(rng.below(70_000)));
    }
    lines
}

fn edit(rng: &mut Rng, lines: &mut Vec<String>) {
    let at = rng.below(lines.len().max(1)).min(lines.len().saturating_sub(1));
    match rng.below(12) {
        _ if lines.is_empty() => lines.push("{\"id\":\"one\"}\n".to_owned()),
        // Of the same length, longer, shorter, with the other line end, as another one, as long as a part or more.
        0 | 1 => lines[at] = lines[at].replace('x', "w"),
        2 | 3 => lines[at].insert(0, ' '),
        4 => lines[at] = lines[at].chars().skip(1).collect(),
        5 => {
            let body = lines[at].trim_end_matches('\n').to_owned();
            lines[at] = body.strip_suffix('\r').map_or(format!("{body}\r\n"), |body| format!("{body}\n"));
        }
        6 => lines[at] = lines[rng.below(at + 1)].clone(),
        7 => lines[at].insert_str(0, &"v".repeat(rng.below(40_000))),
        8 => lines.insert(at, "{\"id\":\"new\"}\n".to_owned()),
        9 => drop(lines.remove(at)),
        10 => lines.push(format!("{{\"id\":\"{}\"}}\n", rng.below(1000))),
        _ => lines.truncate(lines.len() - rng.below(lines.len().min(40))),
    }
}

/// Files are edited in every way, at places near and far, and ingested on top of each other; after every step the dataset and the
/// receipt are those of one ingest of the same files, whatever became of the outlines.
#[test]
fn edits_in_place_give_what_a_full_ingest_gives() {
    let long = std::env::var_os("DISTILL_TEST_LONG").is_some();
    for seed in 0..if long { 60 } else { 3 } {
        let rng = &mut Rng::new(seed);
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place::new(dir.path(), &[("lines", LINES)]);
        let mut files: Vec<Vec<String>> = (0..2).map(|_| long_file(rng)).collect();
        let mut options = RunOptions::new(What::Ingest);
        options.accept_source_loss = true;
        options.threads = Some(2);
        let mut saved = 0;
        for step in 0..12 {
            let outlines = dir.path().join(".distill/index/parts");
            for file in files.iter_mut().take(rng.below(3)) {
                (0..=rng.below(5)).for_each(|_| edit(rng, file));
            }
            match rng.below(8) {
                0 => drop(std::fs::remove_dir_all(dir.path().join(".distill/index"))),
                1 => {
                    for entry in std::fs::read_dir(&outlines).into_iter().flatten().flatten() {
                        let mut bytes = std::fs::read(entry.path()).expect("read");
                        let at = rng.below(bytes.len());
                        bytes[at] ^= 1;
                        std::fs::write(entry.path(), bytes).expect("written");
                    }
                }
                _ => {}
            }
            let other = tempfile::tempdir().expect("a folder");
            let fresh = Place::new(other.path(), &[("lines", LINES)]);
            let mut rows = 0;
            for (number, file) in files.iter().enumerate() {
                let mut text = file.concat();
                if rng.below(4) == 0 {
                    text.truncate(text.trim_end_matches(['\r', '\n']).len());
                }
                rows += text.split_inclusive('\n').count() as u64;
                place.write(&format!("in/{number}.jsonl"), &text);
                fresh.write(&format!("in/{number}.jsonl"), &text);
            }
            let report = place.try_run(&options).unwrap_or_else(|e| panic!("seed {seed}, step {step}: {e}"));
            fresh.try_run(&options).expect("ingested");
            saved += rows - report.units_computed;
            assert_eq!(result(&place), result(&fresh), "seed {seed}, step {step}");
        }
        assert!(saved > 2000, "seed {seed}: only {saved} rows were known");
    }
}

#[test]
fn only_rows_near_an_edit_are_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    let mut rows: Vec<String> =
        (0..5000).map(|n| format!("{{\"id\":\"{n}\",\"say\":\"{n:0100}\"}}\n")).collect();
    place.write("in/a.jsonl", rows.concat());
    let mut options = RunOptions::new(What::Ingest);
    options.accept_source_loss = true;
    let ingest = || place.try_run(&options).expect("ingested").units_computed;
    assert_eq!(ingest(), 5000);
    rows[1000].insert(0, ' ');
    rows[4000].insert_str(0, "  ");
    place.write("in/a.jsonl", rows.concat());
    // Two parts of 16 KiB, and the rows that reach into them.
    assert!((2..300).contains(&ingest()));
    assert_eq!(ingest(), 0);
    rows.push("{}\n".to_owned());
    rows[4000] = rows[4000].replace("  ", " ");
    place.write("in/a.jsonl", rows.concat());
    assert!((2..150).contains(&ingest()), "and it goes on from there");
    std::fs::remove_dir_all(dir.path().join(".distill/index")).expect("removed");
    rows[7].insert(0, ' ');
    place.write("in/a.jsonl", rows.concat());
    assert_eq!(ingest(), 5001, "without the outline all is read");
    std::fs::remove_file(dir.path().join("in/a.jsonl")).expect("removed");
    place.write("in/b.jsonl", "{}\n");
    ingest();
    let left = std::fs::read_dir(dir.path().join(".distill/index/parts")).expect("listed").count();
    assert_eq!(left, 0, "outlines of files that are there no more go");
}

#[test]
fn only_what_is_new_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    let rows = |from: usize, to: usize| -> String {
        (from..to)
            .map(|n| format!("{{\"id\":\"{n}\",\"ask\":\"q\",\"say\":\"a{n}\",\"ok\":true}}\n"))
            .collect()
    };
    place.write("in/a.jsonl", rows(0, 100));
    place.write("in/b.jsonl", rows(100, 200));
    place.run(What::All);
    let full = place.head();
    let read = |place: &Place| place.run(What::Ingest).units_computed;
    assert_eq!(read(&place), 0, "a full run knows the files as well");
    place.append("in/a.jsonl", &rows(200, 203));
    assert_eq!(read(&place), 3);
    let head = place.head();
    assert_eq!(head.operation, "ingest");
    for (name, root) in &full.datasets {
        assert_eq!(head.datasets[name] == *root, name != "sources", "{name}");
    }
    let report = place.run(What::All);
    assert_eq!(report.units_computed, 3, "what the last full run knows is not computed again");

    place.write("in/b.jsonl", rows(100, 199));
    let lost = place.try_run(&RunOptions::new(What::Ingest)).expect_err("a row is gone");
    assert_eq!(lost.kind, ErrorKind::Refused);
    assert!(lost.message.contains("in/b.jsonl (unit 99)"), "{lost}");
    let mut accept = RunOptions::new(What::Ingest);
    accept.accept_source_loss = true;
    assert_eq!(place.try_run(&accept).expect("accepted").units_computed, 99);
    std::fs::remove_file(place.root.join("in/b.jsonl")).expect("removed");
    assert_eq!(place.try_run(&accept).expect("accepted").units_computed, 0);
    let head = result(&place);
    assert_eq!(head.stages["sources"].outputs[0].rows, 103);
    place.write("in/b.jsonl/0/c.jsonl", "");
    place.write("in/b.jsonl/0/0000000001", "");
    place.run(What::All);
}
