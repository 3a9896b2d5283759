//! Pushing to a server: packs in quarantine, refs by compare-and-swap, tokens.

use std::fs;

use serde_json::{Value, json};

use super::Server;
use crate::cli::Bench;

const TOKEN: &str = "canary-write-0123456789";

/// A server of `bench` to which `TOKEN` may write.
fn writable(bench: &Bench) -> Server {
    bench.write("tokens", &format!("write {TOKEN}\n"));
    Server::start(bench.path(), &["--token-file", "tokens"])
}

/// A command with the token in its environment.
#[track_caller]
fn ok(bench: &Bench, args: &[&str]) {
    let answer = bench.command(args).env("DISTILL_TOKEN", TOKEN).output().expect("it runs");
    assert!(answer.status.success(), "{args:?}: {answer:?}");
}

fn put(server: &Server, id: &str, body: Vec<u8>, token: Option<&str>) -> (u16, Value) {
    let mut request = server.client().put(format!("{}/v1/quarantine/{id}", server.url)).body(body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().expect("an answer");
    (answer.status().as_u16(), answer.json().expect("JSON"))
}

fn push(server: &Server, body: &Value) -> (u16, Value) {
    let request = server.client().post(format!("{}/v1/push", server.url)).bearer_auth(TOKEN).json(body);
    let answer = request.send().expect("an answer");
    (answer.status().as_u16(), answer.json().expect("JSON"))
}

#[test]
fn a_clone_pushes_its_run_back_and_the_server_has_it() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1.0.0", "-m", "the first"]);
    let server = writable(&bench);
    let workshop = Bench::empty();
    ok(&workshop, &["clone", &server.url, "copy"]);
    let copy = workshop.path().join("copy");
    let at = copy.to_str().expect("text");
    assert_eq!(
        workshop.json("distill.show.v1", &["-C", at, "show", "v1.0.0"])["commit_id"],
        bench.id("v1.0.0")
    );
    workshop.ok(&["-C", at, "verify"]);
    workshop.ok(&["-C", at, "tag", "v1.1.0", "-m", "another name"]);
    ok(&workshop, &["-C", at, "push", "origin", "v1.1.0"]);
    assert_eq!(bench.id("v1.1.0"), bench.id("v1.0.0"), "the server's own repository has it");
    let refs = server.json("/v1/refs");
    assert!(refs["refs"].as_array().expect("refs").iter().any(|line| line["name"] == "tags/v1.1.0"));
    bench.ok(&["verify"]);
    // A run with rows that the server has never seen: what it lacks travels, and everything holds there.
    let notes = fs::read_to_string(bench.path().join("notes.jsonl")).expect("rows");
    let row = "{\"id\":\"n7\",\"ts\":\"2026-03-01T00:00:00Z\",\"task\":\"t7\",\"prompt\":\"Say seven\",\"answer\":\"seven\",\"passed\":true}\n";
    fs::write(copy.join("notes.jsonl"), notes + row).expect("written");
    workshop.ok(&["-C", at, "run-all", "--run-id", "r3", "--no-files"]);
    ok(&workshop, &["-C", at, "push"]);
    let tip = |answer: Value| answer["commit_id"].clone();
    let there = tip(bench.json("distill.show.v1", &["show", "main"]));
    assert_eq!(there, tip(workshop.json("distill.show.v1", &["-C", at, "show", "main"])));
    assert!(bench.ok(&["cat", "main:evidence/2026/03/01/notes/n7"]).contains("seven"));
    bench.ok(&["verify"]);
    // Without a token nothing moves.
    workshop.ok(&["-C", at, "tag", "v1.2.0", "-m", "one more"]);
    let refused = workshop.run(&["-C", at, "push", "origin", "v1.2.0"]);
    assert_ne!(refused.status, 0, "{refused:?}");
    assert!(!refused.stderr.contains("canary"));
    bench.fails(2, &["show", "v1.2.0"]);
}

