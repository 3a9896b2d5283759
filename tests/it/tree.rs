//! Prolly trees against a `BTreeMap` and against their own full builds; `cost`, `damage` and `format` do the rest.

mod cost;
mod damage;
mod format;
mod novel;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Bound;

use distill::object::Find;
use distill::object::FindExt;
use distill::object::MemoryStore;
use distill::object::ObjectId;
use distill::object::RootId;
use distill::object::Write;
use distill::tree;
use distill::tree::Builder;
use distill::tree::Change;
use distill::tree::Conflict;
use distill::tree::Edit;
use distill::tree::Entry;
use distill::tree::Proof;
use distill::tree::Shared;
use distill::tree::Snapshot;
use distill::tree::Totals;
use distill::tree::TreeError;
use distill::tree::Value;
use distill::tree::Visitor;
use distill::tree::Walker;
use proptest::prelude::*;

type Map = BTreeMap<String, Value>;

/// Keys long enough that a few hundred make three levels.
fn key(n: u32) -> String {
    format!("2026/{:02}/{:02}/runs/{n:08}/{}", n % 12 + 1, n % 28 + 1, "x".repeat(n as usize % 200))
}

fn value(n: u32) -> Value {
    (ObjectId::of(&n.to_le_bytes()), u64::from(n) * 7 % 100_000)
}

fn entries(map: &Map) -> impl Iterator<Item = Entry> {
    map.iter().map(|(key, &(id, bytes))| Entry { key: key.clone(), id, bytes })
}

fn build(sink: &mut dyn Write, map: &Map) -> Snapshot {
    let mut builder = Builder::new(sink);
    for entry in entries(map) {
        builder.push(&entry).expect("sorted, good keys");
    }
    builder.finish().expect("memory does not fail")
}

fn change(store: &mut MemoryStore, base: RootId, edits: &BTreeMap<String, Option<Value>>) -> Snapshot {
    let shared = Shared::new(store);
    let edits =
        edits.iter().map(|(key, change)| Ok::<_, TreeError>(Edit { key: key.clone(), change: *change }));
    tree::apply(&shared, &mut &shared, base, edits).expect("a good base and sorted edits")
}

fn apply_to_map(map: &mut Map, edits: &BTreeMap<String, Option<Value>>) {
    for (key, change) in edits {
        match change {
            Some(value) => map.insert(key.clone(), *value),
            None => map.remove(key),
        };
    }
}

fn collect(rows: tree::Rows) -> Vec<Entry> {
    rows.collect::<Result<_, _>>().expect("a good tree")
}

fn naive_diff(before: &Map, after: &Map) -> Vec<Change> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let sides = keys.into_iter().map(|key| (key, before.get(key).copied(), after.get(key).copied()));
    sides
        .filter(|(_, before, after)| before != after)
        .map(|(key, before, after)| Change { key: key.clone(), before, after })
        .collect()
}

fn collect_diff(diff: tree::Diff) -> Vec<Change> {
    diff.collect::<Result<_, _>>().expect("good trees")
}

/// Keeps all that a walk tells.
#[derive(Default)]
struct Report {
    nodes: Vec<(ObjectId, u8)>,
    rows: Vec<Entry>,
    damage: Vec<String>,
}

impl Visitor for Report {
    fn node(&mut self, id: &ObjectId, level: u8) -> bool {
        self.nodes.push((*id, level));
        true
    }
    fn row(&mut self, row: &Entry) {
        self.rows.push(row.clone());
    }
    fn damage(&mut self, _: &ObjectId, error: TreeError) {
        self.damage.push(error.to_string());
    }
}

fn walk(find: &dyn Find, root: RootId) -> Report {
    let mut report = Report::default();
    Walker::new(find).walk(root, &mut report);
    report
}

fn json(find: &dyn Find, id: &ObjectId) -> serde_json::Value {
    serde_json::from_slice(&find.find(id).expect("there")).expect("a node is JSON")
}

