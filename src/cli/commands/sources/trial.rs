//! A trial on the terminal: each row beside the evidence that it becomes, then the figures of the file.
//!
//! Rests on `columns`. Invariant: the mark ○ stands before every member that nothing reads and before every field that
//! stayed empty, with colour or without.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::base::json::Value;
use crate::cli::columns::{Piece, render, visible};
use crate::cli::table::{count, counted};
use crate::cli::ui::{Style, Ui};
use crate::ops::report::percent;
use crate::ops::sources::test::{Fate, Head, RecordShown, Totals, UnitShown};
use crate::record::Category;

/// Characters of a value that are shown without `--full`.
const VALUE_MAX: usize = 240;
/// Elements of an array that are shown without `--full`.
const ITEMS_MAX: usize = 4;
/// Records of a unit that are shown without `--full`.
const RECORDS_MAX: usize = 4;

/// Marks what is left over: a member that nothing reads, a field that stayed empty.
const LEFT_OVER: char = '○';
/// Marks a field that was filled.
const FILLED: char = '●';

/// How a trial is shown.
pub(super) struct View<'a> {
    pub(super) ui: &'a Ui,
    pub(super) head: &'a Head,
    pub(super) width: usize,
    pub(super) full: bool,
}

impl View<'_> {
    /// What is tried on what.
    pub(super) fn head(&self) -> String {
        let head = self.head;
        let mut text = String::new();
        let place = head.spec_path.as_deref().unwrap_or("comes with distill");
        writeln!(
            text,
            "{} ({}) on {}, one {} at a time; policy: {}",
            self.ui.paint(Style::Bold, visible(&head.spec)),
            visible(place),
            self.ui.paint(Style::Bold, visible(&head.file)),
            head.unit,
            head.policy,
        )
        .ok();
        if !head.matched {
            let warning = "the spec's `files` does not take this file below";
            writeln!(
                text,
                "{} {warning} {}: a run would not read it",
                self.ui.paint(Style::Yellow, "note:"),
                visible(&head.base)
            )
            .ok();
        }
        for lookup in &head.lookups {
            let name = visible(&lookup.name);
            if lookup.files.is_empty() {
                writeln!(
                    text,
                    "{} lookup `${name}`: no file below {} is {}; it is always null",
                    self.ui.paint(Style::Yellow, "note:"),
                    visible(&head.base),
                    visible(&lookup.globs.join(" or "))
                )
                .ok();
            } else {
                let rows = counted(lookup.rows, "row");
                writeln!(text, "lookup ${name}: {rows} from {}", super::first(&lookup.files)).ok();
            }
        }
        text
    }

    /// A unit, its fate, and the row beside the evidence.
    pub(super) fn unit(&self, unit: &UnitShown) -> String {
        let fate = match unit.fate {
            Fate::Records => self.ui.paint(Style::Green, counted(unit.records.len() as u64, "record")),
            Fate::Skipped => {
                let rule = unit.rule.as_deref().unwrap_or_default();
                self.ui.paint(Style::Yellow, format!("skipped by {}", visible(rule)))
            }
            Fate::Quarantined => {
                let reason = unit.reason.as_deref().unwrap_or_default();
                self.ui.paint(Style::Red, format!("quarantined: {reason}"))
            }
        };
        let name = match self.head.unit {
            "line" => format!("line {}", count(unit.unit + 1)),
            kind => format!("{kind} {}", count(unit.unit)),
        };
        let key = unit.key.as_ref().map(|key| format!(" {}", visible(key))).unwrap_or_default();
        let mut text = format!(
            "\n{}{key}, {} → {fate}\n",
            self.ui.paint(Style::Bold, name),
            counted(unit.bytes, "byte")
        );
        let mut left = vec![Piece::new(0, "row").styled(Style::Dim)];
        match &unit.row {
            Some(row) => match Value::parse(row.get().as_bytes()) {
                Ok(value) => {
                    let unread = unit.unread.iter().map(|key| key.key.as_str()).collect();
                    Lines { view: self, unread: &unread, sparse: false, out: &mut left }.members(&value);
                }
                Err(_) => left.push(Piece::new(0, self.clipped(row.get()))),
            },
            None => left.push(Piece::new(0, self.clipped(unit.text.as_deref().unwrap_or_default()))),
        }
        let mut right = Vec::new();
        if let Some(detail) = &unit.detail {
            right.push(Piece::new(0, detail.as_str()).styled(Style::Red));
        }
        let shown = if self.full { usize::MAX } else { RECORDS_MAX };
        for record in unit.records.iter().take(shown) {
            self.record(record, &mut right);
        }
        if unit.records.len() > shown {
            let more = counted((unit.records.len() - shown) as u64, "more record");
            right.push(Piece::new(0, format!("… {more}; --full shows all")).styled(Style::Dim));
        }
        text.push_str(&render(self.ui, &left, &right, self.width));
        text
    }

    fn record(&self, record: &RecordShown, out: &mut Vec<Piece>) {
        let evidence = Value::parse(record.evidence.get().as_bytes()).unwrap_or(Value::Null);
        let key = evidence.get("key").and_then(Value::as_str).unwrap_or_default();
        out.push(Piece::new(0, format!("evidence {key}")).styled(Style::Dim));
        let (word, style) = match record.category {
            Category::Accepted => ("accepted", Style::Green),
            Category::PartiallyAccepted => ("partially accepted", Style::Yellow),
            Category::Rejected => ("rejected", Style::Red),
            Category::NeedsHumanReview => ("needs a person", Style::Yellow),
        };
        let why = record.reasons.join("; ");
        out.push(Piece::new(0, format!("{word} by rule {}: {why}", record.deciding_rule)).styled(style));
        let nothing = BTreeSet::new();
        for field in &record.filled {
            let value = at(&evidence, field);
            let from = out.len();
            Lines { view: self, unread: &nothing, sparse: true, out }.member("", field, value, 0);
            if let Some(first) = out.get_mut(from) {
                first.mark = FILLED;
            }
        }
        for field in &record.empty {
            let code = self.expression(field);
            let text = format!("{field} is empty: {}", self.clipped(code));
            out.push(Piece::new(0, text).marked(LEFT_OVER).styled(Style::Yellow));
        }
    }

    fn expression(&self, field: &str) -> &str {
        let found = self.head.expressions.iter().find(|known| known.field == field);
        found.map_or("", |known| known.expression.as_str())
    }

    /// The figures of the whole file.
    pub(super) fn totals(&self, totals: &Totals) -> String {
        let mut text = String::from("\n");
        let refused: u64 = totals.quarantined.values().sum();
        let skipped: u64 = totals.skipped.values().sum();
        writeln!(
            text,
            "{}  {} → {}, {} skipped, {} quarantined",
            self.ui.paint(Style::Bold, "the whole file"),
            counted(totals.units, self.head.unit),
            counted(totals.records, "record"),
            count(skipped),
            count(refused)
        )
        .ok();
        let mut pieces = Vec::new();
        let mut line = |what: &str, items: Vec<String>, style: Option<Style>| {
            if !items.is_empty() {
                let mut piece = Piece::new(0, format!("{what}: {}", items.join(", ")));
                piece.style = style;
                pieces.push(piece);
            }
        };
        let by = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, n)| format!("{} {}", visible(name), count(*n))).collect::<Vec<_>>()
        };
        line("skipped", by(&totals.skipped), None);
        line("quarantined", by(&totals.quarantined), Some(Style::Red));
        let categories = [
            ("accepted", totals.categories.accepted),
            ("partially accepted", totals.categories.partially_accepted),
            ("rejected", totals.categories.rejected),
            ("need a person", totals.categories.needs_human_review),
        ];
        if totals.records > 0 {
            let each = categories.iter().map(|(name, n)| format!("{} {name}", count(*n)));
            line("scored", each.collect(), None);
        }
        if totals.bytes > 0 {
            let share = format!(
                "{} of the bytes, {} of {} members",
                percent(totals.bytes_read, totals.bytes),
                count(totals.keys_read),
                count(totals.keys)
            );
            line("read", vec![share], None);
        }
        let unread =
            totals.unread.iter().map(|key| format!("{} ({})", visible(&key.key), count(key.seen))).collect();
        line("unread", unread, Some(Style::Yellow));
        if totals.other_keys > 0 {
            line("further members, not told apart", vec![count(totals.other_keys)], None);
        }
        if totals.records > 0 {
            let partly = totals.fields.iter().filter(|(_, n)| **n < totals.records);
            let partly = partly.map(|(field, n)| format!("{field} {}", percent(*n, totals.records)));
            line("filled in a part of the records", partly.collect(), None);
            line("never filled", totals.never_filled.clone(), Some(Style::Yellow));
        }
        line("no expression", totals.unmapped.clone(), Some(Style::Dim));
        text.push_str(&render(self.ui, &pieces, &[], self.width));
        text
    }

    /// The beginning of a long text.
    fn clipped(&self, text: &str) -> String {
        match text.char_indices().nth(VALUE_MAX) {
            Some((at, _)) if !self.full => {
                format!("{}… ({})", &text[..at], counted(text.len() as u64, "byte"))
            }
            _ => text.to_owned(),
        }
    }
}

