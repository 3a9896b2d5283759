//! The other side: directories, buckets, servers and other repositories, and what travels between them and a store.
//!
//! Rests on `repo`, `store` and `tree`; knows nothing of operations, of the command line or of the server. Invariants: what
//! travels is packs, and only what the other side lacks; nothing that came is believed before it was hashed and its closure
//! found complete; a ref moves by compare-and-swap, after everything that it needs is there; a `tags/` or `runs/` name, once
//! given, never means anything else. `docs/remotes.md` has the layout byte for byte.

mod bucket;
mod closure;
mod directory;
mod distant;
mod error;
mod history;
mod http;
mod incoming;
mod log;
mod mirror;
mod outgoing;
mod peer;
mod place;
mod receive;
mod repository;
mod s3;
mod settings;
pub mod web;

pub use bucket::Bucket;
pub use bucket::RACERS;
pub use bucket::race;
pub use directory::Directory;
pub use distant::Distant;
pub use error::RemoteError;
pub use history::is_ancestor;
pub use incoming::Fetched;
pub use incoming::fetch;
pub use log::Bucketed;
pub use log::MARKER;
pub use log::REMOTE_OPERATION_SCHEMA;
pub use log::RemoteOperation;
pub use outgoing::Outgoing;
pub use outgoing::gather;
pub use outgoing::send;
pub use peer::Committed;
pub use peer::Intent;
pub use peer::Peer;
pub use peer::State;
pub use peer::is_shared;
pub use peer::unique;
pub use place::Access;
pub use place::Opened;
pub use place::Place;
pub use place::open;
pub use receive::Received;
pub use receive::receive;
pub use settings::Remote;
pub use settings::Remotes;
pub use settings::check_name;
