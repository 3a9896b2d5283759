//! The adapter: a compiled spec that maps one unit to evidence, a skip or a quarantine.
//!
//! Rests on compiled expressions and on `pipeline::evidence`. Invariants: a pure function of the unit, the spec and the
//! lookup tables; every unit has exactly one fate; one output that is refused quarantines its whole unit.

use std::borrow::Cow;

use sha2::Digest;
use sha2::Sha256;

use crate::base::json::Value;
use crate::base::json::canonicalize;
use crate::object::ObjectId;
use crate::pipeline::evidence::Builder;
use crate::pipeline::evidence::Field;
use crate::record::Provenance;
use crate::record::Record;
use crate::record::RecordKey;
use crate::record::parse_time;

use super::around::Around;
use super::beside;
use super::beside::BESIDE;
use super::beside::NO_CONTAINER;
use super::coverage::Coverage;
use super::eval::Expr;
use super::eval::Scope;
use super::eval::Variable;
use super::fate::Draft;
use super::fate::Mapped;
use super::fate::Outcome;
use super::fate::UnitInput;
use super::files::PathPattern;
use super::jq;
use super::jq::Program;
use super::lookup::LookupRow;
use super::lookup::Lookups;
use super::native::Native;
use super::path::Fast;
use super::shape::Notes;
use super::shape::Shape;
use super::shape::Shaped;
use super::shape::Text;
use super::shape::texts;
use super::spec::Code;
use super::spec::Columns;
use super::spec::Spec;
use super::spec::SpecError;
use super::unit::UnitKind;
use super::value::kind_name;

/// The most records that one unit may become.
pub const OUTPUTS_MAX: usize = 10_000;

/// The skip rule of a line that holds nothing but white space.
pub const BLANK_LINE: &str = "blank_line";

/// The skip rule of a unit for which `emit` gives nothing.
pub const EMIT_EMPTY: &str = "emit_empty";

/// The skip rules that a spec cannot define.
pub(super) const BUILT_IN_RULES: [&str; 4] = [BLANK_LINE, EMIT_EMPTY, BESIDE, NO_CONTAINER];

/// The variables that every expression sees, in the order of [`Scope`]'s list. The `key` of a lookup does not see the
/// last.
pub(super) const BUILT_IN: [&str; 5] = ["unit", "path", "key", "sig_hash", BESIDE];
const OF_LOOKUP: usize = 4;
const BESIDE_AT: usize = 4;

/// A spec with its expressions compiled. It belongs to one thread.
pub struct Adapter {
    stream: String,
    unit: UnitKind,
    shape: Option<Shape>,
    pattern: Option<PathPattern>,
    skip: Vec<(String, Expr)>,
    emit: Option<Expr>,
    key: Option<Expr>,
    time: Option<Expr>,
    lookups: Vec<Join>,
    /// The members that lead to the container.
    at: Vec<String>,
    columns: Option<Columns>,
    beside: bool,
    fields: Vec<(Field, Expr)>,
    reads: Reads,
    around: Around,
    canonical: Vec<u8>,
    path: Option<FileCaptures>,
}

/// One lookup: its row's key, the record's side, and whether any expression names it.
struct Join {
    name: String,
    unit: UnitKind,
    key: Expr,
    on: Expr,
    used: bool,
}

/// Member names of source rows that expressions mention; the flag: with all that is under them.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) names: Vec<(String, bool)>,
    /// Some expression takes `.` or `$unit` as a whole.
    pub(super) everything: bool,
    /// Some expression goes over the members of the row, whatever their names.
    pub(super) each: bool,
    /// Whole strings that stand in expressions.
    pub(super) literals: Vec<String>,
}

/// `$path` of the file that was mapped last.
struct FileCaptures {
    file: String,
    value: Value<'static>,
    matched: bool,
}

