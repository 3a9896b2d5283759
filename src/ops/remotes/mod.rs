//! Remotes: the same history in another folder, bucket or server, and what goes there and comes from there.
//!
//! Rests on `remote` for everything that travels. Invariants: a local ref moves here, in one publish, after all that it needs
//! has come; what was last seen of a remote's branches stands under `remotes/NAME/`; two commands with one place in one
//! repository wait for each other, by whatever names they know it.

mod add;
mod clone;
mod fetch;
mod pull;
mod push;

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::base::fs::write_atomic;
use crate::object::ObjectId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::progress::Progress;
use crate::remote::Access;
use crate::remote::Bucketed;
use crate::remote::Opened;
use crate::remote::Place;
use crate::remote::RemoteError;
use crate::remote::Remotes;
use crate::remote::open;
use crate::remote::race;
use crate::remote::unique;
use crate::repo::Repo;
use crate::store::Lease;
use crate::store::OpRequest;
use crate::store::RefChange;

pub use add::AddReport;
pub use add::add;
pub use clone::CloneOptions;
pub use clone::CloneReport;
pub use clone::clone;
pub use fetch::FetchReport;
pub use fetch::FetchedRef;
pub use fetch::fetch;
pub use pull::PullOptions;
pub use pull::PullOutcome;
pub use pull::PullReport;
pub use pull::pull;
pub use push::PushOptions;
pub use push::PushReport;
pub use push::PushedRef;
pub use push::push;

/// Notes among what is kept of a place that its writers were tried.
const TRIED: &str = "writers-were-tried";

/// The remote that is meant where none is named and there are several.
const DEFAULT: &str = "origin";

/// One remote of the list.
#[derive(Clone, Debug, Serialize)]
pub struct RemoteLine {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// Its branches as they were last seen, with their commits.
    pub branches: Vec<(String, ObjectId)>,
}

/// Every remote, by name.
///
/// # Errors
/// When `remotes.toml` cannot be used.
pub fn list(repo: &Repo) -> Result<Vec<RemoteLine>, OpError> {
    let remotes = Remotes::load(&repo.dot())?;
    let refs = repo.store().refs();
    let lines = remotes.0.into_iter().map(|(name, remote)| {
        let family = tracking(&name, "");
        let branches = (refs.iter())
            .filter_map(|(full, id)| Some((full.strip_prefix(&family)?.to_owned(), *id)))
            .collect();
        RemoteLine { name, place: remote.place, branches }
    });
    Ok(lines.collect())
}

/// A remote that was taken off the list.
#[derive(Clone, Debug, Serialize)]
pub struct RemoveReport {
    /// Its name.
    pub name: String,
    /// Where it is; it stays as it is.
    pub place: String,
    /// How many names of its branches went.
    pub branches: u64,
}

/// Takes a remote off the list, with what is remembered of it. The remote itself stays as it is.
///
/// # Errors
/// When there is none of that name.
pub fn remove(repo: &Repo, name: &str, clock: Clock) -> Result<RemoveReport, OpError> {
    let (name, place) = configured(repo, Some(name))?;
    let _lease = lease(repo, &place, "remote remove", &crate::ops::Silent)?;
    repo.store().refresh()?;
    let family = tracking(&name, "");
    let ref_changes: Vec<RefChange> = (repo.store().refs().into_iter())
        .filter(|(full, _)| full.starts_with(&family))
        .map(|(name, id)| RefChange { name, old: Some(id), new: None })
        .collect();
    let branches = ref_changes.len() as u64;
    if !ref_changes.is_empty() {
        let request = OpRequest {
            operation: "remote".to_owned(),
            message: Some(format!("remove {name}")),
            at: clock.now_rfc3339(),
            ref_changes,
            ..OpRequest::default()
        };
        repo.store().publish(None, request)?;
    }
    change_list(repo, |remotes| {
        remotes.0.remove(&name);
        Ok(())
    })?;
    std::fs::remove_dir_all(cache_dir(repo, &place)).ok();
    Ok(RemoveReport { name, place: place.to_string(), branches })
}

