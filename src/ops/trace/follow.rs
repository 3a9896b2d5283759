//! One hop: a key looked up in a tree, its object read, hashed and judged.
//!
//! Rests on `tree::get` and on the validators. Invariant: whatever fails is a check that does not hold, with the object at
//! fault, never an error that hides the rest.

use serde::Serialize;

use super::{CheckName, Hop, Read, Role};
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::record::Provenance;
use crate::record::Record;
use crate::record::validate_bytes;
use crate::repo::Repo;
use crate::tree;
use crate::tree::TreeError;

/// Looks `key` up in the tree `root` of `dataset` and reads what it names, which should be `named`.
pub(super) fn hop(
    repo: &Repo,
    role: Role,
    dataset: &str,
    root: Option<RootId>,
    key: &str,
    named: Option<ObjectId>,
) -> (Hop, Read) {
    let mut hop = Hop {
        role,
        dataset: dataset.to_owned(),
        root,
        key: key.to_owned(),
        id: None,
        bytes: None,
        says: Vec::new(),
        source: None,
        checks: Vec::new(),
        below: Vec::new(),
    };
    let entry = match root.map(|root| tree::get(repo.store(), root, key)).transpose() {
        Ok(entry) => entry.flatten(),
        Err(error) => {
            let (object, detail) = blame(&error);
            hop.fault(CheckName::InTree, object, detail);
            return (hop, None);
        }
    };
    let Some(entry) = entry else {
        let id = named.map_or_else(String::new, |id| format!(", which should name {id}"));
        hop.fault(CheckName::InTree, named, format!("{dataset} has no key `{key}`{id}"));
        return (hop, None);
    };
    hop.id = Some(entry.id);
    hop.check(CheckName::InTree, Ok(()));
    if let Some(named) = named {
        let why = || format!("the object above names {named}, the tree {}", entry.id);
        hop.check(CheckName::Link, if named == entry.id { Ok(()) } else { Err(why()) });
    }
    match repo.store().find(&entry.id) {
        Ok(bytes) => {
            let len = bytes.len() as u64;
            hop.bytes = Some(len);
            let why = || format!("it has {len} bytes, the tree says {}", entry.bytes);
            hop.check(CheckName::Hash, if len == entry.bytes { Ok(()) } else { Err(why()) });
            (hop, Some(bytes))
        }
        Err(error) => {
            let (object, detail) = blame(&TreeError::Odb(error));
            hop.fault(CheckName::Hash, object, detail);
            (hop, None)
        }
    }
}

/// The bytes as a valid record of type `T` whose key, as `key_of` gives it, is the one it stands under.
pub(super) fn record<T: Record>(hop: &mut Hop, bytes: &Read, key_of: impl Fn(&T) -> &str) -> Option<T> {
    let bytes = bytes.as_ref()?;
    let valid = validate_bytes(T::NAME, bytes)
        .map_err(|violations| violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    hop.check(CheckName::Record, valid);
    let record = T::parse(bytes).ok()?;
    let own = key_of(&record);
    let same = own == hop.key;
    let why = format!("it carries the key `{own}`");
    hop.check(CheckName::Key, if same { Ok(()) } else { Err(why) });
    Some(record)
}

/// Checks that two records say the same of their origin.
pub(super) fn same_provenance(hop: &mut Hop, own: &Provenance, above: &Provenance) {
    let differing = differences(own, above);
    let why = || format!("it differs from the object above in {}", differing.join(", "));
    hop.check(CheckName::Provenance, if differing.is_empty() { Ok(()) } else { Err(why()) });
}

fn differences(a: &Provenance, b: &Provenance) -> Vec<String> {
    let members = |p: &Provenance| serde_json::to_value(p).unwrap_or_default();
    let (a, b) = (members(a), members(b));
    let names = a.as_object().into_iter().flat_map(|object| object.keys());
    names.filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// Checks that two values are the same, both told where they are not.
pub(super) fn same<T: PartialEq + Serialize>(hop: &mut Hop, check: CheckName, own: &T, above: &T) {
    let text = |value: &T| serde_json::to_string(value).unwrap_or_default();
    let why = || format!("it says {}, the object above {}", text(own), text(above));
    hop.check(check, if own == above { Ok(()) } else { Err(why()) });
}

/// The object at fault and what is wrong with it.
pub(super) fn blame(error: &TreeError) -> (Option<ObjectId>, String) {
    match error {
        TreeError::Odb(OdbError::NotFound { id }) => (Some(*id), format!("object {id} is missing")),
        TreeError::Odb(OdbError::Corrupt { id, .. }) | TreeError::BadNode { id, .. } => {
            (Some(*id), error.to_string())
        }
        _ => (None, error.to_string()),
    }
}
