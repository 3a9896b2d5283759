//! Collections beside readers and publishers: what is kept is there at every moment, what is not is gone in the end.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::time::Duration;

use distill::object::Exists as _;
use distill::object::Find as _;
use distill::object::FindExt as _;
use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::Write as _;
use distill::store::Keep;
use distill::store::Labels;
use distill::store::OpRequest;
use distill::store::PackReport;
use distill::store::Store;
use distill::store::StoreError;

use crate::store::fresh;
use crate::store::object;
use crate::store::publish;
use crate::store::unfinished;
use crate::store_processes::BATCH;
use crate::store_processes::acknowledge;
use crate::store_processes::acknowledged;
use crate::store_processes::spawn;

const KINDS: [Kind; 2] = [Kind::Data, Kind::Node];

/// Publishes objects of both series in one pack, so that one of them can be taken out.
fn publish_mixed(store: &Store, kept: &str, garbage: &str, count: usize) {
    let mut staging = store.staging().expect("staging");
    for n in 0..count {
        for (series, kind) in [(kept, KINDS[n % 2]), (garbage, KINDS[n / 2 % 2])] {
            staging.write(kind, &object(series, n)).expect("write");
        }
    }
    store.publish(Some(staging), request("test")).expect("publish");
}

fn request(operation: &str) -> OpRequest {
    let at = "2026-11-23T00:00:00.000Z".to_owned();
    OpRequest { operation: operation.to_owned(), at, ..OpRequest::default() }
}

/// Removes `count` objects of a series, and says how many there were.
fn collect(store: &Store, garbage: &str, count: usize) -> Result<u64, StoreError> {
    let alone = store.hold_alone("a test", Duration::from_mins(1), &mut |_| {})?;
    let mut labels = Labels::new(&store.dir().join("tmp"));
    for n in 0..count {
        labels.add(&ObjectId::of(&object(garbage, n)), 7)?;
    }
    let mut packs: Vec<(Keep, u64)> = Vec::new();
    let roll = store.roll_call(
        labels,
        |_| true,
        |row| {
            packs.resize_with(packs.len().max(row.pack + 1), || (Keep::nothing(), 0));
            let (keep, removed) = &mut packs[row.pack];
            match row.label {
                Some(7) => *removed += 1,
                other => {
                    assert_eq!(other, None);
                    keep.keep(row.position);
                }
            }
            Ok::<(), StoreError>(())
        },
    )?;
    let removed = packs.iter().map(|(_, removed)| removed).sum();
    let changed: Vec<_> = (roll.packs.iter().zip(packs))
        .filter(|(_, (_, removed))| *removed > 0)
        .map(|(info, (keep, _))| (info.id, keep))
        .collect();
    if !changed.is_empty() {
        store.collect(&alone, &changed, request("gc"), &mut |_| {})?;
    }
    Ok(removed)
}

fn is_sound(store: &Store) {
    store
        .verify_packs(&mut |report| {
            assert!(matches!(report, PackReport::Checked { findings: 0, .. }), "{report:?}");
        })
        .expect("lists");
}

#[test]
fn what_is_taken_out_is_gone_and_all_else_is_read_as_before() {
    let (_dir, store) = fresh();
    publish(&store, "alone", 300);
    publish_mixed(&store, "kept", "garbage", 3000);
    let other = Store::open(store.dir()).expect("opens");
    other.find(&ObjectId::of(&object("kept", 5))).expect("it has opened the pack");
    assert_eq!(collect(&store, "garbage", 3000).expect("collects"), 3000);
    for store in [&store, &other, &Store::open(store.dir()).expect("opens")] {
        for n in 0..3000 {
            assert_eq!(
                &*store.find(&ObjectId::of(&object("kept", n))).expect("kept"),
                &object("kept", n)[..]
            );
        }
        store.find(&ObjectId::of(&object("alone", 299))).expect("in a pack that was left alone");
    }
    other.refresh().expect("refresh");
    for store in [&store, &other] {
        for n in 0..3000 {
            assert!(store.try_find(&ObjectId::of(&object("garbage", n))).expect("answers").is_none());
        }
    }
    is_sound(&store);
    assert_eq!(fs::read_dir(store.dir().join("packs")).expect("packs").count(), 2);
    assert_eq!(collect(&store, "garbage", 3000).expect("collects"), 0);
}

