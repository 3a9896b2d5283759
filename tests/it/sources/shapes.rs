//! Shapes over hand-made files: sessions that fork, break and go round, and spans in every envelope and dialect.
#![expect(clippy::needless_pass_by_value, reason = "lines are written as nested calls of `json!`")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use distill::pipeline::source::{
    Adapter, Coverage, Draft, Lookups, Outcome, Spec, UnitInput, UnitReader, embedded,
};
use distill::record::EvidenceRecord;
use proptest::prelude::*;
use serde_json::{Value, json};

fn embedded_spec(name: &str) -> Spec {
    let (_, text) = embedded().iter().find(|(n, _)| *n == name).expect("an embedded spec");
    Spec::parse(name, text).unwrap_or_else(|e| panic!("{e}"))
}

thread_local! {
    /// Adapters are slow to make and hold nothing of the unit before.
    static ADAPTERS: RefCell<BTreeMap<String, (Spec, Adapter)>> = RefCell::default();
}

/// What the spec `name` makes of one file, and the counts.
fn shaped(name: &str, bytes: &[u8]) -> (Outcome, Coverage) {
    ADAPTERS.with_borrow_mut(|adapters| {
        let (spec, adapter) = adapters.entry(name.to_owned()).or_insert_with(|| {
            let spec = embedded_spec(name);
            let adapter = super::adapter(&spec);
            (spec, adapter)
        });
        let mut coverage = adapter.coverage();
        let mut input = bytes;
        let unit = UnitReader::new(&mut input, spec.unit(), None).next_unit();
        let unit = unit.expect("memory").expect("a unit");
        let lookups = Lookups::default();
        let outcome = adapter.observe(&UnitInput::new("a/s.jsonl", &unit, &lookups), &mut coverage).outcome;
        (outcome, coverage)
    })
}

fn drafts(name: &str, bytes: &[u8]) -> Vec<Draft> {
    match shaped(name, bytes).0 {
        Outcome::Records(drafts) => drafts,
        other => panic!("{other:?}"),
    }
}

fn records(name: &str, bytes: &[u8]) -> Vec<EvidenceRecord> {
    drafts(name, bytes).into_iter().map(|draft| draft.record).collect()
}

fn lines(lines: &[Value]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// A line of a session; the second of its time is the number in its name.
fn line(kind: &str, uuid: &str, parent: &str, message: Value) -> Value {
    let second = uuid.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0);
    let parent = if parent.is_empty() { Value::Null } else { parent.into() };
    json!({
        "type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s", "isSidechain": false,
        "timestamp": format!("2026-01-01T00:00:{second:02}Z"), "message": message,
    })
}

fn user(uuid: &str, parent: &str, text: &str) -> Value {
    line("user", uuid, parent, json!({"role": "user", "content": text}))
}

fn assistant(uuid: &str, parent: &str, id: &str, block: Value) -> Value {
    let usage = json!({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100});
    line(
        "assistant",
        uuid,
        parent,
        json!({"id": id, "role": "assistant", "model": "claude-x",
        "content": [block], "usage": usage}),
    )
}

fn says(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn calls(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "Bash", "input": {"command": id}})
}

fn result(uuid: &str, parent: &str, id: &str, is_error: bool) -> Value {
    let block = json!({"type": "tool_result", "tool_use_id": id, "content": "out", "is_error": is_error});
    line("user", uuid, parent, json!({"role": "user", "content": [block]}))
}

fn with(mut line: Value, members: Value) -> Value {
    let members = members.as_object().expect("members").clone();
    line.as_object_mut().expect("a line").extend(members);
    line
}

/// Instruction, response and tags but the first, of each record.
fn told(records: &[EvidenceRecord]) -> Vec<(Option<&str>, Option<&str>, Vec<&str>)> {
    let tags = |r: &EvidenceRecord| r.tags.len();
    records
        .iter()
        .map(|r| {
            let tail = r.tags[1..tags(r)].iter().map(String::as_str).collect();
            (r.instruction.as_deref(), r.response.as_deref(), tail)
        })
        .collect()
}

