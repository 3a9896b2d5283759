//! `tag`, `branch`, `reset` and `undo`: moving names, each as one publish with compare-and-swap.
//!
//! Rests on `repo` and the store's publish. Invariants: a tag and a run never move without being forced; the branch that
//! HEAD names is never deleted; what a step took away can be had back by `undo`, itself undone by another.

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::Exists as _;
use crate::object::Kind;
use crate::object::ObjectId;
use crate::object::Write as _;
use crate::ops::checkout::follow;
use crate::ops::open::hold;
use crate::ops::open::resolve;
use crate::ops::{ErrorKind, OpError};
use crate::repo::RefName;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::repo::Tag;
use crate::repo::TagSchema;
use crate::repo::worktree::Summary;
use crate::store::Head;
use crate::store::HeadChange;
use crate::store::OpRequest;
use crate::store::RefChange;

/// One tag of the list.
#[derive(Clone, Debug, Serialize)]
pub struct TagLine {
    /// Its name, without `tags/`.
    pub name: String,
    /// The tag object.
    pub tag_id: ObjectId,
    /// The commit it names.
    pub commit_id: CommitId,
    /// The run of that commit.
    pub run_id: String,
    /// What for.
    pub message: String,
    /// Who; empty when not configured.
    pub tagger: String,
    /// RFC 3339, UTC.
    pub tagged_at: String,
}

/// One branch of the list.
#[derive(Clone, Debug, Serialize)]
pub struct BranchLine {
    /// Its name, without `heads/`.
    pub name: String,
    /// Where it stands; null for the branch of HEAD before its first commit.
    pub commit_id: Option<CommitId>,
    /// The run of that commit.
    pub run_id: Option<String>,
    /// The first line of its message.
    pub message: Option<String>,
    /// Whether HEAD names it.
    pub current: bool,
}

/// A ref that moved.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// The full name: `tags/v1.0.0`, or `HEAD` where it is detached.
    pub name: String,
    /// The commit it named; null when it is new.
    pub before: Option<CommitId>,
    /// The commit it names; null when it is gone.
    pub after: Option<CommitId>,
    /// The run of that commit.
    pub run_id: Option<String>,
    /// The tag object that was written.
    pub tag_id: Option<ObjectId>,
    /// Number of the operation; null when there was nothing to do.
    pub operation: Option<u64>,
}

/// A name to give.
#[derive(Clone, Debug, Default)]
pub struct NewRef {
    /// The name, without its family.
    pub name: String,
    /// The revision; HEAD where none is given.
    pub rev: Option<String>,
    /// What for.
    pub message: Option<String>,
    /// Whether a name that exists moves.
    pub force: bool,
}

/// Every tag, by name.
///
/// # Errors
/// When a tag or its commit is missing or damaged.
pub fn tags(repo: &Repo) -> Result<Vec<TagLine>, OpError> {
    let mut lines = Vec::new();
    for (full, tag_id) in repo.store().refs() {
        let Some(name) = full.strip_prefix("tags/") else { continue };
        let tag = repo.tag(&tag_id)?;
        lines.push(TagLine {
            name: name.to_owned(),
            tag_id,
            commit_id: tag.target,
            run_id: repo.commit(tag.target)?.run_id,
            message: tag.message,
            tagger: tag.tagger,
            tagged_at: tag.tagged_at,
        });
    }
    Ok(lines)
}

