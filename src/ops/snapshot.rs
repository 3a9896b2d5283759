//! A commit as files: which datasets and reports a working tree holds, staged before anything is published.
//!
//! Rests on `repo::worktree`. Invariants: files are staged and checked before a ref moves and brought into place after;
//! the working tree never mixes the datasets of two commits; reports of earlier runs stay, since each has a folder named
//! by its run.

use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::report;
use crate::record::DriftReport;
use crate::record::Record;
use crate::record::RunSummary;
use crate::record::StageReceipt;
use crate::repo::Commit;
use crate::repo::DATASETS;
use crate::repo::Repo;
use crate::repo::worktree::Scope;
use crate::repo::worktree::Summary;
use crate::repo::worktree::Transaction;
use crate::repo::worktree::Worktree;
use crate::repo::worktree::WorktreeError;
use crate::repo::worktree::digests;
use crate::repo::worktree::folder_of;
use crate::repo::worktree::single_file;
use crate::repo::worktree::write_dataset;
use crate::repo::worktree::write_datasets;
use crate::tree;

/// Where reports lie.
pub(crate) const REPORTS: &str = "reports/distillation/";
/// Reports of gates, which say when they looked and at what; they stay when a run or a checkout brings other files.
const OF_GATES: [&str; 3] = [crate::ops::acceptance::PAGE, crate::ops::audit::PAGE, crate::ops::replay::PAGE];
/// What is written when nothing else is asked for.
const USUAL: [&str; 4] = ["exports/rag", "exports/sft", "exports/preference", "quarantine"];
/// What `--all` adds. Sources are written by name only: they lie in the source files already.
const MORE: [&str; 3] = ["evidence", "scored-runs", "duplicates"];

/// Which files of a commit are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Exports, quarantine and reports.
    #[default]
    Usual,
    /// Evidence, scored runs and duplicates too.
    All,
    /// These datasets alone, by full name.
    Only(BTreeSet<String>),
}

impl Selection {
    /// The selection of datasets called `names`; `sft` stands for `exports/sft`. No name is the usual selection.
    ///
    /// # Errors
    /// When a name is none of a dataset.
    pub fn named(names: &[String]) -> Result<Self, OpError> {
        if names.is_empty() {
            return Ok(Self::Usual);
        }
        let full = |name: &String| {
            let name = name.trim_end_matches('/');
            let known = DATASETS
                .into_iter()
                .find(|full| *full == name || full.strip_prefix("exports/") == Some(name));
            known.map(str::to_owned).ok_or_else(|| {
                OpError::new(
                    ErrorKind::Usage,
                    format!("there is no dataset called `{name}`"),
                    format!("the datasets are {}", DATASETS.join(", ")),
                )
            })
        };
        names.iter().map(full).collect::<Result<_, _>>().map(Self::Only)
    }

    fn has(&self, dataset: &str) -> bool {
        match self {
            Self::Usual => USUAL.contains(&dataset),
            Self::All => USUAL.contains(&dataset) || MORE.contains(&dataset),
            Self::Only(names) => names.contains(dataset),
        }
    }

    fn has_reports(&self) -> bool {
        !matches!(self, Self::Only(_))
    }
}

/// The JSONL of an export that the caller has written already, or knows the digest of.
#[derive(Clone, Debug)]
pub(crate) struct ReadyFile {
    /// The export.
    pub dataset: String,
    /// BLAKE3 of its JSONL.
    pub blake3: ObjectId,
    /// The file, which is moved or removed; `None` where only the digest is known.
    pub path: Option<PathBuf>,
}

/// What a commit's run said of itself, parsed, each with the exact bytes of its object.
pub(crate) struct RunRecords {
    run_id: String,
    summary: Option<(Vec<u8>, RunSummary)>,
    drift: Option<(Vec<u8>, DriftReport)>,
    receipts: Vec<(Vec<u8>, StageReceipt)>,
}

impl RunRecords {
    /// Reads them.
    pub(crate) fn load(find: &dyn Find, commit: &Commit) -> Result<Self, OpError> {
        let mut receipts = Vec::new();
        for entry in tree::iter(find, commit.receipts) {
            receipts.push(read::<StageReceipt>(find, &entry?.id)?);
        }
        receipts.sort_by_key(|(_, receipt)| report::stage_order(&receipt.stage));
        Ok(Self {
            run_id: commit.run_id.clone(),
            summary: commit.summary_id.map(|id| read(find, &id)).transpose()?,
            drift: commit.drift_id.map(|id| read(find, &id)).transpose()?,
            receipts,
        })
    }

