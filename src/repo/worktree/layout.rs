//! Which file of a working tree a row belongs to, and writing whole datasets there.
//!
//! Rests on record keys and prolly trees. Invariants: lines are in key order and each is the exact bytes of one object
//! followed by one line feed; a dataset that is one file has that file even when it has no rows, so that the digest in
//! its receipt can always be checked.
//!
//! | dataset | file |
//! |---|---|
//! | `evidence`, `scored-runs` | `data/<dataset>/YYYY/MM/DD/<stream>.jsonl` |
//! | `exports/rag` | `exports/rag/playbooks.jsonl` |
//! | `exports/sft` | `exports/sft/instruction_response.jsonl` |
//! | `exports/preference` | `exports/preference/chosen_rejected.jsonl` |
//! | `quarantine` | `exports/quarantine/<reason>.jsonl` |
//! | `duplicates` | `exports/duplicates/<stage>.jsonl` |
//! | `sources` | `data/sources/<path>`, percent-encoded as in the key |

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::error::WorktreeError;
use super::transaction::Transaction;
use crate::object::Find;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::object::RootId;
use crate::record::RecordKey;
use crate::tree;

/// Rows are read in batches of about so many bytes, so that a block is unpacked once for all its rows …
const BATCH_BYTES: u64 = 16 << 20;
/// … and of so many rows at most.
const BATCH_ROWS: usize = 16 << 10;

/// The file of a dataset that is one file.
pub fn single_file(dataset: &str) -> Option<&'static str> {
    Some(match dataset {
        "exports/rag" => "exports/rag/playbooks.jsonl",
        "exports/sft" => "exports/sft/instruction_response.jsonl",
        "exports/preference" => "exports/preference/chosen_rejected.jsonl",
        _ => return None,
    })
}

/// The folder that holds a dataset's files and nothing else.
pub fn folder_of(dataset: &str) -> Option<&'static str> {
    Some(match dataset {
        "evidence" => "data/evidence/",
        "scored-runs" => "data/scored-runs/",
        "sources" => "data/sources/",
        "exports/rag" => "exports/rag/",
        "exports/sft" => "exports/sft/",
        "exports/preference" => "exports/preference/",
        "quarantine" => "exports/quarantine/",
        "duplicates" => "exports/duplicates/",
        _ => return None,
    })
}

/// The file, relative to the working tree, that a row belongs to; `None` for a dataset without a place there or a key
/// that is not of its dataset.
pub fn file_of(dataset: &str, key: &str) -> Option<String> {
    let folder = folder_of(dataset)?;
    match dataset {
        "evidence" | "scored-runs" => {
            let key = RecordKey::parse(key).ok()?;
            Some(format!("{folder}{}/{}.jsonl", key.date(), key.stream()))
        }
        "quarantine" => key.split('/').nth(1).map(|reason| format!("{folder}{reason}.jsonl")),
        "duplicates" => key.split_once('/').map(|(stage, _)| format!("{folder}{stage}.jsonl")),
        "sources" => key.rsplit_once('/').map(|(path, _)| format!("{folder}{path}")),
        _ => single_file(dataset).map(str::to_owned),
    }
}

/// Writes every row of a dataset to its file; returns how many rows there were.
///
/// # Errors
/// A row without a place, damage in the store, or a file that cannot be written.
pub fn write_dataset(
    transaction: &mut Transaction,
    find: &dyn Find,
    dataset: &str,
    root: RootId,
) -> Result<u64, WorktreeError> {
    Ok(write_datasets(transaction, find, &[(dataset, root)])?.iter().sum())
}

/// As [`write_dataset`] for several datasets at once; returns the rows of each. Rows of different datasets under one key
/// lie in one block, which is then unpacked once for all of them.
///
/// # Errors
/// As [`write_dataset`].
pub fn write_datasets(
    transaction: &mut Transaction,
    find: &dyn Find,
    datasets: &[(&str, RootId)],
) -> Result<Vec<u64>, WorktreeError> {
    for file in datasets.iter().filter_map(|(dataset, _)| single_file(dataset)) {
        transaction.file(file)?;
    }
    for_each_line(find, datasets, |file, line| transaction.append(file, line))
}

