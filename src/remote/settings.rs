//! `remotes.toml`: the remotes of a repository, by name. Written by `distill remote`, and a person may edit it.
//!
//! Rests on TOML. Invariants: unknown keys are refused; no secret stands in it: credentials come from the environment.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::RemoteError;
use super::place::Place;
use crate::base::fs::write_atomic;
use crate::repo::RefName;

/// The file's name in `.distill`.
const FILE: &str = "remotes.toml";

/// One remote.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// Where it is: a folder, `s3://bucket/prefix`, `http://…` or `https://…`.
    pub place: String,
}

/// All remotes of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remotes(pub BTreeMap<String, Remote>);

impl Remotes {
    /// Reads the file in `dot`, the `.distill` folder; none where it is not there.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn load(dot: &Path) -> Result<Self, RemoteError> {
        let path = dot.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(RemoteError::io("read", &path)(error)),
        };
        let refuse = |message: String| RemoteError::Settings { path: path.clone(), message };
        let remotes: BTreeMap<String, Remote> =
            toml::from_str(&text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
        for (name, remote) in &remotes {
            check_name(name).map_err(|error| refuse(error.to_string()))?;
            Place::parse(&remote.place).map_err(|error| refuse(error.to_string()))?;
        }
        Ok(Self(remotes))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// I/O.
    pub fn save(&self, dot: &Path) -> Result<(), RemoteError> {
        let mut text = "# The remotes of this repository: `distill remote` writes this file.\n".to_owned();
        for (name, remote) in &self.0 {
            // A JSON string is a TOML string, escapes and all.
            let [name, place] = [name, &remote.place].map(|text| serde_json::Value::from(text.as_str()));
            text.push_str(&format!("\n[{name}]\nplace = {place}\n"));
        }
        let path = dot.join(FILE);
        write_atomic(&path, text.as_bytes()).map_err(RemoteError::io("write", &path))
    }
}

/// Refuses names that could not stand in `remotes/NAME/BRANCH`, or that look like places.
///
/// # Errors
/// The rule that it breaks.
pub fn check_name(name: &str) -> Result<(), RemoteError> {
    let refuse = |why: &str| Err(RemoteError::BadName { name: name.to_owned(), why: why.to_owned() });
    if name.contains('/') {
        return refuse("a slash makes it a place");
    }
    match RefName::branch(name) {
        Ok(_) => Ok(()),
        Err(error) => refuse(error.why),
    }
}
