//! The format, pinned: `fixtures/format/tree-v1.json` was written by the Python program in `docs/format.md`, not by
//! this crate. A failure here means that existing stores cannot be read or that roots have changed.

use std::collections::BTreeSet;

use distill::object::Find;
use distill::object::FindExt;
use distill::object::Kind;
use distill::object::MemoryStore;
use distill::object::ObjectId;
use distill::object::RootId;
use distill::object::Write;
use distill::tree;
use serde::Deserialize;

use super::Map;
use super::build;
use super::walk;

#[derive(Deserialize)]
struct Vectors {
    trees: Vec<Tree>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Tree {
    name: String,
    count: u64,
    prefix: String,
    pad: usize,
    root: RootId,
    height: u32,
    nodes: usize,
    rows: u64,
    bytes: u64,
    /// The text of the root node.
    text: String,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    text: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../fixtures/format/tree-v1.json"))
        .expect("as the program writes it")
}

/// The recipe: key = prefix, number padded to 8 digits, `x`s; id = BLAKE3(key); bytes = n² mod 100,003.
fn rows(tree: &Tree) -> Map {
    let row = |n: u64| {
        let key = format!("{}{n:08}{}", tree.prefix, "x".repeat(tree.pad));
        (key.clone(), (ObjectId::of(key.as_bytes()), n * n % 100_003))
    };
    (0..tree.count).map(row).collect()
}

#[test]
fn roots_and_nodes_are_those_of_the_reference_program() {
    let vectors = vectors();
    assert!(vectors.trees.iter().any(|tree| tree.height >= 4), "the vectors reach four levels");
    for tree in vectors.trees {
        let mut store = MemoryStore::default();
        let snapshot = build(&mut store, &rows(&tree));
        let text = store.find(snapshot.root.object()).expect("there");
        assert_eq!(String::from_utf8_lossy(&text), tree.text, "{}", tree.name);
        assert_eq!(snapshot.root, tree.root, "{}", tree.name);
        assert_eq!((snapshot.totals.rows, snapshot.totals.bytes), (tree.rows, tree.bytes), "{}", tree.name);
        assert_eq!(tree::height(&store, snapshot.root).expect("good"), tree.height, "{}", tree.name);
        assert_eq!(store.len(), tree.nodes, "{}", tree.name);
        assert!(walk(&store, snapshot.root).damage.is_empty(), "{}", tree.name);
    }
}

#[test]
fn what_a_reader_must_refuse_is_refused() {
    let mut seen = BTreeSet::new();
    for Refused { name, text } in vectors().refused {
        let mut store = MemoryStore::default();
        let root = RootId::new(store.write(Kind::Node, text.as_bytes()).expect("memory"));
        assert!(tree::totals(&store, root).is_err(), "{name}: {text}");
        assert!(seen.insert(text), "{name} is there twice");
    }
    assert!(seen.len() >= 30);
}

#[test]
fn nodes_are_canonical_json() {
    let map = rows(&vectors().trees.pop().expect("some"));
    let mut store = MemoryStore::default();
    build(&mut store, &map);
    for id in store.ids().step_by(7) {
        let text = store.try_find(id).expect("memory").expect("there");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let canonical = serde_json_canonicalizer::to_vec(&value).expect("has a canonical form");
        assert_eq!(*canonical, *text);
    }
}
