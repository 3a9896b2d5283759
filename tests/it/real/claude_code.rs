//! Claude Code sessions: two collections, one of whole sessions with subagents, one of lines made to be difficult.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use distill::record::{Category, EvidenceRecord};

use super::{categories, folder, jq, refined_in};
use crate::conservation::View;

/// The session files of a data set, in order.
fn files(data_set: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder(data_set)).sort_by_file_name().into_iter();
    let paths = entries.map(|entry| entry.expect("a listing").into_path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect()
}

/// What `filter` counts in each file on its own, added up.
fn sum(files: &[PathBuf], filter: &str) -> u64 {
    files.iter().map(|file| jq(filter, std::slice::from_ref(file)).as_u64().unwrap_or(0)).sum()
}

fn tagged(evidence: &BTreeMap<String, EvidenceRecord>, tag: &str) -> usize {
    evidence.values().filter(|record| record.tags.iter().any(|t| t == tag)).count()
}

/// The sum of the figures in tags such as `tool_errors:3`.
fn figures(evidence: &BTreeMap<String, EvidenceRecord>, name: &str) -> u64 {
    let tags = evidence.values().flat_map(|record| &record.tags);
    tags.filter_map(|tag| tag.strip_prefix(name)?.strip_prefix(':')?.parse::<u64>().ok()).sum()
}

/// The tokens that jq counts once for each message, and those of the records.
fn check_tokens(files: &[PathBuf], evidence: &BTreeMap<String, EvidenceRecord>) {
    let counted = |name: &str| {
        let largest = format!("map(.message.usage.{name} // 0) | max");
        let filter = format!(
            "[.[] | objects | select(.type == \"assistant\" and .message.usage != null)]
             | group_by(.message.id) | map({largest}) | add"
        );
        sum(files, &filter)
    };
    let of = |figure: fn(&EvidenceRecord) -> Option<u64>| evidence.values().filter_map(figure).sum::<u64>();
    assert_eq!(of(|record| record.usage.completion_tokens), counted("output_tokens"));
    assert_eq!(of(|record| record.usage.cached_tokens), counted("cache_read_input_tokens"));
    let prompt = ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"].map(counted);
    assert_eq!(of(|record| record.usage.prompt_tokens), prompt.iter().sum::<u64>());
}

/// The files of the run are whole in `sources`: every line of every session is there, byte for byte.
fn check_kept(view: &View, files: &[PathBuf]) {
    let sources: BTreeSet<String> = view.entries("sources").into_values().map(|id| id.to_string()).collect();
    for file in files {
        let bytes = std::fs::read(file).expect("a session");
        assert!(sources.contains(&blake3::hash(&bytes).to_hex().to_string()), "{}", file.display());
    }
    assert_eq!(sources.len(), files.len());
}

#[test]
fn sessions_are_answers_to_prompts_with_their_subagents_apart() {
    let Some((_dir, view)) = refined_in("claude-code", "claude-code-viewer") else { return };
    let files = files("claude-code-viewer");
    let evidence = view.records::<EvidenceRecord>("evidence");
    check_kept(&view, &files);
    check_tokens(&files, &evidence);

    let prompts = |sidechain: bool| {
        let filter = format!(
            "[.[] | select(.type == \"user\" and .isSidechain == {sidechain} and .isMeta != true)
             | select(.message.content | if type == \"array\"
               then all(.[]; .type != \"tool_result\") else true end)] | length"
        );
        usize::try_from(sum(&files, &filter)).expect("fits")
    };
    assert_eq!((prompts(true), prompts(false)), (9, 4), "the data is what it was");
    assert_eq!(tagged(&evidence, "sidechain"), prompts(true));
    assert_eq!(evidence.len(), prompts(true) + prompts(false), "every prompt was answered once");
    assert_eq!((tagged(&evidence, "abandoned"), tagged(&evidence, "orphan")), (0, 0));

    // A tool that failed is counted where it failed.
    let errors =
        sum(&files, "[.. | objects | select(.type == \"tool_result\" and .is_error == true)] | length");
    assert_eq!(figures(&evidence, "tool_errors"), errors);
    assert_eq!(errors, 27);

    // Nothing in a session says that an answer was good.
    assert_eq!(categories(&view), BTreeMap::from([(Category::NeedsHumanReview, evidence.len())]));
    assert!(view.entries("exports/rag").is_empty() && view.entries("exports/sft").is_empty());

    for (key, record) in &evidence {
        assert!(record.instruction.is_some() && record.recorded_at.is_some(), "{key}");
        assert!(record.usage.latency_ms.is_some_and(|ms| ms > 0.0), "{key}");
        assert_eq!(record.model.provider.as_deref(), Some("anthropic"), "{key}");
        let called = record.messages.iter().flat_map(|m| &m.tool_calls).filter_map(|c| c.id.as_ref());
        let called: BTreeSet<&String> = called.collect();
        let answered: BTreeSet<&String> =
            record.messages.iter().filter_map(|m| m.tool_call_id.as_ref()).collect();
        assert!(answered.is_subset(&called), "{key}: every result has its call");
    }
    let calls: usize = evidence.values().flat_map(|r| &r.messages).map(|m| m.tool_calls.len()).sum();
    let counted = sum(&files, "[.. | objects | select(.type == \"tool_use\") | .id] | unique | length");
    assert_eq!(calls as u64, counted, "no call is lost, none is there twice");
}

#[test]
fn difficult_lines_are_counted_and_never_fatal() {
    let Some((_dir, view)) = refined_in("claude-code", "claude-code-log") else { return };
    let files = files("claude-code-log");
    let evidence = view.records::<EvidenceRecord>("evidence");
    check_kept(&view, &files);
    check_tokens(&files, &evidence);
    let refused = view.entries("quarantine");
    assert!(
        refused.keys().all(|key| !key.starts_with("evidence/")),
        "no stray line costs a session: {refused:?}"
    );
    let strays = sum(&files, "[.[] | select(type != \"object\")] | length");
    assert_eq!(strays, 3);
    let errors =
        sum(&files, "[.. | objects | select(.type == \"tool_result\" and .is_error == true)] | length");
    assert_eq!(figures(&evidence, "tool_errors"), errors);
    let responses = "[.[] | objects | select(.type == \"assistant\") | .message.id] | unique | length";
    let said = evidence.values().flat_map(|r| &r.messages).filter(|m| m.role == "assistant").count();
    assert_eq!(said as u64, sum(&files, responses), "each response of the model is in one record");
    // One line names a parent that is not in its file.
    assert_eq!(tagged(&evidence, "orphan"), 1);
    // One answer broke off when its tool failed; of the rest nothing is known.
    let expected =
        BTreeMap::from([(Category::Rejected, 1), (Category::NeedsHumanReview, evidence.len() - 1)]);
    assert_eq!(categories(&view), expected);
}
