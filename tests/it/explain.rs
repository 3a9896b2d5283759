//! Drift that explains itself: the shares of each metric add up, and say what was changed.

use distill::object::CommitId;
use distill::ops::Silent;
use distill::ops::explain::{Explanation, Part, Shares, explain, whatif};
use distill::ops::run::{RunOptions, What};
use distill::record::Category;

use crate::engine::{LINES, POLICY, Place};

fn rows(from: usize, to: usize) -> String {
    (from..to)
        .map(|n| {
            let judged = match n % 5 {
                0 => "\"ok\":true".to_owned(),
                1 => "\"ok\":false".to_owned(),
                2 => format!("\"verdict\":\"good\",\"sure\":0.{}", 1 + n % 9),
                3 => "\"verdict\":\"meh\"".to_owned(),
                _ => "\"verdict\":\"never heard\"".to_owned(),
            };
            format!(
                "{{\"id\":\"n{n}\",\"run\":\"r{n}\",\"task\":\"t{}\",\"ask\":\"ask {}\",\"say\":\"say {n}\",{judged}}}\n",
                n / 5,
                n / 5
            )
        })
        .collect()
}

/// A stricter observer.
fn stricter() -> String {
    POLICY.replace("confidence_min = 0.5", "confidence_min = 0.8")
}

fn place(dir: &tempfile::TempDir) -> (Place, CommitId) {
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    place.write("in/a.jsonl", rows(0, 60) + "not JSON\n");
    let first = place.run(What::All).commit_id;
    (place, first)
}

/// The way between two commits, whose shares add up.
fn explained(place: &Place, before: CommitId, after: CommitId) -> Explanation {
    let repo = place.repo();
    let spill = tempfile::tempdir().expect("a folder");
    let state = place.store_state();
    let found = explain(&repo, Some(before), after, spill.path(), &Silent).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(place.store_state(), state);
    assert_eq!(place.left_in_tmp(), Vec::<String>::new());
    for (name, shares) in &found.metrics {
        let Shares { tool, specs, policy, data, unattributed, .. } = shares;
        let sum = tool + specs + policy + data + unattributed;
        assert_eq!(sum, difference(shares), "{name}: {shares:?}");
        if name.starts_with("p3_") {
            assert_eq!(shares.streams.values().sum::<i64>(), difference(shares), "{name}: {shares:?}");
            assert_eq!(shares.rules.values().sum::<i64>(), difference(shares), "{name}: {shares:?}");
        }
    }
    found
}

fn difference(shares: &Shares) -> i64 {
    i64::try_from(shares.after).expect("small") - i64::try_from(shares.before).expect("small")
}

/// Only these parts have shares, and each has one.
#[track_caller]
fn only(found: &Explanation, parts: &[Part]) {
    assert_eq!(found.changed, parts);
    assert_eq!(found.unattributed_because, None);
    for part in Part::ALL {
        let share = |shares: &Shares| match part {
            Part::Tool => shares.tool,
            Part::Specs => shares.specs,
            Part::Policy => shares.policy,
            Part::Data => shares.data,
        };
        let any = found.metrics.values().any(|shares| share(shares) != 0);
        assert_eq!(any, parts.contains(&part), "{part:?}: {:?}", found.metrics);
    }
    assert!(found.metrics.values().all(|shares| shares.unattributed == 0));
}

#[test]
fn one_rule_of_the_policy_is_reported_as_policy_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let (place, first) = place(&dir);
    place.write(".distill/policy.toml", stricter());
    let second = place.run(What::All).commit_id;
    let found = explained(&place, first, second);
    only(&found, &[Part::Policy]);
    assert_eq!(found.recomputed, 0, "one part alone needs nothing made again");
    let accepted = &found.metrics["p3_accepted"];
    assert_eq!(accepted.rules.keys().collect::<Vec<_>>(), ["liked"]);
    assert_eq!(accepted.streams.keys().collect::<Vec<_>>(), ["lines"]);
    let moved = &found.transitions[0];
    assert_eq!(found.transitions.len(), 1);
    assert_eq!((moved.from, moved.to), (Some(Category::Accepted), Some(Category::PartiallyAccepted)));
    assert_eq!(-accepted.policy, i64::try_from(moved.rows).expect("small"));
    assert!(moved.examples.len() == 3 && moved.examples[0].starts_with("0000/00/00/lines/n"), "{moved:?}");
}