    /// The report files, relative to the working tree, with their content.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let Some((summary_bytes, summary)) = &self.summary else { return Vec::new() };
        let folder = format!("{REPORTS}{}/", self.run_id);
        let line = |bytes: &[u8]| [bytes, b"\n"].concat();
        let run = report::Run {
            summary,
            drift: self.drift.as_ref().map(|(_, drift)| drift),
            receipts: self.receipts.iter().map(|(_, receipt)| receipt).collect(),
        };
        let mut files = vec![
            (format!("{folder}summary.json"), line(summary_bytes)),
            (format!("{folder}summary.md"), report::summary(&run).into_bytes()),
        ];
        if let Some((bytes, _)) = &self.drift {
            files.push((format!("{folder}drift.json"), line(bytes)));
        }
        for (bytes, receipt) in &self.receipts {
            files.push((format!("{folder}receipts/{}.json", receipt.stage), line(bytes)));
        }
        if run.receipts.iter().any(|receipt| receipt.stage.starts_with("export-")) {
            files.push((format!("{REPORTS}phase4-export-report.md"), report::exports(&run).into_bytes()));
            files.push((format!("{REPORTS}phase5-receipts-report.md"), report::receipts(&run).into_bytes()));
        }
        files
    }

    /// The digest of an export's JSONL, where a receipt says it of this very snapshot.
    fn export(&self, dataset: &str, root: RootId) -> Option<ObjectId> {
        let outputs = self.receipts.iter().flat_map(|(_, receipt)| &receipt.outputs);
        let output = outputs.into_iter().find(|output| output.dataset == dataset && output.root == root)?;
        output.jsonl_blake3.as_deref()?.parse().ok()
    }
}

fn read<T: Record>(find: &dyn Find, id: &ObjectId) -> Result<(Vec<u8>, T), OpError> {
    let bytes = find.find(id)?.to_vec();
    let record = T::parse(&bytes)?;
    Ok((bytes, record))
}

/// A commit's files, staged and checked.
pub(crate) struct Prepared {
    transaction: Transaction,
    force: bool,
    stale: Stale,
    /// The datasets that were staged, with their rows; `None` for one that was in place already.
    pub datasets: Vec<(String, Option<u64>)>,
}

impl Prepared {
    /// The files that will be in place, relative to the working tree, in order.
    pub(crate) fn files(&self) -> Vec<String> {
        self.transaction.files().map(|(rel, ..)| rel.to_owned()).collect()
    }

    /// Brings the files into place.
    ///
    /// # Errors
    /// Files that were changed by hand since they were checked; I/O.
    pub(crate) fn commit(self) -> Result<Summary, OpError> {
        let Self { transaction, force, stale, .. } = self;
        Ok(transaction.commit(force, &|rel| stale.has(rel))?)
    }
}

/// Which tracked files go when they are not written.
struct Stale {
    /// Folders whose files go; `None` for all that belong to one snapshot at a time.
    folders: Option<Vec<&'static str>>,
}

impl Stale {
    fn has(&self, rel: &str) -> bool {
        match &self.folders {
            Some(folders) => folders.iter().any(|folder| rel.starts_with(folder)),
            None => is_of_one_commit(rel),
        }
    }
}

/// Whether a file belongs to one snapshot at a time: the datasets, and the reports that are not in a run's own folder.
fn is_of_one_commit(rel: &str) -> bool {
    match rel.strip_prefix(REPORTS) {
        Some(rest) => !rest.contains('/') && !OF_GATES.contains(&rest),
        None => {
            DATASETS.iter().any(|dataset| folder_of(dataset).is_some_and(|folder| rel.starts_with(folder)))
        }
    }
}

/// What to bring a working tree to.
pub(crate) struct Wanted<'a> {
    /// Where the commit's objects are: the store, or what is staged for it.
    pub find: &'a dyn Find,
    /// The commit; `None` for the time before the first one.
    pub commit: Option<&'a Commit>,
    /// Which of its files.
    pub selection: &'a Selection,
    /// Exports that need not be written again.
    pub ready: Vec<ReadyFile>,
    /// Whether the working tree holds files of the same commit, so that those which are not selected may stay.
    pub same_commit: bool,
    /// Whether files changed by hand may be lost.
    pub force: bool,
}

/// The repository's own working tree. Where its memory is lost, what HEAD would write stands in for it.
///
/// # Errors
/// When HEAD's commit cannot be read.
pub(crate) fn worktree(repo: &Repo) -> Result<Worktree, OpError> {
    let worktree = Worktree::open(repo.root(), &repo.dot().join("index"))?;
    if worktree.has_memory() {
        return Ok(worktree);
    }
    let Some(head) = repo.head_commit() else { return Ok(worktree) };
    let commit = repo.commit(head)?;
    let mut known: BTreeSet<ObjectId> = RunRecords::load(repo.store(), &commit)?
        .files()
        .iter()
        .map(|(_, bytes)| ObjectId::of(bytes))
        .collect();
    for (dataset, root) in &commit.datasets {
        let on_disk = folder_of(dataset).is_some_and(|folder| repo.root().join(folder).exists());
        if on_disk {
            known.extend(digests(repo.store(), dataset, *root)?.into_values());
        }
    }
    Ok(worktree.knowing(known))
}

