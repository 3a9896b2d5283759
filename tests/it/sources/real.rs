//! The embedded specs over the public data that they are for.
//!
//! Needs `DISTILL_REAL_DATA`: a folder with the data sets, each in a folder of its name. Every figure is checked
//! against one that is counted here, from the same files by `serde_json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use distill::pipeline::source::{
    Coverage, Draft, Lookups, Outcome, Spec, UnitInput, UnitReader, decode, embedded,
};
use distill::record::PassFail;
use serde_json::Value;

/// The folder of a data set, or nothing and a line that says so.
#[expect(clippy::print_stdout, reason = "a test that did not run must say so")]
fn data_set(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("DISTILL_REAL_DATA") else {
        println!("skipped: DISTILL_REAL_DATA is not set, {name} is not read");
        return None;
    };
    Some(PathBuf::from(root).join(name))
}

struct Fates {
    files: usize,
    units: usize,
    skipped: BTreeMap<String, usize>,
    quarantined: Vec<String>,
    drafts: Vec<Draft>,
    coverage: Coverage,
}

/// Every file under `root` that the embedded spec `name` reads, mapped.
fn run(name: &str, root: &Path) -> Fates {
    let (_, text) = embedded().iter().find(|(n, _)| *n == name).expect("an embedded spec");
    let spec = Spec::parse(name, text).unwrap_or_else(|e| panic!("{e}"));
    let mut adapter = super::adapter(&spec);
    let lookups = Lookups::default();
    let mut fates = Fates {
        files: 0,
        units: 0,
        skipped: BTreeMap::new(),
        quarantined: Vec::new(),
        drafts: Vec::new(),
        coverage: Coverage::default(),
    };
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.expect("a listing");
        let relative =
            entry.path().strip_prefix(root).expect("below the root").to_string_lossy().into_owned();
        if !entry.file_type().is_file() || !spec.files().contains(&relative) {
            continue;
        }
        fates.files += 1;
        let file = File::open(entry.path()).expect("a file");
        let mut input = decode::decoder(&relative, file).expect("a decoder");
        let mut reader = UnitReader::new(&mut *input, spec.unit(), spec.at());
        while let Some(unit) = reader.next_unit().expect("the data is sound") {
            fates.units += 1;
            match adapter.observe(&UnitInput::new(&relative, &unit, &lookups), &mut fates.coverage).outcome {
                Outcome::Records(drafts) => fates.drafts.extend(drafts),
                Outcome::Skipped { rule } => *fates.skipped.entry(rule).or_default() += 1,
                Outcome::Quarantined { reason, detail } => {
                    fates.quarantined.push(format!("{relative}:{} {reason}: {detail}", unit.number));
                }
            }
        }
    }
    assert_eq!(fates.quarantined, Vec::<String>::new(), "real data maps whole");
    fates
}

