//! Checking a whole pack: name, footer, table, blocks, objects; or just that the disk has what was written.
//!
//! Rests on the reader. Invariant: it never stops at the first finding, and whatever the table still names is named in
//! the finding.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::format;
use super::read::PackReader;
use super::read::each_checked;
use super::table::Table;
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
    /// The table, where the pack could be opened, and its rows in the order in which their objects lie.
    pub(in crate::store) table: Option<(Table, Vec<u32>)>,
    /// Whether the pack erases objects of others.
    pub(in crate::store) has_tombstones: bool,
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

/// Checks the pack at `path`, which should hash to `id`, on all cores. `see` gets every object that holds, from several threads;
/// what it makes of them comes in the order in which they lie, a default where one does not hold.
pub(in crate::store) fn check_pack<T: Default + Send>(
    path: &Path,
    id: &ObjectId,
    see: &(impl Fn(&ObjectId, &[u8]) -> T + Sync),
) -> (PackCheck, Vec<T>) {
    let mut check = PackCheck::default();
    let mut seen = Vec::new();
    let reader = match PackReader::open(path) {
        Ok(reader) => reader,
        Err(error) => {
            check_name(path, id, &mut check);
            check.find(error);
            return (check, seen);
        }
    };
    let table = match Table::read(&reader) {
        Ok(table) => table,
        Err(error) => {
            check_name(path, id, &mut check);
            check.find(error);
            return (check, seen);
        }
    };
    for bucket in table.damaged_buckets() {
        let detail = format!("bucket {bucket} of the object table does not match its check");
        check.findings.push((None, detail));
    }
    let order = table.in_pack_order(reader.blocks());
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let parts = std::thread::scope(|scope| {
        let (reader, table) = (&reader, &table);
        let walks: Vec<_> = parts(table, &order, threads)
            .into_iter()
            .map(|rows| scope.spawn(move || check_objects(reader, table, rows, see)))
            .collect();
        check_name(path, id, &mut check);
        if let Err(error) = check_table(reader, table) {
            check.find(error);
        }
        check_blocks(reader, &mut check);
        let join = |walk: std::thread::ScopedJoinHandle<'_, (PackCheck, Vec<T>)>| match walk.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        walks.into_iter().map(join).collect::<Vec<_>>()
    });
    seen.reserve_exact(order.len());
    for (part, found) in parts {
        seen.extend(found);
        check.objects += part.objects;
        check.bytes += part.bytes;
        check.findings.extend(part.findings);
    }
    if check.findings.is_empty()
        && (check.objects != u64::from(reader.objects()) || check.bytes != reader.object_bytes())
    {
        check.findings.push((None, "the footer's totals do not match the objects".to_owned()));
    }
    check.has_tombstones = reader.has_tombstones();
    check.table = Some((table, order));
    (check, seen)
}

/// Checks that the file at `path` is the pack that was written: its hash, footer, table and directory. Its blocks were
/// unpacked and compared when they were made; the hash says that they are those.
pub(in crate::store) fn check_written(path: &Path, id: &ObjectId) -> PackCheck {
    let mut check = PackCheck::default();
    check_name(path, id, &mut check);
    match PackReader::open(path).and_then(|reader| Ok((Table::read(&reader)?, reader))) {
        Ok((table, reader)) => {
            if let Err(error) = check_table(&reader, &table) {
                check.find(error);
            }
            check_blocks(&reader, &mut check);
        }
        Err(error) => check.find(error),
    }
    check
}

/// Cuts rows in pack order into about `parts` equal shares, each ending with a block.
fn parts<'a>(table: &Table, order: &'a [u32], parts: usize) -> Vec<&'a [u32]> {
    let share = order.len() / parts.max(1) + 1;
    let mut shares = Vec::new();
    let mut rest = order;
    while rest.len() > share {
        let block = table.entry(rest[share]).block;
        let cut = rest.partition_point(|row| table.entry(*row).block < block);
        // A block larger than a share goes whole.
        let cut = if cut == 0 { rest.partition_point(|row| table.entry(*row).block <= block) } else { cut };
        let (head, tail) = rest.split_at(cut);
        shares.push(head);
        rest = tail;
    }
    shares.push(rest);
    shares
}

fn check_name(path: &Path, id: &ObjectId, check: &mut PackCheck) {
    let found = crate::base::fs::hash(path).map(ObjectId::from_bytes);
    match found.map_err(StoreError::io("read", path)) {
        Ok(found) if found == *id => {}
        Ok(found) => check.findings.push((None, format!("the file hashes to {found}, not to its name"))),
        Err(error) => check.find(error),
    }
}

/// Unpacks each block once and hashes each of its objects once.
fn check_objects<T: Default>(
    reader: &PackReader,
    table: &Table,
    rows: &[u32],
    see: &impl Fn(&ObjectId, &[u8]) -> T,
) -> (PackCheck, Vec<T>) {
    let mut check = PackCheck::default();
    let mut seen = Vec::with_capacity(rows.len());
    for together in rows.chunk_by(|a, b| table.entry(*a).block == table.entry(*b).block) {
        let together: Vec<_> = together.iter().map(|row| table.entry(*row)).collect();
        let block = reader.read_block(together[0].block).map_err(|error| match error {
            StoreError::Damaged { detail, .. } => detail,
            other => other.to_string(),
        });
        let objects = match &block {
            Ok(block) => each_checked(block, &together),
            Err(detail) => vec![Err(detail.clone()); together.len()],
        };
        for (entry, object) in together.iter().zip(objects) {
            match object {
                Ok(bytes) => {
                    check.objects += 1;
                    check.bytes += bytes.len() as u64;
                    seen.push(see(&entry.id, bytes));
                }
                Err(detail) => {
                    check.findings.push((Some(entry.id), detail));
                    seen.push(T::default());
                }
            }
        }
    }
    (check, seen)
}

/// The hash over directory, table, tombstones and fan-out, and the order of the ids.
fn check_table(reader: &PackReader, table: &Table) -> Result<(), StoreError> {
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
    for row in 0..reader.objects() {
        let id = table.entry(row).id;
        let bucket = table.bucket_holding(row);
        if previous.is_some_and(|before| before >= id) || format::bucket_of(&id, footer.fan_bits) != bucket {
            let detail = format!("object {id} stands in the wrong place of the table");
            return Err(StoreError::damaged(reader.path(), detail));
        }
        previous = Some(id);
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
