//! The repository's own specs and policy, on the bundled sample: every row has the fate that the plan foretells, and
//! the exports have the counts that were promised.
//!
//! The policy is evaluated here by a few lines that share nothing with the scorer, so that each checks the other.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use distill::ops::sample::STREAMS;
use distill::ops::sample::plan::Body;
use distill::ops::sample::plan::Category;
use distill::ops::sample::plan::Dirt;
use distill::ops::sample::plan::FREEZE_PAIRS;
use distill::ops::sample::plan::FREEZE_RAG;
use distill::ops::sample::plan::FREEZE_SFT;
use distill::ops::sample::plan::Signal;
use distill::ops::sample::plan::StreamPlan;
use distill::ops::sample::plan::Twist;
use distill::ops::sample::plan::Verdict;
use distill::pipeline::source::Lookups;
use distill::pipeline::source::Outcome;
use distill::pipeline::source::Spec;
use distill::pipeline::source::UnitInput;
use distill::pipeline::source::UnitReader;
use distill::record::EvidenceRecord;
use distill::record::PassFail;

fn read(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

fn text(path: &str) -> String {
    String::from_utf8(read(path)).expect("UTF-8")
}

fn spec(plan: &StreamPlan) -> Spec {
    let text = text(&format!(".distill/sources/{}.toml", plan.name));
    Spec::parse(plan.name, &text).unwrap_or_else(|e| panic!("{e}"))
}

/// What became of one stream's rows; only the first of several equal ones is a record.
#[derive(Default)]
struct Fates {
    records: Vec<EvidenceRecord>,
    duplicates: u64,
    skipped: BTreeMap<String, u64>,
    quarantined: BTreeMap<&'static str, u64>,
}

fn fates(plan: &StreamPlan) -> Fates {
    let spec = spec(plan);
    let mut adapter = spec.compile().expect("a parsed spec compiles");
    let bytes = read(&format!("fixtures/lakehouse/{}", plan.file()));
    let lookups = Lookups::default();
    let mut input = bytes.as_slice();
    let mut reader = UnitReader::new(&mut input, spec.unit(), spec.at());
    let (mut fates, mut seen) = (Fates::default(), BTreeSet::new());
    while let Some(unit) = reader.next_unit().expect("memory does not fail") {
        let mapped = adapter.map(&UnitInput::new(&plan.file(), &unit, &lookups));
        match mapped.outcome {
            Outcome::Records(drafts) => {
                if seen.insert(mapped.sig_hash) {
                    fates.records.extend(drafts.into_iter().map(|draft| draft.record));
                } else {
                    fates.duplicates += 1;
                }
            }
            Outcome::Skipped { rule } => *fates.skipped.entry(rule).or_default() += 1,
            Outcome::Quarantined { reason, .. } => *fates.quarantined.entry(reason).or_default() += 1,
        }
    }
    fates
}

fn policy() -> toml::Table {
    toml::from_str(&text(".distill/policy.toml")).expect("the policy is TOML")
}

fn judge(words: &toml::Table, verdict: Option<&str>) -> &'static str {
    let Some(verdict) = verdict else { return "none" };
    let listed = |list: &str| {
        let words = words[list].as_array().expect("a list of words");
        words.iter().any(|word| word.as_str() == Some(verdict))
    };
    ["accept", "partial", "reject", "review"].into_iter().find(|list| listed(list)).unwrap_or("unknown")
}

