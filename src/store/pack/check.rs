//! Checking a whole pack: name, footer, table, blocks, objects.
//!
//! Rests on the reader. Invariant: it never stops at the first finding, and whatever the table still names is named in
//! the finding.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::format;
use super::objects::PackObjects;
use super::read::PackReader;
use crate::object::ObjectId;
use crate::store::error::StoreError;

/// What a check of one pack found.
#[derive(Debug, Default)]
pub(in crate::store) struct PackCheck {
    /// Objects that were hashed again and hold.
    pub(in crate::store) objects: u64,
    /// Their bytes.
    pub(in crate::store) bytes: u64,
    /// What is wrong: the object that is hit, if it is one, and how.
    pub(in crate::store) findings: Vec<(Option<ObjectId>, String)>,
}

impl PackCheck {
    fn find(&mut self, error: StoreError) {
        self.findings.push(match error {
            StoreError::Corrupt { id, detail, .. } => (Some(id), detail),
            StoreError::Damaged { detail, .. } => (None, detail),
            other => (None, other.to_string()),
        });
    }
}

/// More threads than this do not make reading from one disk faster.
const THREADS_MAX: usize = 8;

/// Checks the pack at `path`, which should hash to `id`, on all cores.
pub(in crate::store) fn check_pack(path: &Path, id: &ObjectId) -> PackCheck {
    let reader = match PackReader::open(path) {
        Ok(reader) => Arc::new(reader),
        Err(error) => {
            let mut check = PackCheck::default();
            check_name(path, id, &mut check);
            check.find(error);
            return check;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut checks = std::thread::scope(|scope| {
        let walks: Vec<_> = PackObjects::in_parts(&reader, threads)
            .into_iter()
            .map(|walk| scope.spawn(move || check_objects(walk)))
            .collect();
        let mut check = PackCheck::default();
        check_name(path, id, &mut check);
        if let Err(error) = check_table(&reader) {
            check.find(error);
        }
        check_blocks(&reader, &mut check);
        let mut checks = vec![check];
        for walk in walks {
            match walk.join() {
                Ok(check) => checks.push(check),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        checks
    });
    let mut check = checks.remove(0);
    for part in checks {
        check.objects += part.objects;
        check.bytes += part.bytes;
        check.findings.extend(part.findings);
    }
    if check.findings.is_empty()
        && (check.objects != u64::from(reader.objects()) || check.bytes != reader.object_bytes())
    {
        check.findings.push((None, "the footer's totals do not match the objects".to_owned()));
    }
    check
}

fn check_name(path: &Path, id: &ObjectId, check: &mut PackCheck) {
    match hash_file(path) {
        Ok(found) if found == *id => {}
        Ok(found) => check.findings.push((None, format!("the file hashes to {found}, not to its name"))),
        Err(error) => check.find(error),
    }
}

fn check_objects(walk: PackObjects) -> PackCheck {
    let mut check = PackCheck::default();
    for object in walk {
        match object {
            Ok((_, _, bytes)) => {
                check.objects += 1;
                check.bytes += bytes.len() as u64;
            }
            Err(error) => check.find(error),
        }
    }
    check
}

fn hash_file(path: &Path) -> Result<ObjectId, StoreError> {
    let mut file = File::open(path).map_err(StoreError::io("read", path))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer).map_err(StoreError::io("read", path))?;
        if read == 0 {
            return Ok(ObjectId::from_bytes(*hasher.finalize().as_bytes()));
        }
        hasher.update(&buffer[..read]);
    }
}

/// The hash over directory, table, tombstones and fan-out, and the order of the ids.
fn check_table(reader: &PackReader) -> Result<(), StoreError> {
    let footer = reader.footer();
    let io = || StoreError::io("read", reader.path());
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut at = footer.directory_at;
    while at < footer.footer_at() {
        let left = usize::try_from(footer.footer_at() - at).unwrap_or(usize::MAX);
        let part = &mut buffer[..left.min(1 << 18)];
        reader.file().read_exact_at(part, at).map_err(io())?;
        hasher.update(part);
        at += part.len() as u64;
    }
    if *hasher.finalize().as_bytes() != footer.table_hash {
        return Err(StoreError::damaged(reader.path(), "directory or object table do not match their hash"));
    }
    let mut previous = None;
    for bucket in 0..reader.buckets() {
        for entry in reader.entries_of(bucket)? {
            if previous.is_some_and(|before| before >= entry.id)
                || format::bucket_of(&entry.id, footer.fan_bits) != bucket
            {
                let detail = format!("object {} stands in the wrong place of the table", entry.id);
                return Err(StoreError::damaged(reader.path(), detail));
            }
            previous = Some(entry.id);
        }
    }
    Ok(())
}

/// Blocks lie one after another without gaps, from the header to the directory.
fn check_blocks(reader: &PackReader, check: &mut PackCheck) {
    let mut expected = format::HEADER_LEN as u64;
    for index in 0..reader.blocks() {
        match reader.block(index) {
            Ok(block) if block.offset == expected => expected += u64::from(block.packed_len),
            Ok(block) => {
                check.findings.push((None, format!("block {index} does not follow the block before it")));
                expected = block.offset + u64::from(block.packed_len);
            }
            Err(error) => return check.find(error),
        }
    }
    if expected != reader.footer().directory_at {
        check.findings.push((None, "bytes between the blocks and the directory".to_owned()));
    }
}
