//! The files of a run: which there are, whose they are, and their units in source order.
//!
//! Rests on the source specs and the disk. Invariants: source order is (path as bytes, unit number), whatever order a
//! directory lists its files in; a file belongs to one spec; what cannot be read as units is handed on whole, with its
//! bytes, and named by a reason.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use crate::object::ObjectId;
use crate::ops::audit::BASELINES;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::snapshot::REPORTS;
use crate::pipeline::source::ReadError;
use crate::pipeline::source::decode::{BAD_COMPRESSION, decoder, is_bad_compression};
use crate::pipeline::source::{FileSet, Spec, Unit, UnitFlags, UnitKind, UnitReader};
use crate::repo::DATASETS;
use crate::repo::worktree::folder_of;

/// One file of a run.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// Relative to the base, with `/`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Index of the spec whose units it holds; `None` for a file that only lookups read.
    pub spec: Option<usize>,
    /// How it is cut into units.
    pub kind: UnitKind,
    /// Where the array or map sits in it.
    pub at: Option<String>,
    /// Whether what stands beside the container is its last unit.
    pub beside: bool,
}

impl SourceFile {
    /// Whether an appended file can be read on from where its last complete line ended.
    pub(crate) fn resumable(&self) -> bool {
        let ending = Path::new(&self.name).extension();
        self.kind == UnitKind::Line && !ending.is_some_and(|e| e == "gz" || e == "zst" || e == "eval")
    }
}

/// The known part of a file: what a receipt says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Prefix {
    /// BLAKE3 of the first `bytes` bytes of the file as it lies on disk.
    pub hash: ObjectId,
    /// For lines of a plain file, where the last complete one ends; else the whole file.
    pub bytes: u64,
    /// Units in it that must not change; of the whole, all units.
    pub units: u64,
}

/// Finds the files of `specs` below `base`, in source order. What distill writes into the working tree at `root` is no
/// source, however wide a glob is, unless one names its folder.
///
/// # Errors
/// When a folder cannot be read, a file belongs to two specs, or two specs cut one file differently.
pub(crate) fn discover(
    root: &Path,
    base: &Path,
    specs: &[(String, Spec)],
) -> Result<Vec<SourceFile>, OpError> {
    claim(specs, walk(root, base, specs)?)
}

/// Those of the named files that a spec reads, in source order.
///
/// # Errors
/// When a file belongs to two specs, or two specs cut one file differently.
pub(crate) fn claim(
    specs: &[(String, Spec)],
    files: impl IntoIterator<Item = (String, PathBuf)>,
) -> Result<Vec<SourceFile>, OpError> {
    let mut found: BTreeMap<Vec<u8>, SourceFile> = BTreeMap::new();
    for (name, path) in files {
        let mut file: Option<SourceFile> = None;
        for (index, (_, spec)) in specs.iter().enumerate() {
            let own = spec.files().contains(&name).then(|| (Some(index), spec.unit(), spec.at()));
            let joined = (spec.lookups().values().filter(|l| l.files().contains(&name)))
                .map(|l| (None, l.unit(), l.at()));
            for (owner, kind, at) in own.into_iter().chain(joined) {
                let at = at.map(ToOwned::to_owned);
                match &mut file {
                    None => {
                        file = Some(SourceFile {
                            name: name.clone(),
                            path: path.clone(),
                            spec: owner,
                            kind,
                            at,
                            beside: owner.is_some() && spec.reads_beside(),
                        });
                    }
                    Some(known) if known.kind != kind || known.at != at => {
                        return Err(claimed(
                            &name,
                            specs,
                            known.spec.or(owner),
                            index,
                            "cut into different units by",
                        ));
                    }
                    Some(known) => match (known.spec, owner) {
                        (Some(first), Some(_)) => {
                            return Err(claimed(&name, specs, Some(first), index, "claimed by"));
                        }
                        (None, Some(_)) => {
                            known.spec = owner;
                            known.beside = spec.reads_beside();
                        }
                        _ => {}
                    },
                }
            }
        }
        if let Some(file) = file {
            found.insert(name.into_bytes(), file);
        }
    }
    Ok(found.into_values().collect())
}

fn claimed(file: &str, specs: &[(String, Spec)], first: Option<usize>, second: usize, how: &str) -> OpError {
    let name = |index: usize| specs[index].0.as_str();
    let first = first.map_or("a lookup", name);
    OpError::new(
        ErrorKind::Usage,
        format!("{file} is {how} both `{first}` and `{}`", name(second)),
        "narrow `files` or add to `exclude` in one of the two specs: a file has one owner",
    )
}

