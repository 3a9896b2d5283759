//! `verify`: hashes and walks everything, and says level by level what holds, what it covered, what is damaged, what depends
//! on that and what does not.
//!
//! Rests on the store's check of its packs and log, and on the tree's walker. Invariants: it never stops at the first
//! finding; it writes nothing; an object is hashed once; memory is bounded by 72 bytes an object, 5 a row of
//! each dataset and a line a tree node; a shared subtree is walked once.

mod affected;
mod against;
mod dependants;
mod joins;
mod known;
mod links;
mod quick;
mod reach;
mod sets;
mod walks;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustc_hash::FxHashSet;
use serde::Serialize;

use crate::object::CommitId;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::progress::Progress;
use crate::ops::verify::known::Known;
pub(crate) use crate::ops::verify::links::RECORDS;
use crate::ops::verify::links::{Linker, Row};
use crate::ops::verify::reach::Reach;
use crate::repo::Repo;
use crate::store::Census;
use crate::store::LogCheck;
use crate::store::PackReport;
use crate::store::StoreError;

pub use affected::{RefState, SnapshotState, Snapshots};
pub use against::{AgainstReport, Changed, ExportDigest, against};

/// What was found, and how much was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The revision as typed; null for the whole store.
    pub rev: Option<String>,
    /// Whether nothing is damaged or missing.
    pub sound: bool,
    /// What each level claims, and whether it holds.
    pub levels: Vec<Level>,
    /// What was gone through.
    pub covered: Covered,
    /// What is wrong, by level, kind and object; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there are in all.
    pub findings_total: u64,
    /// Each ref that was followed, and whether what it names is whole.
    pub refs: Vec<RefState>,
    /// The snapshots of all commits that were followed.
    pub snapshots: Snapshots,
    /// Files in `packs/` and `ops/` that do not belong to the store: no damage, but worth a word.
    pub uncatalogued: Vec<PathBuf>,
}

/// One level of verification.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    /// `V0` to `V3`.
    pub level: &'static str,
    /// What it is about, in a word.
    pub name: &'static str,
    /// What is true where it holds.
    pub claim: &'static str,
    /// Whether it was looked at, and whether wholly.
    pub checked: Extent,
    /// Whether it holds; null where it was not looked at.
    pub holds: Option<bool>,
    /// How many findings it has.
    pub findings: u64,
}

/// How much of a level was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of the store.
    Whole,
    /// What the revision reaches.
    Reached,
    /// Nothing.
    Not,
}

/// The levels: what each is about, and what is true where it holds.
const LEVELS: [(&str, &str, &str); 4] = [
    (
        "V0",
        "container",
        "store.redb and every pack open, are of a known format, and match their own checksums",
    ),
    ("V1", "objects", "every stored object hashes to its id"),
    (
        "V2",
        "closure",
        "what every ref names is there and is what it is named as: tags, commits, receipts, trees, rows; export rows rest on \
         their scored runs, those on their evidence, that on its source rows",
    ),
    (
        "V3",
        "log",
        "the operations are all there, chained by hash, and make the refs, HEAD and packs that the store has",
    ),
];

/// How much was gone through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// Entries of the operation log.
    pub operations: u64,
    /// Packs, hashed whole.
    pub packs: u64,
    /// Objects in those packs, hashed again.
    pub packed_objects: u64,
    /// Their bytes.
    pub packed_bytes: u64,
    /// Refs.
    pub refs: u64,
    /// Tag objects.
    pub tags: u64,
    /// Commits.
    pub commits: u64,
    /// Stage receipts.
    pub receipts: u64,
    /// Summaries, drift reports and configurations.
    pub reports: u64,
    /// Tree nodes.
    pub nodes: u64,
    /// Row objects, each once.
    pub rows: u64,
    /// Objects that were reached, of all kinds.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows whose links to what they rest on were compared.
    pub links: u64,
}

/// Something damaged or missing.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The level that it breaks.
    pub level: &'static str,
    /// What it is: `commit`, `tree node`, `row`, `pack` …
    pub kind: String,
    /// The object, if it is one.
    pub object: Option<ObjectId>,
    /// The file it lies in; null for what is missing.
    pub place: Option<PathBuf>,
    /// What is wrong with it.
    pub detail: String,
    /// What depends on it, at most [`DEPENDANTS_MAX`].
    pub needed_by: Vec<Dependant>,
    /// How many there are in all.
    pub needed_by_total: u64,
}