type Refusal = (&'static str, String);

impl Adapter {
    pub(super) fn new(spec: &Spec) -> Result<Self, SpecError> {
        let (mut reads, mut around) = (Reads::default(), Around::default());
        let unit_names: Vec<String> = BUILT_IN.map(str::to_owned).to_vec();
        let mut all_names = unit_names.clone();
        all_names.extend(spec.lookups.keys().cloned());
        let mut named = vec![false; all_names.len()];
        let mut named_beside = false;
        let captures: Vec<&str> = spec.path.iter().flat_map(|(_, pattern)| pattern.names()).collect();
        let mut compile = |code: &Code, names: &[String], of_row: bool, whole_is_read: bool| {
            jq::check_size(&code.text).map_err(|e| spec.reader.code_error(code, e.offset, &e.message))?;
            for (member, offset) in jq::path_members(&code.text) {
                if member != "file" && !captures.contains(&member) {
                    let message = format!("`$path` has no `{member}`: the spec's path does not capture it");
                    return Err(spec.reader.code_error(code, offset, &message));
                }
            }
            let expr = compile_expr(spec, code, names)?;
            for (at, wanted) in expr.variables(names.len()).into_iter().enumerate() {
                if at == BESIDE_AT && wanted && spec.at.is_none() {
                    let offset = code.text.find("$beside").unwrap_or_default();
                    return Err(spec.reader.code_error(code, offset, beside::NOT_THERE));
                }
                named[at] |= wanted;
            }
            reads.literals.extend(jq::literals(&code.text));
            if of_row {
                reads.add(&expr, &code.text, whole_is_read);
                around.add(&code.text);
            }
            Ok(expr)
        };

        if let Some((Columns::Beside(_), span)) = &spec.columns {
            if spec.at.is_none() {
                return Err(spec.reader.error(span, beside::NOT_THERE));
            }
            named_beside = true;
        }
        let mut skip = Vec::new();
        for rule in &spec.skip {
            skip.push((rule.rule.clone(), compile(&rule.when, &unit_names, true, true)?));
        }
        let plain_emit = spec.emit.as_ref().is_none_or(|code| code.text.trim() == ".");
        let emit = match &spec.emit {
            Some(code) if !plain_emit => Some(compile(code, &unit_names, true, false)?),
            _ => None,
        };
        let mut lookups = Vec::new();
        for (name, lookup) in &spec.lookups {
            let key = compile(&lookup.key, &unit_names[..OF_LOOKUP], false, false)?;
            let on = compile(&lookup.on, &unit_names, true, true)?;
            lookups.push(Join { name: name.clone(), unit: lookup.unit, key, on, used: false });
        }
        let key = spec.key.as_ref().map(|code| compile(code, &all_names, true, true)).transpose()?;
        let time = spec.time.as_ref().map(|code| compile(code, &all_names, true, true)).transpose()?;
        let mut fields = Vec::new();
        for (field, code) in &spec.fields {
            fields.push((field.clone(), compile(code, &all_names, true, true)?));
        }
        for (at, join) in lookups.iter_mut().enumerate() {
            join.used = named[unit_names.len() + at];
        }
        let at = spec.at.as_ref().and_then(|code| super::unit::at_steps(&code.text)).unwrap_or_default();
        Ok(Self {
            at,
            beside: named_beside || named[BESIDE_AT],
            columns: spec.columns.as_ref().map(|(columns, _)| columns.clone()),
            stream: spec.stream.clone(),
            unit: spec.unit,
            shape: spec.shape,
            pattern: spec.path.as_ref().map(|(_, pattern)| pattern.clone()),
            skip,
            emit,
            key,
            time,
            lookups,
            fields,
            reads,
            around,
            canonical: Vec::new(),
            path: None,
        })
    }

    /// Whether some expression names `$beside`.
    pub const fn reads_beside(&self) -> bool {
        self.beside
    }

    /// Maps one unit.
    pub fn map(&mut self, unit: &UnitInput<'_>) -> Mapped {
        self.map_counting(unit, None)
    }

    /// Counts of nothing, which know what this spec reads.
    pub fn coverage(&self) -> Coverage {
        Coverage::of(&self.reads)
    }

    /// Maps one unit and counts in `coverage` what it holds and what became of it.
    pub fn observe(&mut self, unit: &UnitInput<'_>, coverage: &mut Coverage) -> Mapped {
        self.map_counting(unit, Some(coverage))
    }

    fn map_counting(&mut self, unit: &UnitInput<'_>, mut coverage: Option<&mut Coverage>) -> Mapped {
        let raw_id = ObjectId::of(unit.bytes);
        let mut canonical = std::mem::take(&mut self.canonical);
        canonical.clear();
        let several = self.shape.is_some();
        let (sig_hash, row_id, outcome) = match admit(unit, self.unit, several, &mut canonical) {
            Err(outcome) => (None, None, outcome),
            Ok(_) if unit.flags.beside => {
                let sig_hash = Some(Sha256::digest(&canonical).into());
                (sig_hash, None, beside::fate(&canonical, &self.at, self.unit))
            }
            Ok(texts) => {
                self.enter(unit.file);
                let sig_hash: [u8; 32] = Sha256::digest(&canonical).into();
                let outcome = self.shaped(&canonical, &texts).and_then(|shaped| {
                    self.outcome(unit, shaped, raw_id, &sig_hash, coverage.as_deref_mut())
                });
                let quarantined = |(reason, detail)| Outcome::Quarantined { reason, detail };
                (Some(sig_hash), self.row_id(unit, &sig_hash), outcome.unwrap_or_else(quarantined))
            }
        };
        self.canonical = canonical;
        if let Some(coverage) = coverage {
            coverage.count(&outcome);
        }
        Mapped { raw_id, sig_hash, row_id, outcome }
    }

    /// The row of lookup `name` that a unit of its files is.
    /// A name that the spec does not have gives a quarantine.
    pub fn lookup_row(&mut self, name: &str, unit: &UnitInput<'_>) -> LookupRow {
        let quarantined = |(reason, detail)| LookupRow::Quarantined { reason, detail };
        if unit.flags.beside {
            return LookupRow::Skipped { rule: BESIDE.to_owned() };
        }
        let Some(at) = self.lookups.iter().position(|join| join.name == name) else {
            return quarantined(("bad_key", format!("the spec has no lookup {name:?}")));
        };
        let mut canonical = Vec::new();
        match admit(unit, self.lookups[at].unit, false, &mut canonical) {
            Ok(_) => {}
            Err(Outcome::Skipped { rule }) => return LookupRow::Skipped { rule },
            Err(Outcome::Quarantined { reason, detail }) => return quarantined((reason, detail)),
            Err(Outcome::Records(_)) => return LookupRow::Skipped { rule: EMIT_EMPTY.to_owned() },
        }
        self.enter(unit.file);
        let key = Value::parse(&canonical).map_err(|e| (e.code.as_str(), e.to_string())).and_then(|row| {
            if !matches!(row, Value::Object(_)) {
                return Err(("not_an_object", format!("the row is {}", kind_name(&row))));
            }
            let path = self.path.as_ref().map_or(&Value::Null, |p| &p.value);
            let unit_key = key_value(unit.key);
            let digits = hex::encode(Sha256::digest(&canonical));
            let sig_hash = Value::String(Cow::Borrowed(&digits));
            let variables: [_; OF_LOOKUP] = [&row, path, &unit_key, &sig_hash].map(Variable::new);
            let scope = Scope::new(&row, &variables);
            let key = self.lookups[at].key.one(&scope).map_err(|e| ("jq_error", format!("key: {e}")))?;
            key_text(key.as_deref(), "the lookup's key")
        });
        match key {
            Ok(key) => LookupRow::Row { key, raw_id: ObjectId::of(unit.bytes), canonical },
            Err(refusal) => quarantined(refusal),
        }
    }

    /// See [`Mapped::row_id`].
    fn row_id(&self, unit: &UnitInput<'_>, sig_hash: &[u8; 32]) -> Option<[u8; 32]> {
        let beside = unit.lookups.get(BESIDE, unit.file).filter(|_| self.beside).map(|(_, id)| id);
        self.around.row_id(unit.key, beside, self.path.as_ref().map(|p| &p.value), sig_hash)
    }

    /// What the rows of a file see as `$beside`, under the file's name; `unit` is the one that is flagged so.
    pub fn beside_row(&self, unit: &UnitInput<'_>) -> LookupRow {
        let mut canonical = Vec::new();
        let outcome = match admit(unit, self.unit, false, &mut canonical) {
            Ok(_) => beside::fate(&canonical, &self.at, self.unit),
            Err(outcome) => outcome,
        };
        match outcome {
            Outcome::Quarantined { reason, detail } => LookupRow::Quarantined { reason, detail },
            _ => LookupRow::Row { key: unit.file.to_owned(), raw_id: ObjectId::of(unit.bytes), canonical },
        }
    }

    /// Makes `$path` that of `file`.
    fn enter(&mut self, file: &str) {
        if self.path.as_ref().is_some_and(|p| p.file == file) {
            return;
        }
        let text = |t: &str| Value::String(Cow::Owned(t.to_owned()));
        let mut members = vec![(Cow::Borrowed("file"), text(file))];
        let mut matched = true;
        if let Some(pattern) = &self.pattern {
            match pattern.captures(file) {
                None => matched = false,
                Some(found) => {
                    let pairs = pattern.names().zip(found);
                    members.extend(pairs.map(|(name, found)| (Cow::Owned(name.to_owned()), text(found))));
                }
            }
        }
        // Capture names are ASCII and differ, so that their order is the canonical one.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.path = Some(FileCaptures { file: file.to_owned(), value: Value::Object(members), matched });
    }

    /// The row of a unit: itself, or what the spec's shape makes of it.
    fn shaped<'c>(&self, canonical: &'c [u8], texts: &[Text]) -> Result<Shaped<'c>, Refusal> {
        match self.shape {
            Some(shape) => shape.apply(canonical, texts),
            None => {
                let value = Value::parse(canonical).map_err(|e| (e.code.as_str(), e.to_string()))?;
                Ok(Shaped { value, noted: Notes::default() })
            }
        }
    }

    fn outcome(
        &self,
        unit: &UnitInput<'_>,
        shaped: Shaped<'_>,
        raw_id: ObjectId,
        sig_hash: &[u8; 32],
        coverage: Option<&mut Coverage>,
    ) -> Result<Outcome, Refusal> {
        let Shaped { mut value, noted } = shaped;
        let (path, matched) = self.path.as_ref().map_or((&Value::Null, true), |p| (&p.value, p.matched));
        if !matched {
            return Err((
                "path_mismatch",
                format!("{} does not have the form of the spec's path", unit.file),
            ));
        }
        let key = key_value(unit.key);
        let sig_hex = hex::encode(sig_hash);
        let sig_value = Value::String(Cow::Borrowed(&sig_hex));
        let (beside, beside_id) = match unit.lookups.get(BESIDE, unit.file) {
            _ if !self.beside => (Value::Null, None),
            Some((canonical, id)) => {
                (Value::parse(canonical).map_err(|e| (e.code.as_str(), e.to_string()))?, Some(id))
            }
            None => {
                let detail = "what stands beside the rows of this file, and is part of each, cannot be read";
                return Err(("broken_container", detail.to_owned()));
            }
        };
        if let Some(columns) = &self.columns {
            value = beside::with_names(value, columns, &beside)?;
        }
        if let Some(coverage) = coverage {
            coverage.see(&value, &self.reads);
            coverage.note(&noted);
        }
        if !matches!(value, Value::Object(_)) {
            return Err(("not_an_object", format!("the {} is {}", self.unit.as_str(), kind_name(&value))));
        }
        let variables = [&value, path, &key, &sig_value, &beside].map(Variable::new);
        let unit_scope = Scope::new(&value, &variables);

        for (rule, when) in &self.skip {
            let verdict = when.one(&unit_scope).map_err(|e| ("jq_error", format!("skip {rule}: {e}")))?;
            if verdict.as_deref().is_some_and(super::path::truthy) {
                return Ok(Outcome::Skipped { rule: rule.clone() });
            }
        }

        let mut outputs = Vec::new();
        match &self.emit {
            None => outputs.push(Cow::Borrowed(&value)),
            Some(emit) => emit
                .run(&unit_scope, OUTPUTS_MAX, &mut outputs)
                .map_err(|e| ("jq_error", format!("emit: {e}")))?,
        }
        if outputs.is_empty() {
            return Ok(Outcome::Skipped { rule: EMIT_EMPTY.to_owned() });
        }
        if outputs.len() > OUTPUTS_MAX {
            return Err(("too_many_outputs", format!("emit gives more than {OUTPUTS_MAX} values")));
        }

        let base = Provenance {
            line_offset: unit.number,
            lookup_ids: beside_id.into_iter().collect(),
            raw_id,
            recorded_at: None,
            sig_hash: Some(sig_hex.clone()),
            source_file: unit.file.to_owned(),
            unit: self.unit.provenance(),
        };
        let several = outputs.len() > 1;
        let mut drafts = Vec::with_capacity(outputs.len());
        for (output, dot) in (0_u32..).zip(&outputs) {
            let draft = self.record(output, Scope::new(dot, &variables), unit.lookups, base.clone());
            drafts.push(draft.map_err(|(reason, detail)| {
                (reason, if several { format!("output {output}: {detail}") } else { detail })
            })?);
        }
        Ok(Outcome::Records(drafts))
    }

    fn record(
        &self,
        output: u32,
        scope: Scope<'_>,
        lookups: &Lookups,
        mut provenance: Provenance,
    ) -> Result<Draft, Refusal> {
        let mut rows = Vec::with_capacity(self.lookups.len());
        for join in &self.lookups {
            let mut row = Value::Null;
            if join.used {
                let on =
                    join.on.one(&scope).map_err(|e| ("jq_error", format!("on of {}: {e}", join.name)))?;
                if let Some(Value::String(key) | Value::Number(key)) = on.as_deref()
                    && let Some((canonical, raw_id)) = lookups.get(&join.name, key)
                {
                    row = Value::parse(canonical).map_err(|e| (e.code.as_str(), e.to_string()))?;
                    provenance.lookup_ids.push(raw_id);
                }
            }
            rows.push(row);
        }
        provenance.lookup_ids.sort_unstable();
        provenance.lookup_ids.dedup();
        let scope = scope.with(&rows);

        if let Some(time) = &self.time {
            let value = time.one(&scope).map_err(|e| ("jq_error", format!("time: {e}")))?;
            provenance.recorded_at = value.as_deref().and_then(parse_time).map(|at| at.text);
        }
        let row_key = match &self.key {
            Some(key) => {
                let value = key.one(&scope).map_err(|e| ("jq_error", format!("key: {e}")))?;
                key_text(value.as_deref(), "key")?
            }
            None => provenance.sig_hash.as_deref().unwrap_or_default()[..16].to_owned(),
        };
        let recorded_at = provenance.recorded_at.as_deref();
        let key = RecordKey::build(recorded_at, &self.stream, &row_key, u64::from(output))
            .map_err(|e| ("bad_key", e.to_string()))?;
        let date = key.date().to_owned();

        let mut builder = Builder::new(&self.stream, key.as_str().to_owned(), provenance);
        for (field, expr) in &self.fields {
            let value = expr.one(&scope).map_err(|e| ("jq_error", format!("{}: {e}", field.name())))?;
            if let Some(value) = value {
                builder.set(field, value).map_err(|e| ("field_type", e.to_string()))?;
            }
        }
        let record = builder.finish();
        let violations = record.validate();
        if !violations.is_empty() {
            let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
            return Err(("invalid_evidence", all.join("; ")));
        }
        Ok(Draft { output, date, row_key, record })
    }
}

