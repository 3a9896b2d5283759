//! `verify`: hashes and walks everything, and says what it covered, what is damaged and what depends on that.
//!
//! Rests on the store's check of its packs and on the tree's walker. Invariants: it never stops at the first finding; it
//! writes nothing; memory is bounded by 20 bytes an object and a line a tree node; a shared subtree is walked once.

mod dependants;
mod reach;
mod walks;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::object::CommitId;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::progress::Progress;
use crate::ops::verify::reach::Reach;
use crate::repo::Repo;
use crate::store::Census;
use crate::store::PackReport;

/// What was found, and how much was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The revision as typed; null for the whole store.
    pub rev: Option<String>,
    /// Whether nothing is damaged or missing.
    pub sound: bool,
    /// What was gone through.
    pub covered: Covered,
    /// What is wrong, by kind and object.
    pub findings: Vec<Finding>,
    /// Files in `packs/` that do not belong to the store: no damage, but worth a word.
    pub uncatalogued: Vec<PathBuf>,
}

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
}

/// Something damaged or missing.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
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

/// Findings by object while they are being gathered; those that are no object stand apart.
#[derive(Default)]
struct Findings {
    objects: BTreeMap<ObjectId, Finding>,
    others: Vec<Finding>,
}

impl Findings {
    fn object(&mut self, kind: &str, id: ObjectId, place: Option<PathBuf>, detail: String) -> &mut Finding {
        let finding = self.objects.entry(id).or_insert_with(|| Finding {
            kind: String::new(),
            object: Some(id),
            place: None,
            detail,
            needed_by: Vec::new(),
            needed_by_total: 0,
        });
        // What a pack's check calls an object gets its kind from where it is reached.
        if finding.kind.is_empty() || finding.kind == UNREACHED {
            kind.clone_into(&mut finding.kind);
        }
        if finding.place.is_none() {
            finding.place = place;
        }
        finding
    }

    fn other(&mut self, kind: &str, place: Option<PathBuf>, detail: String) -> &mut Finding {
        self.others.push(Finding {
            kind: kind.to_owned(),
            object: None,
            place,
            detail,
            needed_by: Vec::new(),
            needed_by_total: 0,
        });
        let last = self.others.len() - 1;
        &mut self.others[last]
    }

    fn sorted(self) -> Vec<Finding> {
        let mut all = self.others;
        all.extend(self.objects.into_values());
        all.sort_by(|a, b| (&a.kind, a.object, &a.place).cmp(&(&b.kind, b.object, &b.place)));
        all
    }
}

impl Finding {
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
        census = packs(repo, progress, &mut covered, &mut findings, &mut uncatalogued)?;
        operations(repo, &mut covered, &mut findings);
    }
    progress.begin("walking what is reachable", None);
    let mut reach = Reach::new(repo, &census, &mut covered, &mut findings, progress);
    match start {
        Some(commit) => reach.history([commit]),
        None => reach.everything(),
    }
    let commits = reach.finish();
    progress.end();
    if !findings.objects.is_empty() {
        dependants::find(repo, &commits, &mut findings.objects);
    }
    let findings = findings.sorted();
    Ok(VerifyReport {
        rev: rev.map(ToOwned::to_owned),
        sound: findings.is_empty(),
        covered,
        findings,
        uncatalogued,
    })
}

fn packs(
    repo: &Repo,
    progress: &dyn Progress,
    covered: &mut Covered,
    findings: &mut Findings,
    uncatalogued: &mut Vec<PathBuf>,
) -> Result<Census, OpError> {
    progress.begin("hashing packs", Some(repo.store().packs().iter().map(|pack| pack.bytes).sum()));
    let sizes: BTreeMap<ObjectId, u64> = repo.store().packs().into_iter().map(|p| (p.id, p.bytes)).collect();
    let census = repo.store().verify_packs(&mut |report| match report {
        PackReport::Checked { pack, objects, bytes, .. } => {
            covered.packs += 1;
            covered.packed_objects += objects;
            covered.packed_bytes += bytes;
            progress.advance(objects, sizes.get(&pack).copied().unwrap_or(0));
        }
        PackReport::Finding { path, object: Some(id), detail, .. } => {
            findings.object(UNREACHED, id, Some(path), detail);
        }
        PackReport::Finding { path, object: None, detail, .. } => {
            findings.other("pack", Some(path), detail);
        }
        PackReport::Uncatalogued { path } => uncatalogued.push(path),
    })?;
    progress.end();
    Ok(census)
}

fn operations(repo: &Repo, covered: &mut Covered, findings: &mut Findings) {
    for logged in repo.store().operations() {
        match logged {
            Ok(_) => covered.operations += 1,
            Err(error) => {
                let place = match &error {
                    crate::store::StoreError::Damaged { place, .. } => Some(place.clone()),
                    crate::store::StoreError::Io { path, .. } => Some(path.clone()),
                    _ => None,
                };
                findings.other("operation", place, error.to_string());
            }
        }
    }
}
