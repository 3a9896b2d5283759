//! Damage: every flipped bit is an error that names what it hits, or changes nothing that anybody can see.

use std::fs;
use std::path::Path;
use std::sync::Once;

use distill::object::Find as _;
use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::OdbError;
use distill::object::Write as _;
use distill::store::OpRequest;
use distill::store::PackReport;
use distill::store::Store;
use distill::store::StoreError;

use crate::store::fresh;
use crate::store::moving;
use crate::store::object;
use crate::store::publish;

/// Whether the long forms of the tests were asked for.
pub fn long() -> bool {
    std::env::var_os("DISTILL_TEST_LONG").is_some()
}

/// A small generator (PCG-like), so that a failure can be replayed from its seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What the command line installs: panics that the store catches print nothing.
pub fn quiet_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !distill::base::panics::panics_are_quiet() {
                before(info);
            }
        }));
    });
}

fn flip(path: &Path, bit: u64) {
    let mut bytes = fs::read(path).expect("read");
    bytes[usize::try_from(bit / 8).expect("small")] ^= 1 << (bit % 8);
    fs::write(path, bytes).expect("write");
}

fn findings(store: &Store) -> Vec<(Option<ObjectId>, String)> {
    let mut found = Vec::new();
    store
        .verify_packs(&mut |report| {
            if let PackReport::Finding { object, detail, .. } = report {
                found.push((object, detail));
            }
        })
        .expect("lists");
    found
}

/// A store with one small pack of records and nodes and one more pack, and all objects of the first.
fn small() -> (tempfile::TempDir, Store, Vec<Vec<u8>>) {
    let (dir, store) = fresh();
    let objects: Vec<_> = (0..40).map(|n| object("flip", n)).collect();
    let mut staging = store.staging().expect("staging");
    for (n, bytes) in objects.iter().enumerate() {
        let kind = if n % 4 == 0 { Kind::Node } else { Kind::Data };
        staging.write(kind, bytes).expect("write");
    }
    store.publish(Some(staging), moving(&store, "heads/main", ObjectId::of(&objects[0]))).expect("publish");
    publish(&store, "other", 5);
    (dir, store, objects)
}

#[test]
fn every_flipped_bit_of_a_pack_is_found_and_no_object_is_ever_wrong_or_absent() {
    let (_dir, store, objects) = small();
    let pack = store.packs()[0].clone();
    let step = if long() { 1 } else { 41 };
    for bit in (0..pack.bytes * 8).step_by(step) {
        flip(&pack.path, bit);
        let damaged = Store::open(store.dir()).expect("a damaged pack does not keep a store from opening");
        for bytes in &objects {
            let id = ObjectId::of(bytes);
            match damaged.try_find(&id) {
                Ok(Some(found)) => assert_eq!(&*found, &bytes[..], "bit {bit}"),
                Ok(None) => panic!("bit {bit}: {id} is absent"),
                Err(OdbError::Corrupt { id: named, place, .. }) => {
                    assert_eq!((named, &place), (id, &pack.path), "bit {bit}");
                }
                Err(error) => {
                    let said = error.to_string();
                    assert!(
                        said.contains(&id.to_string()) && said.contains(&pack.id.to_string()),
                        "{bit}: {said}"
                    );
                }
            }
        }
        let other = ObjectId::of(&object("other", 3));
        assert!(damaged.try_find(&other).expect("another pack").is_some(), "bit {bit}");
        assert!(!findings(&damaged).is_empty(), "bit {bit}: verify says nothing");
        flip(&pack.path, bit);
    }
    assert_eq!(findings(&store), []);
}

#[test]
fn verify_names_every_object_of_a_damaged_block_and_goes_on() {
    let (_dir, store) = fresh();
    publish(&store, "a", 3000);
    let pack = store.packs()[0].clone();
    let location = store.locate(&ObjectId::of(&object("a", 0))).expect("answers").expect("there");
    assert_eq!(location.block, 0);
    let in_block = (0..3000)
        .filter(|n| {
            let id = ObjectId::of(&object("a", *n));
            store.locate(&id).expect("answers").expect("there").block == 0
        })
        .count();
    // Far inside the first frame.
    flip(&pack.path, 8 * 2000);
    let found = findings(&Store::open(store.dir()).expect("open"));
    let named = found.iter().filter(|(object, _)| object.is_some()).count();
    assert!(named > 0 && named <= in_block, "{named} of {in_block}");
    let unpacks = found.iter().all(|(_, detail)| !detail.contains("unpacked"));
    assert!(unpacks || named == in_block, "a block that does not unpack hits all its objects");
    let mut good = 0;
    for item in Store::open(store.dir()).expect("open").iter_objects(&pack.id).expect("opens") {
        good += usize::from(item.is_ok());
    }
    assert_eq!(good + named, 3000);
}

