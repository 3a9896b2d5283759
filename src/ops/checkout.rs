//! `checkout`: bringing the working tree, HEAD and on request the configuration to a revision.
//!
//! Rests on `ops::snapshot`. Invariants: everything is staged and checked before HEAD moves, and HEAD moves by one publish
//! with compare-and-swap; writing into another directory moves nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::open::hold;
use crate::ops::snapshot;
use crate::ops::snapshot::Selection;
use crate::ops::snapshot::Wanted;
use crate::repo::Commit;
use crate::repo::RefName;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::repo::worktree::Summary;
use crate::repo::worktree::Transaction;
use crate::repo::worktree::Worktree;
use crate::repo::worktree::WorktreeError;
use crate::store::Head;
use crate::store::HeadChange;
use crate::store::OpRequest;
use crate::store::RefChange;
use crate::tree;

/// What to check out, and where.
#[derive(Clone, Debug, Default)]
pub struct CheckoutOptions {
    /// The revision; HEAD where none is given.
    pub rev: Option<String>,
    /// Which of its files.
    pub selection: Selection,
    /// Another directory than the working tree; HEAD then stays.
    pub to: Option<PathBuf>,
    /// Whether files changed by hand may be overwritten.
    pub force: bool,
    /// Whether the configuration of the commit is restored too.
    pub config: bool,
    /// A branch to make at the revision and switch to.
    pub new_branch: Option<String>,
}

/// What a checkout did.
#[derive(Clone, Debug, Serialize)]
pub struct CheckoutReport {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// The branch that HEAD is on, without `heads/`; null where it is detached.
    pub branch: Option<String>,
    /// Whether HEAD moved.
    pub head_moved: bool,
    /// The directory that was written.
    pub target: PathBuf,
    /// Names of the datasets that the directory now holds.
    pub datasets: Vec<String>,
    /// What became of the files.
    pub files: Summary,
    /// What became of the configuration files; null where they were left alone.
    pub config: Option<Summary>,
}

/// Brings the working tree to a revision.
///
/// # Errors
/// A revision that names nothing, files changed by hand, damage, a full disk. Nothing has changed then, but for the last
/// two after HEAD has moved.
pub fn checkout(repo: &Repo, options: &CheckoutOptions, clock: Clock) -> Result<CheckoutReport, OpError> {
    if options.to.is_some() && (options.config || options.new_branch.is_some()) {
        return Err(OpError::new(
            ErrorKind::Usage,
            "another directory has neither a configuration nor a branch",
            "leave out --config and -b, or --to",
        ));
    }
    // Another directory moves no name.
    let _hold = if options.to.is_some() { None } else { Some(hold(repo)?) };
    let commit_id = repo.resolve(options.rev.as_deref().unwrap_or("HEAD"))?;
    let commit = repo.commit(commit_id)?;
    let before = repo.store().head();
    let head = match &options.to {
        Some(_) => before.clone(),
        None => new_head(repo, options, commit_id, &before)?,
    };
    let worktree = match &options.to {
        Some(dir) => other_directory(repo, dir)?,
        None => snapshot::worktree(repo)?,
    };
    let prepared = snapshot::prepare(
        &worktree,
        Wanted {
            find: repo.store(),
            commit: Some(&commit),
            selection: &options.selection,
            ready: Vec::new(),
            same_commit: repo.head_commit() == Some(commit_id),
            force: options.force,
        },
    )?;
    let config = options.config.then(|| prepare_config(repo, &commit, options.force)).transpose()?;
    let head_moved = move_head(repo, options, commit_id, (before, head.clone()), clock)?;

    let datasets = prepared.datasets.iter().map(|(dataset, _)| dataset.clone()).collect();
    let unfinished = |mut error: OpError| {
        if head_moved && error.kind == ErrorKind::Outside {
            error.hint.push_str("; HEAD has moved, and `distill checkout` completes the files");
        }
        error
    };
    let files = prepared.commit().map_err(unfinished)?;
    let config = match config {
        Some(transaction) => {
            Some(transaction.commit(options.force, &|_| true).map_err(OpError::from).map_err(unfinished)?)
        }
        None => None,
    };
    Ok(CheckoutReport {
        commit_id,
        run_id: commit.run_id,
        branch: match head {
            Head::Branch(full) => Some(full.strip_prefix("heads/").unwrap_or(&full).to_owned()),
            Head::Detached(_) => None,
        },
        head_moved,
        target: worktree.target().to_owned(),
        datasets,
        files,
        config,
    })
}

/// Brings the working tree to where HEAD will stand after `publish`, which is called once everything is staged and
/// checked: what `reset --hard` and `undo` do.
///
/// # Errors
/// Files changed by hand unless `force`, what `publish` says, damage, a full disk.
pub fn follow<T>(
    repo: &Repo,
    to: Option<CommitId>,
    force: bool,
    publish: impl FnOnce() -> Result<T, OpError>,
) -> Result<(T, Summary), OpError> {
    let commit = to.map(|id| repo.commit(id)).transpose()?;
    let worktree = snapshot::worktree(repo)?;
    let prepared = snapshot::prepare(
        &worktree,
        Wanted {
            find: repo.store(),
            commit: commit.as_ref(),
            selection: &Selection::Usual,
            ready: Vec::new(),
            same_commit: repo.head_commit() == to,
            force,
        },
    )?;
    let published = publish()?;
    Ok((published, prepared.commit()?))
}

