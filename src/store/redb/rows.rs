//! The catalogue as rows of raw bytes, and the digest over them.
//!
//! Rests on BLAKE3. Invariant: rows whose digest does not match are never decoded, so that a flipped bit in a page
//! (which redb would return as it is) cannot become a wrong ref.

use std::path::Path;

use crate::object::ObjectId;
use crate::store::catalogue::Catalogue;
use crate::store::catalogue::CataloguedPack;
use crate::store::catalogue::LEN;
use crate::store::catalogue::Later;
use crate::store::catalogue::Table;
use crate::store::error::StoreError;
use crate::store::operation::PackEntry;
use crate::store::pack::FORMAT_VERSION;

/// The tables, in the order in which the digest covers them.
pub(super) const TABLES: [&str; 4] = ["dropped", "meta", "packs", "refs"];

const FORMAT: &[u8] = b"format";
const OPERATION: &[u8] = b"operation";
const HEAD: &[u8] = b"head";
const DIGEST: &[u8] = b"digest";

/// All rows of the four tables. The digest itself is kept apart from the table that it is a row of.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    tables: [Table; 4],
    digest: Option<Vec<u8>>,
}

impl Rows {
    /// Appends a row to the table at `table` of [`TABLES`]; keys must come in order.
    pub(super) fn push(&mut self, table: usize, key: &[u8], value: &[u8]) {
        if TABLES[table] == "meta" && key == DIGEST {
            self.digest = Some(value.to_vec());
        } else {
            self.tables[table].push(key, value);
        }
    }

    fn table(&self, name: &str) -> &Table {
        let at = TABLES.iter().position(|table| *table == name).unwrap_or_default();
        &self.tables[at]
    }

    /// The rows of the table at `table` of [`TABLES`], the digest with them.
    pub(super) fn stored(&self, table: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let digest = self.digest.as_deref().filter(|_| TABLES[table] == "meta");
        self.tables[table].iter().chain(digest.map(|digest| (DIGEST, digest)))
    }

    /// The value of `key` in the table at `table` of [`TABLES`].
    pub(super) fn get(&self, table: usize, key: &[u8]) -> Option<&[u8]> {
        if TABLES[table] == "meta" && key == DIGEST {
            return self.digest.as_deref();
        }
        self.tables[table].get(key)
    }

    fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (name, table) in TABLES.iter().zip(&self.tables) {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            // The count as a part of its own, behind its length.
            hasher.update(&(LEN as u64).to_le_bytes()).update(&(table.len() as u64).to_le_bytes());
            hasher.update(&table.bytes);
        }
        *hasher.finalize().as_bytes()
    }

    pub(super) fn encode(catalogue: &Catalogue) -> Self {
        let mut rows = Self::default();
        let [dropped, meta, packs, refs] = &mut rows.tables;
        for (pack, successor) in catalogue.dropped.iter() {
            let successor = successor.map_or([0; 32], |id| *id.as_bytes());
            dropped.push(pack.as_bytes(), &successor);
        }
        meta.push(FORMAT, &FORMAT_VERSION.to_le_bytes());
        meta.push(HEAD, catalogue.head.to_string().as_bytes());
        if let Some((number, id)) = catalogue.last_operation {
            meta.push(OPERATION, &[&number.to_le_bytes()[..], id.as_bytes()].concat());
        }
        let mut by_id: Vec<_> = (0_u64..).zip(&catalogue.packs).collect();
        by_id.sort_unstable_by_key(|(_, pack)| pack.entry.id);
        // Of a pack that were catalogued twice, the later row counts.
        by_id.dedup_by(|later, first| {
            let same = later.1.entry.id == first.1.entry.id;
            if same {
                *first = *later;
            }
            same
        });
        for (position, pack) in by_id {
            let value = [pack.entry.bytes, pack.entry.objects, pack.operation, position];
            let value: Vec<u8> = value.iter().flat_map(|word| word.to_le_bytes()).collect();
            packs.push(pack.entry.id.as_bytes(), &value);
        }
        for (name, id) in catalogue.refs.iter() {
            refs.push(name.as_bytes(), id.as_bytes());
        }
        rows.digest = Some(rows.digest().to_vec());
        rows
    }

    pub(super) fn decode(self, path: &Path) -> Result<Catalogue, StoreError> {
        let wrong = |what: &str| StoreError::damaged(path, what);
        let meta = self.table("meta");
        let format = meta
            .get(FORMAT)
            .and_then(|value| Some(u32::from_le_bytes(value.try_into().ok()?)))
            .ok_or_else(|| wrong("it names no format version"))?;
        if format > FORMAT_VERSION {
            return Err(StoreError::NewerFormat { found: format, supported: FORMAT_VERSION });
        }
        if self.digest.as_deref() != Some(&self.digest()[..]) {
            return Err(wrong("its rows do not match their digest"));
        }
        self.decode_checked().ok_or_else(|| wrong("a row has the wrong shape"))
    }

    fn decode_checked(self) -> Option<Catalogue> {
        let meta = self.table("meta");
        let id = |bytes: &[u8]| Some(ObjectId::from_bytes(bytes.try_into().ok()?));
        let word = |bytes: &[u8], at: usize| {
            Some(u64::from_le_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?))
        };
        let last_operation = match meta.get(OPERATION) {
            None => None,
            Some(value) => Some((word(value, 0)?, id(value.get(8..)?)?)),
        };
        let head = std::str::from_utf8(meta.get(HEAD)?).ok()?.parse().ok()?;
        let mut packs = Vec::new();
        for (key, value) in self.table("packs").iter() {
            let entry = PackEntry { id: id(key)?, bytes: word(value, 0)?, objects: word(value, 1)? };
            packs.push((word(value, 3)?, CataloguedPack { entry, operation: word(value, 2)? }));
        }
        packs.sort_unstable_by_key(|(position, _)| *position);
        let [dropped, _, _, refs] = self.tables;
        let (refs, dropped) = (Later::new(refs)?, Later::new(dropped)?);
        let packs = packs.into_iter().map(|(_, pack)| pack).collect();
        Some(Catalogue { last_operation, head, refs, packs, dropped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::operation::Head;

    #[test]
    fn rows_decode_to_what_was_encoded_and_a_changed_row_is_refused() {
        let id = |n: u8| ObjectId::from_bytes([n; 32]);
        let pack =
            |n, operation| CataloguedPack { entry: PackEntry { id: id(n), bytes: 7, objects: 2 }, operation };
        let catalogue = Catalogue {
            last_operation: Some((3, id(9))),
            head: Head::Branch("heads/main".into()),
            refs: [("heads/main".into(), id(1))].into_iter().collect(),
            packs: vec![pack(5, 1), pack(4, 3)],
            dropped: [(id(6), Some(id(4))), (id(7), None)].into_iter().collect(),
        };
        let mut rows = Rows::encode(&catalogue);
        let decoded = rows.clone().decode(Path::new("f")).expect("intact");
        assert_eq!(decoded.refs.find("heads/main"), Some(id(1)), "before the map is made");
        assert_eq!(decoded.refs.find("heads/other"), None);
        assert_eq!(decoded, catalogue);
        assert_eq!(decoded.refs.find("heads/main"), Some(id(1)), "and from the map");
        for (n, name) in TABLES.iter().enumerate() {
            let keys: Vec<_> = rows.stored(n).map(|(key, _)| key.to_vec()).collect();
            assert!(keys.iter().all(|key| rows.get(n, key).is_some()), "{name}: a stored row is found");
            assert_eq!(rows.get(n, b"no such key"), None);
        }
        if let Some(byte) = rows.tables[3].bytes.last_mut() {
            *byte ^= 1;
        }
        assert!(matches!(rows.decode(Path::new("f")), Err(StoreError::Damaged { .. })));
        let mut rows = Rows::default();
        rows.push(1, FORMAT, &2_u32.to_le_bytes());
        let newer = rows.decode(Path::new("f")).expect_err("a later version");
        assert!(matches!(newer, StoreError::NewerFormat { found: 2, supported: 1 }), "{newer}");
    }
}
