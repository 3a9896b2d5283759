//! A model that gives no answer: one clear error each, exit 3, nothing stored. One that is busy is asked again.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::Desk;
use super::server::{Order, Server, response};

const TASK: &str = "Why does the lookup of merge_stock fail?";

/// Follows the orders, and checks that the replay ends with 3, one error of `parts` and a hint, and leaves nothing behind.
#[track_caller]
fn check(desk: &Desk, orders: Vec<Order>, more: &[&str], parts: &[&str], hint: &str) {
    let before = desk.state();
    desk.server.orders(orders);
    let answer = desk.replay(TASK, more);
    assert_eq!(answer.status, 3, "{answer:?}");
    for part in parts {
        answer.says(part, hint);
    }
    assert_eq!(answer.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{answer:?}");
    assert_eq!(desk.state(), before, "nothing is stored");
    let left = desk.bench.path().join(".distill/tmp/replay-rows.json");
    assert!(!left.exists(), "nothing is begun");
}

fn status(status: u16, body: &str) -> Order {
    Order::Status(status, Vec::new(), body.to_owned())
}

#[test]
fn every_way_of_giving_no_answer_has_its_error() {
    let desk = Desk::new();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let nobody = format!("http://{free}/v1");
    check(
        &desk,
        vec![],
        &["--endpoint", &nobody],
        &["no model answers at", "onnection refused"],
        "ollama serve",
    );
    let wrong = r#"{"error":{"message":"Incorrect API key provided"}}"#;
    check(
        &desk,
        vec![status(401, wrong)],
        &[],
        &["refuses the key (status 401: Incorrect API key provided)"],
        "api_key_env",
    );
    let unknown = r#"{"error":{"message":"model 'tiny' not found"}}"#;
    check(&desk, vec![status(404, unknown)], &[], &["has no model called `tiny`"], "ollama pull");
    check(&desk, vec![status(404, "404 page not found")], &[], &["there is no chat at"], "/v1");
    check(
        &desk,
        vec![status(413, "{\"message\":\"too long\"}")],
        &[],
        &["refuses the request (status 413: too long)"],
        "-k",
    );
    check(
        &desk,
        vec![status(200, "<html><body>Welcome</body></html>")],
        &[],
        &["not JSON: `<html>"],
        "OpenAI-compatible",
    );
    check(&desk, vec![status(200, "{\"ok\":true}")], &[], &["holds no answer"], "OpenAI-compatible");
    let json = vec![("Content-Type", "application/json".to_owned())];
    let long = format!("{{\"choices\":[{{\"message\":{{\"content\":\"{}\"}}}}]}}", "x".repeat(10_000_000));
    check(&desk, vec![Order::Status(200, json, long)], &[], &["is longer than 8 MiB"], "max_tokens");
    let event =
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(1_000_000));
    let stream = vec![("Content-Type", "text/event-stream".to_owned())];
    check(
        &desk,
        vec![Order::Status(200, stream.clone(), event.repeat(10))],
        &[],
        &["is longer than 8 MiB"],
        "max_tokens",
    );
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"The inde\"}}]}\n\n";
    check(
        &desk,
        vec![Order::Status(200, stream.clone(), half.to_owned())],
        &[],
        &["broke off in the middle"],
        "log",
    );
    let complaint = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n".to_owned();
    check(&desk, vec![Order::Status(200, stream.clone(), complaint)], &[], &["it says `out of memory`"], "");
    check(
        &desk,
        vec![Order::Status(200, stream, "data: not json\n\n".to_owned())],
        &[],
        &["not JSON: `not json`"],
        "",
    );
    // Fewer bytes than announced, and no HTTP at all.
    let mut cut = response(200, &[("Content-Type", "application/json".to_owned())], b"{\"choices\": []}");
    cut.truncate(cut.len() - 5);
    check(&desk, vec![Order::Bytes(cut)], &[], &["broke off in the middle"], "log");
    check(
        &desk,
        vec![Order::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())],
        &[],
        &["no model answers at"],
        "nothing was stored",
    );
    check(&desk, vec![Order::Bytes(Vec::new())], &[], &["no model answers at"], "nothing was stored");
}

#[test]
fn neither_prompt_nor_key_follows_a_redirect_to_another_host() {
    let desk = Desk::new();
    let other = Server::start();
    desk.configure("api_key_env = \"SMALL_KEY\"\n");
    for code in [301, 302, 307, 308] {
        let to = vec![("Location", format!("{}/chat/completions?key=1", other.url()))];
        desk.server.orders([Order::Status(code, to, String::new())]);
        let before = desk.state();
        let output = desk
            .bench
            .command(&["replay", "--task", TASK])
            .env("SMALL_KEY", "sk-1234")
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(&format!("redirects to {}/chat/completions,", other.url())), "{said}");
        assert!(!said.contains("sk-1234") && !said.contains("key=1"), "{said}");
        assert_eq!(desk.state(), before);
    }
    assert!(other.heard().is_empty(), "the other host hears nothing");
    // Within the host a redirect that keeps the method is followed, key and prompt with it.
    desk.server.orders([Order::Status(
        307,
        vec![("Location", "/other/chat/completions".to_owned())],
        String::new(),
    )]);
    let output = desk
        .bench
        .command(&["replay", "--task", TASK])
        .env("SMALL_KEY", "sk-1234")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let heard = desk.server.heard();
    let last = heard.last().expect("a request");
    assert_eq!(
        (last.path.as_str(), last.header("authorization")),
        ("/other/chat/completions", Some("Bearer sk-1234"))
    );
}

