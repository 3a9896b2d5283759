//! The bundled sample: same bytes every time, and the committed fixture is what the generator makes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use distill::ops::sample::FREEZE_SEED;
use distill::ops::sample::STREAMS;
use distill::ops::sample::SampleError;
use distill::ops::sample::SampleOptions;
use distill::ops::sample::Shape;
use distill::ops::sample::generate;
use distill::ops::sample::plan::FREEZE_ROWS;
use distill::ops::sample::plan::Stream;
use distill::ops::sample::write_files;

/// The folder that the repository's own configuration names as its base.
fn fixture() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/lakehouse"))
}

fn bytes_of(options: SampleOptions) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    generate(options, &mut |file, line| {
        files.entry(file.to_owned()).or_default().extend_from_slice(line);
        Ok(())
    })
    .expect("the sample is made");
    files
}

fn digest(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in files {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
        hasher.update(bytes);
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex().to_string()
}

const fn bulk(rows: u64, seed: u64) -> SampleOptions {
    SampleOptions { rows, seed, shape: Shape::Bulk }
}

#[test]
fn freeze_sample_has_its_golden_bytes() {
    let files = bytes_of(SampleOptions::default());
    assert_eq!(files.len(), 12);
    let bytes: usize = files.values().map(Vec::len).sum();
    assert!((800_000..1_200_000).contains(&bytes), "about 1 MB, not {bytes}");
    assert_eq!(
        digest(&files),
        "901ee2fa0737e8c7b1476bfbc67e23ecdfab78981346987c151bcf9659c2f6ed",
        "a change of the sample is made on purpose, and the fixture with it"
    );
}

/// `DISTILL_BLESS=1 cargo test --test it sample` writes the fixture anew.
#[test]
fn fixture_is_what_the_generator_makes() {
    if std::env::var_os("DISTILL_BLESS").is_some() {
        write_files(SampleOptions::default(), fixture(), true).expect("the fixture is written");
    }
    let made = bytes_of(SampleOptions::default());
    for (name, bytes) in &made {
        let committed = std::fs::read(fixture().join(name)).expect(name);
        assert!(committed == *bytes, "{name} is not what the generator makes");
    }
    let committed = std::fs::read_dir(fixture().join("data/_kb")).expect("the fixture's folder").count();
    assert_eq!(committed, made.len(), "a file that the generator does not make");
}

#[test]
fn freeze_sample_has_the_rows_of_its_plan() {
    let files = bytes_of(SampleOptions::default());
    let mut all = 0;
    for plan in &STREAMS {
        let bytes = &files[&plan.file()];
        let ended = memchr::memchr_iter(b'\n', bytes).count() as u64;
        let rows = ended + u64::from(bytes.last() != Some(&b'\n'));
        assert_eq!(rows, plan.rows(), "{}", plan.name);
        assert_eq!(ended < rows, plan.stream == Stream::Outcomes, "only one file breaks off");
        all += rows;
    }
    assert_eq!(all, FREEZE_ROWS);
}

#[test]
fn another_seed_gives_other_texts_and_the_same_counts() {
    let first = SampleOptions::default();
    let other = SampleOptions { seed: FREEZE_SEED + 1, ..first };
    let (a, b) = (bytes_of(first), bytes_of(other));
    assert_ne!(digest(&a), digest(&b));
    for (name, bytes) in &a {
        let lines = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count();
        assert_eq!(lines(bytes), lines(&b[name]), "{name}");
    }
}

#[test]
fn freeze_sample_of_another_length_is_refused() {
    let refused = generate(SampleOptions { rows: 1053, ..SampleOptions::default() }, &mut |_, _| Ok(()));
    assert!(matches!(refused, Err(SampleError::FreezeRows(1053))), "{refused:?}");
}

#[test]
fn files_are_not_written_over_unasked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = write_files(bulk(500, 3), folder.path(), false).expect("an empty folder is written to");
    assert_eq!(first.files.iter().map(|f| f.rows).sum::<u64>(), 500);
    for file in &first.files {
        let found = std::fs::metadata(folder.path().join(&file.path)).expect("the file is there").len();
        assert_eq!(found, file.bytes, "{}", file.path);
    }
    let again = write_files(bulk(500, 4), folder.path(), false);
    assert!(matches!(again, Err(SampleError::Exists(_))), "{again:?}");
    assert!(write_files(bulk(400, 4), folder.path(), true).is_ok());
}

#[test]
fn a_sink_that_fails_stops_the_work_and_is_named() {
    let mut lines = 0;
    let failed = generate(bulk(1000, 1), &mut |_, _| {
        lines += 1;
        if lines == 10 { Err(std::io::Error::other("full")) } else { Ok(()) }
    });
    assert!(
        matches!(&failed, Err(SampleError::Io { path, .. }) if path.ends_with("audit_discrepancies.jsonl"))
    );
    assert_eq!(lines, 10);
}

#[test]
fn bulk_rows_are_many_distinct_and_of_the_right_size() {
    let files = bytes_of(bulk(20_000, 9));
    assert_eq!(digest(&files), digest(&bytes_of(bulk(20_000, 9))));
    let (mut rows, mut bytes, mut broken) = (0_u64, 0, 0_u64);
    let mut distinct = BTreeSet::new();
    let mut packed = 0;
    for content in files.values() {
        bytes += content.len();
        for line in content.split_inclusive(|b| *b == b'\n') {
            rows += 1;
            distinct.insert(*blake3::hash(line).as_bytes());
            broken += u64::from(serde_json::from_slice::<serde_json::Value>(line).is_err());
        }
        packed += content
            .chunks(64 * 1024)
            .map(|block| zstd::bulk::compress(block, 3).expect("compress").len())
            .sum::<usize>();
    }
    assert_eq!(rows, 20_000);
    let mean = bytes / 20_000;
    assert!((850..1250).contains(&mean), "{mean} bytes a row");
    assert!(broken > 0 && broken < rows / 100, "{broken} broken lines");
    assert!(rows - (distinct.len() as u64) < rows / 100, "{} distinct rows", distinct.len());
    let percent = bytes * 100 / packed;
    assert!((300..460).contains(&percent), "zstd leaves one byte in {percent}/100");
}

#[test]
fn bulk_times_ascend_and_ids_are_unique() {
    let files = bytes_of(bulk(30_000, 9));
    let mut ids = BTreeSet::new();
    let mut last = String::new();
    let mut rows = 0;
    for line in files["data/_kb/outcomes.jsonl"].split(|b| *b == b'\n') {
        let Ok(row) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
        let (Some(id), Some(time)) = (row["outcome_id"].as_str(), row["finished_at"].as_str()) else {
            continue;
        };
        if ids.insert(id.to_owned()) {
            assert!(time > last.as_str(), "{time} after {last}");
            time.clone_into(&mut last);
        }
        rows += 1;
    }
    assert!(rows - ids.len() < rows / 50, "only copies share an id");
    assert!(last.starts_with("2026-12-31"), "the year is filled: {last}");
}
