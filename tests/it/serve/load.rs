//! Many honest clients and many rude ones, while runs are committed.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Server, is_long, output};
use crate::cli::Bench;

/// What the server may hold at its most.
const PEAK_KIB_MAX: u64 = 300 << 10;

#[test]
fn honest_clients_are_served_beside_rude_ones_while_runs_commit() {
    let (clients, rude, runs, rows) = if is_long() { (64, 500, 6, 20_000) } else { (16, 100, 2, 3000) };
    let bench = Bench::sampled(rows);
    bench.ok(&["tag", "v1.0.0", "-m", "the first"]);
    let server = Server::start(bench.path(), &[]);
    let said: Vec<_> =
        ["sft", "rag", "preference"].map(|name| output(&bench, "r1", &format!("exports/{name}"))).to_vec();
    let (stop, answered, cut) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let address = server.address().to_owned();
    let slowest = std::thread::scope(|scope| {
        for n in 0..rude {
            let (address, stop, cut) = (&address, &stop, &cut);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(address) else {
                        std::thread::sleep(Duration::from_millis(50));
                        continue;
                    };
                    // A third sends a head that never ends, a third nothing, a third reads nothing of a long answer.
                    let begin: &[u8] = match n % 3 {
                        0 => b"GET /v1/refs HTTP/1.1\r\nHost: localhost\r\n",
                        1 => b"",
                        _ => b"GET /v1/datasets/r1/evidence/rows.jsonl HTTP/1.1\r\nHost: localhost\r\n\r\n",
                    };
                    stream.write_all(begin).ok();
                    while !stop.load(Ordering::Relaxed) && (n % 3 != 0 || stream.write_all(b"A").is_ok()) {
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    cut.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let honest: Vec<_> = (0..clients)
            .map(|n| {
                let (server, said, stop, answered) = (&server, &said, &stop, &answered);
                scope.spawn(move || {
                    let mut slowest = Duration::ZERO;
                    for turn in 0_usize.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let began = Instant::now();
                        let output = &said[(n + turn) % said.len()];
                        match turn % 4 {
                            0 => {
                                let path = format!(
                                    "/v1/snapshots/{}/rows.jsonl",
                                    output["root"].as_str().expect("text")
                                );
                                let answer = server.get(&path);
                                assert_eq!(answer.status(), 200);
                                let bytes = answer.bytes().expect("a whole body");
                                assert_eq!(blake3::hash(&bytes).to_string(), output["jsonl_blake3"]);
                            }
                            1 => assert_eq!(server.json("/v1/refs")["head"], "heads/main"),
                            2 => assert!(server.json("/v1/log?limit=3")["items"].is_array()),
                            _ => {
                                let path = format!(
                                    "/v1/snapshots/{}/rows.parquet",
                                    output["root"].as_str().expect("text")
                                );
                                let part = server.get_with(&path, &[("range", "bytes=-4")]);
                                assert_eq!(part.bytes().expect("a body"), &b"PAR1"[..]);
                            }
                        }
                        slowest = slowest.max(began.elapsed());
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    slowest
                })
            })
            .collect();
        let source = bench.path().join("fixtures/lakehouse/data/_kb/playbook_runs.jsonl");
        for n in 2..2 + runs {
            // Two hundred rows that were there before, each with something new in it.
            let lines = std::fs::read_to_string(&source).expect("a source");
            let more: String = lines
                .lines()
                .take(200)
                .map(|line| line.replacen('{', &format!("{{\"turn\":{n},"), 1) + "\n")
                .collect();
            std::fs::write(&source, lines + &more).expect("written");
            bench.ok(&["run-all", "--run-id", &format!("r{n}"), "--no-files"]);
            let seen = server.json("/v1/log?limit=1")["items"][0]["run_id"].clone();
            assert_eq!(seen, format!("r{n}"), "what a run committed is served");
        }
        // Long enough for those who send nothing to be cut.
        std::thread::sleep(Duration::from_secs(if is_long() { 15 } else { 2 }));
        stop.store(true, Ordering::Relaxed);
        honest.into_iter().map(|client| client.join().expect("no honest request fails")).max().expect("some")
    });
    let peak = server.peak_kib();
    println!(
        "{} honest answers to {clients} clients beside {rude} rude ones ({} cut or gone) and {runs} runs; slowest {:.2} s, \
         server's peak {} MiB",
        answered.load(Ordering::Relaxed),
        cut.load(Ordering::Relaxed),
        slowest.as_secs_f64(),
        peak >> 10,
    );
    assert!(peak < PEAK_KIB_MAX, "{peak} KiB");
    assert!(answered.load(Ordering::Relaxed) > clients as u64 * 4);
}

/// Long answers that nobody reads and long questions that never end: what they make the server hold has an end.
#[test]
fn memory_is_not_for_whoever_asks_for_much_and_takes_nothing() {
    let bench = Bench::sampled(1200);
    let server = Server::start(bench.path(), &[]);
    let row = bench.ok(&["ls", "r1:rag", "-n", "1"])[..64].to_owned();
    // The longest object that there is, as often as may be asked: eight mebibytes and more.
    let node = output(&bench, "r1", "exports/rag")["root"].as_str().expect("text").to_owned();
    let ids: Vec<&str> = (0..4096).map(|n| if n % 2 == 0 { node.as_str() } else { row.as_str() }).collect();
    let ask = |path: &str, body: &str, len: usize| {
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        // The server may have said no already.
        stream.write_all(body.as_bytes()).ok();
        stream
    };
    let body = serde_json::json!({ "ids": ids }).to_string();
    let before = server.peak_kib();
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(ask("/v1/objects/batch", &body, body.len()));
    }
    let long = format!("{{\"ids\":[{}", " ".repeat(1_000_000));
    for _ in 0..100 {
        open.push(ask("/v1/objects/missing", &long, 1 << 20));
    }
    std::thread::sleep(Duration::from_secs(3));
    let peak = server.peak_kib();
    println!("{} clients that take nothing: from {} MiB to {} MiB", open.len(), before >> 10, peak >> 10);
    assert!(peak < before + (128 << 10), "{before} KiB, then {peak} KiB");
    // Honest clients are served all the same.
    assert_eq!(server.json("/v1/refs")["head"], "heads/main");
    drop(open);
    let few = serde_json::json!({ "ids": [node, row] });
    let whole = server.client().post(format!("{}/v1/objects/batch", server.url)).json(&few).send();
    assert_eq!(whole.expect("an answer").status(), 200);
}
