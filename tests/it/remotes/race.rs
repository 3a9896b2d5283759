//! Many pushes at once: one wins, the others are told, and no update is lost.

use std::fs;
use std::process::Stdio;

use super::{Place, one_more, own_source, with_runs};
use crate::cli::Bench;

const SITES: usize = 8;

/// Eight sites push to branches of their own at the same time, several times over: every branch arrives.
pub fn own_branches(place: &Place, rounds: usize) {
    let ours = with_runs(place);
    place.ok(&ours, &["push"]);
    let sites: Vec<Bench> = (0..SITES).map(|_| place.clone()).collect();
    for (site, bench) in sites.iter().enumerate() {
        fs::copy(ours.path().join("notes.jsonl"), bench.path().join("notes.jsonl")).expect("the source");
        bench.ok(&["checkout", "-b", &format!("site-{site}")]);
    }
    for round in 0..rounds {
        for (site, bench) in sites.iter().enumerate() {
            one_more(bench, &format!("s{site}-{round}"));
        }
        let children: Vec<_> = sites
            .iter()
            .map(|bench| {
                let mut push = place.command(bench, &["push"]);
                push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().expect("waited for");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let all = place.clone();
    for (site, bench) in sites.iter().enumerate() {
        assert_eq!(all.id(&format!("origin/site-{site}")), bench.id("HEAD"), "site {site}");
        for round in 0..rounds {
            let run = format!("s{site}-{round}");
            assert_eq!(all.id(&run), bench.id(&run), "{run}");
        }
    }
}

#[test]
fn eight_processes_push_to_one_folder_and_no_update_is_lost() {
    own_branches(&Place::folder(), 3);
}

/// Eight sites push to one branch at the same time. Exactly one wins; every other one is told to pull, merges, and tries
/// again, until all of their runs stand in one history.
pub fn one_branch(place: &Place, sites: usize) {
    let ours = with_runs(place);
    place.ok(&ours, &["push"]);
    let sites: Vec<Bench> = (0..sites).map(|_| place.clone()).collect();
    for (site, bench) in sites.iter().enumerate() {
        fs::copy(ours.path().join("notes.jsonl"), bench.path().join("notes.jsonl")).expect("the source");
        own_source(bench, &format!("own{site}"));
        bench.ok(&["run-all", "--run-id", &format!("first{site}"), "--no-files"]);
    }
    let mut waiting: Vec<usize> = (0..sites.len()).collect();
    let mut turn = 0;
    while !waiting.is_empty() {
        turn += 1;
        let children: Vec<_> = waiting
            .iter()
            .map(|site| {
                let mut push = place.command(&sites[*site], &["push"]);
                push.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
            })
            .collect();
        let mut lost = Vec::new();
        for (site, child) in waiting.iter().zip(children) {
            let output = child.wait_with_output().expect("waited for");
            match output.status.code() {
                Some(0) => {}
                Some(1) => {
                    let told = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(told.contains("distill pull"), "{told}");
                    lost.push(*site);
                }
                other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
            }
        }
        assert_eq!(lost.len() + 1, waiting.len(), "exactly one wins");
        for site in &lost {
            let bench = &sites[*site];
            assert_eq!(place.fails(1, bench, &["pull"]).status, 1, "a fork");
            bench.ok(&["merge", "origin/main", "--run-id", &format!("joined{site}-{turn}"), "--no-files"]);
        }
        waiting = lost;
    }
    let log = place.clone().ok(&["log", "--json"]);
    for site in 0..sites.len() {
        assert!(log.contains(&format!("\"first{site}\"")), "the run of site {site} is in history");
    }
}

#[test]
fn of_several_pushes_to_one_branch_one_wins() {
    one_branch(&Place::folder(), if crate::store_damage::long() { 8 } else { 3 });
}