/// How often something was met inside the unit.
fn noted(coverage: &Coverage, name: &str) -> u64 {
    coverage.report().noted.counts.get(name).copied().unwrap_or(0)
}

#[test]
fn a_prompt_that_was_gone_back_to_has_an_answer_on_each_branch() {
    let session = [
        user("u1", "", "one"),
        assistant("a2", "u1", "m1", says("first")),
        user("u3", "a2", "two, badly"),
        assistant("a4", "u3", "m2", says("left behind")),
        // Gone back to the first answer, and asked otherwise; then the answer was made a second time.
        user("u5", "a2", "two"),
        assistant("a6", "u5", "m3", says("tried")),
        assistant("a7", "u5", "m4", says("kept")),
    ];
    let records = records("claude-code", &lines(&session));
    let expected = vec![
        (Some("one"), Some("first"), vec![]),
        (Some("two, badly"), Some("left behind"), vec!["abandoned", "follow_up"]),
        (Some("two"), Some("tried"), vec!["abandoned", "follow_up"]),
        (Some("two"), Some("kept"), vec!["follow_up"]),
    ];
    assert_eq!(told(&records), expected);
    assert_eq!(records[2].task_id, records[3].task_id, "two attempts at one prompt");
    assert_ne!(records[2].run_id, records[3].run_id);
    assert_eq!(records[3].usage.latency_ms, Some(2000.0));
}

#[test]
fn an_appended_line_moves_no_record() {
    let mut session = vec![
        user("u1", "", "one"),
        assistant("a2", "u1", "m1", says("first")),
        user("u3", "a2", "two"),
        assistant("a4", "u3", "m2", says("second")),
    ];
    let before: Vec<String> =
        drafts("claude-code", &lines(&session)).into_iter().map(|d| d.record.key).collect();
    // The first prompt is answered again, after all else.
    session.push(assistant("a5", "u1", "m3", says("another first")));
    let after: Vec<String> =
        drafts("claude-code", &lines(&session)).into_iter().map(|d| d.record.key).collect();
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.len(), 3);
}

#[test]
fn parallel_calls_fork_the_tree_and_are_one_answer() {
    let session = [
        user("u1", "", "look"),
        assistant("a2", "u1", "m1", says("I will look.")),
        assistant("a3", "a2", "m1", calls("t1")),
        assistant("a4", "a3", "m1", calls("t2")),
        assistant("a5", "a4", "m1", calls("t3")),
        // Each result hangs on the line of its call; the answer goes on from the first.
        result("r6", "a3", "t1", false),
        result("r7", "a4", "t2", true),
        result("r8", "a5", "t3", false),
        assistant("a9", "r6", "m2", says("Found.")),
    ];
    let records = records("claude-code", &lines(&session));
    assert_eq!(told(&records), [(Some("look"), Some("Found."), vec!["tool_errors:1"])]);
    let roles: Vec<&str> = records[0].messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "tool", "assistant"]);
    assert_eq!(records[0].messages[1].tool_calls.len(), 3, "the lines of a response are one message");
    // Two responses, whatever the number of their lines.
    let usage = &records[0].usage;
    assert_eq!(
        (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens),
        (Some(220), Some(10), Some(200))
    );
}

#[test]
fn usage_counts_once_with_its_last_figure_on_all_branches_together() {
    let mut grown = assistant("a3", "a2", "m1", calls("t1"));
    grown["message"]["usage"]["output_tokens"] = json!(400);
    let session = [
        user("u1", "", "go"),
        assistant("a2", "u1", "m1", says("…")),
        grown,
        result("r4", "a3", "t1", false),
        assistant("a5", "r4", "m2", says("old")),
        assistant("a6", "r4", "m3", says("new")),
    ];
    let records = records("claude-code", &lines(&session));
    let tokens: Vec<_> = records.iter().map(|r| r.usage.completion_tokens).collect();
    assert_eq!(tokens, [Some(405), Some(5)], "the shared beginning is the first branch's");
    assert_eq!(records[1].messages.len(), 4, "but both have it");
}

