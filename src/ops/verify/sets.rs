//! What rows are looked up in that name others by keys which are not their own: all source rows, all evidence.
//!
//! Rests on what is known of objects. Invariant: a set is made once for a tree, however many datasets ask it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::joins::Case;
use super::known::Rows;
use super::links::{Row, source_hash};
use crate::object::RootId;
use crate::tree::{self, TreeError};

/// The sets of the trees that were asked about last.
#[derive(Default)]
pub(super) struct Sets {
    /// The hashes of the rows of a `sources` tree.
    sources: Option<(RootId, FxHashSet<u128>)>,
    /// The links of the rows of an `evidence` tree, with the hash of the key.
    evidence: Option<(RootId, FxHashMap<u128, u64>)>,
}

impl Sets {
    /// Has the sets of a case at hand.
    pub(super) fn load(&mut self, rows: &Rows<'_>, case: &Case) -> Result<(), TreeError> {
        if let Some(root) = case.sources
            && self.sources.as_ref().is_none_or(|(loaded, _)| *loaded != root)
        {
            let set = match rows.of("sources", root) {
                Some((_, marks)) => marks.into_iter().collect(),
                None => tree::iter(rows.store, root)
                    .map(|entry| entry.map(|entry| source_hash(&entry.id, &entry.key)))
                    .collect::<Result<_, _>>()?,
            };
            self.sources = Some((root, set));
        }
        if let Some(root) = case.evidence
            && self.evidence.as_ref().is_none_or(|(loaded, _)| *loaded != root)
        {
            let mut links = FxHashMap::default();
            if let Some((numbers, _)) = rows.of("evidence", root) {
                links.reserve(numbers.len());
                let found = numbers.into_iter().filter_map(|number| rows.known.row(number));
                links.extend(found.map(|row| (row.link, row.key)));
            } else {
                for entry in tree::iter(rows.store, root) {
                    let row = rows.known.get(&entry?.id, 0);
                    links.extend(row.map(|row| (row.link, row.key)));
                }
            }
            self.evidence = Some((root, links));
        }
        Ok(())
    }

    /// What is wrong with the rows that a row of the case names, where its trees are known; `chosen` is the mark of the key that a
    /// pair's own begins with.
    pub(super) fn fault(&self, case: &Case, row: &Row, chosen: u64) -> Option<&'static str> {
        match case.dataset {
            "evidence" if !self.has_source(case, row.other) => {
                Some("`sources` has not the row that its provenance names")
            }
            "exports/preference" if !self.has_key(case, row.link, chosen) => {
                Some("its chosen side is not the evidence of the key that its own begins with")
            }
            "exports/preference" if !self.has_evidence(case, row.other) => {
                Some("its rejected side is no evidence of the dataset, or differs from it in provenance")
            }
            "quarantine" | "duplicates" if row.link == 0 && !self.has_source(case, row.other) => {
                Some("`sources` has not the row that it names")
            }
            "quarantine" | "duplicates" if row.link != 0 && !self.has_evidence(case, row.link) => {
                Some("the evidence that it names is not in the dataset, or differs from it in provenance")
            }
            _ => None,
        }
    }

    /// Whether the sources have the row that this hash names, where the case has sources.
    fn has_source(&self, case: &Case, hash: u128) -> bool {
        case.sources.is_none()
            || self
                .sources
                .as_ref()
                .is_some_and(|(root, rows)| Some(*root) == case.sources && rows.contains(&hash))
    }

    /// Whether the evidence has a row of this link, where the case has evidence.
    fn has_evidence(&self, case: &Case, link: u128) -> bool {
        case.evidence.is_none() || self.key_of(case, link).is_some()
    }

    /// Whether the evidence of this link has this key, where the case has evidence.
    fn has_key(&self, case: &Case, link: u128, key: u64) -> bool {
        case.evidence.is_none() || self.key_of(case, link) == Some(key)
    }

    fn key_of(&self, case: &Case, link: u128) -> Option<u64> {
        let (root, links) = self.evidence.as_ref()?;
        links.get(&link).copied().filter(|_| Some(*root) == case.evidence)
    }
}
