//! The catalogue as rows of raw bytes, and the digest over them.
//!
//! Rests on BLAKE3. Invariant: rows whose digest does not match are never decoded, so that a flipped bit in a page
//! (which redb would return as it is) cannot become a wrong ref.

use std::collections::BTreeMap;
use std::path::Path;

use crate::object::ObjectId;
use crate::store::catalogue::Catalogue;
use crate::store::catalogue::CataloguedPack;
use crate::store::error::StoreError;
use crate::store::operation::PackEntry;
use crate::store::pack::FORMAT_VERSION;

/// The tables, in the order in which the digest covers them.
pub(super) const TABLES: [&str; 4] = ["dropped", "meta", "packs", "refs"];

const FORMAT: &[u8] = b"format";
const OPERATION: &[u8] = b"operation";
const HEAD: &[u8] = b"head";
const DIGEST: &[u8] = b"digest";

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// All rows of the four tables.
#[derive(Debug, Default)]
pub(super) struct Rows([Table; 4]);

impl Rows {
    pub(super) fn tables_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Table)> {
        TABLES.into_iter().zip(&mut self.0)
    }

    pub(super) fn table(&self, name: &str) -> &Table {
        let at = TABLES.iter().position(|table| *table == name).unwrap_or_default();
        &self.0[at]
    }

    fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for (name, table) in TABLES.iter().zip(&self.0) {
            let rows = || table.iter().filter(|(key, _)| *name != "meta" || key.as_slice() != DIGEST);
            let mut put = |bytes: &[u8]| {
                hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
            };
            put(name.as_bytes());
            put(&(rows().count() as u64).to_le_bytes());
            for (key, value) in rows() {
                put(key);
                put(value);
            }
        }
        *hasher.finalize().as_bytes()
    }

    pub(super) fn encode(catalogue: &Catalogue) -> Self {
        let mut rows = Self::default();
        let [dropped, meta, packs, refs] = &mut rows.0;
        for (pack, successor) in &catalogue.dropped {
            let successor = successor.map_or([0; 32], |id| *id.as_bytes());
            dropped.insert(pack.as_bytes().to_vec(), successor.to_vec());
        }
        meta.insert(FORMAT.to_vec(), FORMAT_VERSION.to_le_bytes().to_vec());
        meta.insert(HEAD.to_vec(), catalogue.head.to_string().into_bytes());
        if let Some((number, id)) = catalogue.last_operation {
            meta.insert(OPERATION.to_vec(), [&number.to_le_bytes()[..], id.as_bytes()].concat());
        }
        for (position, pack) in (0_u64..).zip(&catalogue.packs) {
            let value = [pack.entry.bytes, pack.entry.objects, pack.operation, position];
            packs.insert(
                pack.entry.id.as_bytes().to_vec(),
                value.iter().flat_map(|word| word.to_le_bytes()).collect(),
            );
        }
        for (name, id) in &catalogue.refs {
            refs.insert(name.as_bytes().to_vec(), id.as_bytes().to_vec());
        }
        let digest = rows.digest();
        rows.0[1].insert(DIGEST.to_vec(), digest.to_vec());
        rows
    }

    pub(super) fn decode(&self, path: &Path) -> Result<Catalogue, StoreError> {
        let wrong = |what: &str| StoreError::damaged(path, what);
        let meta = self.table("meta");
        let format = meta
            .get(FORMAT)
            .and_then(|value| Some(u32::from_le_bytes(value.as_slice().try_into().ok()?)))
            .ok_or_else(|| wrong("it names no format version"))?;
        if format > FORMAT_VERSION {
            return Err(StoreError::NewerFormat { found: format, supported: FORMAT_VERSION });
        }
        if meta.get(DIGEST).map(Vec::as_slice) != Some(&self.digest()[..]) {
            return Err(wrong("its rows do not match their digest"));
        }
        self.decode_checked().ok_or_else(|| wrong("a row has the wrong shape"))
    }

    fn decode_checked(&self) -> Option<Catalogue> {
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
        let mut refs = BTreeMap::new();
        for (name, value) in self.table("refs") {
            refs.insert(String::from_utf8(name.clone()).ok()?, id(value)?);
        }
        let mut packs = Vec::new();
        for (key, value) in self.table("packs") {
            let entry = PackEntry { id: id(key)?, bytes: word(value, 0)?, objects: word(value, 1)? };
            packs.push((word(value, 3)?, CataloguedPack { entry, operation: word(value, 2)? }));
        }
        packs.sort_unstable_by_key(|(position, _)| *position);
        let mut dropped = BTreeMap::new();
        for (key, value) in self.table("dropped") {
            let successor = id(value)?;
            dropped.insert(id(key)?, (*successor.as_bytes() != [0; 32]).then_some(successor));
        }
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
            refs: BTreeMap::from([("heads/main".into(), id(1))]),
            packs: vec![pack(5, 1), pack(4, 3)],
            dropped: BTreeMap::from([(id(6), Some(id(4))), (id(7), None)]),
        };
        let mut rows = Rows::encode(&catalogue);
        assert_eq!(rows.decode(Path::new("f")).expect("intact"), catalogue);
        for (_, table) in rows.tables_mut() {
            if let Some(value) = table.get_mut(&b"heads/main"[..]) {
                value[0] ^= 1;
            }
        }
        assert!(matches!(rows.decode(Path::new("f")), Err(StoreError::Damaged { .. })));
        rows.0[1].insert(FORMAT.to_vec(), 2_u32.to_le_bytes().to_vec());
        let newer = rows.decode(Path::new("f")).expect_err("a later version");
        assert!(matches!(newer, StoreError::NewerFormat { found: 2, supported: 1 }), "{newer}");
    }
}
