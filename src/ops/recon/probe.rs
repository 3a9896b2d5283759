//! Looks into the rows of one file.
//!
//! Rests on the unit reader and canonical JSON. Invariant: what cannot be read is counted or named, never passed over.

use std::fs::File;
use std::io::BufRead as _;

use super::FileFacts;
use super::SAMPLE_ROWS;
use super::StreamFacts;
use crate::base::json::Value;
use crate::base::json::canonicalize;
use crate::ops::OpError;
use crate::ops::Progress;
use crate::ops::engine::SourceFile;
use crate::ops::engine::inputs::read_units;
use crate::pipeline::source::Adapter;
use crate::pipeline::source::Lookups;
use crate::pipeline::source::Outcome;
use crate::pipeline::source::Unit;
use crate::pipeline::source::UnitInput;
use crate::pipeline::source::UnitKind;
use crate::pipeline::source::decode::decoder;
use crate::record::parse_time;

/// Distinct top-level keys that a stream's counts tell apart.
const KEYS_MAX: usize = 200;
/// Stands for the time of a record as its spec maps it.
const BY_SPEC: &str = "record.time";
/// Names under which rows keep their time, the likeliest first.
const TIME_KEYS: [&str; 12] = [
    "recorded_at",
    "timestamp",
    "ts",
    "time",
    "created_at",
    "createdAt",
    "started_at",
    "startedAt",
    "updated_at",
    "date",
    "at",
    "created",
];

/// Counts into the facts of one stream.
pub(super) struct Probe<'a> {
    facts: &'a mut StreamFacts,
    /// Knows where the rows keep their time, where a spec says so.
    adapter: Option<Adapter>,
    lookups: Lookups,
    canonical: Vec<u8>,
}

impl<'a> Probe<'a> {
    /// `adapter` is that of the spec whose units the files hold.
    pub(super) fn new(facts: &'a mut StreamFacts, adapter: Option<Adapter>) -> Self {
        Self { facts, adapter, lookups: Lookups::default(), canonical: Vec::new() }
    }

    /// Reads one file to its end.
    pub(super) fn file(&mut self, file: &SourceFile, progress: &dyn Progress) {
        let mut file = file.clone();
        let bytes = file.path.metadata().map_or(0, |meta| meta.len());
        if file.spec.is_none() && file.kind == UnitKind::File && is_array(&file) {
            file.kind = UnitKind::Element;
        }
        let mut rows = 0;
        let mut problem = None;
        let read = read_units(&file, None, &mut |read| {
            progress.advance(1, read.unit.bytes.len() as u64);
            if let Some(reason) = read.refused {
                problem = Some(reason);
                return Ok(());
            }
            if read.unit.flags.beside {
                return Ok(());
            }
            rows += 1;
            if rows <= SAMPLE_ROWS {
                self.row(&file.name, &read.unit);
            }
            Ok(())
        });
        if let Err(OpError { message, .. }) = read {
            problem = Some(message);
        }
        self.facts.rows += rows;
        self.facts.bytes += bytes;
        self.facts.files.push(FileFacts { path: file.name, unit: file.kind.as_str(), rows, bytes, problem });
    }

    fn row(&mut self, file: &str, unit: &Unit) {
        self.facts.sampled += 1;
        if unit.bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.canonical.clear();
        let canonical = canonicalize(&unit.bytes, &mut self.canonical).ok();
        let row = canonical.and_then(|()| Value::parse(&self.canonical).ok());
        let Some(row @ Value::Object(_)) = row else {
            self.facts.unreadable += 1;
            return;
        };
        let facts = &mut *self.facts;
        for (key, _) in row.iter_members() {
            if let Some(count) = facts.keys.get_mut(key) {
                *count += 1;
            } else if facts.keys.len() < KEYS_MAX {
                facts.keys.insert(key.to_owned(), 1);
            } else {
                facts.other_keys += 1;
            }
        }
        let usual = || TIME_KEYS.into_iter().find_map(|key| Some((key, parse_time(row.get(key)?)?.text)));
        let by_spec = self.adapter.as_mut().and_then(|adapter| {
            let mapped = adapter.map(&UnitInput::new(file, unit, &self.lookups));
            let Outcome::Records(drafts) = mapped.outcome else { return None };
            drafts.into_iter().find_map(|draft| draft.record.recorded_at)
        });
        if let Some((key, time)) = by_spec.map(|time| (BY_SPEC, time)).or_else(usual) {
            facts.see_time(key, time);
        }
    }
}

impl StreamFacts {
    fn see_time(&mut self, key: &str, time: String) {
        if !self.time_keys.contains(key) {
            self.time_keys.insert(key.to_owned());
        }
        if self.first.as_ref().is_none_or(|first| time < *first) {
            self.first = Some(time.clone());
        }
        if self.last.as_ref().is_none_or(|last| time > *last) {
            self.last = Some(time);
        }
    }
}

/// Whether a JSON file holds an array, whose elements are then its units.
fn is_array(file: &SourceFile) -> bool {
    let first = || -> std::io::Result<bool> {
        let mut input = decoder(&file.name, File::open(&file.path)?)?;
        loop {
            let buffer = input.fill_buf()?;
            match buffer.iter().find(|byte| !byte.is_ascii_whitespace()) {
                Some(byte) => return Ok(*byte == b'['),
                None if buffer.is_empty() => return Ok(false),
                None => {
                    let blank = buffer.len();
                    input.consume(blank);
                }
            }
        }
    };
    // What cannot be read is named when its units are.
    first().unwrap_or(false)
}
