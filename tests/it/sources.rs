//! Source specs, from the file that declares a stream to the evidence that comes of it.

mod beside;
mod golden;
mod mapping;
mod newcomers;
mod real;
mod shapes;
mod spec;
mod units;

use distill::pipeline::source::{
    Adapter, Draft, Lookups, Mapped, Outcome, Spec, Unit, UnitInput, UnitReader,
};

/// A spec of stream `s` that reads `data/s.jsonl`, with what follows `files`.
fn spec(rest: &str) -> Spec {
    let text = format!("stream = \"s\"\nfiles = [\"data/s.jsonl\"]\n{rest}");
    Spec::parse("s", &text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Every unit of `bytes`, mapped as part of `file`.
fn map_all(spec: &Spec, file: &str, bytes: &[u8], lookups: &Lookups) -> Vec<(Unit, Mapped)> {
    let mut adapter = spec.compile().expect("a parsed spec compiles");
    let mut input = bytes;
    let mut reader = UnitReader::new(&mut input, spec.unit(), spec.at());
    let mut out = Vec::new();
    while let Some(unit) = reader.next_unit().expect("memory does not fail") {
        let mapped = adapter.map(&UnitInput::new(file, &unit, lookups));
        out.push((unit, mapped));
    }
    out
}

/// The fate of one row, given as bytes with its line ending.
fn map_row(spec: &Spec, row: &str) -> Outcome {
    let mut fates = map_all(spec, "data/s.jsonl", format!("{row}\n").as_bytes(), &Lookups::default());
    assert_eq!(fates.len(), 1, "{row}");
    fates.remove(0).1.outcome
}

/// The drafts of one row.
fn drafts(spec: &Spec, row: &str) -> Vec<Draft> {
    match map_row(spec, row) {
        Outcome::Records(drafts) => drafts,
        other => panic!("{row} became {other:?}"),
    }
}

/// The reason and detail of a row that is refused.
fn refusal(spec: &Spec, row: &str) -> (&'static str, String) {
    match map_row(spec, row) {
        Outcome::Quarantined { reason, detail } => (reason, detail),
        other => panic!("{row} became {other:?}"),
    }
}

/// An adapter is made once for each worker and used for many units.
fn adapter(spec: &Spec) -> Adapter {
    spec.compile().expect("a parsed spec compiles")
}
