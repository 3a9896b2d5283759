//! What trees cost, counted in nodes: sizes, and what look-ups, changes and diffs read and write.

use std::collections::BTreeMap;
use std::ops::Bound;

use distill::object::Find;
use distill::object::MemoryStore;
use distill::object::ObjectId;
use distill::tree;
use distill::tree::Snapshot;
use distill::tree::Value;

use super::Map;
use super::boundaries;
use super::build;
use super::change;
use super::collect_diff;
use super::value;

const ROWS: u32 = 100_000;

/// 33 bytes, as record keys are; `n` is spread over days.
fn key(n: u32) -> String {
    let day = n / 4000;
    format!(
        "2026/{:02}/{:02}/stream/{:016}",
        day / 28 + 1,
        day % 28 + 1,
        u64::from(n).wrapping_mul(0x9e37_79b9) % (1 << 32)
    )
}

fn a_tree() -> (MemoryStore, Snapshot, Map) {
    let map: Map = (0..ROWS).map(|n| (key(n), value(n))).collect();
    assert_eq!(map.len(), ROWS as usize);
    let mut store = MemoryStore::default();
    let snapshot = build(&mut store, &map);
    (store, snapshot, map)
}

/// Applies `edits`; returns the tree, the nodes read and the nodes written.
fn cost(
    store: &mut MemoryStore,
    base: Snapshot,
    edits: &BTreeMap<String, Option<Value>>,
) -> (Snapshot, u64, usize) {
    let nodes_before = store.len();
    store.take_find_count();
    let after = change(store, base.root, edits);
    (after, store.take_find_count(), store.len() - nodes_before)
}

#[test]
fn nodes_have_the_size_they_are_meant_to_have() {
    let (store, snapshot, _) = a_tree();
    let sizes: Vec<f64> = store
        .ids()
        .map(|id| {
            f64::from(
                u32::try_from(store.try_find(id).expect("memory").expect("there").len()).expect("small"),
            )
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "a thousand nodes")]
    let count = sizes.len() as f64;
    let mean = sizes.iter().sum::<f64>() / count;
    let deviation = (sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / count).sqrt();
    let max = sizes.iter().copied().fold(0.0, f64::max);
    assert!((8_000.0..8_500.0).contains(&mean), "mean {mean}");
    assert!(deviation < 2_400.0, "standard deviation {deviation}");
    assert!(max < 20_000.0, "longest {max}");
    assert_eq!(tree::height(&store, snapshot.root).expect("good"), 3);
}

#[test]
fn a_look_up_reads_one_node_a_level() {
    let (store, snapshot, map) = a_tree();
    store.take_find_count();
    for key in map.keys().step_by(9973) {
        assert!(tree::get(&store, snapshot.root, key).expect("good").is_some());
        assert_eq!(store.take_find_count(), 3);
        tree::rank(&store, snapshot.root, key).expect("good");
        assert_eq!(store.take_find_count(), 3);
    }
    tree::nth(&store, snapshot.root, 77_777).expect("good").expect("there");
    assert_eq!(store.take_find_count(), 3);
    tree::totals(&store, snapshot.root).expect("good");
    assert_eq!(store.take_find_count(), 1);
    assert_eq!(tree::rows_from(&store, snapshot.root, 50_000).take(10).count(), 10);
    assert!(store.take_find_count() <= 4);
}

#[test]
fn a_hundred_scattered_changes_touch_a_hundred_paths() {
    let (mut store, base, map) = a_tree();
    let keys: Vec<_> = map.keys().step_by(991).take(100).cloned().collect();
    for kind in ["values", "removals", "insertions"] {
        let edits: BTreeMap<_, _> = keys
            .iter()
            .map(|key| match kind {
                "values" => (key.clone(), Some(value(1_000_000))),
                "removals" => (key.clone(), None),
                _ => (format!("{key}.1"), Some(value(2_000_000))),
            })
            .collect();
        let (after, read, written) = cost(&mut store, base, &edits);
        // 100 leaves, the 18 nodes above them, the root; a moved boundary costs a neighbour now and then.
        let most = if kind == "values" { 120 } else { 130 };
        assert!(read <= most, "{kind}: {read} nodes read");
        assert!(written as u64 <= most, "{kind}: {written} nodes written");
        let mut diff = tree::diff(&store, base.root, after.root);
        assert_eq!(diff.by_ref().count(), 100);
        assert!(diff.nodes_read() <= 2 * most, "{kind}: {} nodes read by the diff", diff.nodes_read());
    }
}

#[test]
fn appending_writes_what_is_appended() {
    let (mut store, base, _) = a_tree();
    let edits: BTreeMap<_, _> =
        (0..1000).map(|n| (format!("2027/01/01/stream/{n:016}"), Some(value(n)))).collect();
    let (after, read, written) = cost(&mut store, base, &edits);
    assert_eq!(after.totals.rows, u64::from(ROWS) + 1000);
    assert_eq!(read, 3, "the right edge alone");
    assert!(written <= 17, "{written} nodes written for 13 nodes of new rows");
    let mut diff = tree::diff(&store, base.root, after.root);
    assert_eq!(diff.by_ref().count(), 1000);
    assert!(diff.nodes_read() <= 20, "{} nodes read by the diff", diff.nodes_read());
}

