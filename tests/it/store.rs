//! The store's contract: what is published is there, whole, for everybody; what is not leaves no trace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use distill::object::Exists as _;
use distill::object::Find as _;
use distill::object::FindExt as _;
use distill::object::IdPrefix;
use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::OdbError;
use distill::object::Write as _;
use distill::store::BlockBuilder;
use distill::store::Head;
use distill::store::HeadChange;
use distill::store::OpRequest;
use distill::store::PackReport;
use distill::store::Published;
use distill::store::RefChange;
use distill::store::ReindexPlan;
use distill::store::Staging;
use distill::store::Store;
use distill::store::StoreError;

/// A store in a temporary directory.
pub fn fresh() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = Store::init(&dir.path().join(".distill")).expect("init");
    (dir, store)
}

/// The n-th object of a series: text that compresses a little.
pub fn object(series: &str, n: usize) -> Vec<u8> {
    format!("{{\"n\":{n},\"series\":\"{series}\",\"text\":\"{}\"}}", ObjectId::of(&n.to_le_bytes()).short(40))
        .into_bytes()
}

/// A request that moves `name` from what the store now has to `new`.
pub fn moving(store: &Store, name: &str, new: ObjectId) -> OpRequest {
    OpRequest {
        operation: "test".to_owned(),
        at: "2026-11-23T00:00:00.000Z".to_owned(),
        ref_changes: vec![RefChange { name: name.to_owned(), old: store.get_ref(name), new: Some(new) }],
        ..OpRequest::default()
    }
}

/// Publishes `count` objects of a series and points `heads/main` at the last.
pub fn publish(store: &Store, series: &str, count: usize) -> Published {
    let mut staging = store.staging().expect("staging");
    let mut last = ObjectId::of(b"");
    for n in 0..count {
        last = staging.write(Kind::Data, &object(series, n)).expect("write");
    }
    store.publish(Some(staging), moving(store, "heads/main", last)).expect("publish")
}

/// Every file below `dir` with its bytes, lock files and their like in `tmp/` left out.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    walkdir::WalkDir::new(dir)
        .into_iter()
        .map(|entry| entry.expect("listable"))
        .filter(|entry| entry.file_type().is_file() && !entry.path().starts_with(dir.join("tmp")))
        .map(|entry| (entry.path().to_owned(), fs::read(entry.path()).expect("readable")))
        .collect()
}

/// Files under `tmp/` that are not locks.
pub fn unfinished(store: &Store) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.dir().join("tmp")).expect("tmp");
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("listable").path()).collect();
    paths.retain(|path| {
        !["publish.lock", "gc.lock"].contains(&&*name(path)) && !name(path).starts_with("lease-")
    });
    paths
}

#[test]
fn what_is_published_is_there_after_reopening() {
    let (_dir, store) = fresh();
    assert_eq!(store.head(), Head::Branch("heads/main".to_owned()));
    let published = publish(&store, "a", 2000);
    assert_eq!((published.number, published.packs.len(), published.packs[0].objects), (1, 1, 2000));
    let again = Store::open(store.dir()).expect("open");
    for store in [&store, &again] {
        for n in 0..2000 {
            let bytes = object("a", n);
            let id = ObjectId::of(&bytes);
            assert_eq!(&*store.find(&id).expect("found"), &bytes[..]);
            assert_eq!(store.object_len(&id).expect("answers"), Some(bytes.len() as u64));
            assert!(store.exists(&id).expect("answers"));
        }
        let absent = ObjectId::of(b"absent");
        assert!(!store.exists(&absent).expect("answers"));
        assert!(store.try_find(&absent).expect("answers").is_none());
        assert!(store.locate(&absent).expect("answers").is_none());
        assert_eq!(store.get_ref("heads/main"), Some(ObjectId::of(&object("a", 1999))));
        assert_eq!(store.refs().len(), 1);
    }
    assert_eq!(unfinished(&store), Vec::<PathBuf>::new());
    let location = again.locate(&ObjectId::of(&object("a", 7))).expect("answers").expect("there");
    assert_eq!(location.pack, published.packs[0].id);
    assert_eq!(location.path, again.packs()[0].path);
}

