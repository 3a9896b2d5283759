//! What a transfer sends, against the plain difference of everything that trees hold; and what a receiver accepts.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use distill::object::Find as _;
use distill::object::FindExt as _;
use distill::object::Kind;
use distill::object::MemoryStore;
use distill::object::ObjectId;
use distill::object::RootId;
use distill::object::Write as _;
use distill::tree;
use distill::tree::Completion;
use distill::tree::Entry;
use distill::tree::Novel;
use distill::tree::Totals;
use distill::tree::TreeError;
use proptest::prelude::*;

use super::Map;
use super::build;
use super::change;
use super::key;
use super::value;
use super::walk;

/// Nodes and rows that were told of, and what was shared.
#[derive(Default)]
struct Told {
    nodes: Vec<ObjectId>,
    rows: Vec<ObjectId>,
    shared: Totals,
}

fn novel(store: &MemoryStore, bases: &[RootId], root: RootId) -> Told {
    let mut told = Told::default();
    tree::novel(store, bases, root, &mut |novel: Novel<'_>| -> Result<(), TreeError> {
        match novel {
            Novel::Node(id, bytes) => {
                assert_eq!(ObjectId::of(bytes), *id);
                told.nodes.push(*id);
            }
            Novel::Rows(rows) => told.rows.extend(rows.iter().map(|(id, _)| *id)),
            Novel::Shared(totals) => {
                told.shared.rows += totals.rows;
                told.shared.bytes += totals.bytes;
            }
        }
        Ok(())
    })
    .expect("good trees");
    told
}

fn held(store: &MemoryStore, roots: &[RootId]) -> (BTreeSet<ObjectId>, BTreeSet<ObjectId>) {
    let (mut nodes, mut rows) = (BTreeSet::new(), BTreeSet::new());
    for root in roots {
        let report = walk(store, *root);
        nodes.extend(report.nodes.into_iter().map(|(id, _)| id));
        rows.extend(report.rows.into_iter().map(|row| row.id));
    }
    (nodes, rows)
}

fn check(store: &MemoryStore, bases: &[RootId], root: RootId) {
    let told = novel(store, bases, root);
    let (base_nodes, base_rows) = held(store, bases);
    let (nodes, rows) = held(store, &[root]);
    let told_nodes: BTreeSet<ObjectId> = told.nodes.iter().copied().collect();
    let told_rows: BTreeSet<ObjectId> = told.rows.iter().copied().collect();
    assert!(nodes.difference(&base_nodes).all(|id| told_nodes.contains(id)), "every new node is told of");
    assert!(rows.difference(&base_rows).all(|id| told_rows.contains(id)), "every new row is told of");
    assert!(told_nodes.is_subset(&nodes) && told_rows.is_subset(&rows));
    let totals = tree::totals(store, root).expect("good");
    assert_eq!(told.shared.rows + told.rows.len() as u64, totals.rows, "each row is told of or shared");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn nothing_new_is_left_out(
        rows in prop::collection::btree_set(0_u32..3000, 0..1500),
        edits in prop::collection::btree_map(0_u32..3000, prop::option::of(0_u32..9), 0..60),
        others in prop::collection::btree_map(0_u32..3000, prop::option::of(0_u32..9), 0..60),
    ) {
        let map: Map = rows.iter().map(|n| (key(*n), value(*n))).collect();
        let mut store = MemoryStore::default();
        let base = build(&mut store, &map);
        let named = |edits: &BTreeMap<u32, Option<u32>>| -> BTreeMap<String, Option<tree::Value>> {
            edits.iter().map(|(n, to)| (key(*n), to.map(|to| value(to * 7919 + n)))).collect()
        };
        let after = change(&mut store, base.root, &named(&edits));
        let other = change(&mut store, base.root, &named(&others));
        check(&store, &[], after.root);
        check(&store, &[base.root], after.root);
        check(&store, &[after.root], base.root);
        check(&store, &[base.root, other.root], after.root);
        let empty = build(&mut store, &Map::new());
        check(&store, &[empty.root], after.root);
        check(&store, &[after.root], empty.root);
        let same = novel(&store, &[other.root, after.root], after.root);
        prop_assert!(same.nodes.is_empty() && same.rows.is_empty());
    }
}

