//! A source spec: the TOML file that declares a stream.
//!
//! Rests on the `toml` parser's spanned values. Invariant: a parsed spec is whole: every name is known, every glob and
//! every expression compiles. An error names file, line and column. What does not change a dataset (name, description,
//! comments, layout of the file) is not part of [`Spec::to_value`], so it does not change [`Spec::id`].

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::json;

use crate::base::json::to_canonical;
use crate::object::ObjectId;
use crate::pipeline::evidence::Field;

use super::adapter::Adapter;
use super::adapter::BUILT_IN;
use super::adapter::BUILT_IN_RULES;
use super::files::FileSet;
use super::files::PathPattern;
use super::shape::Shape;
use super::table::Reader;
use super::table::Table;
use super::table::unknown;
use super::unit::UnitKind;

/// Why a spec is refused: what, and where in its file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}.toml:{line}:{column}: {message}")]
pub struct SpecError {
    /// The spec's name, without `.toml`.
    pub name: String,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, with the nearest known name where one is near.
    pub message: String,
}

/// An expression as written, and where.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

/// A named reason to leave a unit out.
#[derive(Clone, Debug)]
pub(super) struct SkipRule {
    pub(super) rule: String,
    pub(super) when: Code,
}

/// A joined file.
#[derive(Clone, Debug)]
pub struct LookupSpec {
    pub(super) files: FileSet,
    pub(super) unit: UnitKind,
    pub(super) at: Option<Code>,
    pub(super) key: Code,
    pub(super) on: Code,
}

impl LookupSpec {
    /// The files whose units are the rows of this lookup.
    pub const fn files(&self) -> &FileSet {
        &self.files
    }

    /// What one row is.
    pub const fn unit(&self) -> UnitKind {
        self.unit
    }

    /// The path of the array or map inside the file, as a plain path; `None` for the top.
    pub fn at(&self) -> Option<&str> {
        self.at.as_ref().map(|code| code.text.as_str())
    }
}

/// Where the names of the members of rows that are arrays come from.
#[derive(Clone, Debug)]
pub(super) enum Columns {
    /// The spec says them.
    Named(Vec<String>),
    /// They stand beside the rows: the members that lead to the array of names.
    Beside(Vec<String>),
}

/// A declared stream.
#[derive(Clone, Debug)]
pub struct Spec {
    pub(super) reader: Reader,
    pub(super) stream: String,
    pub(super) description: String,
    pub(super) files: FileSet,
    pub(super) unit: UnitKind,
    pub(super) shape: Option<Shape>,
    pub(super) at: Option<Code>,
    pub(super) columns: Option<(Columns, Range<usize>)>,
    pub(super) path: Option<(String, PathPattern)>,
    pub(super) emit: Option<Code>,
    pub(super) key: Option<Code>,
    pub(super) time: Option<Code>,
    pub(super) skip: Vec<SkipRule>,
    pub(super) lookups: BTreeMap<String, LookupSpec>,
    pub(super) fields: Vec<(Field, Code)>,
    /// Some expression names `$beside`.
    pub(super) beside: bool,
}

impl Spec {
    /// Reads `text`, the contents of `.distill/sources/<name>.toml`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(name: &str, text: &str) -> Result<Self, SpecError> {
        let reader = Reader::new(name, text);
        let document = reader.document()?;
        let mut top = reader.table("", &document);

        let stream = top.required_text("stream")?;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        if stream.text.is_empty() || stream.text.len() > 64 || !stream.text.bytes().all(plain) {
            return Err(reader.error(&stream.span, "stream must be 1 to 64 of a-z, 0-9, _ and -"));
        }
        let description = top.text("description")?.map(|code| code.text).unwrap_or_default();
        let files = file_set(&reader, &mut top)?;
        let unit = unit_kind(&reader, &mut top)?;
        let at = at_path(&reader, &mut top, unit)?;
        let columns = columns(&reader, &mut top)?;
        let shape = shape(&reader, &mut top, unit)?;
        let path = match top.text("path")? {
            None => None,
            Some(code) => {
                let pattern = PathPattern::parse(&code.text).map_err(|why| reader.error(&code.span, why))?;
                Some((code.text, pattern))
            }
        };