#[test]
fn staged_objects_can_be_read_before_they_are_published_and_vanish_with_the_staging() {
    let (_dir, store) = fresh();
    publish(&store, "a", 10);
    let before = files(store.dir());
    let mut staging = store.staging().expect("staging");
    let mut ids = Vec::new();
    for n in 0..3000 {
        let kind = if n % 5 == 0 { Kind::Node } else { Kind::Data };
        let bytes = object("b", n);
        ids.push((staging.write(kind, &bytes).expect("write"), bytes));
        let (id, bytes) = &ids[n / 2];
        assert_eq!(&*staging.find(id).expect("staged"), &bytes[..], "object {n} while writing");
        assert!(staging.contains(id) && staging.exists(id).expect("answers"));
    }
    let old = ObjectId::of(&object("a", 3));
    assert_eq!(staging.write(Kind::Data, &object("a", 3)).expect("write"), old);
    assert!(!staging.contains(&old), "the store has it");
    assert_eq!(&*staging.find(&old).expect("found below"), &object("a", 3)[..]);
    assert!(!store.exists(&ids[0].0).expect("answers"), "not published");
    assert!(!unfinished(&store).is_empty());
    drop(staging);
    assert_eq!(unfinished(&store), Vec::<PathBuf>::new());
    assert_eq!(files(store.dir()), before);
}

#[test]
fn blocks_from_workers_are_appended_in_order_and_repeats_are_dropped() {
    let (_dir, store) = fresh();
    let build = |from: usize, to: usize| {
        let mut builder = BlockBuilder::new();
        for n in from..to {
            let bytes = object("w", n);
            builder.push(Kind::Data, ObjectId::of(&bytes), &bytes).expect("push");
        }
        builder.finish().expect("compress")
    };
    let mut staging = store.staging().expect("staging");
    let parts = std::thread::scope(|scope| {
        let parts: Vec<_> =
            (0..4).map(|part| scope.spawn(move || build(part * 900, part * 900 + 1000))).collect();
        parts.into_iter().map(|part| part.join().expect("worker")).collect::<Vec<_>>()
    });
    for part in parts {
        staging.append(part).expect("append");
    }
    let size = staging.packed_bytes();
    staging.append(build(0, 900)).expect("append");
    assert_eq!((staging.objects(), staging.packed_bytes()), (3700, size), "the repeats were dropped");
    let last = ObjectId::of(&object("w", 3699));
    let published = store.publish(Some(staging), moving(&store, "heads/main", last)).expect("publish");
    assert_eq!(published.packs[0].objects, 3700);
    let walked: Vec<_> = store
        .iter_objects(&published.packs[0].id)
        .expect("opens")
        .map(|item| item.expect("whole").0)
        .collect();
    let expected: Vec<_> = (0..3700).map(|n| ObjectId::of(&object("w", n))).collect();
    assert_eq!(walked, expected, "objects lie in the order in which they came");
}

#[test]
fn same_objects_in_the_same_order_make_the_same_pack() {
    let packs: Vec<_> = (0..2).map(|_| publish(&fresh().1, "same", 500).packs).collect();
    assert_eq!(packs[0], packs[1]);
}

#[test]
fn a_publish_that_brings_nothing_new_brings_no_pack() {
    let (_dir, store) = fresh();
    publish(&store, "a", 10);
    let published = publish(&store, "a", 10);
    assert_eq!((published.number, published.packs.len()), (2, 0));
    let rewritten = {
        let mut staging = store.staging_for_rewrite().expect("staging");
        for n in 0..10 {
            staging.write(Kind::Data, &object("a", n)).expect("write");
        }
        let id = ObjectId::of(&object("a", 9));
        store.publish(Some(staging), moving(&store, "heads/main", id)).expect("publish")
    };
    assert_eq!(rewritten.packs.len(), 0, "the very same file is there already");
    assert_eq!(store.packs().len(), 1);
    assert_eq!(store.operations().count(), 3);
}