/// Opens the directory of `--to`, and refuses the store's own before anything is made there.
fn other_directory(repo: &Repo, dir: &Path) -> Result<Worktree, OpError> {
    let failed = |e: std::io::Error| OpError::io("open", dir, &e);
    let absolute = std::path::absolute(dir).map_err(failed)?;
    let exists = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(&absolute);
    let real = std::fs::canonicalize(exists).map_err(failed)?;
    if real.starts_with(std::fs::canonicalize(repo.dot()).map_err(failed)?) {
        return Err(OpError::new(
            ErrorKind::Usage,
            format!("{} belongs to the store", dir.display()),
            "choose a directory outside .distill",
        ));
    }
    Ok(Worktree::detached(dir)?)
}

/// Where HEAD goes: to a branch where the revision is the name of one, else to the commit itself.
fn new_head(
    repo: &Repo,
    options: &CheckoutOptions,
    commit_id: CommitId,
    before: &Head,
) -> Result<Head, OpError> {
    if let Some(name) = &options.new_branch {
        let full = RefName::branch(name).map_err(RepoError::from)?;
        if repo.store().get_ref(full.as_str()).is_some() {
            return Err(OpError::new(
                ErrorKind::Refused,
                format!("there is a branch called `{name}` already"),
                format!("switch to it with `distill checkout {name}`, or choose another name"),
            ));
        }
        return Ok(Head::Branch(full.as_str().to_owned()));
    }
    let Some(rev) = options.rev.as_deref().filter(|rev| !matches!(*rev, "HEAD" | "@")) else {
        return Ok(before.clone());
    };
    let full = format!("heads/{}", rev.strip_prefix("heads/").unwrap_or(rev));
    Ok(match repo.store().get_ref(&full) {
        Some(id) if id == *commit_id.object() => Head::Branch(full),
        _ => Head::Detached(*commit_id.object()),
    })
}

/// Publishes HEAD's step, and the new branch; whether there was anything to publish.
fn move_head(
    repo: &Repo,
    options: &CheckoutOptions,
    commit_id: CommitId,
    (old, new): (Head, Head),
    clock: Clock,
) -> Result<bool, OpError> {
    if old == new {
        return Ok(false);
    }
    let ref_changes = match (&options.new_branch, &new) {
        (Some(_), Head::Branch(name)) => {
            vec![RefChange { name: name.clone(), new: Some(*commit_id.object()), old: None }]
        }
        _ => Vec::new(),
    };
    let to = match &new {
        Head::Branch(name) => name.strip_prefix("heads/").unwrap_or(name).to_owned(),
        Head::Detached(id) => id.short(12),
    };
    repo.store().publish(
        None,
        OpRequest {
            operation: "checkout".to_owned(),
            message: Some(format!("to {to}")),
            at: clock.now_rfc3339(),
            ref_changes,
            head: Some(HeadChange { new, old }),
            drop_packs: Vec::new(),
        },
    )?;
    Ok(true)
}

/// Writes the configuration files of a commit alone.
///
/// # Errors
/// Files changed by hand unless `force`, a commit that holds none, damage, a full disk.
pub(super) fn restore_config(repo: &Repo, commit_id: CommitId, force: bool) -> Result<Summary, OpError> {
    Ok(prepare_config(repo, &repo.commit(commit_id)?, force)?.commit(force, &|_| true)?)
}

/// Stages the configuration files of `commit`. What HEAD holds of them may be replaced; an edit of a person's may not.
fn prepare_config(repo: &Repo, commit: &Commit, force: bool) -> Result<Transaction, OpError> {
    let mut current = BTreeMap::new();
    if let Some(head) = repo.head_commit() {
        current = config_files(repo, &repo.commit(head)?)?;
    }
    let wanted = config_files(repo, commit)?;
    if wanted.is_empty() {
        return Err(OpError::new(
            ErrorKind::Refused,
            format!("the commit of {} holds no configuration", commit.run_id),
            "leave out --config",
        ));
    }
    let mut transaction = Worktree::remembering(&repo.dot(), current)?.begin()?;
    for (name, id) in &wanted {
        transaction.put(name, &repo.store().find(id)?)?;
    }
    transaction.check(force, &|_| true).map_err(|error| match error {
        WorktreeError::Conflicts { paths } => {
            let dot = Path::new(crate::repo::DOT);
            WorktreeError::Conflicts { paths: paths.iter().map(|path| dot.join(path)).collect() }
        }
        other => other,
    })?;
    Ok(transaction)
}

/// The configuration files of a commit: the content by name below `.distill`.
fn config_files(repo: &Repo, commit: &Commit) -> Result<BTreeMap<String, ObjectId>, OpError> {
    let mut files = BTreeMap::new();
    let Some(root) = commit.config_files else { return Ok(files) };
    for entry in tree::iter(repo.store(), root) {
        let entry = entry?;
        let name = entry.key.strip_prefix("sources/").unwrap_or(&entry.key);
        // A commit may come from elsewhere: it names configuration, never a part of the store.
        let is_ours = entry.key == "remotes.toml";
        if is_ours || name.contains('/') || Path::new(name).extension().is_none_or(|e| e != "toml") {
            return Err(OpError::new(
                ErrorKind::Damaged,
                format!(
                    "the commit of {} names `{}`, which is no configuration file",
                    commit.run_id, entry.key
                ),
                "leave out --config, and find out where the commit came from",
            ));
        }
        files.insert(entry.key, entry.id);
    }
    Ok(files)
}
