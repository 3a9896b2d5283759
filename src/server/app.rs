//! What all requests share: the store, what is known of its snapshots, the limits.
//!
//! Rests on `ops`. Invariants: before a question that depends on refs, what others have published meanwhile is taken in;
//! work on the store is done on threads for it, so many at once; a panic in it is an answer, not an end; what slow
//! clients can make the server hold in memory has an end.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ServeOptions;
use super::hosts::Hosts;
use super::limits::Limits;
use super::metrics::Metrics;
use super::problem::Problem;
use super::tokens::Tokens;
use crate::base::clock::Clock;
use crate::ops::OpError;
use crate::ops::delivery::catalog::Catalog;
use crate::ops::delivery::shelf::Shelf;
use crate::ops::search::{Corpus, Searcher};
use crate::repo::Repo;

/// What all requests share.
pub type Shared = Arc<App>;

/// A server's state.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub repo: Repo,
    /// Files that were made.
    pub shelf: Shelf,
    /// Who may do what.
    pub tokens: Tokens,
    /// Names to be asked under.
    pub hosts: Hosts,
    /// The limits.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Metrics,
    /// Times for what is written.
    pub clock: Clock,
    /// Snapshots with their search indexes.
    pub searchers: Searchers,
    /// Files are made one at a time: each takes a core for as long as it is made.
    pub makers: Semaphore,
    /// Room in memory for long answers.
    pub answers: Room,
    /// Room in memory for the bodies of requests.
    pub bodies: Room,
    jobs: Semaphore,
    catalog: Mutex<Catalog>,
    notes: SyncSender<Option<String>>,
}

impl App {
    /// The state of a server that begins.
    ///
    /// # Errors
    /// When history cannot be read.
    pub fn new(
        repo: Repo,
        shelf: Shelf,
        options: &ServeOptions,
        notes: SyncSender<Option<String>>,
    ) -> Result<Self, OpError> {
        let app = Self {
            repo,
            shelf,
            tokens: options.tokens.clone(),
            hosts: Hosts::new(options.bind, &options.hosts),
            limits: options.limits,
            metrics: Metrics::new(),
            clock: options.clock,
            searchers: Searchers::default(),
            makers: Semaphore::new(1),
            answers: Room::new(options.limits.answers_bytes_max),
            bodies: Room::new(options.limits.bodies_bytes_max),
            jobs: Semaphore::new(options.limits.jobs_max),
            catalog: Mutex::default(),
            notes,
        };
        app.with_catalog(|_| Ok(()))?;
        Ok(app)
    }

    /// Takes in what others have published since the last question.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub fn fresh(&self) -> Result<&Repo, OpError> {
        if self.repo.store().may_be_behind() {
            self.repo.store().refresh()?;
        }
        self.metrics.operation.set(self.repo.store().last_operation().map_or(0, |(number, _)| number));
        Ok(&self.repo)
    }

    /// Asks the catalog of snapshots as the refs are now.
    ///
    /// # Errors
    /// History that cannot be read; those of `ask`.
    pub fn with_catalog<T>(
        &self,
        ask: impl FnOnce(&mut Catalog) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        self.fresh()?;
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = catalog.update(&self.repo) {
            *catalog = Catalog::default();
            return Err(error);
        }
        ask(&mut catalog)
    }

    /// Says a sentence in the server's log; one too many is lost rather than waited for.
    pub fn note(&self, sentence: String) {
        self.notes.try_send(Some(sentence)).ok();
    }
}

/// Memory that clients share.
#[derive(Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    units: u32,
}

/// A part of a [`Room`], free again when it is dropped.
pub type Taken = OwnedSemaphorePermit;

/// Room is taken by so many bytes.
const UNIT_BYTES: u64 = 64 << 10;

impl Room {
    fn new(bytes: usize) -> Self {
        let units = (bytes as u64 / UNIT_BYTES).clamp(1, 1 << 20);
        Self {
            free: Arc::new(Semaphore::new(usize::try_from(units).unwrap_or(1))),
            units: u32::try_from(units).unwrap_or(1),
        }
    }

    /// What is longer than all of the room takes all of it, and is alone.
    fn units_for(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units)
    }

    /// Room for so many bytes, if it is free now.
    pub fn now(&self, bytes: u64) -> Option<Taken> {
        Arc::clone(&self.free).try_acquire_many_owned(self.units_for(bytes)).ok()
    }

    /// Room for so many bytes, when it is free.
    pub async fn soon(&self, bytes: u64) -> Option<Taken> {
        Arc::clone(&self.free).acquire_many_owned(self.units_for(bytes)).await.ok()
    }
}

/// How many indexes are kept open.
const SEARCHERS_MAX: usize = 4;

/// Opened indexes, the one that was opened last at the end.
#[derive(Default)]
pub struct Searchers(Mutex<Vec<Arc<Searcher>>>);

impl std::fmt::Debug for Searchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Searchers")
    }
}

impl Searchers {
    /// The one of this corpus as it is now.
    pub fn get(&self, corpus: &Corpus) -> Option<Arc<Searcher>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|searcher| searcher.corpus() == corpus).map(Arc::clone)
    }

    /// Keeps one; the oldest goes when there are too many.
    pub fn put(&self, searcher: Arc<Searcher>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == SEARCHERS_MAX {
            all.remove(0);
        }
        all.push(searcher);
    }
}

/// Does work on the store on a thread for it.
pub async fn job<T: Send + 'static>(
    app: &Shared,
    work: impl FnOnce(&Shared) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let closed = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is ending", "try again later");
    let _permit = app.jobs.acquire().await.map_err(closed)?;
    let shared = Arc::clone(app);
    match tokio::task::spawn_blocking(move || work(&shared)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed at this question", ""))
        }
    }
}
