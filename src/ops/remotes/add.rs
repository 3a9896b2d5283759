//! `remote add`: a place becomes known, after it was found fit.
//!
//! Rests on the race of writers. Invariants: a store that lets several writers create one name is refused before anything
//! relies on it; nothing is written here before the place was asked.

use serde::Serialize;

use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::remotes::TRIED;
use crate::ops::remotes::cache_dir;
use crate::ops::remotes::change_list;
use crate::ops::remotes::opened;
use crate::ops::remotes::try_writers;
use crate::remote::Access;
use crate::remote::Directory;
use crate::remote::Opened;
use crate::remote::Place;
use crate::remote::Remote;
use crate::remote::RemoteError;
use crate::remote::Remotes;
use crate::remote::check_name;
use crate::repo::Repo;

/// What became known.
#[derive(Clone, Debug, Serialize)]
pub struct AddReport {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: String,
    /// `bucket`, `folder`, `repository` or `server`.
    pub kind: &'static str,
    /// Whether the place was empty and was made a remote.
    pub is_new: bool,
    /// Whether it can be written; null where that was not tried.
    pub is_writable: Option<bool>,
    /// How many branches it has.
    pub branches: u64,
}

/// Makes the place `text` known as `name`. Folders are taken from `start`.
///
/// # Errors
/// A name or a place that cannot be used or is known already, a folder that holds something else, a store on which two
/// writers can create the same name; when it cannot be reached.
pub fn add(
    repo: &Repo,
    start: &std::path::Path,
    name: &str,
    text: &str,
    access: &Access,
) -> Result<AddReport, OpError> {
    check_name(name)?;
    let place = Place::parse(text)?.from(start)?;
    refuse_known(&Remotes::load(&repo.dot())?, name)?;
    let opened = opened(repo, &place, access)?;
    let (mut is_new, mut is_writable) = (false, None);
    let kind = match &opened {
        Opened::Bucketed(bucketed) => {
            let is_remote = bucketed.check_marker()?;
            if let Place::Folder(folder) = &place
                && !is_remote
            {
                let directory = Directory::new(folder);
                if !directory.is_empty()? {
                    return Err(RemoteError::NotEmpty { place: place.to_string() }.into());
                }
            }
            // What was found of a place that was known before says nothing of what is there now.
            std::fs::remove_file(cache_dir(repo, &place).join(TRIED)).ok();
            match try_writers(repo, &place, bucketed) {
                Ok(()) => {
                    is_new = bucketed.found()?;
                    is_writable = Some(true);
                }
                // Whoever only fetches needs no more than to read.
                Err(RemoteError::Denied { .. }) if is_remote => is_writable = Some(false),
                Err(error) => return Err(error.into()),
            }
            if matches!(place, Place::Folder(_)) { "folder" } else { "bucket" }
        }
        Opened::Repository(_) => "repository",
        Opened::Server(_) => "server",
    };
    let state = opened.peer().state()?;
    change_list(repo, |remotes| {
        refuse_known(remotes, name)?;
        remotes.0.insert(name.to_owned(), Remote { place: place.to_string() });
        Ok(())
    })?;
    let branches = state.refs.keys().filter(|name| name.starts_with("heads/")).count() as u64;
    Ok(AddReport { name: name.to_owned(), place: place.to_string(), kind, is_new, is_writable, branches })
}

fn refuse_known(remotes: &Remotes, name: &str) -> Result<(), OpError> {
    if !remotes.0.contains_key(name) {
        return Ok(());
    }
    Err(OpError::new(
        ErrorKind::Refused,
        format!("there is a remote called `{name}` already"),
        format!("`distill remote remove {name}` takes it off the list, or choose another name"),
    ))
}