#[test]
fn a_compaction_is_the_context_of_what_follows() {
    let boundary = with(
        line("system", "b3", "", Value::Null),
        json!({"subtype": "compact_boundary", "logicalParentUuid": "a2"}),
    );
    let session = [
        user("u1", "", "one"),
        assistant("a2", "u1", "m1", says("first")),
        boundary,
        with(
            user("c4", "b3", "This session is being continued. Done: one."),
            json!({"isCompactSummary": true}),
        ),
        user("u5", "c4", "two"),
        assistant("a6", "u5", "m2", says("second")),
        // Written again by a later compaction, with the ids that they had.
        user("u1", "", "one"),
        assistant("a2", "u1", "m1", says("first")),
        json!({"type": "summary", "summary": "Two things", "leafUuid": "a6"}),
    ];
    let (outcome, coverage) = shaped("claude-code", &lines(&session));
    let Outcome::Records(drafts) = outcome else { panic!("{outcome:?}") };
    let records: Vec<EvidenceRecord> = drafts.into_iter().map(|d| d.record).collect();
    let expected = [(Some("one"), Some("first"), vec![]), (Some("two"), Some("second"), vec!["follow_up"])];
    assert_eq!(told(&records), expected);
    assert_eq!(records[0].context, None);
    assert_eq!(records[1].context.as_deref(), Some("This session is being continued. Done: one."));
    assert_eq!(records[0].messages.len(), 2, "the summary after an answer is not part of it");
    assert_eq!((noted(&coverage, "repeated uuid"), noted(&coverage, "summary line")), (2, 1));

    // In the middle of an answer it is part of the answer.
    let session = [
        user("u1", "", "one"),
        assistant("a2", "u1", "m1", calls("t1")),
        result("r3", "a2", "t1", false),
        with(user("c4", "r3", "So far: nothing."), json!({"isCompactSummary": true})),
        assistant("a5", "c4", "m2", says("done")),
    ];
    let records = self::records("claude-code", &lines(&session));
    assert_eq!(told(&records), [(Some("one"), Some("done"), vec!["compacted"])]);
}

#[test]
fn subagents_are_records_of_their_own() {
    let side = |line| with(line, json!({"isSidechain": true, "agentId": "x"}));
    let session = [
        user("u1", "", "delegate"),
        assistant("a2", "u1", "m1", calls("t1")),
        side(user("u3", "", "do it")),
        side(assistant("a4", "u3", "m2", says("did it"))),
        result("r5", "a2", "t1", false),
        assistant("a6", "r5", "m3", says("done")),
    ];
    let records = records("claude-code", &lines(&session));
    let expected =
        [(Some("delegate"), Some("done"), vec![]), (Some("do it"), Some("did it"), vec!["sidechain"])];
    assert_eq!(told(&records), expected);
    assert_eq!(records[1].model.role.as_deref(), Some("subagent"));
}

#[test]
fn what_a_person_or_the_api_broke_off_is_marked() {
    let error = with(assistant("a4", "u3", "m2", says("API Error: 529")), json!({"isApiErrorMessage": true}));
    let mut synthetic = error.clone();
    synthetic["message"]["model"] = json!("<synthetic>");
    let session = [
        user("u1", "", "one"),
        assistant("a2", "u1", "m1", calls("t1")),
        user("i2", "a2", "[Request interrupted by user for tool use]"),
        user("u3", "i2", "two"),
        synthetic,
        user("u5", "a4", "three"),
        assistant("a6", "u5", "m3", calls("t2")),
        result("r7", "a6", "t2", true),
    ];
    let records = records("claude-code", &lines(&session));
    let markers: Vec<_> = records.iter().map(|r| r.failure_markers.join(" ")).collect();
    assert_eq!(markers, ["interrupted", "api_error", "ended_on_tool_error"]);
    assert_eq!(records[0].response, None, "a turn that calls a tool is no answer");
    assert_eq!(records[1].model.name, None, "the program is no model");
    assert!(records.iter().all(|r| r.success_markers.is_empty() && r.validation_results.is_empty()));
}

