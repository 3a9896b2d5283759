//! `status`: where HEAD is, what a run would find new, whether the configuration changed.
//!
//! Rests on the receipt of the `sources` stage, which says how far each file was known. Invariants: reading never
//! writes; a configuration or a file that cannot be used is part of the answer, not the end of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::io::{BufRead as _, Seek as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::engine::inputs::{claim, discover, hash_prefix};
use crate::ops::engine::{Dataset, SourceFile};
use crate::ops::loss::{FILE, MERGED};
use crate::ops::setup::Setup;
use crate::record::Metrics;
use crate::record::parse_time_text;
use crate::record::source_key;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::repo::Site;
use crate::store::Head;
use crate::tree;

/// How things stand.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The folder that holds `.distill`.
    pub root: PathBuf,
    /// Where the paths of specs start.
    pub base: PathBuf,
    /// The branch of HEAD; null when it is detached or there is no store.
    pub branch: Option<String>,
    /// Whether HEAD names a commit and no branch.
    pub detached: bool,
    /// Where HEAD stands.
    pub commit_id: Option<CommitId>,
    /// The run of that commit.
    pub last_run: Option<LastRun>,
    /// What changed in the configuration since that commit.
    pub config: ConfigState,
    /// Why the configuration cannot be used.
    pub config_error: Option<String>,
    /// The files of each spec.
    pub sources: Vec<SpecState>,
    /// Files that the last run knew and that are gone, or that no spec claims any more.
    pub vanished: Vec<String>,
    /// Files that a merge brought and that are not in this folder: a run takes their rows from the store.
    pub held: Vec<String>,
    /// How large the store is; null when there is none yet.
    pub store: Option<StoreSize>,
    /// What to do next, the most useful first.
    pub next: Vec<String>,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct LastRun {
    /// Its id.
    pub run_id: String,
    /// What it was: `run-all`, `score` …
    pub operation: String,
    /// RFC 3339, UTC.
    pub committed_at: String,
    /// Seconds since then; null when the clock says that it is to come.
    pub age_s: Option<u64>,
    /// The ten metrics.
    pub metrics: Option<Metrics>,
}

/// Whether the configuration is that of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigState {
    /// There is no commit to compare with.
    New,
    /// A run would use the same.
    Unchanged,
    /// A run would use another one.
    Changed,
    /// It cannot be used.
    Unusable,
}

/// The files of one spec.
#[derive(Clone, Debug, Serialize)]
pub struct SpecState {
    /// The spec's name.
    pub name: String,
    /// The stream it fills.
    pub stream: String,
    /// Its files, in source order.
    pub files: Vec<FileState>,
}

/// One file.
#[derive(Clone, Debug, Serialize)]
pub struct FileState {
    /// Relative to the base.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Units of it that the last run knew.
    pub known_rows: u64,
    /// Bytes of it that the last run knew.
    pub known_bytes: u64,
    /// How it stands to what the last run knew.
    pub state: FileChange,
}

/// How a file stands to what the last run knew of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    /// The last run did not know it.
    New,
    /// The same.
    Unchanged,
    /// Longer, what was known being still there.
    Grown,
    /// What was known is no longer there: a run needs `--accept-source-loss` if rows are gone.
    Changed,
}

/// How large a store is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StoreSize {
    /// Pack files.
    pub packs: u64,
    /// Objects in them.
    pub objects: u64,
    /// Bytes of the packs.
    pub bytes: u64,
}

/// What is known of a file.
struct Known {
    root: ObjectId,
    rows: u64,
    bytes: u64,
    /// Whether the file came with a merge and was in no folder here.
    merged: bool,
}

