//! Operations: one file for each thing a user can ask for.
//!
//! Rests on everything below. Operations take plain data and return plain data; they never print, never exit, and know
//! neither the command line nor HTTP. Only they write, and every write is one transaction that records its receipt.

pub mod acceptance;
pub mod audit;
pub mod audit_pr;
mod checks;
mod engine;
pub mod bisect;
pub mod checkout;
mod closure;
pub mod gc;
pub mod health;
pub mod recon;
pub mod search;
pub mod report;
pub mod snapshot;
pub mod delivery;
pub mod diff;
pub mod explain;
pub mod fetch;
pub mod error;
pub mod fault;
pub mod header;
pub mod init;
pub mod log;
pub mod metric;
pub mod merge;
pub mod open;
pub mod progress;
pub mod quarantine;
pub mod receipts;
pub mod receive;
pub mod replay;
pub mod refs;
pub mod reindex;
pub mod remotes;
pub mod schema;
pub mod show;
pub mod stats;
pub mod trace;
pub mod sources;
pub mod status;
pub mod verify;
mod loss;
mod receipting;
pub mod run;
pub mod sample;
mod scratch;
mod seal;
mod setup;
mod files;

pub use error::{ErrorKind, OpError};
pub use progress::{Progress, Silent};

pub use crate::base::panics::panics_are_quiet;
