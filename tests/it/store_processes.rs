//! Several processes on one store: the test binary runs itself as a worker.

use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use distill::object::FindExt as _;
use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::Write as _;
use distill::store::OpRequest;
use distill::store::PackReport;
use distill::store::RefChange;
use distill::store::Store;
use distill::store::StoreError;

use crate::store::fresh;
use crate::store::object;
use crate::store::unfinished;

const ROLE: &str = "DISTILL_TEST_WORKER_ROLE";
const DIR: &str = "DISTILL_TEST_WORKER_DIR";
const NAME: &str = "DISTILL_TEST_WORKER_NAME";
const ROUNDS: &str = "DISTILL_TEST_WORKER_ROUNDS";

/// How many objects a worker stages in each round.
pub const BATCH: usize = 40;

/// Runs this very binary as a worker.
pub fn spawn(role: &str, dir: &Path, name: &str, rounds: u64) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["store_processes::worker", "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIR, dir)
        .env(NAME, name)
        .env(ROUNDS, rounds.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("start a worker")
}

/// Reads the rounds that a worker has acknowledged until it ends.
pub fn acknowledged(child: &mut Child) -> Vec<u64> {
    let out = BufReader::new(child.stdout.take().expect("piped"));
    out.lines().map_while(Result::ok).filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).collect()
}

/// Not a test of its own: what a spawned process does.
#[test]
fn worker() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = std::env::var(DIR).expect("a directory");
    let name = std::env::var(NAME).expect("a name");
    let rounds: u64 = std::env::var(ROUNDS).expect("rounds").parse().expect("a number");
    match role.as_str() {
        "publish" => publish_rounds(&Store::open(Path::new(&dir)).expect("open"), &name, rounds),
        "init" => init_rounds(Path::new(&dir), rounds),
        "read" => read_rounds(Path::new(&dir), rounds),
        "collect" => crate::store_gc::collect_rounds(&Store::open(Path::new(&dir)).expect("open"), &name),
        "lease" => {
            let store = Store::open(Path::new(&dir)).expect("open");
            let _lease = store.lease("main", &name, Duration::ZERO, &mut |_| {}).expect("free");
            acknowledge(0);
            std::thread::sleep(Duration::from_mins(1));
        }
        other => panic!("no such role: {other}"),
    }
}

/// The line is written whole and at once, past the test harness's capture.
pub fn acknowledge(round: u64) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\nack {round}\n").as_bytes()).expect("a pipe");
    out.flush().expect("a pipe");
}

