//! Lookup tables: rows of other files, by key, that expressions see as `$NAME`.
//!
//! Rests on nothing but ids. Invariant: the first row of a key, in source order, is the row of that key.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::object::ObjectId;

/// What a unit of a lookup's files is.
#[derive(Clone, Debug)]
pub enum LookupRow {
    /// A row.
    Row {
        /// Its key.
        key: String,
        /// The id of the raw object: the unit's bytes.
        raw_id: ObjectId,
        /// Its canonical bytes.
        canonical: Vec<u8>,
    },
    /// Left out by a named rule.
    Skipped {
        /// The rule.
        rule: String,
    },
    /// Refused.
    Quarantined {
        /// The reason code.
        reason: &'static str,
        /// What and where.
        detail: String,
    },
}

/// The rows of one lookup.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    rows: FxHashMap<String, (Vec<u8>, ObjectId)>,
}

impl Lookup {
    /// Adds a row; call in source order. False when the key is taken: the earlier row stays.
    pub fn insert(&mut self, key: String, canonical: Vec<u8>, raw_id: ObjectId) -> bool {
        match self.rows.entry(key) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert((canonical, raw_id));
                true
            }
        }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Has it no rows?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The lookup tables of a spec by name; shared by its workers.
#[derive(Clone, Debug, Default)]
pub struct Lookups {
    tables: BTreeMap<String, Lookup>,
}

impl Lookups {
    /// The table of that name, made when it is not there.
    pub fn table(&mut self, name: &str) -> &mut Lookup {
        self.tables.entry(name.to_owned()).or_default()
    }

    /// How many rows the table of that name has; 0 where there is none.
    pub fn rows(&self, name: &str) -> usize {
        self.tables.get(name).map_or(0, Lookup::len)
    }

    /// The canonical bytes and the raw id of the row of `key` in table `name`.
    pub fn get(&self, name: &str, key: &str) -> Option<(&[u8], ObjectId)> {
        self.tables.get(name)?.rows.get(key).map(|(canonical, raw_id)| (canonical.as_slice(), *raw_id))
    }
}