        let (mut emit, mut key, mut time, mut skip) = (None, None, None, Vec::new());
        if let Some(mut record) = top.table("record")? {
            (emit, key, time) = (record.text("emit")?, record.text("key")?, record.text("time")?);
            for mut rule in record.tables("skip")? {
                let named = rule.required_text("rule")?;
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
                if named.text.is_empty() || !named.text.bytes().all(plain) {
                    return Err(reader.error(&named.span, "a rule's name must be of a-z, 0-9 and _"));
                }
                if BUILT_IN_RULES.contains(&named.text.as_str()) {
                    return Err(reader.error(&named.span, format!("rule {:?} is built in", named.text)));
                }
                skip.push(SkipRule { rule: named.text, when: rule.required_text("when")? });
                rule.finish()?;
            }
            record.finish()?;
        }

        let mut lookups = BTreeMap::new();
        if let Some(table) = top.table("lookup")? {
            for (name, span, mut lookup) in table.named_tables()? {
                let mut bytes = name.bytes();
                let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
                if !first || !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
                    return Err(reader.error(&span, "a lookup's name must be of a-z, 0-9 and _"));
                }
                if BUILT_IN.contains(&name.as_str()) {
                    return Err(reader.error(&span, format!("${name} is built in; choose another name")));
                }
                let files = file_set(&reader, &mut lookup)?;
                let unit = unit_kind(&reader, &mut lookup)?;
                let at = at_path(&reader, &mut lookup, unit)?;
                let (key, on) = (lookup.required_text("key")?, lookup.required_text("on")?);
                lookup.finish()?;
                lookups.insert(name, LookupSpec { files, unit, at, key, on });
            }
        }

        let mut fields: Vec<(Field, Code)> = Vec::new();
        match top.table("fields")? {
            None => {
                return Err(reader.error(&(0..0), "the table [fields] is missing: nothing would be recorded"));
            }
            Some(table) => {
                for (name, span, code) in table.dotted_texts(Field::KNOWN)? {
                    let field = Field::parse(&name).ok_or_else(|| {
                        reader.error(&span, unknown(&format!("field `{name}`"), &name, Field::KNOWN))
                    })?;
                    fields.push((field, code));
                }
            }
        }
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        top.finish()?;

        let mut spec = Self {
            reader: reader.clone(),
            stream: stream.text,
            description,
            files,
            unit,
            shape,
            at,
            columns,
            path,
            emit,
            key,
            time,
            skip,
            lookups,
            fields,
            beside: false,
        };
        spec.beside = spec.compile()?.reads_beside();
        Ok(spec)
    }

    /// Compiles the expressions; each worker compiles its own.
    ///
    /// # Errors
    /// None for a spec that [`Self::parse`] accepted, which compiles it too.
    pub fn compile(&self) -> Result<Adapter, SpecError> {
        Adapter::new(self)
    }

    /// The spec's name: its file's name without `.toml`.
    pub fn name(&self) -> &str {
        &self.reader.name
    }

    /// The stream that its records belong to.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// What the stream is, for people.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The files that it reads.
    pub const fn files(&self) -> &FileSet {
        &self.files
    }

    /// What one input unit is.
    pub const fn unit(&self) -> UnitKind {
        self.unit
    }

    /// The native reading that makes the row of a unit; `None` where the unit is the row.
    pub const fn shape(&self) -> Option<Shape> {
        self.shape
    }

    /// The path of the array or map inside the file, as a plain path; `None` for the top.
    pub fn at(&self) -> Option<&str> {
        self.at.as_ref().map(|code| code.text.as_str())
    }

    /// Whether an expression reads what stands beside the container: then a file's last unit is that.
    pub const fn reads_beside(&self) -> bool {
        self.beside
    }

    /// The joined files by the name of their variable.
    pub const fn lookups(&self) -> &BTreeMap<String, LookupSpec> {
        &self.lookups
    }

    /// The evidence fields that it fills, in order.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().map(|(field, _)| field)
    }

    /// The expression of a field, as written.
    pub fn expression(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known.name() == field).map(|(_, code)| code.text.trim())
    }

    /// The parsed part that can change a dataset, for the config id.
    pub fn to_value(&self) -> serde_json::Value {
        let code = |code: &Option<Code>| code.as_ref().map(|c| c.text.trim().to_owned());
        let skip = self.skip.iter().map(|s| json!({"rule": s.rule, "when": s.when.text.trim()}));
        let lookups = self.lookups.iter().map(|(name, l)| {
            let value = json!({
                "files": l.files.patterns(), "exclude": l.files.exclude(), "unit": l.unit.as_str(),
                "at": code(&l.at), "key": l.key.text.trim(), "on": l.on.text.trim(),
            });
            (name.clone(), value)
        });
        let fields = self.fields.iter().map(|(f, c)| (f.name().into_owned(), json!(c.text.trim())));
        let mut value = json!({
            "schema": "distill.source_spec.v1",
            "stream": self.stream,
            "files": self.files.patterns(),
            "exclude": self.files.exclude(),
            "unit": self.unit.as_str(),
            "at": code(&self.at),
            "path": self.path.as_ref().map(|(text, _)| text),
            "record": {
                "emit": code(&self.emit).unwrap_or_else(|| ".".to_owned()),
                "key": code(&self.key),
                "time": code(&self.time),
                "skip": skip.collect::<Vec<_>>(),
            },
            "lookup": lookups.collect::<serde_json::Map<_, _>>(),
            "fields": fields.collect::<serde_json::Map<_, _>>(),
        });
        // Absent where there are none: a spec that could be written before keeps its id.
        match self.columns.as_ref().map(|(columns, _)| columns) {
            None => {}
            Some(Columns::Named(names)) => value["columns"] = json!(names),
            Some(Columns::Beside(steps)) => value["columns"] = json!({"beside": steps}),
        }
        if let Some(shape) = self.shape {
            value["shape"] = json!({"name": shape.as_str(), "version": shape.version()});
        }
        value
    }

    /// The object id of the canonical JSON of [`Self::to_value`].
    pub fn id(&self) -> ObjectId {
        // Strings, arrays and objects only: these always have a canonical form.
        ObjectId::of(&to_canonical(&self.to_value()).unwrap_or_default())
    }
}