/// How things stand. A file of the known size that was last written before the run is taken for unchanged; with `check`
/// every known byte is hashed again.
///
/// # Errors
/// A store that is damaged or newer than this program, sources that cannot be read.
pub fn status(site: Site, check: bool, clock: Clock) -> Result<Status, OpError> {
    let (root, base, dot) = (site.root.clone(), site.base.clone(), site.dot());
    let options = site.config.exports.clone();
    let repo = if site.has_store() { Some(site.open()?) } else { None };
    let head = match &repo {
        Some(repo) => repo.head_commit().map(|id| Ok::<_, OpError>((id, repo.commit(id)?))).transpose()?,
        None => None,
    };
    let (known, since) = match (&repo, &head) {
        (Some(repo), Some((_, commit))) => known_files(repo, commit)?,
        _ => (BTreeMap::new(), None),
    };
    let mut status = Status {
        root,
        base: base.clone(),
        branch: None,
        detached: false,
        commit_id: head.as_ref().map(|(id, _)| *id),
        last_run: None,
        config: ConfigState::New,
        config_error: None,
        sources: Vec::new(),
        vanished: Vec::new(),
        held: Vec::new(),
        store: None,
        next: Vec::new(),
    };
    if let Some(repo) = &repo {
        match repo.store().head() {
            Head::Branch(full) => status.branch = Some(full.trim_start_matches("heads/").to_owned()),
            Head::Detached(_) => status.detached = true,
        }
        let packs = repo.store().packs();
        status.store = Some(StoreSize {
            packs: packs.len() as u64,
            objects: packs.iter().map(|pack| pack.objects).sum(),
            bytes: packs.iter().map(|pack| pack.bytes).sum(),
        });
        if let Some((_, commit)) = &head {
            status.last_run = Some(last_run(repo, commit, clock)?);
        }
    }
    match Setup::load(&dot, options) {
        Ok(setup) => {
            if let Some((_, commit)) = &head {
                let same = commit.config_id == Some(setup.config_id());
                status.config = if same { ConfigState::Unchanged } else { ConfigState::Changed };
            }
            let found = discover(&status.root, &base, &setup.specs)?;
            let here: BTreeSet<&str> = found.iter().map(|file| file.name.as_str()).collect();
            let absent = known.iter().filter(|(path, _)| !here.contains(path.as_str()));
            for (path, known) in absent {
                let read = || claim(&setup.specs, [(path.clone(), base.join(path))]);
                let held = known.merged && !read()?.is_empty();
                if held { &mut status.held } else { &mut status.vanished }.push(path.clone());
            }
            status.sources = (setup.specs.iter())
                .map(|(name, spec)| SpecState {
                    name: name.clone(),
                    stream: spec.stream().to_owned(),
                    files: Vec::new(),
                })
                .collect();
            for file in found {
                // A file that only lookups read is part of the spec that joins it; it shows when it changes a record.
                let Some(spec) = file.spec else { continue };
                let last = match (&repo, &head) {
                    (Some(repo), Some((_, commit))) => last_unit(repo, commit, &file, known.get(&file.name))?,
                    _ => None,
                };
                let state = file_state(&file, known.get(&file.name), last, since, check)?;
                status.sources[spec].files.push(state);
            }
        }
        Err(error) => {
            status.config = ConfigState::Unusable;
            status.config_error = Some(error.message);
        }
    }
    status.next = next(&status);
    Ok(status)
}

fn last_run(repo: &Repo, commit: &Commit, clock: Clock) -> Result<LastRun, OpError> {
    let age_ms = instant_ms(&commit.committed_at).map(|then| clock.now_ms().saturating_sub(then));
    Ok(LastRun {
        run_id: commit.run_id.clone(),
        operation: commit.operation.clone(),
        committed_at: commit.committed_at.clone(),
        age_s: age_ms.and_then(|ms| u64::try_from(ms / 1000).ok()),
        metrics: repo.metrics(commit)?,
    })
}

fn instant_ms(text: &str) -> Option<i64> {
    parse_time_text(text).map(|time| time.instant.timestamp_millis())
}

/// What the latest `sources` receipt says of each file, and when that run began to read (ms since the epoch).
fn known_files(repo: &Repo, commit: &Commit) -> Result<(BTreeMap<String, Known>, Option<i64>), OpError> {
    let mut known = BTreeMap::new();
    let mut since = None;
    if let Some(receipt) = repo.receipt(commit, "sources")? {
        since = instant_ms(&receipt.started_at);
        for input in receipt.inputs {
            let (path, merged) = match input.dataset.strip_prefix(FILE) {
                Some(path) => (path, false),
                None => match input.dataset.strip_prefix(MERGED) {
                    Some(path) => (path, true),
                    None => continue,
                },
            };
            let value = Known { root: *input.root.object(), rows: input.rows, bytes: input.bytes, merged };
            known.insert(path.to_owned(), value);
        }
    }
    Ok((known, since))
}

