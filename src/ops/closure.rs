//! Everything that a commit or a tag names, directly or through others: what `gc` keeps and what `stats` counts.
//!
//! Rests on the repository and the tree's walker. Invariants: a commit and a tree node are read once, however many name
//! them; a row object is told of for each leaf that holds it and never read; the first fault ends the walk.

use rustc_hash::FxHashSet;

use crate::object::CommitId;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::OpError;
use crate::ops::progress::Progress;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::tree::Entry;
use crate::tree::TreeError;
use crate::tree::Visitor;
use crate::tree::Walker;

/// The parts of a commit that are no dataset.
pub(super) const COMMITS: &str = "commits and tags";
pub(super) const REPORTS: &str = "receipts and reports";
pub(super) const CONFIGURATION: &str = "configuration";

/// Something that a walk came across.
pub(super) struct Named<'a> {
    pub(super) id: &'a ObjectId,
    /// The dataset, or one of the parts above.
    pub(super) part: &'a str,
    /// The key, for a row of a tree.
    pub(super) key: Option<&'a str>,
}

/// Told of everything that is named.
pub(super) type Sink<'a> = dyn FnMut(&Named) -> Result<(), OpError> + 'a;

/// A walk that remembers what it has seen.
pub(super) struct Closure<'a> {
    repo: &'a Repo,
    walker: Walker<'a>,
    commits: FxHashSet<CommitId>,
    tags: FxHashSet<ObjectId>,
    progress: &'a dyn Progress,
}

impl<'a> Closure<'a> {
    /// A walk that has seen nothing.
    pub(super) fn new(repo: &'a Repo, progress: &'a dyn Progress) -> Self {
        Self {
            repo,
            walker: Walker::new(repo.store()),
            commits: FxHashSet::default(),
            tags: FxHashSet::default(),
            progress,
        }
    }

    /// Whether a commit or a tag of this id was walked.
    pub(super) fn has(&self, id: &ObjectId) -> bool {
        self.tags.contains(id) || self.commits.contains(&CommitId::new(*id))
    }

    /// How many tree nodes were read.
    pub(super) fn nodes(&self) -> u64 {
        self.walker.nodes_seen() as u64
    }

    /// What the ref of this full name names when it has this value, and the history behind it.
    ///
    /// # Errors
    /// What is missing or damaged; what `sink` says.
    pub(super) fn of_ref(&mut self, name: &str, id: &ObjectId, sink: &mut Sink) -> Result<(), OpError> {
        if !name.starts_with("tags/") {
            return self.history(CommitId::new(*id), sink);
        }
        if self.tags.insert(*id) {
            let target = self.repo.tag(id)?.target;
            sink(&Named { id, part: COMMITS, key: None })?;
            self.history(target, sink)?;
        }
        Ok(())
    }

    /// A commit and all behind it.
    ///
    /// # Errors
    /// As [`Self::of_ref`].
    pub(super) fn history(&mut self, start: CommitId, sink: &mut Sink) -> Result<(), OpError> {
        let mut todo = vec![start];
        while let Some(id) = todo.pop() {
            if !self.commits.contains(&id) {
                let commit = self.repo.commit(id)?;
                self.commit(id, &commit, sink)?;
                todo.extend(commit.parents);
            }
        }
        Ok(())
    }

    /// A commit and what it holds, without those behind it.
    ///
    /// # Errors
    /// As [`Self::of_ref`].
    pub(super) fn commit(&mut self, id: CommitId, commit: &Commit, sink: &mut Sink) -> Result<(), OpError> {
        if !self.commits.insert(id) {
            return Ok(());
        }
        sink(&Named { id: id.object(), part: COMMITS, key: None })?;
        let reports =
            [(commit.summary_id, REPORTS), (commit.drift_id, REPORTS), (commit.config_id, CONFIGURATION)];
        for (report, part) in reports {
            if let Some(id) = &report {
                sink(&Named { id, part, key: None })?;
            }
        }
        self.tree(REPORTS, commit.receipts, sink)?;
        if let Some(files) = commit.config_files {
            self.tree(CONFIGURATION, files, sink)?;
        }
        for (dataset, root) in &commit.datasets {
            self.tree(dataset, *root, sink)?;
        }
        Ok(())
    }

    fn tree(&mut self, part: &str, root: RootId, sink: &mut Sink) -> Result<(), OpError> {
        let mut visit = Visit { part, sink, progress: self.progress, fault: None };
        self.walker.walk(root, &mut visit);
        visit.fault.map_or(Ok(()), Err)
    }
}

struct Visit<'a, 'b, 'c> {
    part: &'a str,
    sink: &'a mut Sink<'b>,
    progress: &'c dyn Progress,
    fault: Option<OpError>,
}

impl Visit<'_, '_, '_> {
    fn tell(&mut self, id: &ObjectId, key: Option<&str>) {
        if self.fault.is_none()
            && let Err(error) = (self.sink)(&Named { id, part: self.part, key })
        {
            self.fault = Some(error);
        }
    }
}

impl Visitor for Visit<'_, '_, '_> {
    fn node(&mut self, id: &ObjectId, _: u8) -> bool {
        self.tell(id, None);
        self.fault.is_none()
    }

    fn row(&mut self, row: &Entry) {
        self.tell(&row.id, Some(&row.key));
        self.progress.advance(1, row.bytes);
    }

    fn damage(&mut self, _: &ObjectId, error: TreeError) {
        if self.fault.is_none() {
            self.fault = Some(error.into());
        }
    }
}
