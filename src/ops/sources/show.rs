//! `sources show`: a spec's text, and what it matches here.
//!
//! Rests on the engine's discovery. Invariant: the text is the file's, byte for byte, also where it cannot be used.

use std::path::Path;

use serde::Serialize;

use super::find::{Origin, display, find};
use crate::ops::OpError;
use crate::ops::engine;
use crate::pipeline::source::Spec;
use crate::repo::Site;

/// A spec.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its file; null for one that comes with distill.
    pub path: Option<String>,
    /// Its stream; null where it cannot be used.
    pub stream: Option<String>,
    /// Its text.
    pub text: String,
    /// The files that it reads below the base, in source order; null outside a repository.
    pub files: Option<Vec<String>>,
    /// The files that its lookups read.
    pub lookup_files: Option<Vec<String>>,
    /// Why it cannot be used, or null.
    pub error: Option<String>,
}

/// The spec that `wanted` names, as `distill sources test` finds it.
///
/// # Errors
/// When there is none, or files cannot be read. A spec that cannot be used is shown with its mistake.
pub fn show(site: Option<&Site>, start: &Path, wanted: &str) -> Result<Shown, OpError> {
    let found = find(site, start, wanted)?;
    let spec = found.spec();
    let matched = match (site, &spec) {
        (Some(site), Ok(spec)) => Some(matched(site, spec)?),
        _ => None,
    };
    let (files, lookup_files) = matched.unzip();
    let (stream, error) = match &spec {
        Ok(spec) => (Some(spec.stream().to_owned()), None),
        Err(error) => (None, Some(error.message.clone())),
    };
    Ok(Shown {
        name: found.name,
        origin: found.origin,
        path: found.path.as_deref().map(display),
        stream,
        text: found.text,
        files,
        lookup_files,
        error,
    })
}

/// The files of `spec` below the base, and those that only its lookups read.
pub(super) fn matched(site: &Site, spec: &Spec) -> Result<(Vec<String>, Vec<String>), OpError> {
    let specs = [(spec.name().to_owned(), spec.clone())];
    let files = engine::discover(&site.root, &site.base, &specs)?;
    let joined = |name: &str| spec.lookups().values().any(|lookup| lookup.files().contains(name));
    let names = |wanted: &dyn Fn(&engine::SourceFile) -> bool| {
        files.iter().filter(|file| wanted(file)).map(|file| file.name.clone()).collect()
    };
    Ok((names(&|file| file.spec.is_some()), names(&|file| joined(&file.name))))
}