/// The BLAKE3 of every file that [`write_dataset`] would write.
///
/// # Errors
/// A row without a place, or damage in the store.
pub fn digests(
    find: &dyn Find,
    dataset: &str,
    root: RootId,
) -> Result<BTreeMap<String, ObjectId>, WorktreeError> {
    let mut hashers: BTreeMap<String, blake3::Hasher> = BTreeMap::new();
    if let Some(file) = single_file(dataset) {
        hashers.insert(file.to_owned(), blake3::Hasher::new());
    }
    for_each_line(find, &[(dataset, root)], |file, line| {
        match hashers.get_mut(file) {
            Some(hasher) => hasher.update(line),
            None => hashers.entry(file.to_owned()).or_default().update(line),
        };
        Ok(())
    })?;
    let digest = |hasher: blake3::Hasher| ObjectId::from_bytes(*hasher.finalize().as_bytes());
    Ok(hashers.into_iter().map(|(file, hasher)| (file, digest(hasher))).collect())
}

/// Calls `write` with the file and the bytes of each line of the datasets, in key order, and returns the rows of each;
/// while it writes one batch of rows, the next is read.
fn for_each_line(
    find: &dyn Find,
    datasets: &[(&str, RootId)],
    mut write: impl FnMut(&str, &[u8]) -> Result<(), WorktreeError> + Send,
) -> Result<Vec<u64>, WorktreeError> {
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel::<Batch>(1);
        let writer = scope.spawn(move || {
            let (mut line, mut rows) = (Vec::new(), vec![0; datasets.len()]);
            for (at, key, object) in batches.into_iter().flatten() {
                let dataset = datasets[at].0;
                let Some(file) = file_of(dataset, &key) else {
                    return Err(WorktreeError::NoPlace { dataset: dataset.to_owned(), key });
                };
                line.clear();
                line.extend_from_slice(&object);
                line.push(b'\n');
                write(&file, &line)?;
                rows[at] += 1;
            }
            Ok(rows)
        });
        let read = read_batches(find, datasets, &sender);
        drop(sender);
        let rows = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        read?;
        Ok(rows)
    })
}

/// Rows with the number of their dataset and their key, in key order.
type Batch = Vec<(usize, String, ObjectBytes)>;

/// Reads all rows, until nobody takes them.
fn read_batches(
    find: &dyn Find,
    datasets: &[(&str, RootId)],
    sender: &SyncSender<Batch>,
) -> Result<(), WorktreeError> {
    let mut entries = tree::together(find, datasets.iter().map(|(_, root)| *root));
    loop {
        let mut batch: Vec<(usize, tree::Entry)> = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES
            && batch.len() < BATCH_ROWS
            && let Some((at, entry)) = entries.next().transpose()?
        {
            bytes += entry.bytes;
            batch.push((at, entry));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = batch.iter().map(|(_, entry)| entry.id).collect();
        let objects = find.try_find_many(&ids)?;
        let rows = batch.into_iter().zip(objects).map(|((at, entry), object)| match object {
            Some(object) => Ok((at, entry.key, object)),
            None => Err(OdbError::NotFound { id: entry.id }),
        });
        if sender.send(rows.collect::<Result<_, _>>()?).is_err() {
            // The writer failed, and says why.
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dataset_has_its_files() {
        for (dataset, key, file) in [
            ("evidence", "2026/01/31/pr_audits/a%2Fb", "data/evidence/2026/01/31/pr_audits.jsonl"),
            ("scored-runs", "0000/00/00/s/x~12345678", "data/scored-runs/0000/00/00/s.jsonl"),
            ("exports/rag", "2026/01/31/s/x", "exports/rag/playbooks.jsonl"),
            ("exports/sft", "2026/01/31/s/x", "exports/sft/instruction_response.jsonl"),
            (
                "exports/preference",
                "2026/01/31/s/x+0123456789abcdef",
                "exports/preference/chosen_rejected.jsonl",
            ),
            (
                "quarantine",
                "evidence/bad-json/data/_kb/a.jsonl/0000000001",
                "exports/quarantine/bad-json.jsonl",
            ),
            ("duplicates", "export-sft/2026/01/31/s/x", "exports/duplicates/export-sft.jsonl"),
            ("sources", "data/_kb/a%20b.jsonl/0000000001", "data/sources/data/_kb/a%20b.jsonl"),
        ] {
            assert_eq!(file_of(dataset, key).as_deref(), Some(file), "{dataset}");
            assert!(file.starts_with(folder_of(dataset).expect("has a folder")), "{dataset}");
        }
        assert_eq!(file_of("evidence", "not a key"), None);
        assert_eq!(file_of("baselines", "2026/01/31/s/x"), None);
    }
}
