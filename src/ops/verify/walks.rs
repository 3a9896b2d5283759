//! The trees of all commits, each dataset with its rows, on all cores.
//!
//! Rests on the tree's walker and on what is known of the packs. Invariants: a tree node is visited once for each dataset;
//! an object is counted once, whoever names it; a row is not read where a check of its whole pack has just hashed it,
//! and once at most where none has.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::Covered;
use super::known::{Known, Leaves};
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::ops::progress::Progress;
use crate::store::Store;
use crate::tree::Entry;
use crate::tree::TreeError;
use crate::tree::Visitor;
use crate::tree::Walker;

/// More threads than this do not make reading from one disk faster.
const THREADS_MAX: usize = 8;
/// Rows between two reports of progress.
const ROWS_REPORTED: u64 = 4096;

/// The trees that stand under one name in different commits, in the order in which they were met.
pub(super) struct Trees {
    pub(super) name: String,
    pub(super) roots: Vec<RootId>,
}

/// What the walk of one name's trees found.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) name: String,
    pub(super) covered: Covered,
    /// The kind of what is damaged (`tree node`, `row`), the object and the damage.
    pub(super) damage: Vec<(&'static str, ObjectId, TreeError)>,
    /// The rows, where they were asked for.
    pub(super) rows: Vec<ObjectId>,
    /// The leaves whose rows are as they should be.
    pub(super) leaves: Leaves,
}

/// Walks all trees; the answers come in the order of `trees`.
pub(super) fn walk_all(
    store: &Store,
    known: &Known,
    progress: &dyn Progress,
    trees: Vec<Trees>,
) -> Vec<Walked> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let threads = threads.min(trees.len());
    let queue = Mutex::new(trees.into_iter().enumerate());
    let work = || {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, trees)) = next else { return done };
            done.push((number, walk(store, known, progress, trees, false)));
        }
    };
    let mut walked = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Vec<_>>| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().flat_map(join).collect::<Vec<(usize, Walked)>>()
    });
    walked.sort_by_key(|(number, _)| *number);
    walked.into_iter().map(|(_, walked)| walked).collect()
}

/// Walks the trees of one name. With `keep`, rows are handed back and not looked at.
pub(super) fn walk(
    store: &Store,
    known: &Known,
    progress: &dyn Progress,
    trees: Trees,
    keep: bool,
) -> Walked {
    let mut walker = Walker::new(store);
    let walked = Walked { leaves: Leaves::of(&trees.name), name: trees.name, ..Walked::default() };
    let mut visit = Visit { store, known, progress, keep, walked, unreported: (0, 0) };
    for root in trees.roots {
        walker.walk(root, &mut visit);
    }
    visit.report();
    visit.walked.leaves.end();
    visit.walked
}

struct Visit<'a> {
    store: &'a Store,
    known: &'a Known,
    progress: &'a dyn Progress,
    keep: bool,
    walked: Walked,
    unreported: (u64, u64),
}

impl Visit<'_> {
    fn count_node(&mut self, id: &ObjectId) {
        if self.known.look(id).first {
            self.walked.covered.nodes += 1;
            self.walked.covered.objects += 1;
        }
    }

    /// Whether the object is there and hashes to its name, and has the length that the tree gives it; returns its number.
    fn check(&mut self, row: &Entry) -> Result<u32, OdbError> {
        let look = self.known.look(&row.id);
        let len = match look.len {
            Some(len) => len,
            None if look.first => {
                let bytes = self.store.find(&row.id)?;
                self.known.see(look.number, &row.id, &bytes);
                bytes.len() as u64
            }
            None => return Ok(look.number),
        };
        if len != row.bytes {
            let detail = format!("it has {len} bytes, the tree says {}", row.bytes);
            let place = self.store.locate(&row.id).ok().flatten().map(|at| at.path);
            return Err(OdbError::Corrupt { id: row.id, place: place.unwrap_or_default(), detail });
        }
        if look.first {
            self.walked.covered.rows += 1;
            self.walked.covered.objects += 1;
            self.walked.covered.bytes += len;
        }
        Ok(look.number)
    }

    fn report(&mut self) {
        let (rows, bytes) = std::mem::take(&mut self.unreported);
        self.progress.advance(rows, bytes);
    }
}

impl Visitor for Visit<'_> {
    fn node(&mut self, id: &ObjectId, level: u8) -> bool {
        self.count_node(id);
        self.walked.leaves.node(id, level);
        true
    }

    fn row(&mut self, row: &Entry) {
        if self.keep {
            self.walked.rows.push(row.id);
            return;
        }
        match self.check(row) {
            Ok(number) => self.walked.leaves.row(self.known, row, number),
            Err(error) => {
                self.walked.leaves.spoil();
                self.walked.damage.push(("row", row.id, error.into()));
            }
        }
        self.unreported.0 += 1;
        self.unreported.1 += row.bytes;
        if self.unreported.0 == ROWS_REPORTED {
            self.report();
        }
    }

    fn damage(&mut self, id: &ObjectId, error: TreeError) {
        self.count_node(id);
        self.walked.damage.push(("tree node", *id, error));
    }
}

/// The file in which the damage is.
pub(super) fn place_of(store: &Store, id: &ObjectId, error: &TreeError) -> Option<PathBuf> {
    match error {
        TreeError::Odb(OdbError::Corrupt { place, .. } | OdbError::Damaged { place, .. }) => {
            Some(place.clone())
        }
        TreeError::Odb(OdbError::Io { path, .. }) => Some(path.clone()),
        TreeError::Odb(OdbError::NotFound { .. }) => None,
        _ => store.locate(id).ok().flatten().map(|at| at.path),
    }
}

/// What is wrong, without the id and the file, which stand beside it.
pub(super) fn why(error: &TreeError) -> String {
    match error {
        TreeError::Odb(OdbError::Corrupt { detail, .. } | OdbError::Damaged { detail, .. })
        | TreeError::BadNode { detail, .. } => detail.clone(),
        TreeError::Odb(OdbError::NotFound { .. }) => "it is missing".to_owned(),
        other => other.to_string(),
    }
}