/// The files of the working tree that distill wrote and that a person has changed since, in order.
///
/// # Errors
/// When a file cannot be read.
pub fn changed_by_hand(repo: &Repo) -> Result<Vec<PathBuf>, OpError> {
    Ok(Worktree::open(repo.root(), &repo.dot().join("index"))?.changed_by_hand(&|_| true)?)
}

/// Refuses, unless `force`, to go on where files that a run will write were changed by hand.
///
/// # Errors
/// The refusal, with the files.
pub(crate) fn refuse_changed(repo: &Repo, force: bool) -> Result<(), OpError> {
    refuse_changed_of(repo, force, &is_of_one_commit)
}

/// The same for reports alone: those of a commit, and `page`, which one command keeps.
///
/// # Errors
/// The refusal, with the files.
pub(crate) fn refuse_changed_reports(repo: &Repo, force: bool, page: &str) -> Result<(), OpError> {
    let is_report =
        |rel: &str| rel.strip_prefix(REPORTS).is_some_and(|rest| is_of_one_commit(rel) || rest == page);
    refuse_changed_of(repo, force, &is_report)
}

fn refuse_changed_of(repo: &Repo, force: bool, scope: Scope<'_>) -> Result<(), OpError> {
    let worktree = Worktree::open(repo.root(), &repo.dot().join("index"))?;
    let paths = worktree.changed_by_hand(scope)?;
    if force || paths.is_empty() {
        return Ok(());
    }
    Err(WorktreeError::Conflicts { paths }.into())
}

/// Stages a commit's files below `worktree` and checks that bringing them into place loses nothing.
///
/// # Errors
/// Files changed by hand, damage in the store, a full disk. Nothing has changed then.
pub(crate) fn prepare(worktree: &Worktree, wanted: Wanted<'_>) -> Result<Prepared, OpError> {
    let mut ready = Leftovers(wanted.ready);
    let mut transaction = worktree.begin()?;
    let mut datasets = Vec::new();
    if let Some(commit) = wanted.commit {
        let records = RunRecords::load(wanted.find, commit)?;
        // Exports that must be written are written together.
        let mut exports = Vec::new();
        for (dataset, root) in &commit.datasets {
            if !wanted.selection.has(dataset) {
                continue;
            }
            let rows = match single_file(dataset) {
                Some(file) => {
                    let known = records.export(dataset, *root);
                    if !stage_export(&mut transaction, (dataset, file), known, &mut ready)? {
                        exports.push((datasets.len(), dataset.as_str(), *root));
                    }
                    None
                }
                None => Some(write_dataset(&mut transaction, wanted.find, dataset, *root)?),
            };
            datasets.push((dataset.clone(), rows));
        }
        let unwritten: Vec<_> = exports.iter().map(|(_, dataset, root)| (*dataset, *root)).collect();
        let rows = write_datasets(&mut transaction, wanted.find, &unwritten)?;
        for ((at, ..), rows) in exports.into_iter().zip(rows) {
            datasets[at].1 = Some(rows);
        }
        if wanted.selection.has_reports() {
            for (file, bytes) in records.files() {
                transaction.put(&file, &bytes)?;
            }
        }
    }
    let folders = match wanted.selection {
        Selection::Only(names) if wanted.same_commit => {
            Some(names.iter().filter_map(|name| folder_of(name)).collect())
        }
        _ => None,
    };
    let stale = Stale { folders };
    transaction.check(wanted.force, &|rel| stale.has(rel))?;
    Ok(Prepared { transaction, force: wanted.force, stale, datasets })
}

/// Stages one export whose exact bytes are in a file already; whether there is one.
fn stage_export(
    transaction: &mut Transaction,
    (dataset, file): (&str, &str),
    known: Option<ObjectId>,
    ready: &mut Leftovers,
) -> Result<bool, OpError> {
    let written = ready.0.iter().position(|ready| ready.dataset == dataset).map(|at| ready.0.remove(at));
    let digest = written.as_ref().map(|written| written.blake3).or(known);
    let path = written.and_then(|written| written.path);
    if let Some(digest) = digest
        && transaction.holds(file, digest)?
    {
        remove(path.as_deref());
        return Ok(true);
    }
    let (Some(path), Some(digest)) = (path, digest) else { return Ok(false) };
    let bytes = path.metadata().map_err(|e| OpError::io("read", &path, &e))?.len();
    transaction.adopt(file, &path, digest, bytes)?;
    Ok(true)
}

/// Files that were made ready and go with this value when nobody took them.
struct Leftovers(Vec<ReadyFile>);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for ready in &self.0 {
            remove(ready.path.as_deref());
        }
    }
}

/// Removes files that were made ready and are not wanted.
pub(crate) fn discard(ready: Vec<ReadyFile>) {
    drop(Leftovers(ready));
}

fn remove(path: Option<&Path>) {
    if let Some(path) = path {
        std::fs::remove_file(path).ok();
    }
}
