//! Rows as Parquet: the same rows give the same bytes, on any machine, from one version of the writer.
//!
//! Rests on the `parquet` and `arrow-json` crates and on `columns`. Invariants: nothing in the file varies (no times, no
//! host, a pinned `created_by`); where batches and row groups end depends on the rows alone; a member that has no column
//! is an error, never dropped; at most one row group is held.

use std::io::Write;
use std::sync::Arc;

use arrow_json::ReaderBuilder;
use arrow_json::reader::Decoder;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};

use super::PARQUET_WRITER;
use super::columns;
use super::jsonl::each_piece;
use crate::base::json::RawJson;
use crate::object::Find;
use crate::object::RootId;
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::record::{EvidenceRecord, Message, Record, SftSample};

/// A batch ends with this many rows …
const BATCH_ROWS: usize = 1024;
/// … or with the row that makes it this many bytes of JSON.
const BATCH_BYTES: usize = 4 << 20;
/// A row group ends with the batch that makes it this many rows …
const GROUP_ROWS: usize = 128 << 10;
/// … or this many bytes of JSON.
const GROUP_BYTES: usize = 32 << 20;
/// Of a long text, so much stands in the statistics.
const STATISTICS_BYTES: usize = 64;
const ZSTD_LEVEL: i32 = 3;

/// What stands in a row with such a call and nowhere else: inside a text the quotes would be escaped.
const HAS_ARGUMENTS: &[u8] = b"\"arguments_object\":{";

/// A Parquet file being written, row by row.
pub struct Table<W: Write + Send> {
    dataset: String,
    decoder: Decoder,
    writer: ArrowWriter<W>,
    batch: (usize, usize),
    group: (usize, usize),
}

impl<W: Write + Send> Table<W> {
    /// Begins the file of the snapshot `root` of `dataset`.
    ///
    /// # Errors
    /// When the dataset has no columns; when `out` cannot be written.
    pub fn begin(dataset: &str, root: RootId, out: W) -> Result<Self, OpError> {
        let schema = Arc::new(columns::of(dataset)?);
        let said = |key: &str, value: String| KeyValue::new(format!("distill.{key}"), value);
        let properties = WriterProperties::builder()
            .set_created_by(format!("distill parquet writer {PARQUET_WRITER}"))
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default()))
            .set_max_row_group_row_count(None)
            .set_statistics_truncate_length(Some(STATISTICS_BYTES))
            .set_key_value_metadata(Some(vec![
                said("dataset", dataset.to_owned()),
                said("root", root.to_string()),
                said("writer", PARQUET_WRITER.to_string()),
            ]))
            .build();
        // Arrow's own copy of the schema would tell of the library that wrote it, and says nothing that Parquet's does not.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(out, Arc::clone(&schema), options)
            .map_err(|error| cannot_write(dataset, &error))?;
        let decoder = ReaderBuilder::new(schema)
            .with_batch_size(BATCH_ROWS)
            .with_strict_mode(true)
            .build_decoder()
            .map_err(|error| misfit(dataset, &error))?;
        Ok(Self { dataset: dataset.to_owned(), decoder, writer, batch: (0, 0), group: (0, 0) })
    }

    /// Takes one row in: its JSON, without a line ending.
    ///
    /// # Errors
    /// When it is not a row of the dataset; when the file cannot be written.
    pub fn push(&mut self, row: &[u8]) -> Result<(), OpError> {
        let flat = match memchr::memmem::find(row, HAS_ARGUMENTS) {
            Some(_) => Some(flat(&self.dataset, row)?),
            None => None,
        };
        let text = flat.as_deref().unwrap_or(row);
        let mut taken = 0;
        while taken < text.len() {
            let more = self.decoder.decode(&text[taken..]).map_err(|error| misfit(&self.dataset, &error))?;
            taken += more;
            if more == 0 {
                return Err(misfit(&self.dataset, &"a row is more than one JSON value"));
            }
        }
        if self.decoder.has_partial_record() {
            return Err(misfit(&self.dataset, &"a row is less than one JSON value"));
        }
        self.batch = (self.batch.0 + 1, self.batch.1 + row.len());
        if self.batch.0 >= BATCH_ROWS || self.batch.1 >= BATCH_BYTES {
            self.end_batch()?;
        }
        Ok(())
    }

    fn end_batch(&mut self) -> Result<(), OpError> {
        let Some(batch) = self.decoder.flush().map_err(|error| misfit(&self.dataset, &error))? else {
            return Ok(());
        };
        self.writer.write(&batch).map_err(|error| cannot_write(&self.dataset, &error))?;
        self.group = (self.group.0 + self.batch.0, self.group.1 + self.batch.1);
        self.batch = (0, 0);
        if self.group.0 >= GROUP_ROWS || self.group.1 >= GROUP_BYTES {
            self.writer.flush().map_err(|error| cannot_write(&self.dataset, &error))?;
            self.group = (0, 0);
        }
        Ok(())
    }

    /// Ends the file and gives its writer back.
    ///
    /// # Errors
    /// When the last rows do not fit, or the file cannot be written.
    pub fn finish(mut self) -> Result<W, OpError> {
        self.end_batch()?;
        self.writer.into_inner().map_err(|error| cannot_write(&self.dataset, &error))
    }
}

