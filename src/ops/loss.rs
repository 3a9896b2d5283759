//! Source loss: what the last run knew of its files, and the refusal to go on when some of it is gone.
//!
//! Rests on the receipt of the `sources` stage and on the diff of two trees. Invariant: a dataset is a function of the
//! files present now, so a file that vanished or lost a row stops the run unless that was asked for.

use crate::object::FindExt as _;
use crate::object::RootId;
use crate::ops::engine::{Dataset, SourceFile};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::setup::Setup;
use crate::record::InputSnapshot;
use crate::record::Record as _;
use crate::record::StageReceipt;
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

/// What the last run knew of each file.
pub(crate) fn known_inputs(
    repo: &Repo,
    base: Option<&Commit>,
) -> Result<BTreeMap<String, InputSnapshot>, OpError> {
    let Some(base) = base else { return Ok(BTreeMap::new()) };
    let inputs = sources_receipt(repo, base)?.into_iter().flat_map(|receipt| receipt.inputs);
    Ok(inputs.filter_map(|i| Some((i.dataset.strip_prefix("file:")?.to_owned(), i))).collect())
}

/// What the stage `sources` said of itself when it ran last.
pub(crate) fn sources_receipt(repo: &Repo, base: &Commit) -> Result<Option<StageReceipt>, OpError> {
    let Some(entry) = tree::get(repo.store(), base.receipts, "sources")? else { return Ok(None) };
    Ok(Some(StageReceipt::parse(&repo.store().find(&entry.id)?)?))
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
    known: &BTreeMap<String, InputSnapshot>,
) -> Result<(), OpError> {
    let there: BTreeSet<&str> = files.iter().map(|f| f.name.as_str()).collect();
    let gone: Vec<String> = known.keys().filter(|name| !there.contains(name.as_str())).cloned().collect();
    if gone.is_empty() { Ok(()) } else { Err(loss("known source files are gone", &gone, gone.len())) }
}

/// Stops when a complete unit that HEAD has is missing or different now.
pub(crate) fn refuse_loss(
    base: &Commit,
    roots: &BTreeMap<String, RootId>,
    known: &BTreeMap<String, InputSnapshot>,
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
            complete.insert(folder.to_owned(), (name, input.rows));
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