#[test]
fn added_rows_are_data_and_both_together_add_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let (place, first) = place(&dir);
    place.append("in/a.jsonl", &rows(60, 100));
    let more = place.run(What::All).commit_id;
    only(&explained(&place, first, more), &[Part::Data]);
    place.write(".distill/policy.toml", stricter());
    let both = place.run(What::All).commit_id;
    let found = explained(&place, first, both);
    only(&found, &[Part::Policy, Part::Data]);
    assert_eq!(found.recomputed, 1);
    // The policy's share is that of the policy over the rows of before.
    let other = tempfile::tempdir().expect("a folder");
    let (policy_alone, first) = self::place(&other);
    policy_alone.write(".distill/policy.toml", stricter());
    let second = policy_alone.run(What::All).commit_id;
    let alone = explained(&policy_alone, first, second);
    for (name, shares) in &found.metrics {
        assert_eq!(shares.policy, alone.metrics.get(name).map_or(0, |of| of.policy), "{name}");
    }
}

#[test]
fn a_report_of_drift_says_what_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (place, _) = place(&dir);
    place.append("in/a.jsonl", &rows(60, 100));
    let data = place.run(What::All).drift;
    assert_eq!(
        data.causes.last().map(String::as_str),
        Some("all of it is due to the data: nothing else changed")
    );
    place.write(".distill/policy.toml", stricter());
    let policy = place.run(What::All).drift;
    assert_eq!(
        policy.causes.last().map(String::as_str),
        Some("all of it is due to the policy: nothing else changed")
    );
    place.write(".distill/policy.toml", POLICY);
    place.append("in/a.jsonl", &rows(100, 200));
    let both = place.run(What::All).drift;
    assert!(both.causes.last().is_some_and(|cause| cause.starts_with("changed: policy, data;")), "{both:?}");
    assert!(place.run(What::All).drift.causes.is_empty());
}

#[test]
fn specs_are_told_from_policy_and_data() {
    let dir = tempfile::tempdir().expect("a folder");
    let (place, first) = place(&dir);
    // Half of the runs lose their run id, so that no export takes them.
    place.write(
        ".distill/sources/lines.toml",
        LINES.replace("\".run\"", "'select(.id | endswith(\"1\") | not) | .run'"),
    );
    let specs = place.run(What::All).commit_id;
    only(&explained(&place, first, specs), &[Part::Specs]);
    place.write(".distill/policy.toml", stricter());
    place.append("in/a.jsonl", &rows(60, 100));
    let all = place.run(What::All).commit_id;
    let found = explained(&place, first, all);
    only(&found, &[Part::Specs, Part::Policy, Part::Data]);
    assert_eq!(found.recomputed, 2);
    let nothing = explained(&place, all, all);
    assert!(nothing.changed.is_empty() && nothing.metrics.is_empty() && nothing.transitions.is_empty());
}

#[test]
fn another_cut_of_the_rows_is_unattributed_and_says_why() {
    let dir = tempfile::tempdir().expect("a folder");
    let (place, first) = place(&dir);
    place.write(".distill/sources/lines.toml", LINES.replace("files = [", "unit = \"file\"\nfiles = ["));
    place.append("in/a.jsonl", &rows(60, 61));
    let mut options = RunOptions::new(What::All);
    options.accept_source_loss = true;
    let second = place.try_run(&options).unwrap_or_else(|e| panic!("{e}")).commit_id;
    let found = explained(&place, first, second);
    assert!(found.unattributed_because.as_deref().is_some_and(|why| why.contains("in/a.jsonl")), "{found:?}");
    assert!(found.metrics.values().any(|shares| shares.unattributed != 0));
}

#[test]
fn whatif_says_what_a_run_under_the_policy_makes() {
    let dir = tempfile::tempdir().expect("a folder");
    let (place, first) = place(&dir);
    let (repo, spill) = (place.repo(), tempfile::tempdir().expect("a folder"));
    let ask = |text: &str| whatif(&repo, first, ("new.toml", text), spill.path(), &Silent);
    let state = place.store_state();
    let guess = ask(&stricter()).expect("an answer");
    assert_eq!((place.store_state(), place.left_in_tmp().len()), (state, 0));
    assert!(ask(POLICY).expect("an answer").metrics.is_empty());
    let error = ask("rule = 1").expect_err("no policy");
    assert!(error.message.contains("new.toml"), "{error}");
    drop(repo);
    place.write(".distill/policy.toml", stricter());
    let second = place.run(What::All).commit_id;
    let found = explained(&place, first, second);
    assert_eq!(guess.transitions, found.transitions);
    assert_eq!(guess.metrics.keys().collect::<Vec<_>>(), found.metrics.keys().collect::<Vec<_>>());
    for (name, shares) in &guess.metrics {
        assert_eq!(
            (shares.after, shares.policy),
            (found.metrics[name].after, found.metrics[name].policy),
            "{name}"
        );
    }
}
