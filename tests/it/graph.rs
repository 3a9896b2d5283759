//! The drawing of a history: it is read again, glyph by glyph, by a reader that knows only what the glyphs mean, and must
//! give back every edge and no other.

use std::collections::{BTreeMap, BTreeSet};

use distill::cli::graph::{Glyphs, Graph, Rows};
use proptest::prelude::*;

/// A history: the parents of each commit, all with larger numbers; commit 0 is drawn first.
type History = Vec<Vec<usize>>;

fn draw(history: &History, glyphs: Glyphs) -> Vec<Rows> {
    let mut graph = Graph::new(glyphs);
    (history.iter().enumerate()).map(|(id, parents)| graph.commit(&id, parents, false)).collect()
}

fn edges(history: &History) -> BTreeSet<(usize, usize)> {
    let edge = |(id, parents): (usize, &Vec<usize>)| parents.iter().map(|p| (id, *p)).collect::<Vec<_>>();
    history.iter().enumerate().flat_map(edge).collect()
}

/// Reads a drawing. In each column stands the set of commits whose line goes down in it.
fn read(rows: &[Rows]) -> Result<BTreeSet<(usize, usize)>, String> {
    let mut lines: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut edges = BTreeSet::new();
    // Where the last commit left no line: the next row must not look as though it went on.
    let mut ended = None;
    for (id, row) in rows.iter().enumerate() {
        let cells: Vec<char> = row.node.chars().step_by(2).collect();
        let at = cells.iter().position(|cell| *cell == '○').ok_or("a row without a commit")?;
        for (column, cell) in cells.iter().enumerate().filter(|(column, _)| *column != at) {
            let line = lines.contains_key(&column);
            if line != (*cell == '│') {
                return Err(format!("commit {id}, column {column}: `{cell}`, but a line is there: {line}"));
            }
        }
        if lines.keys().any(|column| *column >= cells.len()) {
            return Err(format!("commit {id}: a line vanishes"));
        }
        if ended == Some(at) {
            return Err(format!("commit {id} touches the one above, which has no parent"));
        }
        for child in lines.remove(&at).unwrap_or_default() {
            edges.insert((child, id));
        }
        let cells: Vec<char> = row.rest.chars().step_by(2).collect();
        match &row.link {
            None if cells.get(at) == Some(&'│') => {
                lines.insert(at, BTreeSet::from([id]));
            }
            None => {}
            Some(link) => read_link(id, at, link, &mut lines)?,
        }
        ended = (row.link.is_none() && !lines.contains_key(&at)).then_some(at);
        let drawn: BTreeSet<usize> =
            (cells.iter().enumerate()).filter(|(_, cell)| **cell == '│').map(|(column, _)| column).collect();
        let known: BTreeSet<usize> = lines.keys().copied().collect();
        if drawn != known {
            return Err(format!("commit {id}: lines in {drawn:?}, but known in {known:?}"));
        }
    }
    if lines.is_empty() { Ok(edges) } else { Err(format!("lines end nowhere: {lines:?}")) }
}

fn read_link(
    id: usize,
    at: usize,
    link: &str,
    lines: &mut BTreeMap<usize, BTreeSet<usize>>,
) -> Result<(), String> {
    let cells: Vec<char> = link.chars().collect();
    let bar: Vec<usize> = (0..cells.len()).filter(|n| n % 2 == 1 && cells[*n] == '─').collect();
    let (first, last) = match (bar.first(), bar.last()) {
        (Some(first), Some(last)) => (first / 2, last / 2 + 1),
        _ => return Err(format!("commit {id}: a row of links without a horizontal line")),
    };
    if bar.len() != last - first || at < first || at > last {
        return Err(format!("commit {id}: the horizontal line is broken, or not its own: `{link}`"));
    }
    let mut moved = BTreeSet::new();
    for column in 0..cells.len().div_ceil(2) {
        let cell = cells[column * 2];
        let line = lines.contains_key(&column);
        let wrong =
            || Err(format!("commit {id}, column {column}: `{cell}` in `{link}`, a line is there: {line}"));
        let inside = column > first && column < last;
        match cell {
            ' ' | '─' if column != at && !line && (cell == '─') == inside => {}
            '│' if column != at && line && (inside || column < first || column > last) => {}
            '├' | '┤' | '┼' if column == at => {
                lines.insert(at, BTreeSet::from([id]));
            }
            '╯' | '╰' | '┴' if column == at => {}
            '├' | '┤' | '┼' if line => {
                lines.entry(column).or_default().insert(id);
            }
            '╮' | '╭' | '┬' if column != at && !line => {
                lines.insert(column, BTreeSet::from([id]));
            }
            // Another line of work comes over to the column of the commit.
            '╯' | '╰' | '┴' if line => moved.extend(lines.remove(&column).unwrap_or_default()),
            _ => return wrong(),
        }
        let (left, right) = (column > first && column <= last, column >= first && column < last);
        let ends = match cell {
            '┤' | '╯' | '╮' => (true, false),
            '├' | '╰' | '╭' => (false, true),
            '┼' | '┴' | '┬' => (true, true),
            _ => continue,
        };
        if ends != (left, right) {
            return wrong();
        }
    }
    if !moved.is_empty() {
        let Some(own) = lines.get_mut(&at) else { return Err(format!("commit {id}: a line goes nowhere")) };
        own.extend(moved);
    }
    Ok(())
}

