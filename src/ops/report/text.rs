//! Figures and tables in Markdown that also read well as plain text.
//!
//! Rests on integer arithmetic. Invariant: the same values give the same text on every machine.

use std::fmt::Write as _;

/// `1234567` as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A size for people: bytes up to 1023, then one decimal of the largest unit that fits, cut off.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let power = n.ilog2() / 10;
    let tenths = (u128::from(n) * 10) >> (10 * power);
    let unit = usize::try_from(power - 1).map_or("", |at| UNITS[at]);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// `part` of `whole` with one decimal, rounded; empty where there is no whole.
pub fn percent(part: u64, whole: u64) -> String {
    match permille(part, whole) {
        Some(permille) => format!("{}.{} %", permille / 10, permille % 10),
        None => String::new(),
    }
}

fn permille(part: u64, whole: u64) -> Option<u128> {
    (u128::from(part) * 1000 + u128::from(whole) / 2).checked_div(u128::from(whole))
}

/// `part` of `whole` as a bar of at most twenty blocks.
pub(in crate::ops) fn bar(part: u64, whole: u64) -> String {
    let blocks = (u128::from(part) * 20).div_ceil(u128::from(whole.max(1)));
    "█".repeat(usize::try_from(blocks.min(20)).unwrap_or(20))
}

/// `1 unit`, `1,052 units`.
pub(in crate::ops) fn units(n: u64) -> String {
    if n == 1 { "1 unit".to_owned() } else { format!("{} units", count(n)) }
}

/// Text of others, made harmless inside a table or a list.
pub(in crate::ops) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            '|' | '<' | '>' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Text of others as code, or escaped where it holds what would end the code or the cell.
pub(in crate::ops) fn code(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains(['`', '|']) && !text.contains(char::is_control);
    if plain { format!("`{text}`") } else { escape(text) }
}

/// To which side a column leans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Align {
    Left,
    Right,
}

/// A table whose columns are padded to their widest cell.
pub(in crate::ops) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(in crate::ops) fn new(columns: &[(&str, Align)]) -> Self {
        let columns = columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { columns, rows: Vec::new() }
    }

    pub(in crate::ops) fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }

    pub(in crate::ops) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table and an empty line.
    pub(in crate::ops) fn write(&self, out: &mut String) {
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).chain([&self.columns[at].0]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |out: &mut String, cells: &mut dyn Iterator<Item = &String>| {
            for ((cell, (_, align)), width) in cells.zip(&self.columns).zip(&widths) {
                match align {
                    Align::Left => write!(out, "| {cell:<width$} ").ok(),
                    Align::Right => write!(out, "| {cell:>width$} ").ok(),
                };
            }
            out.push_str("|\n");
        };
        line(out, &mut self.columns.iter().map(|(name, _)| name));
        for ((_, align), width) in self.columns.iter().zip(&widths) {
            match align {
                Align::Left => write!(out, "| {} ", "-".repeat(*width)).ok(),
                Align::Right => write!(out, "| {}: ", "-".repeat(width - 1)).ok(),
            };
        }
        out.push_str("|\n");
        for row in &self.rows {
            line(out, &mut row.iter());
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 1023, 1024, 1536, 10 << 20].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "10.0 MiB"]
        );
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(2, 3), "66.7 %");
        assert_eq!(percent(0, 0), "");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
        assert_eq!([bar(0, 9), bar(1, 1000), bar(9, 9)], [String::new(), "█".to_owned(), "█".repeat(20)]);
        assert_eq!(escape("a|b\n<c>"), "a\\|b \\<c\\>");
    }

    #[test]
    fn tables_are_aligned() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        table.row(&["a".to_owned(), "1,000".to_owned()]);
        let mut out = String::new();
        table.write(&mut out);
        assert_eq!(out, "| name |     n |\n| ---- | ----: |\n| a    | 1,000 |\n\n");
    }
}
