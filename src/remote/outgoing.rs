//! Sending: what the other side lacks of some refs, gathered into packs and put there.
//!
//! Rests on trees that are compared with those of the commits before. Invariants: what a commit that the other side has
//! holds too is not read, let alone sent; the same refs against the same other side make the same packs, as long as the store's
//! own packs were not merged in between, so that a push that was interrupted finds what it had put there; every object is
//! hashed as it is read.

use std::path::Path;

use rustc_hash::FxHashMap;

use super::error::RemoteError;
use super::history::missing;
use super::mirror::in_lanes;
use super::mirror::keep_table;
use super::peer::Peer;
use super::peer::Tick;
use crate::object::CommitId;
use crate::object::Find as _;
use crate::object::FindExt as _;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::repo::Commit;
use crate::repo::Tag;
use crate::store::Bundled;
use crate::store::Bundler;
use crate::store::Store;
use crate::tree;
use crate::tree::Novel;

/// A pack that travels has about this size: an interrupted push goes on at the last whole one.
const PACK_BYTES: u64 = 32 << 20;
/// Row objects that are read together.
const ROWS_AT_A_TIME: usize = 1024;
/// Row objects that are put in order before they are read: 44 bytes each.
const ROWS_IN_ORDER: usize = 1 << 20;

/// What was gathered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The packs.
    pub packs: Vec<Bundled>,
    /// The commits in them that the other side lacks, parents first.
    pub commits: Vec<CommitId>,
    /// Objects in the packs.
    pub objects: u64,
    /// Their bytes, unpacked.
    pub object_bytes: u64,
    /// Rows that were left out, since the other side has them, of the trees of the last commit of those that are sent.
    pub rows_skipped: u64,
    /// Their bytes.
    pub row_bytes_skipped: u64,
}

struct Gatherer<'a> {
    store: &'a Store,
    /// The place of each pack in the store's order.
    packs: FxHashMap<ObjectId, u32>,
    bundler: Bundler,
    rows: Vec<(u32, u32, u32, ObjectId)>,
    shared: tree::Totals,
    tick: Tick<'a>,
}

impl Gatherer<'_> {
    fn object(&mut self, id: &ObjectId) -> Result<(), RemoteError> {
        let bytes = self.store.find(id)?;
        Ok(self.bundler.push(Kind::Data, *id, &bytes)?)
    }

    /// Notes a row object with its place. Objects that were written together are alike, and are sent together.
    fn row(&mut self, id: ObjectId) -> Result<(), RemoteError> {
        let at = self.store.locate_briefly(&id)?;
        let (pack, block, offset) = at.unwrap_or((id, 0, 0));
        let pack = self.packs.get(&pack).copied().unwrap_or(u32::MAX);
        self.rows.push((pack, block, offset, id));
        if self.rows.len() >= ROWS_IN_ORDER { self.flush_rows() } else { Ok(()) }
    }

    fn flush_rows(&mut self) -> Result<(), RemoteError> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable();
        rows.dedup();
        for part in rows.chunks(ROWS_AT_A_TIME) {
            let ids: Vec<ObjectId> = part.iter().map(|(.., id)| *id).collect();
            for (id, bytes) in ids.iter().zip(self.store.try_find_many(&ids)?) {
                let bytes = bytes.ok_or(OdbError::NotFound { id: *id })?;
                self.bundler.push(Kind::Data, *id, &bytes)?;
                (self.tick)(bytes.len() as u64);
            }
        }
        Ok(())
    }

    fn tree(&mut self, bases: &[RootId], root: RootId) -> Result<(), RemoteError> {
        let store = self.store;
        tree::novel(store, bases, root, &mut |novel: Novel<'_>| -> Result<(), RemoteError> {
            match novel {
                Novel::Node(id, bytes) => self.bundler.push(Kind::Node, *id, bytes)?,
                Novel::Rows(rows) => {
                    for (id, _) in rows {
                        self.row(*id)?;
                    }
                }
                Novel::Shared(totals) => {
                    self.shared.rows = self.shared.rows.saturating_add(totals.rows);
                    self.shared.bytes = self.shared.bytes.saturating_add(totals.bytes);
                }
            }
            Ok(())
        })
    }

    fn commit(&mut self, id: CommitId, commit: &Commit, parents: &[Commit]) -> Result<(), RemoteError> {
        self.shared = tree::Totals::default();
        self.tree(&parents.iter().map(|parent| parent.receipts).collect::<Vec<_>>(), commit.receipts)?;
        if let Some(files) = commit.config_files {
            let bases: Vec<RootId> = parents.iter().filter_map(|parent| parent.config_files).collect();
            self.tree(&bases, files)?;
        }
        // What reports and configuration share is not worth a word.
        self.shared = tree::Totals::default();
        for (dataset, root) in &commit.datasets {
            let bases: Vec<RootId> = parents.iter().filter_map(|parent| parent.dataset(dataset)).collect();
            self.tree(&bases, *root)?;
        }
        self.flush_rows()?;
        for object in [commit.summary_id, commit.drift_id, commit.config_id].into_iter().flatten() {
            let known = |parent: &Commit| {
                [parent.summary_id, parent.drift_id, parent.config_id].contains(&Some(object))
            };
            if !parents.iter().any(known) {
                self.object(&object)?;
            }
        }
        self.object(id.object())
    }
}

