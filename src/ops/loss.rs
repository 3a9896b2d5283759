//! Source loss: what the last run knew of its files, and the refusal to go on when some of it is gone.
//!
//! Rests on the receipt of the `sources` stage and on the diff of two trees. Invariant: a dataset is a function of the
//! files present now, so a file that vanished or lost a row stops the run unless that was asked for.

use crate::object::RootId;
use crate::ops::engine::stored::count;
use crate::ops::engine::{Dataset, Prefix, SourceFile, Stored, StoredFile, claim};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::setup::Setup;
use crate::record::InputSnapshot;
use crate::record::source_key;
use crate::repo::{Commit, Repo};
use crate::store::Staging;
use crate::tree;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A repository without a single source file is a mistake worth a word, unless it had some and they may go.
pub(crate) fn no_sources(
    folder: &Path,
    setup: &Setup,
    files: &[SourceFile],
    base: Option<&Commit>,
) -> Result<(), OpError> {
    if setup.specs.is_empty() {
        return Err(OpError::new(
            ErrorKind::Usage,
            "there is no source spec in .distill/sources",
            "write one (docs/sources.md teaches how), or start with `distill init --with NAME`",
        ));
    }
    if files.is_empty() && base.is_none() {
        let globs: Vec<&str> =
            setup.specs.iter().flat_map(|(_, s)| s.files().patterns()).map(String::as_str).take(4).collect();
        return Err(OpError::new(
            ErrorKind::Outside,
            format!("no file below {} matches a spec ({} …)", folder.display(), globs.join(", ")),
            "check `base` in .distill/config.toml and `files` in the specs; `distill recon` lists what is there",
        ));
    }
    Ok(())
}

/// What the last run knew of one file.
pub(crate) struct KnownInput {
    pub snapshot: InputSnapshot,
    /// Whether its rows came with a merge and were in no file of this folder.
    pub merged: bool,
}

/// Before the name of a file that was read, in the inputs of a `sources` receipt.
pub(crate) const FILE: &str = "file:";
/// Before the name of a file whose rows came with a merge.
pub(crate) const MERGED: &str = "merged:";

/// The input that a file is in a `sources` receipt.
pub(crate) fn file_input(name: &str) -> String {
    format!("{FILE}{name}")
}

/// The input that a file is whose rows came with a merge.
pub(crate) fn merged_input(name: &str) -> String {
    format!("{MERGED}{name}")
}

/// What the last run knew of each file.
pub(crate) fn known_inputs(
    repo: &Repo,
    base: Option<&Commit>,
) -> Result<BTreeMap<String, KnownInput>, OpError> {
    let Some(base) = base else { return Ok(BTreeMap::new()) };
    let Some(receipt) = repo.receipt(base, "sources")? else { return Ok(BTreeMap::new()) };
    let known = receipt.inputs.into_iter().filter_map(|snapshot| {
        let (name, merged) = match snapshot.dataset.strip_prefix(FILE) {
            Some(name) => (name, false),
            None => (snapshot.dataset.strip_prefix(MERGED)?, true),
        };
        Some((name.to_owned(), KnownInput { merged, snapshot }))
    });
    Ok(known.collect())
}

/// Adds to `files` those that are in no file here because a merge brought them: their rows are read from the store, so
/// that a run after a merge goes on with what this folder has and keeps the rest.
pub(crate) fn held<'a>(
    repo: &'a Repo,
    base: Option<&Commit>,
    known: &BTreeMap<String, KnownInput>,
    setup: &Setup,
    files: &mut Vec<SourceFile>,
) -> Result<Option<Stored<'a>>, OpError> {
    let Some(base) = base else { return Ok(None) };
    let Some(root) = base.dataset(Dataset::Sources.name()) else { return Ok(None) };
    let here: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let absent = known
        .iter()
        .filter(|(name, known)| known.merged && !here.contains(name.as_str()))
        .map(|(name, _)| (name.clone(), repo.base().join(name)));
    let claimed = claim(&setup.specs, absent.collect::<Vec<_>>())?;
    let mut stored = BTreeMap::new();
    for file in &claimed {
        let snapshot = &known[&file.name].snapshot;
        let prefix = Prefix { hash: *snapshot.root.object(), bytes: snapshot.bytes, units: snapshot.rows };
        let units = count(repo.store(), root, &file.name)?;
        stored.insert(
            file.name.clone(),
            StoredFile { prefix, units, changed: Vec::new(), needs_keys: setup.needs_keys(file) },
        );
    }
    if claimed.is_empty() {
        return Ok(None);
    }
    files.extend(claimed);
    files.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    let quarantines = base.dataset(Dataset::Quarantine.name()).into_iter().collect();
    Ok(Some(Stored { find: repo.store(), root, quarantines, files: stored }))
}

/// How many lost things an error names.
const NAMED_MAX: usize = 5;

fn loss(what: &str, names: &[String], count: usize) -> OpError {
    let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = count - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    OpError::new(
        ErrorKind::Refused,
        format!("{what}: {}{more}; the datasets would lose what was made of them", shown.join(", ")),
        "bring them back, or run with `--accept-source-loss`; history keeps what was there",
    )
}

/// Stops when a file that the last run knew is not there.
pub(crate) fn refuse_vanished(
    files: &[SourceFile],
    known: &BTreeMap<String, KnownInput>,
) -> Result<(), OpError> {
    let there: BTreeSet<&str> = files.iter().map(|f| f.name.as_str()).collect();
    let gone = |merged| -> Vec<String> {
        let gone =
            known.iter().filter(|(name, known)| known.merged == merged && !there.contains(name.as_str()));
        gone.map(|(name, _)| name.clone()).collect()
    };
    let (files, unclaimed) = (gone(false), gone(true));
    if !files.is_empty() {
        return Err(loss("known source files are gone", &files, files.len()));
    }
    if unclaimed.is_empty() {
        return Ok(());
    }
    // Their rows are in the store; it is the configuration that no longer reads them.
    Err(loss("no spec reads the files that a merge brought", &unclaimed, unclaimed.len()))
}

/// Stops when a complete unit that HEAD has is missing or different now.
pub(crate) fn refuse_loss(
    base: &Commit,
    roots: &BTreeMap<String, RootId>,
    known: &BTreeMap<String, KnownInput>,
    staging: &Staging,
) -> Result<(), OpError> {
    let (Some(before), Some(after)) =
        (base.dataset(Dataset::Sources.name()), roots.get(Dataset::Sources.name()))
    else {
        return Ok(());
    };
    // Units beyond the known prefix (an unterminated last line) may still change.
    let mut complete: BTreeMap<String, (&str, u64)> = BTreeMap::new();
    for (name, input) in known {
        if let Ok(key) = source_key(name, 0) {
            let folder = key.rsplit_once('/').map_or(key.as_str(), |(folder, _)| folder);
            complete.insert(folder.to_owned(), (name, input.snapshot.rows));
        }
    }
    let mut lost = Vec::new();
    let mut count = 0;
    for change in tree::diff(staging, before, *after) {
        let change = change?;
        if change.before.is_none() {
            continue;
        }
        let Some((folder, unit)) = change.key.rsplit_once('/') else { continue };
        let unit: u64 = unit.parse().unwrap_or(0);
        let name = match complete.get(folder) {
            Some((name, rows)) if unit < *rows => format!("{name} (unit {unit})"),
            Some(_) => continue,
            None => change.key.clone(),
        };
        count += 1;
        if lost.len() < NAMED_MAX {
            lost.push(name);
        }
    }
    if count == 0 { Ok(()) } else { Err(loss("known source rows changed or are gone", &lost, count)) }
}