fn outcome(draft: &Draft) -> Option<PassFail> {
    draft.record.validation_results.get("outcome").copied()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn tau_bench_runs_are_judged_by_their_reward() {
    let Some(root) = data_set("tau-bench") else { return };
    let fates = run("tau-bench", &root);
    let source = json(&root.join("historical_trajectories/gpt-4o-airline.json"));
    let runs = source.as_array().expect("an array of runs");
    assert_eq!((fates.files, fates.units, fates.drafts.len()), (1, runs.len(), runs.len()));
    assert!(fates.skipped.is_empty());
    for (draft, run) in fates.drafts.iter().zip(runs) {
        let record = &draft.record;
        let reward = run["reward"].as_f64().expect("a reward");
        let expected = if reward >= 1.0 { PassFail::Pass } else { PassFail::Fail };
        assert_eq!(outcome(draft), Some(expected), "{}", record.key);
        assert_eq!(record.instruction.as_deref(), run["info"]["task"]["instruction"].as_str());
        assert_eq!(record.task_id, Some(format!("airline-{}", run["task_id"])));
        assert_eq!(record.run_id, Some(format!("gpt-4o-airline-{}-{}", run["task_id"], run["trial"])));
        assert_eq!(record.model.name.as_deref(), Some("gpt-4o"));
        assert_eq!(record.model.provider.as_deref(), Some("openai"));
        let turns = run["traj"].as_array().expect("a conversation");
        assert_eq!(record.messages.len(), turns.len());
        let said = turns.iter().rev().find_map(|turn| {
            turn["content"].as_str().filter(|text| turn["role"] == "assistant" && !text.is_empty())
        });
        assert_eq!(record.response.as_deref(), said);
        for (message, turn) in record.messages.iter().zip(turns) {
            assert_eq!(message.content.as_deref(), turn["content"].as_str());
            assert_eq!(message.tool_calls.len(), turn["tool_calls"].as_array().map_or(0, Vec::len));
            for (call, source) in
                message.tool_calls.iter().zip(turn["tool_calls"].as_array().into_iter().flatten())
            {
                assert_eq!(Some(call.arguments.as_str()), source["function"]["arguments"].as_str());
                assert!(call.arguments_object.is_some());
            }
        }
        assert!(record.usage.cost_usd.is_none(), "the customer's cost is not the agent's");
        let text = serde_json::to_string(record).expect("a record");
        assert!(
            !text.contains("kwargs") && !text.contains("gt_data_hash"),
            "the gold answer leaked: {}",
            record.key
        );
    }
    let passed = fates.drafts.iter().filter(|d| outcome(d) == Some(PassFail::Pass)).count();
    assert_eq!((passed, runs.len() - passed), (84, 116));
    let keys: BTreeSet<_> = fates.drafts.iter().map(|d| d.record.key.as_str()).collect();
    assert_eq!(keys.len(), runs.len(), "no two runs want one key");

    let report = fates.coverage.report();
    assert_eq!((report.units, report.records), (200, 200));
    let unread: Vec<_> = report.keys.iter().filter(|k| !k.read).map(|k| k.key.as_str()).collect();
    assert_eq!(unread, ["info.reward_info", "info.source", "info.user_cost"]);
}

#[test]
fn aider_attempts_never_outrank_the_hidden_tests() {
    let Some(root) = data_set("aider-swe-bench") else { return };
    let fates = run("aider-swe-bench", &root);
    let mut by_task: BTreeMap<&str, Vec<&Draft>> = BTreeMap::new();
    for draft in &fates.drafts {
        by_task.entry(draft.record.task_id.as_deref().expect("a task")).or_default().push(draft);
    }
    let (mut files, mut attempts, mut resolved, mut blocked) = (0, 0, 0, 0);
    for entry in walkdir::WalkDir::new(&root) {
        let entry = entry.expect("a listing");
        let name = entry.file_name().to_string_lossy();
        if !name.ends_with(".json") || name == "results.json" {
            continue;
        }
        let task = json(entry.path());
        let drafts = &by_task[task["instance_id"].as_str().expect("an id")];
        let all = task["all_results"].as_array().expect("attempts");
        assert_eq!(drafts.len(), all.len());
        files += 1;
        attempts += all.len();
        let is_resolved = task["resolved"].as_bool().expect("a verdict");
        resolved += usize::from(is_resolved);
        for (draft, attempt) in drafts.iter().zip(all) {
            let record = &draft.record;
            assert_eq!(record.response.as_deref(), attempt["model_patch"].as_str());
            assert_eq!(record.usage.cost_usd, attempt["cost"].as_f64());
            assert_eq!(record.model.name.as_deref(), attempt["model"].as_str());
            let submitted = attempt["model_patch"] == task["model_patch"];
            let expected = if is_resolved { PassFail::Pass } else { PassFail::Fail };
            assert_eq!(outcome(draft), submitted.then_some(expected), "{}", record.key);
            let checks: BTreeSet<_> =
                record.validation_results.values().map(|r| *r == PassFail::Pass).collect();
            let acceptable = outcome(draft).map_or(checks == BTreeSet::from([true]), |o| o == PassFail::Pass);
            assert!(
                is_resolved || !acceptable,
                "an attempt of an unresolved task would pass: {}",
                record.key
            );
            assert!(!(is_resolved && submitted) || acceptable, "a solution would be refused: {}", record.key);
            blocked += usize::from(record.validation_results.contains_key("submitted"));
            let text = serde_json::to_string(record).expect("a record");
            assert!(!text.contains("gold_files"), "{}", record.key);
        }
    }
    assert_eq!((fates.files, fates.units, fates.drafts.len()), (files, files, attempts));
    assert_eq!((files, attempts, resolved, blocked), (300, 835, 79, 9));
    let keys: BTreeSet<_> = fates.drafts.iter().map(|d| d.record.key.as_str()).collect();
    assert_eq!(keys.len(), attempts, "no two attempts want one key");
}

#[test]
fn hh_rlhf_pairs_have_a_better_and_a_worse_side() {
    let Some(root) = data_set("hh-rlhf") else { return };
    let fates = run("hh-rlhf", &root);
    let mut text = String::new();
    let file = File::open(root.join("harmless-base/test.jsonl.gz")).expect("a file");
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    let mark = "\n\nAssistant:";
    let halves = |row: &Value, side: &str| -> (String, String) {
        let (prompt, answer) = row[side].as_str().expect("a dialogue").rsplit_once(mark).expect("an answer");
        (prompt.to_owned(), answer.strip_prefix(' ').unwrap_or(answer).to_owned())
    };
    let (mut rows, mut differ, mut at) = (0, 0, 0);
    for line in text.lines() {
        rows += 1;
        let row: Value = serde_json::from_str(line).expect("JSON");
        let (chosen, rejected) = (halves(&row, "chosen"), halves(&row, "rejected"));
        if chosen.0 != rejected.0 {
            differ += 1;
            continue;
        }
        let pair = &fates.drafts[at..at + 2];
        at += 2;
        for (draft, (rank, side)) in pair.iter().zip([(1, &chosen), (2, &rejected)]) {
            let comparison = draft.record.comparison.as_ref().expect("a comparison");
            assert_eq!((comparison.rank, draft.record.response.as_deref()), (rank, Some(side.1.as_str())));
            let last = draft.record.messages.last().expect("messages");
            assert_eq!((last.role.as_str(), last.content.as_deref()), ("assistant", Some(side.1.as_str())));
            let turns = side.0.matches("\n\nHuman:").count() + side.0.matches(mark).count() + 1;
            assert_eq!(draft.record.messages.len(), turns);
            assert!(draft.record.validation_results.is_empty(), "a preference is no verdict");
        }
        assert_eq!(pair[0].record.instruction, pair[1].record.instruction);
        let prompt = pair[0].record.instruction.as_deref().expect("a prompt");
        assert!(side_holds(&chosen.0, prompt), "{prompt}");
        assert_eq!(
            pair[0].record.comparison.as_ref().map(|c| &c.group),
            pair[1].record.comparison.as_ref().map(|c| &c.group)
        );
        assert_ne!(pair[0].record.run_id, pair[1].record.run_id);
    }
    assert_eq!((fates.units, at, fates.drafts.len()), (rows, fates.drafts.len(), 2 * (rows - differ)));
    assert_eq!(fates.skipped, BTreeMap::from([("prompts_differ".to_owned(), differ)]));
    assert_eq!((rows, differ), (2_312, 5));
}

/// The prompt is the end of the shared text.
fn side_holds(shared: &str, prompt: &str) -> bool {
    shared.ends_with(prompt)
}