/// The remote of that name; without a name the only one, or `origin`.
fn configured(repo: &Repo, name: Option<&str>) -> Result<(String, Place), OpError> {
    let remotes = Remotes::load(&repo.dot())?;
    let names: Vec<&str> = remotes.0.keys().map(String::as_str).collect();
    let there_is = || match names.len() {
        0 => "`distill remote add NAME PLACE` makes one known".to_owned(),
        _ => format!("there is `{}`", names.join("`, `")),
    };
    let wanted = match (name, names.as_slice()) {
        (Some(name), _) => name,
        (None, [one]) => one,
        (None, names) if names.contains(&DEFAULT) => DEFAULT,
        (None, []) => {
            return Err(OpError::new(ErrorKind::Usage, "this repository has no remote", there_is()));
        }
        (None, _) => {
            return Err(OpError::new(
                ErrorKind::Usage,
                "this repository has several remotes, and none is called `origin`",
                format!("name one: {}", there_is()),
            ));
        }
    };
    match remotes.0.get(wanted) {
        Some(remote) => Ok((wanted.to_owned(), Place::parse(&remote.place)?)),
        None => {
            Err(OpError::new(ErrorKind::Usage, format!("there is no remote called `{wanted}`"), there_is()))
        }
    }
}

/// Whether a remote of that name is configured.
///
/// # Errors
/// When `remotes.toml` cannot be used.
pub fn is_configured(dot: &Path, name: &str) -> Result<bool, OpError> {
    Ok(Remotes::load(dot)?.0.contains_key(name))
}

/// Makes sure that no two pushes to a bucket can undo each other: once for each place and repository, also where somebody else
/// made it a remote. The bucket may have moved to another store since, or be a copy.
fn try_writers(repo: &Repo, place: &Place, bucketed: &Bucketed) -> Result<(), RemoteError> {
    let tried = cache_dir(repo, place).join(TRIED);
    if tried.exists() {
        return Ok(());
    }
    race(bucketed.bucket(), &unique()[..16])?;
    // Where it cannot be noted, it is tried again.
    write_atomic(&tried, b"").ok();
    Ok(())
}

/// Digits that stand for a place in the names of files.
fn place_id(place: &Place) -> String {
    ObjectId::of(place.to_string().as_bytes()).short(16)
}

/// Where tables and unfinished transfers of a place are kept: a cache.
fn cache_dir(repo: &Repo, place: &Place) -> PathBuf {
    repo.dot().join("index").join("remotes").join(place_id(place))
}

fn opened(repo: &Repo, place: &Place, access: &Access) -> Result<Opened, OpError> {
    Ok(open(place, access, Some(&cache_dir(repo, place)))?)
}

/// The full name under which a branch of a remote is known here.
fn tracking(remote: &str, branch: &str) -> String {
    format!("remotes/{remote}/{branch}")
}

/// Changes the list of remotes, which others may be changing too.
fn change_list(repo: &Repo, change: impl FnOnce(&mut Remotes) -> Result<(), OpError>) -> Result<(), OpError> {
    let timeout = Duration::from_secs(repo.config().run.lease_timeout_s);
    let _lease = repo.store().lease("remotes", "a change of the list of remotes", timeout, &mut |_| {})?;
    let mut remotes = Remotes::load(&repo.dot())?;
    change(&mut remotes)?;
    Ok(remotes.save(&repo.dot())?)
}

/// The right to talk to a place from this repository. What is kept of unfinished transfers is kept by place.
fn lease(repo: &Repo, place: &Place, what: &str, progress: &dyn Progress) -> Result<Lease, OpError> {
    let timeout = Duration::from_secs(repo.config().run.lease_timeout_s);
    Ok(repo.store().lease(&format!("remotes/{}", place_id(place)), what, timeout, &mut |holder| {
        progress.note(&format!("waiting for {holder}"));
    })?)
}
