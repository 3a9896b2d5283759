//! `sources test`: what a spec makes of the rows of one file, unit by unit, and of the file as a whole.
//!
//! Rests on the adapter, on the policy and on the engine's reader, so that a trial says what a run would. Invariants:
//! nothing is written; memory is bounded by one unit, the lookups and the distinct names that counts tell apart; a file
//! of garbage is an answer, not an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::value::RawValue;

use super::find::{Found, Origin, display, find};
use super::ground::{Ground, ground};
use crate::base::json;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::Progress;
use crate::ops::engine;
use crate::ops::engine::SourceFile;
use crate::ops::engine::inputs::read_units;
use crate::ops::init::POLICY;
use crate::pipeline::evidence::Field;
use crate::pipeline::policy::Policy;
use crate::pipeline::score;
use crate::pipeline::signals::Signals;
use crate::pipeline::source::decode::BAD_COMPRESSION;
use crate::pipeline::source::{
    Adapter, Coverage, CoverageReport, KeySeen, Lookups, Outcome, Spec, Unit, UnitInput, filled,
};
use crate::record::Category;
use crate::record::CategoryCounts;
use crate::record::EvidenceRecord;
use crate::record::Record as _;
use crate::repo::Site;

/// What to try.
#[derive(Clone, Debug)]
pub struct TestOptions {
    /// A spec's name, or the path of a TOML file.
    pub spec: String,
    /// The file with rows.
    pub file: PathBuf,
    /// The folder that globs are relative to.
    pub base: Option<PathBuf>,
    /// How many units are shown.
    pub units: usize,
    /// Only units of this fate are shown.
    pub fate: Option<Fate>,
}

/// What became of a unit, without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It became evidence.
    Records,
    /// A rule left it out.
    Skipped,
    /// It was refused.
    Quarantined,
}

/// What is tried on what.
#[derive(Clone, Debug, Serialize)]
pub struct Head {
    /// The spec's name.
    pub spec: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its file; null for one that comes with distill.
    pub spec_path: Option<String>,
    /// Its stream.
    pub stream: String,
    /// What one row is.
    pub unit: &'static str,
    /// The file, relative to the base: what records will call it.
    pub file: String,
    /// Whether the spec's globs take the file; if not, a run would not read it.
    pub matched: bool,
    /// The folder that globs are relative to.
    pub base: String,
    /// `.distill/policy.toml`, or `default` outside a repository.
    pub policy: &'static str,
    /// The lookups of the spec.
    pub lookups: Vec<LookupSeen>,
    /// The expression of each field that has one, in the order of the format.
    pub expressions: Vec<Expression>,
}

/// Where a field comes from.
#[derive(Clone, Debug, Serialize)]
pub struct Expression {
    /// The field.
    pub field: String,
    /// The expression, as written.
    pub expression: String,
}

/// A lookup and the files behind it.
#[derive(Clone, Debug, Serialize)]
pub struct LookupSeen {
    /// Its variable, without `$`.
    pub name: String,
    /// The globs.
    pub globs: Vec<String>,
    /// Files below the base that they take; none means that its row is always null.
    pub files: Vec<String>,
    /// Rows with a key.
    pub rows: u64,
}

/// A unit and what became of it.
#[derive(Debug, Serialize)]
pub struct UnitShown {
    /// Its number in the file, from 0.
    pub unit: u64,
    /// Bytes as read.
    pub bytes: u64,
    /// The key of a `value`.
    pub key: Option<String>,
    /// The row, canonical; null where it is no JSON.
    pub row: Option<Box<RawValue>>,
    /// Its text where it is no JSON, at most [`TEXT_MAX`] bytes of it; else null.
    pub text: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// The rule that left it out.
    pub rule: Option<String>,
    /// Why it was refused: the code.
    pub reason: Option<String>,
    /// Why it was refused: what and where.
    pub detail: Option<String>,
    /// The evidence.
    pub records: Vec<RecordShown>,
    /// Members of the row that no expression reads.
    pub unread: Vec<KeySeen>,
}

/// The most bytes of a unit that is no JSON that are shown.
pub const TEXT_MAX: usize = 4096;

/// A record and what the policy would say.
#[derive(Debug, Serialize)]
pub struct RecordShown {
    /// The evidence record.
    pub evidence: Box<RawValue>,
    /// Fields that it has.
    pub filled: Vec<String>,
    /// Fields that have an expression and stayed empty.
    pub empty: Vec<String>,
    /// The category.
    pub category: Category,
    /// The rule that decided.
    pub deciding_rule: String,
    /// Why.
    pub reasons: Vec<String>,
}

