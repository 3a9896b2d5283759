//! The sides of a merge: which revisions bring something, and where they parted.
//!
//! Rests on history. Invariants: a revision that another side has already is no side; the branch is the first side,
//! also where a revision goes on from it.

use crate::object::CommitId;
use crate::ops::error::OpError;
use crate::ops::merge::MergeParent;
use crate::repo::{Commit, RefName, Repo};

/// One side.
pub(super) struct Loaded {
    /// As it was asked for; the branch for the first.
    pub rev: String,
    pub id: CommitId,
    pub commit: Commit,
    /// The best common ancestors with the sides before it.
    pub bases: Vec<(CommitId, Commit)>,
}

impl Loaded {
    /// Whether nothing was committed on `ours` since this side left it.
    pub(super) fn goes_on_from(&self, ours: &Self) -> bool {
        self.bases.iter().map(|(id, _)| *id).eq([ours.id])
    }

    pub(super) fn line(&self) -> MergeParent {
        MergeParent {
            rev: self.rev.clone(),
            commit_id: self.id,
            run_id: self.commit.run_id.clone(),
            bases: self.bases.iter().map(|(id, _)| *id).collect(),
        }
    }
}

/// The branch, where it has a commit, and the revisions that bring something to it and to each other.
pub(super) fn sides(
    repo: &Repo,
    branch: &RefName,
    ours: Option<CommitId>,
    revs: &[String],
) -> Result<Vec<Loaded>, OpError> {
    let name = branch.as_str().trim_start_matches("heads/");
    let mut named: Vec<(&str, CommitId)> = ours.map(|id| (name, id)).into_iter().collect();
    for rev in revs {
        named.push((rev, repo.resolve(rev)?));
    }
    let kept = repo.independent(&named.iter().map(|(_, id)| *id).collect::<Vec<_>>())?;
    let mut sides: Vec<Loaded> = Vec::new();
    for (at, (rev, id)) in named.into_iter().enumerate() {
        let is_branch = at == 0 && ours.is_some();
        if !(is_branch || kept.contains(&id)) || sides.iter().any(|side| side.id == id) {
            continue;
        }
        let before: Vec<CommitId> = sides.iter().map(|side| side.id).collect();
        let mut bases = Vec::new();
        for base in repo.merge_bases(id, &before)? {
            bases.push((base, repo.commit(base)?));
        }
        sides.push(Loaded { rev: rev.to_owned(), id, commit: repo.commit(id)?, bases });
    }
    Ok(sides)
}