/// Compiles one expression, the fast way where that is possible.
fn compile_expr(spec: &Spec, code: &Code, names: &[String]) -> Result<Expr, SpecError> {
    if let Some(fast) = Fast::parse(&code.text, names) {
        return Ok(Expr::Fast(fast));
    }
    let program = Program::compile(&code.text, names)
        .map_err(|e| spec.reader.code_error(code, e.offset, &e.message))?;
    let used = jq::variables(&code.text);
    let wanted = names.iter().map(|name| used.contains(&name.as_str())).collect();
    let native = Native::parse(&code.text, names).map(Box::new);
    Ok(Expr::Jaq { program: Box::new(program), wanted, native })
}

/// Refuses what cannot be read, leaves out what is blank, and gives the canonical form of the rest. With `several`, a
/// file may be one JSON text on each line, which only a shape can read.
fn admit(
    unit: &UnitInput<'_>,
    kind: UnitKind,
    several: bool,
    canonical: &mut Vec<u8>,
) -> Result<Vec<Text>, Outcome> {
    let quarantined = |reason, detail: String| Outcome::Quarantined { reason, detail };
    if unit.flags.too_large {
        return Err(quarantined("unit_too_large", format!("the unit has {} bytes", unit.bytes.len())));
    }
    if unit.flags.broken_container {
        let what = if kind == UnitKind::Value { "object" } else { "array" };
        return Err(quarantined("broken_container", format!("the {what} is not there or breaks off here")));
    }
    let line = kind == UnitKind::Line;
    if line && unit.bytes.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
        return Err(Outcome::Skipped { rule: BLANK_LINE.to_owned() });
    }
    if several && kind == UnitKind::File {
        return texts(unit.bytes, canonical).map_err(|e| quarantined(e.code.as_str(), e.to_string()));
    }
    canonicalize(unit.bytes, canonical).map_err(|e| {
        let reason = if line && !unit.terminated { "unterminated" } else { e.code.as_str() };
        quarantined(reason, e.to_string())
    })?;
    Ok(vec![Text::whole(canonical)])
}

