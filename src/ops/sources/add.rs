//! `sources add`: an embedded spec becomes the repository's own.
//!
//! Rests on the embedded specs. Invariant: nothing that exists is overwritten.

use serde::Serialize;

use super::find::unknown;
use crate::base::fs::write_atomic;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::pipeline::source::embedded;
use crate::repo::DOT;
use crate::repo::Site;

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Added {
    /// The spec.
    pub name: String,
    /// Its file, relative to the folder that holds `.distill`.
    pub file: String,
    /// Where the paths in it start.
    pub base: String,
    /// The files that it reads, relative to the base.
    pub files: Vec<String>,
}

/// Copies the embedded spec `name` to `.distill/sources/`.
///
/// # Errors
/// A name that no embedded spec has, a file that is there already, a folder that cannot be written.
pub fn add(site: &Site, name: &str) -> Result<Added, OpError> {
    let Some((_, text)) = embedded().iter().find(|(known, _)| *known == name) else {
        let known: Vec<String> = embedded().iter().map(|(name, _)| (*name).to_owned()).collect();
        return Err(unknown(name, &known, "`distill sources list` shows what each is for"));
    };
    let file = format!("{DOT}/sources/{name}.toml");
    let path = site.root.join(&file);
    if path.symlink_metadata().is_ok() {
        return Err(OpError::new(
            ErrorKind::Refused,
            format!("{file} is there already"),
            format!("nothing was changed; `distill sources show {name}` prints it"),
        ));
    }
    write_atomic(&path, text.as_bytes()).map_err(|e| OpError::io("write", &path, &e))?;
    let spec = crate::pipeline::source::Spec::parse(name, text)?;
    let specs = [(name.to_owned(), spec)];
    let files = crate::ops::engine::discover(&site.root, &site.base, &specs)?;
    Ok(Added {
        name: name.to_owned(),
        file,
        base: site.base.display().to_string(),
        files: files.into_iter().filter(|file| file.spec.is_some()).map(|file| file.name).collect(),
    })
}
