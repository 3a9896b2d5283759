//! The working tree loses nothing of a person's: every way in which a file can be theirs, and every way out.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;

use distill::object::Kind;
use distill::object::MemoryStore;
use distill::object::ObjectId;
use distill::object::Write as _;
use distill::repo::worktree::Summary;
use distill::repo::worktree::Transaction;
use distill::repo::worktree::Worktree;
use distill::repo::worktree::WorktreeError;
use distill::repo::worktree::digests;
use distill::repo::worktree::write_dataset;
use distill::tree::Builder;
use distill::tree::Entry;

const A: &str = "exports/rag/playbooks.jsonl";
const B: &str = "reports/distillation/run-1/summary.md";

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(dir.path().join(".distill/index")).expect("the state's folder");
        Self { dir }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Worktree {
        Worktree::open(self.root(), &self.root().join(".distill/index")).expect("opens")
    }

    fn begin(&self) -> Transaction {
        self.open().begin().expect("begins")
    }

    /// Writes a snapshot of these files and nothing else.
    fn snapshot(&self, files: &[(&str, &str)], force: bool) -> Result<Summary, WorktreeError> {
        let mut transaction = self.begin();
        for (rel, text) in files {
            transaction.put(rel, text.as_bytes())?;
        }
        transaction.check(force, &|_| true)?;
        transaction.commit(force, &|_| true)
    }

    fn read(&self, rel: &str) -> String {
        fs::read_to_string(self.root().join(rel)).expect("the file is there")
    }

    fn edit(&self, rel: &str, text: &str) {
        let path = self.root().join(rel);
        fs::create_dir_all(path.parent().expect("has a folder")).expect("make the folder");
        fs::write(path, text).expect("write the file");
    }

    /// Every file below the root that is not the store's, with its content.
    fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<_> = walkdir::WalkDir::new(self.root())
            .into_iter()
            .map(|entry| entry.expect("walk"))
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                entry.path().strip_prefix(self.root()).expect("below").to_string_lossy().into_owned()
            })
            .filter(|rel| !rel.starts_with(".distill/index/"))
            .map(|rel| (rel.clone(), self.read(&rel)))
            .collect();
        files.sort();
        files
    }
}

fn conflicts(result: Result<Summary, WorktreeError>) -> Vec<PathBuf> {
    match result {
        Err(WorktreeError::Conflicts { paths }) => paths,
        other => panic!("expected conflicts, got {other:?}"),
    }
}

#[test]
fn a_snapshot_replaces_the_one_before_and_leaves_no_empty_folders() {
    let place = Place::new();
    place.edit("notes.txt", "mine");
    place.edit("reports/distillation/mine.md", "mine too");
    let first = place.snapshot(&[(A, "one\n"), (B, "two\n")], false).expect("first");
    assert_eq!((first.written, first.unchanged, first.removed, first.bytes_written), (2, 0, 0, 8));
    let second = place.snapshot(&[(A, "three\n")], false).expect("second");
    assert_eq!((second.written, second.removed), (1, 1));
    let expected = [(A, "three\n"), ("notes.txt", "mine"), ("reports/distillation/mine.md", "mine too")];
    assert_eq!(place.files(), expected.map(|(rel, text)| (rel.to_owned(), text.to_owned())));
    assert!(!place.root().join("reports/distillation/run-1").exists(), "an empty folder stayed");
}

#[test]
fn a_file_changed_by_hand_stops_everything_until_forced() {
    let place = Place::new();
    place.snapshot(&[(A, "one\n"), (B, "two\n")], false).expect("first");
    // The same length, so that only the content tells.
    place.edit(B, "TWO\n");
    let before = place.files();
    assert_eq!(place.open().changed_by_hand(&|_| true).expect("reads"), [PathBuf::from(B)]);
    assert_eq!(
        place.open().changed_by_hand(&|rel| rel.starts_with("exports/")).expect("reads"),
        [] as [PathBuf; 0]
    );
    assert_eq!(conflicts(place.snapshot(&[(A, "three\n"), (B, "four\n")], false)), [PathBuf::from(B)]);
    assert_eq!(place.files(), before, "a refused snapshot wrote something");
    // Removing it would lose it just as much.
    assert_eq!(conflicts(place.snapshot(&[(A, "three\n")], false)), [PathBuf::from(B)]);
    assert_eq!(place.files(), before, "a refused snapshot removed something");
    place.snapshot(&[(A, "three\n")], true).expect("forced");
    assert_eq!(place.files(), [(A.to_owned(), "three\n".to_owned())]);
}

