//! Whether the links of a whole dataset hold, by the numbers of its rows: nothing is read, and rows are met in the order in which
//! what is known of them lies.
//!
//! Rests on the leaves that the walk kept, in which every row is a record of its dataset and carries its key. Invariant: it says
//! yes or nothing. Where it says nothing, `joins` goes through the rows and says what is wrong, if something is.

use super::joins::Case;
use super::known::Rows;
use super::links::Row;
use super::sets::Sets;
use crate::object::RootId;

/// How many rows were compared, where each rests on the evidence of its key, and on the scored run if it has to.
pub(super) fn side_by_side(rows: &Rows<'_>, case: &Case) -> Option<u64> {
    let (own, _) = rows.of(case.dataset, case.root)?;
    let mut evidence = Above::new(rows, "evidence", case.evidence?)?;
    let mut scored = match case.scored {
        Some(root) => Some(Above::new(rows, "scored-runs", root)?),
        None => None,
    };
    for number in &own {
        let row = rows.known.row(*number)?;
        let rests = evidence.holds(rows, &row) && scored.as_mut().is_none_or(|above| above.holds(rows, &row));
        if !rests {
            return None;
        }
    }
    Some(own.len() as u64)
}

/// Rows of a dataset that others rest on, met in the order of their keys.
struct Above {
    numbers: std::vec::IntoIter<u32>,
}

impl Above {
    fn new(rows: &Rows<'_>, dataset: &str, root: RootId) -> Option<Self> {
        Some(Self { numbers: rows.of(dataset, root)?.0.into_iter() })
    }

    /// Whether the row of the same key, which comes after those met so far, has the same link.
    fn holds(&mut self, rows: &Rows<'_>, wanted: &Row) -> bool {
        let found = self.numbers.by_ref().find_map(|number| {
            let row = rows.known.row(number)?;
            (row.key == wanted.key).then_some(row)
        });
        found.is_some_and(|row| row.link == wanted.link)
    }
}

/// How many rows were compared, where each names rows that the sets have.
pub(super) fn by_sets(rows: &Rows<'_>, case: &Case, sets: &Sets) -> Option<u64> {
    let (own, marks) = rows.of(case.dataset, case.root)?;
    for (at, number) in own.iter().enumerate() {
        let row = rows.known.row(*number)?;
        // Only pairs have a mark that is asked for.
        let chosen = marks.get(at).map_or(Ok(0), |mark| u64::try_from(*mark)).ok()?;
        if sets.fault(case, &row, chosen).is_some() {
            return None;
        }
    }
    Some(own.len() as u64)
}