/// Files below the folders that the globs can reach.
fn walk(root: &Path, base: &Path, specs: &[(String, Spec)]) -> Result<Vec<(String, PathBuf)>, OpError> {
    let sets = specs.iter().flat_map(|(_, spec)| {
        std::iter::once(spec.files())
            .chain(spec.lookups().values().map(crate::pipeline::source::LookupSpec::files))
    });
    let mut starts: Vec<String> = sets.flat_map(FileSet::patterns).map(|glob| literal_folder(glob)).collect();
    starts.sort();
    starts.dedup();
    let products = products(root, base, &starts);
    // A folder below another start is walked with it.
    let mut kept: Vec<String> = Vec::new();
    for start in starts {
        if !kept.iter().any(|k| k.is_empty() || start == *k || start.starts_with(&format!("{k}/"))) {
            kept.push(start);
        }
    }
    let mut files = Vec::new();
    for start in kept {
        let folder = if start.is_empty() { base.to_owned() } else { base.join(&start) };
        match std::fs::metadata(&folder) {
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(e) => return Err(OpError::io("read", &folder, &e)),
        }
        let entries = walkdir::WalkDir::new(&folder).follow_links(true).into_iter().filter_entry(|entry| {
            let name = entry.file_name();
            entry.depth() == 0
                || (name != crate::repo::DOT && name != ".git" && !is_product(entry, &products))
        });
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(&folder).to_owned();
                    // What a link back to a folder above leads to is walked there.
                    let round = error.loop_ancestor().is_some();
                    let link = path.symlink_metadata().is_ok_and(|m| m.file_type().is_symlink());
                    if round || (link && !wanted(&relative_name(base, &path), specs)) {
                        continue;
                    }
                    return Err(OpError::walk(&path, error));
                }
            };
            if !entry.file_type().is_file() {
                continue;
            }
            if is_baselines(root, entry.path()) {
                continue;
            }
            let name = relative_name(base, entry.path());
            if entry.path().to_str().is_none() && wanted(&name, specs) {
                return Err(OpError::new(
                    ErrorKind::Outside,
                    format!("the name of {name} is not UTF-8, so no record can say that it came from there"),
                    "rename the file, or add it to `exclude` in its spec",
                ));
            }
            files.push((name, entry.path().to_owned()));
        }
    }
    // So that the same mistake is reported in the same words, whatever order folders are listed in.
    files.sort();
    Ok(files)
}

/// The folders that distill writes and that no glob names, as canonical paths. Their rows are products: read as sources
/// they would come back as evidence for themselves with every run. Decided by name, not by what was written, so that
/// every clone reads the same files.
fn products(root: &Path, base: &Path, starts: &[String]) -> Vec<PathBuf> {
    let named: Vec<PathBuf> =
        starts.iter().filter_map(|start| base.join(start).canonicalize().ok()).collect();
    (DATASETS.into_iter().filter_map(folder_of).chain([REPORTS]))
        .filter_map(|folder| root.join(folder).canonicalize().ok())
        .filter(|folder| !named.iter().any(|start| start.starts_with(folder)))
        .collect()
}

fn is_product(entry: &walkdir::DirEntry, products: &[PathBuf]) -> bool {
    let ends = |folder: &&PathBuf| entry.file_name() == folder.file_name().unwrap_or_default();
    entry.file_type().is_dir()
        && products.iter().filter(ends).any(|folder| entry.path().canonicalize().is_ok_and(|p| p == *folder))
}

/// Whether a file is the one that audits append to. It stands among streams, and is never one, whatever a glob says.
pub(crate) fn is_baselines(root: &Path, path: &Path) -> bool {
    let baselines = Path::new(BASELINES);
    path.file_name() == baselines.file_name()
        && path
            .canonicalize()
            .is_ok_and(|path| root.join(baselines).canonicalize().is_ok_and(|own| own == path))
}

/// The path below the base, with `/`.
fn relative_name(base: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(base).unwrap_or(path);
    relative.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/")
}

/// Whether a spec reads this file, for itself or to look up in it.
fn wanted(name: &str, specs: &[(String, Spec)]) -> bool {
    specs.iter().any(|(_, spec)| {
        spec.files().contains(name) || spec.lookups().values().any(|lookup| lookup.files().contains(name))
    })
}

/// The folders of a glob before its first wildcard.
fn literal_folder(glob: &str) -> String {
    let literal: Vec<&str> =
        glob.split('/').take_while(|part| !part.contains(['*', '?', '[', '{'])).collect();
    let whole = literal.len() == glob.split('/').count();
    literal[..literal.len() - usize::from(whole)].join("/")
}

/// A unit as the engine takes it: with the reason when its file, not it, is at fault.
pub(crate) struct ReadUnit {
    /// The unit.
    pub unit: Unit,
    /// `bad_compression` and what the decoder said.
    pub refused: Option<String>,
}

/// What there was to read of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// The known part of the file as it is now.
    pub prefix: Prefix,
    /// All that was read: more than the known part where the last line has no end.
    pub whole: Prefix,
}

