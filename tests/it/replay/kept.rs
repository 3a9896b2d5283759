//! What a replay leaves behind: one commit, its receipt, a row, a report; and what later runs make of it.

use std::fs;

use serde_json::Value;

use super::Desk;
use super::server::Order;

const TASK: &str = "The lookup of merge_stock fails since Monday. Where do I look first?";

#[test]
fn a_grounded_answer_is_accepted_and_cites_its_records() {
    let desk = Desk::new();
    let answer = desk.replay(TASK, &[]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert!(answer.stdout.contains("customer_key is compared as text"), "{answer:?}");
    assert!(answer.stdout.contains("accepted  tiny at "), "{answer:?}");
    assert!(answer.stdout.contains("[1] 2026/01/02/notes/n1"), "{answer:?}");
    let heard = &desk.server.heard()[0];
    assert_eq!(heard.path, "/v1/chat/completions");
    assert_eq!(heard.body["stream_options"]["include_usage"], true);
    assert!(heard.header("authorization").is_none(), "no key is configured");
    assert!(heard.user().starts_with("Records:\n\n[1]\n    "), "{}", heard.user());
    assert!(heard.user().ends_with(&format!("Task:\n{TASK}")), "{}", heard.user());
    // A server that does not stream is understood, too.
    desk.server.orders([Order::CopyWhole]);
    let whole = desk.json(0, TASK, &[]);
    assert!(whole["items"][0]["attempts"][0]["prompt_tokens"].as_u64().expect("counted") > 50, "{whole:#}");
}

#[test]
fn a_replay_is_one_commit_with_a_receipt_a_row_and_a_report() {
    let desk = Desk::new();
    let bench = &desk.bench;
    let before = bench.json("distill.show.v1", &["show", "HEAD"]);
    let told = desk.json(0, TASK, &["-m", "ask about stock"]);
    let item = &told["items"][0];
    assert_eq!(told["commit_id"], bench.id("HEAD").as_str());
    assert_eq!(before["commit_id"], bench.id("HEAD~1").as_str());
    let shown = bench.json("distill.show.v1", &["show", "HEAD"]);
    assert_eq!(shown["metrics"], before["metrics"], "the datasets are as they were");
    assert_eq!((&shown["operation"], &shown["message"]), (&"replay".into(), &"ask about stock".into()));

    // The receipt names everything, and everything is there.
    let receipts = bench.json("distill.receipts.v1", &["receipts"]);
    let receipts = receipts["receipts"].as_array().expect("receipts");
    let receipt = receipts.iter().find(|receipt| receipt["stage"] == "replay").expect("its receipt");
    let exchange = &receipt["exchanges"][0];
    assert_eq!(
        (&exchange["model"], &exchange["provider"]),
        (&"tiny".into(), &desk.server.host().as_str().into())
    );
    assert!(exchange["prompt_tokens"].as_u64().expect("counted") > 50, "{exchange}");
    assert!(exchange["completion_tokens"].as_u64().expect("counted") > 5, "{exchange}");
    assert_eq!((&exchange["complete"], &exchange["grounded"]), (&true.into(), &true.into()));
    for name in ["prompt_id", "answer_id", "row_id"] {
        let id = exchange[name].as_str().expect("an id");
        assert_eq!(blake3::hash(bench.ok(&["cat", id]).as_bytes()).to_hex().as_str(), id, "{name}");
    }
    let first = exchange["retrieved"][0].as_str().expect("an id");
    let rag: Value = serde_json::from_str(&bench.ok(&["cat", first])).expect("JSON");
    assert_eq!(rag["schema"], "distill.rag_sample.v1");
    let prompt: Value =
        serde_json::from_str(&bench.ok(&["cat", exchange["prompt_id"].as_str().expect("id")])).expect("JSON");
    assert_eq!(
        (&prompt["schema"], &prompt["format"]),
        (&"distill.prompt.v1".into(), &"replay-prompt-2".into())
    );
    assert_eq!(
        prompt["messages"],
        desk.server.heard()[0].body["messages"],
        "what was sent is what is stored"
    );

    // The row is the object, byte for byte.
    let rows = desk.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(item["row_id"], blake3::hash(rows[0].as_bytes()).to_hex().as_str());
    let listed = bench.ok(&["ls", "HEAD:replays"]);
    let keys: Vec<&str> =
        listed.lines().filter_map(|line| line.rsplit_once('/').map(|(_, part)| part)).collect();
    assert_eq!(keys, ["answer-1", "prompt", "row"], "{listed}");

    let page = fs::read_to_string(bench.path().join("reports/distillation/phase7-replay-report.md"))
        .expect("a report");
    assert!(page.contains("| with records | 1 | 1 |"), "{page}");
    bench.ok(&["verify"]);
    bench.ok(&["status"]);
    let audit = bench.json("distill.audit_full.v1", &["audit-full"]);
    assert_eq!(audit["passed"], true, "{audit:#}");
}

#[test]
fn the_next_run_makes_evidence_of_it_and_no_export_takes_it() {
    let desk = Desk::new();
    let bench = &desk.bench;
    let exports = |rev: &str| {
        let shown = bench.json("distill.show.v1", &["show", rev]);
        ["exports/rag", "exports/sft", "exports/preference"].map(|name| shown["datasets"][name].clone())
    };
    let told = desk.json(0, TASK, &[]);
    bench.ok(&["run-all", "--run-id", "r2"]);
    assert_eq!(exports("HEAD"), exports("HEAD~2"), "a corpus is not fed its own output");
    let key = format!("2026/05/28/replay_runs/{}", told["items"][0]["replay_id"].as_str().expect("an id"));
    let evidence: Value =
        serde_json::from_str(&bench.ok(&["cat", &format!("HEAD:evidence/{key}")])).expect("JSON");
    assert_eq!(evidence["synthetic_depth"], 1);
    assert_eq!(evidence["model"]["name"], "tiny");
    assert_eq!(evidence["retrieved_context"][0]["id"], "2026/01/02/notes/n1");
    assert_eq!(
        evidence["provenance"]["raw_id"], told["items"][0]["row_id"],
        "the row is the object of the replay"
    );
    let scored: Value =
        serde_json::from_str(&bench.ok(&["cat", &format!("HEAD:scored-runs/{key}")])).expect("JSON");
    assert_eq!(scored["category"], "accepted");
    let fate = bench.ok(&["trace", "--reverse", "data/_kb/replay_runs.jsonl:1"]);
    assert_eq!(fate.matches("skipped (synthetic)").count(), 3, "{fate}");
    // The run after a replay knows what the run before it knew.
    assert!(bench.ok(&["ls", "HEAD"]).lines().all(|line| !line.contains("replays")), "it is of one commit");
    bench.ok(&["verify"]);
    assert_eq!(bench.json("distill.audit_full.v1", &["audit-full"])["passed"], true);
}

#[test]
fn a_policy_rule_may_say_otherwise() {
    let desk = Desk::new();
    let bench = &desk.bench;
    desk.json(0, TASK, &[]);
    let policy = fs::read_to_string(bench.path().join(".distill/policy.toml")).expect("the policy");
    let rule = "[[rule]]\nid = \"replay-admitted\"\ncategory = \"accepted\"\nadmit_synthetic = true\n\
                when = { stream = \"replay_runs\", validation = \"pass\" }\n\n";
    let at = policy.find("[[rule]]").expect("rules");
    bench.write(".distill/policy.toml", &format!("{}{rule}{}", &policy[..at], &policy[at..]));
    let before =
        bench.json("distill.show.v1", &["show"])["metrics"]["p4_rag_rows"].as_u64().expect("a number");
    bench.ok(&["run-all", "--run-id", "r2"]);
    let after =
        bench.json("distill.show.v1", &["show"])["metrics"]["p4_rag_rows"].as_u64().expect("a number");
    assert_eq!(after, before + 1);
    let root = bench.json("distill.show.v1", &["show"])["datasets"].clone();
    // What is made of it now is one step further from the world.
    let told = desk.json(0, "The lookup of merge_stock fails since Monday, says customer_key. Why?", &[]);
    assert_eq!(told["items"][0]["synthetic_depth"], 2, "{told:#}");
    // One stage alone comes to the same rows.
    bench.ok(&["export-rag"]);
    let again = bench.json("distill.show.v1", &["show"])["datasets"].clone();
    assert_eq!(again["exports/rag"], root["exports/rag"]);
    assert!(again.get("replays").is_none(), "it is of one commit: {again}");
}

#[test]
fn an_answer_that_claims_what_it_was_not_told_needs_a_person() {
    let desk = Desk::new();
    desk.server
        .orders([Order::Say("Drop the table stock_2024 with drop.sh --force after 31 days [1].".to_owned())]);
    let answer = desk.replay(TASK, &[]);
    assert_eq!(answer.status, 1, "{answer:?}");
    assert!(answer.stdout.contains("needs_human_review"), "{answer:?}");
    assert!(answer.stdout.contains("identifier `stock_2024`, bytes 15 to 25"), "{answer:?}");
    assert!(answer.stdout.contains("number `31`, bytes 53 to 55"), "{answer:?}");
    // It is kept all the same, with what was found wrong with it.
    let row: Value = serde_json::from_str(&desk.rows()[0]).expect("JSON");
    assert_eq!((&row["checks"]["complete"], &row["checks"]["grounded"]), (&true.into(), &false.into()));
    let id = row["answer_id"].as_str().expect("an id");
    let stored: Value = serde_json::from_str(&desk.bench.ok(&["cat", id])).expect("JSON");
    let named: Vec<&str> = (stored["judgement"]["unsupported"].as_array().expect("claims").iter())
        .map(|claim| claim["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(named, ["stock_2024", "drop.sh", "--force", "31"]);
}

#[test]
fn a_question_that_is_asked_back_is_no_answer() {
    let desk = Desk::new();
    for echo in ["Why does the lookup of merge_stock fail? [1]", "Where do I look first? [1]", "[1]"] {
        desk.server.orders([Order::Say(echo.to_owned())]);
        let told = desk.json(1, TASK, &[]);
        let fault = if echo == "[1]" { "empty" } else { "echo" };
        assert_eq!(told["items"][0]["judgement"]["faults"], serde_json::json!([fault]), "{echo}");
    }
    let answer = desk.replay("Why is rebuild_carts slow?", &[]);
    assert_eq!(answer.status, 0, "{answer:?}");
    // One that quotes the question and then answers passes.
    let real = "Why does the lookup of merge_stock fail? Since customer_key is compared as text [1].";
    desk.server.orders([Order::Say(real.to_owned())]);
    desk.json(0, TASK, &[]);
}

#[test]
fn escalation_asks_the_second_model_and_only_where_it_is_allowed() {
    let desk = Desk::new();
    desk.configure(&format!(
        "[replay.escalation]\nendpoint = \"{}/chat\"\nmodel = \"large\"\napi_key_env = \"LARGE_KEY\"\n",
        desk.server.url()
    ));
    let poor = || Order::Say("I'm sorry, I cannot say.".to_owned());
    desk.server.orders([poor()]);
    let told = desk.json(1, TASK, &[]);
    assert_eq!(
        told["items"][0]["judgement"]["faults"],
        serde_json::json!(["refusal", "uncited", "uncheckable"])
    );
    assert_eq!(desk.server.heard().len(), 1, "nobody else was asked");

    let answer = desk.replay(TASK, &["--allow-escalation"]);
    answer.says("LARGE_KEY, which is not set", "api_key_env");
    assert_eq!(
        (answer.status, desk.server.heard().len()),
        (2, 1),
        "a key that is missing is missed before anything is asked"
    );

    desk.server.orders([poor()]);
    let mut command = desk.bench.command(&["replay", "--task", TASK, "--allow-escalation", "--json"]);
    let output = command.env("LARGE_KEY", "sk-very-secret").output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let roles: Vec<&str> = (told["items"][0]["attempts"].as_array().expect("attempts").iter())
        .map(|attempt| attempt["role"].as_str().expect("a role"))
        .collect();
    assert_eq!(roles, ["first", "escalation"]);
    assert_eq!(told["items"][0]["verdict"], "accepted");
    let heard = desk.server.heard();
    assert_eq!(heard[1].header("authorization"), None, "the first model gets no key of the second");
    assert_eq!(heard[2].header("authorization"), Some("Bearer sk-very-secret"));
    assert_eq!(
        (heard[2].path.as_str(), &heard[2].body["stream"]),
        ("/v1/chat", &false.into()),
        "a plain gateway"
    );
    // The key is in no file of the repository.
    for entry in walkdir::WalkDir::new(desk.bench.path())
        .into_iter()
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_file())
    {
        let bytes = fs::read(entry.path()).expect("readable");
        assert!(memchr::memmem::find(&bytes, b"very-secret").is_none(), "{}", entry.path().display());
    }
    let said = [output.stdout, output.stderr].concat();
    assert!(memchr::memmem::find(&said, b"very-secret").is_none());
    let row: Value = serde_json::from_str(&desk.rows()[1]).expect("JSON");
    assert_eq!((&row["model"]["name"], &row["model"]["role"]), (&"large".into(), &"escalation".into()));
}

#[test]
fn forms_are_asked_for_and_checked() {
    let desk = Desk::new();
    desk.server.orders([Order::Say("{\"index\": \"hash_key\", \"rows\": 4750311} [1]".to_owned())]);
    let told = desk.json(1, "Why is rebuild_carts slow?", &["--format", "json"]);
    assert_eq!(told["items"][0]["judgement"]["faults"], serde_json::json!(["wrong_format"]));
    assert!(desk.server.heard()[0].user().ends_with("Answer with one JSON value and nothing else."));
    desk.server.orders([Order::Say(
        "{\"index\": \"hash_key\", \"rows\": 4750311, \"records\": \"[1]\"}".to_owned(),
    )]);
    desk.json(0, "Why is rebuild_carts slow?", &["--format", "json"]);
    desk.server.orders([Order::CutShort("The index on hash_key [1]".to_owned())]);
    let told = desk.json(1, "Why is rebuild_carts slow?", &[]);
    assert_eq!(told["items"][0]["judgement"]["faults"], serde_json::json!(["cut_short"]));
    let refused = desk.replay("x", &["--format", "prose"]);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("the forms are text, line, list, json, verdict"), "{refused:?}");
}

#[test]
fn an_old_snapshot_can_be_asked() {
    let desk = Desk::new();
    let bench = &desk.bench;
    bench.ok(&["tag", "v1"]);
    let more = "{\"id\":\"n4\",\"ts\":\"2026-01-04T00:00:00Z\",\"task\":\"t4\",\"prompt\":\"Why does merge_stock stop?\",\"answer\":\"merge_stock stops at lock_timeout.\",\"passed\":true}\n";
    bench.write("notes.jsonl", &format!("{}{more}", super::ROWS));
    bench.ok(&["run-all", "--run-id", "r2"]);
    let keys = |told: &Value| -> Vec<String> {
        let records = told["items"][0]["records"].as_array().expect("records").clone();
        records.iter().map(|record| record["key"].as_str().expect("a key").to_owned()).collect()
    };
    let now = desk.json(0, "Why does merge_stock stop with lock_timeout?", &[]);
    assert!(keys(&now).contains(&"2026/01/04/notes/n4".to_owned()), "{now:#}");
    let then = desk.json(0, "Why does merge_stock stop with lock_timeout?", &["--at", "v1"]);
    assert!(!keys(&then).contains(&"2026/01/04/notes/n4".to_owned()), "{then:#}");
    assert_eq!(then["snapshot"]["commit_id"], bench.id("v1").as_str());
    assert_eq!(
        bench.json("distill.audit_full.v1", &["audit-full"])["passed"],
        true,
        "another snapshot is no dataset of it"
    );
}
