//! `recon`: an inventory of the data below the base, before anything is decided about it.
//!
//! Rests on the source readers. Invariants: every row is counted; keys and times are looked for in the first
//! [`SAMPLE_ROWS`] rows of a file, and where that is not all of them the answer says so; a file that cannot be read is
//! named and does not stop the rest; memory is bounded by the distinct names told apart.

mod page;
mod probe;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use crate::ops::OpError;
use crate::ops::Progress;
use crate::ops::engine;
use crate::ops::engine::SourceFile;
use crate::ops::engine::inputs::is_baselines;
use crate::ops::setup::spec_files;
use crate::pipeline::source::Spec;
use crate::pipeline::source::UnitKind;
use crate::repo::Site;
use crate::repo::worktree::Worktree;
use probe::Probe;

/// Rows of a file whose keys and times are looked at.
pub const SAMPLE_ROWS: u64 = 10_000;
/// The page that recon writes, relative to the folder that holds `.distill`.
pub const PAGE: &str = "docs/recon/local-distillation-recon.md";
/// Endings of files that look like data, besides `.gz` and `.zst` after them.
const ENDINGS: [&str; 3] = ["jsonl", "ndjson", "json"];

/// What lies below the base.
#[derive(Clone, Debug, Serialize)]
pub struct Recon {
    /// The page that was written; null when none was asked for.
    pub page: Option<String>,
    /// Rows of a file that were looked into for keys and times.
    pub sample_rows: u64,
    /// The streams: those with a spec first, each kind in order of name.
    pub items: Vec<StreamFacts>,
}

/// A stream: the files of one spec, or the files of one folder and ending that no spec names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamFacts {
    /// The spec's name, or a glob for the files.
    pub name: String,
    /// Whether a spec names the files.
    pub has_spec: bool,
    /// The files, relative to the base, in order.
    pub files: Vec<FileFacts>,
    /// Units in all files.
    pub rows: u64,
    /// Bytes on disk of all files.
    pub bytes: u64,
    /// Rows that were looked into.
    pub sampled: u64,
    /// Rows among those that are no JSON object.
    pub unreadable: u64,
    /// The earliest time found, RFC 3339 in UTC.
    pub first: Option<String>,
    /// The latest time found.
    pub last: Option<String>,
    /// The members that the times come from; `record.time` where a spec says which.
    pub time_keys: BTreeSet<String>,
    /// How often each top-level key was there, among the rows looked into.
    pub keys: BTreeMap<String, u64>,
    /// How often a key beyond those told apart was there.
    pub other_keys: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// Relative to the base.
    pub path: String,
    /// What one unit is: `line`, `element`, `value` or `file`.
    pub unit: &'static str,
    /// Units.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Why it could not be read to its end.
    pub problem: Option<String>,
}

/// Takes the inventory and, where `write_page`, writes [`PAGE`].
///
/// # Errors
/// Specs that cannot be parsed, a base that cannot be walked, a page that was changed by hand unless `force`.
pub fn recon(site: &Site, write_page: bool, force: bool, progress: &dyn Progress) -> Result<Recon, OpError> {
    let mut specs = Vec::new();
    for (name, path) in spec_files(&site.dot())? {
        let text = std::fs::read_to_string(&path).map_err(|e| OpError::io("read", &path, &e))?;
        specs.push((name.clone(), Spec::parse(&name, &text)?));
    }
    let claimed = engine::discover(&site.root, &site.base, &specs)?;
    let others = unclaimed(site, &claimed)?;
    let mut streams: BTreeMap<(bool, String), StreamFacts> = BTreeMap::new();
    for (name, _) in &specs {
        streams.insert(
            (false, name.clone()),
            StreamFacts { name: name.clone(), has_spec: true, ..StreamFacts::default() },
        );
    }
    progress.begin("recon", None);
    for file in claimed.iter().chain(&others) {
        let owner = match file.spec {
            Some(index) => Some(specs[index].0.clone()),
            // A file that only lookups read belongs to the spec that joins it.
            None => (specs.iter())
                .find(|(_, spec)| spec.lookups().values().any(|lookup| lookup.files().contains(&file.name)))
                .map(|(name, _)| name.clone()),
        };
        let has_spec = owner.is_some();
        let name = owner.unwrap_or_else(|| group_of(&file.name));
        let facts = streams.entry((!has_spec, name.clone())).or_default();
        facts.name = name;
        facts.has_spec = has_spec;
        let adapter = file.spec.map(|index| specs[index].1.compile()).transpose()?;
        Probe::new(facts, adapter).file(file, progress);
    }
    progress.end();
    let mut recon = Recon { page: None, sample_rows: SAMPLE_ROWS, items: streams.into_values().collect() };
    if write_page {
        let worktree = Worktree::open(&site.root, &site.dot().join("index"))?;
        let mut transaction = worktree.begin()?;
        transaction.put(PAGE, page::markdown(&recon).as_bytes())?;
        transaction.commit(force, &|_| false)?;
        recon.page = Some(PAGE.to_owned());
    }
    Ok(recon)
}

/// Files that look like data, that no spec names and that distill did not write itself.
fn unclaimed(site: &Site, claimed: &[SourceFile]) -> Result<Vec<SourceFile>, OpError> {
    let claimed: BTreeSet<&str> = claimed.iter().map(|file| file.name.as_str()).collect();
    let written = Worktree::open(&site.root, &site.dot().join("index"))?.tracked();
    let mut found = Vec::new();
    if !site.base.exists() {
        return Ok(found);
    }
    let entries = walkdir::WalkDir::new(&site.base).follow_links(true).sort_by_file_name().into_iter();
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
    };
    for entry in entries.filter_entry(visible) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(&site.base).to_owned();
                // A link that leads nowhere or back holds no data; one that a spec names was refused above.
                if path.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink()) {
                    continue;
                }
                return Err(OpError::walk(&path, error));
            }
        };
        let relative = entry.path().strip_prefix(&site.base).unwrap_or(entry.path());
        let Some(name) = relative.to_str() else { continue };
        let own = entry.path().strip_prefix(&site.root).ok().and_then(Path::to_str);
        let is_own = own.is_some_and(|own| written.contains(own)) || is_baselines(&site.root, entry.path());
        if !entry.file_type().is_file() || claimed.contains(name) || is_own {
            continue;
        }
        let Some(ending) = data_ending(name) else { continue };
        let kind = if ending == "json" { UnitKind::File } else { UnitKind::Line };
        let path = entry.path().to_owned();
        found.push(SourceFile { name: name.to_owned(), path, spec: None, kind, at: None, beside: false });
    }
    found.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(found)
}

/// The ending that says what a file holds, below a packing.
fn data_ending(name: &str) -> Option<&'static str> {
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    let (_, ending) = plain.rsplit_once('.')?;
    ENDINGS.into_iter().find(|known| *known == ending)
}

/// A glob for a file and the others of its folder and ending: what `files` of a spec for them would say.
fn group_of(name: &str) -> String {
    let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
    let packing = [".gz", ".zst"].into_iter().find(|packing| file.ends_with(packing)).unwrap_or("");
    let glob = format!("*.{}{packing}", data_ending(file).unwrap_or("*"));
    if folder.is_empty() { glob } else { format!("{folder}/{glob}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_spec_are_grouped_by_folder_and_ending() {
        assert_eq!(group_of("a/b/c.jsonl"), "a/b/*.jsonl");
        assert_eq!(group_of("c.json.gz"), "*.json.gz");
        assert_eq!(
            [data_ending("a.ndjson.zst"), data_ending("a.csv"), data_ending("json")],
            [Some("ndjson"), None, None]
        );
    }
}