#[test]
fn a_census_tells_each_object_once_and_its_copies_and_what_is_missing() {
    let (_dir, store) = fresh();
    publish(&store, "a", 500);
    let mut staging = store.staging_for_rewrite().expect("staging");
    staging.write(Kind::Data, &object("a", 3)).expect("write");
    store.publish(Some(staging), request("copy")).expect("publish");
    let mut labels = Labels::new(store.dir());
    for (n, label) in [(3, 9), (3, 4), (4, 5)] {
        labels.add(&ObjectId::of(&object("a", n)), label).expect("added");
    }
    labels.add(&ObjectId::of(b"absent"), 6).expect("added");
    labels.add(&ObjectId::of(b"absent, and nobody asks"), 8).expect("added");
    let mut rows = Vec::new();
    let roll = store.roll_call(
        labels,
        |label| label != 8,
        |row| {
            rows.push(*row);
            Ok::<(), StoreError>(())
        },
    );
    let roll = roll.expect("counts");
    assert_eq!(roll.missing, [(ObjectId::of(b"absent"), 6)]);
    assert!(rows.is_sorted_by_key(|row| row.id));
    assert_eq!((rows.len(), rows.iter().filter(|row| !row.is_copy).count()), (501, 500));
    let of = |n: usize| rows.iter().filter(move |row| row.id == ObjectId::of(&object("a", n)));
    let copies: Vec<_> = of(3).map(|row| (row.pack, row.label, row.is_copy)).collect();
    assert_eq!(copies, [(1, Some(4), false), (0, Some(4), true)], "the latest pack is asked first");
    assert_eq!(of(4).map(|row| row.label).collect::<Vec<_>>(), [Some(5)]);
    assert!(of(3).all(|row| row.bytes == object("a", 3).len() as u64));
    let packed: u64 = rows.iter().filter(|row| row.pack == 0).map(|row| row.packed_milli).sum::<u64>() / 1000;
    let bytes: u64 = rows.iter().filter(|row| row.pack == 0).map(|row| row.bytes).sum();
    assert!(packed > 0 && packed < bytes && packed < roll.packs[0].bytes, "{packed} of {bytes}");
}

#[test]
fn collections_beside_readers_and_publishers_lose_nothing() {
    let (_dir, store) = fresh();
    let rounds = if crate::store_damage::long() { 60 } else { 6 };
    let mut readers: Vec<_> = (0..2).map(|_| spawn("read", store.dir(), "reader", rounds * 30)).collect();
    let mut writer = spawn("publish", store.dir(), "w", rounds * 2);
    for round in 0..rounds {
        let (kept, garbage) = (format!("kept-{round}"), format!("garbage-{round}"));
        publish_mixed(&store, &kept, &garbage, 200);
        assert_eq!(collect(&store, &garbage, 200).expect("collects"), 200, "round {round}");
    }
    let published = acknowledged(&mut writer);
    assert!(writer.wait().expect("wait").success());
    assert_eq!(published.len() as u64, rounds * 2);
    for reader in &mut readers {
        acknowledged(reader);
        assert!(reader.wait().expect("wait").success());
    }
    store.refresh().expect("refresh");
    for round in 0..rounds {
        for n in 0..200 {
            store.find(&ObjectId::of(&object(&format!("kept-{round}"), n))).expect("kept");
            assert!(!store.exists(&ObjectId::of(&object(&format!("garbage-{round}"), n))).expect("answers"));
        }
    }
    for round in published {
        for n in 0..BATCH {
            store.find(&ObjectId::of(&object(&format!("w-{round}"), n))).expect("published");
        }
    }
    is_sound(&store);
    assert!(store.operations().all(|item| item.is_ok()));
    assert_eq!(unfinished(&store), Vec::<std::path::PathBuf>::new());
}

/// Without end: publishes a pack of two series and takes one of them out again. What a worker does.
pub fn collect_rounds(store: &Store, name: &str) {
    for round in 0.. {
        let (kept, garbage) = (format!("kept-{name}-{round}"), format!("garbage-{name}-{round}"));
        publish_mixed(store, &kept, &garbage, 200);
        acknowledge(round * 2);
        collect(store, &garbage, 200).expect("collects");
        acknowledge(round * 2 + 1);
    }
}

