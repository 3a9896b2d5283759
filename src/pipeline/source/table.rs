//! Reading a spec's TOML: tables that know which of their entries were asked for, and places in the text.
//!
//! Rests on `toml`'s spanned document. Invariant: an entry nobody asked for is an error that names the nearest entry
//! that would have been understood.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use super::spec::Code;
use super::spec::SpecError;

/// The text of a spec, for turning byte ranges into lines and columns.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) name: String,
    text: String,
}

/// An entry of a `[table]` of dotted names: the name, where it stands, and its expression.
pub(super) type Dotted = (String, Range<usize>, Code);

/// Strings, and where their array stands.
pub(super) type Texts = (Vec<String>, Range<usize>);

impl Reader {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    pub(super) fn document(&self) -> Result<Spanned<DeTable<'_>>, SpecError> {
        DeTable::parse(&self.text)
            .map_err(|e| self.error(&e.span().unwrap_or(0..0), e.message().replace('\n', ", ")))
    }

    pub(super) fn table<'d>(&'d self, name: &str, table: &'d Spanned<DeTable<'d>>) -> Table<'d> {
        Table::new(self, name.to_owned(), table.get_ref(), table.span())
    }

    /// An error at the start of `span`.
    pub(super) fn error(&self, span: &Range<usize>, message: impl Into<String>) -> SpecError {
        let before = &self.text[..span.start.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        SpecError {
            name: self.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }

    /// An error inside an expression, `offset` bytes from its start.
    pub(super) fn code_error(&self, code: &Code, offset: usize, message: &str) -> SpecError {
        let raw = self.text.get(code.span.clone()).unwrap_or_default();
        let quote = if raw.starts_with("'''") || raw.starts_with("\"\"\"") { 3 } else { 1 };
        let body = raw.get(quote..).unwrap_or_default();
        // TOML drops a newline right after the opening quotes of a multi-line string.
        let dropped = if quote == 3 { body.len() - body.trim_start_matches(['\r', '\n']).len() } else { 0 };
        let dropped = dropped.min(if body.starts_with("\r\n") { 2 } else { 1 });
        let (line, column) = {
            let before = &code.text[..offset.min(code.text.len())];
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
        };
        let within = format!("{message} (line {line}, column {column} of the expression)");
        if body.get(dropped..).is_some_and(|body| body.starts_with(code.text.as_str())) {
            let at = code.span.start + quote + dropped + offset.min(code.text.len());
            self.error(&(at..at), within)
        } else {
            // Escapes in the TOML string: the place of its start is all that can be said of the file.
            self.error(&code.span, within)
        }
    }
}

/// `unknown field `x`; did you mean `y`?`
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let near =
        known.iter().filter(|k| is_near(name, k)).map(|k| (strsim::damerau_levenshtein(name, k), *k)).min();
    match near {
        Some((_, near)) => format!("unknown {what}; did you mean `{near}`?"),
        None => format!("unknown {what}; known are {}", known.join(", ")),
    }
}

/// A TOML table being read.
pub(super) struct Table<'d> {
    reader: &'d Reader,
    name: String,
    entries: &'d DeTable<'d>,
    span: Range<usize>,
    asked: Vec<&'static str>,
}