/// Gathers into packs below `dir`, which is emptied first, what `wants` (full names with their values) need and no commit of
/// `haves` or behind them has.
///
/// # Errors
/// Damage of anything that has to be sent; a full disk.
pub fn gather(
    store: &Store,
    wants: &[(String, ObjectId)],
    haves: &[CommitId],
    dir: &Path,
    tick: Tick<'_>,
) -> Result<Outgoing, RemoteError> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).map_err(RemoteError::io("remove", dir))?;
    }
    std::fs::create_dir_all(dir).map_err(RemoteError::io("create", dir))?;
    let mut gatherer = Gatherer {
        store,
        packs: (0..).zip(store.packs()).map(|(at, pack)| (pack.id, at)).collect(),
        bundler: Bundler::new(dir, PACK_BYTES),
        rows: Vec::new(),
        shared: tree::Totals::default(),
        tick,
    };
    let (mut starts, mut tags) = (Vec::new(), Vec::new());
    for (name, id) in wants {
        if name.starts_with("tags/") {
            starts.push(Tag::parse(id, &store.find(id)?)?.target);
            tags.push(*id);
        } else {
            starts.push(CommitId::new(*id));
        }
    }
    let mut outgoing = Outgoing::default();
    for (id, commit) in missing(store, &starts, haves)? {
        let mut parents = Vec::new();
        for parent in &commit.parents {
            parents.push(super::history::commit(store, *parent)?);
        }
        gatherer.commit(id, &commit, &parents)?;
        outgoing.commits.push(id);
    }
    outgoing.rows_skipped = gatherer.shared.rows;
    outgoing.row_bytes_skipped = gatherer.shared.bytes;
    for tag in tags {
        gatherer.object(&tag)?;
    }
    outgoing.objects = gatherer.bundler.objects();
    outgoing.object_bytes = gatherer.bundler.object_bytes();
    outgoing.packs = gatherer.bundler.finish()?;
    Ok(outgoing)
}

/// Puts packs there, several at a time, and keeps their tables in `cache`; the bytes that travelled, and those that lay there.
///
/// # Errors
/// When the other side cannot be reached or does not allow it. What was put there stays, and is found by the next attempt.
pub fn send(
    peer: &dyn Peer,
    packs: &[Bundled],
    cache: &Path,
    tick: Tick<'_>,
) -> Result<(u64, u64), RemoteError> {
    let sent = in_lanes(packs, |pack| {
        let is_new = peer.put(pack)?;
        tick(pack.entry.bytes);
        // A table that cannot be kept is fetched when it is needed.
        keep_table(cache, pack).ok();
        Ok(if is_new { (pack.entry.bytes, 0) } else { (0, pack.entry.bytes) })
    })?;
    Ok(sent.into_iter().fold((0, 0), |(sent, there), (a, b)| (sent + a, there + b)))
}