#[test]
fn compare_and_swap_refuses_and_leaves_everything_as_it_was() {
    let (_dir, store) = fresh();
    publish(&store, "a", 10);
    let other = Store::open(store.dir()).expect("open");
    let stale = moving(&other, "heads/main", ObjectId::of(b"x"));
    publish(&store, "b", 10);
    let before = files(store.dir());

    let mut staging = other.staging().expect("staging");
    staging.write(Kind::Data, b"new").expect("write");
    let refused = other.publish(Some(staging), stale).expect_err("stale");
    assert!(matches!(&refused, StoreError::RefConflict { name, .. } if name == "heads/main"), "{refused}");

    let mut head = moving(&other, "tags/v1", ObjectId::of(b"x"));
    head.head =
        Some(HeadChange { old: Head::Branch("heads/other".into()), new: Head::Detached(ObjectId::of(b"x")) });
    let refused = other.publish(None, head).expect_err("HEAD is elsewhere");
    assert!(matches!(&refused, StoreError::RefConflict { name, .. } if name == "HEAD"), "{refused}");

    let refused =
        other.publish(None, moving(&other, "heads/a..b", ObjectId::of(b"x"))).expect_err("a bad name");
    assert!(matches!(refused, StoreError::BadRefName { .. }));
    let mut before = before;
    let mut after = files(store.dir());
    let catalogue = store.dir().join("store.redb");
    assert!(before.remove(&catalogue).is_some() && after.remove(&catalogue).is_some());
    assert!(before == after, "no file but redb's own changed");
    assert_eq!(unfinished(&store), Vec::<PathBuf>::new());
    assert_eq!(Store::open(store.dir()).expect("open").last_operation().expect("two").0, 2);
}

#[test]
fn refs_and_head_move_and_go_away_together() {
    let (_dir, store) = fresh();
    publish(&store, "a", 3);
    let id = ObjectId::of(b"x");
    let mut request = moving(&store, "tags/v1", id);
    request.ref_changes.push(RefChange {
        name: "heads/main".into(),
        old: store.get_ref("heads/main"),
        new: None,
    });
    request.head = Some(HeadChange { old: store.head(), new: Head::Detached(id) });
    request.message = Some("a \"message\"\nof two lines".to_owned());
    store.publish(None, request.clone()).expect("publish");
    let again = Store::open(store.dir()).expect("open");
    assert_eq!(again.refs(), BTreeMap::from([("tags/v1".to_owned(), id)]));
    assert_eq!(again.head(), Head::Detached(id));
    let newest = again.operations().next().expect("one").expect("whole");
    assert_eq!(
        (newest.operation.message, newest.operation.ref_changes),
        (request.message, request.ref_changes)
    );
}

#[test]
fn the_operation_log_is_a_checked_chain_newest_first() {
    let (_dir, store) = fresh();
    for n in 0..5 {
        publish(&store, &format!("s{n}"), 3);
    }
    let log: Vec<_> = store.operations().map(|item| item.expect("whole")).collect();
    assert_eq!(log.iter().map(|logged| logged.operation.number).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    for pair in log.windows(2) {
        assert_eq!(pair[0].operation.previous, Some(pair[1].id));
    }
    assert_eq!(log[4].operation.previous, None);

    let path = store.dir().join("ops/0000000003.json");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replace("\"test\"", "\"text\"")).expect("tamper");
    let log: Vec<_> = store.operations().collect();
    assert_eq!(log.len(), 3, "it ends at what cannot be trusted");
    assert!(log[2].as_ref().expect_err("tampered").to_string().contains("0000000003.json"));
    fs::remove_file(&path).expect("remove");
    let missing = store.operations().nth(2).expect("an item").expect_err("missing");
    assert!(matches!(&missing, StoreError::Damaged { .. }), "{missing}");
}