#[test]
fn broken_links_and_unknown_lines_cost_nothing_else() {
    let session = lines(&[
        // Two lines that are each other's parents.
        user("u1", "a2", "round"),
        assistant("a2", "u1", "m1", says("and round")),
        // A line that is its own.
        assistant("a3", "a3", "m2", says("self")),
        assistant("a4", "nowhere", "m3", says("no beginning")),
        user("u5", "a4", "next"),
        with(line("progress", "p6", "u5", Value::Null), json!({"data": 1})),
        assistant("a7", "p6", "m4", says("through an unknown line")),
        json!({"type": "user", "uuid": "u8", "message": "no object"}),
        json!([1]),
    ]);
    let session = [session, b"{\"type\": \"user\", \"uu".to_vec()].concat();
    let (outcome, coverage) = shaped("claude-code", &session);
    let Outcome::Records(drafts) = outcome else { panic!("{outcome:?}") };
    let records: Vec<EvidenceRecord> = drafts.into_iter().map(|d| d.record).collect();
    let bad = "unreadable_lines:1";
    let expected = [
        (Some("round"), Some("and round"), vec!["orphan", bad]),
        (None, Some("self"), vec!["orphan", bad]),
        (None, Some("no beginning"), vec!["orphan", bad]),
        (Some("next"), Some("through an unknown line"), vec![bad]),
    ];
    assert_eq!(told(&records), expected);
    for (name, count) in [
        ("cycle of parents, cut", 2),
        ("line whose parent is not in the file", 1),
        ("unknown line type \"progress\"", 1),
        ("user line without content", 1),
        ("line that is no object", 1),
        ("unreadable line: json_syntax", 1),
    ] {
        assert_eq!(noted(&coverage, name), count, "{name}: {:?}", coverage.report().noted);
    }
}

#[test]
fn a_file_without_a_line_that_can_be_read_is_refused() {
    for (bytes, wanted) in
        [(&b"  \n"[..], "json_empty"), (b"{\"a\n{\"b\n", "json_syntax"), (b"\xff", "json_invalid_utf8")]
    {
        match shaped("claude-code", bytes).0 {
            Outcome::Quarantined { reason, .. } => assert_eq!(reason, wanted),
            other => panic!("{other:?}"),
        }
    }
    // Nothing but lines that are no conversation.
    assert!(
        matches!(shaped("claude-code", b"{\"type\":\"mode\"}\n7\n").0, Outcome::Skipped { rule } if rule == "emit_empty")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the links: mapping ends, every response of the model is in a record, and no usage counts twice.
    #[test]
    fn any_forest_is_told_whole(links in prop::collection::vec((0_usize..4, 0_usize..14, 0_usize..6), 1..14)) {
        let mut responses = BTreeSet::new();
        let session: Vec<Value> = links.iter().enumerate().map(|(at, (kind, parent, id))| {
            let (uuid, parent) = (format!("n{at}"), format!("n{parent}"));
            match kind {
                0 => user(&uuid, &parent, &format!("prompt {at}")),
                1 => result(&uuid, &parent, &format!("t{id}"), false),
                _ => {
                    responses.insert(at);
                    assistant(&uuid, &parent, &format!("m{at}"), if *kind == 2 { says("x") } else { calls(&format!("t{id}")) })
                }
            }
        }).collect();
        let tokens: u64 = match shaped("claude-code", &lines(&session)).0 {
            Outcome::Records(drafts) => {
                let said = drafts.iter().flat_map(|d| &d.record.messages).filter(|m| m.role == "assistant").count();
                prop_assert!(said >= responses.len());
                let keys: BTreeSet<_> = drafts.iter().map(|d| d.record.key.clone()).collect();
                prop_assert_eq!(keys.len(), drafts.len());
                drafts.iter().filter_map(|d| d.record.usage.completion_tokens).sum()
            }
            Outcome::Skipped { .. } => 0,
            other @ Outcome::Quarantined { .. } => panic!("{other:?}"),
        };
        prop_assert_eq!(tokens, 5 * responses.len() as u64);
    }
}

/// Attributes as OTLP writes them.
fn typed(attributes: &Value) -> Value {
    let pairs = attributes.as_object().expect("a map").iter().map(|(key, value)| {
        let value = match value {
            Value::String(text) => json!({"stringValue": text}),
            Value::Number(number) => json!({"intValue": number.to_string()}),
            Value::Array(items) => {
                let values: Vec<_> = items.iter().map(|item| json!({"stringValue": item})).collect();
                json!({"arrayValue": {"values": values}})
            }
            other => panic!("{other}"),
        };
        json!({"key": key, "value": value})
    });
    pairs.collect()
}

fn genai() -> Value {
    json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "p", "gen_ai.request.model": "asked",
        "gen_ai.response.model": "answered", "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3, "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.system_instructions": r#"[{"type":"text","content":"Be brief."}]"#,
        "gen_ai.input.messages": r#"[{"role":"user","parts":[{"type":"text","content":"Hi"}]},
            {"role":"assistant","parts":[{"type":"reasoning","content":"hm"},
             {"type":"tool_call","id":"c","name":"f","arguments":{"a":1}}]},
            {"role":"tool","parts":[{"type":"tool_call_response","id":"c","result":{"b":2}}]}]"#,
        "gen_ai.output.messages": r#"[{"role":"assistant","parts":[{"type":"text","content":"Hello"}],"finish_reason":"stop"}]"#,
    })
}

