//! Finding a spec by what a person calls it.
//!
//! Rests on the files of `.distill/sources` and on the embedded specs. Invariant: what looks like a path is a path; a name
//! is first one of the repository's, then one that comes with distill.

use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::setup::spec_files;
use crate::pipeline::source::Spec;
use crate::pipeline::source::embedded;
use crate::repo::Site;

/// Where a spec comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// `.distill/sources`.
    Configured,
    /// The program.
    Embedded,
    /// A file that was named.
    File,
}

impl Origin {
    /// The word for it in `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Embedded => "embedded",
            Self::File => "file",
        }
    }
}

/// A spec that was found.
pub(super) struct Found {
    pub(super) name: String,
    pub(super) origin: Origin,
    /// Its file; `None` for one that comes with distill.
    pub(super) path: Option<PathBuf>,
    pub(super) text: String,
}

impl Found {
    /// Parses it; an error names the file as it was found.
    pub(super) fn spec(&self) -> Result<Spec, OpError> {
        Spec::parse(&self.name, &self.text).map_err(|error| {
            let file = self.path.as_ref().map_or_else(|| format!("{}.toml", self.name), |p| display(p));
            let place = format!("{file}:{}:{}: {}", error.line, error.column, error.message);
            OpError::new(ErrorKind::Usage, place, "correct the spec; docs/sources.md teaches the format")
        })
    }
}

/// The spec that `wanted` names: a path (with a `/` or ending in `.toml`), or a name.
///
/// # Errors
/// When there is none, or its file cannot be read.
pub(super) fn find(site: Option<&Site>, start: &Path, wanted: &str) -> Result<Found, OpError> {
    if wanted.contains('/') || wanted.contains(std::path::MAIN_SEPARATOR) || wanted.ends_with(".toml") {
        let path = Path::new(wanted);
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = read(&start.join(path))?;
        return Ok(Found { name, origin: Origin::File, path: Some(path.to_owned()), text });
    }
    let mut known = Vec::new();
    if let Some(site) = site {
        for (name, path) in spec_files(&site.dot())? {
            if name == wanted {
                let text = read(&path)?;
                let short = Path::new(crate::repo::DOT).join("sources").join(format!("{name}.toml"));
                return Ok(Found { name, origin: Origin::Configured, path: Some(short), text });
            }
            known.push(name);
        }
    }
    if let Some((name, text)) = embedded().iter().find(|(name, _)| *name == wanted) {
        let (name, text) = ((*name).to_owned(), (*text).to_owned());
        return Ok(Found { name, origin: Origin::Embedded, path: None, text });
    }
    known.extend(embedded().iter().map(|(name, _)| (*name).to_owned()));
    known.sort();
    known.dedup();
    Err(unknown(wanted, &known, "write a path, such as `./my-spec.toml`, for a file that is elsewhere"))
}

/// There is no spec of that name among `known`.
pub(super) fn unknown(wanted: &str, known: &[String], also: &str) -> OpError {
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(name, wanted), name)).min();
    let hint = match near {
        Some((distance, name)) if distance <= 2 => format!("did you mean `{name}`? {also}"),
        _ => format!("the specs are {}; {also}", known.join(", ")),
    };
    OpError::new(ErrorKind::Usage, format!("there is no source spec called `{wanted}`"), hint)
}

fn read(path: &Path) -> Result<String, OpError> {
    std::fs::read_to_string(path).map_err(|e| OpError::io("read", path, &e))
}

/// A path as a person writes it, with `/`.
pub(super) fn display(path: &Path) -> String {
    path.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}