fn whole(history: &History, glyphs: Glyphs) -> String {
    let rows = draw(history, glyphs);
    rows.iter().enumerate().map(|(id, row)| row.beside(&id.to_string())).collect()
}

#[test]
fn a_branch_and_its_merge() {
    // 0 merges 1 into 2; both come from 3.
    let history = vec![vec![2, 1], vec![3], vec![3], vec![4], vec![]];
    let expect = "○    0\n├─╮\n│ ○  1\n○ │  2\n├─╯\n○  3\n○  4\n";
    assert_eq!(whole(&history, Glyphs::Unicode), expect);
    let expect = "*    0\n+-.\n| *  1\n* |  2\n+-'\n*  3\n*  4\n";
    assert_eq!(whole(&history, Glyphs::Ascii), expect);
}

#[test]
fn octopus_crossings_and_roots() {
    // 0 merges four lines; 1 merges the last of them across two others.
    let history = vec![vec![1, 2, 3, 4], vec![5, 4], vec![5], vec![5], vec![5], vec![], vec![]];
    let expect = "\
○        0
├─┬─┬─╮
○ │ │ │  1
├─│─│─┤
│ ○ │ │  2
├─╯ │ │
│   ○ │  3
├───╯ │
│     ○  4
├─────╯
○  5
  ○  6
";
    assert_eq!(whole(&history, Glyphs::Unicode), expect);
    assert_eq!(read(&draw(&history, Glyphs::Unicode)), Ok(edges(&history)));
}

#[test]
fn the_line_of_the_only_parent_comes_over() {
    // Two tips; the first one's parent is waited for by the second one's column.
    let history = vec![vec![2], vec![3, 2], vec![4], vec![4], vec![]];
    assert_eq!(
        read(&draw(&history, Glyphs::Unicode)),
        Ok(edges(&history)),
        "{}",
        whole(&history, Glyphs::Unicode)
    );
    let history = vec![vec![3], vec![2], vec![3], vec![]];
    assert_eq!(whole(&history, Glyphs::Unicode), "○  0\n│ ○  1\n│ ○  2\n├─╯\n○  3\n");
}

#[test]
fn text_stands_beside_every_row() {
    let rows = &draw(&vec![vec![1, 2], vec![2], vec![]], Glyphs::Unicode)[0];
    assert_eq!(rows.beside("a\nb\nc\n"), "○    a\n├─╮  b\n│ │  c\n");
    assert_eq!(rows.beside(""), "○\n├─╮\n");
}

fn histories() -> impl Strategy<Value = History> {
    (1_usize..30).prop_flat_map(|count| {
        let parents = move |id: usize| {
            let left = count - id - 1;
            // Near parents mostly, as in real histories, and some from far away; some commits have none.
            prop::collection::vec((0..left.max(1), prop::bool::weighted(0.7)), 0..5.min(left + 1)).prop_map(
                move |picks| {
                    let mut parents: Vec<usize> = Vec::new();
                    for (far, near) in picks.into_iter().take(left) {
                        let parent = id + 1 + if near { far % 4 } else { far };
                        if parent < count && !parents.contains(&parent) {
                            parents.push(parent);
                        }
                    }
                    parents
                },
            )
        };
        (0..count).map(parents).collect::<Vec<_>>()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_edge_is_drawn_and_no_other(history in histories()) {
        let rows = draw(&history, Glyphs::Unicode);
        let found = read(&rows);
        prop_assert_eq!(found, Ok(edges(&history)), "{}", whole(&history, Glyphs::Unicode));
    }
}