/// The rule that decides about `record`, and its category.
fn decide(policy: &toml::Table, record: &EvidenceRecord) -> (String, Category) {
    let words = policy["words"].as_table().expect("words");
    let checks: BTreeSet<bool> = record.validation_results.values().map(|r| *r == PassFail::Pass).collect();
    let signals = BTreeMap::from([
        ("human", judge(words, record.human_override.as_ref().map(|h| h.verdict.as_str()))),
        (
            "outcome",
            match record.validation_results.get("outcome") {
                None => "none",
                Some(PassFail::Pass) => "pass",
                Some(PassFail::Fail) => "fail",
            },
        ),
        (
            "validation",
            match (checks.contains(&true), checks.contains(&false)) {
                (false, false) => "none",
                (true, false) => "pass",
                (false, true) => "fail",
                (true, true) => "mixed",
            },
        ),
        ("observer", judge(words, record.observer.as_ref().map(|o| o.verdict.as_str()))),
        (
            "markers",
            match (record.success_markers.is_empty(), record.failure_markers.is_empty()) {
                (true, true) => "none",
                (false, true) => "success",
                (true, false) => "failure",
                (false, false) => "mixed",
            },
        ),
        ("comparison", if record.comparison.is_some() { "ranked" } else { "none" }),
    ]);
    let confidence = record.observer.as_ref().and_then(|o| o.confidence);
    for rule in policy["rule"].as_array().expect("rules") {
        let when = rule["when"].as_table().expect("when");
        let holds = when.iter().all(|(name, wanted)| match name.as_str() {
            "confidence_min" => confidence.is_some_and(|c| c >= wanted.as_float().expect("a number")),
            "comparison" => wanted.as_bool().expect("a truth") == (signals["comparison"] == "ranked"),
            signal => {
                let several = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                several.iter().any(|word| word.as_str().expect("a word") == signals[signal])
            }
        });
        if holds {
            let category = match rule["category"].as_str().expect("a category") {
                "accepted" => Category::Accepted,
                "partially_accepted" => Category::Partial,
                "rejected" => Category::Rejected,
                "needs_human_review" => Category::Human,
                other => panic!("unknown category {other}"),
            };
            return (rule["id"].as_str().expect("an id").to_owned(), category);
        }
    }
    panic!("no rule decides about {}", record.key)
}

fn dirt(plan: &StreamPlan, kinds: &[Dirt]) -> u64 {
    plan.dirt.iter().filter(|(_, dirt)| kinds.contains(dirt)).map(|(n, _)| n).sum()
}