/// What must come of [`genai`], whatever stands around it.
fn check_genai(record: &EvidenceRecord) {
    let roles: Vec<&str> = record.messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
    assert_eq!((record.instruction.as_deref(), record.response.as_deref()), (Some("Hi"), Some("Hello")));
    assert_eq!(record.messages[2].tool_calls[0].arguments, "{\"a\":1}");
    assert_eq!(record.messages[3].content.as_deref(), Some("{\"b\":2}"));
    assert_eq!(record.messages[3].tool_call_id.as_deref(), Some("c"));
    let usage = &record.usage;
    assert_eq!(
        (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens),
        (Some(7), Some(3), Some(2))
    );
    assert_eq!(
        (record.model.name.as_deref(), record.model.provider.as_deref()),
        (Some("answered"), Some("p"))
    );
    assert!(!serde_json::to_string(record).expect("JSON").contains("hm\""), "reasoning is left out");
}

#[test]
fn a_span_is_the_same_in_every_envelope() {
    let otlp = json!({
        "traceId": "t", "spanId": "1", "name": "chat", "startTimeUnixNano": "1770131992242000000",
        "endTimeUnixNano": "1770131994242500000", "attributes": typed(&genai()), "status": {},
    });
    let http = json!({"traceId": "t", "spanId": "2", "name": "GET", "attributes": []});
    let envelope = json!({"resourceSpans": [{"resource": {"attributes": []},
        "scopeSpans": [{"scope": {"name": "lib"}, "spans": [otlp, http]}]}]});
    let js = json!({"name": "chat", "spanContext": {"traceId": "t", "spanId": "1"}, "attributes": genai(),
        "status": {"code": 0}, "startTime": [1_770_131_992, 242_000_000], "endTime": [1_770_131_994, 242_500_000]});
    let python = json!({"name": "chat", "context": {"trace_id": "0xt", "span_id": "0x1"}, "attributes": genai(),
        "status": {"status_code": "UNSET"}, "start_time": "2026-02-03T15:19:52.242Z",
        "end_time": "2026-02-03T15:19:54.242500Z"});
    for document in [envelope.clone(), js.clone(), json!([python]), json!({"by name": [js]})] {
        let records = records("otel-genai", document.to_string().as_bytes());
        assert_eq!(records.len(), 1, "{document}");
        check_genai(&records[0]);
        assert_eq!(records[0].run_id.as_deref(), Some("t"), "{document}");
        assert!(records[0].key.ends_with("/t-1"), "{}", records[0].key);
        assert_eq!(records[0].usage.latency_ms, Some(2000.5), "{document}");
        assert_eq!(records[0].recorded_at.as_deref(), Some("2026-02-03T15:19:52.242Z"), "{document}");
        assert!(records[0].failure_markers.is_empty());
    }
    // Bare attributes have no time and no id; a file may have an envelope on each line.
    check_genai(&records("otel-genai", genai().to_string().as_bytes())[0]);
    let (outcome, coverage) = shaped("otel-genai", &lines(&[envelope.clone(), envelope]));
    assert!(matches!(outcome, Outcome::Records(drafts) if drafts.len() == 2));
    assert_eq!(
        (noted(&coverage, "span of kind \"llm\""), noted(&coverage, "span of kind \"other\"")),
        (2, 2)
    );
}