impl<'d> Table<'d> {
    fn new(reader: &'d Reader, name: String, entries: &'d DeTable<'d>, span: Range<usize>) -> Self {
        Self { reader, name, entries, span, asked: Vec::new() }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.push(key);
        self.entries.iter().find(|(k, _)| k.get_ref() == key).map(|(_, v)| v)
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> SpecError {
        let found = value.get_ref().type_str();
        self.reader.error(&value.span(), format!("{}{key} must be {wanted}, found {found}", self.name))
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<Code>, SpecError> {
        let Some(value) = self.entry(key) else { return Ok(None) };
        code(value).map(Some).ok_or_else(|| self.wrong(key, value, "a string"))
    }

    /// A string that must be there; a misspelt one is pointed at.
    pub(super) fn required_text(&mut self, key: &'static str) -> Result<Code, SpecError> {
        if let Some(code) = self.text(key)? {
            return Ok(code);
        }
        let misspelt = self.entries.iter().find(|(k, _)| is_near(k.get_ref(), key));
        Err(match misspelt {
            Some((k, _)) => {
                let what = format!("entry `{}{}`", self.name, k.get_ref());
                self.reader.error(&k.span(), unknown(&what, k.get_ref(), &[key]))
            }
            None => self.reader.error(&self.span, format!("{}{key} is missing", self.name)),
        })
    }

    /// An array of strings (or one string) and its place.
    pub(super) fn texts(&mut self, key: &'static str) -> Result<Option<Texts>, SpecError> {
        let Some(value) = self.entry(key) else { return Ok(None) };
        let Some(items) = value.get_ref().as_array() else {
            let one = code(value).ok_or_else(|| self.wrong(key, value, "an array of strings"))?;
            return Ok(Some((vec![one.text], one.span)));
        };
        let texts = items
            .iter()
            .map(|item| {
                code(item).map(|c| c.text).ok_or_else(|| self.wrong(key, item, "an array of strings"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Some((texts, value.span())))
    }

    /// A table.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Option<Table<'d>>, SpecError> {
        let Some(value) = self.entry(key) else { return Ok(None) };
        let inner = value.get_ref().as_table().ok_or_else(|| self.wrong(key, value, "a table"))?;
        Ok(Some(Table::new(self.reader, format!("{}{key}.", self.name), inner, value.span())))
    }

    /// An array of tables.
    pub(super) fn tables(&mut self, key: &'static str) -> Result<Vec<Table<'d>>, SpecError> {
        let Some(value) = self.entry(key) else { return Ok(Vec::new()) };
        let items = value.get_ref().as_array().ok_or_else(|| self.wrong(key, value, "an array of tables"))?;
        items
            .iter()
            .map(|item| {
                let inner = item.get_ref().as_table().ok_or_else(|| self.wrong(key, item, "a table"))?;
                Ok(Table::new(self.reader, format!("{}{key}.", self.name), inner, item.span()))
            })
            .collect()
    }

    /// Every entry, each a table of its own.
    pub(super) fn named_tables(&self) -> Result<Vec<(String, Range<usize>, Table<'d>)>, SpecError> {
        self.entries
            .iter()
            .map(|(key, value)| {
                let name = key.get_ref().to_string();
                let inner = value.get_ref().as_table().ok_or_else(|| self.wrong(&name, value, "a table"))?;
                let table = Table::new(self.reader, format!("{}{name}.", self.name), inner, key.span());
                Ok((name, key.span(), table))
            })
            .collect()
    }

    /// Every expression in this table and the tables in it, with dotted names.
    pub(super) fn dotted_texts(&self, known: &[&str]) -> Result<Vec<Dotted>, SpecError> {
        let mut out = Vec::new();
        self.collect_dotted(self.entries, "", known, &mut out)?;
        Ok(out)
    }

    fn collect_dotted(
        &self,
        entries: &'d DeTable<'d>,
        prefix: &str,
        known: &[&str],
        out: &mut Vec<Dotted>,
    ) -> Result<(), SpecError> {
        for (key, value) in entries {
            let name = format!("{prefix}{}", key.get_ref());
            if let Some(inner) = value.get_ref().as_table() {
                let prefix = format!("{name}.");
                if !known.iter().any(|k| k.starts_with(&prefix)) {
                    let heads: Vec<&str> =
                        known.iter().filter_map(|k| k.split_once('.').map(|(head, _)| head)).collect();
                    let message = unknown(&format!("field `{name}`"), &name, &heads);
                    return Err(self.reader.error(&key.span(), message));
                }
                self.collect_dotted(inner, &prefix, known, out)?;
            } else {
                let wanted = "an expression in a string, such as \".answer\" or '\"constant\"'";
                let code = code(value).ok_or_else(|| self.wrong(&name, value, wanted))?;
                out.push((name, key.span(), code));
            }
        }
        Ok(())
    }

    /// Refuses entries that nobody asked for.
    pub(super) fn finish(self) -> Result<(), SpecError> {
        for (key, _) in self.entries {
            if !self.asked.contains(&key.get_ref().as_ref()) {
                let what = format!("entry `{}{}`", self.name, key.get_ref());
                let message = unknown(&what, key.get_ref(), &self.asked);
                return Err(self.reader.error(&key.span(), message));
            }
        }
        Ok(())
    }
}

/// Could `name` be `known`, misspelt?
fn is_near(name: &str, known: &str) -> bool {
    strsim::damerau_levenshtein(name, known) <= 1 + known.len() / 4
}

fn code(value: &Spanned<DeValue<'_>>) -> Option<Code> {
    value.get_ref().as_str().map(|text| Code { text: text.to_owned(), span: value.span() })
}