/// Round after round: new objects, the worker's own branch, and a shared counter that all workers move.
fn publish_rounds(store: &Store, name: &str, rounds: u64) {
    let branch = format!("heads/{name}");
    let first =
        store.operations().filter(|item| moves(item.as_ref().expect("whole"), &branch)).count() as u64;
    for round in first..first.saturating_add(rounds) {
        let series = format!("{name}-{round}");
        loop {
            store.refresh().expect("refresh");
            let mut staging = store.staging().expect("staging");
            for n in 0..BATCH {
                let kind = if n % 7 == 0 { Kind::Node } else { Kind::Data };
                staging.write(kind, &object(&series, n)).expect("write");
            }
            let id = ObjectId::of(&object(&series, BATCH - 1));
            let change =
                |name: &str| RefChange { name: name.to_owned(), old: store.get_ref(name), new: Some(id) };
            let request = OpRequest {
                operation: "test".to_owned(),
                message: Some(series.clone()),
                at: "2026-11-23T00:00:00.000Z".to_owned(),
                ref_changes: vec![change(&branch), change("heads/shared")],
                ..OpRequest::default()
            };
            match store.publish(Some(staging), request) {
                Ok(_) => break,
                Err(StoreError::RefConflict { .. } | StoreError::PackGone { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        acknowledge(round);
    }
}

fn moves(logged: &distill::store::LoggedOperation, branch: &str) -> bool {
    logged.operation.ref_changes.iter().any(|change| change.name == branch)
}

fn init_rounds(dir: &Path, rounds: u64) {
    for round in 0..rounds {
        Store::init(&dir.join(format!("{round}/.distill"))).expect("init");
        acknowledge(round);
    }
}

/// Opens again and again: what every opening sees must be whole, and never go back.
fn read_rounds(dir: &Path, rounds: u64) {
    let mut last = 0;
    for round in 0..rounds {
        let store = Store::open(dir).expect("open");
        let number = store.last_operation().map_or(0, |(number, _)| number);
        assert!(number >= last, "from {last} back to {number}");
        last = number;
        for id in store.refs().values() {
            store.find(id).expect("a ref names an object that is there");
        }
        if round % 8 == 0 {
            assert_eq!(store.operations().flatten().count() as u64, number);
        }
    }
    acknowledge(last);
}

/// The oracle: everything that the log says is there, the chain is whole, nothing is damaged. Returns the series that
/// were published.
pub fn check_whole(dir: &Path) -> BTreeSet<String> {
    let store = Store::open(dir).expect("open");
    let log: Vec<_> = store.operations().map(|item| item.expect("a whole chain")).collect();
    assert_eq!(log.len() as u64, store.last_operation().map_or(0, |(number, _)| number));
    let mut series = BTreeSet::new();
    for logged in &log {
        let name = logged.operation.message.clone().expect("a series");
        for n in 0..BATCH {
            let bytes = object(&name, n);
            assert_eq!(&*store.find(&ObjectId::of(&bytes)).expect("published"), &bytes[..]);
        }
        assert!(series.insert(name), "each round once");
    }
    for (name, id) in store.refs() {
        let newest = log.iter().find(|logged| moves(logged, &name)).expect("somebody moved it");
        assert!(
            newest.operation.ref_changes.iter().any(|change| change.name == name && change.new == Some(id))
        );
    }
    store
        .verify_packs(&mut |report| {
            let fine =
                matches!(report, PackReport::Checked { findings: 0, .. } | PackReport::Uncatalogued { .. });
            assert!(fine, "{report:?}");
        })
        .expect("lists");
    series
}

#[test]
fn processes_that_publish_at_once_lose_nothing() {
    let (_dir, store) = fresh();
    let rounds = if crate::store_damage::long() { 200 } else { 12 };
    let mut workers: Vec<_> = ["a", "b", "c"].map(|name| spawn("publish", store.dir(), name, rounds)).into();
    for worker in &mut workers {
        let acknowledged = acknowledged(worker);
        assert!(worker.wait().expect("wait").success());
        assert_eq!(acknowledged, (0..rounds).collect::<Vec<_>>());
    }
    assert_eq!(check_whole(store.dir()).len() as u64, 3 * rounds);
    store.refresh().expect("refresh");
    assert_eq!(unfinished(&store), Vec::<std::path::PathBuf>::new());
}

#[test]
fn threads_that_share_a_store_publish_at_once_and_lose_nothing() {
    let (_dir, store) = fresh();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let store = store.clone();
            scope.spawn(move || publish_rounds(&store, name, 10));
        }
    });
    assert_eq!(check_whole(store.dir()).len(), 30);
    assert_eq!(unfinished(&store), Vec::<std::path::PathBuf>::new());
}

#[test]
fn readers_never_see_half_a_publish_and_hold_up_nobody() {
    let (_dir, store) = fresh();
    let rounds = if crate::store_damage::long() { 300 } else { 25 };
    let mut readers: Vec<_> = (0..2).map(|_| spawn("read", store.dir(), "reader", rounds * 8)).collect();
    let mut writer = spawn("publish", store.dir(), "w", rounds);
    // Threads that share one store, too.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..rounds * 4 {
                    store.refresh().expect("refresh");
                    for id in store.refs().values() {
                        store.find(id).expect("there");
                    }
                }
            });
        }
    });
    assert_eq!(acknowledged(&mut writer).len() as u64, rounds);
    assert!(writer.wait().expect("wait").success());
    for reader in &mut readers {
        acknowledged(reader);
        assert!(reader.wait().expect("wait").success());
    }
    check_whole(store.dir());
}

#[test]
fn a_lease_ends_with_its_process() {
    let (_dir, store) = fresh();
    let mut child = spawn("lease", store.dir(), "a run elsewhere", 0);
    let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(out.any(|line| line.expect("a line") == "ack 0"), "it has the lease");
    let refused = store.lease("main", "we", Duration::from_millis(10), &mut |_| {}).expect_err("held");
    let expected = format!("a run elsewhere (process {}", child.id());
    assert!(matches!(&refused, StoreError::Busy { owner, .. } if owner.starts_with(&expected)), "{refused}");
    child.kill().expect("kill");
    child.wait().expect("wait");
    store.lease("main", "we", Duration::from_secs(5), &mut |_| {}).expect("free");
}
