//! A store in memory: the reference implementation of the capability traits, for tests and for staging.
//!
//! Rests on a map. Invariant: an id never changes what it means.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{Exists, Find, Kind, ObjectBytes, ObjectId, OdbError, Write};

/// Objects in a map, with a count of look-ups so that tests can bound them.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: BTreeMap<ObjectId, ObjectBytes>,
    finds: RefCell<u64>,
}

impl MemoryStore {
    /// How many objects are held.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// How many times an object was asked for since the last call; resets the count.
    pub fn take_find_count(&self) -> u64 {
        self.finds.replace(0)
    }

    /// Every id held, in order.
    pub fn ids(&self) -> impl Iterator<Item = &ObjectId> {
        self.objects.keys()
    }
}

impl Exists for MemoryStore {
    fn exists(&self, id: &ObjectId) -> Result<bool, OdbError> {
        Ok(self.objects.contains_key(id))
    }
}

impl Find for MemoryStore {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        *self.finds.borrow_mut() += 1;
        Ok(self.objects.get(id).cloned())
    }
}

impl Write for MemoryStore {
    fn write(&mut self, _: Kind, bytes: &[u8]) -> Result<ObjectId, OdbError> {
        let id = ObjectId::of(bytes);
        self.objects.entry(id).or_insert_with(|| bytes.to_vec().into());
        Ok(id)
    }
}
