//! What came from a remote is not believed: every flip is found, and nothing of it stays.

use std::fs;
use std::path::Path;

use super::{Place, one_more, packs_of, with_runs};
use crate::cli::Bench;
use crate::store_damage::{Random, long};

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 1 << (at % 8);
    fs::write(path, bytes).expect("writable");
}

#[test]
fn a_flipped_byte_anywhere_in_a_pack_stops_a_clone() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let [pack] = packs_of(place.path()).try_into().expect("one pack");
    let len = fs::metadata(&pack).expect("there").len();
    let mut random = Random(5);
    let mut places: Vec<u64> = (0..if long() { 200 } else { 12 }).map(|_| random.below(len)).collect();
    places.extend([0, 8, len - 1, len - 100, len - 150]);
    for at in places {
        let at = usize::try_from(at).expect("small");
        flip(&pack, at);
        let theirs = Bench::empty();
        let answer = place.fails(4, &theirs, &["clone", &place.text, "."]);
        answer.says("is damaged", "nothing was taken over");
        theirs.fails(2, &["log"]).says("no commit yet", "run-all");
        flip(&pack, at);
        // Mended there, the same clone goes on.
        place.ok(&theirs, &["clone", &place.text, "."]);
        theirs.ok(&["verify"]);
    }
}

#[test]
fn a_lost_pack_or_operation_is_told() {
    let place = Place::folder();
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    one_more(&ours, "r3");
    place.ok(&ours, &["push"]);
    let packs = packs_of(place.path());
    let away = place.path().join("away");
    for lost in [packs[0].clone(), packs[1].clone(), place.path().join("ops/0000000001.json")] {
        fs::rename(&lost, &away).expect("moved");
        let theirs = Bench::empty();
        place.fails(4, &theirs, &["clone", &place.text, "."]).says("missing", "push again");
        fs::rename(&away, &lost).expect("moved back");
    }
    let operation = place.path().join("ops/0000000001.json");
    flip(&operation, 20);
    place.fails(4, &Bench::empty(), &["clone", &place.text, "."]).says("damaged", "verify");
}

#[test]
fn a_pack_that_lacks_an_object_is_refused() {
    use distill::object::{Find as _, Kind, ObjectId};
    use distill::store::{Bundler, RefChange, Store};

    // A push that leaves out one object of the closure, to a repository that has nothing yet.
    let ours = Bench::with_runs();
    let store = Store::open(&ours.path().join(".distill")).expect("a store");
    let mut ids: Vec<ObjectId> = Vec::new();
    for pack in store.packs() {
        for object in store.iter_objects(&pack.id).expect("objects") {
            ids.push(object.expect("sound").0);
        }
    }
    ids.sort();
    ids.dedup();
    let head = store.get_ref("heads/main").expect("a commit");
    let change = RefChange { name: "heads/main".to_owned(), old: None, new: Some(head) };
    let send = |left_out: Option<ObjectId>| {
        let theirs = Bench::empty();
        theirs.ok(&["init"]);
        let work = tempfile::tempdir().expect("a folder");
        let mut bundler = Bundler::new(work.path(), 1 << 20);
        for id in ids.iter().filter(|id| Some(**id) != left_out) {
            let bytes = store.try_find(id).expect("readable").expect("there");
            let kind = if bytes.starts_with(b"{\"entries\"") { Kind::Node } else { Kind::Data };
            bundler.push(kind, *id, &bytes).expect("room");
        }
        let packs: Vec<_> = bundler.finish().expect("written").into_iter().map(|pack| pack.path).collect();
        let site = distill::repo::Site::at(theirs.path()).expect("a repository");
        let repo = site.open().expect("opened");
        let clock = distill::base::clock::Clock::Fixed(0);
        let received =
            distill::ops::receive::receive(&repo, &packs, std::slice::from_ref(&change), None, &clock);
        (theirs, received)
    };
    let (theirs, received) = send(None);
    assert!(received.expect("whole").operation.is_some());
    theirs.ok(&["verify"]);
    // What nothing of HEAD's history needs may be left out: here, everything is needed but what audits and refs name.
    let mut refused = 0;
    for id in ids.iter().step_by(if long() { 1 } else { 9 }) {
        let (theirs, received) = send(Some(*id));
        match received {
            Ok(_) => drop(theirs.ok(&["verify"])),
            Err(refusal) => {
                refused += 1;
                let error = refusal.error;
                assert_eq!(error.kind.as_str(), "damaged", "{error}");
                assert!(refusal.is_senders && error.message.contains(&id.to_string()), "{error}");
            }
        }
    }
    assert!(refused > 5, "{refused} of {} were missed", ids.len());
}
