//! Why files could not be brought into a directory.
//!
//! Rests on paths and the operating system's reasons. Every variant names the file; nothing has been changed when one of
//! the refusals ([`WorktreeError::Conflicts`], [`WorktreeError::Escapes`], [`WorktreeError::Blocked`]) is returned.

use std::io;
use std::path::{Path, PathBuf};

use crate::object::OdbError;
use crate::tree::TreeError;

/// A refusal of the working tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorktreeError {
    /// Files that hold what a person wrote would be overwritten or removed.
    #[error("{} changed by hand would be overwritten: {}", files(paths.len()), list(paths))]
    Conflicts {
        /// The files, relative to the target directory, in order.
        paths: Vec<PathBuf>,
    },
    /// A path that is not a plain relative one, or that belongs to the store itself.
    #[error("`{path}` is no path below the target directory: {why}")]
    BadPath {
        /// As given.
        path: String,
        /// The broken rule.
        why: &'static str,
    },
    /// A folder inside the target is a link that leads out of it.
    #[error("{} is a link to {}, outside {}", link.display(), leads_to.display(), target.display())]
    Escapes {
        /// The link.
        link: PathBuf,
        /// Where it leads.
        leads_to: PathBuf,
        /// The target directory.
        target: PathBuf,
    },
    /// A folder stands where a file belongs, or a file where a folder belongs.
    #[error("{} is in the way", path.display())]
    Blocked {
        /// What stands there.
        path: PathBuf,
    },
    /// A row that has no place in the layout of files.
    #[error("row `{key}` of {dataset} has no place among the files")]
    NoPlace {
        /// Its dataset.
        dataset: String,
        /// Its key.
        key: String,
    },
    /// The object database refused.
    #[error(transparent)]
    Odb(#[from] OdbError),
    /// A tree is damaged.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}

impl WorktreeError {
    /// Wraps an I/O error with what was being done to which file.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// More paths than this are counted, not listed.
const LISTED_MAX: usize = 20;

fn files(count: usize) -> String {
    if count == 1 { "a file".to_owned() } else { format!("{count} files") }
}

fn list(paths: &[PathBuf]) -> String {
    let mut text: Vec<_> = paths.iter().take(LISTED_MAX).map(|path| path.display().to_string()).collect();
    if paths.len() > LISTED_MAX {
        text.push(format!("and {} more", paths.len() - LISTED_MAX));
    }
    text.join(", ")
}
