//! The configuration of a merge: that of the sides, joined part by part.
//!
//! Rests on the config objects that commits name (what can change a dataset) and on the raw text beside them.
//! Invariants: a part is the policy, the options, the rules for secrets or one spec; a part that one side alone changed is taken from it, as a
//! row is; a part that both changed differently is a conflict. So two sites with specs of their own have both, and two
//! policies never mix.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::merge::Side;
use crate::ops::merge::sources::{ConflictLine, Resolution};
use crate::ops::setup::Setup;
use crate::repo::{Commit, Options, Repo};
use crate::tree;

/// The part that stands for `exports` in `config.toml`.
const OPTIONS: &str = "options";
/// The part that stands for `secrets.toml`.
const SECRETS: &str = "secrets";

/// One part: what it says, and the file that says it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    value: serde_json::Value,
    text: Option<(ObjectId, Vec<u8>)>,
}

/// The parts by name: `options`, `policy`, `sources/<name>`.
pub(super) type Parts = BTreeMap<String, Part>;

/// Whether two states of a part say the same.
fn says(a: Option<&Part>, b: Option<&Part>) -> bool {
    a.map(|part| &part.value) == b.map(|part| &part.value)
}

/// The file below `.distill` that a part is written in.
fn file_of(part: &str) -> String {
    if part == OPTIONS { "config.toml".to_owned() } else { format!("{part}.toml") }
}

/// The configuration of a commit; nothing for one without.
pub(super) fn parts(repo: &Repo, commit: &Commit) -> Result<Parts, OpError> {
    let mut parts = Parts::new();
    let Some(id) = commit.config_id else { return Ok(parts) };
    let unusable = |detail: String| {
        let message = format!("the configuration of {} cannot be used: {detail}", commit.run_id);
        OpError::new(ErrorKind::Damaged, message, "run `distill verify` to see what is damaged")
    };
    let object: serde_json::Value =
        serde_json::from_slice(&repo.store().find(&id)?).map_err(|e| unusable(e.to_string()))?;
    let mut texts = BTreeMap::new();
    if let Some(root) = commit.config_files {
        for entry in tree::iter(repo.store(), root) {
            let entry = entry?;
            texts.insert(entry.key, (entry.id, repo.store().find(&entry.id)?.to_vec()));
        }
    }
    // The rules for secrets are a part only where somebody wrote them down; else they are those of the version that merges.
    let own_rules = object.get(SECRETS).filter(|_| texts.contains_key(&file_of(SECRETS)));
    let mut add = |name: String, value: &serde_json::Value| {
        let text = texts.remove(&file_of(&name));
        if text.is_none() && name != OPTIONS {
            return Err(unusable(format!("the text of {} is not there", file_of(&name))));
        }
        parts.insert(name, Part { value: value.clone(), text });
        Ok(())
    };
    for name in [OPTIONS, "policy"] {
        add(name.to_owned(), object.get(name).ok_or_else(|| unusable(format!("it has no {name}")))?)?;
    }
    if let Some(value) = own_rules {
        add(SECRETS.to_owned(), value)?;
    }
    for (name, value) in object.get("sources").and_then(serde_json::Value::as_object).into_iter().flatten() {
        add(format!("sources/{name}"), value)?;
    }
    Ok(parts)
}

/// What a merge of configurations came to.
#[derive(Default)]
pub(super) struct Decided {
    pub conflicts: Vec<ConflictLine>,
    pub resolutions: Vec<Resolution>,
    /// Parts taken from another side than the first without a conflict, with the revision.
    pub taken: Vec<(String, String)>,
}

/// Joins the parts of `theirs`, which `rev` names, into `ours`.
pub(super) fn join(
    rev: &str,
    bases: &[Parts],
    ours: &mut Parts,
    theirs: &Parts,
    favour: Option<Side>,
    decided: &mut Decided,
) {
    let names: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
    for name in names {
        let (mine, other) = (ours.get(&name), theirs.get(&name));
        if says(mine, other) {
            continue;
        }
        let was = |side: Option<&Part>| {
            bases.iter().any(|base| says(base.get(&name), side)) || (bases.is_empty() && side.is_none())
        };
        let take = match (was(mine), was(other)) {
            (true, false) => {
                decided.taken.push((name.clone(), rev.to_owned()));
                true
            }
            (false, true) => false,
            _ => {
                let id = |part: Option<&Part>| part.and_then(|part| part.text.as_ref()).map(|(id, _)| *id);
                let (dataset, rev) = ("config".to_owned(), rev.to_owned());
                if let Some(taken) = favour {
                    let what = name.clone();
                    decided.resolutions.push(Resolution { dataset, what, taken, rev, rows_left_out: 0 });
                } else {
                    let base = id(bases.first().and_then(|base| base.get(&name)));
                    let (ours, theirs, key) = (id(mine), id(other), name.clone());
                    decided.conflicts.push(ConflictLine { dataset, key, rev, base, ours, theirs });
                }
                favour == Some(Side::Theirs)
            }
        };
        if take {
            match other.cloned() {
                Some(part) => ours.insert(name, part),
                None => ours.remove(&name),
            };
        }
    }
}

/// Reads the joined configuration as a run reads its own, by way of files in `folder`.
pub(super) fn setup(parts: &Parts, folder: &Path) -> Result<Setup, OpError> {
    let mut options = Options::default();
    for (name, part) in parts {
        if name == OPTIONS {
            options = serde_json::from_value(part.value.clone()).map_err(|e| {
                let message = format!("the options of the merged commits cannot be used: {e}");
                OpError::new(ErrorKind::Outside, message, "use the version of distill that made them")
            })?;
        }
        let Some((_, text)) = &part.text else { continue };
        let path = folder.join(file_of(name));
        let written = std::fs::create_dir_all(path.parent().unwrap_or(folder))
            .and_then(|()| std::fs::write(&path, text));
        written.map_err(|e| OpError::io("write", &path, &e))?;
    }
    Setup::load(folder, options)
}
