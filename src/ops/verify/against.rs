//! `verify --against`: whether the files in a folder are those of a revision.
//!
//! Rests on the layout of a checkout and on the receipts. Invariants: every file that the revision would write is looked for
//! and hashed whole; nothing is written; files that a checkout does not own are not told of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::object::{CommitId, ObjectId};
use crate::ops::OpError;
use crate::ops::open::resolve;
use crate::ops::progress::Progress;
use crate::ops::snapshot::{REPORTS, RunRecords};
use crate::repo::worktree::{digests, folder_of, single_file};
use crate::repo::{DATASETS, Repo};

/// The datasets that a plain checkout writes.
const USUAL: [&str; 4] = ["exports/rag", "exports/sft", "exports/preference", "quarantine"];

/// What was found in a folder.
#[derive(Clone, Debug, Serialize)]
pub struct AgainstReport {
    /// The commit.
    pub commit_id: CommitId,
    /// The run that made it.
    pub run_id: String,
    /// The folder.
    pub dir: String,
    /// Whether every file is there and as it should be, and none is there that should not.
    pub holds: bool,
    /// How many files are as they should be.
    pub same: u64,
    /// Datasets that were compared, in order. `evidence`, `scored-runs`, `duplicates` and `sources` are where the folder has
    /// any of their files.
    pub datasets: Vec<String>,
    /// Files that should be there and are not.
    pub missing: Vec<String>,
    /// Files with another content.
    pub changed: Vec<Changed>,
    /// Files in folders that belong to these datasets, or to this run's reports, that the revision has not.
    pub extra: Vec<String>,
    /// The digests of exports by their receipts and as they are.
    pub exports: Vec<ExportDigest>,
}

/// A file that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// Its path, relative to the folder.
    pub file: String,
    /// The BLAKE3 that it should have.
    pub expected: ObjectId,
    /// The one that it has; null for what is no file or cannot be read.
    pub found: Option<ObjectId>,
}

/// The digests of an export's file.
#[derive(Clone, Debug, Serialize)]
pub struct ExportDigest {
    /// The file, relative to the folder.
    pub file: String,
    /// The BLAKE3 that the receipt of its stage says; null where no receipt says it of this snapshot.
    pub receipt_blake3: Option<String>,
    /// The SHA-256 that the receipt says.
    pub receipt_sha256: Option<String>,
    /// The BLAKE3 of the file; null where it is not there.
    pub blake3: Option<String>,
    /// Its SHA-256.
    pub sha256: Option<String>,
    /// Whether the file has the receipt's digests.
    pub holds: bool,
}

/// Compares the folder `dir` with what `rev` (HEAD by default) would write there.
///
/// # Errors
/// A revision that names nothing, a folder that is not there, damage in the store.
pub fn against(
    repo: &Repo,
    rev: Option<&str>,
    dir: &Path,
    progress: &dyn Progress,
) -> Result<AgainstReport, OpError> {
    let commit_id = resolve(repo, rev)?;
    let commit = repo.commit(commit_id)?;
    std::fs::read_dir(dir).map_err(|error| OpError::io("list", dir, &error))?;
    let records = RunRecords::load(repo.store(), &commit)?;
    let mut expected: BTreeMap<String, ObjectId> = BTreeMap::new();
    let mut owned: Vec<String> = Vec::new();
    let mut datasets = Vec::new();
    progress.begin("hashing what should be there", None);
    for dataset in DATASETS {
        let (Some(root), Some(folder)) = (commit.dataset(dataset), folder_of(dataset)) else { continue };
        if USUAL.contains(&dataset) || dir.join(folder).exists() {
            expected.extend(digests(repo.store(), dataset, root)?);
            owned.push(folder.to_owned());
            datasets.push(dataset.to_owned());
        }
    }
    for (file, bytes) in records.files() {
        expected.insert(file, ObjectId::of(&bytes));
    }
    owned.push(format!("{REPORTS}{}/", commit.run_id));
    progress.end();
    let mut told = AgainstReport {
        commit_id,
        run_id: commit.run_id.clone(),
        dir: dir.display().to_string(),
        holds: false,
        same: 0,
        datasets,
        missing: Vec::new(),
        changed: Vec::new(),
        extra: Vec::new(),
        exports: Vec::new(),
    };
    progress.begin("hashing the folder", None);
    let mut found = BTreeMap::new();
    for (file, wanted) in &expected {
        match hash(&dir.join(file)) {
            Ok(Some(digest)) if digest.blake3 == *wanted => {
                told.same += 1;
                found.insert(file.as_str(), digest);
            }
            Ok(digest) => {
                let blake3 = digest.as_ref().map(|digest| digest.blake3);
                told.changed.push(Changed { file: file.clone(), expected: *wanted, found: blake3 });
                found.extend(digest.map(|digest| (file.as_str(), digest)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => told.missing.push(file.clone()),
            Err(error) => return Err(OpError::io("read", &dir.join(file), &error)),
        }
        progress.advance(1, 0);
    }
    for folder in &owned {
        told.extra.extend(files_below(dir, folder)?.into_iter().filter(|file| !expected.contains_key(file)));
    }
    progress.end();
    let receipts = repo.receipts(&commit)?;
    for dataset in DATASETS {
        let (Some(file), Some(root)) = (single_file(dataset), commit.dataset(dataset)) else { continue };
        let outputs = receipts.iter().flat_map(|(_, receipt)| &receipt.outputs);
        let output = outputs.into_iter().find(|output| output.dataset == dataset && output.root == root);
        let receipt_blake3 = output.and_then(|output| output.jsonl_blake3.clone());
        let receipt_sha256 = output.and_then(|output| output.jsonl_sha256.clone());
        let digest = found.get(file);
        let (blake3, sha256) = (digest.map(|d| d.blake3.to_string()), digest.map(|d| d.sha256.clone()));
        let holds = blake3.is_some() && blake3 == receipt_blake3 && sha256 == receipt_sha256;
        let file = file.to_owned();
        told.exports.push(ExportDigest { file, receipt_blake3, receipt_sha256, blake3, sha256, holds });
    }
    told.holds = told.missing.is_empty()
        && told.changed.is_empty()
        && told.extra.is_empty()
        && told.exports.iter().all(|export| export.holds || export.receipt_blake3.is_none());
    Ok(told)
}

struct Digests {
    blake3: ObjectId,
    sha256: String,
}

/// The digests of a file; `None` for what is there and no plain file.
fn hash(path: &Path) -> std::io::Result<Option<Digests>> {
    if !path.symlink_metadata()?.is_file() {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let (mut blake3, mut sha256) = (blake3::Hasher::new(), Sha256::new());
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            let blake3 = ObjectId::from_bytes(*blake3.finalize().as_bytes());
            return Ok(Some(Digests { blake3, sha256: hex::encode(sha256.finalize()) }));
        }
        blake3.update(&buffer[..read]);
        sha256.update(&buffer[..read]);
    }
}

/// The files below `folder` of `dir`, by their paths relative to `dir`, in order.
fn files_below(dir: &Path, folder: &str) -> Result<Vec<String>, OpError> {
    let top = dir.join(folder);
    if !top.exists() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(&top).sort_by_file_name() {
        let entry = entry.map_err(|error| OpError::walk(&top, error))?;
        if !entry.file_type().is_dir()
            && let Ok(below) = entry.path().strip_prefix(dir)
        {
            files.push(below.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(files)
}
