//! What distill remembers of the files it wrote: a cache that tells them from files changed by hand without reading them.
//!
//! Rests on size, modification and change time. Invariants: the state is a cache, so one that is lost or damaged only
//! makes distill more careful; before files are replaced it names both what they hold and what they are about to hold,
//! so that a run killed between two renames does not mistake its own work for a person's.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::WorktreeError;
use crate::base::fs::write_atomic;
use crate::object::ObjectId;

const SCHEMA: &str = "distill.worktree.v1";

/// The state file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    schema: String,
    /// By path relative to the target.
    files: BTreeMap<String, Written>,
    /// What a commit that may not have ended was going to write.
    pending: BTreeMap<String, ObjectId>,
}

/// A file as it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    blake3: ObjectId,
    bytes: u64,
    mtime_ns: i64,
    /// Changes with every write and rename and cannot be set back, unlike the modification time.
    ctime_ns: i64,
}

/// The memory of one target directory.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Where it is kept; `None` where nothing is.
    place: Option<PathBuf>,
    body: Body,
    /// When the state file was written. A file as young as that may have changed since without a trace in its times.
    saved_ns: i64,
    was_there: bool,
}

impl State {
    /// Loads the state kept at `place`; one that is missing or damaged is empty.
    pub(super) fn load(place: PathBuf) -> Self {
        let read = || -> Option<(Body, i64)> {
            let saved_ns = mtime_ns(&fs::metadata(&place).ok()?);
            let body: Body = serde_json::from_slice(&fs::read(&place).ok()?).ok()?;
            (body.schema == SCHEMA).then_some((body, saved_ns))
        };
        match read() {
            Some((body, saved_ns)) => Self { place: Some(place), body, saved_ns, was_there: true },
            None => Self { place: Some(place), ..Self::default() },
        }
    }

    /// A memory that is kept nowhere, of files whose digests the caller knows.
    pub(super) fn unkept(files: BTreeMap<String, ObjectId>) -> Self {
        Self { body: Body { pending: files, ..Body::default() }, ..Self::default() }
    }

    /// The state as it is on disk now.
    pub(super) fn reload(&self) -> Self {
        self.place.clone().map_or_else(|| self.clone(), Self::load)
    }

    /// Whether a sound state file was found.
    pub(super) fn was_there(&self) -> bool {
        self.was_there
    }

    /// The files that distill wrote, in order.
    pub(super) fn tracked(&self) -> impl Iterator<Item = &str> {
        let unfinished = self.body.pending.keys().filter(|path| !self.body.files.contains_key(*path));
        let mut paths: Vec<&str> = self.body.files.keys().chain(unfinished).map(String::as_str).collect();
        paths.sort_unstable();
        paths.into_iter()
    }

    /// Whether distill wrote, or was about to write, these bytes under this path.
    pub(super) fn wrote(&self, rel: &str, digest: &ObjectId) -> bool {
        self.body.files.get(rel).is_some_and(|written| written.blake3 == *digest)
            || self.body.pending.get(rel) == Some(digest)
    }

    /// The digest of the regular file at `path`, from memory where its size and times say that it has not changed.
    pub(super) fn digest(&self, rel: &str, path: &Path, meta: &Metadata) -> Result<ObjectId, WorktreeError> {
        if let Some(written) = self.body.files.get(rel)
            && written.is_unchanged(meta)
            && written.mtime_ns.max(written.ctime_ns) < self.saved_ns
        {
            return Ok(written.blake3);
        }
        let hash = crate::base::fs::hash(path).map_err(WorktreeError::io("read", path))?;
        Ok(ObjectId::from_bytes(hash))
    }

    /// Says what is about to be written.
    pub(super) fn announce(&mut self, files: impl Iterator<Item = (String, ObjectId)>) {
        self.body.pending.extend(files);
    }

    /// Says that a file is in place.
    pub(super) fn record(&mut self, rel: &str, blake3: ObjectId, meta: &Metadata) {
        self.body.pending.remove(rel);
        self.body.files.insert(rel.to_owned(), Written::new(blake3, meta));
    }

    /// Says that a file is no longer distill's.
    pub(super) fn forget(&mut self, rel: &str) {
        self.body.pending.remove(rel);
        self.body.files.remove(rel);
    }

    /// Writes the state file, whole or not at all.
    pub(super) fn save(&mut self) -> Result<(), WorktreeError> {
        let Some(place) = &self.place else { return Ok(()) };
        SCHEMA.clone_into(&mut self.body.schema);
        let failed = |source| WorktreeError::Io { action: "write", path: place.clone(), source };
        let bytes = serde_json::to_vec(&self.body).map_err(|e| failed(io::Error::other(e)))?;
        write_atomic(place, &bytes).map_err(failed)
    }
}

impl Written {
    fn new(blake3: ObjectId, meta: &Metadata) -> Self {
        Self { blake3, bytes: meta.len(), mtime_ns: mtime_ns(meta), ctime_ns: ctime_ns(meta) }
    }

    fn is_unchanged(&self, meta: &Metadata) -> bool {
        *self == Self::new(self.blake3, meta)
    }
}

fn mtime_ns(meta: &Metadata) -> i64 {
    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
}

fn ctime_ns(meta: &Metadata) -> i64 {
    meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec())
}
