//! The same against a real S3 protocol: moto's server, a Python package. `.ci/run` installs it and sets `DISTILL_S3_PYTHON`.
//! It serves one request after another: with threads it now and then lets two writers create one object, which the race of
//! `remote add` has found.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::{Place, death, moving, race, with_runs};
use crate::cli::Bench;
use crate::serve::output;
use crate::store_damage::{Random, long};

/// A server that ends with the test.
struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Moto's server without threads. While the file exists, it ignores the condition of a creation, as some stores do.
const SERVE: &str = "
import os, sys
from werkzeug.serving import run_simple
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
moto = DomainDispatcherApplication(create_backend_app)
def serve(environ, start_response):
    if os.path.exists(sys.argv[2]):
        environ.pop('HTTP_IF_NONE_MATCH', None)
    return moto(environ, start_response)
run_simple('127.0.0.1', int(sys.argv[1]), serve, threaded=False)
";

/// Starts a server with an empty bucket; `None`, and said so, where there is no such Python.
fn server() -> Option<Server> {
    let Some(python) = std::env::var_os("DISTILL_S3_PYTHON") else {
        println!("skipped: DISTILL_S3_PYTHON names no Python with moto[server]; .ci/run installs one");
        return None;
    };
    distill::base::tls::install_provider();
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let folder = tempfile::tempdir().expect("a folder");
    let child = Command::new(python)
        .args(["-c", SERVE, &port.to_string()])
        .arg(folder.path().join("lenient"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("moto's server starts");
    let server = Server { child, port, folder };
    let begun = Instant::now();
    loop {
        match server.ask("PUT", "/bucket") {
            Some(answer) if answer.contains("200 OK") => return Some(server),
            _ if begun.elapsed() > Duration::from_mins(1) => panic!("moto's server does not answer"),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

impl Server {
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The bucket, as whoever owns it has it.
    fn owned<T>(&self, work: impl AsyncFnOnce(AmazonS3) -> object_store::Result<T>) -> T {
        let store = AmazonS3Builder::new()
            .with_endpoint(format!("http://127.0.0.1:{}", self.port))
            .with_allow_http(true)
            .with_access_key_id("testing")
            .with_secret_access_key("testing")
            .with_region("us-east-1")
            .with_bucket_name("bucket")
            .build()
            .expect("a bucket");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work(store)).expect("an answer")
    }

    /// The names of all objects below `prefix`.
    fn keys(&self, prefix: &str) -> Vec<String> {
        let prefix = prefix.into();
        let found: Vec<_> = self.owned(async |store| store.list(Some(&prefix)).try_collect().await);
        found.into_iter().map(|meta: object_store::ObjectMeta| meta.location.to_string()).collect()
    }

    fn object(&self, key: &str) -> Vec<u8> {
        self.owned(async |store| store.get(&key.into()).await?.bytes().await).to_vec()
    }

    fn replace(&self, key: &str, bytes: Vec<u8>) {
        self.owned(async |store| store.put(&key.into(), bytes.into()).await);
    }

    fn remove(&self, key: &str) {
        self.owned(async |store| store.delete(&key.into()).await);
    }

    fn place(&self, prefix: &str) -> Place {
        let env = [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "testing".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Place::elsewhere(format!("s3://bucket/{prefix}"), env)
    }
}

#[test]
fn a_bucket_does_what_a_folder_does() {
    let Some(server) = server() else { return };
    moving::goes_round(&server.place("round"));
    moving::forks(&server.place("forks"));
    death::pushes(&server.place("death"), if long() { 50 } else { 4 });
    race::own_branches(&server.place("race"), if long() { 3 } else { 1 });
    race::one_branch(&server.place("one"), if long() { 8 } else { 2 });
    let place = server.place("nowhere");
    place
        .fails(3, &Bench::empty(), &["clone", &place.text, "copy"])
        .says("holds no distill remote", "remote add");
}

#[test]
fn a_bucket_that_cannot_be_reached_or_entered_is_told() {
    let bench = Bench::with_runs();
    let place = Place::elsewhere(
        "s3://bucket/x".to_owned(),
        vec![
            ("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), "k".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "s".to_owned()),
            ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ],
    );
    let answer = place.fails(3, &bench, &["remote", "add", "origin", &place.text]);
    answer.says("s3://bucket/x", "AWS_ENDPOINT_URL");
    assert!(!bench.path().join(".distill/remotes.toml").exists());
    if let Some(server) = server() {
        with_runs(&server.place("y"));
        let mut place = server.place("y");
        place.text = "s3://no-such-bucket/y".to_owned();
        place.fails(3, &bench, &["remote", "add", "origin", &place.text]);
    }
}

/// What `fetch` of something in a bucket said, and that it left no folder of its own behind.
#[track_caller]
fn fetched(place: &Place, consumer: &Bench, args: &[&str]) -> crate::cli::Answer {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut command = place.command(consumer, &["fetch", &place.text]);
    command.args(args).arg("--json").env("TMPDIR", scratch.path());
    let answer = crate::cli::Answer::of(command.output().expect("the program runs"));
    let left = fs::read_dir(scratch.path()).expect("a folder").count();
    assert_eq!(left, 0, "{args:?} left a folder: {answer:?}");
    answer
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn rows_come_from_a_bucket_and_are_held_against_the_commit() {
    let Some(server) = server() else { return };
    let place = server.place("data/agents");
    let ours = with_runs(&place);
    ours.ok(&["tag", "v1.0.0", "-m", "the first"]);
    place.ok(&ours, &["push", "--tags"]);
    let commit = ours.id("v1.0.0");
    let said = output(&ours, "v1.0.0", "exports/sft");
    let text = |key: &str| said[key].as_str().expect("text").to_owned();
    let (root, digest, sha256) = (text("root"), text("jsonl_blake3"), text("jsonl_sha256"));
    let consumer = Bench::empty();
    for (what, more, proof) in [
        ("v1.0.0", &["--dataset", "sft"][..], "receipt"),
        ("v1.0.0:sft", &[], "receipt"),
        ("HEAD:exports/sft", &[], "receipt"),
        ("runs/r2:sft", &[], "receipt"),
        (&commit, &["--dataset", "sft"], "receipt"),
        (&root, &[], "tree"),
        (&digest, &[], "digest"),
        (&sha256, &[], "digest"),
    ] {
        let args: Vec<&str> = [what, "-o", "out.jsonl"].iter().chain(more).copied().collect();
        let answer = fetched(&place, &consumer, &args);
        assert_eq!(answer.status, 0, "{what}: {answer:?}");
        let report: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
        assert_eq!((&report["proof"], &report["root"]), (&proof.into(), &said["root"]), "{what}");
        assert_eq!(report["source"], place.text);
        let bytes = fs::read(consumer.path().join("out.jsonl")).expect("a file");
        assert_eq!(blake3::hash(&bytes).to_string(), digest, "{what}");
        fs::remove_file(consumer.path().join("out.jsonl")).expect("removed");
    }
    for dataset in ["evidence", "sources", "quarantine"] {
        let answer = fetched(&place, &consumer, &["v1.0.0", "--dataset", dataset]);
        assert_eq!(answer.status, 0, "{dataset}: {answer:?}");
        let lines = fs::read_to_string(consumer.path().join(format!("{dataset}.jsonl"))).expect("a file");
        assert_eq!(lines.lines().count(), ours.ok(&["ls", &format!("v1.0.0:{dataset}")]).lines().count());
        fs::remove_file(consumer.path().join(format!("{dataset}.jsonl"))).expect("removed");
    }
    // The Parquet is the one that is made of the repository itself.
    for (from, name) in [(&place.text, "bucket"), (&ours.path().to_str().expect("text").to_owned(), "folder")]
    {
        place.ok(&consumer, &["fetch", from, "v1.0.0:sft", "--format", "parquet", "-o", name]);
    }
    let read = |name: &str| fs::read(consumer.path().join(name)).expect("a file");
    assert!(read("bucket").starts_with(b"PAR1") && read("bucket") == read("folder"));
    assert_eq!(files(consumer.path()).len(), 2);
    let consumer = Bench::empty();
    let fails = |status: i32, args: &[&str]| {
        let answer = fetched(&place, &consumer, args);
        assert_eq!(answer.status, status, "{args:?}: {answer:?}");
        answer.stdout
    };
    assert!(fails(2, &["v2:sft"]).contains("has nothing called `v2`"));
    assert!(fails(2, &["v1.0.0:nothing"]).contains("no dataset called `nothing`"));
    assert!(fails(2, &[&"0".repeat(64)]).contains("neither an object nor an export"));
    assert!(fails(2, &["v1.0.0:sources", "--format", "parquet"]).contains("no Parquet form"));
    assert_eq!(files(consumer.path()).len(), 0);
}

/// Every object of the bucket, changed in one byte: the right file, or none.
#[test]
fn a_changed_byte_in_a_bucket_is_caught() {
    let Some(server) = server() else { return };
    let place = server.place("flips");
    let ours = with_runs(&place);
    ours.ok(&["tag", "v1.0.0", "-m", "the first"]);
    place.ok(&ours, &["push", "--tags"]);
    let said = output(&ours, "v1.0.0", "exports/sft");
    let digest = said["jsonl_blake3"].as_str().expect("text").to_owned();
    let commit = format!("{}:sft", ours.id("v1.0.0"));
    let whats = [commit.as_str(), said["root"].as_str().expect("text"), digest.as_str()];
    let keys = server.keys("flips");
    assert!(
        keys.iter().any(|key| key.ends_with(".pack")) && keys.iter().any(|key| key.contains("/ops/")),
        "{keys:?}"
    );
    let mut random = Random(3);
    let (mut caught, mut unread) = (0, 0);
    for key in keys {
        let sound = server.object(&key);
        for turn in 0..if long() { 60 } else { 6 } {
            let mut bytes = sound.clone();
            // The ends of a pack, where footer and header lie, are always among them.
            let at = match turn {
                0 => 3,
                1 => sound.len().saturating_sub(100),
                _ => usize::try_from(random.below(sound.len() as u64)).expect("small"),
            };
            bytes[at] ^= 1 << (at % 8);
            server.replace(&key, bytes);
            let consumer = Bench::empty();
            let format = if turn % 3 == 2 { "parquet" } else { "jsonl" };
            let what = whats[turn % whats.len()];
            let answer = fetched(&place, &consumer, &[what, "--format", format, "-o", "out"]);
            if answer.status == 0 {
                // Nothing that is needed lies there.
                unread += 1;
                let report: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
                assert_eq!(report["jsonl"]["blake3"], digest, "{key} byte {at}");
                assert_eq!(files(consumer.path()), ["out"]);
            } else {
                caught += 1;
                // The one digit of the format may become that of a later one.
                let is_marker = key.ends_with("distill-remote.json");
                assert!(answer.status == 4 || is_marker && answer.status == 3, "{key} byte {at}: {answer:?}");
                assert!(is_marker || answer.stdout.contains("nothing "), "{key} byte {at}: {answer:?}");
                assert_eq!(files(consumer.path()).len(), 0, "{key} byte {at}: {answer:?}");
            }
        }
        server.replace(&key, sound);
    }
    println!("{caught} changed bytes were caught, {unread} lay where nothing is needed");
    assert!(caught > unread, "{caught} caught, {unread} not read");
    assert_eq!(fetched(&place, &Bench::empty(), &[whats[0]]).status, 0, "mended");
}

#[test]
fn a_fetch_from_a_bucket_goes_on_where_it_was_killed() {
    let Some(server) = server() else { return };
    let place = server.place("long");
    let ours = Bench::sampled(if long() { 6000 } else { 1500 });
    place.ok(&ours, &["remote", "add", "origin", &place.text]);
    place.ok(&ours, &["push"]);
    let consumer = Bench::empty();
    let scratch = tempfile::tempdir().expect("a folder");
    let part = || {
        let parts: Vec<_> =
            files(consumer.path()).into_iter().filter(|name| name.ends_with(".part")).collect();
        parts.first().map(|name| fs::metadata(consumer.path().join(name)).map_or(0, |meta| meta.len()))
    };
    let mut last = 0;
    for _ in 0..3 {
        let mut command = place.command(&consumer, &["fetch", &place.text, "r1", "--dataset", "evidence"]);
        let mut child = command
            .env("TMPDIR", scratch.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        // Killed as soon as more has come than the one before left.
        while part().is_none_or(|bytes| bytes <= last) && child.try_wait().expect("waited for").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().ok();
        child.wait().expect("waited for");
        let there = part().expect("what arrived stays, and the file has not its name yet");
        assert!(there > last, "{there} after {last}");
        last = there;
    }
    assert!(!consumer.path().join("evidence.jsonl").exists());
    let report = place.json(&consumer, &["fetch", &place.text, "r1", "--dataset", "evidence"]);
    assert_eq!(report["resumed_from"], last, "{report}");
    println!("went on after {last} of {} bytes", report["jsonl"]["bytes"]);
    place.ok(&consumer, &["fetch", ours.path().to_str().expect("text"), "r1:evidence", "-o", "truth"]);
    let read = |name: &str| fs::read(consumer.path().join(name)).expect("a file");
    assert!(read("evidence.jsonl") == read("truth"));
}

#[test]
fn a_bucket_that_goes_away_is_told_as_what_it_is() {
    let Some(server) = server() else { return };
    let place = server.place("gone");
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    // A pack that is listed and is not there.
    let pack = server.keys("gone/packs").pop().expect("a pack");
    server.remove(&pack);
    let answer = fetched(&place, &Bench::empty(), &["main:sft"]);
    assert_eq!(answer.status, 4, "{answer:?}");
    assert!(answer.stdout.contains(".pack is missing"), "{answer:?}");
}

/// A store that lets several writers create one name takes no push, whoever made it known to this repository: a clone was told
/// where it comes from, and has never tried it.
#[test]
fn a_store_that_ignores_the_condition_is_refused_by_whoever_would_write() {
    let Some(server) = server() else { return };
    let place = server.place("lenient");
    let ours = with_runs(&place);
    place.ok(&ours, &["push"]);
    let theirs = place.clone();
    theirs.ok(&["tag", "mine", "-m", "one"]);
    let lenient = server.folder.path().join("lenient");
    fs::write(&lenient, "").expect("written");
    let told = place.fails(1, &theirs, &["push", "mine"]);
    told.says("let 9 of 9 writers create the same object", "If-None-Match");
    assert!(place.json(&theirs, &["push", "mine", "--dry-run"])["refs"].is_array(), "to look does no harm");
    place
        .fails(1, &Bench::with_runs(), &["remote", "add", "origin", &place.text])
        .says("9 of 9 writers", "use another store");
    assert_eq!(place.clone().json("distill.tag_list.v1", &["tag"])["items"], serde_json::json!([]));
    assert!(server.keys("lenient/probe").is_empty(), "nothing is left of what was tried");
    // What has been tried is not tried at every push.
    fs::remove_file(&lenient).expect("removed");
    place.ok(&theirs, &["push", "mine"]);
    fs::write(&lenient, "").expect("written");
    theirs.ok(&["tag", "more", "-m", "one"]);
    place.ok(&theirs, &["push", "more"]);
}
