//! Trees that are damaged, forged or merely not canonical: an answer that is an error, never a panic, never a wrong row.

use std::collections::HashMap;
use std::fmt::Write as _;

use distill::object::Find;
use distill::object::FindExt;
use distill::object::Kind;
use distill::object::MemoryStore;
use distill::object::ObjectBytes;
use distill::object::ObjectId;
use distill::object::OdbError;
use distill::object::RootId;
use distill::object::Write;
use distill::tree;
use distill::tree::Entry;
use distill::tree::Proof;
use distill::tree::TreeError;

use super::Map;
use super::build;
use super::collect;
use super::key;
use super::value;
use super::walk;

/// A store that returns what it is told to under some ids, unhashed, and has lost others.
struct Lying<'a> {
    store: &'a MemoryStore,
    lies: HashMap<ObjectId, Option<Vec<u8>>>,
}

impl Find for Lying<'_> {
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        match self.lies.get(id) {
            Some(lie) => Ok(lie.clone().map(ObjectBytes::from)),
            None => self.store.try_find(id),
        }
    }
}

fn a_tree(rows: u32) -> (MemoryStore, RootId, Map) {
    let map: Map = (0..rows).map(|n| (key(n), value(n))).collect();
    let mut store = MemoryStore::default();
    let root = build(&mut store, &map).root;
    (store, root, map)
}

