//! Pushing to a server: packs in quarantine, refs by compare-and-swap, tokens.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

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

/// A pack of `bench` and its id.
fn a_pack(bench: &Bench) -> (String, Vec<u8>) {
    let pack = bench.packs().into_iter().next().expect("a pack");
    let id = pack.file_stem().expect("a name").to_str().expect("text").to_owned();
    (id, fs::read(&pack).expect("a pack"))
}

fn quarantined(bench: &Bench) -> Vec<String> {
    let Ok(entries) = fs::read_dir(bench.path().join(".distill/tmp/quarantine")) else { return Vec::new() };
    entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect()
}

/// Begins to bring a pack of `len` bytes.
fn begin(server: &Server, id: &str, len: u64) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    let head = format!(
        "PUT /v1/quarantine/{id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let bench = Bench::with_runs();
    let server = writable(&bench);
    let (id, bytes) = a_pack(&bench);
    for part in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let mut stream = begin(&server, &id, bytes.len() as u64);
        stream.write_all(&bytes[..part]).expect("sent");
        let begun = Instant::now();
        while quarantined(&bench).is_empty() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(quarantined(&bench).len(), 1, "it is being written");
        drop(stream);
        let begun = Instant::now();
        while !quarantined(&bench).is_empty() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(quarantined(&bench).is_empty(), "{:?} after {part} bytes", quarantined(&bench));
    }
}

#[test]
fn a_pack_that_is_announced_too_long_is_refused_before_it_comes() {
    let bench = Bench::with_runs();
    let server = writable(&bench);
    let mut stream = begin(&server, &"0".repeat(64), 3 << 30);
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
    let mut answer = vec![0; 512];
    let taken = stream.read(&mut answer).expect("an answer, though nothing was sent");
    let answer = String::from_utf8_lossy(&answer[..taken]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(quarantined(&bench).is_empty());
}

/// What was brought stays until it is taken in: it is not sent twice because the first push came too late.
#[test]
fn a_push_that_is_refused_leaves_its_packs_and_one_pack_serves_two_pushes() {
    let source = Bench::with_runs();
    let bench = Bench::empty();
    bench.ok(&["init"]);
    let server = writable(&bench);
    let mut ids = Vec::new();
    for pack in source.packs() {
        let id = pack.file_stem().expect("a name").to_str().expect("text").to_owned();
        assert_eq!(put(&server, &id, fs::read(&pack).expect("a pack"), Some(TOKEN)).0, 201);
        ids.push(id);
    }
    let absent = "0".repeat(64);
    let ask = |packs: &[String], name: &str, new: &str| {
        let change = json!({"name": name, "old": null, "new": new});
        push(&server, &json!({"schema": "distill.push.v1", "packs": packs, "ref_changes": [change]}))
    };
    // What it names did not come.
    let (status, answer) = ask(&ids, "heads/wrong", &absent);
    assert_eq!((status, quarantined(&bench).len()), (422, ids.len()), "{answer}");
    // Named twice it is taken once.
    let r1 = source.id("r1");
    let (status, answer) = ask(&[&ids[..], &ids[..1]].concat(), "heads/first", &r1);
    assert_eq!(status, 200, "{answer}");
    assert!(quarantined(&bench).is_empty());
    // Somebody else brought the same pack, and was told that it is there.
    let (status, answer) = ask(&ids, "heads/second", &r1);
    assert_eq!(status, 200, "{answer}");
    assert_eq!((bench.id("first"), bench.id("second")), (r1.clone(), r1));
    bench.ok(&["verify"]);
}

#[test]
fn whose_fault_it_is_is_told_and_not_where_things_lie() {
    let source = Bench::with_runs();
    let bench = Bench::empty();
    bench.ok(&["init"]);
    let server = writable(&bench);
    let home = bench.path().to_str().expect("text").to_owned();
    let junk = b"no pack at all".to_vec();
    let (_, mut torn) = a_pack(&source);
    torn[100] ^= 1;
    for bytes in [junk, torn] {
        let id = blake3::hash(&bytes).to_string();
        assert_eq!(put(&server, &id, bytes, Some(TOKEN)).0, 201, "it hashes to its name");
        let change = json!({"name": "heads/x", "old": null, "new": source.id("r1")});
        let body = json!({"schema": "distill.push.v1", "packs": [id], "ref_changes": [change]});
        let (status, answer) = push(&server, &body);
        assert_eq!((status, &answer["kind"]), (422, &"damaged".into()), "{answer}");
        let told = answer.to_string();
        assert!(told.contains(&id) && !told.contains(&home), "{told}");
    }
    // A store that is damaged itself does not say that the push is.
    let bench = Bench::with_runs();
    let server = writable(&bench);
    let r1 = bench.id("r1");
    for pack in bench.packs() {
        let mut permissions = fs::metadata(&pack).expect("a pack").permissions();
        #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test")]
        permissions.set_readonly(false);
        fs::set_permissions(&pack, permissions).expect("writable");
        let len = fs::metadata(&pack).expect("a pack").len();
        let file = fs::File::options().write(true).open(&pack).expect("a pack");
        let hole = vec![0; usize::try_from(len - 200).expect("small")];
        std::os::unix::fs::FileExt::write_all_at(&file, &hole, 16).expect("written");
    }
    let change = json!({"name": "heads/y", "old": null, "new": r1});
    let body = json!({"schema": "distill.push.v1", "packs": [], "ref_changes": [change]});
    let (status, answer) = push(&server, &body);
    assert_eq!(status, 500, "{answer}");
    assert_eq!(answer["message"], "stored data is damaged or missing", "{answer}");
}
