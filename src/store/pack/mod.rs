//! Packs: write-once files of compressed blocks with a table of object ids at the end.
//!
//! Rests on zstd and BLAKE3. Invariants: a pack is named by BLAKE3 of its bytes; every part that a reader relies on is
//! covered by a hash that it checks before use, or by the object's own hash after. `docs/format.md` describes
//! the file byte for byte.

mod asked;
mod build;
mod check;
mod format;
mod objects;
mod read;
mod rows;
mod table;
mod write;

pub use build::BlockBuilder;
pub use build::SealedBlock;
pub(super) use check::check_pack;
pub(super) use check::check_written;
pub use format::Entry;
pub use format::FORMAT_VERSION;
pub use format::OBJECT_BYTES_MAX;
pub use objects::PackObjects;
pub use read::PackReader;
pub(super) use read::each_checked;
pub(super) use read::next_serial;
pub(super) use read::slice_of;
pub(super) use read::tail_of;
pub(super) use rows::PackRow;
pub(super) use rows::PackRows;
pub(super) use table::Table;
pub(super) use write::PackWriter;
