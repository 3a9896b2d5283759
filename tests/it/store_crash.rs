//! Sudden death and full disks: the store is as it was before or as it should be after, never between.

use std::fs;
use std::io::BufRead as _;
use std::io::BufReader;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use distill::object::FindExt as _;
use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::Write as _;
use distill::store::PackReport;
use distill::store::Store;
use distill::store::StoreError;

use crate::store::moving;
use crate::store::object;
use crate::store::publish;
use crate::store::unfinished;
use crate::store_damage::Random;
use crate::store_damage::long;
use crate::store_processes::check_whole;
use crate::store_processes::spawn;

#[test]
fn a_publisher_killed_at_any_moment_leaves_the_old_state_or_the_new_one() {
    let (_dir, store) = crate::store::fresh();
    let mut random = Random(3);
    let mut confirmed = 0;
    for round in 0..if long() { 400 } else { 14 } {
        let mut child = spawn("publish", store.dir(), "w", u64::MAX);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        // Let it begin, then strike anywhere within the next publish or two.
        let begun = random.below(3);
        let mut acks = 0;
        while acks < begun
            && let Some(Ok(line)) = lines.next()
        {
            acks += u64::from(line.starts_with("ack "));
        }
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        child.kill().expect("kill");
        child.wait().expect("wait");
        acks += lines.map_while(Result::ok).filter(|line| line.starts_with("ack ")).count() as u64;
        let series = check_whole(store.dir()).len() as u64;
        let at_least = confirmed + acks;
        assert!(
            series == at_least || series == at_least + 1,
            "round {round}: {series} of {at_least} acknowledged"
        );
        confirmed = series;
    }
    // A living writer cleans up behind the dead ones.
    spawn("publish", store.dir(), "w", 1).wait().expect("wait");
    assert_eq!(check_whole(store.dir()).len() as u64, confirmed + 1);
    assert_eq!(unfinished(&store), Vec::<PathBuf>::new());
}

#[test]
fn an_init_killed_at_any_moment_leaves_nothing_or_a_whole_store() {
    let mut random = Random(5);
    for round in 0..if long() { 300 } else { 12 } {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut child = spawn("init", dir.path(), "", u64::MAX);
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.starts_with("ack ")));
        std::thread::sleep(Duration::from_micros(random.below(40_000)));
        child.kill().expect("kill");
        child.wait().expect("wait");
        let bases: Vec<_> =
            fs::read_dir(dir.path()).expect("list").map(|e| e.expect("listable").path()).collect();
        assert!(!bases.is_empty(), "round {round} struck before the first");
        for base in bases {
            let root = base.join(".distill");
            match Store::open(&root) {
                Ok(_) => {}
                Err(StoreError::NotAStore { .. }) => drop(Store::init(&root).expect("init again")),
                Err(other) => panic!("round {round}: {other}"),
            }
            publish(&Store::open(&root).expect("open"), "a", 3);
            let names: Vec<_> =
                fs::read_dir(&base).expect("list").map(|e| e.expect("listable").file_name()).collect();
            assert_eq!(names, [".distill"], "round {round}: leftovers beside the store");
        }
    }
}

#[test]
fn a_torn_operation_file_beyond_the_last_confirmed_one_is_dropped_by_the_next_writer() {
    let (_dir, store) = crate::store::fresh();
    publish(&store, "a", 3);
    for left in [&b""[..], b"{\"at\":", b"\xff\xff"] {
        let number = store.last_operation().expect("one").0 + 1;
        fs::write(store.dir().join(format!("ops/{number:010}.json")), left).expect("write");
        assert!(
            Store::open(store.dir()).expect("open").operations().all(|item| item.is_ok()),
            "readers ignore it"
        );
        assert_eq!(publish(&store, &format!("b{}", left.len()), 3).number, number);
    }
}

#[test]
fn an_unconfirmed_operation_and_its_pack_are_dropped_by_the_next_writer() {
    let (_dir, store) = crate::store::fresh();
    publish(&store, "a", 3);
    let confirmed = fs::read(store.dir().join("store.redb")).expect("read");
    let lost = publish(&store, "b", 3).packs[0].id;
    // As if the process had died after the operation file and before the commit.
    fs::write(store.dir().join("store.redb"), confirmed).expect("restore");
    let store = Store::open(store.dir()).expect("open");
    let published = publish(&store, "c", 3);
    assert_eq!(published.number, 2);
    assert!(!store.dir().join(format!("packs/{lost}.pack")).exists());
    assert!(store.operations().all(|item| item.is_ok()));
}

