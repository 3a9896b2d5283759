//! self-instruct: answers with references and without a verdict; lines that only the name of their file tells apart.

use std::collections::{BTreeMap, BTreeSet};

use distill::record::EvidenceRecord;
use serde_json::{Value, json};

use super::{around, assert_categories, folder, jq, lines, refined, unread_of};
use crate::engine::receipts;

#[test]
fn self_instruct_is_left_to_people() {
    let Some((dir, view)) = refined("self-instruct") else { return };
    let base = folder("self-instruct").join("human_eval");
    let mut files: Vec<_> = std::fs::read_dir(base.join("predictions"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert_categories(&view, r#".[] | "needs_human_review""#, &files);

    let rows: BTreeMap<String, Vec<Value>> = files
        .iter()
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), lines(path)))
        .collect();
    let evidence = view.records::<EvidenceRecord>("evidence");
    let mut of_model: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, record) in &evidence {
        assert!(!key.contains('~'), "{key}");
        let file = record.provenance.source_file.rsplit('/').next().expect("a name");
        let row = &rows[file][usize::try_from(record.provenance.line_offset).expect("fits")];
        let model = record.model.name.as_deref().expect("a model");
        assert_eq!(file.strip_suffix("_predictions.jsonl"), Some(model));
        assert_eq!(record.response.as_deref(), row["response"].as_str());
        assert_eq!(record.instruction.as_deref(), row["instruction"].as_str());
        assert_eq!(record.context.as_deref().unwrap_or_default(), row["input"].as_str().expect("text"));
        assert!(record.validation_results.is_empty() && record.observer.is_none());
        assert!(record.human_override.is_none() && record.comparison.is_none());
        let (target, asked) =
            (row["target"].as_str().expect("text").trim(), row["prompt"].as_str().expect("text"));
        assert!(target.len() < 40 || asked.contains(target) || !around(record).contains(target), "{key}");
        of_model.entry(model).or_default().insert(record.task_id.as_deref().expect("a joined task"));
    }
    let tasks = lines(&base.join("user_oriented_instructions.jsonl"));
    let ids: BTreeSet<&str> = tasks.iter().map(|task| task["id"].as_str().expect("an id")).collect();
    assert_eq!((of_model.len(), ids.len()), (8, 252));
    assert!(of_model.values().all(|tasks| *tasks == ids), "every model answered every task");

    // Lines that are equal in several files are answers of several models, not one answer repeated.
    let repeated = jq("length - (unique | length)", &files);
    assert_eq!((&repeated, receipts(&view.repo, &view.head)["evidence"].counts.duplicates), (&json!(180), 0));

    for export in ["exports/rag", "exports/sft", "exports/preference"] {
        assert!(view.entries(export).is_empty(), "{export}");
    }
    assert_eq!(unread_of(dir.path()), ["prompt", "target"]);
}