#[test]
fn an_edit_that_keeps_length_and_modification_time_is_seen() {
    let place = Place::new();
    place.snapshot(&[(A, "one\n")], false).expect("first");
    let path = place.root().join(A);
    let time = fs::metadata(&path).expect("metadata").modified().expect("time");
    fs::write(&path, "ONE\n").expect("edit");
    fs::File::options().write(true).open(&path).expect("open").set_modified(time).expect("set the time back");
    assert_eq!(place.open().changed_by_hand(&|_| true).expect("reads"), [PathBuf::from(A)]);
}

#[test]
fn files_that_distill_never_wrote_are_a_persons() {
    let place = Place::new();
    place.edit(A, "mine\n");
    assert_eq!(conflicts(place.snapshot(&[(A, "one\n")], false)), [PathBuf::from(A)]);
    assert_eq!(place.read(A), "mine\n");
    // Unless the content is the one wanted: nothing is lost, and the file is not touched.
    let summary = place.snapshot(&[(A, "mine\n")], false).expect("the same content");
    assert_eq!((summary.written, summary.unchanged), (0, 1));
    // A link is a person's, even to the right content.
    fs::rename(place.root().join(A), place.root().join("elsewhere")).expect("rename");
    symlink(place.root().join("elsewhere"), place.root().join(A)).expect("link");
    assert_eq!(conflicts(place.snapshot(&[(A, "mine\n")], false)), [PathBuf::from(A)]);
    place.snapshot(&[(A, "one\n")], true).expect("forced");
    assert_eq!(place.read("elsewhere"), "mine\n", "the link was followed");
    assert!(fs::symlink_metadata(place.root().join(A)).expect("there").is_file());
}

#[test]
fn a_deleted_file_is_no_conflict_and_comes_back() {
    let place = Place::new();
    place.snapshot(&[(A, "one\n"), (B, "two\n")], false).expect("first");
    fs::remove_dir_all(place.root().join("exports")).expect("delete");
    assert_eq!(place.open().changed_by_hand(&|_| true).expect("reads"), [] as [PathBuf; 0]);
    let summary = place.snapshot(&[(A, "one\n")], false).expect("second");
    assert_eq!((summary.written, summary.removed), (1, 1));
    assert_eq!(place.files(), [(A.to_owned(), "one\n".to_owned())]);
}

#[test]
fn without_its_memory_distill_trusts_only_known_digests() {
    for damage in ["", "{", r#"{"schema":"distill.worktree.v9","files":{},"pending":{}}"#] {
        let place = Place::new();
        place.snapshot(&[(A, "one\n")], false).expect("first");
        assert!(place.open().has_memory());
        fs::write(place.root().join(".distill/index/worktree.json"), damage).expect("damage");
        assert!(!place.open().has_memory(), "{damage}");
        assert_eq!(conflicts(place.snapshot(&[(A, "two\n")], false)), [PathBuf::from(A)], "{damage}");
        let known = BTreeSet::from([ObjectId::of(b"one\n")]);
        let mut transaction = place.open().knowing(known).begin().expect("begins");
        transaction.put(A, b"two\n").expect("writes");
        transaction.commit(false, &|_| true).expect("a known digest is no loss");
        assert_eq!(place.read(A), "two\n");
        assert_eq!(place.open().changed_by_hand(&|_| true).expect("reads"), [] as [PathBuf; 0]);
    }
}

#[test]
fn what_is_right_already_is_not_touched() {
    let place = Place::new();
    place.snapshot(&[(A, "one\n"), (B, "two\n")], false).expect("first");
    let times = || {
        [A, B].map(|rel| fs::metadata(place.root().join(rel)).expect("metadata").modified().expect("time"))
    };
    let before = times();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let summary = place.snapshot(&[(A, "one\n"), (B, "three\n")], false).expect("second");
    assert_eq!((summary.written, summary.unchanged), (1, 1));
    assert_eq!(times()[0], before[0]);
    assert_ne!(times()[1], before[1]);

    let mut transaction = place.begin();
    assert!(transaction.holds(A, ObjectId::of(b"one\n")).expect("reads"));
    assert!(!transaction.holds(B, ObjectId::of(b"two\n")).expect("reads"));
    let summary = transaction.commit(false, &|rel| rel == A).expect("held files are written, not stale");
    assert_eq!((summary.written, summary.unchanged, summary.removed), (0, 1, 0));
    assert_eq!(place.read(A), "one\n");
}

