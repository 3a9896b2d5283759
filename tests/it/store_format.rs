//! The formats, pinned: golden vectors, and a reader written from `docs/format.md` alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::Write as _;
use distill::store::Head;
use distill::store::HeadChange;
use distill::store::OpRequest;
use distill::store::Operation;
use distill::store::PackReader;
use distill::store::RefChange;
use serde_json::Value;
use serde_json::json;

use crate::store::fresh;
use crate::store::publish;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format").join(name)
}

/// Reads a golden file; writes it first if `DISTILL_BLESS` is set.
fn golden(name: &str, now: impl FnOnce() -> Value) -> Value {
    if std::env::var_os("DISTILL_BLESS").is_some() {
        fs::create_dir_all(fixture("")).expect("create");
        let text = serde_json::to_string_pretty(&now()).expect("JSON") + "\n";
        fs::write(fixture(name), text).expect("write");
    }
    serde_json::from_slice(&fs::read(fixture(name)).expect("the fixture")).expect("JSON")
}

/// Text, nodes, an empty object, bytes that are no text, and one that fills a block alone; each as a unit and how often
/// it is repeated.
fn units() -> Vec<(Kind, Vec<u8>, usize)> {
    let mut units: Vec<_> = (0..80)
        .map(|n| {
            let kind = if n % 8 == 0 { Kind::Node } else { Kind::Data };
            (kind, format!("{{\"n\":{n},\"text\":\"agent trace number {n}\"}}").into_bytes(), 1)
        })
        .collect();
    units.push((Kind::Data, Vec::new(), 1));
    units.push((Kind::Data, (0..=255).collect(), 1));
    units.push((Kind::Data, b"0123456789abcdef".to_vec(), 18_000));
    units
}

fn pack_now() -> (Vec<u8>, ObjectId) {
    let (_dir, store) = fresh();
    let mut staging = store.staging().expect("staging");
    for (kind, unit, times) in units() {
        staging.write(kind, &unit.repeat(times)).expect("write");
    }
    let published = store.publish(Some(staging), OpRequest::default()).expect("publish");
    (fs::read(&store.packs()[0].path).expect("read"), published.packs[0].id)
}

#[test]
fn the_golden_pack_is_read_and_written_byte_for_byte() {
    let golden = golden("pack-v1.json", || {
        let (bytes, id) = pack_now();
        let objects: Vec<_> = units()
            .into_iter()
            .map(|(kind, unit, times)| {
                let kind = if kind == Kind::Node { "node" } else { "data" };
                let id = ObjectId::of(&unit.repeat(times));
                json!({"id": id, "kind": kind, "hex": hex::encode(unit), "times": times})
            })
            .collect();
        json!({
            "about": "objects in the order in which they are written (hex, so many times), and the pack they make",
            "objects": objects,
            "pack_id": id,
            "pack_hex": hex::encode(bytes),
        })
    });
    let pack = hex::decode(golden["pack_hex"].as_str().expect("text")).expect("hex");
    assert_eq!(golden["pack_id"], json!(ObjectId::of(&pack)));

    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("golden.pack");
    fs::write(&path, &pack).expect("write");
    let reader = PackReader::open(&path).expect("opens");
    let by_hand = read_by_the_page(&pack);
    let listed = golden["objects"].as_array().expect("a list");
    assert_eq!((listed.len(), by_hand.len()), (reader.objects() as usize, reader.objects() as usize));
    for object in listed {
        let unit = hex::decode(object["hex"].as_str().expect("text")).expect("hex");
        let bytes = unit.repeat(usize::try_from(object["times"].as_u64().expect("a number")).expect("small"));
        let id = ObjectId::of(&bytes);
        assert_eq!(object["id"], json!(id));
        let entry = reader.lookup(&id).expect("reads").expect("there");
        assert_eq!(entry.len as usize, bytes.len());
        let block = reader.read_block(entry.block).expect("unpacks");
        assert_eq!(&block[entry.offset as usize..][..bytes.len()], &bytes[..]);
        assert_eq!(by_hand.get(id.as_bytes()), Some(&bytes));
    }
    assert_eq!(pack_now().0, pack, "writing gives the same bytes");
}