/// The whole file in figures.
#[derive(Clone, Debug, Serialize)]
pub struct Totals {
    /// Units.
    pub units: u64,
    /// Records made of them, repetitions included.
    pub records: u64,
    /// Units left out, by rule.
    pub skipped: BTreeMap<String, u64>,
    /// Units refused, by reason.
    pub quarantined: BTreeMap<String, u64>,
    /// Records by category.
    pub categories: CategoryCounts,
    /// Bytes of all members, in canonical form.
    pub bytes: u64,
    /// Those of them that are in members that an expression reads.
    pub bytes_read: u64,
    /// Distinct members of the rows.
    pub keys: u64,
    /// Those of them that an expression reads.
    pub keys_read: u64,
    /// Members that no expression reads.
    pub unread: Vec<KeySeen>,
    /// How often a member beyond those told apart was there.
    pub other_keys: u64,
    /// How many records have each field.
    pub fields: BTreeMap<String, u64>,
    /// Fields that have an expression and were never filled.
    pub never_filled: Vec<String>,
    /// Fields that have no expression.
    pub unmapped: Vec<String>,
}

/// A trial: a spec, a file and a policy, ready to go.
pub struct Trial {
    head: Head,
    spec: Spec,
    file: SourceFile,
    lookups: Lookups,
    policy: Policy,
    options: TestOptions,
}

impl Trial {
    /// Finds the spec, the file, the lookups and the policy.
    ///
    /// # Errors
    /// When one of them is not there or cannot be used; a lookup without files is none.
    pub fn new(site: Option<&Site>, start: &Path, options: TestOptions) -> Result<Self, OpError> {
        let found = find(site, start, &options.spec)?;
        let spec = found.spec()?;
        let ground = ground(site, start, options.base.as_deref(), &options.file, &spec)?;
        let (policy, policy_name) = policy(site)?;
        let file = SourceFile {
            name: ground.name.clone(),
            path: ground.path.clone(),
            spec: Some(0),
            kind: spec.unit(),
            at: spec.at().map(ToOwned::to_owned),
            beside: spec.reads_beside(),
        };
        let (lookups, seen) = lookups(&ground, &spec, &file)?;
        let head = head(&found, &spec, &ground, policy_name, seen);
        Ok(Self { head, spec, file, lookups, policy, options })
    }

    /// What is tried on what.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Goes through the whole file. The first units are handed to `show`, which ends the trial early by saying false;
    /// the figures are then of what was read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn run(
        &self,
        progress: &dyn Progress,
        show: &mut dyn FnMut(UnitShown) -> bool,
    ) -> Result<Totals, OpError> {
        let mut adapter = self.spec.compile()?;
        let mut coverage = adapter.coverage();
        let mut categories = CategoryCounts::default();
        let (mut shown, mut damaged) = (0, 0);
        let total = std::fs::metadata(&self.file.path).ok().map(|meta| meta.len());
        progress.begin(&format!("{} of {}", self.head.spec, self.file.name), total);
        let read = read_units(&self.file, None, &mut |read| {
            let bytes = read.unit.bytes.len() as u64;
            let looking = shown < self.options.units;
            // Counted apart while units are shown, to say what nothing reads of each.
            let mut one = if looking { adapter.coverage() } else { Coverage::default() };
            let counts = if looking { &mut one } else { &mut coverage };
            let (outcome, refused) = match read.refused {
                Some(detail) => {
                    damaged += 1;
                    (Outcome::Quarantined { reason: BAD_COMPRESSION, detail }, true)
                }
                None => (self.map(&mut adapter, &read.unit, counts), false),
            };
            if looking {
                coverage.merge(&one);
            }
            let wanted = looking && self.options.fate.is_none_or(|wanted| wanted == fate(&outcome));
            let mut records = Vec::new();
            if let Outcome::Records(drafts) = &outcome {
                for draft in drafts {
                    let signals = Signals::of(&draft.record, &self.policy.words);
                    categories.add(self.policy.decide(&signals).category);
                    if wanted {
                        records.push(self.record(&draft.record)?);
                    }
                }
            }
            progress.advance(1, bytes);
            if wanted {
                shown += 1;
                let unit = unit_shown(read.unit, refused, outcome, records, one.report().keys);
                if !show(unit) {
                    return Err(stopped());
                }
            }
            Ok(())
        });
        progress.end();
        match read {
            Err(error) if error.message == STOPPED => {}
            other => drop(other?),
        }
        Ok(self.totals(&coverage.report(), categories, damaged))
    }

    fn map(&self, adapter: &mut Adapter, unit: &Unit, coverage: &mut Coverage) -> Outcome {
        adapter.observe(&UnitInput::new(&self.file.name, unit, &self.lookups), coverage).outcome
    }

    fn record(&self, evidence: &EvidenceRecord) -> Result<RecordShown, OpError> {
        let bytes = evidence.to_object_bytes()?;
        let scored = score::score(&self.policy, ObjectId::of(&bytes), evidence);
        let filled = filled(evidence);
        let mapped = self.head.expressions.iter().map(|expression| &expression.field);
        Ok(RecordShown {
            evidence: raw(&bytes).unwrap_or_default(),
            empty: mapped.filter(|name| !filled.contains(name)).cloned().collect(),
            filled,
            category: scored.category,
            deciding_rule: scored.deciding_rule,
            reasons: scored.reasons,
        })
    }

    fn totals(&self, report: &CoverageReport, categories: CategoryCounts, damaged: u64) -> Totals {
        let mut quarantined = report.quarantined.clone();
        if damaged > 0 {
            *quarantined.entry(BAD_COMPRESSION.to_owned()).or_default() += damaged;
        }
        let mapped: Vec<&String> = self.head.expressions.iter().map(|expression| &expression.field).collect();
        let is_mapped = |name: &str| mapped.iter().any(|mapped| *mapped == name);
        Totals {
            units: report.units + damaged,
            records: report.records,
            skipped: report.skipped.clone(),
            quarantined,
            categories,
            bytes: report.bytes,
            bytes_read: report.bytes_read,
            keys: report.keys.len() as u64,
            keys_read: report.keys.iter().filter(|key| key.read).count() as u64,
            unread: report.keys.iter().filter(|key| !key.read).cloned().collect(),
            other_keys: report.other_keys,
            never_filled: (mapped.iter())
                .filter(|name| !report.fields.contains_key(name.as_str()))
                .map(|name| (*name).clone())
                .collect(),
            unmapped: (Field::KNOWN.iter())
                .filter(|name| !is_mapped(name))
                .map(|name| (*name).to_owned())
                .collect(),
            fields: report.fields.clone(),
        }
    }
}

