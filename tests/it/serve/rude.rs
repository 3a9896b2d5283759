//! What rude clients get: nothing that they should not, and not for long.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Server, is_long, output, small};
use crate::cli::Bench;

/// Sends bytes and reads what comes until the server closes, or `wait` is over.
fn exchange(server: &Server, request: &[u8], wait: Duration) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.set_read_timeout(Some(wait)).expect("a limit");
    stream.write_all(request).ok();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(taken @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..taken]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(server: &Server, request: &[u8]) -> u16 {
    let answer = exchange(server, request, Duration::from_millis(700));
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[test]
fn malformed_requests_are_refused_and_the_server_goes_on() {
    let (_bench, server) = small();
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("garbage", vec![0; 4000]),
        ("long address", long.into_bytes()),
        ("many headers", many.into_bytes()),
        ("negative length", b"POST /v1/objects/missing HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec()),
        ("huge length", b"POST /v1/objects/missing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec()),
        ("two lengths", b"POST /v1/objects/missing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec()),
        ("NUL", b"GET /heal\x00thz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("space in a name", b"GET /healthz HTTP/1.1\r\nHo st: localhost\r\n\r\n".to_vec()),
    ];
    for (what, request) in cases {
        let status = status(&server, &request);
        assert!(status == 0 || (400..500).contains(&status), "{what}: {status}");
        assert_eq!(server.get("/healthz").status(), 200, "after {what}");
    }
}

#[test]
fn addresses_that_are_none_reach_no_file() {
    let (bench, server) = small();
    let root = output(&bench, "main", "exports/sft")["root"].as_str().expect("text").to_owned();
    let upper = root.to_uppercase();
    let short = &root[..63];
    for path in [
        "/v1/objects/..%2f..%2fstore.redb",
        "/v1/objects/%2e%2e%2fstore.redb",
        "/v1/packs/..%2F..%2Fconfig.toml",
        "/v1/packs/%00",
        "/v1/ops/-1",
        "/v1/ops/..%2f1",
        &format!("/v1/objects/{upper}"),
        &format!("/v1/objects/{short}"),
        &format!("/v1/objects/{root}0"),
        &format!("/v1/snapshots/{root}/rows.csv"),
        &format!("/v1/snapshots/{root}/..%2frows.jsonl"),
        &format!("/v1/snapshots/{}/rows.jsonl", "0".repeat(64)),
        "/v1/commits/nothing",
        "/v1/commits/%0d%0aX:%20y",
        "/v1/datasets/main/nothing/rows.jsonl",
        "/v1/trace?row=nothing",
        "/v1/schemas/nothing",
        "/nothing",
        "//etc/passwd",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = exchange(&server, request.as_bytes(), Duration::from_secs(5));
        let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        assert!(matches!(status, 400 | 404), "{path}: {answer}");
        assert!(
            !answer.contains(bench.path().to_str().expect("text")),
            "{path} tells where the store lies: {answer}"
        );
    }
    assert_eq!(
        server.client().delete(format!("{}/v1/refs", server.url)).send().expect("an answer").status(),
        405
    );
    // An object that is no snapshot is not given out as one.
    let row = bench.ok(&["ls", "main:sft", "-n", "1"])[..64].to_owned();
    assert_eq!(server.get(&format!("/v1/snapshots/{row}/rows.jsonl")).status(), 404);
}

#[test]
fn a_body_that_is_too_long_is_not_read() {
    let (_bench, server) = small();
    let ids = vec!["0".repeat(64); 20_000];
    let body = serde_json::json!({ "ids": ids }).to_string();
    let post = |body: String| {
        let request = server.client().post(format!("{}/v1/objects/missing", server.url));
        request
            .header("content-type", "application/json")
            .body(body)
            .send()
            .map(|answer| answer.status().as_u16())
    };
    // The server may close before the client has sent all.
    assert!(matches!(post(body), Ok(413) | Err(_)));
    let fewer = serde_json::json!({ "ids": vec!["0".repeat(64); 10_001] }).to_string();
    assert_eq!(post(fewer).expect("an answer"), 413);
    for bad in ["", "{", "[]", "{\"ids\":[\"xyz\"]}", "{\"ids\":[],\"more\":1}"] {
        let status = post(bad.to_owned()).expect("an answer");
        assert!((400..500).contains(&status), "{bad}: {status}");
    }
}

#[test]
fn a_name_that_was_made_to_point_here_reads_nothing() {
    let bench = Bench::with_runs();
    let server = Server::start(bench.path(), &["--host", "data.example"]);
    let ask = |host: &str| {
        let request = format!("GET /v1/refs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(&server, request.as_bytes(), Duration::from_secs(5))
    };
    for evil in ["evil.example", "evil.example:7474", "localhost.evil.example"] {
        let answer = ask(evil);
        assert!(answer.starts_with("HTTP/1.1 421") && !answer.contains("heads/main"), "{answer}");
    }
    for good in ["localhost:1", "127.0.0.1", "data.example"] {
        assert!(ask(good).contains("heads/main"), "{good}");
    }
    // The name in the address goes before the header, and two headers are none.
    let raw = |request: &str| exchange(&server, request.as_bytes(), Duration::from_secs(5));
    let answer =
        raw("GET http://evil.example/v1/refs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    let answer =
        raw("GET http://localhost/v1/refs HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer =
        raw("GET /v1/refs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = ask("localhost").to_lowercase();
    assert!(!answer.contains("access-control-allow"), "{answer}");
}

#[test]
fn who_sends_a_head_slowly_or_nothing_is_cut() {
    let (_bench, server) = small();
    let began = Instant::now();
    let mut idle = TcpStream::connect(server.address()).expect("a connection");
    let mut slow = TcpStream::connect(server.address()).expect("a connection");
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").expect("sent");
    let mut kept = TcpStream::connect(server.address()).expect("a connection");
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    for stream in [&idle, &slow, &kept] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    }
    let dripping = std::thread::spawn(move || {
        // A byte now and then does not help.
        for _ in 0..60 {
            std::thread::sleep(Duration::from_millis(300));
            if slow.write_all(b"A").is_err() {
                break;
            }
        }
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).ok();
        began.elapsed()
    });
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).ok();
    let idle_took = began.elapsed();
    rest.clear();
    kept.read_to_end(&mut rest).ok();
    assert!(rest.starts_with(b"HTTP/1.1 200"), "an answer came before the connection was idle");
    let took = [idle_took, began.elapsed(), dripping.join().expect("it ends")];
    assert!(
        took.iter().all(|took| *took > Duration::from_secs(8) && *took < Duration::from_secs(19)),
        "{took:?}"
    );
}

#[test]
fn who_announces_a_body_and_sends_none_is_answered_and_cut() {
    if !is_long() {
        println!("skipped: DISTILL_TEST_LONG is not set; it takes 30 s");
        return;
    }
    let (_bench, server) = small();
    let began = Instant::now();
    let request = b"POST /v1/objects/missing HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"ids\":";
    let answer = exchange(&server, request, Duration::from_secs(50));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(25) && took < Duration::from_secs(45), "{took:?}");
}

#[test]
fn told_to_end_it_lets_a_transfer_finish() {
    let bench = Bench::sampled(6000);
    let said = output(&bench, "r1", "evidence");
    let server = Server::start(bench.path(), &[]);
    let path = format!("/v1/snapshots/{}/rows.jsonl", said["root"].as_str().expect("text"));
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).expect("sent");
    let mut answer = vec![0; 4096];
    stream.read_exact(&mut answer).expect("it begins");
    server.tell_to_end();
    std::thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(server.address()).is_err(), "no new connections");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    stream.read_to_end(&mut answer).expect("it goes on to its end");
    let at = memchr::memmem::find(&answer, b"\r\n\r\n").expect("a head") + 4;
    let (rows, bytes) = (said["rows"].as_u64().expect("a number"), said["bytes"].as_u64().expect("a number"));
    assert_eq!((answer.len() - at) as u64, bytes + rows);
    let (status, words) = server.ended(Duration::from_secs(5));
    assert_eq!(status, 0);
    assert!(words.contains("Ending: 1 connections") && !words.contains("cut"), "{words}");
}

#[test]
fn wrong_usage_is_said_before_anything_is_served() {
    let bench = Bench::with_runs();
    bench.write("empty", "");
    bench.fails(2, &["serve", "--bind", "nowhere"]).says("`nowhere` is no address", "127.0.0.1:7474");
    bench.fails(2, &["serve", "--token-file", "empty"]).says("has no token", "write TOKEN");
    bench.fails(3, &["serve", "--token-file", "absent"]).says("absent", "check the path");
    bench
        .fails(2, &["serve", "--tls-cert", "empty", "--tls-key", "empty"])
        .says("empty cannot be used", "PEM");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    bench.fails(3, &["serve", "--bind", &address]).says("cannot listen on", "--bind");
}
