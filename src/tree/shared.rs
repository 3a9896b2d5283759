//! Lends one store as source and as sink at the same time.
//!
//! Rests on a cell. Invariant: each call borrows for its own length only, so that a look-up between two writes is fine.

use std::cell::RefCell;

use crate::object::Exists;
use crate::object::Find;
use crate::object::Kind;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::Write;

/// A store that is read through `&shared` and written through `&mut &shared`:
/// `apply(&shared, &mut &shared, base, edits)`.
pub struct Shared<'a, S: ?Sized> {
    store: RefCell<&'a mut S>,
}

impl<'a, S: ?Sized> Shared<'a, S> {
    /// Lends `store` until the value is dropped.
    pub fn new(store: &'a mut S) -> Self {
        Self { store: RefCell::new(store) }
    }

    /// Uses the store itself, between two calls of whoever reads and writes through this.
    pub fn with<T>(&self, work: impl FnOnce(&mut S) -> T) -> T {
        work(&mut self.store.borrow_mut())
    }
}

impl<S: Exists + ?Sized> Exists for Shared<'_, S> {
    fn exists(&self, id: &ObjectId) -> Result<bool, OdbError> {
        self.store.borrow().exists(id)
    }
}

impl<S: Find + ?Sized> Find for Shared<'_, S> {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        self.store.borrow().try_find(id)
    }
}

impl<S: Write + ?Sized> Write for &Shared<'_, S> {
    fn write(&mut self, kind: Kind, bytes: &[u8]) -> Result<ObjectId, OdbError> {
        self.store.borrow_mut().write(kind, bytes)
    }
}
