//! Places of remotes: a folder, a bucket, a server.
//!
//! Rests on nothing but text and a look at the folder. Invariants: a folder that holds a store is a repository, one that holds
//! the marker is a remote in the layout of a bucket, and any other is neither.

use std::path::Path;
use std::path::PathBuf;

use super::directory::Directory;
use super::error::RemoteError;
use super::http::Server;
use super::log::Bucketed;
use super::log::MARKER;
use super::peer::Peer;
use super::repository::Repository;
use super::s3::S3;
use super::web::Token;
use super::web::check_address;
use super::web::without_secrets;
use crate::repo::DOT;
use crate::repo::Site;
use crate::store::Store;

/// What a remote may need from the environment; the command line reads it there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `AWS_*` with their values.
    pub aws: Vec<(String, String)>,
    /// The token for servers.
    pub token: Option<Token>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What it holds is not for logs.
        f.write_str("Access")
    }
}

/// Where a remote is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder: a repository, or a remote in the layout of a bucket.
    Folder(PathBuf),
    /// A bucket of an S3-compatible object store.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all names begin with; empty, or without slashes at its ends.
        prefix: String,
    },
    /// A server that `distill serve` runs, without a slash at the end.
    Http(String),
}

impl Place {
    /// Reads a place as a person types it.
    ///
    /// # Errors
    /// [`RemoteError::BadPlace`].
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        let refuse = |why: &str| RemoteError::BadPlace { text: without_secrets(text), why: why.to_owned() };
        match text.split_once("://") {
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_matches('/');
                if bucket.is_empty() {
                    return Err(refuse("it names no bucket"));
                }
                if !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
                    return Err(refuse("a bucket is called by letters, digits, `.`, `-` and `_` alone"));
                }
                if prefix.split('/').any(|part| matches!(part, "." | "..")) || prefix.contains("//") {
                    return Err(refuse("a part of the prefix is empty or made of dots"));
                }
                Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
            }
            Some(("http" | "https", _)) => match check_address(text) {
                Ok(_) => Ok(Self::Http(text.trim_end_matches('/').to_owned())),
                Err(why) => Err(refuse(&why)),
            },
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some((scheme, _)) => {
                Err(refuse(&format!("`{scheme}://` is none of s3://, http://, https:// and file:///")))
            }
            None if text.is_empty() => Err(refuse("it is empty")),
            None => Ok(Self::Folder(text.into())),
        }
    }

    /// The same place, with a relative folder taken from `start`.
    ///
    /// # Errors
    /// When the current folder cannot be found.
    pub fn from(self, start: &Path) -> Result<Self, RemoteError> {
        match self {
            Self::Folder(path) => {
                let path = start.join(path);
                let path = std::path::absolute(&path).map_err(RemoteError::io("find", &path))?;
                // The part that exists, by its own name; a new folder may follow it.
                let real = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
                Ok(Self::Folder(match real {
                    Some((part, real)) => match path.strip_prefix(part) {
                        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
                        _ => real,
                    },
                    None => path,
                }))
            }
            other => Ok(other),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Http(url) => f.write_str(url),
        }
    }
}

/// The repository that a folder is or that it holds; `None` where it is none.
pub(super) fn repository_at(folder: &Path) -> Option<PathBuf> {
    if Store::is_in(&folder.join(DOT)) {
        return Some(folder.to_owned());
    }
    let is_dot = folder.file_name().is_some_and(|name| name == DOT) && Store::is_in(folder);
    if is_dot { folder.parent().map(Path::to_owned) } else { None }
}

/// What a place turned out to be.
#[expect(clippy::large_enum_variant, reason = "a command has one of them")]
pub enum Opened {
    /// A bucket or a folder with the layout of one.
    Bucketed(Bucketed),
    /// Another repository.
    Repository(Repository),
    /// A server.
    Server(Server),
}

impl Opened {
    /// The other side.
    pub fn peer(&self) -> &dyn Peer {
        match self {
            Self::Bucketed(peer) => peer,
            Self::Repository(peer) => peer,
            Self::Server(peer) => peer,
        }
    }

    /// As [`Self::peer`], owned.
    pub fn into_peer(self) -> Box<dyn Peer> {
        match self {
            Self::Bucketed(peer) => Box::new(peer),
            Self::Repository(peer) => Box::new(peer),
            Self::Server(peer) => Box::new(peer),
        }
    }
}

/// Opens a place; nothing is asked of it yet. `cache` is a folder for what is remembered of it.
///
/// # Errors
/// A repository that cannot be opened; settings from the environment that cannot be used.
pub fn open(place: &Place, access: &Access, cache: Option<&Path>) -> Result<Opened, RemoteError> {
    let memory = || cache.map(|cache| cache.join("state.json"));
    Ok(match place {
        Place::Folder(folder) => match repository_at(folder) {
            Some(root) if !folder.join(MARKER).exists() => {
                Opened::Repository(Repository::new(Site::at(&root)?.open()?))
            }
            _ => Opened::Bucketed(Bucketed::new(Box::new(Directory::new(folder)), memory())),
        },
        Place::S3 { bucket, prefix } => {
            Opened::Bucketed(Bucketed::new(Box::new(S3::new(bucket, prefix, &access.aws)?), memory()))
        }
        Place::Http(url) => Opened::Server(Server::new(url, access.token.clone())?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let s3 = |bucket: &str, prefix: &str| Place::S3 { bucket: bucket.into(), prefix: prefix.into() };
        for (text, place, shown) in [
            ("s3://b", s3("b", ""), "s3://b"),
            ("s3://b/a/c/", s3("b", "a/c"), "s3://b/a/c"),
            ("https://h:1/x/", Place::Http("https://h:1/x".into()), "https://h:1/x"),
            ("file:///srv/x", Place::Folder("/srv/x".into()), "/srv/x"),
            ("../x", Place::Folder("../x".into()), "../x"),
        ] {
            let found = Place::parse(text).expect("a place");
            assert_eq!((found.to_string().as_str(), found), (shown, place), "{text}");
        }
        for bad in
            ["", "s3://", "s3:///x", "s3://b/../c", "http://", "https://user:pw@h", "ftp://h", "file://x"]
        {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_said_again() {
        for bad in [
            "https://user:secret@h/x",
            "https://h/x?secret",
            "https://h/x#secret",
            "s3://key:secret@bucket/x",
            "ftp://user:secret@h",
        ] {
            let told = Place::parse(bad).expect_err(bad).to_string();
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
