//! A dataset as a file: the same rows as JSONL from any byte on, as zstd and as Parquet, and the digests of the receipts.

use std::fs;
use std::path::Path;

use distill::object::{FindExt as _, RootId};
use distill::ops::Silent;
use distill::ops::delivery::jsonl::{Cursor, each_piece};
use distill::ops::delivery::receipted::datasets;
use distill::ops::delivery::shelf::{Shelf, write_file};
use distill::ops::delivery::{Digester, Format, columns};
use distill::ops::open::open;
use distill::repo::Repo;
use distill::tree;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use crate::cli::Bench;

/// The sample after one run.
fn sample() -> (Bench, Repo) {
    let bench = Bench::sampled(1500);
    let repo = open(bench.path()).expect("a repository");
    (bench, repo)
}

fn jsonl(repo: &Repo, root: RootId) -> Vec<u8> {
    let mut all = Vec::new();
    each_piece(repo.store(), root, |piece| {
        all.extend_from_slice(piece);
        Ok(())
    })
    .expect("rows");
    all
}

fn roots(repo: &Repo) -> Vec<(String, RootId)> {
    let commit = repo.commit(repo.head_commit().expect("a commit")).expect("a commit");
    commit.datasets.into_iter().collect()
}

#[test]
fn the_receipts_have_the_digests_of_what_is_streamed() {
    let (bench, repo) = sample();
    let commit = repo.commit(repo.head_commit().expect("a commit")).expect("a commit");
    let all = datasets(repo.store(), &commit).expect("datasets");
    let mut digested = 0;
    for dataset in &all {
        let rows = jsonl(&repo, dataset.root);
        assert_eq!(rows.len() as u64, dataset.jsonl_bytes, "{}", dataset.dataset);
        assert_eq!(dataset.jsonl.is_some(), dataset.dataset.starts_with("exports/"), "{}", dataset.dataset);
        if let Some(said) = &dataset.jsonl {
            assert_eq!(*said, Digester::read(&rows[..]).expect("memory"), "{}", dataset.dataset);
            digested += 1;
        }
    }
    assert_eq!(digested, 3);
    // And it is what a checkout writes.
    bench.ok(&["checkout", "main"]);
    let sft = all.iter().find(|dataset| dataset.dataset == "exports/sft").expect("an export");
    assert!(sft.rows > 100);
    let file = fs::read(bench.path().join("exports/sft/instruction_response.jsonl")).expect("a file");
    assert!(file == jsonl(&repo, sft.root));
}

#[test]
fn rows_are_given_from_any_byte_on() {
    let (_bench, repo) = sample();
    let (_, root) = roots(&repo).into_iter().find(|(name, _)| name == "exports/rag").expect("an export");
    let whole = jsonl(&repo, root);
    let first_line = memchr::memchr(b'\n', &whole).expect("a line");
    let len = whole.len();
    for offset in
        [0, 1, first_line - 1, first_line, first_line + 1, len / 3, len / 2, len - 2, len - 1, len, len + 7]
    {
        let mut cursor = Cursor::at(repo.store(), root, offset as u64).expect("a place");
        let mut rest = Vec::new();
        while let Some(piece) = cursor.next(repo.store()).expect("a piece") {
            rest.extend_from_slice(&piece);
        }
        assert!(rest == whole[offset.min(len)..], "from {offset}");
    }
}

/// What a cell of the Parquet file must be for a member of the row's JSON.
fn matches(field: &Field, value: &Value) -> bool {
    match (field, value) {
        (Field::Null, Value::Null) => true,
        (Field::Str(text), Value::String(wanted)) => text == wanted,
        // A tool call's arguments as an object are the text of their JSON.
        (Field::Str(text), Value::Object(_)) => {
            serde_json::from_str::<Value>(text).is_ok_and(|v| v == *value)
        }
        (Field::ULong(n), Value::Number(wanted)) => wanted.as_u64() == Some(*n),
        (Field::Double(n), Value::Number(wanted)) => wanted.as_f64() == Some(*n),
        (Field::ListInternal(list), Value::Array(wanted)) => {
            list.len() == wanted.len() && list.elements().iter().zip(wanted).all(|(a, b)| matches(a, b))
        }
        (Field::MapInternal(map), Value::Object(wanted)) => {
            map.len() == wanted.len()
                && map.entries().iter().all(|(key, field)| match key {
                    Field::Str(name) => wanted.get(name).is_some_and(|value| matches(field, value)),
                    _ => false,
                })
        }
        (Field::Group(row), Value::Object(wanted)) => {
            row.len() == wanted.len()
                && row
                    .get_column_iter()
                    .all(|(name, field)| wanted.get(name).is_some_and(|value| matches(field, value)))
        }
        _ => false,
    }
}

