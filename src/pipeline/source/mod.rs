//! Sources are data, not code: a spec declares where a stream's files are, what one unit is, and how a unit becomes
//! evidence.
//!
//! Rests on `record`, `object` and `base::json`. Bytes go in and values come out: nothing here opens a file, reads a
//! clock or the environment. The way of a unit: [`UnitReader`] cuts it, [`Adapter::map`] gives its fate.

mod adapter;
mod archive;
mod around;
mod beside;
mod coverage;
pub mod decode;
#[cfg(test)]
mod differential;
mod embedded;
mod eval;
mod fate;
mod files;
mod jq;
mod lookup;
mod members;
mod native;
mod path;
mod scan;
mod shape;
mod sig;
mod spec;
mod table;
mod unit;
mod value;

pub use adapter::{Adapter, BLANK_LINE, EMIT_EMPTY, OUTPUTS_MAX};
pub use beside::{BESIDE, NO_CONTAINER};
pub use coverage::{Coverage, CoverageReport, KeySeen, KindSeen, KindValue, NAMES_MAX, Tally, filled};
pub use embedded::embedded;
pub use eval::EvalError;
pub use fate::{Draft, Mapped, Outcome, UnitInput};
pub use files::FileSet;
pub use lookup::{Lookup, LookupRow, Lookups};
pub use shape::Shape;
pub use sig::sig_hash;
pub use spec::{LookupSpec, Spec, SpecError};
pub use unit::{ReadError, UNIT_BYTES_LIMIT, UNIT_BYTES_MAX, Unit, UnitFlags, UnitKind, UnitReader};