/// Something that depends on a damaged object.
#[derive(Clone, Debug, Serialize)]
pub struct Dependant {
    /// Refs that stand at the commit, by full name.
    pub refs: Vec<String>,
    /// The commit; null for what a ref names itself.
    pub commit_id: Option<CommitId>,
    /// The dataset, or what else of the commit.
    pub part: String,
    /// The key of the row; the last key below a tree node is not known.
    pub key: Option<String>,
}

/// How many dependants of one finding are listed.
pub const DEPENDANTS_MAX: usize = 20;

/// How many findings are listed. Looking goes on beyond them.
pub const FINDINGS_MAX: usize = 10_000;

/// Findings by object while they are being gathered; those that are no object stand apart.
#[derive(Default)]
struct Findings {
    objects: BTreeMap<ObjectId, Finding>,
    others: Vec<Finding>,
    /// Objects with findings that are one too many to be listed.
    unlisted: FxHashSet<ObjectId>,
    /// All findings of each level.
    counts: BTreeMap<&'static str, u64>,
}

impl Findings {
    /// Notes a fault of an object; `None` where there are too many to list it. An object has one finding: the first, under
    /// the kind by which it is needed.
    fn object(
        &mut self,
        level: &'static str,
        kind: &str,
        id: ObjectId,
        place: Option<PathBuf>,
        detail: String,
    ) -> Option<&mut Finding> {
        if !self.objects.contains_key(&id) {
            if self.unlisted.contains(&id) {
                return None;
            }
            *self.counts.entry(level).or_default() += 1;
            if self.objects.len() + self.others.len() >= FINDINGS_MAX {
                self.unlisted.insert(id);
                return None;
            }
        }
        let finding = self.objects.entry(id).or_insert_with(|| Finding::new(level, Some(id), detail));
        // What a pack's check calls an object gets its kind from where it is reached.
        if finding.kind.is_empty() || finding.kind == UNREACHED {
            kind.clone_into(&mut finding.kind);
        }
        if finding.place.is_none() {
            finding.place = place;
        }
        Some(finding)
    }

    fn other(&mut self, level: &'static str, kind: &str, place: Option<PathBuf>, detail: String) {
        *self.counts.entry(level).or_default() += 1;
        if self.objects.len() + self.others.len() < FINDINGS_MAX {
            self.others.push(Finding { kind: kind.to_owned(), place, ..Finding::new(level, None, detail) });
        }
    }

    /// Whether something is wrong with an object.
    fn knows(&self, id: &ObjectId) -> bool {
        self.objects.contains_key(id) || self.unlisted.contains(id)
    }

    fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn sorted(self) -> Vec<Finding> {
        let mut all = self.others;
        all.extend(self.objects.into_values());
        all.sort_by(|a, b| {
            (a.level, &a.kind, a.object, &a.place, &a.detail)
                .cmp(&(b.level, &b.kind, b.object, &b.place, &b.detail))
        });
        all
    }
}

impl Finding {
    fn new(level: &'static str, object: Option<ObjectId>, detail: String) -> Self {
        Self {
            level,
            kind: String::new(),
            object,
            place: None,
            detail,
            needed_by: Vec::new(),
            needed_by_total: 0,
        }
    }

    fn needed_by(&mut self, dependant: Dependant) {
        self.needed_by_total += 1;
        if self.needed_by.len() < DEPENDANTS_MAX {
            self.needed_by.push(dependant);
        }
    }
}

/// The kind of a damaged object that no ref reaches.
const UNREACHED: &str = "unreachable object";

