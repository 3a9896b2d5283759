//! MT-bench: judgments joined to questions and answers; judges that failed; pairs between models.

use std::collections::{BTreeMap, BTreeSet};

use distill::object::ObjectId;
use distill::record::{EvidenceRecord, PreferenceSample};
use serde_json::{Value, json};

use super::{assert_categories, folder, jq, lines, refined_in, unread_of};
use crate::engine::receipts;

#[test]
fn mt_bench_is_judged_by_its_scores() {
    let Some((dir, view)) = refined_in("mt-bench", "mt-bench-judgments") else { return };
    let bench = folder("mt-bench-judgments").join("fastchat/llm_judge/data/mt_bench");
    let judged = ["gpt-4_single-origin", "gpt-4_single"]
        .map(|name| bench.join(format!("model_judgment/{name}.jsonl")));
    // One file repeats the other's rows about one model: each judgment counts once, a judge that failed not at all.
    let category = r#"unique | .[] | select(.score > 0) | .score
        | if . >= 7 then "partially_accepted" elif . >= 5 then "needs_human_review" else "rejected" end"#;
    assert_categories(&view, category, &judged);
    let receipt = &receipts(&view.repo, &view.head)["evidence"];
    let counted = jq("[length - (unique | length), (unique | map(select(.score == -1)) | length)]", &judged);
    assert_eq!(json!([receipt.counts.duplicates, receipt.skipped_by["judge_failed"]]), counted);
    assert_eq!(receipt.skipped_by["judge_failed"], 4);
    assert_eq!(receipt.counts.quarantined, 0);

    let questions: BTreeMap<u64, Value> = lines(&bench.join("question.jsonl"))
        .into_iter()
        .map(|q| (q["question_id"].as_u64().expect("an id"), q))
        .collect();
    let mut answers = BTreeMap::new();
    for model in ["Griffin", "Normal"] {
        for row in lines(&bench.join(format!("model_answer/Meta-Llama-3-8B-Instruct-{model}.jsonl"))) {
            answers.insert((row["question_id"].as_u64().expect("an id"), model), row);
        }
    }
    let rows: BTreeMap<String, Vec<Value>> = judged
        .iter()
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), lines(path)))
        .collect();
    let row_of = |record: &EvidenceRecord| {
        let file = record.provenance.source_file.rsplit('/').next().expect("a name");
        &rows[file][usize::try_from(record.provenance.line_offset).expect("fits")]
    };

    let evidence = view.records::<EvidenceRecord>("evidence");
    for (key, record) in &evidence {
        assert!(!key.contains('~'), "{key}");
        let row = row_of(record);
        let id = row["question_id"].as_u64().expect("an id");
        let turn = usize::try_from(row["turn"].as_u64().expect("a turn")).expect("fits");
        let question = &questions[&id];
        let model = row["model"].as_str().expect("a model").rsplit('-').next().expect("a name");
        let answer = &answers[&(id, model)];
        assert_eq!(record.task_id, Some(format!("mt-bench-{id}")));
        assert_eq!(record.instruction.as_deref(), question["turns"][turn - 1].as_str(), "{key}");
        assert_eq!(record.response.as_deref(), answer["choices"][0]["turns"][turn - 1].as_str(), "{key}");
        assert!(
            row["user_prompt"].as_str().expect("text").contains(record.response.as_deref().expect("text"))
        );
        assert_eq!(record.model.name.as_deref(), answer["model_id"].as_str());
        assert_eq!(record.messages.len(), 2 * turn);
        for (message, at) in record.messages.iter().zip(0..) {
            let source = if at % 2 == 0 { &question["turns"] } else { &answer["choices"][0]["turns"] };
            assert_eq!(message.content.as_deref(), source[at / 2].as_str());
        }
        assert_eq!(record.context.is_some(), turn == 2, "a second question needs the first");
        assert_eq!(record.observer.as_ref().and_then(|o| o.confidence), None, "a score is no confidence");
        assert!(record.recorded_at.as_deref().is_some_and(|at| at.starts_with("2024-06-")), "{key}");
        assert!(record.usage.prompt_tokens.is_none() && record.usage.latency_ms.is_none());
        let whole = serde_json::to_string(record).expect("JSON");
        assert!(!whole.contains("Reference Answer") && !whole.contains("impartial judge"), "{key}");
    }

    assert!(view.entries("exports/sft").is_empty(), "a judge's score alone is not enough");
    let known: BTreeMap<ObjectId, String> =
        view.entries("evidence").into_iter().map(|(key, id)| (id, key)).collect();
    let pairs = view.records::<PreferenceSample>("exports/preference");
    let mut paired = BTreeSet::new();
    for (key, pair) in &pairs {
        let side = |id: &ObjectId| row_of(&evidence[&known[id]]);
        let (chosen, rejected) = (side(&pair.evidence_ids.chosen), side(&pair.evidence_ids.rejected));
        assert_eq!(chosen["question_id"], rejected["question_id"], "{key}");
        assert_eq!((&chosen["turn"], &rejected["turn"]), (&json!(1), &json!(1)), "{key}");
        assert_ne!(chosen["model"], rejected["model"], "{key}");
        assert!(chosen["score"].as_f64() > rejected["score"].as_f64(), "{key}");
        assert!(chosen["score"].as_f64() >= Some(5.0), "{key}: nothing rejected is chosen");
        let id = chosen["question_id"].as_u64().expect("an id");
        assert_eq!(Some(pair.prompt.as_str()), questions[&id]["turns"][0].as_str());
        paired.insert(id);
    }
    // Questions whose first turn has a best answer that is fit to be chosen, and a worse one of the other model.
    let counted = jq(
        "map(select(.turn == 1 and .score > 0)) | unique | group_by(.question_id)
         | map((map(.score) | max) as $best | select($best >= 5)
             | [.[] | select(.score == $best) | .model] as $winners
             | select(any(.[]; .score < $best and ([.model] - $winners | length) > 0))) | length",
        &judged,
    );
    assert_eq!((json!(paired.len()), paired.len() > 40), (counted, true));

    assert_eq!(unread_of(dir.path()), Vec::<String>::new());
}