/// Every truncation and every flipped bit of `text`.
fn mutations(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let cut = (0..text.len()).map(|len| text[..len].to_vec());
    let flipped = (0..text.len() * 8).map(|bit| {
        let mut flipped = text.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    cut.chain(flipped)
}

#[test]
fn a_mutated_leaf_is_refused_or_is_the_leaf_of_other_rows() {
    let (store, root, _) = a_tree(12);
    let text = store.find(root.object()).expect("there");
    let (mut accepted, mut refused) = (0, 0);
    for mutation in mutations(&text) {
        let mut other = MemoryStore::default();
        let id = RootId::new(other.write(Kind::Node, &mutation).expect("memory"));
        match tree::iter(&other, id).collect::<Result<Vec<_>, _>>() {
            Ok(rows) => {
                let map: Map = rows.into_iter().map(|row| (row.key, (row.id, row.bytes))).collect();
                assert_eq!(
                    build(&mut MemoryStore::default(), &map).root,
                    id,
                    "accepted, but not as it is written"
                );
                accepted += 1;
            }
            Err(error) => {
                assert!(
                    matches!(&error, TreeError::BadNode { id: bad, .. } if bad == id.object()),
                    "{error}"
                );
                refused += 1;
            }
        }
    }
    assert!(accepted > 0 && refused > accepted, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_mutated_interior_node_is_always_found_by_a_walk() {
    let (store, root, map) = a_tree(130);
    assert_eq!(tree::height(&store, root).expect("good"), 2);
    let text = store.find(root.object()).expect("there");
    for mutation in mutations(&text) {
        let lies = [(*root.object(), Some(mutation))].into();
        let lying = Lying { store: &store, lies };
        let report = walk(&lying, root);
        assert!(!report.damage.is_empty());
        // Whatever is read is an error or a row of the tree.
        for row in tree::iter(&lying, root).flatten() {
            assert_eq!(map.get(&row.key), Some(&(row.id, row.bytes)));
        }
        for probe in [key(0), key(70), key(129)] {
            if let Ok(Some(row)) = tree::get(&lying, root, &probe) {
                assert_eq!(map.get(&row.key), Some(&(row.id, row.bytes)));
            }
        }
    }
}

#[test]
fn a_walk_names_what_is_lost_and_goes_on() {
    let (store, root, _) = a_tree(3000);
    let nodes = walk(&store, root).nodes;
    let leaves: Vec<_> = nodes.iter().filter(|node| node.1 == 0).map(|node| node.0).collect();
    let (lost, torn) = (leaves[3], leaves[leaves.len() - 2]);
    let lying = Lying { store: &store, lies: [(lost, None), (torn, Some(b"{}".to_vec()))].into() };
    let report = walk(&lying, root);
    assert_eq!(report.nodes.len(), nodes.len() - 2);
    assert_eq!(
        report.damage,
        [
            format!("object {lost} is not in the store"),
            format!("tree node {torn} is not well formed: its frame is not that of a tree node"),
        ]
    );
    let error = tree::iter(&lying, root).find_map(Result::err).expect("iteration stops there");
    assert!(matches!(error, TreeError::Odb(OdbError::NotFound { id }) if id == lost));
    let mut rows = tree::iter(&lying, root).skip_while(Result::is_ok).skip(1);
    assert!(rows.next().is_none(), "nothing comes after an error");
}

/// Writes a node by hand.
fn node(store: &mut MemoryStore, level: u8, entries: &[(String, ObjectId, u64, u64)]) -> ObjectId {
    let mut text = r#"{"entries":["#.to_owned();
    for (n, (key, id, rows, bytes)) in entries.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let rows = if level > 0 { format!("{rows},") } else { String::new() };
        write!(text, r#"{comma}["{key}","{id}",{rows}{bytes}]"#).expect("a string");
    }
    write!(text, r#"],"level":{level},"schema":"distill.tree_node.v1"}}"#).expect("a string");
    store.write(Kind::Node, text.as_bytes()).expect("memory")
}

fn rows(range: std::ops::Range<u32>) -> Vec<(String, ObjectId, u64, u64)> {
    range.map(|n| (format!("{n:08}"), value(n).0, 1, 10)).collect()
}

#[test]
fn parents_that_lie_about_their_children_are_refused() {
    let good = |at: usize, id: ObjectId| (format!("{:08}", at * 10 + 9), id, 10, 100);
    // What differs in the second entry of the root, and what is said of it.
    let cases = [
        ("key", "its last key is not", "it has not the last key, rows and bytes"),
        ("rows", "it has not the rows and bytes", "it has not the last key, rows and bytes"),
        ("bytes", "it has not the rows and bytes", "it has not the last key, rows and bytes"),
        ("level", "its level is 1, below a node of level 1", "its level is 1, too high"),
        (
            "order",
            "does not come after `00000009`",
            "its first key `00000009` does not come after `00000009`",
        ),
    ];
    for (what, expect, expect_of_walk) in cases {
        let mut store = MemoryStore::default();
        let first = node(&mut store, 0, &rows(0..10));
        let mut second = good(1, node(&mut store, 0, &rows(10..20)));
        match what {
            "key" => second.0.push('0'),
            "rows" => second.2 += 1,
            "bytes" => second.3 -= 1,
            "level" => second.1 = node(&mut store, 1, &[second.clone()]),
            _ => {
                let overlapping: Vec<_> = rows(9..20).into_iter().filter(|row| row.0 != "00000010").collect();
                second.1 = node(&mut store, 0, &overlapping);
            }
        }
        let root = RootId::new(node(&mut store, 1, &[good(0, first), second]));
        let probe = "00000019";
        let error = tree::get(&store, root, probe).expect_err(what).to_string();
        assert!(error.contains(expect), "{what}: {error}");
        assert!(tree::prove(&store, root, probe).is_err(), "{what}");
        assert!(tree::iter(&store, root).any(|row| row.is_err()), "{what}");
        let other = build(&mut store, &Map::new()).root;
        assert!(tree::diff(&store, root, other).any(|change| change.is_err()), "{what}");
        let damage = walk(&store, root).damage.join("\n");
        assert!(damage.contains(expect_of_walk), "{what}: {damage}");
    }
}

#[test]
fn a_tree_cut_elsewhere_is_read_but_does_not_pass_a_walk() {
    let mut store = MemoryStore::default();
    let leaf = |store: &mut MemoryStore, range: std::ops::Range<u32>| {
        let rows = rows(range);
        let count = rows.len() as u64;
        (rows[rows.len() - 1].0.clone(), node(store, 0, &rows), count, 10 * count)
    };
    let halves = [leaf(&mut store, 0..20), leaf(&mut store, 20..40)];
    let root = RootId::new(node(&mut store, 1, &halves));
    assert_eq!(collect(tree::iter(&store, root)).len(), 40);
    let damage = walk(&store, root).damage;
    assert!(damage.len() == 1 && damage[0].ends_with("it ends where no node should end"), "{damage:?}");

    let whole = RootId::new(leaf(&mut store, 0..230).1);
    let damage = walk(&store, whole).damage;
    assert!(!damage.is_empty() && damage[0].contains("it should have ended before"), "{damage:?}");

    let only_child = leaf(&mut store, 0..20);
    let tall = RootId::new(node(&mut store, 1, &[only_child]));
    for error in
        [tree::totals(&store, tall).expect_err("refused").to_string(), walk(&store, tall).damage.join("\n")]
    {
        assert!(error.ends_with("it is the root and has one child, which should be the root"), "{error}");
    }
}

#[test]
fn a_chain_of_nodes_that_do_not_descend_ends_at_once() {
    let mut store = MemoryStore::default();
    let mut link = ("k".to_owned(), node(&mut store, 3, &[("k".to_owned(), ObjectId::of(b""), 1, 0)]), 1, 0);
    for _ in 0..100_000 {
        link.1 = node(&mut store, 3, &[link.clone()]);
    }
    let report = walk(&store, RootId::new(link.1));
    assert!(report.nodes.len() <= 1 && report.damage.len() == 2, "{:?}", report.damage);
}

#[test]
fn forged_proofs_prove_nothing_but_the_truth() {
    let (store, root, map) = a_tree(3000);
    let (there, gone) = (key(1234), format!("{}.1", key(1234)));
    let truth = |probe: &str| map.get(probe).map(|&(id, bytes)| Entry { key: probe.to_owned(), id, bytes });
    let proof = tree::prove(&store, root, &there).expect("good");
    assert_eq!(proof.nodes.len(), 3);
    for probe in [&there, &gone] {
        let proof = tree::prove(&store, root, probe).expect("good");
        assert_eq!(proof.verify(root, probe).expect("holds"), truth(probe));
        for at in 0..proof.nodes.len() {
            let refused = |nodes: Vec<String>| {
                let forged = Proof { nodes, ..proof.clone() };
                assert!(forged.verify(root, probe).is_err());
            };
            refused([&proof.nodes[..at], &proof.nodes[at + 1..]].concat());
            refused([&proof.nodes[..=at], &proof.nodes[at..]].concat());
            for byte in (0..proof.nodes[at].len()).step_by(7) {
                let mut nodes = proof.nodes.clone();
                let other = if &nodes[at][byte..=byte] == "7" { "8" } else { "7" };
                nodes[at].replace_range(byte..=byte, other);
                refused(nodes);
            }
        }
        let other_schema = Proof { schema: "distill.tree_proof.v2".to_owned(), ..proof.clone() };
        assert!(other_schema.verify(root, probe).is_err());
        assert!(proof.verify(RootId::new(ObjectId::of(b"another")), probe).is_err());
    }
    // The path of one key may happen to be that of another; then it proves the truth about that too.
    for probe in map.keys().step_by(17) {
        if let Ok(found) = proof.verify(root, probe) {
            assert_eq!(found, truth(probe));
        }
    }
    let beyond = tree::prove(&store, root, "9999").expect("good");
    assert_eq!(beyond.nodes.len(), 1, "the root alone shows that nothing comes after its last key");
    assert_eq!(beyond.verify(root, "9999").expect("holds"), None);
}
