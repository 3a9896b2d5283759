//! The property that a merge must have: the union of shards is one run over all their files.
//!
//! Random worlds (the generator of the incremental test: repeats, wanted keys, lookups, cut lines, packed files) are cut
//! into random shards; each is run by itself, in one or several steps; they are merged in random order, at once or one
//! by one, with and without a memo. Every dataset root and every count must be those of a fresh run over all files.
//! `DISTILL_TEST_LONG=1` tries many, `DISTILL_TEST_SEED=n` one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use distill::ops::merge::{MergeOptions, MergeOutcome};
use distill::ops::run::{RunOptions, What};

use super::{bring, try_merge};
use crate::engine::{Place, Result_, Rng, result};
use crate::incremental::{World, row, step};

type Files = BTreeMap<String, Vec<u8>>;

/// What must be the same whichever way the union was made: all but what the files were called when they were read.
fn comparable(mut result: Result_) -> Result_ {
    result.stages.get_mut("sources").expect("a receipt").inputs.clear();
    result
}

fn write(place: &Place, files: &Files) {
    for (name, bytes) in files {
        place.write(name, bytes);
    }
}

fn run(place: &Place, run_id: &str, lossy: bool) {
    let mut options = RunOptions::new(What::All);
    options.run_id = Some(run_id.to_owned());
    options.accept_source_loss = lossy;
    options.write_files = false;
    place.try_run(&options).unwrap_or_else(|e| panic!("{run_id}: {e}"));
}

fn fresh(files: &Files) -> Result_ {
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place { root: dir.path().to_owned() };
    write(&place, files);
    place.run(What::All);
    comparable(result(&place))
}

/// The specs that read any of these files, with the rest of the configuration.
fn config_for(config: &Files, files: &Files) -> Files {
    let reads = |spec: &str| {
        let folders: &[&str] = match spec {
            ".distill/sources/alpha.toml" => &["a/", "look/"],
            ".distill/sources/beta.toml" => &["b/"],
            ".distill/sources/gamma.toml" => &["g/"],
            ".distill/sources/delta.toml" => &["d/"],
            _ => return true,
        };
        files.keys().any(|name| folders.iter().any(|folder| name.starts_with(folder)))
    };
    config.iter().filter(|(name, _)| reads(name)).map(|(name, text)| (name.clone(), text.clone())).collect()
}

/// The first whole lines of a plain file.
fn beginning(rng: &mut Rng, name: &str, bytes: &[u8]) -> Vec<u8> {
    let ends: Vec<usize> =
        bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
    if !name.starts_with("a/") || name.ends_with(".gz") || ends.is_empty() || rng.one_in(2) {
        return bytes.to_vec();
    }
    bytes[..*rng.pick(&ends)].to_vec()
}

fn shards(seed: u64) {
    let rng = &mut Rng::new(seed ^ 0x5EED);
    let mut world = World::first(rng);
    for _ in 0..12 + rng.below(12) {
        step(rng, &mut world);
    }
    let (config, sources): (Files, Files) =
        world.files().into_iter().partition(|(name, _)| name.starts_with(".distill/"));
    let count = 2 + rng.below(3);
    let mut sites: Vec<Files> = vec![Files::new(); count];
    for (name, bytes) in &sources {
        // Keys of a map are in no row, so a map stays where the merge is made.
        let owner = if name.starts_with("g/") { 0 } else { rng.below(count) };
        sites[owner].insert(name.clone(), bytes.clone());
        let other = rng.below(count);
        if other != owner && !name.starts_with("g/") && rng.one_in(3) {
            let copy = beginning(rng, name, bytes);
            sites[other].insert(name.clone(), copy);
        }
    }
    for site in &mut sites {
        if site.is_empty() {
            site.insert("a/3.jsonl".to_owned(), sources["a/3.jsonl"].clone());
        }
    }
    let own_specs = rng.one_in(2);
    let dirs: Vec<_> = sites.iter().map(|_| tempfile::tempdir().expect("a folder")).collect();
    let places: Vec<_> = dirs.iter().map(|dir| Place { root: dir.path().to_owned() }).collect();
    for (at, (place, files)) in places.iter().zip(&sites).enumerate() {
        write(place, &if own_specs { config_for(&config, files) } else { config.clone() });
        let (first, _) = files.iter().next().expect("a file");
        for (name, bytes) in files.iter().filter(|(name, _)| *name == first || rng.one_in(2)) {
            place.write(name, bytes);
        }
        run(place, &format!("s{at}a"), false);
        write(place, files);
        run(place, &format!("s{at}b"), false);
    }
    let mut others: Vec<String> = (1..count).map(|at| format!("site{at}")).collect();
    for (at, name) in others.iter().enumerate() {
        bring(&places[at + 1].root, &places[0].root, name);
    }
    if rng.one_in(2) {
        others.reverse();
    }
    if !sources.keys().any(|name| name.starts_with("g/")) && rng.one_in(3) {
        fs::remove_dir_all(places[0].root.join(".distill/index")).expect("forgotten");
    }
    let steps: Vec<Vec<String>> =
        if rng.one_in(2) { vec![others] } else { others.into_iter().map(|name| vec![name]).collect() };
    for revs in steps {
        let mut options = MergeOptions::new(revs);
        options.run.write_files = false;
        options.run.threads = Some(1 + rng.below(3));
        let report = try_merge(&places[0], &options).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(report.outcome, MergeOutcome::Merged, "seed {seed}: {:?}", report.conflicts);
    }
    let all: Files = if own_specs {
        sites.iter().flat_map(|files| config_for(&config, files)).chain(sources.clone()).collect()
    } else {
        config.iter().chain(&sources).map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    };
    let wanted = fresh(&all);
    assert_eq!(comparable(result(&places[0])), wanted, "seed {seed}: the union is one run over all files");
    assert_eq!(places[0].left_in_tmp(), Vec::<String>::new(), "seed {seed}");

    // A run after it keeps what only the merge brought, and takes in what is new here.
    write(
        &places[0],
        &all.iter()
            .filter(|(name, _)| name.starts_with(".distill/"))
            .map(|(n, b)| (n.clone(), b.clone()))
            .collect(),
    );
    for name in sites[0].keys() {
        // Another site has more of this file than this folder.
        places[0].write(name, &sources[name]);
    }
    run(&places[0], "after", false);
    assert_eq!(comparable(result(&places[0])), wanted, "seed {seed}: a run after the merge");
    let mut more = all;
    let new = row(rng) + "\n";
    if more.keys().any(|name| name.ends_with("alpha.toml")) {
        places[0].write("a/7.jsonl", &new);
        more.insert("a/7.jsonl".to_owned(), new.into_bytes());
        run(&places[0], "more", false);
        assert_eq!(comparable(result(&places[0])), fresh(&more), "seed {seed}: a row more after the merge");
    }
}

