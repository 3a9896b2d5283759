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
