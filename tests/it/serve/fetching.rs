//! `fetch` over HTTP, HTTPS and broken connections.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Server, output, small};
use crate::cli::Bench;

#[test]
fn the_same_bytes_arrive_whatever_they_are_asked_by() {
    let (bench, server) = small();
    let said = output(&bench, "v1.0.0", "exports/sft");
    let text = |key: &str| said[key].as_str().expect("text").to_owned();
    let commit = bench.id("v1.0.0");
    let consumer = Bench::empty();
    for (what, proof) in [
        ("v1.0.0:sft".to_owned(), "receipt"),
        ("HEAD:exports/sft".to_owned(), "receipt"),
        ("heads/main:sft".to_owned(), "receipt"),
        (format!("{commit}:sft"), "receipt"),
        (text("root"), "tree"),
        (text("jsonl_blake3"), "digest"),
        (text("jsonl_sha256"), "digest"),
    ] {
        let fetched = consumer.json("distill.fetch.v1", &["fetch", &server.url, &what, "-o", "out"]);
        assert_eq!((&fetched["proof"], &fetched["root"]), (&proof.into(), &said["root"]), "{what}");
        let bytes = fs::read(consumer.path().join("out")).expect("a file");
        assert_eq!(blake3::hash(&bytes).to_string(), text("jsonl_blake3"), "{what}");
        fs::remove_file(consumer.path().join("out")).expect("removed");
    }
    let evidence =
        consumer.json("distill.fetch.v1", &["fetch", &format!("{}/", server.url), "v1.0.0:evidence"]);
    assert_eq!((&evidence["proof"], &evidence["dataset"]), (&"tree".into(), &"evidence".into()));
    consumer.fails(2, &["fetch", &server.url, "v2:sft"]).says("nothing called `v2`", "name a tag");
    consumer
        .fails(2, &["fetch", &server.url, &"0".repeat(64)])
        .says("neither an object nor an export", "check");
    consumer.fails(3, &["fetch", "http://127.0.0.1:9", "v1:sft"]).says("did not answer", "check the address");
    // The Parquet that is made here is the one that the server makes.
    consumer.ok(&["fetch", &server.url, "v1.0.0:sft", "--format", "parquet"]);
    let made = fs::read(consumer.path().join("sft.parquet")).expect("a file");
    let path = format!("/v1/snapshots/{}/rows.parquet", text("root"));
    assert!(server.get(&path).bytes().expect("a body") == made);
}

/// A proxy that breaks a connection off after so many bytes of each answer's body, as long as `breaks` lasts.
fn breaking(server: &Server, after: usize, breaks: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (upstream, left) = (server.address().to_owned(), Arc::new(AtomicUsize::new(breaks)));
    let shared = Arc::clone(&left);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), upstream, left) = (stream, upstream.clone(), Arc::clone(&shared)) else {
                return;
            };
            std::thread::spawn(move || {
                let Some(head) = read_head(&mut stream) else { return };
                let answer = forward(&upstream, &head);
                let body = memchr::memmem::find(&answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
                let rows = head.contains("rows.jsonl");
                let breaks = rows
                    && answer.len() > body + after
                    && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                let end = if breaks { body + after } else { answer.len() };
                stream.write_all(&answer[..end]).ok();
            });
        }
    });
    (url, left)
}

/// One request's head; `None` when the client has gone.
pub fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).expect("text"))
}

/// The whole answer of `upstream` to a request, after which it closes.
pub fn forward(upstream: &str, head: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(upstream).expect("a connection");
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(head.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let bench = Bench::sampled(1200);
    let server = Server::start(bench.path(), &[]);
    let said = output(&bench, "r1", "exports/rag");
    let consumer = Bench::empty();
    // Within one command.
    let (url, left) = breaking(&server, 50_000, 3);
    let fetched = consumer.json("distill.fetch.v1", &["fetch", &url, "r1:rag"]);
    assert_eq!(left.load(Ordering::SeqCst), 0);
    assert_eq!((&fetched["jsonl"]["blake3"], &fetched["resumed_from"]), (&said["jsonl_blake3"], &0.into()));
    fs::remove_file(consumer.path().join("rag.jsonl")).expect("removed");
    // And by the next one: this server never gives more than the first bytes.
    let (url, _) = breaking(&server, 0, usize::MAX);
    consumer.fails(3, &["fetch", &url, "r1:rag"]).says("interrupted", "goes on from where it stopped");
    let part: Vec<_> =
        fs::read_dir(consumer.path()).expect("a folder").map(|e| e.expect("a file").path()).collect();
    assert!(part.len() == 1 && part[0].to_string_lossy().ends_with(".part"), "{part:?}");
    let whole = server
        .get(&format!("/v1/snapshots/{}/rows.jsonl", said["root"].as_str().expect("text")))
        .bytes()
        .expect("a body");
    fs::write(&part[0], &whole[..40_000]).expect("written");
    let fetched = consumer.json("distill.fetch.v1", &["fetch", &server.url, "r1:rag"]);
    assert_eq!(
        (&fetched["jsonl"]["blake3"], &fetched["resumed_from"]),
        (&said["jsonl_blake3"], &40_000.into())
    );
}

#[test]
fn https_with_a_certificate_that_is_trusted_and_with_none() {
    let bench = Bench::with_runs();
    if !super::certificate(bench.path(), "localhost") {
        println!("skipped: openssl makes no certificate here");
        return;
    }
    let server = Server::start(bench.path(), &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    assert!(server.url.starts_with("https://"));
    let consumer = Bench::empty();
    let fetch = |cert: Option<&str>| {
        let mut command = consumer.command(&["fetch", &server.url, "main:sft"]);
        if let Some(cert) = cert {
            command.env("SSL_CERT_FILE", bench.path().join(cert));
        }
        command.output().expect("it runs")
    };
    let refused = fetch(None);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("certificate"), "{refused:?}");
    assert!(!consumer.path().join("sft.jsonl").exists());
    let taken = fetch(Some("cert.pem"));
    assert!(taken.status.success(), "{taken:?}");
    // And plain HTTP to it is no HTTP.
    consumer.fails(3, &["fetch", &server.url.replace("https", "http"), "main:rag"]);
}