/// Every branch, by name; that of HEAD even before its first commit.
///
/// # Errors
/// When a commit is missing or damaged.
pub fn branches(repo: &Repo) -> Result<Vec<BranchLine>, OpError> {
    let head = match repo.store().head() {
        Head::Branch(full) => full.strip_prefix("heads/").map(ToOwned::to_owned),
        Head::Detached(_) => None,
    };
    let mut lines = Vec::new();
    for (full, id) in repo.store().refs() {
        let Some(name) = full.strip_prefix("heads/") else { continue };
        let commit = repo.commit(CommitId::new(id))?;
        lines.push(BranchLine {
            name: name.to_owned(),
            commit_id: Some(CommitId::new(id)),
            run_id: Some(commit.run_id),
            message: commit.message.lines().next().map(ToOwned::to_owned),
            current: head.as_deref() == Some(name),
        });
    }
    if let Some(name) = head.filter(|name| !lines.iter().any(|line| line.name == *name)) {
        lines.push(BranchLine { name, commit_id: None, run_id: None, message: None, current: true });
        lines.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(lines)
}

/// Makes a tag, or with `force` moves one.
///
/// # Errors
/// A bad name, one that is taken or would be ambiguous, a revision that names nothing.
pub fn create_tag(repo: &Repo, new: &NewRef, clock: Clock) -> Result<Moved, OpError> {
    let full = RefName::tag(&new.name).map_err(RepoError::from)?;
    let _hold = hold(repo)?;
    let target = resolve(repo, new.rev.as_deref())?;
    let commit = repo.commit(target)?;
    let old = repo.store().get_ref(full.as_str());
    if old.is_some() && !new.force {
        return Err(taken("tag", &new.name, "a tag never moves by itself: name another, or use --force"));
    }
    refuse_ambiguous(repo, new, full.as_str(), target)?;
    let tag = Tag {
        schema: TagSchema::V1,
        name: new.name.clone(),
        target,
        message: new.message.clone().unwrap_or_default(),
        tagger: repo.config().author.clone(),
        tagged_at: clock.now_rfc3339(),
    };
    let bytes = tag.to_bytes().map_err(|e| {
        OpError::new(
            ErrorKind::Usage,
            format!("the tag cannot be written: {e}"),
            "check the message and the author",
        )
    })?;
    let mut staging = repo.store().staging()?;
    let tag_id = staging.write(Kind::Data, &bytes)?;
    let before = old.map(|id| repo.tag(&id)).transpose()?.map(|tag| tag.target);
    let request = OpRequest {
        operation: "tag".to_owned(),
        message: Some(
            new.message.clone().unwrap_or_else(|| format!("{} at {}", new.name, target.object().short(12))),
        ),
        at: clock.now_rfc3339(),
        ref_changes: vec![RefChange { name: full.as_str().to_owned(), old, new: Some(tag_id) }],
        ..OpRequest::default()
    };
    let published = repo.store().publish(Some(staging), request)?;
    Ok(Moved {
        name: full.as_str().to_owned(),
        before,
        after: Some(target),
        run_id: Some(commit.run_id),
        tag_id: Some(tag_id),
        operation: Some(published.number),
    })
}

/// Makes a branch, or with `force` moves one that HEAD does not name.
///
/// # Errors
/// A bad name, one that is taken or would be ambiguous, a revision that names nothing.
pub fn create_branch(repo: &Repo, new: &NewRef, clock: Clock) -> Result<Moved, OpError> {
    let full = RefName::branch(&new.name).map_err(RepoError::from)?;
    let _hold = hold(repo)?;
    let target = resolve(repo, new.rev.as_deref())?;
    let commit = repo.commit(target)?;
    let old = repo.store().get_ref(full.as_str());
    if old.is_some() {
        if repo.store().head() == Head::Branch(full.as_str().to_owned()) {
            return Err(taken("branch", &new.name, "HEAD is on it: `distill reset --hard REV` moves it"));
        }
        if !new.force {
            return Err(taken("branch", &new.name, "name another, or move it with --force"));
        }
    }
    refuse_ambiguous(repo, new, full.as_str(), target)?;
    let message =
        new.message.clone().unwrap_or_else(|| format!("{} at {}", new.name, target.object().short(12)));
    let number = move_ref(repo, full.as_str(), old, Some(*target.object()), ("branch", message), clock)?;
    Ok(Moved {
        name: full.as_str().to_owned(),
        before: old.map(CommitId::new),
        after: Some(target),
        run_id: Some(commit.run_id),
        tag_id: None,
        operation: Some(number),
    })
}

/// Deletes a tag.
///
/// # Errors
/// When there is none of that name.
pub fn delete_tag(repo: &Repo, name: &str, clock: Clock) -> Result<Moved, OpError> {
    let full = RefName::tag(name).map_err(RepoError::from)?;
    let old = repo.store().get_ref(full.as_str()).ok_or_else(|| absent(repo, "tags/", name))?;
    // A tag whose object is lost can still be taken away.
    let before = repo.tag(&old).ok().map(|tag| tag.target);
    let number = move_ref(repo, full.as_str(), Some(old), None, ("tag", format!("delete {name}")), clock)?;
    let name = full.as_str().to_owned();
    Ok(Moved { name, before, after: None, run_id: None, tag_id: None, operation: Some(number) })
}

/// Deletes a branch that HEAD does not name. Its runs keep their names, so no commit is lost.
///
/// # Errors
/// When there is none of that name, or HEAD is on it.
pub fn delete_branch(repo: &Repo, name: &str, clock: Clock) -> Result<Moved, OpError> {
    let full = RefName::branch(name).map_err(RepoError::from)?;
    let old = repo.store().get_ref(full.as_str()).ok_or_else(|| absent(repo, "heads/", name))?;
    if repo.store().head() == Head::Branch(full.as_str().to_owned()) {
        return Err(OpError::new(
            ErrorKind::Refused,
            format!("HEAD is on the branch `{name}`"),
            "switch to another first: `distill checkout BRANCH`",
        ));
    }
    let number = move_ref(repo, full.as_str(), Some(old), None, ("branch", format!("delete {name}")), clock)?;
    Ok(Moved {
        name: full.as_str().to_owned(),
        before: Some(CommitId::new(old)),
        after: None,
        run_id: None,
        tag_id: None,
        operation: Some(number),
    })
}

/// Moves the branch that HEAD names, or a detached HEAD itself, to `rev`, and the working tree with it. Files changed by
/// hand stop it unless `force` is given.
///
/// # Errors
/// A revision that names nothing, files changed by hand, a branch that somebody moved meanwhile.
pub fn reset(repo: &Repo, rev: &str, force: bool, clock: Clock) -> Result<(Moved, Summary), OpError> {
    let _hold = hold(repo)?;
    let target = repo.resolve(rev)?;
    let run_id = Some(repo.commit(target)?.run_id);
    let before = repo.head_commit();
    let head = repo.store().head();
    let name = match &head {
        Head::Branch(full) => full.clone(),
        Head::Detached(_) => "HEAD".to_owned(),
    };
    let mut request = OpRequest {
        operation: "reset".to_owned(),
        message: Some(format!("to {rev}")),
        at: clock.now_rfc3339(),
        ..OpRequest::default()
    };
    match head {
        Head::Branch(name) => {
            let (old, new) = (before.map(|id| *id.object()), Some(*target.object()));
            request.ref_changes.push(RefChange { name, old, new });
        }
        old @ Head::Detached(_) => {
            request.head = Some(HeadChange { new: Head::Detached(*target.object()), old });
        }
    }
    let (operation, files) = follow(repo, Some(target), force, || {
        // The files are brought back even where the branch stays.
        if before == Some(target) {
            return Ok(None);
        }
        Ok(Some(repo.store().publish(None, request)?.number))
    })?;
    Ok((Moved { name, before, after: Some(target), run_id, tag_id: None, operation }, files))
}

/// What `undo` took back.
#[derive(Clone, Debug, Serialize)]
pub struct Undone {
    /// Number of the operation that was taken back.
    pub undone: u64,
    /// What it had done.
    pub operation: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// A person's message.
    pub message: Option<String>,
    /// Number of the operation that took it back; undoing that one does it again.
    pub number: u64,
    /// The refs that moved, from where to where.
    pub ref_changes: Vec<RefChange>,
    /// HEAD's step, if it moved.
    pub head: Option<HeadChange>,
    /// Where HEAD stands now.
    pub commit_id: Option<CommitId>,
    /// What became of the files of the working tree; null where HEAD stays.
    pub files: Option<Summary>,
}

/// Steps refs and HEAD back to before the last operation that moved one, as a new operation, and the working tree with
/// HEAD. Files changed by hand stop it unless `force` is given.
///
/// # Errors
/// When no operation has moved anything, or what it moved from is no longer in the store; files changed by hand.
pub fn undo(repo: &Repo, force: bool, clock: Clock) -> Result<Undone, OpError> {
    let _hold = hold(repo)?;
    let mut last = None;
    for logged in repo.store().operations() {
        let operation = logged?.operation;
        // What audits found, and what was seen of remotes, is no step of anybody's work.
        let is_step = |name: &str| !name.starts_with("audits/") && !name.starts_with("remotes/");
        let moves = operation.ref_changes.iter().any(|change| is_step(&change.name));
        if moves || operation.head.is_some() {
            last = Some(operation);
            break;
        }
    }
    let Some(last) = last else {
        return Err(OpError::new(
            ErrorKind::Refused,
            "there is nothing to undo: no operation has moved a branch, a tag or HEAD yet",
            "`distill run-all` makes the first commit",
        ));
    };
    let ref_changes: Vec<RefChange> = (last.ref_changes.iter())
        .map(|change| RefChange { name: change.name.clone(), old: change.new, new: change.old })
        .collect();
    let head = last.head.map(|change| HeadChange { new: change.old, old: change.new });
    let mut back_to: Vec<ObjectId> = ref_changes.iter().filter_map(|change| change.new).collect();
    if let Some(HeadChange { new: Head::Detached(id), .. }) = &head {
        back_to.push(*id);
    }
    for id in back_to {
        if !repo.store().exists(&id)? {
            return Err(OpError::new(
                ErrorKind::Refused,
                format!("operation {} cannot be undone: {id} is no longer in the store", last.number),
                "it was collected as garbage after nothing named it any more",
            ));
        }
    }
    let request = OpRequest {
        operation: "undo".to_owned(),
        message: Some(format!("{} of operation {}", last.operation, last.number)),
        at: clock.now_rfc3339(),
        ref_changes: ref_changes.clone(),
        head: head.clone(),
        drop_packs: Vec::new(),
    };
    let commit_id = head_after(repo, &request);
    let publish = || Ok(repo.store().publish(None, request)?.number);
    let (number, files) = if commit_id == repo.head_commit() {
        (publish()?, None)
    } else {
        let (number, files) = follow(repo, commit_id, force, publish)?;
        (number, Some(files))
    };
    Ok(Undone {
        undone: last.number,
        operation: last.operation,
        at: last.at,
        message: last.message,
        number,
        ref_changes,
        head,
        commit_id,
        files,
    })
}

/// The commit at which HEAD stands once `request` is published.
fn head_after(repo: &Repo, request: &OpRequest) -> Option<CommitId> {
    let head = request.head.as_ref().map_or_else(|| repo.store().head(), |change| change.new.clone());
    match head {
        Head::Detached(id) => Some(id),
        Head::Branch(name) => match request.ref_changes.iter().find(|change| change.name == name) {
            Some(change) => change.new,
            None => repo.store().get_ref(&name),
        },
    }
    .map(CommitId::new)
}

fn move_ref(
    repo: &Repo,
    name: &str,
    old: Option<ObjectId>,
    new: Option<ObjectId>,
    (operation, message): (&str, String),
    clock: Clock,
) -> Result<u64, OpError> {
    let request = OpRequest {
        operation: operation.to_owned(),
        message: Some(message),
        at: clock.now_rfc3339(),
        ref_changes: vec![RefChange { name: name.to_owned(), old, new }],
        ..OpRequest::default()
    };
    Ok(repo.store().publish(None, request)?.number)
}

/// A name that means one thing must not come to mean two.
fn refuse_ambiguous(repo: &Repo, new: &NewRef, full: &str, target: CommitId) -> Result<(), OpError> {
    if new.force {
        return Ok(());
    }
    for family in ["heads/", "tags/", "runs/"] {
        let other = format!("{family}{}", new.name);
        if other != full && repo.store().get_ref(&other).is_some() && repo.peel(&other)? != target {
            return Err(OpError::new(
                ErrorKind::Refused,
                format!("`{}` would be ambiguous: `{other}` names another commit", new.name),
                "choose another name, or use --force and write full names from then on",
            ));
        }
    }
    Ok(())
}

fn taken(what: &str, name: &str, hint: &str) -> OpError {
    OpError::new(ErrorKind::Refused, format!("there is a {what} called `{name}` already"), hint)
}

fn absent(repo: &Repo, family: &str, name: &str) -> OpError {
    let what = if family == "tags/" { "tag" } else { "branch" };
    let names: Vec<String> = (repo.store().refs().into_keys())
        .filter_map(|full| full.strip_prefix(family).map(ToOwned::to_owned))
        .collect();
    let hint = match names.len() {
        0 => format!("there is no {what} at all"),
        1..=12 => format!("there is `{}`", names.join("`, `")),
        _ => format!("`distill {what}` lists them"),
    };
    OpError::new(ErrorKind::Usage, format!("there is no {what} called `{name}`"), hint)
}