#[test]
fn a_key_that_a_server_repeats_is_not_shown() {
    let desk = Desk::new();
    desk.configure("api_key_env = \"SMALL_KEY\"\n");
    desk.server.orders([status(403, "{\"error\":\"key sk-1234 may not do this\"}")]);
    let output = desk
        .bench
        .command(&["replay", "--task", TASK])
        .env("SMALL_KEY", "sk-1234")
        .output()
        .expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("key [key] may not do this") && !said.contains("sk-1234"), "{said}");
}

#[test]
fn a_busy_model_is_asked_again() {
    let desk = Desk::new();
    let soon =
        || Order::Status(429, vec![("Retry-After", "0".to_owned())], "{\"error\":\"slow down\"}".to_owned());
    desk.server.orders([soon(), status(503, "")]);
    let answer = desk.replay(TASK, &[]);
    assert_eq!(answer.status, 0, "{answer:?}");
    assert_eq!(desk.server.heard().len(), 3, "asked until it answers");
    // Two retries are configured.
    check(
        &desk,
        vec![soon(), soon(), soon()],
        &[],
        &["did not answer in 3 attempts (status 429: slow down)"],
        "replay.retries",
    );
    assert_eq!(desk.server.heard().len(), 6);
    let later = Order::Status(429, vec![("Retry-After", "3600".to_owned())], String::new());
    check(&desk, vec![later], &[], &["wants to be asked again in 3600 s"], "later");
    // What asking again cannot change is not asked again.
    check(&desk, vec![status(400, "{\"error\":\"bad request\"}")], &[], &["status 400: bad request"], "");
    assert_eq!(desk.server.heard().len(), 8);
    let started = Instant::now();
    desk.server.orders([Order::Status(429, vec![("Retry-After", "1".to_owned())], String::new())]);
    assert_eq!(desk.replay(TASK, &[]).status, 0);
    assert!(started.elapsed() >= Duration::from_secs(1), "it waits as long as it is told to");
}

#[test]
fn a_silent_model_is_not_waited_for_for_ever() {
    let desk = Desk::new();
    desk.configure("timeout_s = 1\n");
    let started = Instant::now();
    check(
        &desk,
        vec![Order::Hang(Duration::from_secs(30))],
        &[],
        &["gave no whole answer within 1 s"],
        "timeout_s",
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    // One that dribbles is not either.
    desk.server.slow(Duration::from_millis(300), Duration::ZERO);
    check(
        &desk,
        vec![Order::Say("a b c d e f g h i j k l m n o p".to_owned())],
        &[],
        &["within 1 s"],
        "timeout_s",
    );
}

#[test]
fn one_answer_missing_of_a_suite_stores_none() {
    let desk = Desk::new();
    desk.bench.write(
        "suite.jsonl",
        "{\"task\":\"Why does merge_stock fail?\"}\n{\"task\":\"Why is rebuild_carts slow?\"}\n",
    );
    let before = desk.state();
    desk.server.orders([Order::Copy, status(401, "")]);
    let answer = desk.bench.run(&["replay", "--suite", "suite.jsonl"]);
    assert_eq!(answer.status, 3, "{answer:?}");
    assert_eq!(desk.state(), before);
}

#[test]
fn usage_is_checked_before_anything_is_asked() {
    let desk = Desk::new();
    let ask = |args: &[&str]| desk.bench.run(&[&["replay"], args].concat());
    ask(&["--task", " "]).says("is empty", "say what is asked");
    ask(&["--task", "x", "--endpoint", "ada:secret@host"]).says("cannot be asked", "api_key_env");
    desk.bench.write("bad.jsonl", "{\"task\":\"a\"}\n{}\n");
    ask(&["--suite", "bad.jsonl"]).says("bad.jsonl:2: missing field `task`", "a task is a line");
    ask(&["--suite", "none.jsonl"]).says("cannot read none.jsonl", "check the path");
    ask(&["--task", "x", "--at", "nowhere"]).says("nowhere", "");
    let id = desk.bench.id("HEAD");
    desk.bench.ok(&["checkout", &id]);
    ask(&["--task", TASK]).says("HEAD is detached", "distill checkout main");
    desk.bench.ok(&["checkout", "main"]);
    desk.bench.write(".distill/config.toml", "");
    ask(&["--task", TASK]).says("no model is named for http://localhost:11434/v1", "--model");
    assert!(desk.server.heard().is_empty());
}