#[test]
fn abbreviations_resolve_over_all_packs() {
    let (_dir, store) = fresh();
    publish(&store, "a", 3000);
    publish(&store, "b", 3000);
    let ids: Vec<_> =
        ["a", "b"].iter().flat_map(|s| (0..3000).map(|n| ObjectId::of(&object(s, n)))).collect();
    for prefix in ["0000", "7f3a", "abc1", "ffff"].into_iter().chain(ids[..50].iter().map(|_| "00aa")) {
        let prefix = IdPrefix::parse(prefix).expect("a prefix");
        let mut expected: Vec<_> = ids.iter().filter(|id| prefix.matches(id)).copied().collect();
        expected.sort();
        assert_eq!(store.resolve_prefix(&prefix).expect("answers"), expected);
    }
    for id in ids.iter().step_by(100) {
        let prefix = IdPrefix::parse(&id.short(9)).expect("a prefix");
        assert_eq!(store.resolve_prefix(&prefix).expect("answers"), [*id]);
        let whole = IdPrefix::parse(&id.to_string()).expect("a prefix");
        assert_eq!(store.resolve_prefix(&whole).expect("answers"), [*id]);
    }
}

#[test]
fn many_small_packs_are_merged_and_readers_that_lose_one_look_again() {
    let (_dir, store) = fresh();
    let reader = Store::open(store.dir()).expect("open");
    publish(&store, "s0", 20);
    reader.refresh().expect("refresh");
    let mut merges = 0;
    for n in 1..40 {
        let published = publish(&store, &format!("s{n}"), 20);
        assert_eq!(published.merge_skipped, None);
        merges += usize::from(!published.dropped_packs.is_empty());
        assert!(store.packs().len() <= 17, "{} packs", store.packs().len());
    }
    assert!(merges >= 2, "{merges} merges");
    // The reader's catalogue still names packs whose files have gone.
    for n in 0..40 {
        for k in 0..20 {
            let bytes = object(&format!("s{n}"), k);
            let found = store.find(&ObjectId::of(&bytes)).expect("found");
            assert_eq!(&*found, &bytes[..]);
        }
    }
    assert_eq!(&*reader.find(&ObjectId::of(&object("s0", 5))).expect("found again"), &object("s0", 5)[..]);
    let names: Vec<_> = files(&store.dir().join("packs")).into_keys().collect();
    let mut known: Vec<_> = store.packs().into_iter().map(|pack| pack.path).collect();
    known.sort();
    assert_eq!(names, known, "dropped packs are deleted");
    let mut objects = 0;
    store
        .verify_packs(&mut |report| match report {
            PackReport::Checked { objects: checked, .. } => objects += checked,
            other => panic!("{other:?}"),
        })
        .expect("lists");
    assert_eq!(objects, 800);
}

#[test]
fn work_that_relies_on_a_merged_pack_is_published_and_on_a_collected_one_refused() {
    let (_dir, store) = fresh();
    publish(&store, "s0", 20);
    let relying = |store: &Store| -> Staging {
        let mut staging = store.staging().expect("staging");
        staging.write(Kind::Data, &object("s0", 1)).expect("there already");
        staging.write(Kind::Data, b"and something new").expect("write");
        staging
    };
    let first = relying(&store);
    let second = relying(&store);
    let pack = store.packs()[0].id;
    for n in 1..20 {
        publish(&store, &format!("s{n}"), 20);
    }
    assert!(store.packs().iter().all(|p| p.id != pack), "merged");
    store.publish(Some(first), OpRequest::default()).expect("its objects live on");

    let dropping =
        OpRequest { drop_packs: store.packs().iter().map(|p| p.id).collect(), ..OpRequest::default() };
    let published = store.publish(None, dropping).expect("collected");
    assert_eq!(store.packs().len(), 0);
    assert!(files(&store.dir().join("packs")).is_empty(), "{published:?}");
    let refused = store.publish(Some(second), OpRequest::default()).expect_err("gone");
    assert!(matches!(refused, StoreError::PackGone { pack: gone } if gone == pack), "{refused}");
}

