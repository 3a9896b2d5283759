//! What stands beside the rows of a container: `$beside`, from the cut to the record.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use distill::object::ObjectId;
use distill::ops::run::What;
use distill::pipeline::source::{LookupRow, Lookups, Outcome, Spec, UnitInput, UnitKind, UnitReader};
use distill::record::EvidenceRecord;

use crate::conservation::check;
use crate::engine::{Place, receipts};

const SPEC: &str = r#"
stream = "nightly"
files = ["runs/*.json"]
unit = "element"
at = ".report.cases"
[record]
key = '"\($beside.report.model)-\(.name)"'
skip = [{ rule = "dry_run", when = "$beside.dry_run" }]
[fields]
run_id = '"\($beside.report.model)-\(.name)"'
instruction = ".ask"
response = ".say"
model.name = "$beside.report.model"
validation.outcome = ".ok"
"#;

/// Offset, bytes and flag of every unit, through a large and a tiny buffer.
fn cut(text: &str, kind: UnitKind, at: &str) -> Vec<String> {
    let through = |input: &mut dyn BufRead| {
        let mut reader = UnitReader::new(input, kind, Some(at)).with_beside();
        let units = std::iter::from_fn(|| reader.next_unit().expect("memory does not fail"));
        let shown = units.map(|unit| {
            let flag = match (unit.flags.beside, unit.flags.broken_container) {
                (true, false) => "^",
                (false, true) => "!",
                _ => "",
            };
            format!("{}:{}{flag}", unit.offset, String::from_utf8_lossy(&unit.bytes))
        });
        shown.collect::<Vec<_>>()
    };
    let whole = through(&mut text.as_bytes());
    assert_eq!(through(&mut BufReader::with_capacity(1, text.as_bytes())), whole, "{text}");
    whole
}