/// The last line without an end that the last run has seen in a file.
fn last_unit(
    repo: &Repo,
    commit: &Commit,
    file: &SourceFile,
    known: Option<&Known>,
) -> Result<Option<ObjectId>, OpError> {
    let (Some(root), Some(known)) = (commit.dataset(Dataset::Sources.name()), known) else { return Ok(None) };
    let Ok(key) = source_key(&file.name, known.rows) else { return Ok(None) };
    Ok(tree::get(repo.store(), root, &key)?.map(|entry| entry.id))
}

fn file_state(
    file: &SourceFile,
    known: Option<&Known>,
    last: Option<ObjectId>,
    since: Option<i64>,
    check: bool,
) -> Result<FileState, OpError> {
    let metadata = fs::metadata(&file.path).map_err(|e| OpError::io("read", &file.path, &e))?;
    let bytes = metadata.len();
    let (known_rows, known_bytes) = known.map_or((0, 0), |known| (known.rows, known.bytes));
    let touched = match (metadata.modified().ok(), since) {
        (Some(modified), Some(since)) => {
            let ms = modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis());
            i64::try_from(ms).unwrap_or(i64::MAX) >= since
        }
        _ => true,
    };
    let state = match known {
        None => FileChange::New,
        Some(known) if bytes < known.bytes => FileChange::Changed,
        // A longer file that is not read on from its end is another one.
        Some(known) if bytes > known.bytes && !file.resumable() => FileChange::Changed,
        Some(known) if (check || touched) && !holds(&file.path, known)? => FileChange::Changed,
        Some(known)
            if bytes > known.bytes && tail(&file.path, known.bytes)?.is_none_or(|t| Some(t) != last) =>
        {
            FileChange::Grown
        }
        // A last line without an end, which the last run has seen, is not news.
        Some(_) => FileChange::Unchanged,
    };
    Ok(FileState { path: file.name.clone(), bytes, known_rows, known_bytes, state })
}

fn holds(path: &Path, known: &Known) -> Result<bool, OpError> {
    Ok(hash_prefix(path, known.bytes)? == Some(known.root))
}

/// The BLAKE3 of what follows byte `from`; `None` when a line ends there.
fn tail(path: &Path, from: u64) -> Result<Option<ObjectId>, OpError> {
    let failed = |error: &io::Error| OpError::io("read", path, error);
    let mut file = fs::File::open(path).map_err(|e| failed(&e))?;
    file.seek(io::SeekFrom::Start(from)).map_err(|e| failed(&e))?;
    let mut hasher = blake3::Hasher::new();
    let mut input = io::BufReader::new(file);
    loop {
        let buffer = input.fill_buf().map_err(|e| failed(&e))?;
        if buffer.is_empty() {
            return Ok(Some(ObjectId::from_bytes(*hasher.finalize().as_bytes())));
        }
        if memchr::memchr(b'\n', buffer).is_some() {
            return Ok(None);
        }
        hasher.update(buffer);
        let len = buffer.len();
        input.consume(len);
    }
}

fn next(status: &Status) -> Vec<String> {
    let mut next = Vec::new();
    let files = || status.sources.iter().flat_map(|spec| &spec.files);
    if status.config == ConfigState::Unusable {
        next.push("correct the configuration: see the error above".to_owned());
    } else if status.sources.is_empty() {
        next.push("write a source spec in .distill/sources (docs/sources.md teaches how)".to_owned());
    } else if files().next().is_none() && status.commit_id.is_none() {
        next.push(
            "check `base` in .distill/config.toml and `files` in the specs: no file matches".to_owned(),
        );
    } else if !status.vanished.is_empty() || files().any(|file| file.state == FileChange::Changed) {
        next.push(
            "restore what is missing, or `distill run-all --accept-source-loss` to run without it".to_owned(),
        );
    } else if status.detached {
        next.push(
            "return to a branch with `distill checkout main`, or make one: `distill branch NAME`".to_owned(),
        );
    } else if status.commit_id.is_none() {
        next.push("`distill run-all` makes the first commit".to_owned());
    } else if status.config == ConfigState::Changed || files().any(|file| file.state != FileChange::Unchanged)
    {
        next.push("`distill run-all` takes in what is new".to_owned());
    }
    if status.commit_id.is_some() {
        next.push("`distill log`, `distill show` and `distill diff` tell what happened".to_owned());
    }
    next
}
