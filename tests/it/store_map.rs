//! Many packs: the map that says which of them to ask makes look-ups cheaper and changes no answer.

use std::fs;
use std::path::{Path, PathBuf};

use distill::object::Find as _;
use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::Write as _;
use distill::store::OpRequest;
use distill::store::Operation;
use distill::store::ReindexPlan;
use distill::store::Store;
use distill::store::StoreError;

use crate::store::fresh;
use crate::store::moving;
use crate::store::object;
use crate::store::publish;

/// Enough for a map.
const PACKS: usize = 40;
const OBJECTS: usize = 12;
/// An object that the first and the last pack hold.
const TWICE: &[u8] = b"{\"twice\":true}";

/// A store of [`PACKS`] packs as they were published, none merged: such are left where packs are too large to merge.
fn many() -> (tempfile::TempDir, Store) {
    let (dir, merged) = fresh();
    let apart = dir.path().join("apart");
    fs::create_dir_all(apart.join("packs")).expect("a folder");
    fs::create_dir_all(apart.join("ops")).expect("a folder");
    let mut previous = None;
    for n in 0..PACKS {
        let mut staging = merged.staging_for_rewrite().expect("staging");
        let mut last = ObjectId::of(b"");
        for i in 0..OBJECTS {
            last = staging.write(Kind::Data, &object(&format!("s{n}"), i)).expect("write");
        }
        if n == 0 || n == PACKS - 1 {
            staging.write(Kind::Data, TWICE).expect("write");
        }
        let request = moving(&merged, "heads/main", last);
        let published = merged.publish(Some(staging), request).expect("publish");
        let pack = published.packs[0].clone();
        let name = format!("{}.pack", pack.id);
        fs::copy(merged.dir().join("packs").join(&name), apart.join("packs").join(&name)).expect("copied");
        let file = Operation::file_name(published.number);
        let from = merged.dir().join("ops").join(&file);
        let operation = Operation::parse(&fs::read(&from).expect("a file"), &from).expect("an operation");
        let operation = Operation { packs: vec![pack], dropped_packs: Vec::new(), previous, ..operation };
        let bytes = operation.to_bytes().expect("JSON");
        previous = Some(ObjectId::of(&bytes));
        fs::write(apart.join("ops").join(file), bytes).expect("written");
    }
    let (store, _) = ReindexPlan::read(&apart).expect("a log").write(true).expect("a store");
    assert_eq!(store.packs().len(), PACKS);
    (dir, store)
}

fn map(store: &Store) -> PathBuf {
    store.dir().join("index/packs.map")
}

#[track_caller]
fn everything_is_found(dir: &Path, what: &str) {
    let store = Store::open(dir).expect("open");
    for n in 0..PACKS {
        for i in 0..OBJECTS {
            let bytes = object(&format!("s{n}"), i);
            let found = store.try_find(&ObjectId::of(&bytes)).expect(what).expect(what);
            assert_eq!(*found, *bytes, "{what}");
        }
    }
    assert_eq!(*store.try_find(&ObjectId::of(TWICE)).expect(what).expect(what), *TWICE);
    assert!(store.try_find(&ObjectId::of(b"absent")).expect(what).is_none(), "{what}");
}

#[test]
fn packs_that_cannot_hold_an_object_are_not_opened() {
    let (_dir, store) = many();
    let packs = store.packs();
    let (first, last) = (&packs[0].path, &packs[PACKS - 1].path);
    let aside = |path: &Path| path.with_extension("aside");
    for gone in [first, last] {
        fs::rename(gone, aside(gone)).expect("renamed");
        let store = Store::open(store.dir()).expect("open");
        assert!(store.try_find(&ObjectId::of(b"absent")).expect("no pack need be asked").is_none());
        let other = object("s7", 3);
        assert_eq!(*store.try_find(&ObjectId::of(&other)).expect("found").expect("found"), *other);
        assert_eq!(
            *store.try_find(&ObjectId::of(TWICE)).expect("found").expect("found"),
            *TWICE,
            "in the other pack"
        );
        let lost = object(if gone == first { "s0" } else { "s39" }, 0);
        let error = store.try_find(&ObjectId::of(&lost)).expect_err("its pack is gone");
        assert!(error.to_string().contains("missing"), "{error}");
        fs::rename(aside(gone), gone).expect("renamed");
    }
    // Without a map, every pack must be asked before an object is called absent.
    fs::remove_file(map(&store)).expect("there was a map");
    fs::rename(first, aside(first)).expect("renamed");
    assert!(Store::open(store.dir()).expect("open").try_find(&ObjectId::of(b"absent")).is_err());
}