#[test]
fn the_cost_is_that_of_the_change() {
    let map: Map = (0..30_000_u32).map(|n| (format!("2026/01/01/s/{n:08}"), value(n))).collect();
    let mut store = MemoryStore::default();
    let base = build(&mut store, &map);
    let edits: BTreeMap<String, Option<tree::Value>> =
        (20_000..20_030_u32).map(|n| (format!("2026/01/01/s/{n:08}"), Some(value(n + 50_000)))).collect();
    let after = change(&mut store, base.root, &edits);
    store.take_find_count();
    let told = novel(&store, &[base.root], after.root);
    let read = store.take_find_count();
    assert_eq!(told.rows.len(), 30, "rows beside the edited ones are not told of");
    assert!(told.nodes.len() <= 6, "{} nodes", told.nodes.len());
    assert!(read <= 14, "{read} nodes were read");
}

/// A receiver to whom nothing is known but some nodes.
#[derive(Default)]
struct Taker {
    known: BTreeSet<ObjectId>,
    nodes: Vec<ObjectId>,
    rows: u64,
    asked: BTreeSet<ObjectId>,
}

impl Completion for Taker {
    type Error = TreeError;
    fn is_known(&mut self, id: &ObjectId) -> Result<bool, TreeError> {
        Ok(self.known.contains(id))
    }
    fn soon(&mut self, ids: &mut dyn Iterator<Item = ObjectId>) -> Result<(), TreeError> {
        self.asked.extend(ids);
        Ok(())
    }
    fn node(&mut self, id: &ObjectId, _: &[u8]) -> Result<(), TreeError> {
        assert!(self.asked.contains(id), "nobody asked for it");
        self.nodes.push(*id);
        Ok(())
    }
    fn row(&mut self, row: &Entry) -> Result<(), TreeError> {
        assert!(self.asked.contains(&row.id));
        self.rows += 1;
        Ok(())
    }
}

#[test]
fn a_receiver_goes_through_what_it_does_not_know() {
    let map: Map = (0..3000).map(|n| (key(n), value(n))).collect();
    let mut store = MemoryStore::default();
    let base = build(&mut store, &map);
    let edits = BTreeMap::from([(key(17), Some(value(99_999)))]);
    let after = change(&mut store, base.root, &edits);

    let mut all = Taker::default();
    tree::complete(&store, after.root, &mut all).expect("whole");
    assert_eq!(all.rows, 3000);
    let (nodes, _) = held(&store, &[base.root]);
    let mut some = Taker { known: nodes, ..Taker::default() };
    tree::complete(&store, after.root, &mut some).expect("whole");
    assert_eq!(some.nodes.len(), tree::height(&store, after.root).expect("good") as usize, "one path");
    let mut none = Taker { known: BTreeSet::from([*after.root.object()]), ..Taker::default() };
    tree::complete(&store, after.root, &mut none).expect("known");
    assert_eq!(none.nodes.len(), 0);

    // Without any one of its nodes the tree is not whole.
    let (nodes, _) = held(&store, &[after.root]);
    for lost in &nodes {
        let mut part = MemoryStore::default();
        for id in nodes.iter().filter(|id| *id != lost) {
            part.write(Kind::Node, &store.find(id).expect("there")).expect("memory");
        }
        assert!(part.try_find(lost).expect("memory").is_none());
        let error = tree::complete(&part, after.root, &mut Taker::default()).expect_err("not whole");
        assert!(error.to_string().contains(&lost.to_string()), "{error}");
    }
}

#[test]
fn a_tree_that_is_cut_elsewhere_is_refused() {
    // Two entries, each in a leaf of its own, where the rule makes one leaf of them.
    let mut store = MemoryStore::default();
    let leaf = |key: &str, n: u32| {
        let (id, bytes) = value(n);
        format!(r#"{{"entries":[["{key}","{id}",{bytes}]],"level":0,"schema":"distill.tree_node.v1"}}"#)
    };
    let (a, b) = (leaf("a", 1), leaf("b", 2));
    let (a_id, b_id) = (ObjectId::of(a.as_bytes()), ObjectId::of(b.as_bytes()));
    let top = format!(
        r#"{{"entries":[["a","{a_id}",1,{}],["b","{b_id}",1,{}]],"level":1,"schema":"distill.tree_node.v1"}}"#,
        value(1).1,
        value(2).1
    );
    for text in [&a, &b, &top] {
        store.write(Kind::Node, text.as_bytes()).expect("memory");
    }
    let root = RootId::new(ObjectId::of(top.as_bytes()));
    let error = tree::complete(&store, root, &mut Taker::default()).expect_err("cut elsewhere");
    assert!(error.to_string().contains("ends where no node should end"), "{error}");
}