#[test]
fn what_stands_beside_is_the_file_with_the_container_emptied() {
    let elements = |text| cut(text, UnitKind::Element, ".r.cases");
    assert_eq!(
        elements("{\"v\": 2, \"r\":{ \"cases\" : [ 1 , {\"a\":[]} ] ,\"z\":[3]}, \"w\":null}\n"),
        ["27:1", "31:{\"a\":[]}", "0:{\"v\": 2, \"r\":{ \"cases\" : [] ,\"z\":[3]}, \"w\":null}\n^"]
    );
    assert_eq!(elements(r#"{"r":{"cases":[]}}"#), [r#"0:{"r":{"cases":[]}}^"#]);
    for none in
        [r#"{"r":{}}"#, r#"{"r":{"cases":null},"x":1}"#, r#"{"r":{"cases":{"a":1}}}"#, r#"{"r""#, "[1]"]
    {
        assert_eq!(elements(none), [format!("0:{none}^")], "no container: the whole file");
    }
    assert_eq!(elements(""), Vec::<String>::new());
    // Broken off inside: what was cut stands, the rest is one piece, and what stands beside is not known.
    assert_eq!(elements(r#"{"v":2,"r":{"cases":[1,{"a""#), ["21:1", "23:{\"a\"!"]);
    let values = cut(r#"{"m":{"k":1},"n":2}"#, UnitKind::Value, ".m");
    assert_eq!(values, ["10:1", r#"0:{"m":{},"n":2}^"#]);
}

#[test]
fn a_file_without_the_container_is_skipped_and_another_thing_there_is_refused() {
    let spec = Spec::parse("nightly", SPEC).expect("a spec");
    assert!(spec.reads_beside());
    let fate = |text: &str| {
        let (mut adapter, none) = (super::adapter(&spec), Lookups::default());
        let mut input = text.as_bytes();
        let mut reader = UnitReader::new(&mut input, spec.unit(), spec.at()).with_beside();
        let mut last = None;
        while let Some(unit) = reader.next_unit().expect("memory") {
            last = Some(unit);
        }
        let unit = last.expect("a unit");
        let input = UnitInput::new("runs/a.json", &unit, &none);
        let row = matches!(adapter.beside_row(&input), LookupRow::Row { .. });
        match adapter.map(&input).outcome {
            Outcome::Skipped { rule } => (rule, row),
            Outcome::Quarantined { reason, .. } => (reason.to_owned(), row),
            Outcome::Records(_) => panic!("{text}: a header is no row"),
        }
    };
    for (text, expected) in [
        (r#"{"report":{"cases":[{"name":"a"}]}}"#, ("beside", true)),
        (r#"{"report":{"cases":[]}}"#, ("beside", true)),
        (r#"{"report":{}}"#, ("no_container", true)),
        (r#"{"report":{"cases":null}}"#, ("no_container", true)),
        (r#"{"other":[1]}"#, ("no_container", true)),
        (r#"{"report":{"cases":{"a":{}}}}"#, ("broken_container", false)),
        (r#"{"report":{"cases":[],"cases":[1]}}"#, ("json_duplicate_key", false)),
        (r#"{"report":{"cases":[]}"#, ("json_syntax", false)),
        ("[1]", ("not_an_object", false)),
    ] {
        assert_eq!(fate(text), (expected.0.to_owned(), expected.1), "{text}");
    }
}

#[test]
fn rows_carry_their_header_and_its_id() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place::new(dir.path(), &[("nightly", SPEC)]);
    let file = |model: &str, rest: &str| {
        format!(
            r#"{{"report":{{"cases":[{{"name":"sum","ask":"1+1?","say":"2","ok":true}}],"model":"{model}"}}{rest}}}"#
        )
    };
    place.write("runs/a.json", file("small", ""));
    place.write("runs/b.json", file("large", ""));
    place.write("runs/b-copy.json", file("large", ""));
    place.write("runs/c.json", file("dry", r#","dry_run":true"#));
    place.write("runs/d.json", r#"{"report":{"model":"none"}}"#);
    // Broken off behind a whole row: whose model it was is not known.
    place.write("runs/e.json", r#"{"report":{"cases":[{"name":"sum","ask":"1+1?","say":"3","ok":true}"#);
    place.run(What::All);
    let view = check(&place);
    let evidence = view.records::<EvidenceRecord>("evidence");
    let found: Vec<_> =
        evidence.values().map(|r| (r.key.as_str(), r.model.name.as_deref().expect("a model"))).collect();
    assert_eq!(
        found,
        [("0000/00/00/nightly/large-sum", "large"), ("0000/00/00/nightly/small-sum", "small")],
        "the same row under another header is another row"
    );
    let small = &evidence["0000/00/00/nightly/small-sum"].provenance;
    let header = r#"{"report":{"cases":[],"model":"small"}}"#;
    assert_eq!((small.line_offset, &small.lookup_ids[..]), (0, &[ObjectId::of(header.as_bytes())][..]));
    assert_eq!(view.entries("sources")["runs/a.json/0000000001"], ObjectId::of(header.as_bytes()));

    let receipt = &receipts(&view.repo, &view.head)["evidence"];
    let tally =
        |pairs: &[(&str, u64)]| pairs.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect::<BTreeMap<_, _>>();
    assert_eq!(receipt.skipped_by, tally(&[("beside", 4), ("dry_run", 1), ("no_container", 1)]));
    assert_eq!((receipt.counts.duplicates, receipt.counts.records), (1, 2), "a copied file repeats itself");
    assert_eq!(receipt.quarantined_by, tally(&[("broken_container", 1)]));

    // A log that grows has its header elsewhere, and another one: nothing is lost, and the datasets are those of a
    // repository that never saw the log as it was.
    let grown = file("tiny", "").replace(']', r#",{"name":"product","ask":"2*3?","say":"6","ok":true}]"#);
    place.write("runs/a.json", &grown);
    place.run(What::All);
    let again = check(&place);
    let keys: Vec<_> = again.entries("evidence").into_keys().collect();
    let expected = ["large-sum", "tiny-product", "tiny-sum"].map(|key| format!("0000/00/00/nightly/{key}"));
    assert_eq!(keys, expected);
    let fresh_dir = tempfile::tempdir().expect("a folder");
    let fresh = Place::new(fresh_dir.path(), &[("nightly", SPEC)]);
    for name in ["a", "b", "b-copy", "c", "d", "e"].map(|name| format!("runs/{name}.json")) {
        fresh.write(&name, std::fs::read(place.root.join(&name)).expect("a log"));
    }
    fresh.run(What::All);
    assert_eq!(fresh.head().datasets, again.head.datasets);
}

#[test]
fn it_needs_something_to_stand_beside() {
    let refused = |text: &str| Spec::parse("s", text).expect_err("refused").to_string();
    let base = "stream = \"s\"\nfiles = [\"a.json\"]\n";
    assert_eq!(
        refused(&format!("{base}unit = \"element\"\n[fields]\nrun_id = \".a + $beside.b\"")),
        "s.toml:5:16: nothing stands beside the rows: `$beside` is for the units element and value with `at` \
         (line 1, column 6 of the expression)"
    );
    let lookup = "[lookup.beside]\nfiles = [\"b.json\"]\nkey = \".a\"\non = \".a\"\n[fields]\n";
    assert!(refused(&format!("{base}{lookup}")).contains("$beside is built in"));
    let rule = "unit = \"element\"\nat = \".a\"\n[record]\nskip = [{ rule = \"beside\", when = \".a\" }]\n[fields]\n";
    assert!(refused(&format!("{base}{rule}")).contains("rule \"beside\" is built in"));
}