/// How many packs of `store` this process holds open.
fn open_packs(store: &Store) -> usize {
    let packs = fs::canonicalize(store.dir().join("packs")).expect("packs");
    let links = fs::read_dir("/proc/self/fd").expect("open files");
    links
        .filter_map(|link| fs::read_link(link.ok()?.path()).ok())
        .filter(|path| path.starts_with(&packs))
        .count()
}

#[test]
fn a_look_up_opens_the_pack_that_has_the_object_and_no_other() {
    let (_dir, made) = many();
    let id = |series: &str| ObjectId::of(&object(series, 3));
    let read: [(&str, &dyn Fn(&Store)); 4] = [
        ("one object", &|store| assert!(store.try_find(&id("s7")).expect("sound").is_some())),
        ("where it lies", &|store| assert!(store.locate(&id("s7")).expect("sound").is_some())),
        ("several objects", &|store| {
            let found = store.try_find_many(&[id("s7"), ObjectId::of(&object("s7", 4))]).expect("sound");
            assert!(found.iter().all(Option::is_some));
        }),
        ("nothing", &|store| assert!(store.try_find(&ObjectId::of(b"absent")).expect("sound").is_none())),
    ];
    let before = open_packs(&made);
    for (what, read) in read {
        let store = Store::open(made.dir()).expect("open");
        read(&store);
        assert_eq!(open_packs(&made) - before, usize::from(what != "nothing"), "{what}");
    }
}

#[test]
fn a_map_that_is_missing_damaged_or_cut_changes_no_answer() {
    let (_dir, store) = many();
    let whole = fs::read(map(&store)).expect("a map");
    everything_is_found(store.dir(), "with a map");
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(map(&store), &bytes).expect("written");
        everything_is_found(store.dir(), &format!("byte {at} flipped"));
    }
    for cut in [0, 10, 100, whole.len() - 1] {
        fs::write(map(&store), &whole[..cut]).expect("written");
        everything_is_found(store.dir(), &format!("cut after {cut}"));
    }
    fs::remove_file(map(&store)).expect("removed");
    everything_is_found(store.dir(), "without a map");
}

#[test]
fn an_old_map_is_as_right_as_a_new_one_about_what_it_knows() {
    let (_dir, store) = many();
    let whole = fs::read(map(&store)).expect("a map");
    let ops = store.dir().join("ops");
    let later: Vec<_> = (31..=PACKS as u64).map(|number| ops.join(Operation::file_name(number))).collect();
    let aside = |path: &Path| path.with_extension("aside");
    fs::remove_file(map(&store)).expect("removed");
    for path in &later {
        fs::rename(path, aside(path)).expect("renamed");
    }
    let (then, _) = ReindexPlan::read(store.dir()).expect("a log").write(true).expect("a store");
    assert_eq!(then.packs().len(), 30);
    let old = fs::read(map(&store)).expect("a map of thirty packs");
    for path in &later {
        fs::rename(aside(path), path).expect("renamed");
    }
    ReindexPlan::read(store.dir()).expect("a log").write(true).expect("a store");
    assert_eq!(fs::read(map(&store)).expect("a map"), old, "ten packs are no reason for a new one");
    assert!(old.len() < whole.len());
    everything_is_found(store.dir(), "ten packs are not in the map");
    let here = Store::open(store.dir()).expect("open");
    publish(&here, "later", 5);
    assert!(here.packs().len() < PACKS, "small packs are merged by the next publish");
    everything_is_found(store.dir(), "after a merge");
}

#[test]
fn a_collected_pack_is_not_believed_to_hold_anything() {
    let (_dir, store) = many();
    let drop = store.packs()[PACKS - 1].id;
    let request = OpRequest {
        operation: "gc".to_owned(),
        at: "2026-11-23T00:00:00.000Z".to_owned(),
        drop_packs: vec![drop],
        ..OpRequest::default()
    };
    let done: Result<_, StoreError> = store.publish(None, request);
    done.expect("collected");
    let again = Store::open(store.dir()).expect("open");
    let gone = object(&format!("s{}", PACKS - 1), 0);
    assert!(again.try_find(&ObjectId::of(&gone)).expect("asked").is_none());
    assert!(again.try_find(&ObjectId::of(TWICE)).expect("asked").is_some(), "the first pack has it too");
}
