//! `sources`: the specs of a repository, those that come with distill, and what one makes of real rows.
//!
//! Rests on `pipeline::source` and the engine's reader. Invariants: only [`add`] writes, one file that was not there; a
//! spec is found in the same order everywhere: a path, a spec of the repository, one that comes with distill.

mod add;
mod find;
mod list;
mod show;
pub mod test;
mod ground;

pub use add::{Added, add};
pub use find::Origin;
pub use list::{Available, Configured, Listed, SourceList, list};
pub use show::{Shown, show};
