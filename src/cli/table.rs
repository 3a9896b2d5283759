//! Tables and small phrases for people: aligned columns, grouped digits, sizes, ages.
//!
//! Rests on the figures of reports, so that a size reads the same everywhere. Invariant: widths count characters, so that a row that is not ASCII stays aligned.

use std::fmt;

pub use crate::ops::report::bytes as size;
pub use crate::ops::report::count;

/// Columns of text, the first left-aligned and numbers right-aligned.
#[derive(Debug, Default)]
pub struct Table {
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; one that begins with `>` is of a right-aligned column.
    pub fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let names = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
        Self { right, rows: vec![names] }
    }

    /// A table without headings, whose columns are right-aligned where `right` says so.
    pub fn plain(right: &[bool]) -> Self {
        Self { right: right.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.right.len();
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| shown(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                let pad = " ".repeat(width - shown(cell));
                if column > 0 {
                    line.push_str("  ");
                }
                if self.right[column] {
                    line.push_str(&pad);
                    line.push_str(cell);
                } else {
                    line.push_str(cell);
                    line.push_str(&pad);
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Characters that take room on a terminal: colour codes take none.
fn shown(cell: &str) -> usize {
    let mut count = 0;
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(|c| *c == 'm');
        } else {
            count += 1;
        }
    }
    count
}

/// A count and its noun, which gets an `s` unless there is one: `1 row`, `2 rows`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// How long ago: `12 seconds ago`, `3 days ago`.
pub fn age(seconds: u64) -> String {
    let (n, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7199 => (seconds / 60, "minute"),
        7200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{} ago", counted(n, unit))
}

/// A relative change: `+12.5 %`, `=` for none, `from 0` where there is nothing to relate to.
pub fn change(change: Option<f64>, before: Option<u64>, after: u64) -> String {
    match (change, before) {
        (_, Some(before)) if before == after => "=".to_owned(),
        (Some(share), _) => format!("{:+.1} %", share * 100.0),
        (None, Some(_)) => "from 0".to_owned(),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases() {
        assert_eq!(
            [counted(0, "row"), counted(1, "row"), counted(1_234_567, "row")],
            ["0 rows", "1 row", "1,234,567 rows"]
        );
        assert_eq!([age(1), age(7200), age(200_000)], ["1 second ago", "2 hours ago", "2 days ago"]);
        assert_eq!(change(Some(0.25), Some(4), 5), "+25.0 %");
        assert_eq!(change(Some(0.0), Some(4), 4), "=");
        assert_eq!(change(None, Some(0), 4), "from 0");
    }

    #[test]
    fn columns_stay_aligned_whatever_the_letters_and_colours() {
        let mut table = Table::new(&["name", ">rows"]);
        table.row(["é", "1"]);
        table.row(["\u{1b}[1mlonger\u{1b}[0m", "10"]);
        assert_eq!(table.to_string(), "name    rows\né          1\n\u{1b}[1mlonger\u{1b}[0m    10\n");
    }
}
