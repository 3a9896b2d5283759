//! `clone`: a repository of one's own with all that a remote has.
//!
//! Rests on `fetch`. Invariants: the remote is asked before a folder is made; a clone that was interrupted goes on where it
//! ended when it is asked for again; a folder with anything else in it is left alone.

use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::checkout::CheckoutOptions;
use crate::ops::checkout::CheckoutReport;
use crate::ops::checkout::checkout;
use crate::ops::checkout::restore_config;
use crate::ops::init::write_missing;
use crate::ops::progress::Progress;
use crate::ops::remotes::DEFAULT;
use crate::ops::remotes::FetchReport;
use crate::ops::remotes::fetch;
use crate::remote::Access;
use crate::remote::Place;
use crate::remote::Remote;
use crate::remote::Remotes;
use crate::remote::open;
use crate::repo::DOT;
use crate::repo::Repo;
use crate::repo::Site;
use crate::store::Head;
use crate::store::HeadChange;
use crate::store::OpRequest;
use crate::store::RefChange;

/// The operation's name in the operation log.
const CLONE: &str = "clone";

/// What to clone, and where to.
#[derive(Clone, Debug, Default)]
pub struct CloneOptions {
    /// The place; a folder is taken from the current one.
    pub source: String,
    /// The new folder; named like the source where none is given.
    pub dir: Option<PathBuf>,
    /// The branch to start on; the remote's own where none is given.
    pub branch: Option<String>,
    /// Whether exports and reports are written.
    pub write_files: bool,
}

/// What a clone did.
#[derive(Clone, Debug, Serialize)]
pub struct CloneReport {
    /// The new repository.
    pub root: PathBuf,
    /// Whether an interrupted clone was finished.
    pub resumed: bool,
    /// What came.
    pub fetched: FetchReport,
    /// The branch that HEAD is on, without `heads/`.
    pub branch: String,
    /// Where it stands; null where the remote has no commit yet.
    pub commit_id: Option<CommitId>,
    /// What was written; null where files were not wanted.
    pub files: Option<CheckoutReport>,
}

/// Clones.
///
/// # Errors
/// A place that holds no remote or cannot be reached, a folder that holds something else, a branch that is not there; as `fetch`.
pub fn clone(
    start: &Path,
    options: &CloneOptions,
    access: &Access,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<CloneReport, OpError> {
    let place = Place::parse(&options.source)?.from(start)?;
    let dir = match &options.dir {
        Some(dir) => dir.clone(),
        None => name_of(&place)?.into(),
    };
    let root = match Place::Folder(dir).from(start)? {
        Place::Folder(root) => root,
        other => other.to_string().into(),
    };
    let state = open(&place, access, None)?.peer().state()?;
    let head = match &options.branch {
        Some(branch) => {
            let full = format!("heads/{branch}");
            if !state.refs.contains_key(&full) {
                return Err(OpError::new(
                    ErrorKind::Usage,
                    format!("{place} has no branch called `{branch}`"),
                    "leave out --branch to start on the remote's own",
                ));
            }
            full
        }
        None => (state.head.filter(|head| state.refs.contains_key(head)))
            .or_else(|| state.refs.keys().find(|name| name.starts_with("heads/")).cloned())
            .unwrap_or_else(|| "heads/main".to_owned()),
    };
    let resumed = prepare(&root, &place)?;
    let site = Site::at(&root)?;
    let repo = site.open_or_init()?;
    let fetched = fetch(&repo, Some(DEFAULT), access, clock, progress)?;
    let branch = head.strip_prefix("heads/").unwrap_or(&head).to_owned();
    let tip = repo.store().get_ref(&super::tracking(DEFAULT, &branch));
    step(&repo, &head, tip, clock)?;
    let mut files = None;
    if let Some(commit_id) = repo.head_commit() {
        let has_config = repo.commit(commit_id)?.config_files.is_some();
        if options.write_files {
            let wanted = CheckoutOptions { force: resumed, config: has_config, ..CheckoutOptions::default() };
            files = Some(checkout(&repo, &wanted, clock)?);
        } else if has_config {
            restore_config(&repo, commit_id, resumed)?;
        }
    }
    write_missing(&repo.dot())?;
    Ok(CloneReport { root, resumed, fetched, branch, commit_id: repo.head_commit(), files })
}

/// The last part of a place.
fn name_of(place: &Place) -> Result<String, OpError> {
    let text = match place {
        // A repository may be named by its own folder.
        Place::Folder(path) if path.ends_with(DOT) => {
            path.parent().map(|path| path.display().to_string()).unwrap_or_default()
        }
        other => other.to_string(),
    };
    let name = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_good = !name.is_empty() && !name.contains(':') && !name.starts_with('.');
    if is_good {
        return Ok(name.to_owned());
    }
    Err(OpError::new(
        ErrorKind::Usage,
        format!("{place} gives no name for a folder"),
        "name the folder: `distill clone SOURCE DIR`",
    ))
}

/// Makes the folder with the remote in it, or finds what an interrupted clone of the same place left; whether it did.
fn prepare(root: &Path, place: &Place) -> Result<bool, OpError> {
    let dot = root.join(DOT);
    let taken = || {
        OpError::new(
            ErrorKind::Refused,
            format!("{} is there already and holds something else", root.display()),
            "choose another folder, or move it away",
        )
    };
    let listed = |folder: &Path| match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.flatten().map(|entry| entry.file_name()).collect::<Vec<_>>()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(OpError::io("list", folder, &error)),
    };
    // A clone that died before it had named its remote leaves the folder, and at most a file that was not finished.
    let is_begun = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(".tmp-");
    let is_empty = listed(root)?.iter().all(|name| name == DOT) && listed(&dot)?.iter().all(is_begun);
    if !is_empty {
        let remotes = Remotes::load(&dot)?;
        if remotes.0.get(DEFAULT).is_none_or(|remote| remote.place != place.to_string()) {
            return Err(taken());
        }
        let site = Site::at(root)?;
        if !site.has_store() {
            return Ok(true);
        }
        let repo = site.open()?;
        let last = match repo.store().operations().next() {
            Some(last) => Some(last?.operation.operation),
            None => None,
        };
        // Until somebody does something else there, it is ours.
        if last.is_none_or(|last| matches!(last.as_str(), CLONE | "fetch")) {
            return Ok(true);
        }
        return Err(taken());
    }
    let mut remotes = Remotes::default();
    remotes.0.insert(DEFAULT.to_owned(), Remote { place: place.to_string() });
    remotes.save(&dot)?;
    Ok(false)
}

/// Puts HEAD on the branch, and the branch where the remote's is.
fn step(repo: &Repo, head: &str, tip: Option<crate::object::ObjectId>, clock: Clock) -> Result<(), OpError> {
    let old = repo.store().head();
    let new = Head::Branch(head.to_owned());
    let before = repo.store().get_ref(head);
    let mut request =
        OpRequest { operation: CLONE.to_owned(), at: clock.now_rfc3339(), ..OpRequest::default() };
    if before != tip {
        request.ref_changes.push(RefChange { name: head.to_owned(), old: before, new: tip });
    }
    if old != new {
        request.head = Some(HeadChange { new, old });
    }
    if !request.ref_changes.is_empty() || request.head.is_some() {
        repo.store().publish(None, request)?;
    }
    Ok(())
}