/// What stops the reader when nobody looks any more; no person sees it.
const STOPPED: &str = "the trial was stopped";

fn stopped() -> OpError {
    OpError::new(crate::ops::ErrorKind::Outside, STOPPED, "")
}

const fn fate(outcome: &Outcome) -> Fate {
    match outcome {
        Outcome::Records(_) => Fate::Records,
        Outcome::Skipped { .. } => Fate::Skipped,
        Outcome::Quarantined { .. } => Fate::Quarantined,
    }
}

fn unit_shown(
    unit: Unit,
    refused: bool,
    outcome: Outcome,
    records: Vec<RecordShown>,
    keys: Vec<KeySeen>,
) -> UnitShown {
    let fate = fate(&outcome);
    let (mut rule, mut reason, mut detail) = (None, None, None);
    match outcome {
        Outcome::Records(_) => {}
        Outcome::Skipped { rule: name } => rule = Some(name),
        Outcome::Quarantined { reason: code, detail: text } => {
            (reason, detail) = (Some(code.to_owned()), Some(text));
        }
    }
    let mut canonical = Vec::new();
    let is_json = !refused && json::canonicalize(&unit.bytes, &mut canonical).is_ok();
    let row = if is_json { raw(&canonical) } else { None };
    let cut = &unit.bytes[..unit.bytes.len().min(TEXT_MAX)];
    let text = row.is_none().then(|| String::from_utf8_lossy(cut).into_owned());
    UnitShown {
        unit: unit.number,
        bytes: unit.bytes.len() as u64,
        key: unit.key,
        row,
        text,
        fate,
        rule,
        reason,
        detail,
        records,
        unread: keys.into_iter().filter(|key| !key.read).collect(),
    }
}

fn raw(canonical: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(canonical.to_vec()).ok()?).ok()
}

fn policy(site: Option<&Site>) -> Result<(Policy, &'static str), OpError> {
    if let Some(site) = site {
        let path = site.dot().join("policy.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok((Policy::parse(".distill/policy.toml", &text)?, ".distill/policy.toml")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(OpError::io("read", &path, &error)),
        }
    }
    Ok((Policy::parse("the default policy", POLICY)?, "default"))
}

/// The tables of the spec's lookups, and what stands behind each.
fn lookups(ground: &Ground, spec: &Spec, file: &SourceFile) -> Result<(Lookups, Vec<LookupSeen>), OpError> {
    if spec.lookups().is_empty() && !file.beside {
        return Ok((Lookups::default(), Vec::new()));
    }
    let specs = [(spec.name().to_owned(), spec.clone())];
    let mut files = engine::discover(&ground.base, &ground.base, &specs)?;
    // Only of this file's rows is asked what stands beside them, and it need not be one that the spec's globs find.
    files.retain(|other| other.spec.is_none() || !spec.lookups().is_empty());
    files.iter_mut().for_each(|other| other.spec = None);
    files.push(file.clone());
    let lookups = engine::load_lookups(&specs, &files, None)?.0.pop().unwrap_or_default();
    let seen = spec.lookups().iter().map(|(name, lookup)| LookupSeen {
        name: name.clone(),
        globs: lookup.files().patterns().to_vec(),
        files: (files.iter())
            .filter(|file| lookup.files().contains(&file.name))
            .map(|file| file.name.clone())
            .collect(),
        rows: lookups.rows(name) as u64,
    });
    let seen = seen.collect();
    Ok((lookups, seen))
}

fn head(found: &Found, spec: &Spec, ground: &Ground, policy: &'static str, lookups: Vec<LookupSeen>) -> Head {
    let expressions = spec.fields().map(|field| {
        let name = field.name().into_owned();
        let expression = spec.expression(&name).unwrap_or_default().to_owned();
        Expression { field: name, expression }
    });
    Head {
        spec: found.name.clone(),
        origin: found.origin,
        spec_path: found.path.as_deref().map(display),
        stream: spec.stream().to_owned(),
        unit: spec.unit().as_str(),
        file: ground.name.clone(),
        matched: ground.matched,
        base: display(&ground.base),
        policy,
        lookups,
        expressions: expressions.collect(),
    }
}