#[test]
fn an_aborted_transaction_leaves_no_trace() {
    let place = Place::new();
    place.snapshot(&[(A, "one\n")], false).expect("first");
    let before = place.files();
    let adopted = place.root().join(".distill/tmp/ready");
    fs::write(&adopted, "three\n").expect("write");
    let mut transaction = place.begin();
    transaction.file(A).expect("begins").write_all(b"two\n").expect("writes");
    transaction.adopt(B, &adopted, ObjectId::of(b"three\n"), 6).expect("adopts");
    transaction.check(false, &|_| true).expect("no conflict");
    drop(transaction);
    assert_eq!(place.files(), before);
    assert_eq!(fs::read_dir(place.root().join(".distill/tmp")).expect("list").count(), 0, "leftovers");
}

#[test]
fn an_adopted_file_is_moved_into_place() {
    let place = Place::new();
    fs::create_dir_all(place.root().join(".distill/tmp")).expect("make");
    let adopted = place.root().join(".distill/tmp/ready");
    fs::write(&adopted, "three\n").expect("write");
    let mut transaction = place.begin();
    transaction.adopt(B, &adopted, ObjectId::of(b"three\n"), 6).expect("adopts");
    let summary = transaction.commit(false, &|_| true).expect("commits");
    assert_eq!((summary.written, summary.bytes_written), (1, 6));
    assert_eq!(place.files(), [(B.to_owned(), "three\n".to_owned())]);
}

#[test]
fn a_killed_commit_is_not_taken_for_a_persons_work() {
    let place = Place::new();
    place.snapshot(&[(A, "one\n"), (B, "two\n")], false).expect("first");
    // As after a kill between two renames: the memory announces both files, one of them is in place.
    let path = place.root().join(".distill/index/worktree.json");
    let mut state: serde_json::Value =
        serde_json::from_slice(&fs::read(&path).expect("read")).expect("the state is JSON");
    for rel in [A, B] {
        state["pending"][rel] = ObjectId::of(b"new\n").to_string().into();
    }
    fs::write(&path, state.to_string()).expect("write");
    place.edit(B, "new\n");
    assert_eq!(place.open().changed_by_hand(&|_| true).expect("reads"), [] as [PathBuf; 0]);
    place.snapshot(&[(A, "newer\n")], false).expect("goes on");
    assert_eq!(place.files(), [(A.to_owned(), "newer\n".to_owned())]);
}

#[test]
fn leftovers_of_dead_processes_go_and_those_of_living_ones_stay() {
    let place = Place::new();
    let leftover = place.root().join(".distill/tmp/.distill-tmp-1-0");
    fs::create_dir_all(&leftover).expect("make");
    fs::write(leftover.join("0"), "half").expect("write");
    let mut living = place.begin();
    living.put(A, b"one\n").expect("writes");
    assert!(!leftover.exists());
    let other = place.begin();
    drop(other);
    living.commit(false, &|_| true).expect("its files are still there");
    assert_eq!(place.read(A), "one\n");
}

#[test]
fn leftovers_go_from_folders_outside_a_repository_too() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let leftover = folder.path().join(".distill-tmp-1-0");
    fs::create_dir_all(&leftover).expect("make");
    fs::write(leftover.join("0"), "half").expect("write");
    fs::write(leftover.join("lock"), "").expect("write");
    let begin = || Worktree::detached(folder.path()).expect("opens").begin().expect("begins");
    let mut living = begin();
    living.put("a", b"one\n").expect("writes");
    assert!(!leftover.exists());
    let mut other = begin();
    other.put("b", b"two\n").expect("writes");
    living.commit(false, &|_| false).expect("its files are still there");
    other.commit(false, &|_| false).expect("its files are still there");
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).expect("list").map(|e| e.expect("entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn nothing_leaves_the_target() {
    let place = Place::new();
    let outside = tempfile::tempdir().expect("a temporary directory");
    let mut transaction = place.begin();
    for bad in ["../x", "/x", "a//b", "a/../../x", "", ".distill/store.redb", ".git/config"] {
        assert!(matches!(transaction.put(bad, b"x"), Err(WorktreeError::BadPath { .. })), "{bad:?}");
    }
    symlink(outside.path(), place.root().join("exports")).expect("link");
    for force in [false, true] {
        let refused = place.snapshot(&[(B, "two\n"), (A, "one\n")], force);
        assert!(matches!(refused, Err(WorktreeError::Escapes { .. })), "{refused:?}");
    }
    assert_eq!(fs::read_dir(outside.path()).expect("list").count(), 0);
    assert!(!place.root().join(B).exists(), "part of a refused snapshot was written");
    // A link that stays inside is a person's way to arrange things, but not into history.
    fs::remove_file(place.root().join("exports")).expect("remove the link");
    symlink(".distill", place.root().join("exports")).expect("link");
    assert!(matches!(place.snapshot(&[(A, "one\n")], true), Err(WorktreeError::Escapes { .. })));
    fs::remove_file(place.root().join("exports")).expect("remove the link");
    fs::create_dir(place.root().join("elsewhere")).expect("make");
    symlink("elsewhere", place.root().join("exports")).expect("link");
    place.snapshot(&[(A, "one\n")], false).expect("stays inside");
    assert_eq!(place.read("elsewhere/rag/playbooks.jsonl"), "one\n");
}

#[test]
fn files_and_folders_change_places_only_where_they_are_distills() {
    let place = Place::new();
    place.snapshot(&[("data/sources/x", "a file\n")], false).expect("a file");
    place.snapshot(&[("data/sources/x/y", "below\n")], false).expect("becomes a folder");
    assert_eq!(place.read("data/sources/x/y"), "below\n");
    place.snapshot(&[("data/sources/x", "a file\n")], false).expect("becomes a file again");
    assert_eq!(place.read("data/sources/x"), "a file\n");
    place.edit("exports", "a person's file");
    for force in [false, true] {
        assert!(matches!(place.snapshot(&[(A, "one\n")], force), Err(WorktreeError::Blocked { .. })));
    }
    fs::remove_file(place.root().join("exports")).expect("remove");
    fs::create_dir_all(place.root().join(A)).expect("a person's folder");
    assert!(matches!(place.snapshot(&[(A, "one\n")], true), Err(WorktreeError::Blocked { .. })));
    assert_eq!(place.read("data/sources/x"), "a file\n", "a refused snapshot removed something");
}

#[test]
fn another_directory_is_written_without_memory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let target = dir.path().join("new/place");
    let write = |text: &str| {
        let mut transaction = Worktree::detached(&target).expect("opens").begin().expect("begins");
        transaction.put(A, text.as_bytes()).expect("writes");
        transaction.commit(false, &|_| true)
    };
    write("one\n").expect("first");
    assert_eq!(write("one\n").expect("the same again").unchanged, 1);
    assert_eq!(conflicts(write("two\n")), [PathBuf::from(A)]);
    let names: Vec<_> = fs::read_dir(&target).expect("list").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(names, ["exports"], "nothing but the snapshot");
}