#[test]
fn a_diff_of_equal_trees_reads_nothing_and_of_one_row_two_paths() {
    let (mut store, base, map) = a_tree();
    let mut same = tree::diff(&store, base.root, base.root);
    assert!(same.next().is_none());
    assert_eq!(same.nodes_read(), 0);
    let changed = map.keys().nth(54_321).expect("there").clone();
    let after = change(&mut store, base.root, &[(changed.clone(), Some((ObjectId::of(b"new"), 3)))].into());
    let mut diff = tree::diff(&store, base.root, after.root);
    assert_eq!(diff.next().expect("one").expect("good").key, changed);
    assert!(diff.next().is_none());
    assert_eq!(diff.nodes_read(), 6);
    store.take_find_count();
    assert_eq!(collect_diff(tree::diff(&store, after.root, base.root)).len(), 1);
    assert_eq!(store.take_find_count(), 6);
}

#[test]
fn a_diff_over_a_vanished_leaf_reads_that_leaf_and_one_beside_it() {
    let (mut store, base, _) = a_tree();
    let leaves: Vec<_> = boundaries(&store, base.root).into_iter().filter(|(level, _)| *level == 0).collect();
    let gone = &leaves[700].1;
    let after = change(&mut store, base.root, &gone.iter().map(|key| (key.clone(), None)).collect());
    for (from, to) in [(base, after), (after, base)] {
        let mut diff = tree::diff(&store, from.root, to.root);
        assert_eq!(diff.by_ref().count(), gone.len());
        // Root and parent on both sides, the leaf itself, and the one beside it, which has to be opened to be told from it.
        assert_eq!(diff.nodes_read(), 6);
    }
}

#[test]
fn a_merge_costs_what_was_changed() {
    let (mut store, base, map) = a_tree();
    let edit = |n: usize, with: u32| [(map.keys().nth(n).expect("there").clone(), Some(value(with)))].into();
    let ours = change(&mut store, base.root, &edit(10_000, 1));
    let theirs = change(&mut store, base.root, &edit(90_000, 2));
    store.take_find_count();
    let shared = tree::Shared::new(&mut store);
    let merged = tree::merge(&shared, &mut &shared, &[base.root], ours.root, theirs.root).expect("good");
    assert!(merged.conflicts.is_empty());
    // To tell the sides apart, to see what ours changed, and to apply.
    assert!(store.take_find_count() <= 10 + 6 + 3);
}

#[test]
fn a_merge_of_a_hundred_rows_costs_their_paths() {
    let (mut store, base, map) = a_tree();
    let edits = |first: usize, with: u32| -> BTreeMap<String, Option<Value>> {
        let keys = map.keys().skip(first).step_by(1982).take(50);
        keys.map(|key| (key.clone(), Some(value(with)))).collect()
    };
    let (one, other) = (edits(100, 1_000_000), edits(1091, 2_000_000));
    let ours = change(&mut store, base.root, &one);
    let theirs = change(&mut store, base.root, &other);
    let nodes_before = store.len();
    store.take_find_count();
    let shared = tree::Shared::new(&mut store);
    let merged = tree::merge(&shared, &mut &shared, &[base.root], ours.root, theirs.root).expect("good");
    assert!(merged.conflicts.is_empty());
    let (read, written) = (store.take_find_count(), store.len() - nodes_before);
    // Of 1,600 nodes: on both sides the leaves of all hundred rows, those of our fifty as they were and as they are, and those of
    // their fifty to be changed; the few nodes above them for each walk; a boundary never moves, since no key is new.
    assert!(read <= 2 * 120 + 2 * 70 + 70, "{read} nodes read");
    assert!(written <= 70, "{written} nodes written");
    let both = change(&mut store, ours.root, &other);
    assert_eq!(merged.snapshot.root, both.root);
}

#[test]
fn skipping_ahead_reads_the_nodes_that_hold_what_comes() {
    let (store, base, map) = a_tree();
    let keys: Vec<&String> = map.keys().collect();
    let mut rows = tree::iter(&store, base.root);
    store.take_find_count();
    let mut at = 0;
    for step in [0, 1, 3, 70, 4000, 1, 65, 30_000, 2, 20_000] {
        at += step;
        rows.skip_to(keys[at]).expect("good");
        rows.skip_to(keys[at / 2]).expect("good, and there is no way back");
        assert_eq!(rows.next().expect("a row").expect("good").key, *keys[at], "{at}");
        at += 1;
    }
    assert!(store.take_find_count() <= 3 + 9 * 2 + 3, "a leaf and at most a node above it for each");
    rows.skip_to("~").expect("good");
    assert!(rows.next().is_none(), "beyond the last");
    let bounds = (Bound::Included(keys[500].as_str()), Bound::Excluded(keys[900].as_str()));
    let mut part = tree::range(&store, base.root, bounds);
    part.skip_to(keys[899]).expect("good");
    assert_eq!(part.by_ref().count(), 1);
    part.skip_to(keys[950]).expect("good");
    assert_eq!(part.count(), 0, "the range keeps its end");
}
