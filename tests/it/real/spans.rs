//! Spans with `GenAI` and `OpenInference` attributes: fixtures of the latter's own instrumentations.

use std::collections::BTreeMap;
use std::path::PathBuf;

use distill::record::{Category, EvidenceRecord};

use super::{categories, folder, jq, refined_in};

const DATA: &str = "openinference-spans";

/// The files of the data set whose name `wanted` takes.
fn files(wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let paths = walkdir::WalkDir::new(folder(DATA)).into_iter().map(|e| e.expect("a listing").into_path());
    let name = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.filter(|path| path.is_file() && wanted(&name(path))).collect()
}

fn sums(evidence: &BTreeMap<String, EvidenceRecord>) -> (u64, u64) {
    let sum = |of: fn(&EvidenceRecord) -> Option<u64>| evidence.values().filter_map(of).sum();
    (sum(|record| record.usage.prompt_tokens), sum(|record| record.usage.completion_tokens))
}

#[test]
fn genai_spans_are_calls_of_models() {
    let Some((_dir, view)) = refined_in("otel-genai", DATA) else { return };
    let files = files(|name| name == "all-spans.json" || name.starts_with("otel_genai"));
    let evidence = view.records::<EvidenceRecord>("evidence");
    // Calls of models: what states tokens by the conventions.
    let calls = "[.. | objects | select(has(\"gen_ai.usage.input_tokens\"))]";
    let count = |filter: &str| jq(filter, &files).as_u64().expect("a count");
    assert_eq!(evidence.len() as u64, count(&format!("{calls} | length")));
    assert_eq!(evidence.len(), 6);
    let tokens = |name: &str| count(&format!("{calls} | map(.[\"gen_ai.usage.{name}_tokens\"]) | add"));
    assert_eq!(sums(&evidence), (tokens("input"), tokens("output")));
    // Every status is unset: nothing is known of the answers.
    assert_eq!(categories(&view), BTreeMap::from([(Category::NeedsHumanReview, evidence.len())]));
    for (key, record) in &evidence {
        assert!(record.instruction.is_some() && record.response.is_some(), "{key}");
        assert!(record.model.name.is_some() && record.model.provider.is_some(), "{key}");
        assert!(record.tags.iter().any(|tag| tag == "finish:stop"), "{key}");
    }
    let timed = evidence.values().filter(|record| record.usage.latency_ms.is_some()).count();
    assert_eq!(timed as u64, count("[.. | objects | select(has(\"gen_ai.system\"))] | length"));
    let haiku =
        evidence.values().find(|r| r.instruction.as_deref() == Some("Write a haiku about programming."));
    let haiku = haiku.expect("a haiku");
    assert_eq!(haiku.usage.latency_ms, Some(1_779.415_667));
    assert_eq!(haiku.model.name.as_deref(), Some("gpt-4o-mini-2024-07-18"));
}

#[test]
fn openinference_spans_are_calls_of_models() {
    let Some((_dir, view)) = refined_in("openinference", DATA) else { return };
    let files = files(|name| name.starts_with("openinference_"));
    let evidence = view.records::<EvidenceRecord>("evidence");
    let spans = jq("map(select(.[\"openinference.span.kind\"] == \"LLM\")) | length", &files);
    assert_eq!(Some(evidence.len() as u64), spans.as_u64());
    let tokens = |name: &str| jq(&format!("map(.[\"llm.token_count.{name}\"]) | add"), &files).as_u64();
    let (prompt, completion) = sums(&evidence);
    assert_eq!((Some(prompt), Some(completion)), (tokens("prompt"), tokens("completion")));
    assert_eq!(categories(&view), BTreeMap::from([(Category::NeedsHumanReview, evidence.len())]));
    // One has messages, the other only the values that were sent and received: both say the same.
    for (key, record) in &evidence {
        assert_eq!(record.instruction.as_deref(), Some("Weather in Paris?"), "{key}");
        let answer = "The weather in Paris is currently rainy with a temperature of 57°F.";
        assert_eq!(record.response.as_deref(), Some(answer), "{key}");
        let roles: Vec<&str> = record.messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "assistant"], "{key}");
        assert_eq!(record.messages[1].tool_calls[0].name, "get_weather", "{key}");
        assert!(record.messages[1].tool_calls[0].arguments_object.is_some(), "{key}");
        assert_eq!(record.messages[2].tool_call_id.as_deref(), Some("1234"), "{key}");
    }
}
