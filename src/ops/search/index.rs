//! The index of one snapshot: a cache in `.distill/index/<root id>/`, built by whoever needs it first.
//!
//! Rests on tantivy. Invariants: it holds no text, only which words each row has, and rows by their number in the tree, so that
//! whatever is shown is read from the store; it is part of no hash and may be deleted at any time; a folder under its final name is
//! complete; one whose files are not those that were written is built again; whoever asks an index writes nothing into its folder. Where
//! the repository cannot be written to, the index is made in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tantivy::directory::{MmapDirectory, RamDirectory};
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{FAST, Field, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions};
use tantivy::{
    Directory, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Searcher, TantivyDocument,
};

use super::frozen::Frozen;
use super::token::Words;
use crate::base::panics::caught;
use crate::object::{Find as _, ObjectId, RootId};
use crate::ops::{ErrorKind, OpError, Progress};
use crate::record::{RagSample, Record as _, RecordKey};
use crate::repo::Repo;
use crate::tree;

/// The form of the index: another one is built again.
const FORMAT: u32 = 1;
/// What says that an index is complete, and what its files are.
const MANIFEST: &str = "distill.json";
/// Our tokenizer's name in the schema.
const TOKENIZER: &str = "distill";
/// Words are gathered on so many threads beside the one that reads; more wait for it.
const THREADS_MAX: usize = 4;
/// What all segments may take in memory while they are made.
const MEMORY_BYTES: usize = 512 << 20;
/// Rows that are read at a time.
const ROWS_AT_A_TIME: usize = 1024;
/// Indexes of so many other snapshots are left when one is built; the oldest go first.
const OTHERS_KEPT: usize = 7;

/// An index that can be asked.
pub(super) struct Opened {
    pub(super) searcher: Searcher,
    pub(super) fields: Fields,
}

/// The fields of the schema.
#[derive(Clone, Copy)]
pub(super) struct Fields {
    /// Words of content, tags, run, key and file.
    pub(super) text: Field,
    /// `stream:…`, `tag:…`, `category:…`, whole.
    pub(super) label: Field,
    /// Number of the row in the tree.
    pub(super) row: Field,
    /// Milliseconds since 1970, 0 where a row has no time.
    pub(super) time: Field,
}

/// Name of the field of row numbers.
pub(super) const ROW: &str = "row";

/// What is known of a complete index.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    root: RootId,
    rows: u64,
    files: BTreeMap<String, FileMark>,
}

/// A file as it was written.
#[derive(Debug, Serialize, Deserialize)]
struct FileMark {
    bytes: u64,
    /// Seconds and nanoseconds of its last change: while they are these, it is not hashed again.
    changed: (i64, i64),
    hash: ObjectId,
}

/// Where the index of a snapshot lies.
pub(super) fn folder(repo: &Repo, root: RootId) -> PathBuf {
    repo.dot().join("index").join(root.to_string())
}

/// The index of `root`: opened where there is a sound one, else built.
pub(super) fn open_or_build(repo: &Repo, root: RootId, progress: &dyn Progress) -> Result<Opened, OpError> {
    let folder = folder(repo, root);
    if let Some(opened) = open(&folder, root) {
        return Ok(opened);
    }
    let parent = repo.dot().join("index");
    let lock_path = parent.join("search.lock");
    // One process builds, the others wait for it and then find what it built.
    let lock = match fs::create_dir_all(&parent).and_then(|()| File::create(&lock_path)) {
        Ok(lock) => lock,
        Err(error) if is_forbidden(&error) => return build_in_memory(repo, root, progress),
        Err(error) => return Err(OpError::io("open", &lock_path, &error)),
    };
    if lock.try_lock().is_err() {
        progress.note("waiting for another process that builds a search index");
        lock.lock().map_err(|error| OpError::io("lock", &lock_path, &error))?;
        if let Some(opened) = open(&folder, root) {
            return Ok(opened);
        }
    }
    build(repo, root, &folder, progress)?;
    open(&folder, root).ok_or_else(|| vanished(&folder.display().to_string()))
}

fn cannot_build(place: &str, error: &dyn std::error::Error) -> OpError {
    let hint = "check the space and the permissions there; the index is a cache and may be deleted";
    OpError::new(ErrorKind::Outside, format!("cannot build the search index {place}: {error}"), hint)
}