#[test]
fn parquet_holds_every_member_of_every_row() {
    let (bench, repo) = sample();
    let mut compared = 0;
    for (dataset, root) in roots(&repo) {
        if columns::columns(&dataset).is_none() {
            assert_eq!(dataset, "sources");
            continue;
        }
        let path = bench.path().join("a.parquet");
        let digests =
            write_file(repo.store(), root, &dataset, Format::Parquet, &path, &Silent).expect("a file");
        assert_eq!(digests.bytes, fs::metadata(&path).expect("a file").len());
        let again = bench.path().join("b.parquet");
        let same =
            write_file(repo.store(), root, &dataset, Format::Parquet, &again, &Silent).expect("a file");
        assert_eq!(digests, same, "{dataset}: the same rows, the same bytes");

        let reader = SerializedFileReader::new(fs::File::open(&path).expect("a file")).expect("Parquet");
        let meta = reader.metadata().file_metadata();
        assert_eq!(meta.created_by(), Some("distill parquet writer 1"));
        let said = meta.key_value_metadata().expect("metadata");
        let keys: Vec<_> = said.iter().map(|pair| pair.key.as_str()).collect();
        assert_eq!(keys, ["distill.dataset", "distill.root", "distill.writer"]);
        let rows = jsonl(&repo, root);
        let lines: Vec<&[u8]> = rows.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(meta.num_rows(), i64::try_from(lines.len()).expect("few"), "{dataset}");
        for (row, line) in reader.get_row_iter(None).expect("rows").zip(&lines) {
            let row = row.expect("a row");
            let value: Value = serde_json::from_slice(line).expect("JSON");
            assert!(matches(&Field::Group(row.clone()), &value), "{dataset}: {row} is not {value}");
            compared += 1;
        }
    }
    assert!(compared > 2000, "{compared}");
}

#[test]
fn a_shelf_keeps_what_it_made_and_makes_room() {
    let (bench, repo) = sample();
    let dir = bench.path().join("shelf");
    let all: Vec<_> = roots(&repo).into_iter().filter(|(name, _)| name.starts_with("exports/")).collect();
    let sizes: u64 = {
        let shelf = Shelf::new(dir.clone(), u64::MAX);
        let file = |(name, root): &(String, RootId)| {
            shelf.file(repo.store(), *root, name, Format::JsonlZst, &Silent).expect("a file")
        };
        let made: Vec<_> = all.iter().map(file).collect();
        for ((_, root), shelved) in all.iter().zip(&made) {
            let packed = fs::read(&shelved.path).expect("a file");
            assert_eq!(shelved.digests, Digester::read(&packed[..]).expect("memory"));
            assert!(zstd::decode_all(&packed[..]).expect("zstd") == jsonl(&repo, *root));
            assert_eq!(file(&all[0]).digests, made[0].digests, "it is there");
        }
        made.iter().map(|shelved| shelved.digests.bytes).sum()
    };
    // What another process left is not trusted.
    let first = fs::read_dir(&dir).expect("a folder").next().expect("a file").expect("a file").path();
    fs::write(&first, b"something else").expect("written");
    let shelf = Shelf::new(dir.clone(), sizes / 2);
    for (name, root) in &all {
        let shelved = shelf.file(repo.store(), *root, name, Format::JsonlZst, &Silent).expect("a file");
        let packed = fs::read(&shelved.path).expect("a file");
        assert!(zstd::decode_all(&packed[..]).expect("zstd") == jsonl(&repo, *root), "{name}");
        let lying: u64 = fs::read_dir(&dir)
            .expect("a folder")
            .map(|e| e.expect("a file").metadata().expect("it").len())
            .sum();
        assert!(lying <= sizes / 2 || lying == shelved.digests.bytes, "{lying} of {sizes}");
    }
}

/// The bytes of a Parquet file are pinned: a newer library or another setting must count `PARQUET_WRITER` up.
#[test]
fn the_writers_bytes_are_pinned() {
    let bench = Bench::with_runs();
    let repo = open(bench.path()).expect("a repository");
    let commit = repo.commit(repo.head_commit().expect("a commit")).expect("a commit");
    let mut text = String::new();
    for dataset in ["exports/rag", "exports/sft", "exports/preference", "evidence"] {
        let root = commit.dataset(dataset).expect("a dataset");
        for format in Format::ALL {
            let path = bench.path().join("pinned");
            let digests = write_file(repo.store(), root, dataset, format, &path, &Silent).expect("a file");
            text.push_str(&format!("{} {} {dataset}.{}\n", digests.blake3, digests.bytes, format.ending()));
        }
    }
    golden("fixtures/golden/delivery.txt", &text);
}

#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("DISTILL_UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, text).expect("written");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(wanted, text, "{name}: DISTILL_UPDATE_GOLDEN=1 writes it anew");
}

/// A store in which one object is longer than it should be.
struct Longer<'a>(&'a Repo, distill::object::ObjectId);
impl distill::object::Find for Longer<'_> {
    fn try_find(
        &self,
        id: &distill::object::ObjectId,
    ) -> Result<Option<distill::object::ObjectBytes>, distill::object::OdbError> {
        let found = self.0.store().find(id)?;
        Ok(Some(if *id == self.1 { [&found[..], b" "].concat().into() } else { found }))
    }
}

#[test]
fn a_row_that_is_not_what_the_tree_says_is_damage() {
    let (_bench, repo) = sample();
    let (_, root) = roots(&repo).into_iter().find(|(name, _)| name == "exports/sft").expect("an export");
    let entry = tree::nth(repo.store(), root, 3).expect("a tree").expect("a row");
    let error = each_piece(&Longer(&repo, entry.id), root, |_| Ok(())).expect_err("it is longer");
    assert_eq!(error.kind, distill::ops::ErrorKind::Damaged);
    assert!(error.message.contains(&entry.key), "{error}");
}