/// Verifies the whole store, or with `rev` what that revision reaches.
///
/// # Errors
/// A revision that names nothing; whatever is damaged is part of the answer.
pub fn verify(repo: &Repo, rev: Option<&str>, progress: &dyn Progress) -> Result<VerifyReport, OpError> {
    let mut covered = Covered::default();
    let mut findings = Findings::default();
    let mut uncatalogued = Vec::new();
    let start = rev.map(|rev| repo.resolve(rev)).transpose()?;
    // The objects of packs in which every one was hashed again: they need not be read a second time.
    let mut census = Census::default();
    if start.is_none() {
        if let Err(error) = repo.store().verify_catalogue() {
            findings.other("V0", "catalogue", place_of_store(&error), error.to_string());
        }
        census = packs(repo, progress, &mut covered, &mut findings, &mut uncatalogued)?;
        log(repo, &mut covered, &mut findings, &mut uncatalogued);
    }
    progress.begin("walking what is reachable", None);
    let known = Known::new(census);
    let mut reach = Reach::new(repo, &known, &mut covered, &mut findings, progress);
    match start {
        Some(commit) => reach.history([commit]),
        None => reach.everything(),
    }
    let mut reached = reach.finish();
    if start.is_some() {
        reached.name(repo);
    }
    progress.end();
    progress.begin("comparing links", None);
    covered.links = joins::check(repo, &known, &reached, &mut findings);
    progress.end();
    if !findings.objects.is_empty() {
        dependants::find(repo, &mut reached, &mut findings);
    }
    let (findings_total, counts) = (findings.total(), findings.counts.clone());
    let findings = findings.sorted();
    let whole = if start.is_some() { Extent::Reached } else { Extent::Whole };
    let levels = LEVELS.map(|(level, name, claim)| {
        let checked = match level {
            "V0" | "V3" if start.is_some() => Extent::Not,
            _ => whole,
        };
        let own = counts.get(level).copied().unwrap_or(0);
        // A damaged object that something needs breaks the closure, too.
        let breaks =
            |finding: &Finding| level == "V2" && finding.level == "V1" && finding.needed_by_total > 0;
        let holds = (checked != Extent::Not).then(|| own == 0 && !findings.iter().any(breaks));
        Level { level, name, claim, checked, holds, findings: own }
    });
    Ok(VerifyReport {
        rev: rev.map(ToOwned::to_owned),
        sound: findings_total == 0,
        levels: levels.to_vec(),
        covered,
        refs: affected::refs(repo, &reached),
        snapshots: affected::snapshots(&reached),
        findings,
        findings_total,
        uncatalogued,
    })
}

fn packs(
    repo: &Repo,
    progress: &dyn Progress,
    covered: &mut Covered,
    findings: &mut Findings,
    uncatalogued: &mut Vec<PathBuf>,
) -> Result<Census<Option<Row>>, OpError> {
    progress.begin("hashing packs", Some(repo.store().packs().iter().map(|pack| pack.bytes).sum()));
    let sizes: BTreeMap<ObjectId, u64> = repo.store().packs().into_iter().map(|p| (p.id, p.bytes)).collect();
    let linker = Linker::new();
    let see = |id: &ObjectId, bytes: &[u8]| linker.read(id, bytes);
    let census = repo.store().verify_packs_seeing(&see, &mut |report| match report {
        PackReport::Checked { pack, objects, bytes, .. } => {
            covered.packs += 1;
            covered.packed_objects += objects;
            covered.packed_bytes += bytes;
            progress.advance(objects, sizes.get(&pack).copied().unwrap_or(0));
        }
        PackReport::Finding { path, object: Some(id), detail, .. } => {
            findings.object("V1", UNREACHED, id, Some(path), detail);
        }
        PackReport::Finding { path, object: None, detail, .. } => {
            findings.other("V0", "pack", Some(path), detail);
        }
        PackReport::Uncatalogued { path } => uncatalogued.push(path),
    })?;
    progress.end();
    Ok(census)
}

fn log(repo: &Repo, covered: &mut Covered, findings: &mut Findings, uncatalogued: &mut Vec<PathBuf>) {
    let LogCheck { operations, findings: found, beyond, .. } = repo.store().verify_log();
    covered.operations = operations;
    for finding in found {
        findings.other("V3", finding.kind, Some(finding.path), finding.detail);
    }
    uncatalogued.extend(beyond);
}

fn place_of_store(error: &StoreError) -> Option<PathBuf> {
    match error {
        StoreError::Damaged { place, .. } => Some(place.clone()),
        StoreError::Io { path, .. } => Some(path.clone()),
        _ => None,
    }
}