/// The value of an evidence field.
fn at<'v>(evidence: &'v Value<'v>, field: &str) -> &'v Value<'v> {
    static NULL: Value<'static> = Value::Null;
    let (outer, inner) = match field.split_once('.') {
        Some(("validation", check)) => ("validation_results", Some(check)),
        Some(("human", part)) => ("human_override", Some(part)),
        Some((outer, inner)) => (outer, Some(inner)),
        None => (field, None),
    };
    let value = evidence.get(outer);
    inner.map_or(value, |inner| value.and_then(|value| value.get(inner))).unwrap_or(&NULL)
}

/// Whether an array reads best on one line.
fn is_short(items: &[Value<'_>]) -> bool {
    const CHARS_MAX: usize = 48;
    let chars = |item: &Value<'_>| match item {
        Value::Array(_) | Value::Object(_) => CHARS_MAX,
        Value::String(text) => text.len() + 3,
        _ => 6,
    };
    items.iter().map(chars).sum::<usize>() < CHARS_MAX
}

/// Writes JSON as lines: a member each, nested ones indented.
struct Lines<'l, 'v> {
    view: &'l View<'v>,
    unread: &'l BTreeSet<&'l str>,
    /// Leaves out members that are null or empty.
    sparse: bool,
    out: &'l mut Vec<Piece>,
}