/// A pack that is asked often answers from memory; what it says stays the same, and what it does not have stays absent.
#[test]
fn a_pack_that_is_asked_often_says_what_it_said() {
    let (_dir, store) = fresh();
    publish(&store, "a", 3000);
    publish(&store, "b", 500);
    let asked: Vec<_> = (0..3000)
        .flat_map(|n| ["a", "b", "c"].map(|series| (series, n, object(series, n))))
        .map(|(series, n, bytes)| (ObjectId::of(&bytes), bytes, series == "a" || (series == "b" && n < 500)))
        .collect();
    let ids: Vec<_> = asked.iter().map(|(id, ..)| *id).collect();
    for round in 0..3 {
        let found = store.try_find_many(&ids).expect("a whole store");
        for ((id, bytes, is_there), found) in asked.iter().zip(found) {
            assert_eq!(found.as_deref(), is_there.then_some(&bytes[..]), "{id} in round {round}");
        }
    }
}

#[test]
fn a_read_only_directory_can_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, store) = fresh();
    publish(&store, "a", 100);
    let before = files(store.dir());
    let paths: Vec<_> =
        walkdir::WalkDir::new(store.dir()).into_iter().map(|e| e.expect("listable").into_path()).collect();
    let set = |write: bool| {
        for path in &paths {
            let mode = match (path.is_dir(), write) {
                (true, true) => 0o755,
                (true, false) => 0o555,
                (false, true) => 0o644,
                (false, false) => 0o444,
            };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        }
    };
    set(false);
    let reader = Store::open(store.dir()).expect("open");
    assert_eq!(&*reader.find(&ObjectId::of(&object("a", 7))).expect("found"), &object("a", 7)[..]);
    assert_eq!(reader.operations().count(), 1);
    reader
        .verify_packs(&mut |report| assert!(matches!(report, PackReport::Checked { findings: 0, .. })))
        .expect("lists");
    set(true);
    assert_eq!(files(store.dir()), before, "reading wrote nothing");
}

#[test]
fn init_keeps_configuration_and_refuses_a_second_store_and_a_lost_catalogue() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().join(".distill");
    fs::create_dir_all(root.join("sources")).expect("create");
    fs::write(root.join("config.toml"), "x = 1").expect("write");
    assert!(matches!(Store::open(&root), Err(StoreError::NotAStore { .. })));
    let store = Store::init(&root).expect("init");
    assert_eq!(fs::read(root.join("config.toml")).expect("kept"), b"x = 1");
    assert!(matches!(Store::init(&root), Err(StoreError::AlreadyExists { .. })));
    publish(&store, "a", 10);
    fs::remove_file(root.join("store.redb")).expect("lose it");
    let refused = Store::init(&root).expect_err("a log without a catalogue");
    assert!(refused.to_string().contains("reindex"), "{refused}");
}

#[test]
fn a_lost_catalogue_is_rebuilt_from_the_log() {
    let (_dir, store) = fresh();
    for n in 0..20 {
        publish(&store, &format!("s{n}"), 20);
    }
    let (refs, packs, last) = (store.refs(), store.packs(), store.last_operation());
    fs::remove_file(store.dir().join("store.redb")).expect("lose it");
    let plan = ReindexPlan::read(store.dir()).expect("a whole log");
    assert_eq!((plan.operations.len(), plan.missing_packs.len()), (20, 0));
    let (without, aside) = plan.write(false).expect("write");
    assert_eq!(aside, None);
    assert_eq!(without.last_operation().map(|(number, _)| number), Some(19));
    assert_eq!(without.get_ref("heads/main"), Some(ObjectId::of(&object("s18", 19))));
    let (rebuilt, aside) = plan.write(true).expect("write");
    assert_eq!(aside, Some(store.dir().join("store.redb.old-1")), "nothing is deleted");
    assert_eq!((rebuilt.refs(), rebuilt.packs(), rebuilt.last_operation()), (refs, packs, last));
    assert_eq!(&*rebuilt.find(&ObjectId::of(&object("s3", 3))).expect("found"), &object("s3", 3)[..]);
    publish(&rebuilt, "more", 5);

    fs::remove_file(rebuilt.packs()[0].path.clone()).expect("lose a pack");
    assert_eq!(ReindexPlan::read(store.dir()).expect("a whole log").missing_packs, [rebuilt.packs()[0].id]);
}

