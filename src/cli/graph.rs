//! The drawing of a history beside its log: one column for each line of work, one row for each commit.
//!
//! Rests on nothing. A column waits for one commit, and no two wait for the same. Below a commit that has more than one parent,
//! or one whose parent another column waits for, stands a row with a horizontal line, which always belongs to the commit
//! above it: from its column to that of each parent. `├` and `┤` join a line of work that goes on, `╮` and `╭` begin one, `╯`
//! and `╰` end one, and `│` between two pieces of the horizontal line only crosses it.
//!
//! Invariants: each edge between two commits that are listed is drawn, and nothing else; a column below a commit without
//! parents stays empty for a row, so that two commits without an edge never touch.

/// What lines are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Box-drawing characters.
    Unicode,
    /// `|`, `-`, `+`, `.`, `'`.
    Ascii,
}

/// A commit as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The row of the commit itself.
    pub node: String,
    /// The row below it, where lines of work part or meet.
    pub link: Option<String>,
    /// What stands beside any further line of its text.
    pub rest: String,
}

/// A graph that is drawn from its latest commit down.
#[derive(Clone, Debug)]
pub struct Graph<T> {
    glyphs: Glyphs,
    /// The commit that each column waits for.
    columns: Vec<Option<T>>,
    /// The column in which the last commit had no parent.
    ended: Option<usize>,
}

/// The sides of a character cell from which lines come to its middle, as bits.
const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;
/// A vertical line that the horizontal one passes behind.
const CROSSED: u8 = 16;

impl<T: Clone + PartialEq> Graph<T> {
    /// An empty graph.
    pub fn new(glyphs: Glyphs) -> Self {
        Self { glyphs, columns: Vec::new(), ended: None }
    }

    /// Draws the next commit, which must come before its parents and after all of its children; `parents` are those that
    /// are listed, and `head` says whether HEAD stands here.
    pub fn commit(&mut self, id: &T, parents: &[T], head: bool) -> Rows {
        let waiting = self.columns.iter().position(|column| column.as_ref() == Some(id));
        let at = waiting.unwrap_or_else(|| self.free(self.ended));
        let node = self.row(|column, occupied| match (column == at, occupied) {
            (true, _) => match (self.glyphs, head) {
                (Glyphs::Unicode, false) => '○',
                (Glyphs::Unicode, true) => '●',
                (Glyphs::Ascii, false) => '*',
                (Glyphs::Ascii, true) => '@',
            },
            (false, true) => self.glyph(UP | DOWN),
            (false, false) => ' ',
        });
        self.columns[at] = None;
        let above = self.columns.clone();
        let ends = self.join(at, parents);
        let link = self.link(at, &above, &ends);
        self.ended = ends.is_empty().then_some(at);
        while self.columns.last().is_some_and(Option::is_none) {
            self.columns.pop();
        }
        let rest = self.row(|_, occupied| if occupied { self.glyph(UP | DOWN) } else { ' ' });
        Rows { node, link, rest }
    }

    /// Gives each parent a column and returns the columns at which the edges end.
    fn join(&mut self, at: usize, parents: &[T]) -> Vec<usize> {
        let mut ends: Vec<usize> = Vec::new();
        for parent in parents {
            let known = self.columns.iter().position(|column| column.as_ref() == Some(parent));
            let end = match known {
                // The only parent waits further right: that line of work comes over to this column.
                Some(known) if known > at && parents.len() == 1 => {
                    self.columns.swap(known, at);
                    known
                }
                Some(known) => known,
                None => {
                    let free = if self.columns[at].is_none() { at } else { self.free(None) };
                    self.columns[free] = Some(parent.clone());
                    free
                }
            };
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
        ends
    }

    /// An empty column other than `not`.
    fn free(&mut self, not: Option<usize>) -> usize {
        let free = (0..self.columns.len()).find(|at| self.columns[*at].is_none() && Some(*at) != not);
        free.unwrap_or_else(|| {
            if Some(self.columns.len()) == not {
                self.columns.push(None);
            }
            self.columns.push(None);
            self.columns.len() - 1
        })
    }

    /// The row with the horizontal line, where an edge leaves the column.
    fn link(&self, at: usize, above: &[Option<T>], ends: &[usize]) -> Option<String> {
        if ends.iter().all(|end| *end == at) {
            return None;
        }
        let first = ends.iter().copied().min().unwrap_or(at).min(at);
        let last = ends.iter().copied().max().unwrap_or(at).max(at);
        let sides = |column: usize| {
            let was = column == at || above.get(column).is_some_and(Option::is_some);
            let is = self.columns.get(column).is_some_and(Option::is_some);
            let mut sides = if was { UP } else { 0 } | if is { DOWN } else { 0 };
            if column > first && column <= last {
                sides |= LEFT;
            }
            if column >= first && column < last {
                sides |= RIGHT;
            }
            let met = column == at || ends.contains(&column);
            if !met && sides & UP != 0 { CROSSED } else { sides }
        };
        let width = self.columns.len();
        let mut text = String::new();
        for column in 0..width {
            text.push(self.glyph(sides(column)));
            let line = column >= first && column < last;
            text.push(if line { self.glyph(LEFT | RIGHT) } else { ' ' });
        }
        Some(text.trim_end().to_owned())
    }

    fn row(&self, cell: impl Fn(usize, bool) -> char) -> String {
        let mut text = String::new();
        for (column, waits) in self.columns.iter().enumerate() {
            text.push(cell(column, waits.is_some()));
            text.push(' ');
        }
        text.trim_end().to_owned()
    }

    fn glyph(&self, sides: u8) -> char {
        const BOTH: u8 = LEFT | RIGHT;
        const THROUGH: u8 = UP | DOWN;
        let (unicode, ascii) = match (sides & THROUGH, sides & BOTH) {
            _ if sides == CROSSED => ('│', '|'),
            (0, 0) => (' ', ' '),
            (0, _) => ('─', '-'),
            (_, 0) => ('│', '|'),
            (THROUGH, LEFT) => ('┤', '+'),
            (THROUGH, RIGHT) => ('├', '+'),
            (THROUGH, _) => ('┼', '+'),
            (UP, LEFT) => ('╯', '\''),
            (UP, RIGHT) => ('╰', '\''),
            (UP, _) => ('┴', '\''),
            (_, LEFT) => ('╮', '.'),
            (_, RIGHT) => ('╭', '.'),
            (_, _) => ('┬', '.'),
        };
        if self.glyphs == Glyphs::Unicode { unicode } else { ascii }
    }
}

impl Rows {
    /// `text` beside the drawing, line by line; a line of the drawing that has no text stands alone.
    pub fn beside(&self, text: &str) -> String {
        let widest = [Some(&self.node), self.link.as_ref(), Some(&self.rest)];
        let width = widest.into_iter().flatten().map(|row| row.chars().count()).max().unwrap_or(0);
        let mut lines = text.lines();
        let mut out = String::new();
        let mut put = |row: &str, line: &str| {
            let pad = " ".repeat(width - row.chars().count());
            out.push_str(format!("{row}{pad}  {line}").trim_end());
            out.push('\n');
        };
        put(&self.node, lines.next().unwrap_or(""));
        if let Some(link) = &self.link {
            put(link, lines.next().unwrap_or(""));
        }
        for line in lines {
            put(&self.rest, line);
        }
        out
    }
}
