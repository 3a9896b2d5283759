//! A bucket, or a folder in the layout of one, as a source of rows.
//!
//! Rests on `remote::Distant`, which reads tables and blocks of packs by ranges and hashes every object. Invariant: rows come
//! from the tree, object by object, since nobody is there to give them as a whole.

use std::collections::BTreeMap;
use std::io::Read;

use super::directory::Rows;
use super::origin::Origin;
use crate::object::{Find, ObjectId, RootId};
use crate::ops::delivery::jsonl::Cursor;
use crate::ops::error::OpError;
use crate::remote::Distant;
use crate::store::Head;

/// A remote that is only files.
pub struct Files<'a> {
    place: &'a str,
    distant: &'a Distant,
    objects: &'a dyn Find,
}

impl<'a> Files<'a> {
    /// The remote at `place` with its objects.
    pub fn new(place: &'a str, distant: &'a Distant, objects: &'a dyn Find) -> Self {
        Self { place, distant, objects }
    }
}

impl Origin for Files<'_> {
    fn place(&self) -> String {
        self.place.to_owned()
    }

    fn refs(&self) -> Result<BTreeMap<String, ObjectId>, OpError> {
        Ok(self.distant.refs().clone())
    }

    fn head(&self) -> Result<Option<Head>, OpError> {
        Ok(self.distant.head().map(|branch| Head::Branch(branch.to_owned())))
    }

    fn find(&self) -> &dyn Find {
        self.objects
    }

    fn rows(&self, root: RootId, offset: u64) -> Result<Box<dyn Read + '_>, OpError> {
        let cursor = Cursor::at(self.objects, root, offset)?;
        Ok(Box::new(Rows::new(self.objects, cursor)))
    }
}