#[test]
fn what_does_not_verify_is_not_taken_and_a_ref_that_moved_is_told() {
    let bench = Bench::with_runs();
    let server = writable(&bench);
    let pack = bench.packs().into_iter().next().expect("a pack");
    let id = pack.file_stem().expect("a name").to_str().expect("text").to_owned();
    let bytes = fs::read(&pack).expect("a pack");
    // The token, and the hash of the file.
    assert_eq!(put(&server, &id, bytes.clone(), None).0, 401);
    assert_eq!(put(&server, &id, bytes.clone(), Some("canary-wrong-0123456789")).0, 401);
    let mut wrong = bytes.clone();
    wrong[100] ^= 1;
    let (status, answer) = put(&server, &id, wrong, Some(TOKEN));
    assert_eq!((status, &answer["kind"]), (422, &"damaged".into()), "{answer}");
    let there = |id: &str| {
        let request = server.client().head(format!("{}/v1/quarantine/{id}", server.url)).bearer_auth(TOKEN);
        request.send().expect("an answer").status().as_u16()
    };
    assert_eq!(there(&id), 404, "nothing of it was kept");
    assert_eq!(put(&server, &id, bytes.clone(), Some(TOKEN)).0, 201);
    assert_eq!(put(&server, &id, bytes, Some(TOKEN)).0, 201, "again is no error");
    assert_eq!(there(&id), 200);

    let (main, before) = (bench.id("main"), bench.id("main~1"));
    let absent = "0".repeat(64);
    let change = |name: &str, old: Value, new: Value| json!({"schema": "distill.push.v1", "packs": [], "ref_changes": [{"name": name, "old": old, "new": new}]});
    // A ref that is not what the push says: 409, with what it is.
    let (status, answer) = push(&server, &change("heads/main", json!(before), json!(main)));
    assert_eq!(
        (status, &answer["kind"], &answer["refs"]["heads/main"]),
        (409, &"refused".into(), &json!(main)),
        "{answer}"
    );
    // A branch that would lose a commit, a run that has its name already.
    let (status, _) = push(&server, &change("heads/main", json!(main), json!(before)));
    assert_eq!(status, 409);
    let (status, _) = push(&server, &change("runs/r1", json!(before), json!(main)));
    assert_eq!(status, 409);
    // What is not there, and packs that were never brought.
    let (status, answer) = push(&server, &change("heads/other", Value::Null, json!(absent)));
    assert!(status == 422, "{answer}");
    let body = json!({"schema": "distill.push.v1", "packs": [absent], "ref_changes": []});
    assert_eq!(push(&server, &body).0, 422);
    // A bare file that is no pack.
    let junk = b"no pack at all".to_vec();
    let junk_id = blake3::hash(&junk).to_string();
    assert_eq!(put(&server, &junk_id, junk, Some(TOKEN)).0, 201, "it hashes to its name");
    let body = json!({"schema": "distill.push.v1", "packs": [junk_id], "ref_changes": [{"name": "heads/other", "old": null, "new": main}]});
    assert_eq!(push(&server, &body).0, 422);
    for bad in [json!({}), json!({"schema": "other", "packs": [], "ref_changes": []}), json!([])] {
        assert!((400..500).contains(&push(&server, &bad).0), "{bad}");
    }
    assert_eq!(bench.id("main"), main);
    bench.ok(&["verify"]);
    // And one that holds.
    let (status, answer) = push(&server, &change("heads/other", Value::Null, json!(before)));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(bench.id("other"), before);
}

#[test]
fn a_server_without_writers_takes_nothing() {
    let bench = Bench::with_runs();
    let server = Server::start(bench.path(), &[]);
    let absent = "0".repeat(64);
    assert_eq!(put(&server, &absent, Vec::new(), None).0, 403);
    let body = json!({"schema": "distill.push.v1", "packs": [], "ref_changes": []});
    assert!(matches!(push(&server, &body).0, 401 | 403));
    assert!(!bench.path().join(".distill/tmp/quarantine").exists());
}
