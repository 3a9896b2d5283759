//! What differs between two configurations: options, the policy, and specs by name.
//!
//! Rests on the config objects that commits name, which hold only what can change a dataset. Invariant: two
//! configurations with different ids have at least one change.

use schemars::JsonSchema;
use serde::Serialize;

use super::fields::FieldChange;
use super::fields::compare;
use crate::base::json::Value;
use crate::object::FindExt as _;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::repo::NotA;
use crate::repo::Repo;
use crate::repo::RepoError;

/// A part of the configuration that differs.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfigChange {
    /// `options`, `policy`, `sources/<name>`, or what else a configuration holds.
    pub part: String,
    /// `added`, `removed` or `modified`.
    pub change: &'static str,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
}

/// The parts in which two config objects differ; `None` is a commit without one.
pub(super) fn changes(
    repo: &Repo,
    before: Option<ObjectId>,
    after: Option<ObjectId>,
) -> Result<Vec<ConfigChange>, OpError> {
    let before = before.map(|id| repo.store().find(&id).map(|bytes| (id, bytes))).transpose()?;
    let after = after.map(|id| repo.store().find(&id).map(|bytes| (id, bytes))).transpose()?;
    let (old, new) = (parse(before.as_ref())?, parse(after.as_ref())?);
    let mut found = Vec::new();
    for (name, old_part, new_part) in pairs(Some(&old), Some(&new)) {
        if name == "sources" {
            for (spec, old_spec, new_spec) in pairs(old_part, new_part) {
                found.extend(change(format!("sources/{spec}"), old_spec, new_spec));
            }
        } else if name != "schema" || (old_part.is_some() && new_part.is_some()) {
            found.extend(change(name.to_owned(), old_part, new_part));
        }
    }
    Ok(found)
}

fn parse(object: Option<&(ObjectId, ObjectBytes)>) -> Result<Value<'_>, OpError> {
    let Some((id, bytes)) = object else { return Ok(Value::Null) };
    Ok(Value::parse(bytes).map_err(|error| {
        RepoError::from(NotA { id: *id, wanted: "configuration", detail: error.to_string() })
    })?)
}

type Part<'a> = (&'a str, Option<&'a Value<'a>>, Option<&'a Value<'a>>);

/// The members of two objects by name, those of both in the order of the first.
fn pairs<'a>(before: Option<&'a Value<'a>>, after: Option<&'a Value<'a>>) -> Vec<Part<'a>> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    for (name, value) in before.into_iter().flat_map(Value::iter_members) {
        parts.push((name, Some(value), after.and_then(|after| after.get(name))));
    }
    for (name, value) in after.into_iter().flat_map(Value::iter_members) {
        if !parts.iter().any(|(known, ..)| *known == name) {
            parts.push((name, None, Some(value)));
        }
    }
    parts.sort_by_key(|(name, ..)| *name);
    parts
}

fn change(part: String, before: Option<&Value>, after: Option<&Value>) -> Option<ConfigChange> {
    if before == after {
        return None;
    }
    let change = match (before, after) {
        (None, _) => return Some(ConfigChange { part, change: "added", fields: Vec::new() }),
        (_, None) => return Some(ConfigChange { part, change: "removed", fields: Vec::new() }),
        _ => "modified",
    };
    let mut fields = Vec::new();
    compare(&mut String::new(), before, after, &mut fields);
    Some(ConfigChange { part, change, fields })
}
