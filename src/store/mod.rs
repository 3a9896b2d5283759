//! The store: packs of objects, a redb catalogue, an operation log.
//!
//! Rests on `base` and `object`; redb is named only in the folder `redb`. Invariants: a pack is never changed once it
//! has its name; a publish is there whole or not at all; every object is hashed again on every read; reading never
//! writes. The files are described byte for byte in `docs/format.md`.

mod adopt;
mod bundle;
mod cache;
mod catalogue;
mod census;
mod collect;
mod error;
mod hold;
mod init;
mod lock;
mod lookup;
mod many;
mod map;
mod merge;
mod opened;
mod operation;
mod oplog;
mod pack;
mod publish;
mod redb;
mod refname;
mod reindex;
mod replay;
mod roll;
mod staging;
mod sweep;
mod verify;

pub use adopt::TAIL_GUESS;
pub use adopt::inspect_pack;
pub use adopt::plant_tail;
pub use bundle::Bundled;
pub use bundle::Bundler;
pub use census::Census;
pub use census::Counted;
pub use collect::Keep;
pub use error::StoreError;
pub use hold::Hold;
pub use hold::Sole;
pub use lock::Lease;
pub use lookup::Location;
pub use opened::PackInfo;
pub use opened::Store;
pub use operation::Head;
pub use operation::HeadChange;
pub use operation::LoggedOperation;
pub use operation::OPERATION_SCHEMA;
pub use operation::OpRequest;
pub use operation::Operation;
pub use operation::PackEntry;
pub use operation::Published;
pub use operation::RefChange;
pub use oplog::Operations;
pub use pack::BlockBuilder;
pub use pack::Entry;
pub use pack::FORMAT_VERSION;
pub use pack::OBJECT_BYTES_MAX;
pub use pack::PackObjects;
pub use pack::PackReader;
pub use pack::SealedBlock;
pub use refname::check_ref_name;
pub use reindex::CatalogueState;
pub use reindex::Rebuilt;
pub use reindex::ReindexPlan;
pub use replay::LogCheck;
pub use replay::LogFinding;
pub use roll::Labels;
pub use roll::Roll;
pub use roll::RollRow;
pub use staging::Staging;
pub use verify::PackReport;

/// The catalogue's file.
const CATALOGUE_FILE: &str = "store.redb";
/// Published packs.
const PACKS_DIR: &str = "packs";
/// The operation log.
const OPS_DIR: &str = "ops";
/// Unfinished writes and locks.
const TMP_DIR: &str = "tmp";
/// Rebuildable caches.
const INDEX_DIR: &str = "index";