/// Writes the rows of `root`, a snapshot of `dataset`.
///
/// # Errors
/// As [`Table::begin`] and [`Table::push`]; rows that are missing or damaged.
pub fn write<W: Write + Send>(
    find: &dyn Find,
    root: RootId,
    dataset: &str,
    out: W,
    progress: &dyn Progress,
) -> Result<W, OpError> {
    let mut table = Table::begin(dataset, root, out)?;
    each_piece(find, root, |piece| {
        let lines = piece.split_inclusive(|byte| *byte == b'\n');
        let mut rows = 0;
        for line in lines {
            table.push(line.strip_suffix(b"\n").unwrap_or(line))?;
            rows += 1;
        }
        progress.advance(rows, piece.len() as u64);
        Ok(())
    })?;
    table.finish()
}

/// The row with each `arguments_object` as the text of its JSON.
fn flat(dataset: &str, row: &[u8]) -> Result<Vec<u8>, OpError> {
    match dataset {
        "exports/sft" => {
            let mut sample = SftSample::parse(row)?;
            quote(&mut sample.messages);
            Ok(sample.to_object_bytes()?)
        }
        "evidence" => {
            let mut record = EvidenceRecord::parse(row)?;
            quote(&mut record.messages);
            Ok(record.to_object_bytes()?)
        }
        _ => Ok(row.to_vec()),
    }
}

fn quote(messages: &mut [Message]) {
    for call in messages.iter_mut().flat_map(|message| &mut message.tool_calls) {
        call.arguments_object = call.arguments_object.take().and_then(|object| {
            let text = serde_json::to_vec(object.as_str()).ok()?;
            RawJson::new(&text).ok()
        });
    }
}

fn misfit(dataset: &str, error: &dyn std::fmt::Display) -> OpError {
    let message = format!("a row of {dataset} does not fit the dataset's columns: {error}");
    OpError::new(
        ErrorKind::Damaged,
        message,
        "run `distill verify` to see what is damaged and what depends on it",
    )
}

fn cannot_write(dataset: &str, error: &ParquetError) -> OpError {
    match error {
        ParquetError::External(inner) if inner.is::<std::io::Error>() => OpError::new(
            ErrorKind::Outside,
            format!("cannot write the Parquet file of {dataset}: {inner}"),
            "check the disk that it is written to, then run the command again",
        ),
        ParquetError::ArrowError(_) => misfit(dataset, error),
        other => OpError::new(
            ErrorKind::Outside,
            format!("cannot write the Parquet file of {dataset}: {other}"),
            "check the disk that it is written to, then run the command again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;

    fn root() -> RootId {
        RootId::new(ObjectId::of(b"some rows"))
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let push = |row: &str| {
            let mut table = Table::begin("duplicates", root(), Vec::new()).expect("it has columns");
            table.push(row.as_bytes()).and_then(|()| table.finish()).map(|file| file.len())
        };
        let row = |more: &str| {
            format!(
                r#"{{"duplicate_of":"a","id":"b","provenance":{{"line_offset":0,"lookup_ids":[],"raw_id":"","recorded_at":null,"sig_hash":null,"source_file":"f","unit":"line"}},"refused_id":"","schema":"s","stage":"t"{more}}}"#
            )
        };
        push(&row("")).expect("it fits");
        for bad in [
            row(",\"z\":1"),
            row("").replace("\"f\"", "null"),
            row("").replace("\"s\"", "7"),
            "{".into(),
            "1 2".into(),
        ] {
            assert_eq!(push(&bad).expect_err("it does not fit").kind, ErrorKind::Damaged, "{bad}");
        }
        assert_eq!(Table::begin("sources", root(), Vec::new()).err().expect("none").kind, ErrorKind::Usage);
    }
}