/// Histories that parted: each file is changed by one site at most, added to, edited or taken away.
fn parted(seed: u64) {
    let rng = &mut Rng::new(seed ^ 0xBA5E);
    let mut world = World::first(rng);
    for _ in 0..10 + rng.below(8) {
        step(rng, &mut world);
    }
    world.values.clear();
    let base: Files = world.files();
    let count = 2 + rng.below(2);
    let dirs: Vec<_> = (0..count).map(|_| tempfile::tempdir().expect("a folder")).collect();
    let places: Vec<_> = dirs.iter().map(|dir| Place { root: dir.path().to_owned() }).collect();
    for place in &places {
        write(place, &base);
        run(place, "base", false);
    }
    let mut all = base.clone();
    let names: BTreeSet<&String> =
        base.keys().filter(|name| !name.starts_with('.') && *name != "a/3.jsonl").collect();
    for name in names {
        let site = &places[rng.below(count)];
        match rng.below(4) {
            0 => {
                fs::remove_file(site.root.join(name)).expect("removed");
                all.remove(name);
            }
            1 if name.starts_with("a/") && name.ends_with(".jsonl") => {
                let mut bytes = all[name].clone();
                if !bytes.ends_with(b"\n") {
                    bytes.push(b'\n');
                }
                bytes.extend_from_slice((row(rng) + "\n").as_bytes());
                site.write(name, &bytes);
                all.insert(name.clone(), bytes);
            }
            2 if name.starts_with("a/") && name.ends_with(".jsonl") => {
                let bytes = (row(rng) + "\n").into_bytes();
                site.write(name, &bytes);
                all.insert(name.clone(), bytes);
            }
            _ => {}
        }
    }
    for (at, place) in places.iter().enumerate() {
        let name = format!("a/new{at}.jsonl");
        let bytes = (row(rng) + "\n" + &row(rng) + "\n").into_bytes();
        place.write(&name, &bytes);
        all.insert(name, bytes);
        run(place, &format!("s{at}"), true);
        if at > 0 {
            bring(&place.root, &places[0].root, &format!("site{at}"));
        }
    }
    let mut options = MergeOptions::new((1..count).map(|at| format!("site{at}")));
    options.run.write_files = false;
    let report = try_merge(&places[0], &options).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    assert_eq!(report.outcome, MergeOutcome::Merged, "seed {seed}: {:?}", report.conflicts);
    assert!(report.parents[1..].iter().all(|side| side.bases.len() == 1), "seed {seed}: one base");
    assert_eq!(
        comparable(result(&places[0])),
        fresh(&all),
        "seed {seed}: the union is one run over what is left"
    );
}

fn seeds(short: u64, long: u64, test: fn(u64)) {
    if let Some(seed) = std::env::var("DISTILL_TEST_SEED").ok().and_then(|s| s.parse().ok()) {
        return test(seed);
    }
    let long_wanted = std::env::var_os("DISTILL_TEST_LONG").is_some();
    (0..if long_wanted { long } else { short }).for_each(test);
}

#[test]
fn the_union_of_shards_is_one_run_over_all_files() {
    seeds(3, 400, shards);
}

#[test]
fn histories_that_parted_join_as_one_run_over_what_both_left() {
    seeds(3, 400, parted);
}