#[test]
fn a_collector_killed_at_any_moment_loses_nothing_and_the_next_one_finishes() {
    let (_dir, store) = fresh();
    let mut random = crate::store_damage::Random(11);
    for life in 0..if crate::store_damage::long() { 150 } else { 8 } {
        let name = life.to_string();
        let mut child = spawn("collect", store.dir(), &name, 0);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let is_ack = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|l| l.starts_with("ack "));
        let mut steps = u64::from(lines.by_ref().any(|line| is_ack(&line)));
        // Strike anywhere within the collection that follows, or a little later.
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        child.kill().expect("kill");
        child.wait().expect("wait");
        steps += lines.filter(is_ack).count() as u64;
        let seen = Store::open(store.dir()).expect("opens");
        assert!(seen.operations().all(|item| item.is_ok()));
        is_sound_but_for_strangers(&seen);
        for step in 0..steps {
            let (round, is_collected) = (step / 2, step % 2 == 1);
            for n in 0..200 {
                let kept = ObjectId::of(&object(&format!("kept-{name}-{round}"), n));
                assert!(seen.try_find(&kept).expect("answers").is_some(), "life {life}, step {step}");
                let garbage = ObjectId::of(&object(&format!("garbage-{name}-{round}"), n));
                assert!(
                    !is_collected || !seen.exists(&garbage).expect("answers"),
                    "life {life}, step {step}"
                );
            }
        }
        // The next one takes what the dead one did not, and cleans up behind it.
        let last = (steps - 1) / 2;
        store.refresh().expect("refresh");
        collect(&store, &format!("garbage-{name}-{last}"), 200).expect("collects");
        collect(&store, &format!("garbage-{name}-{}", last + 1), 200).expect("collects");
        publish(&store, &format!("after-{name}"), 3);
        assert_eq!(unfinished(&store), Vec::<std::path::PathBuf>::new(), "life {life}");
    }
    store.sweep_uncatalogued().expect("sweeps");
    is_sound(&store);
}

fn is_sound_but_for_strangers(store: &Store) {
    store
        .verify_packs(&mut |report| {
            let fine =
                matches!(report, PackReport::Checked { findings: 0, .. } | PackReport::Uncatalogued { .. });
            assert!(fine, "{report:?}");
        })
        .expect("lists");
}

#[test]
fn damage_of_what_is_kept_stops_it_and_damage_of_what_goes_does_not() {
    let (_dir, store) = fresh();
    publish_mixed(&store, "kept", "garbage", 400);
    let pack = store.packs()[0].clone();
    let sound = fs::read(&pack.path).expect("read");
    let mut bytes = sound.clone();
    bytes[100] ^= 1;
    fs::write(&pack.path, &bytes).expect("write");
    let store = Store::open(store.dir()).expect("opens");
    let refused = collect(&store, "garbage", 400).expect_err("damaged");
    assert!(matches!(&refused, StoreError::Corrupt { place, .. } if *place == pack.path), "{refused}");
    assert_eq!(store.packs(), std::slice::from_ref(&pack), "nothing changed");
    assert_eq!(fs::read(&pack.path).expect("read"), bytes);
    assert_eq!(unfinished(&store), Vec::<std::path::PathBuf>::new());
    // Everything goes: what is damaged need not be read.
    let alone = store.hold_alone("a test", Duration::ZERO, &mut |_| {}).expect("free");
    store.collect(&alone, &[(pack.id, Keep::nothing())], request("gc"), &mut |_| {}).expect("collects");
    assert_eq!((store.packs(), pack.path.exists()), (Vec::new(), false));
}

#[test]
fn whoever_stages_keeps_a_collection_away_and_is_waited_for() {
    let (_dir, store) = fresh();
    publish(&store, "a", 10);
    let mut staging = store.staging().expect("staging");
    staging.write(Kind::Data, &object("a", 3)).expect("relies on the pack");
    let refused = store.hold_alone("gc", Duration::from_millis(10), &mut |_| {}).expect_err("relied on");
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
    store.hold(Duration::ZERO, &mut |_| {}).expect("others may rely on it, too");
    store.publish(Some(staging), request("test")).expect("publish");
    let alone = store.hold_alone("gc", Duration::ZERO, &mut |_| {}).expect("free");
    let mut who = String::new();
    let refused = store.hold(Duration::from_millis(10), &mut |owner| owner.clone_into(&mut who));
    assert!(matches!(refused, Err(StoreError::Busy { .. })));
    assert!(who.starts_with("gc (process "), "{who}");
    drop(alone);
    store.staging().expect("free again");
}
