//! The working tree of a run: what it writes beside the store, and what it must not overwrite.
//!
//! Rests on `ops::snapshot`. Invariants: files changed by hand stop a run at its start, before anything is computed, and
//! once more before it publishes; the working tree follows HEAD, so a run on another branch leaves it alone.

use crate::object::Find;
use crate::ops::error::OpError;
use crate::ops::receipting::Export;
use crate::ops::run::RunOptions;
use crate::ops::snapshot;
use crate::ops::snapshot::Prepared;
use crate::ops::snapshot::ReadyFile;
use crate::ops::snapshot::Selection;
use crate::ops::snapshot::Wanted;
use crate::repo::Commit;
use crate::repo::RefName;
use crate::repo::Repo;
use crate::store::Head;

/// What a run does to the working tree.
pub(crate) struct Files {
    is_wanted: bool,
    force: bool,
    prepared: Option<Prepared>,
}

impl Files {
    /// Looks for files that were changed by hand.
    ///
    /// # Errors
    /// When there are some that the run would overwrite, and it was not told to.
    pub(crate) fn begin(repo: &Repo, branch: &RefName, options: &RunOptions) -> Result<Self, OpError> {
        let is_wanted =
            options.write_files && repo.store().head() == Head::Branch(branch.as_str().to_owned());
        if is_wanted {
            snapshot::refuse_changed(repo, options.force)?;
        }
        Ok(Self { is_wanted, force: options.force, prepared: None })
    }

    /// Stages the files of the commit that is about to be published, from what is staged for the store.
    ///
    /// # Errors
    /// Files changed by hand, a full disk.
    pub(crate) fn prepare(
        mut self,
        repo: &Repo,
        find: &dyn Find,
        commit: &Commit,
        exports: Vec<Export>,
    ) -> Result<Self, OpError> {
        let ready = (exports.into_iter())
            .map(|export| ReadyFile {
                dataset: export.dataset.to_owned(),
                blake3: export.blake3,
                path: export.path,
            })
            .collect();
        if !self.is_wanted {
            snapshot::discard(ready);
            return Ok(self);
        }
        let worktree = snapshot::worktree(repo)?;
        let wanted = Wanted {
            find,
            commit: Some(commit),
            selection: &Selection::Usual,
            ready,
            same_commit: false,
            force: self.force,
        };
        self.prepared = Some(snapshot::prepare(&worktree, wanted)?);
        Ok(self)
    }

    /// Brings the files into place; returns the names of those that the run stands for, in order.
    ///
    /// # Errors
    /// Files changed by hand meanwhile; I/O. The commit is published by then.
    pub(crate) fn commit(self) -> Result<Vec<String>, OpError> {
        let Some(prepared) = self.prepared else { return Ok(Vec::new()) };
        let files = prepared.files();
        prepared.commit().map_err(|mut error| {
            error.hint.push_str("; the run is committed, and `distill checkout` completes the files");
            error
        })?;
        Ok(files)
    }
}