#[test]
fn more_files_than_are_kept_open_are_written_in_turn() {
    let place = Place::new();
    let mut transaction = place.begin();
    for round in 0..3 {
        for n in 0..40 {
            transaction.append(&format!("data/{n}.jsonl"), format!("{round}\n").as_bytes()).expect("appends");
        }
    }
    assert_eq!(transaction.files().count(), 40);
    assert!(transaction.files().all(|(_, digest, bytes)| bytes == 6 && digest == ObjectId::of(b"0\n1\n2\n")));
    transaction.commit(false, &|_| true).expect("commits");
    assert!((0..40).all(|n| place.read(&format!("data/{n}.jsonl")) == "0\n1\n2\n"));
}

#[test]
fn a_dataset_is_written_line_by_line_byte_for_byte() {
    let place = Place::new();
    let mut store = MemoryStore::default();
    let rows = [
        ("evidence/bad-json/data/a.jsonl/0000000001", "{\"a\":1}"),
        ("evidence/no-key/data/a.jsonl/0000000002", "{\"b\":\"\u{e9}\"}"),
        ("export-rag/bad-json/2026/01/31/s/x", "{}"),
    ];
    let entries = rows.map(|(key, text)| {
        let id = store.write(Kind::Data, text.as_bytes()).expect("writes");
        Entry { key: key.to_owned(), id, bytes: text.len() as u64 }
    });
    let mut builder = Builder::new(&mut store);
    for entry in &entries {
        builder.push(entry).expect("pushes");
    }
    let root = builder.finish().expect("finishes").root;
    let mut transaction = place.begin();
    assert_eq!(write_dataset(&mut transaction, &store, "quarantine", root).expect("writes"), 3);
    let staged: Vec<_> = transaction.files().map(|(rel, digest, _)| (rel.to_owned(), digest)).collect();
    let expected: Vec<_> = digests(&store, "quarantine", root).expect("hashes").into_iter().collect();
    assert_eq!(staged, expected);
    transaction.commit(false, &|_| true).expect("commits");
    assert_eq!(place.read("exports/quarantine/bad-json.jsonl"), "{\"a\":1}\n{}\n");
    assert_eq!(place.read("exports/quarantine/no-key.jsonl"), "{\"b\":\"\u{e9}\"}\n");

    let empty = Builder::new(&mut store).finish().expect("finishes").root;
    let mut transaction = place.begin();
    write_dataset(&mut transaction, &store, "exports/sft", empty).expect("writes");
    transaction.commit(false, &|_| false).expect("commits");
    assert_eq!(place.read("exports/sft/instruction_response.jsonl"), "", "no rows are an empty file");
}