fn key_value(key: Option<&str>) -> Value<'_> {
    key.map_or(Value::Null, |key| Value::String(Cow::Borrowed(key)))
}

/// A key is a string that is not empty, or a number.
fn key_text(value: Option<&Value<'_>>, what: &str) -> Result<String, Refusal> {
    match value {
        Some(Value::String(text) | Value::Number(text)) if !text.trim().is_empty() => {
            Ok(text.as_ref().to_owned())
        }
        Some(Value::String(_)) => Err(("bad_key", format!("{what} is an empty string"))),
        other => Err((
            "bad_key",
            format!("{what} must be a string or a number, found {}", other.map_or("nothing", kind_name)),
        )),
    }
}

impl Reads {
    /// Adds what `expr` reads of the row. `whole` says that its result is used as it is.
    fn add(&mut self, expr: &Expr, code: &str, whole: bool) {
        match expr {
            Expr::Fast(fast) => {
                self.each |= fast.goes_over_members();
                for path in fast.row_paths() {
                    let last = path.len();
                    self.everything |= whole && last == 0;
                    for (at, name) in path.into_iter().enumerate() {
                        self.names.push((name, whole && at + 1 == last));
                    }
                }
            }
            Expr::Jaq { .. } => {
                self.names.extend(jq::mentions(code));
                self.everything |= jq::takes_whole(code);
                self.each |= jq::goes_over_members(code);
            }
        }
    }
}