#[test]
fn every_stream_has_a_spec_and_every_spec_a_stream() {
    for plan in &STREAMS {
        let spec = spec(plan);
        assert_eq!((spec.name(), spec.stream()), (plan.name, plan.name));
        assert!(spec.files().contains(&plan.file()) && !spec.description().is_empty(), "{}", plan.name);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill/sources");
    assert_eq!(std::fs::read_dir(folder).expect("the specs").count(), STREAMS.len());
}

#[test]
fn every_row_has_its_foretold_fate() {
    for plan in &STREAMS {
        let fates = fates(plan);
        let name = plan.name;
        assert_eq!(fates.records.len() as u64, plan.records(), "{name}: records; {:?}", fates.quarantined);
        assert_eq!(fates.duplicates, dirt(plan, &[Dirt::Copy, Dirt::CopyRespelled]), "{name}: duplicates");
        let skipped: u64 = fates.skipped.values().sum();
        assert_eq!(skipped, dirt(plan, &[Dirt::Heartbeat, Dirt::Blank]), "{name}: {:?}", fates.skipped);
        let reasons = [
            ("json_syntax", Dirt::Truncated),
            ("json_duplicate_key", Dirt::DuplicateKey),
            ("json_lone_surrogate", Dirt::LoneSurrogate),
            ("json_invalid_utf8", Dirt::InvalidUtf8),
            ("json_number_overflow", Dirt::Overflow),
            ("not_an_object", Dirt::NotObject),
            ("field_type", Dirt::WrongType),
            ("unterminated", Dirt::Unterminated),
        ];
        let foretold: BTreeMap<&str, u64> = reasons
            .into_iter()
            .map(|(reason, kind)| (reason, dirt(plan, &[kind])))
            .filter(|(_, n)| *n > 0)
            .collect();
        assert_eq!(fates.quarantined, foretold, "{name}");
        let mut keys = BTreeSet::new();
        let clashes = fates.records.iter().filter(|record| !keys.insert(&record.key)).count() as u64;
        assert_eq!(clashes, plan.key_clashes, "{name}: keys wanted twice");
        let timeless = fates.records.iter().filter(|record| record.recorded_at.is_none()).count() as u64;
        let twisted = |(_, twist): &&(u64, Twist)| matches!(twist, Twist::NoTime | Twist::BadTime);
        assert_eq!(timeless, plan.twists.iter().filter(twisted).map(|(n, _)| n).sum::<u64>(), "{name}");
    }
}

#[test]
fn policy_decides_as_the_plan_foretells() {
    let policy = policy();
    let mut rules = BTreeSet::new();
    for plan in &STREAMS {
        let mut decided: BTreeMap<Category, u64> = BTreeMap::new();
        for record in fates(plan).records {
            let (rule, category) = decide(&policy, &record);
            rules.insert(rule);
            *decided.entry(category).or_default() += 1;
        }
        for category in [Category::Accepted, Category::Partial, Category::Rejected, Category::Human] {
            let bodies = [Body::Full, Body::Empty, Body::NoRun, Body::Repeat];
            let foretold: u64 = bodies.into_iter().map(|body| plan.count(category, body)).sum();
            let found = decided.get(&category).copied().unwrap_or(0);
            assert_eq!(found, foretold, "{}: {category:?}", plan.name);
        }
    }
    let all: BTreeSet<String> = policy["rule"]
        .as_array()
        .expect("rules")
        .iter()
        .map(|r| r["id"].as_str().expect("id").to_owned())
        .collect();
    assert_eq!(rules, all, "every rule decides about some row");
}

#[test]
fn policy_ends_with_a_person_and_names_each_word_once() {
    let policy = policy();
    let last = policy["rule"].as_array().and_then(|rules| rules.last()).expect("a last rule");
    assert_eq!(last["category"].as_str(), Some("needs_human_review"));
    assert!(last["when"].as_table().is_some_and(toml::Table::is_empty), "the last rule matches everything");
    let mut seen = BTreeSet::new();
    for (list, words) in policy["words"].as_table().expect("words") {
        for word in words.as_array().expect("a list") {
            assert!(seen.insert(word.as_str().expect("a word")), "{list}: {word:?} stands in two lists");
        }
    }
}

/// Text that would be exported, with what it was judged to be.
struct Judged {
    category: Category,
    by_human: bool,
    record: EvidenceRecord,
}

fn exported(record: &EvidenceRecord) -> bool {
    record.run_id.is_some()
        && record.synthetic_depth == 0
        && record.response.as_ref().is_some_and(|r| !r.trim().is_empty())
}

/// Pairs of one task by category, or of one comparison by rank: lower is better.
fn pairs(members: &mut dyn Iterator<Item = (u64, &str)>, only_best: bool) -> usize {
    let mut texts = BTreeSet::new();
    let ranks: Vec<u64> = members.filter(|(_, text)| texts.insert(*text)).map(|(rank, _)| rank).collect();
    let best = ranks.iter().min().copied();
    let better = |a: &u64| ranks.iter().filter(|b| a < b).count();
    ranks.iter().filter(|a| !only_best || Some(**a) == best).map(better).sum::<usize>().min(8)
}

#[test]
fn exports_have_the_promised_counts() {
    let policy = policy();
    let mut judged = Vec::new();
    for plan in &STREAMS {
        for record in fates(plan).records {
            let (rule, category) = decide(&policy, &record);
            judged.push(Judged { category, by_human: rule.starts_with("human-"), record });
        }
    }
    let (mut rag, mut sft, mut prompts) = (BTreeSet::new(), BTreeSet::new(), 0);
    for Judged { category, record, .. } in judged.iter().filter(|j| exported(&j.record)) {
        if matches!(category, Category::Accepted | Category::Partial) {
            rag.insert((record.instruction.clone(), record.response.clone()));
        }
        if *category == Category::Accepted && record.instruction.is_some() {
            prompts += 1;
            sft.insert((record.instruction.clone(), record.context.clone(), record.response.clone()));
        }
    }
    assert_eq!((rag.len() as u64, sft.len() as u64), (FREEZE_RAG, FREEZE_SFT));
    let prompted = STREAMS.iter().filter(|plan| plan.prompted);
    let repeats: u64 = prompted.map(|plan| plan.count(Category::Accepted, Body::Repeat)).sum();
    assert_eq!((prompts - sft.len()) as u64, repeats, "accepted rows that repeat another's text");

    let (mut tasks, mut groups) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for Judged { category, by_human, record } in judged.iter().filter(|j| exported(&j.record)) {
        let text = record.response.as_deref().unwrap_or_default();
        if let Some(comparison) = &record.comparison
            && !(*by_human && *category == Category::Rejected)
        {
            groups.entry(comparison.group.as_str()).or_default().push((comparison.rank, text));
        }
        if let Some(task) = &record.task_id
            && *category != Category::Human
            && record.instruction.is_some()
        {
            tasks.entry(task.as_str()).or_default().push((*category as u64, text));
        }
    }
    let of_tasks: usize = tasks.values().map(|m| pairs(&mut m.iter().copied(), false)).sum();
    let of_groups: usize = groups.values().map(|m| pairs(&mut m.iter().copied(), true)).sum();
    assert_eq!(
        (of_tasks + of_groups) as u64,
        FREEZE_PAIRS,
        "{of_tasks} of tasks, {of_groups} of comparisons"
    );
}

#[test]
fn model_calls_keep_tool_arguments_that_are_no_json() {
    let plan = STREAMS.iter().find(|plan| plan.name == "model_calls").expect("the stream");
    let records = fates(plan).records;
    let calls: Vec<_> = records.iter().flat_map(|r| &r.messages).flat_map(|m| &m.tool_calls).collect();
    let parsed = calls.iter().filter(|call| call.arguments_object.is_some()).count();
    assert!(parsed > 10 && parsed < calls.len(), "{parsed} of {} parse", calls.len());
    for record in &records {
        let last = record.messages.last().expect("a conversation");
        assert_eq!((last.role.as_str(), &last.content), ("assistant", &record.response), "{}", record.key);
    }
}

#[test]
fn people_overrule_machines_somewhere() {
    let plan = STREAMS.iter().find(|plan| plan.name == "pr_audits").expect("the stream");
    assert!(plan.each_record().any(|(_, signal, _)| signal == Signal::Human(Verdict::Accept)));
    let overruled = fates(plan).records.into_iter().filter(|record| {
        record.human_override.as_ref().is_some_and(|h| ["accept", "merge"].contains(&h.verdict.as_str()))
            && record.validation_results.values().all(|r| *r == PassFail::Fail)
    });
    assert_eq!(overruled.count(), 4);
}

#[test]
fn documented_rows_are_rows_of_the_sample() {
    let page = text("docs/streams.md");
    let documented: Vec<&str> = page.lines().filter(|line| line.starts_with("{\"")).collect();
    assert_eq!(documented.len(), STREAMS.len());
    for plan in &STREAMS {
        let section = page.split("\n## ").find(|s| s.starts_with(plan.name)).expect(plan.name);
        let row = section.lines().find(|line| line.starts_with("{\"")).expect("a row");
        let file =
            String::from_utf8_lossy(&read(&format!("fixtures/lakehouse/{}", plan.file()))).into_owned();
        assert!(file.lines().any(|line| line == row), "{}", plan.name);
        assert!(page.contains(&format!("| [{0}](#{0}) | {1} |", plan.name, plan.rows())), "{}", plan.name);
    }
}