fn file_set(reader: &Reader, table: &mut Table<'_>) -> Result<FileSet, SpecError> {
    let (files, files_span) = table.texts("files")?.unwrap_or_default();
    if files.is_empty() {
        return Err(reader.error(&files_span, "files is missing: name at least one file or glob"));
    }
    let (exclude, exclude_span) = table.texts("exclude")?.unwrap_or_default();
    let boundary = files.len();
    FileSet::new(files, exclude)
        .map_err(|(at, why)| reader.error(if at < boundary { &files_span } else { &exclude_span }, why))
}

fn unit_kind(reader: &Reader, table: &mut Table<'_>) -> Result<UnitKind, SpecError> {
    let Some(code) = table.text("unit")? else { return Ok(UnitKind::Line) };
    UnitKind::parse(&code.text).ok_or_else(|| {
        reader.error(&code.span, unknown(&format!("unit {:?}", code.text), &code.text, &UnitKind::NAMES))
    })
}

/// `columns`: an array of names, or a plain path below `$beside`.
fn columns(reader: &Reader, table: &mut Table<'_>) -> Result<Option<(Columns, Range<usize>)>, SpecError> {
    let Some((names, span)) = table.texts("columns")? else { return Ok(None) };
    let below = |name: &String| name.strip_prefix("$beside").and_then(super::unit::at_steps);
    if let [only] = names.as_slice()
        && only.starts_with('$')
    {
        return match below(only) {
            Some(steps) => Ok(Some((Columns::Beside(steps), span))),
            None => {
                Err(reader.error(&span, "columns must be names, or a plain path such as $beside.columns"))
            }
        };
    }
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    if names.is_empty() || sorted.len() < names.len() {
        return Err(reader.error(&span, "columns must be names that differ, at least one"));
    }
    Ok(Some((Columns::Named(names), span)))
}

/// `shape`: the name of a native reading.
fn shape(reader: &Reader, table: &mut Table<'_>, unit: UnitKind) -> Result<Option<Shape>, SpecError> {
    let Some(code) = table.text("shape")? else { return Ok(None) };
    let shape = Shape::parse(&code.text).ok_or_else(|| {
        reader.error(&code.span, unknown(&format!("shape {:?}", code.text), &code.text, &Shape::NAMES))
    })?;
    if shape == Shape::ClaudeCode && unit != UnitKind::File {
        let message = "shape \"claude-code\" needs unit = \"file\": the lines of a session are one tree";
        return Err(reader.error(&code.span, message));
    }
    Ok(Some(shape))
}

fn at_path(reader: &Reader, table: &mut Table<'_>, unit: UnitKind) -> Result<Option<Code>, SpecError> {
    let Some(code) = table.text("at")? else { return Ok(None) };
    if !matches!(unit, UnitKind::Element | UnitKind::Value) {
        return Err(reader.error(&code.span, "at is for the units element and value"));
    }
    if super::unit::at_steps(&code.text).is_none() {
        return Err(reader.error(&code.span, "at must be a plain path of names, such as .data.items"));
    }
    Ok(Some(code))
}
