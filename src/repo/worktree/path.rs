//! Relative paths that stay inside a directory.
//!
//! Rests on the file system's answer to what is a link. Invariant: a path that passes [`check`] and [`parent`] names a
//! file below the target, whatever links a person has put there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::WorktreeError;

/// Folders that hold history, not snapshots; nothing is ever written there as a snapshot.
const RESERVED: [&str; 2] = [".distill", ".git"];

/// Checks the form of a relative path: parts separated by `/`, none of them empty, `.`, `..` or reserved.
pub(super) fn check(rel: &str) -> Result<(), WorktreeError> {
    let bad = |why| Err(WorktreeError::BadPath { path: rel.to_owned(), why });
    if rel.is_empty() {
        return bad("it is empty");
    }
    if rel.contains('\0') {
        return bad("it holds a NUL");
    }
    for (n, part) in rel.split('/').enumerate() {
        match part {
            "" if n == 0 => return bad("it is absolute"),
            "" => return bad("it has an empty part"),
            "." | ".." => return bad("it has a part `.` or `..`"),
            _ if n == 0 && RESERVED.contains(&part) => return bad("that folder is not for snapshots"),
            _ => {}
        }
    }
    Ok(())
}

/// What stands on the way to a file.
pub(super) enum Way {
    /// Folders that exist, or will be made.
    Clear,
    /// A file where a folder belongs, relative to the target.
    File(String),
}

/// Walks the folders above `rel` from `target`, a canonical path, and refuses links that lead out of it.
pub(super) fn parent(target: &Path, rel: &str) -> Result<Way, WorktreeError> {
    let mut at = target.to_owned();
    let mut walked = String::new();
    let Some((folders, _)) = rel.rsplit_once('/') else { return Ok(Way::Clear) };
    for part in folders.split('/') {
        at.push(part);
        if !walked.is_empty() {
            walked.push('/');
        }
        walked.push_str(part);
        let meta = match fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Way::Clear),
            Err(source) => return Err(WorktreeError::Io { action: "look at", path: at, source }),
        };
        if meta.is_symlink() {
            check_link(target, &at)?;
        } else if !meta.is_dir() {
            return Ok(Way::File(walked));
        }
    }
    Ok(Way::Clear)
}

fn check_link(target: &Path, link: &Path) -> Result<(), WorktreeError> {
    let escapes = |leads_to: PathBuf| WorktreeError::Escapes {
        link: link.to_owned(),
        leads_to,
        target: target.to_owned(),
    };
    // A dangling link leads nowhere that could be vouched for.
    let Ok(real) = fs::canonicalize(link) else {
        return Err(escapes(fs::read_link(link).unwrap_or_default()));
    };
    let reserved = |inside: &Path| {
        inside.components().next().is_some_and(|part| RESERVED.iter().any(|name| part.as_os_str() == *name))
    };
    match real.strip_prefix(target) {
        Ok(inside) if real.is_dir() && !reserved(inside) => Ok(()),
        _ => Err(escapes(real)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_pass() {
        for good in ["a", "exports/rag/playbooks.jsonl", "data/sources/a..b/.c", "x/.distill"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a//b", "a/", "../a", "a/../b", "./a", "a\0b", ".distill/store.redb", ".git/x"]
        {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