/// What an outsider would write after reading the page; shares no code with the store.
fn read_by_the_page(pack: &[u8]) -> BTreeMap<[u8; 32], Vec<u8>> {
    let u32_at = |at: usize| u32::from_le_bytes(pack[at..at + 4].try_into().expect("four bytes"));
    let u64_at = |at: usize| {
        let bytes = pack[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(bytes)).expect("a small pack")
    };
    assert_eq!(&pack[..8], b"DSTLPACK");
    assert_eq!((u32_at(8), u32_at(12)), (1, 0));
    let footer = pack.len() - 144;
    assert_eq!(&pack[pack.len() - 8..], b"DSTLTAIL");
    let check = blake3::hash(&[&pack[..16], &pack[footer..footer + 104]].concat());
    assert_eq!(check.as_bytes()[..], pack[footer + 104..footer + 136]);
    let [version, fan_bits, blocks, objects, tombstones, reserved] =
        [0, 4, 8, 12, 16, 20].map(|at| u32_at(footer + at));
    assert_eq!((version, tombstones, reserved), (1, 0, 0));
    let directory = u64_at(footer + 24);
    let table = directory + blocks as usize * 20;
    let fan_out = table + objects as usize * 44;
    assert_eq!(fan_out + (12 << fan_bits), footer);
    assert_eq!(blake3::hash(&pack[directory..footer]).as_bytes()[..], pack[footer + 40..footer + 72]);
    assert_eq!(blake3::hash(&pack[fan_out..footer]).as_bytes()[..], pack[footer + 72..footer + 104]);
    let mut found = BTreeMap::new();
    let mut row = 0;
    for bucket in 0..1_u32 << fan_bits {
        let at = fan_out + bucket as usize * 12;
        let end = u32_at(at) as usize;
        let rows = &pack[table + row * 44..table + end * 44];
        assert_eq!(blake3::hash(rows).as_bytes()[..8], pack[at + 4..at + 12]);
        while row < end {
            let at = table + row * 44;
            let id: [u8; 32] = pack[at..at + 32].try_into().expect("32 bytes");
            let first_bits =
                u64::from(u32::from_be_bytes(id[..4].try_into().expect("four bytes"))) >> (32 - fan_bits);
            assert_eq!(first_bits, u64::from(bucket));
            let [block, offset, len] = [32, 36, 40].map(|field| u32_at(at + field) as usize);
            let place = directory + block * 20;
            let frame = &pack[u64_at(place)..][..u32_at(place + 8) as usize];
            let unpacked = zstd::decode_all(frame).expect("a zstd frame");
            assert_eq!(unpacked.len(), u32_at(place + 12) as usize);
            assert!(u32_at(place + 16) <= 1);
            let bytes = unpacked[offset..offset + len].to_vec();
            assert_eq!(blake3::hash(&bytes).as_bytes(), &id);
            assert!(found.insert(id, bytes).is_none());
            row += 1;
        }
    }
    let total: usize = found.values().map(Vec::len).sum();
    assert_eq!((row, total), (objects as usize, u64_at(footer + 32)));
    found
}

#[test]
fn the_golden_operation_file_is_written_byte_for_byte_and_is_canonical() {
    let request = |store: &distill::store::Store| {
        let id = |n: u8| ObjectId::from_bytes([n; 32]);
        OpRequest {
            operation: "run-all".to_owned(),
            message: Some("quotes \" \\ / ü \u{1f600} and \u{1}\n".to_owned()),
            at: "2026-11-23T20:43:00.000Z".to_owned(),
            ref_changes: vec![
                RefChange { name: "heads/main".into(), old: store.get_ref("heads/main"), new: Some(id(2)) },
                RefChange { name: "tags/v1".into(), old: None, new: Some(id(3)) },
            ],
            head: Some(HeadChange { old: store.head(), new: Head::Detached(id(4)) }),
            drop_packs: Vec::new(),
        }
    };
    let files = || {
        let (_dir, store) = fresh();
        publish(&store, "golden", 3);
        store.publish(None, request(&store)).expect("publish");
        [1, 2].map(|n| fs::read_to_string(store.dir().join(format!("ops/{n:010}.json"))).expect("text"))
    };
    let golden = golden("operations-v1.json", || {
        let entry = |text: String| json!({"id": ObjectId::of(text.as_bytes()), "text": text});
        json!({"about": "two operation files, byte for byte, and their ids", "files": files().map(entry)})
    });
    for (entry, now) in golden["files"].as_array().expect("a list").iter().zip(files()) {
        let text = entry["text"].as_str().expect("text");
        assert_eq!(now, text);
        assert_eq!(entry["id"], json!(ObjectId::of(text.as_bytes())));
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(serde_json_canonicalizer::to_string(&value).expect("JSON"), text, "RFC 8785");
        let parsed = Operation::parse(text.as_bytes(), Path::new("f")).expect("parses");
        assert_eq!(parsed.to_bytes().expect("JSON"), text.as_bytes());
        for other in [
            format!("{text} "),
            text.replacen("\"at\"", "\"extra\":1,\"at\"", 1),
            text.replace("v1\"}", "v2\"}"),
        ] {
            assert!(Operation::parse(other.as_bytes(), Path::new("f")).is_err(), "{other}");
        }
    }
}

#[test]
fn the_directory_holds_what_the_page_says() {
    let (_dir, store) = fresh();
    publish(&store, "a", 3);
    let mut names: Vec<_> = fs::read_dir(store.dir())
        .expect("list")
        .map(|entry| entry.expect("listable").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["index", "ops", "packs", "store.redb", "tmp"]);
    let pack = &store.packs()[0];
    assert_eq!(pack.path, store.dir().join(format!("packs/{}.pack", pack.id)));
    assert_eq!(ObjectId::of(&fs::read(&pack.path).expect("read")), pack.id);
    assert!(store.dir().join("ops/0000000001.json").exists());
}
