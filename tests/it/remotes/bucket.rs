//! What a bucket must be able to do, and what becomes of one that cannot.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use distill::object::ObjectId;
use distill::remote::{Bucket, Bucketed, Committed, Directory, Intent, Peer as _, RACERS, RemoteError, race};
use distill::store::RefChange;

/// A bucket in memory, with the vices of real ones.
#[derive(Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Creates whatever is there already.
    ignores_condition: bool,
    /// The next creation of an operation is done, and its answer is lost.
    loses_answer: AtomicBool,
    /// The next one is done, its answer is lost, and the repeated request hears that it exists.
    repeats: AtomicBool,
}

impl Bucket for &Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        Ok(self.objects.lock().expect("lock").get(name).cloned())
    }
    fn get_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, RemoteError> {
        let bytes = self.get(name)?.ok_or_else(|| RemoteError::Gone { place: name.to_owned() })?;
        let at = |at: u64| usize::try_from(at).expect("small");
        Ok(bytes[at(range.start)..at(range.end)].to_vec())
    }
    fn size(&self, name: &str) -> Result<Option<u64>, RemoteError> {
        Ok(self.get(name)?.map(|bytes| bytes.len() as u64))
    }
    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, RemoteError> {
        let mut objects = self.objects.lock().expect("lock");
        if objects.contains_key(name) && !self.ignores_condition {
            return Ok(false);
        }
        objects.insert(name.to_owned(), bytes.to_vec());
        let is_operation = name.starts_with("ops/");
        if is_operation && self.loses_answer.swap(false, Ordering::Relaxed) {
            let detail = "the connection was closed".to_owned();
            return Err(RemoteError::Unreachable { action: "write to", place: name.to_owned(), detail });
        }
        Ok(!(is_operation && self.repeats.swap(false, Ordering::Relaxed)))
    }
    fn create_from(&self, name: &str, path: &Path) -> Result<bool, RemoteError> {
        self.create(name, &std::fs::read(path).expect("readable"))
    }
    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, RemoteError> {
        let objects = self.objects.lock().expect("lock");
        let names = objects.keys().filter_map(|name| name.strip_prefix(&format!("{folder}/")));
        Ok(names.filter(|name| *name > after).map(ToOwned::to_owned).collect())
    }
    fn remove(&self, name: &str) -> Result<(), RemoteError> {
        self.objects.lock().expect("lock").remove(name);
        Ok(())
    }
}

fn remote(memory: Memory) -> (&'static Memory, Bucketed) {
    let memory: &'static Memory = Box::leak(Box::new(memory));
    let remote = Bucketed::new(Box::new(memory), None);
    assert!(remote.found().expect("made"));
    (memory, remote)
}

fn step(name: &str, old: Option<u8>, new: u8) -> Intent {
    let id = |n: u8| ObjectId::from_bytes([n; 32]);
    Intent {
        ref_changes: vec![RefChange { name: name.to_owned(), old: old.map(id), new: Some(id(new)) }],
        head: Some("heads/main".to_owned()),
        at: "2026-11-23T00:00:00.000Z".to_owned(),
        ..Intent::default()
    }
}

#[test]
fn eight_racers_try_a_store_before_it_is_relied_on() {
    let fit = Memory::default();
    race(&&fit, "t").expect("fit");
    assert!(fit.objects.lock().expect("lock").is_empty(), "nothing is left");
    let folder = tempfile::tempdir().expect("a folder");
    race(&Directory::new(&folder.path().join("new")), "t").expect("fit");

    let unfit = Memory { ignores_condition: true, ..Memory::default() };
    let error = race(&&unfit, "t").expect_err("unfit");
    let RemoteError::NotExclusive { winners, racers, .. } = &error else { panic!("{error}") };
    assert_eq!((*winners, *racers), (RACERS + 1, RACERS + 1));
    let told: distill::ops::OpError = error.into();
    assert_eq!(told.kind.exit_status(), 1);
    assert!(told.message.contains("9 of 9 writers") && told.hint.contains("If-None-Match"), "{told:?}");
}

#[test]
fn an_answer_that_was_lost_is_read_back() {
    for vice in [
        Memory { loses_answer: true.into(), ..Memory::default() },
        Memory { repeats: true.into(), ..Memory::default() },
    ] {
        let (_, remote) = remote(vice);
        let empty = remote.state().expect("readable");
        let done = remote.commit(&empty, &step("heads/main", None, 1)).expect("done");
        assert!(matches!(done, Committed::Done(1)), "{done:?}");
        assert_eq!(remote.state().expect("readable").refs.len(), 1);
    }
}

#[test]
fn whoever_is_slower_sees_what_came() {
    let (_, remote) = remote(Memory::default());
    let empty = remote.state().expect("readable");
    assert!(matches!(remote.commit(&empty, &step("heads/a", None, 1)), Ok(Committed::Done(1))));
    let Ok(Committed::Lost(now)) = remote.commit(&empty, &step("heads/b", None, 2)) else { panic!("lost") };
    assert_eq!(now.number, 1);
    assert!(matches!(remote.commit(&now, &step("heads/b", None, 2)), Ok(Committed::Done(2))));
    let stale = remote.commit(&now, &step("heads/a", None, 3)).expect_err("it moved");
    assert!(matches!(stale, RemoteError::Moved { .. }), "{stale}");
}

#[test]
fn the_state_is_the_fold_of_the_operations_and_checkpoints_say_it_again() {
    let (memory, remote) = remote(Memory::default());
    let mut state = remote.state().expect("readable");
    for round in 0..70_u8 {
        let old = (round >= 3).then(|| round - 3);
        let intent = step(&format!("heads/b{}", round % 3), old, round);
        assert!(matches!(remote.commit(&state, &intent), Ok(Committed::Done(_))));
        state = remote.state().expect("readable");
        assert_eq!(state.number, u64::from(round) + 1);
    }
    assert_eq!(state.refs["heads/b0"], ObjectId::from_bytes([69; 32]));
    // A newcomer starts from the last checkpoint: what lies before it is not needed.
    for number in 1..64 {
        (&memory).remove(&format!("ops/{number:010}.json")).expect("removed");
    }
    assert_eq!(Bucketed::new(Box::new(memory), None).state().expect("readable"), state);
    // What lies after it is.
    (&memory).remove("ops/0000000066.json").expect("removed");
    assert!(Bucketed::new(Box::new(memory), None).state().is_err());
}

#[test]
fn what_is_remembered_of_a_remote_is_not_believed_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let memory_file = folder.path().join("state.json");
    let place = folder.path().join("remote");
    let open = || Bucketed::new(Box::new(Directory::new(&place)), Some(memory_file.clone()));
    open().found().expect("made");
    let empty = open().state().expect("readable");
    assert!(matches!(open().commit(&empty, &step("heads/main", None, 1)), Ok(Committed::Done(1))));
    assert_eq!(open().state().expect("readable").refs["heads/main"], ObjectId::from_bytes([1; 32]));
    std::fs::remove_dir_all(&place).expect("removed");
    open().found().expect("made");
    assert!(open().state().expect("readable").refs.is_empty());
    assert!(matches!(open().commit(&empty, &step("heads/main", None, 2)), Ok(Committed::Done(1))));
    assert_eq!(open().state().expect("readable").refs["heads/main"], ObjectId::from_bytes([2; 32]));
}