#[test]
fn older_dialects_say_the_same() {
    let legacy = json!({"gen_ai.system": "p", "gen_ai.request.model": "m",
        "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Hi",
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "[1, 2]",
        "gen_ai.completion.0.tool_calls.0.name": "f", "gen_ai.completion.0.tool_calls.0.arguments": "{}",
        "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3});
    let record = &records("otel-genai", legacy.to_string().as_bytes())[0];
    assert_eq!((record.instruction.as_deref(), record.response.as_deref()), (Some("Hi"), Some("[1, 2]")));
    assert_eq!(record.messages[1].tool_calls[0].name, "f");
    assert_eq!((record.usage.prompt_tokens, record.usage.completion_tokens), (Some(7), Some(3)));

    let events = json!({"name": "chat", "spanId": "1", "attributes": {"gen_ai.operation.name": "chat"}, "events": [
        {"name": "gen_ai.user.message", "attributes": {"content": "Hi"}},
        {"name": "gen_ai.choice", "attributes": {"message": "{\"role\":\"assistant\",\"content\":\"Hello\"}"}},
    ]});
    let record = &records("otel-genai", events.to_string().as_bytes())[0];
    assert_eq!((record.instruction.as_deref(), record.response.as_deref()), (Some("Hi"), Some("Hello")));

    let unsaid = json!({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"});
    let record = &records("otel-genai", unsaid.to_string().as_bytes())[0];
    assert_eq!((&record.instruction, &record.response), (&None, &None), "nobody opted in");
    assert_eq!(record.usage.prompt_tokens, None, "and what is not said is not 0");
}

#[test]
fn an_error_is_a_marker_and_ok_is_nothing() {
    let span = |status: Value| {
        json!({"name": "chat", "spanId": "1", "attributes": {"gen_ai.operation.name": "chat", "error.type": "timeout"},
            "status": status})
    };
    for (status, markers) in [
        (json!({"code": 2}), vec!["error: timeout"]),
        (json!({"code": "STATUS_CODE_ERROR"}), vec!["error: timeout"]),
        (json!({"status_code": "ERROR"}), vec!["error: timeout"]),
        (json!({"code": 1}), vec![]),
        (json!({}), vec![]),
    ] {
        let record = &records("otel-genai", span(status.clone()).to_string().as_bytes())[0];
        assert_eq!(record.failure_markers, markers, "{status}");
        assert!(record.success_markers.is_empty(), "{status}");
    }
}

#[test]
fn a_label_is_a_verdict_only_where_it_cannot_be_misread() {
    let verdicts = |attributes: Value| {
        let mut all = json!({"openinference.span.kind": "LLM"});
        all.as_object_mut().expect("a map").extend(attributes.as_object().expect("a map").clone());
        let record = records("openinference", all.to_string().as_bytes()).remove(0);
        let observer = record.observer.map(|o| (o.verdict, o.by.unwrap_or_default()));
        (observer, record.human_override.map(|h| (h.verdict, h.reason.unwrap_or_default())))
    };
    let text = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    let human = json!({"annotations.0.annotation.name": "correct", "annotations.0.annotation.label": "Pass",
        "annotations.0.annotation.annotator_kind": "HUMAN", "annotations.0.annotation.explanation": "checked"});
    assert_eq!(verdicts(human), (None, text("pass", "checked")));
    let code = json!({"evaluations.0.evaluation.name": "tests", "evaluations.0.evaluation.label": "fail",
        "evaluations.0.evaluation.annotator_kind": "CODE", "evaluations.0.evaluation.score": 0.2});
    assert_eq!(verdicts(code), (text("fail", "tests"), None));
    // "yes" is no praise for toxicity, and judges who differ decide nothing: no policy knows these words.
    let toxic = json!({"evaluation.name": "toxicity", "evaluation.label": "yes"});
    assert_eq!(verdicts(toxic), (text("toxicity: yes", "toxicity"), None));
    let both = json!({"evaluations.0.evaluation.name": "a", "evaluations.0.evaluation.label": "pass",
        "evaluations.1.evaluation.name": "b", "evaluations.1.evaluation.label": "fail"});
    assert_eq!(verdicts(both), (text("fail; pass", "a; b"), None));
    // A score has a scale of its own.
    assert_eq!(verdicts(json!({"evaluation.name": "q", "evaluation.score": 1})), (None, None));
    // A trace's verdict is not a span's.
    let trace =
        json!({"trace.evaluations.0.evaluation.name": "q", "trace.evaluations.0.evaluation.label": "pass"});
    assert_eq!(verdicts(trace), (None, None));

    let event = json!({"name": "chat", "spanId": "1", "attributes": {"gen_ai.operation.name": "chat"}, "events": [
        {"name": "gen_ai.evaluation.result", "attributes": {"gen_ai.evaluation.name": "q",
            "gen_ai.evaluation.score.label": "pass", "gen_ai.evaluation.score.value": 0.9}}]});
    let record = &records("otel-genai", event.to_string().as_bytes())[0];
    assert_eq!(record.observer.as_ref().map(|o| o.verdict.as_str()), Some("pass"));
    assert_eq!(record.observer.as_ref().and_then(|o| o.confidence), None, "a score is no confidence");
}

#[test]
fn a_line_of_spans_that_cannot_be_read_is_not_passed_over() {
    let file = [lines(&[genai()]), b"{\"gen_ai".to_vec()].concat();
    match shaped("otel-genai", &file).0 {
        Outcome::Quarantined { reason, detail } => {
            assert_eq!((reason, detail.starts_with("line 2;")), ("json_syntax", true), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(shaped("otel-genai", b"{\"spans\": 3}").0, Outcome::Skipped { .. }));
}

#[test]
fn a_shape_is_part_of_a_specs_meaning() {
    let text = |shape: &str| {
        format!("stream = \"s\"\nfiles = [\"a\"]\nunit = \"file\"\n{shape}\n[fields]\nrun_id = \".r\"\n")
    };
    let id = |shape: &str| Spec::parse("s", &text(shape)).unwrap_or_else(|e| panic!("{e}")).id();
    let ids = [id(""), id("shape = \"claude-code\""), id("shape = \"otel-spans\"")];
    assert_eq!(BTreeSet::from(ids).len(), 3);
    let spec = Spec::parse("s", &text("shape = \"otel-spans\"")).expect("a spec");
    assert_eq!(spec.to_value()["shape"]["version"], json!(1), "a new reading is a new spec");
    let error = |text: &str| Spec::parse("s", text).expect_err("no spec").to_string();
    assert_eq!(
        error(&text("shape = \"otel-span\"")),
        "s.toml:4:9: unknown shape \"otel-span\"; did you mean `otel-spans`?"
    );
    let lines = text("shape = \"claude-code\"").replace("\"file\"", "\"line\"");
    assert!(error(&lines).contains("needs unit = \"file\""));
}
