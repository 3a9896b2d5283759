//! What stands beside the container whose elements are the rows: the header of a log, the names of a table's columns.
//!
//! Rests on canonical values. Invariants: what stands beside is no row, but a unit of its own that is kept and counted; a
//! file whose container was not cut is never passed over in silence, unless the container is absent or null.

use std::borrow::Cow;

use crate::base::json::Value;

use super::fate::Outcome;
use super::spec::Columns;
use super::unit::UnitKind;
use super::value::kind_name;

/// The skip rule of what stands beside the container whose elements are the rows; also the name of its variable.
pub const BESIDE: &str = "beside";

/// The skip rule of a file in which the container is absent or null, where the spec reads what stands beside it.
pub const NO_CONTAINER: &str = "no_container";

/// Why a spec is refused that reads `$beside` where rows are not cut out of anything.
pub(super) const NOT_THERE: &str =
    "nothing stands beside the rows: `$beside` is for the units element and value with `at`";

/// What stands beside a container is no row. Where the container is something else than empty it was not cut, and
/// what it holds would be lost.
pub(super) fn fate(canonical: &[u8], at: &[String], unit: UnitKind) -> Outcome {
    let refused = |reason, detail: String| Outcome::Quarantined { reason, detail };
    let value = match Value::parse(canonical) {
        Ok(value) => value,
        Err(e) => return refused(e.code.as_str(), e.to_string()),
    };
    if !matches!(value, Value::Object(_)) {
        return refused("not_an_object", format!("the file is {}", kind_name(&value)));
    }
    let container = at.iter().try_fold(&value, |value, name| value.get(name)).unwrap_or(&Value::Null);
    let skipped = |rule: &str| Outcome::Skipped { rule: rule.to_owned() };
    match (container, unit) {
        (Value::Null, _) => skipped(NO_CONTAINER),
        (Value::Array(items), UnitKind::Element) if items.is_empty() => skipped(BESIDE),
        (Value::Object(members), UnitKind::Value) if members.is_empty() => skipped(BESIDE),
        (other, _) => {
            refused("broken_container", format!("where the rows should be is {}", kind_name(other)))
        }
    }
}

/// A row that is an array, as the object of its cells under the names of its columns.
pub(super) fn with_names<'v>(
    row: Value<'v>,
    columns: &'v Columns,
    beside: &'v Value<'v>,
) -> Result<Value<'v>, (&'static str, String)> {
    let Value::Array(cells) = row else { return Ok(row) };
    let refused = |detail: String| Err(("bad_columns", detail));
    let names: Vec<&str> = match columns {
        Columns::Named(names) => names.iter().map(String::as_str).collect(),
        Columns::Beside(steps) => {
            let found = steps.iter().try_fold(beside, |value, name| value.get(name)).unwrap_or(&Value::Null);
            let Value::Array(names) = found else {
                return refused(format!("where the names of the columns should be is {}", kind_name(found)));
            };
            let mut texts = Vec::with_capacity(names.len());
            for name in names {
                match name {
                    Value::String(name) => texts.push(name.as_ref()),
                    other => return refused(format!("a column's name is {}", kind_name(other))),
                }
            }
            texts
        }
    };
    if names.len() != cells.len() {
        return refused(format!("the row has {} cells for {} columns", cells.len(), names.len()));
    }
    let mut members: Vec<(Cow<'v, str>, Value<'v>)> =
        names.into_iter().map(Cow::Borrowed).zip(cells).collect();
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    if let Some(twice) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return refused(format!("two columns are called {:?}", twice[0].0));
    }
    Ok(Value::Object(members))
}
