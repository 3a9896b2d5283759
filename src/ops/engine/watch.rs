//! The watch: what rows hold and what their specs read of it, counted while a run computes them.
//!
//! Rests on the counting of `pipeline::source`. Invariants: which units are looked into depends on their place in the
//! file alone, so that the counts are a function of files and specs, whatever the threads and whatever an earlier run
//! left; the counts of a known file are taken over from the memo, so that units that are not computed again still count.

use serde::{Deserialize, Serialize};

use crate::ops::error::OpError;
use crate::pipeline::source::{Adapter, Coverage, Mapped, Spec, UnitInput};
use crate::record::StreamCoverage;

/// The units at the start of a file that are all looked into.
const FIRST_UNITS: u64 = 1024;

/// Whether the unit of this number is looked into: one of the first [`FIRST_UNITS`], or one of sixteen, spread by the
/// golden ratio so that no rhythm of the rows falls in with it.
pub(crate) const fn is_observed(number: u64) -> bool {
    number < FIRST_UNITS || number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 == 0
}

/// Counts of some units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// Units that the spec was asked about.
    units: u64,
    /// What those of them hold that were looked into.
    coverage: Coverage,
}

impl Part {
    fn merge(&mut self, other: &Self) {
        self.units += other.units;
        self.coverage.merge(&other.coverage);
    }
}

/// Counts of a file, or of a run of its units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// Of complete units.
    complete: Part,
    /// Of a last line without an ending, which is read again when the file has grown.
    tail: Part,
}

impl Watched {
    /// What still holds when the file has grown.
    pub(crate) fn without_tail(&self) -> Self {
        Self { complete: self.complete.clone(), tail: Part::default() }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.complete.merge(&other.complete);
        self.tail.merge(&other.tail);
    }
}

/// One worker's watch. It counts between [`Watch::begin`] and [`Watch::end`] only: what a run computes again because a
/// decision changed was counted before.
#[derive(Default)]
pub(crate) struct Watch {
    seen: Option<Watched>,
}

impl Watch {
    pub(crate) fn begin(&mut self) {
        self.seen = Some(Watched::default());
    }

    pub(crate) fn end(&mut self) -> Watched {
        self.seen.take().unwrap_or_default()
    }

    /// Maps a unit, and counts it where it is to be.
    pub(crate) fn map(&mut self, adapter: &mut Adapter, input: &UnitInput<'_>) -> Mapped {
        let Some(seen) = &mut self.seen else { return adapter.map(input) };
        let part = if input.terminated { &mut seen.complete } else { &mut seen.tail };
        part.units += 1;
        if is_observed(input.number) {
            adapter.observe(input, &mut part.coverage)
        } else {
            adapter.map(input)
        }
    }
}

/// The counts of a run: of the file that is being handed over, and of each spec.
pub(crate) struct Watchbook {
    file: Watched,
    specs: Vec<Part>,
}

impl Watchbook {
    /// Nothing yet, of `specs` specs.
    pub(crate) fn new(specs: usize) -> Self {
        Self { file: Watched::default(), specs: vec![Part::default(); specs] }
    }

    /// Takes in units of the current file.
    pub(crate) fn add(&mut self, units: &Watched) {
        self.file.merge(units);
    }

    /// Ends the current file, of which `known` was counted before; returns what is to be kept of it for the next run.
    pub(crate) fn end_file(&mut self, spec: Option<usize>, mut known: Watched) -> Watched {
        known.merge(&std::mem::take(&mut self.file));
        if let Some(spec) = spec {
            self.specs[spec].merge(&known.complete);
            self.specs[spec].merge(&known.tail);
        }
        known
    }

    /// What receipts say, in order of spec.
    ///
    /// # Errors
    /// None for specs that were compiled before.
    pub(crate) fn finish(self, specs: &[(String, Spec)]) -> Result<Vec<StreamCoverage>, OpError> {
        let mut all = Vec::with_capacity(specs.len());
        for ((name, spec), part) in specs.iter().zip(self.specs) {
            let mut coverage = spec.compile()?.coverage();
            coverage.merge(&part.coverage);
            all.push(stream_coverage(name, spec, part.units, &coverage));
        }
        Ok(all)
    }
}

/// The counts of one stream in the form that receipts keep.
fn stream_coverage(name: &str, spec: &Spec, units: u64, coverage: &Coverage) -> StreamCoverage {
    use crate::record::{KeyCoverage, KindCoverage, StreamCoverage as Record};
    let report = coverage.report();
    let mut keys: std::collections::BTreeMap<String, KeyCoverage> = std::collections::BTreeMap::new();
    let mut other_keys = report.other_keys;
    for key in report.keys {
        if keys.len() < Record::KEYS_MAX {
            keys.insert(key.key, KeyCoverage { bytes: key.bytes, read: key.read, seen: key.seen });
        } else {
            other_keys += key.seen;
        }
    }
    let kinds = report.kinds.into_iter().map(|kind| {
        let values = kind.values.into_iter().map(|value| (value.value, value.seen)).collect();
        (kind.key, KindCoverage { others: kind.others, values })
    });
    Record {
        bytes: report.bytes,
        bytes_read: report.bytes_read,
        fields: report.fields,
        keys,
        kinds: kinds.collect(),
        observed: report.units,
        other_keys,
        records: report.records,
        spec: name.to_owned(),
        spec_id: spec.id(),
        stream: spec.stream().to_owned(),
        units,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_beginning_is_observed_and_a_sixteenth_of_the_rest_without_a_rhythm() {
        assert!((0..FIRST_UNITS).all(is_observed));
        let (from, to) = (FIRST_UNITS, FIRST_UNITS + 160_000);
        let count = |step: usize, at: u64| (from + at..to).step_by(step).filter(|n| is_observed(*n)).count();
        assert!((9_900..=10_100).contains(&count(1, 0)), "{}", count(1, 0));
        for step in [2_usize, 3, 7, 10, 16] {
            for at in 0..step as u64 {
                let wanted = 10_000 / step;
                let found = count(step, at);
                assert!(found.abs_diff(wanted) * 5 < wanted, "{step}, {at}: {found}");
            }
        }
    }
}