#[test]
fn a_missing_or_truncated_pack_hides_nothing_else() {
    for truncate in [None, Some(0), Some(10), Some(200)] {
        let (_dir, store, objects) = small();
        let pack = store.packs()[0].clone();
        match truncate {
            None => fs::remove_file(&pack.path).expect("remove"),
            Some(len) => fs::File::options()
                .write(true)
                .open(&pack.path)
                .expect("open")
                .set_len(len)
                .expect("truncate"),
        }
        let damaged = Store::open(store.dir()).expect("open");
        let id = ObjectId::of(&objects[3]);
        let error = damaged.try_find(&id).expect_err("lost");
        assert!(matches!(error, OdbError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
        assert!(damaged.try_find(&ObjectId::of(&object("other", 1))).expect("found").is_some());
        let absent = damaged.try_find(&ObjectId::of(b"absent")).expect_err("nobody can know");
        assert!(absent.to_string().contains(&pack.id.to_string()), "{absent}");
        assert!(!findings(&damaged).is_empty(), "{truncate:?}: verify says nothing");
    }
}

#[test]
fn an_object_that_lies_in_two_packs_survives_the_damage_of_one() {
    let (_dir, store, objects) = small();
    let mut staging = store.staging_for_rewrite().expect("staging");
    for bytes in objects.iter().rev() {
        staging.write(Kind::Data, bytes).expect("write");
    }
    store.publish(Some(staging), OpRequest::default()).expect("publish");
    for n in [0, 2] {
        let path = store.packs()[n].path.clone();
        let whole = fs::read(&path).expect("read");
        flip(&path, 8 * 100);
        let damaged = Store::open(store.dir()).expect("open");
        for bytes in &objects {
            assert_eq!(
                &*damaged.try_find(&ObjectId::of(bytes)).expect("the other one").expect("found"),
                &bytes[..]
            );
        }
        fs::write(&path, whole).expect("restore");
    }
}

#[test]
fn every_flipped_bit_of_an_operation_file_is_found_by_the_chain() {
    let (_dir, store, _) = small();
    publish(&store, "third", 2);
    for number in [1_usize, 3] {
        let path = store.dir().join(format!("ops/{number:010}.json"));
        let bits = fs::metadata(&path).expect("there").len() * 8;
        for bit in (0..bits).step_by(if long() { 1 } else { 17 }) {
            flip(&path, bit);
            let log: Vec<_> = Store::open(store.dir()).expect("open").operations().collect();
            let last = log.last().expect("an item");
            let error = last.as_ref().expect_err("found");
            assert_eq!(log.len(), 4 - number, "bit {bit}");
            assert!(error.to_string().contains(&format!("{number:010}.json")), "bit {bit}: {error}");
            flip(&path, bit);
        }
    }
    assert!(store.operations().all(|item| item.is_ok()));
}

#[test]
fn random_flips_of_the_catalogue_give_an_error_or_the_same_answers() {
    quiet_hook();
    let (_dir, store, _) = small();
    let path = store.dir().join("store.redb");
    let whole = fs::read(&path).expect("read");
    let told = |store: &Store| (store.refs(), store.head(), store.packs(), store.last_operation());
    let (expected, mut refused) = (told(&store), 0);
    let rounds = if long() { 50_000 } else { 1500 };
    let mut random = Random(7);
    for round in 0..rounds {
        // A third of the flips hit the header, which is a small part of the file and the most delicate.
        let range = if round % 3 == 0 { 320 } else { whole.len() as u64 };
        let bit = random.below(range * 8);
        flip(&path, bit);
        match Store::open(store.dir()) {
            Ok(damaged) => assert_eq!(told(&damaged), expected, "bit {bit}"),
            Err(StoreError::Damaged { .. } | StoreError::NewerFormat { .. } | StoreError::Io { .. }) => {
                refused += 1;
            }
            Err(other) => panic!("bit {bit}: {other}"),
        }
        fs::write(&path, &whole).expect("restore");
    }
    assert!(refused > 0, "the test reached what matters");
}

#[test]
fn publishing_over_a_damaged_catalogue_never_panics_and_never_makes_wrong_refs() {
    quiet_hook();
    let (_dir, store, _) = small();
    let path = store.dir().join("store.redb");
    let mut random = Random(11);
    let (mut done, mut refused) = (0, 0);
    for _ in 0..if long() { 3000 } else { 60 } {
        let whole = fs::read(&path).expect("read");
        let bit = random.below(whole.len() as u64 * 8);
        let refs = store.refs();
        flip(&path, bit);
        let name = "tags/flip";
        match store.publish(None, moving(&store, name, ObjectId::of(&bit.to_le_bytes()))) {
            Ok(_) => {
                done += 1;
                // Either the catalogue is right or it says that it is not.
                if let Ok(after) = Store::open(store.dir()) {
                    let mut expected = refs;
                    expected.insert(name.to_owned(), ObjectId::of(&bit.to_le_bytes()));
                    assert_eq!(after.refs(), expected, "bit {bit}");
                    store.refresh().expect("readable");
                    continue;
                }
                let number = store.last_operation().map_or(0, |(number, _)| number) + 1;
                fs::remove_file(store.dir().join(format!("ops/{number:010}.json"))).ok();
            }
            Err(_) => refused += 1,
        }
        fs::write(&path, whole).expect("restore");
        // What the failed publish may have left is swept by the next.
        store.refresh().expect("whole again");
    }
    assert!(done > 0 && refused + done >= 60, "{done} done, {refused} refused");
}

#[test]
fn a_catalogue_that_is_no_database_is_an_error() {
    quiet_hook();
    let (_dir, store) = fresh();
    for bytes in [&b""[..], b"redb", &[0; 5000], &vec![0xff; 80_000]] {
        fs::write(store.dir().join("store.redb"), bytes).expect("write");
        let error = Store::open(store.dir()).expect_err("no database");
        assert!(
            matches!(error, StoreError::Damaged { .. }) && error.to_string().contains("store.redb"),
            "{error}"
        );
    }
}