#[test]
fn a_catalogue_older_than_the_log_is_not_written_to() {
    let (_dir, store) = fresh();
    publish(&store, "a", 5);
    let old = fs::read(store.dir().join("store.redb")).expect("read");
    publish(&store, "b", 5);
    publish(&store, "c", 5);
    fs::write(store.dir().join("store.redb"), old).expect("restore a copy");
    let restored = Store::open(store.dir()).expect("open");
    let before = files(&store.dir().join("ops"));
    let refused = restored.publish(None, OpRequest::default()).expect_err("the log goes on");
    assert!(refused.to_string().contains("reindex"), "{refused}");
    assert_eq!(files(&store.dir().join("ops")), before, "history is not overwritten");
}

#[test]
fn a_lease_is_held_by_one_and_says_by_whom() {
    let (_dir, store) = fresh();
    let lease = store.lease("main", "run-all of operator x", Duration::ZERO, &mut |_| {}).expect("free");
    let _other = store.lease("feature/ü", "another", Duration::ZERO, &mut |_| {}).expect("another branch");
    let mut told = Vec::new();
    let refused = store
        .lease("main", "second", Duration::from_millis(120), &mut |owner| told.push(owner.to_owned()))
        .expect_err("held");
    let StoreError::Busy { owner, waited_ms, .. } = &refused else { panic!("{refused}") };
    assert!(owner.starts_with("run-all of operator x (process ") && *waited_ms >= 120, "{refused}");
    assert_eq!(told, std::slice::from_ref(owner));
    drop(lease);
    store.lease("main", "second", Duration::ZERO, &mut |_| {}).expect("free again");
}

#[test]
fn a_newer_format_is_refused_by_number() {
    let error = StoreError::NewerFormat { found: 2, supported: 1 };
    assert_eq!(error.to_string(), "the store has format 2, this distill reads formats up to 1");
    let odb: OdbError = error.into();
    assert!(odb.to_string().contains("format 2"), "{odb}");
}

#[test]
fn deleting_tmp_and_index_loses_nothing() {
    let (_dir, store) = fresh();
    publish(&store, "a", 5);
    fs::remove_dir_all(store.dir().join("tmp")).expect("remove");
    fs::remove_dir_all(store.dir().join("index")).expect("remove");
    publish(&Store::open(store.dir()).expect("open"), "b", 5);
    assert_eq!(Store::open(store.dir()).expect("open").packs().len(), 2);
}

#[test]
fn leftovers_of_dead_writers_are_swept_and_those_of_the_living_stay() {
    let (_dir, store) = fresh();
    let tmp = store.dir().join("tmp");
    for name in ["staging-1-0.lock", "staging-1-0-1.pack", "staging-2-0-1.pack", "op-1.json", "init-1-0.redb"]
    {
        fs::write(tmp.join(name), b"left").expect("write");
    }
    let mut living = store.staging().expect("staging");
    living
        .append({
            let mut builder = BlockBuilder::new();
            builder.push(Kind::Data, ObjectId::of(b"living"), b"living").expect("push");
            builder.finish().expect("compress")
        })
        .expect("append");
    publish(&store, "a", 5);
    assert_eq!(unfinished(&store).len(), 2, "the living one's lock and pack: {:?}", unfinished(&store));
    store.publish(Some(living), OpRequest::default()).expect("publish");
    assert!(store.exists(&ObjectId::of(b"living")).expect("answers"));
    assert_eq!(unfinished(&store), Vec::<PathBuf>::new());
}