/// The level and the keys of every node, in the order of a walk.
fn boundaries(find: &dyn Find, root: RootId) -> Vec<(u8, Vec<String>)> {
    let keys_of = |id| {
        let node = json(find, &id);
        let entries = node["entries"].as_array().expect("an array");
        entries.iter().map(|entry| entry[0].as_str().expect("a key").to_owned()).collect()
    };
    walk(find, root).nodes.into_iter().map(|(id, level)| (level, keys_of(id))).collect()
}

fn a_map(rows_max: usize) -> impl Strategy<Value = Map> {
    prop::collection::vec((0..4000_u32, any::<u32>()), 0..rows_max)
        .prop_map(|rows| rows.into_iter().map(|(k, v)| (key(k), value(v))).collect())
}

/// Scattered edits, or a dense run of them, or the removal of a whole stretch.
fn a_batch() -> impl Strategy<Value = BTreeMap<String, Option<Value>>> {
    let scattered = prop::collection::vec((0..4400_u32, prop::option::of(any::<u32>())), 0..60);
    let dense = (0..4000_u32, 0..700_u32, prop::option::of(any::<u32>()))
        .prop_map(|(start, count, v)| (start..start + count).map(|k| (k, v)).collect());
    prop_oneof![scattered, dense]
        .prop_map(|rows: Vec<_>| rows.into_iter().map(|(k, v)| (key(k), v.map(value))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_tree_is_the_tree_that_a_full_build_gives(
        map in a_map(1500),
        batches in prop::collection::vec(a_batch(), 1..5),
    ) {
        let mut map = map;
        let mut store = MemoryStore::default();
        let mut snapshot = build(&mut store, &map);
        for batch in &batches {
            snapshot = change(&mut store, snapshot.root, batch);
            apply_to_map(&mut map, batch);
            prop_assert_eq!(snapshot, build(&mut MemoryStore::default(), &map));
        }
        prop_assert_eq!(collect(tree::iter(&store, snapshot.root)), entries(&map).collect::<Vec<_>>());
    }

    #[test]
    fn the_order_and_grouping_of_insertions_leave_no_trace(map in a_map(1200), groups in 1..40_usize) {
        let mut store = MemoryStore::default();
        let built = build(&mut store, &map);
        let mut snapshot = build(&mut store, &Map::new());
        for group in 0..groups {
            let batch = map.iter().enumerate()
                .filter(|(n, _)| n.wrapping_mul(2_654_435_761) % groups == group)
                .map(|(_, (key, value))| (key.clone(), Some(*value)));
            snapshot = change(&mut store, snapshot.root, &batch.collect());
        }
        prop_assert_eq!(snapshot, built);
        let all_gone = map.keys().map(|key| (key.clone(), None)).collect();
        prop_assert_eq!(change(&mut store, snapshot.root, &all_gone), build(&mut store, &Map::new()));
    }

    #[test]
    fn look_ups_agree_with_a_sorted_map(map in a_map(900), probes in prop::collection::vec(0..4400_u32, 1..30)) {
        let mut store = MemoryStore::default();
        let Snapshot { root, totals } = build(&mut store, &map);
        prop_assert_eq!(tree::totals(&store, root).expect("good"), totals);
        prop_assert_eq!(totals.rows, map.len() as u64);
        prop_assert_eq!(totals.bytes, map.values().map(|value| value.1).sum::<u64>());
        for probe in probes.iter().map(|&n| key(n)) {
            let expect = map.get(&probe).map(|&(id, bytes)| Entry { key: probe.clone(), id, bytes });
            prop_assert_eq!(tree::get(&store, root, &probe).expect("good"), expect);
            let before = map.range(..probe.clone());
            let expect = Totals { rows: before.clone().count() as u64, bytes: before.map(|(_, value)| value.1).sum() };
            let rank = tree::rank(&store, root, &probe).expect("good");
            prop_assert_eq!(rank, expect);
            let row = entries(&map).nth(usize::try_from(rank.rows).expect("small"));
            prop_assert_eq!(tree::nth(&store, root, rank.rows).expect("good"), row.clone());
            for offset in [rank.jsonl_bytes(), rank.jsonl_bytes() + row.as_ref().map_or(0, |row| row.bytes)] {
                let found = tree::row_at(&store, root, offset).expect("good");
                prop_assert_eq!(found, row.clone().map(|row| (rank, row)));
            }
            let rest = collect(tree::rows_from(&store, root, rank.rows));
            prop_assert_eq!(rest, entries(&map).skip(usize::try_from(rank.rows).expect("small")).collect::<Vec<_>>());
        }
        prop_assert_eq!(tree::nth(&store, root, totals.rows).expect("good"), None);
        let mut rows: Vec<u64> = probes.iter().map(|&n| u64::from(n) % totals.rows.max(1)).collect();
        let expect: Option<Vec<_>> = rows.iter().map(|&row| tree::nth(&store, root, row).expect("good")).collect();
        prop_assert_eq!(tree::nth_many(&store, root, &rows).expect("good"), expect);
        rows.push(totals.rows);
        prop_assert_eq!(tree::nth_many(&store, root, &rows).expect("good"), None);
        prop_assert_eq!(tree::nth_many(&store, root, &[]).expect("good"), Some(Vec::new()));
        prop_assert_eq!(tree::row_at(&store, root, totals.jsonl_bytes()).expect("good"), None);
    }

    #[test]
    fn ranges_agree_with_a_sorted_map(map in a_map(900), low in 0..4400_u32, high in 0..4400_u32, kinds in 0..9_usize) {
        let mut store = MemoryStore::default();
        let root = build(&mut store, &map).root;
        let (low, high) = (key(low.min(high)), key(low.max(high)));
        let (low, high) = if low <= high { (low, high) } else { (high, low) };
        let bound = |kind: usize, key: &'static str| match kind {
            0 => Bound::Included(key),
            1 => Bound::Excluded(key),
            _ => Bound::Unbounded,
        };
        // Both sides excluded at one key is a panic in `BTreeMap::range`.
        prop_assume!(!(low == high && kinds == 4));
        let (low, high): (&'static str, &'static str) = (low.leak(), high.leak());
        let bounds = (bound(kinds / 3, low), bound(kinds % 3, high));
        let expect: Vec<_> = map.range::<str, _>(bounds).map(|(key, _)| key.clone()).collect();
        let found: Vec<_> = collect(tree::range(&store, root, bounds)).into_iter().map(|row| row.key).collect();
        prop_assert_eq!(found, expect);
        for length in 0..low.len() {
            let expect = map.keys().filter(|key| key.starts_with(&low[..length])).count();
            prop_assert_eq!(tree::prefix(&store, root, &low[..length]).count(), expect);
        }
    }

    #[test]
    fn a_diff_is_what_was_done(map in a_map(1500), batch in a_batch()) {
        let mut store = MemoryStore::default();
        let before = build(&mut store, &map);
        let after = change(&mut store, before.root, &batch);
        let mut changed = map.clone();
        apply_to_map(&mut changed, &batch);
        let there = collect_diff(tree::diff(&store, before.root, after.root));
        prop_assert_eq!(&there, &naive_diff(&map, &changed));
        let back = collect_diff(tree::diff(&store, after.root, before.root));
        prop_assert_eq!(&back, &naive_diff(&changed, &map));
        let empty = build(&mut store, &Map::new());
        let all = collect_diff(tree::diff(&store, empty.root, after.root));
        prop_assert_eq!(&all, &naive_diff(&Map::new(), &changed));
    }

    #[test]
    fn a_merge_takes_what_does_not_conflict_and_names_what_does(
        map in a_map(900),
        ours in a_batch(),
        theirs in a_batch(),
    ) {
        let mut store = MemoryStore::default();
        let base = build(&mut store, &map);
        let our_root = change(&mut store, base.root, &ours).root;
        let their_root = change(&mut store, base.root, &theirs).root;
        let (mut our_map, mut their_map) = (map.clone(), map.clone());
        apply_to_map(&mut our_map, &ours);
        apply_to_map(&mut their_map, &theirs);
        let (mut expect, mut conflicts) = (our_map.clone(), Vec::new());
        for Change { key, before, after } in naive_diff(&map, &their_map) {
            let mine = our_map.get(&key).copied();
            if mine == before {
                match after {
                    Some(value) => expect.insert(key, value),
                    None => expect.remove(&key),
                };
            } else if mine != after {
                conflicts.push(Conflict { key, base: before, ours: mine, theirs: after });
            }
        }
        let shared = Shared::new(&mut store);
        let merged = tree::merge(&shared, &mut &shared, &[base.root], our_root, their_root).expect("good trees");
        prop_assert_eq!(&merged.conflicts, &conflicts);
        prop_assert_eq!(merged.snapshot, build(&mut MemoryStore::default(), &expect));
        if conflicts.is_empty() {
            let mirrored = tree::merge(&shared, &mut &shared, &[base.root], their_root, our_root).expect("good trees");
            prop_assert_eq!(mirrored, merged);
        }
    }

    #[test]
    fn a_proof_says_what_a_look_up_says(map in a_map(900), probes in prop::collection::vec(0..4400_u32, 1..12)) {
        let mut store = MemoryStore::default();
        let root = build(&mut store, &map).root;
        for probe in probes.into_iter().map(key) {
            let proof = tree::prove(&store, root, &probe).expect("good");
            let truth = tree::get(&store, root, &probe).expect("good");
            prop_assert_eq!(proof.verify(root, &probe).expect("a proof"), truth);
            let json = serde_json::to_string(&proof).expect("plain strings");
            prop_assert_eq!(&serde_json::from_str::<Proof>(&json).expect("as written"), &proof);
        }
    }

    #[test]
    fn values_never_move_a_boundary(map in a_map(1500), salt in any::<u32>()) {
        let mut store = MemoryStore::default();
        let first = build(&mut store, &map);
        let other: Map =
            map.keys().map(|key| (key.clone(), value(salt ^ u32::try_from(key.len()).expect("short")))).collect();
        let second = build(&mut store, &other);
        prop_assert_eq!(boundaries(&store, first.root), boundaries(&store, second.root));
    }

    #[test]
    fn a_walk_of_a_built_tree_finds_every_row_and_no_fault(map in a_map(1500), batch in a_batch()) {
        let mut store = MemoryStore::default();
        let before = build(&mut store, &map);
        let after = change(&mut store, before.root, &batch);
        store.take_find_count();
        let mut walker = Walker::new(&store);
        let mut report = Report::default();
        walker.walk(before.root, &mut report);
        prop_assert_eq!(&report.rows, &entries(&map).collect::<Vec<_>>());
        walker.walk(after.root, &mut report);
        prop_assert!(report.damage.is_empty(), "{:?}", report.damage);
        prop_assert_eq!(report.nodes.len(), store.len(), "no node is there that no tree names");
        prop_assert_eq!(walker.nodes_seen(), store.len());
        prop_assert_eq!(store.take_find_count(), store.len() as u64, "what is shared is read once");
    }
}

#[test]
fn edits_that_change_nothing_write_nothing() {
    let map: Map = (0..1500).map(|n| (key(n), value(n))).collect();
    let mut store = MemoryStore::default();
    let snapshot = build(&mut store, &map);
    let mut edits: BTreeMap<_, _> =
        map.iter().step_by(70).map(|(key, value)| (key.clone(), Some(*value))).collect();
    edits.extend((5000..5030).map(|n| (key(n), None)));
    let shared = Shared::new(&mut store);
    let edits = edits.into_iter().map(|(key, change)| Ok::<_, TreeError>(Edit { key, change }));
    let mut sink = MemoryStore::default();
    assert_eq!(tree::apply(&shared, &mut sink, snapshot.root, edits).expect("good"), snapshot);
    assert!(sink.is_empty());
}

#[test]
fn what_is_left_of_a_shrunk_tree_is_as_low_as_it_can_be() {
    // Trees whose last node of level 1 has one child: adopted unread, it must not become the root of what is left.
    let lonely = |root: RootId, store: &MemoryStore| {
        let nodes = boundaries(store, root);
        let last = nodes.iter().rev().find(|(level, _)| *level == 1).map(|(_, keys)| keys.len());
        nodes[0].0 >= 2 && last == Some(1)
    };
    let mut found = 0;
    for rows in (1800..2400).rev() {
        let map: Map = (0..rows).map(|n| (format!("{n:08}{}", "y".repeat(240)), value(n))).collect();
        let mut store = MemoryStore::default();
        let root = build(&mut store, &map).root;
        if found == 2 {
            break;
        }
        if !lonely(root, &store) {
            continue;
        }
        found += 1;
        let leaf = boundaries(&store, root).pop().expect("a leaf").1;
        let edits = map.keys().filter(|key| !leaf.contains(key)).map(|key| (key.clone(), None)).collect();
        let left: Map = map.into_iter().filter(|(key, _)| leaf.contains(key)).collect();
        let after = change(&mut store, root, &edits);
        assert_eq!(after, build(&mut MemoryStore::default(), &left));
        assert_eq!(tree::height(&store, after.root).expect("good"), 1);
    }
    assert_eq!(found, 2, "such trees among those tried");
}

#[test]
fn keys_out_of_order_and_impossible_keys_are_refused() {
    let (id, bytes) = value(1);
    let mut store = MemoryStore::default();
    let base = build(&mut store, &[(key(7), value(7))].into()).root;
    let too_long = "k".repeat(256);
    let cases = [
        (vec!["b", "a"], "key `a` does not come after `b`"),
        (vec!["b", "b"], "key `b` does not come after `b`"),
        (vec![""], "`` cannot be a key: it is empty"),
        (
            vec!["a\"b"],
            "`a\\\"b` cannot be a key: it has a control character, a quotation mark or a backslash",
        ),
        (
            vec!["a\\b"],
            "`a\\\\b` cannot be a key: it has a control character, a quotation mark or a backslash",
        ),
        (
            vec!["a", "a\nb"],
            "`a\\nb` cannot be a key: it has a control character, a quotation mark or a backslash",
        ),
        (vec![too_long.as_str()], "cannot be a key: it is longer than 255 bytes"),
    ];
    for (keys, expect) in cases {
        let mut builder = Builder::new(&mut store);
        let pushed = keys.iter().try_for_each(|&key| builder.push(&Entry { key: key.to_owned(), id, bytes }));
        let message = pushed.expect_err("refused").to_string();
        assert!(message.ends_with(expect), "{message}");
        let edits = keys.iter().map(|&key| Ok::<_, TreeError>(Edit { key: key.to_owned(), change: None }));
        let message =
            tree::apply(&store, &mut MemoryStore::default(), base, edits).expect_err("refused").to_string();
        assert!(message.ends_with(expect), "{message}");
    }
    let mut builder = Builder::new(&mut store);
    builder.push(&Entry { key: "a".to_owned(), id, bytes: u64::MAX - 2 }).expect("fits with its line ending");
    let error = builder.push(&Entry { key: "b".to_owned(), id, bytes: 1 }).expect_err("one byte too many");
    assert!(matches!(error, TreeError::TooLarge { key } if key == "b"));
}

#[test]
fn an_error_of_the_edits_reaches_the_caller() {
    #[derive(Debug)]
    enum Failure {
        Source,
        Tree,
    }
    impl From<TreeError> for Failure {
        fn from(_: TreeError) -> Self {
            Self::Tree
        }
    }
    let mut store = MemoryStore::default();
    let base = build(&mut store, &Map::new()).root;
    let fine = || Ok(Edit { key: "a".to_owned(), change: Some(value(1)) });
    let result = tree::apply(&store, &mut MemoryStore::default(), base, [fine(), Err(Failure::Source)]);
    assert!(matches!(result, Err(Failure::Source)));
    let result = tree::apply(&store, &mut MemoryStore::default(), base, [fine(), fine()]);
    assert!(matches!(result, Err(Failure::Tree)), "not in order");
}
