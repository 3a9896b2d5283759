//! A proxy that changes one bit of what a server sends: `fetch` leaves the right file, or none.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use distill::ops::Silent;
use distill::ops::delivery::Format;
use distill::ops::fetch::{FetchOptions, fetch};
use distill::remote::Access;

use super::fetching::{forward, read_head};
use super::{Server, is_long, output, small};

/// A proxy that flips a bit of the byte at `at` of the bodies of answers to requests for `about`, where they are so long.
struct Flipper {
    url: String,
    at: Arc<AtomicUsize>,
    about: Arc<Mutex<String>>,
    /// How many answers were changed.
    flipped: Arc<AtomicUsize>,
    /// The longest body about it.
    longest: Arc<AtomicUsize>,
}

impl Flipper {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let this = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            at: Arc::new(AtomicUsize::new(usize::MAX)),
            about: Arc::default(),
            flipped: Arc::default(),
            longest: Arc::default(),
        };
        let upstream = server.address().to_owned();
        let (at, about) = (Arc::clone(&this.at), Arc::clone(&this.about));
        let (flipped, longest) = (Arc::clone(&this.flipped), Arc::clone(&this.longest));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(head) = read_head(&mut stream) else { continue };
                let mut answer = forward(&upstream, &head);
                if head.lines().next().is_some_and(|line| line.contains(&*about.lock().expect("sound"))) {
                    let body = memchr::memmem::find(&answer, b"\r\n\r\n").expect("a head") + 4;
                    longest.fetch_max(answer.len() - body, Ordering::SeqCst);
                    let at = body.saturating_add(at.load(Ordering::SeqCst));
                    if at < answer.len() {
                        answer[at] ^= 1 << (at % 8);
                        flipped.fetch_add(1, Ordering::SeqCst);
                    }
                }
                stream.write_all(&answer).ok();
            }
        });
        this
    }

    /// Fetches with the byte at `at` of answers about `about` changed; whether a file was left, which is then the right one.
    #[track_caller]
    fn fetch(&self, about: &str, at: usize, what: &str, truth: &[u8], folder: &Path) -> bool {
        about.clone_into(&mut self.about.lock().expect("sound"));
        self.at.store(at, Ordering::SeqCst);
        let file = folder.join("out");
        let options = FetchOptions {
            source: self.url.clone(),
            what: what.to_owned(),
            dataset: None,
            format: Format::Jsonl,
            output: Some(file.clone()),
            force: false,
            access: Access::default(),
            scratch: folder.join("scratch"),
        };
        let outcome = fetch(&options, &Silent);
        let there = std::fs::read(&file).ok();
        assert_eq!(outcome.is_ok(), there.is_some(), "{about} byte {at}: {outcome:?}");
        if let Some(bytes) = &there {
            assert!(bytes == truth, "{about} byte {at}: another file was left");
            std::fs::remove_file(&file).expect("removed");
        }
        let left = std::fs::read_dir(folder).expect("a folder").count();
        assert_eq!(left, 0, "{about} byte {at}: something was left: {outcome:?}");
        there.is_some()
    }
}

#[test]
fn every_changed_byte_is_caught() {
    let (bench, server) = small();
    let said = output(&bench, "v1.0.0", "exports/preference");
    let text = |key: &str| said[key].as_str().expect("text").to_owned();
    let (root, digest, commit) = (text("root"), text("jsonl_blake3"), bench.id("v1.0.0"));
    let truth = server.get(&format!("/v1/snapshots/{root}/rows.jsonl")).bytes().expect("a body");
    assert!(truth.len() > 500);
    let flipper = Flipper::before(&server);
    let folder = tempfile::tempdir().expect("a folder");
    assert!(flipper.fetch("rows.jsonl", usize::MAX, &digest, &truth, folder.path()), "nothing is changed");

    // Every byte of the rows, whatever proves them.
    let by_commit = format!("{commit}:preference");
    for at in 0..truth.len() {
        let proofs = [digest.as_str(), root.as_str(), by_commit.as_str()];
        // All three for each byte take a while.
        let few = if is_long() { &proofs[..] } else { &proofs[at % 3..=at % 3] };
        for what in few {
            assert!(!flipper.fetch("rows.jsonl", at, what, &truth, folder.path()), "{what} byte {at}");
        }
    }
    assert!(flipper.flipped.load(Ordering::SeqCst) >= truth.len());

    // Every byte of every object on the way: commit, tree nodes, receipts.
    let step = if is_long() { 1 } else { 37 };
    flipper.longest.store(0, Ordering::SeqCst);
    assert!(flipper.fetch("/v1/objects/", usize::MAX, &by_commit, &truth, folder.path()));
    let longest = flipper.longest.load(Ordering::SeqCst);
    for at in (0..longest).step_by(step) {
        let (before, what) =
            (flipper.flipped.load(Ordering::SeqCst), if at % 2 == 0 { &by_commit } else { &root });
        let left = flipper.fetch("/v1/objects/", at, what, &truth, folder.path());
        let flipped = flipper.flipped.load(Ordering::SeqCst) > before;
        assert_eq!(left, !flipped, "an object's byte {at}");
    }

    // And of the answers that are only believed: a wrong name is an error, never a wrong file.
    flipper.longest.store(0, Ordering::SeqCst);
    assert!(flipper.fetch("/v1/refs", usize::MAX, "v1.0.0:preference", &truth, folder.path()));
    for at in (0..flipper.longest.load(Ordering::SeqCst)).step_by(if is_long() { 1 } else { 7 }) {
        flipper.fetch("/v1/refs", at, "v1.0.0:preference", &truth, folder.path());
    }
    for at in 0..200 {
        flipper.fetch("/v1/digests/", at, &digest, &truth, folder.path());
    }
}