fn vanished(place: &str) -> OpError {
    OpError::new(
        ErrorKind::Outside,
        format!("the search index {place} cannot be opened, though it was just built"),
        "check the disk that it lies on; the index is a cache and may be deleted",
    )
}

/// Whether somebody else's repository, or a read-only disk, is asked.
fn is_forbidden(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)
}

/// An index in memory, for this process alone: 160 bytes a row, or so.
fn build_in_memory(repo: &Repo, root: RootId, progress: &dyn Progress) -> Result<Opened, OpError> {
    progress.note("the repository cannot be written to: its search index is built for this time only");
    let directory = RamDirectory::create();
    fill(repo, root, directory.clone(), "in memory", progress)?;
    ask(directory).ok_or_else(|| vanished("in memory"))
}

/// Removes an index that turned out to be damaged.
pub(super) fn discard(repo: &Repo, root: RootId) {
    fs::remove_dir_all(folder(repo, root)).ok();
}

/// Opens a complete index; `None` where there is none, or its files are not those that were written.
pub(super) fn open(folder: &Path, root: RootId) -> Option<Opened> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()?;
    if manifest.format != FORMAT || manifest.root != root {
        return None;
    }
    for (name, mark) in &manifest.files {
        let path = folder.join(name);
        let meta = path.metadata().ok()?;
        let is_unchanged = (meta.mtime(), meta.mtime_nsec()) == mark.changed;
        if meta.len() != mark.bytes
            || (!is_unchanged && crate::base::fs::hash(&path).ok()? != *mark.hash.as_bytes())
        {
            return None;
        }
    }
    let opened = ask(Frozen::open(folder).ok()?)?;
    (opened.searcher.num_docs() == manifest.rows).then_some(opened)
}

/// Opens whatever lies in a directory.
fn ask(directory: impl Into<Box<dyn Directory>>) -> Option<Opened> {
    let opened = caught(|| -> tantivy::Result<Opened> {
        let mut index = Index::open(directory)?;
        let fields = register(&mut index)?;
        let reader: IndexReader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Opened { searcher: reader.searcher(), fields })
    });
    opened.ok()?.ok()
}

pub(super) fn schema() -> Schema {
    let mut schema = Schema::builder();
    let words =
        TextFieldIndexing::default().set_tokenizer(TOKENIZER).set_index_option(IndexRecordOption::WithFreqs);
    schema.add_text_field("text", TextOptions::default().set_indexing_options(words));
    schema.add_text_field("label", STRING);
    schema.add_u64_field(ROW, FAST);
    schema.add_u64_field("time", FAST);
    schema.build()
}

/// Makes our tokenizer known to an index, and looks its fields up.
pub(super) fn register(index: &mut Index) -> tantivy::Result<Fields> {
    index.tokenizers().register(TOKENIZER, Words::default());
    let schema = index.schema();
    Ok(Fields {
        text: schema.get_field("text")?,
        label: schema.get_field("label")?,
        row: schema.get_field(ROW)?,
        time: schema.get_field("time")?,
    })
}

/// Builds beside the final place and moves there what is complete.
fn build(repo: &Repo, root: RootId, folder: &Path, progress: &dyn Progress) -> Result<(), OpError> {
    let made = tempdir(repo, root)?;
    let place = made.display().to_string();
    let directory = MmapDirectory::open(&made).map_err(|error| cannot_build(&place, &error));
    let outcome =
        directory.and_then(|directory| fill(repo, root, directory, &place, progress)).and_then(|rows| {
            let manifest = Manifest { format: FORMAT, root, rows, files: marks(&made)? };
            let path = made.join(MANIFEST);
            let text = serde_json::to_vec(&manifest)
                .map_err(|error| OpError::io("write", &path, &std::io::Error::from(error)))?;
            crate::base::fs::write_atomic(&path, &text)
                .map_err(|error| OpError::io("write", &path, &error))?;
            fs::remove_dir_all(folder).ok();
            fs::rename(&made, folder).map_err(|error| OpError::io("create", folder, &error))
        });
    if outcome.is_err() {
        fs::remove_dir_all(&made).ok();
    }
    tidy(repo, root);
    outcome
}

fn tempdir(repo: &Repo, root: RootId) -> Result<PathBuf, OpError> {
    // The lock is held, so that what stands here was left by somebody who died.
    let made = repo.dot().join("index").join(format!("{root}.making"));
    fs::remove_dir_all(&made).ok();
    fs::create_dir_all(&made).map_err(|error| OpError::io("create", &made, &error))?;
    Ok(made)
}

