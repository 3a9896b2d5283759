//! What `store.redb` says: the packs that belong to the store, the refs, HEAD, the end of the operation log.
//!
//! Rests on plain maps. Invariant: a value here is a copy; only a redb transaction changes what is stored. A long history has
//! thousands of rows, and most commands ask for one of them: the others stay as they were read, in one piece of memory.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::ops::DerefMut;
use std::sync::OnceLock;

use super::operation::Head;
use super::operation::PackEntry;
use crate::object::ObjectId;

/// One pack of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CataloguedPack {
    pub(super) entry: PackEntry,
    /// Number of the operation that brought it.
    pub(super) operation: u64,
}

/// The rows of one table in order of key, in one piece of memory.
///
/// `bytes` holds what the digest covers: each key and value behind its length as eight bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) bytes: Vec<u8>,
    /// Where each row begins.
    starts: Vec<usize>,
}

/// Bytes of a length.
pub(super) const LEN: usize = size_of::<u64>();

impl Table {
    /// Appends a row; keys must come in order.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.starts.push(self.bytes.len());
        for part in [key, value] {
            self.bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.bytes.extend_from_slice(part);
        }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    fn row(&self, at: usize) -> (&[u8], &[u8]) {
        let (key, after) = self.part(at);
        (key, self.part(after).0)
    }

    /// The part whose length stands at `at`, and where the next one begins.
    fn part(&self, at: usize) -> (&[u8], usize) {
        let mut len = [0; LEN];
        len.copy_from_slice(&self.bytes[at..at + LEN]);
        // It was a `usize` when it was written, by this process.
        let end = at + LEN + usize::try_from(u64::from_le_bytes(len)).unwrap_or(usize::MAX);
        (&self.bytes[at + LEN..end], end)
    }

    /// Keys and values, in order of key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.starts.iter().map(|at| self.row(*at))
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        let at = self.starts.binary_search_by(|at| self.row(*at).0.cmp(key)).ok()?;
        Some(self.row(self.starts[at]).1)
    }
}

/// Bytes of an id.
const ID_LEN: usize = 32;

/// A kind of row.
pub(super) trait Row {
    type Key: Ord + Clone + std::fmt::Debug;
    type Value: Eq + Clone + std::fmt::Debug;
    /// `None` where the row has another shape.
    fn decode(key: &[u8], value: &[u8]) -> Option<(Self::Key, Self::Value)>;
    /// Whether it has the shape; costs no memory.
    fn is_sound(key: &[u8], value: &[u8]) -> bool;
}

/// The map that the rows of a table are, made when somebody asks for more than one row.
#[derive(Clone, Debug)]
pub(super) struct Later<R: Row> {
    table: Table,
    map: OnceLock<BTreeMap<R::Key, R::Value>>,
}

impl<R: Row> Later<R> {
    /// `None` where a row has another shape.
    pub(super) fn new(table: Table) -> Option<Self> {
        let is_sound = table.iter().all(|(key, value)| R::is_sound(key, value));
        is_sound.then_some(Self { table, map: OnceLock::new() })
    }
}

impl<R: Row> Default for Later<R> {
    fn default() -> Self {
        Self { table: Table::default(), map: OnceLock::new() }
    }
}

impl<R: Row> Deref for Later<R> {
    type Target = BTreeMap<R::Key, R::Value>;

    fn deref(&self) -> &Self::Target {
        // Rows come in order of key, and a map is built from such a list at once.
        self.map.get_or_init(|| self.table.iter().filter_map(|(key, value)| R::decode(key, value)).collect())
    }
}

impl<R: Row> DerefMut for Later<R> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        let map = match self.map.take() {
            Some(map) => map,
            None => self.table.iter().filter_map(|(key, value)| R::decode(key, value)).collect(),
        };
        self.table = Table::default();
        self.map = OnceLock::from(map);
        self.map.get_mut().expect("it was set in the line above")
    }
}

impl<R: Row> PartialEq for Later<R> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<R: Row> Eq for Later<R> {}

impl<R: Row> FromIterator<(R::Key, R::Value)> for Later<R> {
    fn from_iter<I: IntoIterator<Item = (R::Key, R::Value)>>(rows: I) -> Self {
        Self { table: Table::default(), map: OnceLock::from(rows.into_iter().collect::<BTreeMap<_, _>>()) }
    }
}

/// A ref and what it points to.
#[derive(Clone, Debug)]
pub(super) struct Ref;

impl Row for Ref {
    type Key = String;
    type Value = ObjectId;

    fn decode(key: &[u8], value: &[u8]) -> Option<(String, ObjectId)> {
        Some((std::str::from_utf8(key).ok()?.to_owned(), ObjectId::from_bytes(value.try_into().ok()?)))
    }

    fn is_sound(key: &[u8], value: &[u8]) -> bool {
        value.len() == ID_LEN && std::str::from_utf8(key).is_ok()
    }
}

impl Later<Ref> {
    /// All refs.
    pub(super) fn to_map(&self) -> BTreeMap<String, ObjectId> {
        (**self).clone()
    }

    /// What one ref points to.
    pub(super) fn find(&self, name: &str) -> Option<ObjectId> {
        match self.map.get() {
            Some(map) => map.get(name).copied(),
            None => Some(ObjectId::from_bytes(self.table.get(name.as_bytes())?.try_into().ok()?)),
        }
    }
}

/// A pack that left, and the pack that holds its objects now, if it was merged.
#[derive(Clone, Debug)]
pub(super) struct Leaver;

impl Row for Leaver {
    type Key = ObjectId;
    type Value = Option<ObjectId>;

    fn decode(key: &[u8], value: &[u8]) -> Option<(ObjectId, Option<ObjectId>)> {
        let successor: [u8; ID_LEN] = value.try_into().ok()?;
        let successor = (successor != [0; ID_LEN]).then(|| ObjectId::from_bytes(successor));
        Some((ObjectId::from_bytes(key.try_into().ok()?), successor))
    }

    fn is_sound(key: &[u8], value: &[u8]) -> bool {
        key.len() == ID_LEN && value.len() == ID_LEN
    }
}

/// The whole catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Catalogue {
    /// Number and file hash of the last confirmed operation.
    pub(super) last_operation: Option<(u64, ObjectId)>,
    pub(super) head: Head,
    pub(super) refs: Later<Ref>,
    /// In the order in which they were published.
    pub(super) packs: Vec<CataloguedPack>,
    /// Packs that left, with the pack that holds their objects now, if they were merged.
    pub(super) dropped: Later<Leaver>,
}

impl Catalogue {
    /// The catalogue of a new store.
    pub(super) fn new() -> Self {
        Self {
            last_operation: None,
            head: Head::Branch("heads/main".to_owned()),
            refs: Later::default(),
            packs: Vec::new(),
            dropped: Later::default(),
        }
    }

    /// Whether a pack is catalogued.
    pub(super) fn has_pack(&self, id: &ObjectId) -> bool {
        self.packs.iter().any(|pack| pack.entry.id == *id)
    }

    /// Whether what the pack held is still in the store: itself, or the pack it was merged into, and so on.
    pub(super) fn holds_objects_of(&self, id: &ObjectId) -> bool {
        let mut at = *id;
        // A chain is at most as long as the table, so a cycle (damage) ends too.
        for _ in 0..=self.dropped.len() {
            if self.has_pack(&at) {
                return true;
            }
            match self.dropped.get(&at) {
                Some(Some(successor)) => at = *successor,
                _ => return false,
            }
        }
        false
    }
}