/// Reads the units of `file`, from the end of `known` where that is given, and hands each to `take`.
///
/// # Errors
/// When the file cannot be read, or `take` stops.
pub(crate) fn read_units(
    file: &SourceFile,
    known: Option<Prefix>,
    take: &mut dyn FnMut(ReadUnit) -> Result<(), OpError>,
) -> Result<Extent, OpError> {
    let failed = |error: &io::Error| OpError::io("read", &file.path, error);
    let mut handle = File::open(&file.path).map_err(|e| failed(&e))?;
    let mut number = known.map_or(0, |prefix| prefix.units);
    let mut complete = (0, 0);
    let mut bad_compression = None;
    let mut ends_beside = false;
    let read;
    {
        let mut input: Box<dyn BufRead> = match known {
            Some(prefix) => {
                handle.seek(io::SeekFrom::Start(prefix.bytes)).map_err(|e| failed(&e))?;
                complete = (prefix.bytes, prefix.units);
                Box::new(io::BufReader::with_capacity(256 << 10, &mut handle))
            }
            None => decoder(&file.name, &mut handle).map_err(|e| failed(&e))?,
        };
        let mut reader = match known {
            Some(prefix) => UnitReader::line_at(&mut *input, prefix.units, prefix.bytes),
            None => UnitReader::new(&mut *input, file.kind, file.at.as_deref()),
        };
        if file.beside {
            reader = reader.with_beside();
        }
        loop {
            match reader.next_unit() {
                Ok(Some(unit)) => {
                    number = unit.number + 1;
                    ends_beside = unit.flags.beside;
                    if unit.terminated {
                        complete = (reader.offset(), number);
                    }
                    take(ReadUnit { unit, refused: None })?;
                }
                Ok(None) => break,
                Err(ReadError::Read { source, units, .. }) if is_bad_compression(&source) => {
                    number = units;
                    ends_beside = false;
                    bad_compression = Some(source.to_string());
                    break;
                }
                Err(ReadError::Read { source, .. }) => return Err(failed(&source)),
                Err(error @ ReadError::TooLarge { .. }) => {
                    return Err(too_large(file, &error));
                }
            }
        }
        read = reader.offset();
    }
    if let Some(detail) = &bad_compression {
        // What the stream would have held is unknown; the file itself is kept, so nothing is lost.
        let bytes = std::fs::read(&file.path).map_err(|e| failed(&e))?;
        let flags = UnitFlags::default();
        let unit = Unit { number, offset: 0, bytes, terminated: true, key: None, flags };
        take(ReadUnit { unit, refused: Some(format!("{BAD_COMPRESSION}: {detail}")) })?;
        number += 1;
    }
    let known = |bytes, units| -> Result<Prefix, OpError> {
        let hash = hash_prefix(&file.path, bytes)?.ok_or_else(|| changed(file))?;
        Ok(Prefix { hash, bytes, units })
    };
    if file.resumable() {
        let prefix = known(complete.0, complete.1)?;
        let whole = if read == prefix.bytes { prefix } else { known(read, number)? };
        Ok(Extent { prefix, whole })
    } else {
        let whole = known(std::fs::metadata(&file.path).map_err(|e| failed(&e))?.len(), number)?;
        // What stands beside the rows comes last and changes as a log grows: it is not what must stay.
        let prefix = Prefix { units: number - u64::from(ends_beside), ..whole };
        Ok(Extent { prefix, whole })
    }
}

/// A unit that is too large to be held in memory.
pub(super) fn too_large(file: &SourceFile, error: &ReadError) -> OpError {
    OpError::new(
        ErrorKind::Outside,
        format!("{}: {error}", file.path.display()),
        "cut the file into smaller units, or exclude it in its spec",
    )
}

fn changed(file: &SourceFile) -> OpError {
    OpError::new(
        ErrorKind::Outside,
        format!("{} became shorter while it was read", file.path.display()),
        "run again when nothing else writes the file; appending is fine",
    )
}

/// BLAKE3 of the first `bytes` bytes of a file; `None` when it is shorter.
pub(crate) fn hash_prefix(path: &Path, bytes: u64) -> Result<Option<ObjectId>, OpError> {
    let failed = |error: &io::Error| OpError::io("read", path, error);
    let mut input = File::open(path).map_err(|e| failed(&e))?.take(bytes);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let n = input.read(&mut buffer).map_err(|e| failed(&e))?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        total += n as u64;
    }
    Ok((total == bytes).then(|| ObjectId::from_bytes(*hasher.finalize().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_walked_from_their_literal_folder() {
        for (glob, folder) in [
            ("data/_kb/a.jsonl", "data/_kb"),
            ("a.jsonl", ""),
            ("**/a.jsonl", ""),
            ("x/{a,b}/c.jsonl", "x"),
            ("x/y/*.gz", "x/y"),
        ] {
            assert_eq!(literal_folder(glob), folder, "{glob}");
        }
    }
}