/// Writes the index of all rows into an empty directory; returns how many there are.
fn fill(
    repo: &Repo,
    root: RootId,
    directory: impl Into<Box<dyn Directory>>,
    place: &str,
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    let failed = |error: tantivy::TantivyError| cannot_build(place, &error);
    let store = repo.store();
    progress.begin("building the search index", Some(tree::totals(store, root)?.bytes));
    let mut index = Index::create(directory, schema(), IndexSettings::default()).map_err(failed)?;
    let fields = register(&mut index).map_err(failed)?;
    // Which rows share a segment is a matter of chance; nothing that is answered depends on it.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut writer: IndexWriter = index.writer_with_num_threads(threads, MEMORY_BYTES).map_err(failed)?;
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let mut entries = tree::iter(store, root);
    let mut row = 0_u64;
    loop {
        let batch: Vec<_> = entries.by_ref().take(ROWS_AT_A_TIME).collect::<Result<_, _>>()?;
        if batch.is_empty() {
            break;
        }
        let ids: Vec<ObjectId> = batch.iter().map(|entry| entry.id).collect();
        let found = store.try_find_many(&ids)?;
        for (entry, bytes) in batch.iter().zip(found) {
            let bytes = bytes.ok_or(crate::object::OdbError::NotFound { id: entry.id })?;
            let sample = RagSample::parse(&bytes)?;
            writer.add_document(document(&fields, row, &sample)).map_err(failed)?;
            row += 1;
        }
        progress.advance(ids.len() as u64, batch.iter().map(|entry| entry.bytes).sum());
    }
    writer.commit().map_err(failed)?;
    writer.wait_merging_threads().map_err(failed)?;
    progress.end();
    Ok(row)
}

fn document(fields: &Fields, row: u64, sample: &RagSample) -> TantivyDocument {
    let mut document = TantivyDocument::default();
    document.add_text(fields.text, &sample.content);
    document.add_text(fields.text, &sample.source_run_id);
    document.add_text(fields.text, &sample.id);
    document.add_text(fields.text, &sample.provenance.source_file);
    for tag in &sample.tags {
        document.add_text(fields.text, tag);
        document.add_text(fields.label, format!("tag:{tag}"));
    }
    if let Ok(key) = RecordKey::parse(&sample.id) {
        document.add_text(fields.label, format!("stream:{}", key.stream()));
    }
    document.add_text(fields.label, format!("category:{}", sample.source_category));
    document.add_u64(fields.row, row);
    document.add_u64(fields.time, milliseconds(sample.provenance.recorded_at.as_deref()));
    document
}

/// Milliseconds since 1970; 0 where there is no time.
fn milliseconds(recorded_at: Option<&str>) -> u64 {
    let instant = recorded_at.and_then(crate::record::parse_time_text);
    instant.and_then(|at| u64::try_from(at.instant.timestamp_millis()).ok()).unwrap_or(0)
}

/// The files of an index, as they are now. Locks are no part of it, and change.
fn marks(folder: &Path) -> Result<BTreeMap<String, FileMark>, OpError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: std::io::Error| OpError::io("read", &path, &error)
    };
    let mut marks = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        let meta = path.metadata().map_err(failed(&path))?;
        let hash = ObjectId::from_bytes(crate::base::fs::hash(&path).map_err(failed(&path))?);
        let changed = (meta.mtime(), meta.mtime_nsec());
        marks.insert(name, FileMark { bytes: meta.len(), changed, hash });
    }
    Ok(marks)
}

/// Removes the oldest indexes of other snapshots, and what builders that died have left.
fn tidy(repo: &Repo, root: RootId) {
    let Ok(entries) = fs::read_dir(repo.dot().join("index")) else { return };
    let own = root.to_string();
    let mut others: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_suffix(".making").unwrap_or(&name);
        if name == own || id.parse::<ObjectId>().is_err() {
            continue;
        }
        if id.len() < name.len() {
            fs::remove_dir_all(entry.path()).ok();
        } else if let Ok(built) = entry.metadata().and_then(|meta| meta.modified()) {
            others.push((built, entry.path()));
        }
    }
    others.sort();
    let gone = others.len().saturating_sub(OTHERS_KEPT);
    for (_, path) in others.drain(..gone) {
        fs::remove_dir_all(path).ok();
    }
}
