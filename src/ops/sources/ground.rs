//! The ground that a spec is tried on: a file, its name as a record would say it, and the folder where lookups start.
//!
//! Rests on paths and on the spec's globs. Invariant: in a repository the base is the repository's for every file below
//! it, so that a trial names files as a run does.

use std::path::Path;
use std::path::PathBuf;

use super::find::display;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::pipeline::source::Spec;
use crate::repo::Site;

/// Where a file lies.
pub(super) struct Ground {
    /// The folder that the spec's globs are relative to.
    pub(super) base: PathBuf,
    /// The file, absolute.
    pub(super) path: PathBuf,
    /// Its name, relative to the base, with `/`.
    pub(super) name: String,
    /// Whether the spec's globs take it.
    pub(super) matched: bool,
}

/// Finds the base of `file`: what was asked for; the repository's; else the current folder or the nearest folder above
/// the file from which the spec's globs reach it; else the file's own folder.
///
/// # Errors
/// When the file is not there or is no file, or does not lie below the base that was asked for.
pub(super) fn ground(
    site: Option<&Site>,
    start: &Path,
    asked: Option<&Path>,
    file: &Path,
    spec: &Spec,
) -> Result<Ground, OpError> {
    let given = start.join(file);
    let meta = std::fs::metadata(&given).map_err(|e| OpError::io("read", file, &e))?;
    if !meta.is_file() {
        return Err(OpError::new(
            ErrorKind::Usage,
            format!("{} is no file", file.display()),
            "name one file with rows; write what a pipe gives to a file first",
        ));
    }
    let real = |path: &Path| path.canonicalize().map_err(|e| OpError::io("read", path, &e));
    // The last part stays as it is: `$path` and the globs see the name, not what a link leads to.
    let folder = real(given.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let path = folder.join(given.file_name().unwrap_or_default());
    let name = |base: &Path| path.strip_prefix(base).ok().map(display);
    let here = |base: PathBuf| {
        name(&base).map(|name| {
            let matched = spec.files().contains(&name);
            Ground { base, path: path.clone(), name, matched }
        })
    };
    if let Some(asked) = asked {
        let base = real(&start.join(asked))?;
        return here(base).ok_or_else(|| {
            OpError::new(
                ErrorKind::Usage,
                format!("{} does not lie below {}", file.display(), asked.display()),
                "name a folder above it with --base, or leave --base out",
            )
        });
    }
    if let Some(site) = site
        && let Ok(base) = site.base.canonicalize()
        && let Some(ground) = here(base)
    {
        return Ok(ground);
    }
    let current = real(start)?;
    let reaching = std::iter::once(current.as_path())
        .chain(folder.ancestors())
        .filter_map(|base| here(base.to_owned()))
        .find(|ground| ground.matched);
    let own = || Ground {
        base: folder.clone(),
        path: path.clone(),
        name: name(&folder).unwrap_or_default(),
        matched: false,
    };
    Ok(reaching.unwrap_or_else(own))
}
