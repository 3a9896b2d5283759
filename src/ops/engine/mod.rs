//! The engine: drives the pure stages over files, threads and the store.
//!
//! Rests on `pipeline`, `tree` and `store`. One pass over the units in source order makes evidence, scores and exports;
//! pairs and trees follow. Invariants: the result depends on the files, the configuration and the tool alone, not on
//! threads, chunk sizes or what an earlier run left; memory is bounded by chunks, spilled sorts and the ledger's
//! fingerprints.

mod crew;
mod dry;
mod edits;
pub(crate) mod exports;
mod facts;
mod feed;
mod grow;
mod ingest;
pub(crate) mod inputs;
mod ledger;
mod maker;
mod memo;
mod names;
mod outline;
mod pairs;
mod pass;
mod pool;
mod prints;
mod rejudge;
mod removals;
mod rework;
mod sabotage;
pub(crate) mod stored;
pub(crate) mod tally;
mod walk;
mod watch;
pub(crate) mod worker;

pub(crate) use dry::{remap, rescore};
pub(crate) use edits::Dataset;
pub(crate) use ingest::{Ingest, ingest};
pub(crate) use inputs::{Prefix, SourceFile, claim, discover};
pub(crate) use maker::Wanted;
pub(crate) use memo::{MemoWriter, path as memo_path};
pub(crate) use outline::Outlines;
pub(crate) use pass::{Made, Plan, load_lookups, memo_key, run};
pub(crate) use rework::{Rework, rework};
pub(crate) use stored::{Stored, StoredFile};
pub(crate) use tally::{Tallies, Tally};
