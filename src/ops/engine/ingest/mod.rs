//! `ingest`: from files to the dataset `sources`, and nothing else: cut, hashed, compressed, put into the tree.
//!
//! Rests on the readers, on block builders and on `tree::apply`. One thread reads, several cut and compress, the caller's
//! own writes packs and tree nodes. Invariants: the dataset is the one that `run-all` makes of the same files; chunks go
//! round the threads in turn, so that results come in the order of keys and memory holds a few chunks a thread; what the
//! last commit is known to hold is neither compressed nor looked up again, and rows in parts of a file that an edit left alone are
//! not even cut.

mod cut;
mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::object::RootId;
use crate::ops::engine::inputs::{Prefix, SourceFile};
use crate::ops::engine::outline::Outlines;
use crate::ops::engine::pool::thread_count;
use crate::ops::engine::stored::Stored;
use crate::ops::engine::tally::Tally;
use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::store::{Staging, Store};
use crate::tree;

use cut::{Done, cut_chunks};
use read::{Chunk, places, read_places};

/// Chunks that wait for one thread, and results that wait for the caller's.
const WAITING: usize = 2;

/// What there is to ingest.
pub(crate) struct Ingest<'a> {
    pub store: &'a Store,
    pub files: &'a [SourceFile],
    /// Where outlines of files are kept.
    pub index_dir: &'a Path,
    /// Those among `files` that are not in this folder: a merge brought their rows, which stay.
    pub stored: Option<&'a Stored<'a>>,
    /// The dataset of the last commit, and what its receipt says of each file.
    pub base: Option<(RootId, BTreeMap<String, Prefix>)>,
    /// Whether files were cut in the same way then, so that a file with the same bytes has the same units.
    pub same_cut: bool,
    pub threads: usize,
    pub progress: &'a dyn Progress,
}

/// What an ingest made.
pub(crate) struct Ingested {
    pub root: RootId,
    pub tally: Tally,
    /// The known part of every file, in source order.
    pub inputs: Vec<(String, Prefix)>,
    /// Units that were read and hashed; the others lie in files whose bytes are known.
    pub read: u64,
    pub outlines: Outlines,
}

/// Reads what is new and builds the dataset. The objects are in `staging`; nothing is published.
pub(crate) fn ingest(plan: &Ingest<'_>, staging: &mut Staging) -> Result<Ingested, OpError> {
    let (places, base) = places(plan)?;
    let total = plan.files.iter().filter_map(|f| std::fs::metadata(&f.path).ok()).map(|m| m.len()).sum();
    plan.progress.begin("sources", Some(total));
    let threads = thread_count(plan.threads);
    let read = std::thread::scope(|scope| {
        let mut to_workers: Vec<SyncSender<Chunk>> = Vec::new();
        let mut from_workers: Vec<Receiver<Result<Done, OpError>>> = Vec::new();
        let mut workers = Vec::new();
        let places = &places;
        for _ in 0..threads {
            let (sender, chunks) = sync_channel(WAITING);
            let (results, receiver) = sync_channel(WAITING);
            to_workers.push(sender);
            from_workers.push(receiver);
            workers.push(scope.spawn(move || cut_chunks(plan.store, places, &chunks, &results)));
        }
        let reader = scope.spawn(move || read_places(plan, places, base, &to_workers));
        let root = take_in(plan, base, from_workers, staging);
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // Where both failed, the reader was stopped because nobody took its chunks.
        root.and_then(|root| Ok((root, read?)))
    });
    plan.progress.end();
    let (root, read) = read?;
    let mut tally = Tally::default();
    tally.counts.rows_in = read.units;
    tally.counts.consumed = read.units;
    tally.counts.records = read.units;
    Ok(Ingested { root, tally, inputs: read.inputs, read: read.fresh, outlines: read.outlines })
}

/// Writes blocks and edits as they come, in the order of keys.
#[expect(
    clippy::needless_pass_by_value,
    reason = "threads that wait to send stop when the receivers are dropped"
)]
fn take_in(
    plan: &Ingest<'_>,
    base: Option<RootId>,
    from_workers: Vec<Receiver<Result<Done, OpError>>>,
    staging: &mut Staging,
) -> Result<RootId, OpError> {
    let shared = tree::Shared::new(staging);
    let mut waiting = Vec::new().into_iter();
    let mut turn = 0;
    let edits = std::iter::from_fn(|| {
        loop {
            if let Some(edit) = waiting.next() {
                return Some(Ok(edit));
            }
            // A thread that sends no more has had the last chunk that was its turn.
            let done = match from_workers[turn % from_workers.len()].recv().ok()? {
                Ok(done) => done,
                Err(error) => return Some(Err(error)),
            };
            turn += 1;
            plan.progress.advance(done.rows, done.bytes);
            if let Err(error) = shared.with(|staging| staging.append(done.blocks)) {
                return Some(Err(error.into()));
            }
            waiting = done.edits.into_iter();
        }
    });
    let snapshot = match base {
        Some(root) => tree::apply::<OpError>(plan.store, &mut &shared, root, edits)?,
        None => {
            let mut sink = &shared;
            let mut builder = tree::Builder::new(&mut sink);
            for edit in edits {
                let tree::Edit { key, change } = edit?;
                if let Some((id, bytes)) = change {
                    builder.push(&tree::Entry { key, id, bytes })?;
                }
            }
            builder.finish()?
        }
    };
    Ok(snapshot.root)
}