impl Lines<'_, '_> {
    fn members(&mut self, row: &Value<'_>) {
        match row {
            Value::Object(members) => {
                members.iter().for_each(|(key, value)| self.member("", key, value, 0));
            }
            other => self.push(0, "", self.text(other)),
        }
    }

    fn push(&mut self, indent: usize, path: &str, text: String) {
        let mut piece = Piece::new(indent, text);
        if self.unread.contains(path) {
            piece = piece.marked(LEFT_OVER).styled(Style::Yellow);
        }
        self.out.push(piece);
    }

    fn member(&mut self, prefix: &str, key: &str, value: &Value<'_>, indent: usize) {
        let is_empty = match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if self.sparse && indent > 0 && is_empty {
            return;
        }
        let path = format!("{prefix}{key}");
        let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-./$@".contains(c));
        let name = if plain { key.to_owned() } else { self.text(&Value::from(key)) };
        match value {
            Value::Object(members) if !is_empty && indent < 8 => {
                self.push(indent, &path, format!("{name}:"));
                let prefix = if indent == 0 { format!("{path}.") } else { "\0".to_owned() };
                for (key, value) in members {
                    self.member(&prefix, key, value, indent + 2);
                }
            }
            Value::Array(items) if !is_empty && indent < 8 && !is_short(items) => {
                self.push(indent, &path, format!("{name}: [{}]", items.len()));
                let prefix = if indent == 0 { format!("{path}[].") } else { "\0".to_owned() };
                let shown = if self.view.full { usize::MAX } else { ITEMS_MAX };
                for item in items.iter().take(shown) {
                    self.item(&prefix, item, indent + 2);
                }
                if items.len() > shown {
                    let more = format!("… {} more", count((items.len() - shown) as u64));
                    self.out.push(Piece::new(indent + 2, more).styled(Style::Dim));
                }
            }
            _ => {
                let text = self.text(value);
                self.push(indent, &path, format!("{name}: {text}"));
            }
        }
    }

    fn item(&mut self, prefix: &str, item: &Value<'_>, indent: usize) {
        let Value::Object(members) = item else {
            let text = format!("- {}", self.text(item));
            return self.out.push(Piece::new(indent, text));
        };
        let from = self.out.len();
        for (key, value) in members {
            self.member(prefix, key, value, indent + 2);
        }
        match self.out.get_mut(from) {
            Some(first) => {
                first.indent = indent;
                first.text.insert_str(0, "- ");
            }
            None => self.out.push(Piece::new(indent, "- {}")),
        }
    }

    /// A value on one line, clipped.
    fn text(&self, value: &Value<'_>) -> String {
        self.view.clipped(&String::from_utf8_lossy(&value.to_bytes()))
    }
}