#[test]
fn a_pack_without_an_operation_is_reported_and_can_be_swept() {
    let (_dir, store) = crate::store::fresh();
    publish(&store, "a", 3);
    let stray = store.dir().join(format!("packs/{}.pack", ObjectId::of(b"stray")));
    fs::copy(&store.packs()[0].path, &stray).expect("copy");
    let mut reported = Vec::new();
    store
        .verify_packs(&mut |report| match report {
            PackReport::Uncatalogued { path } => reported.push(path),
            other => assert!(matches!(other, PackReport::Checked { findings: 0, .. }), "{other:?}"),
        })
        .expect("lists");
    assert_eq!(reported, std::slice::from_ref(&stray));
    assert_eq!(store.sweep_uncatalogued().expect("sweeps"), [stray]);
    assert_eq!(store.sweep_uncatalogued().expect("sweeps"), Vec::<PathBuf>::new());
    assert_eq!(publish(&store, "a", 4).number, 2);
}

/// A small file system in memory, unmounted on drop; `None` where mounting is not allowed.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "distill-test"], dir.path())
            .then_some(Self(dir))
    }

    fn remount(&self, option: &str) -> bool {
        run("mount", &["-o", &format!("remount,{option}")], self.0.path())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run("umount", &["-l"], self.0.path());
    }
}

fn run(program: &str, args: &[&str], path: &Path) -> bool {
    let done = Command::new(program).args(args).arg(path).stderr(std::process::Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_store_as_it_was() {
    let mut full = 0;
    for size in (140..700_u64).step_by(if long() { 4 } else { 70 }) {
        let Some(tmpfs) = Tmpfs::mount(size << 10) else { return };
        let root = tmpfs.0.path().join(".distill");
        let store = match Store::init(&root) {
            Ok(store) => store,
            Err(StoreError::Io { .. }) => {
                full += 1;
                assert!(!root.join("store.redb").exists(), "{size} KiB: half a store");
                continue;
            }
            Err(other) => panic!("{size} KiB: {other}"),
        };
        let mut done = 0;
        let error = loop {
            let series = format!("s{done}");
            let attempt = || -> Result<(), StoreError> {
                let mut staging = store.staging()?;
                let mut last = ObjectId::of(b"");
                for n in 0..200 {
                    last = ObjectId::of(&object(&series, n));
                    staging.write(Kind::Data, &object(&series, n)).map_err(|error| match error {
                        distill::object::OdbError::Io { path, source } => {
                            StoreError::Io { action: "write", path, source }
                        }
                        other => panic!("{size} KiB: {other}"),
                    })?;
                }
                store.publish(Some(staging), moving(&store, "heads/main", last)).map(drop)
            };
            match attempt() {
                Ok(()) => done += 1,
                Err(error) => break error,
            }
        };
        full += 1;
        assert!(matches!(error, StoreError::Io { .. }), "{size} KiB: {error}");
        let after = Store::open(&root).expect("open on a full disk");
        assert_eq!(after.last_operation().map_or(0, |(number, _)| number), done, "{size} KiB");
        for n in 0..done {
            after.find(&ObjectId::of(&object(&format!("s{n}"), 7))).expect("published");
        }
        assert!(after.operations().all(|item| item.is_ok()));
        after
            .verify_packs(&mut |r| assert!(matches!(r, PackReport::Checked { findings: 0, .. }), "{r:?}"))
            .expect("lists");
        assert_eq!(unfinished(&after), Vec::<PathBuf>::new(), "{size} KiB");
        // With room again, work goes on.
        assert!(tmpfs.remount("size=8m"), "remount");
        publish(&after, "room", 100);
    }
    assert!(full > 0);
}

#[test]
fn a_read_only_file_system_can_be_read_even_after_a_kill() {
    let Some(tmpfs) = Tmpfs::mount(64 << 20) else { return };
    let root = tmpfs.0.path().join(".distill");
    Store::init(&root).expect("init");
    let mut child = spawn("publish", &root, "w", u64::MAX);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..3 {
        lines.by_ref().find(|line| line.as_ref().is_ok_and(|line| line.starts_with("ack ")));
    }
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert!(tmpfs.remount("ro"), "remount");
    assert!(check_whole(&root).len() >= 3);
    let store = Store::open(&root).expect("open");
    let refused = store.lease("main", "we", Duration::ZERO, &mut |_| {}).expect_err("nothing can be written");
    assert!(matches!(refused, StoreError::Io { .. }), "{refused}");
    assert!(matches!(store.staging(), Err(StoreError::Io { .. })));
    assert!(tmpfs.remount("rw"));
}
