//! Bit by bit: whatever is flipped in a store, `verify` says so and names it, or nobody can read anything but what was there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use distill::object::FindExt as _;
use distill::object::ObjectId;
use distill::ops::Silent;
use distill::ops::open::open;
use distill::ops::verify::{VerifyReport, verify};
use distill::repo::Repo;

use crate::cli::Bench;
use crate::store_damage::{Random, long, quiet_hook};

/// All that anybody can read of a store: refs, HEAD, the log, every object.
type Told = BTreeMap<String, Result<Vec<u8>, String>>;

fn told(repo: &Repo, objects: &[ObjectId]) -> Told {
    let store = repo.store();
    let mut told = Told::new();
    for (name, id) in store.refs() {
        told.insert(format!("ref {name}"), Ok(id.to_string().into_bytes()));
    }
    told.insert("HEAD".to_owned(), Ok(store.head().to_string().into_bytes()));
    for (n, operation) in store.operations().enumerate() {
        let read = operation.map_err(|error| error.to_string());
        told.insert(
            format!("operation {n}"),
            read.map(|logged| logged.operation.to_bytes().expect("canonical")),
        );
    }
    for id in objects {
        let read = store.find(id).map(|bytes| bytes.to_vec()).map_err(|error| error.to_string());
        told.insert(id.to_string(), read);
    }
    told
}

/// A store of two runs and a tag, as small as one gets, with all its objects.
struct Small {
    bench: Bench,
    objects: Vec<ObjectId>,
    baseline: Told,
}

impl Small {
    fn new() -> Self {
        quiet_hook();
        let bench = Bench::with_runs();
        bench.ok(&["tag", "v1", "r1"]);
        let repo = open(bench.path()).expect("sound");
        let mut objects = Vec::new();
        for pack in repo.store().packs() {
            for object in repo.store().iter_objects(&pack.id).expect("sound") {
                objects.push(object.expect("sound").0);
            }
        }
        let baseline = told(&repo, &objects);
        assert!(baseline.values().all(Result::is_ok) && objects.len() > 40);
        for path in files(&bench, "") {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("ours");
        }
        Self { bench, objects, baseline }
    }

    /// Looks at the store with one bit of `path` flipped; whether anything was found.
    fn flipped(&self, path: &Path, bit: u64) -> bool {
        let at = usize::try_from(bit / 8).expect("small");
        let mut bytes = fs::read(path).expect("readable");
        bytes[at] ^= 1 << (bit % 8);
        fs::write(path, &bytes).expect("writable");
        let found = self.look(path, bit);
        bytes[at] ^= 1 << (bit % 8);
        fs::write(path, &bytes).expect("writable");
        found
    }

    fn look(&self, path: &Path, bit: u64) -> bool {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let repo = match open(self.bench.path()) {
            Ok(repo) => repo,
            Err(error) => {
                assert!(
                    error.message.contains(name) || error.message.contains("format"),
                    "{name} {bit}: {error}"
                );
                return true;
            }
        };
        let report = verify(&repo, None, &Silent).unwrap_or_else(|error| panic!("{name} {bit}: {error}"));
        let now = told(&repo, &self.objects);
        for (what, was) in &self.baseline {
            match now.get(what) {
                Some(Ok(bytes)) => {
                    assert!(was.as_ref() == Ok(bytes), "{name} {bit}: {what} is read as something else");
                }
                // What is not told any more must have been reported.
                Some(Err(_)) | None => {
                    assert!(!report.sound, "{name} {bit}: {what} is lost, and verify says nothing");
                }
            }
        }
        assert!(
            now.keys().all(|what| self.baseline.contains_key(what)),
            "{name} {bit}: something new is told"
        );
        if !report.sound {
            self.is_named(&report, path, bit);
        }
        !report.sound
    }

    /// Some finding names the file, or an object that lies in it.
    fn is_named(&self, report: &VerifyReport, path: &Path, bit: u64) {
        let named = report.findings.iter().any(|finding| finding.place.as_deref() == Some(path));
        assert!(named, "bit {bit} of {}: {:?}", path.display(), report.findings);
        for id in report.findings.iter().filter_map(|finding| finding.object) {
            assert!(self.objects.contains(&id), "bit {bit} of {}: {id} was never stored", path.display());
        }
    }
}

/// The files below `.distill/<folder>`, in order.
fn files(bench: &Bench, folder: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(bench.path().join(".distill").join(folder)).sort_by_file_name();
    let files =
        entries.into_iter().map(|entry| entry.expect("listable")).filter(|entry| entry.file_type().is_file());
    files.map(walkdir::DirEntry::into_path).collect()
}

#[test]
fn a_flipped_bit_of_a_pack_or_an_operation_is_always_found() {
    let small = Small::new();
    let mut random = Random(23);
    let mut looked = 0_u64;
    for path in files(&small.bench, "packs").into_iter().chain(files(&small.bench, "ops")) {
        let bits = fs::metadata(&path).expect("there").len() * 8;
        let sample = if long() { bits } else { bits.min(24) };
        for n in 0..sample {
            let bit = if long() { n } else { random.below(bits) };
            assert!(small.flipped(&path, bit), "bit {bit} of {}: verify says nothing", path.display());
            looked += 1;
        }
    }
    assert!(looked >= 100, "{looked}");
}

#[test]
fn a_flipped_bit_of_the_catalogue_is_found_or_changes_nothing() {
    let small = Small::new();
    let path = small.bench.path().join(".distill/store.redb");
    let bytes = fs::metadata(&path).expect("there").len();
    let mut random = Random(29);
    let (mut found, mut harmless) = (0_u64, 0_u64);
    let rounds = if long() { bytes } else { 120 };
    for n in 0..rounds {
        let bit = random.below(8)
            + 8 * if long() {
                n
            } else if n % 3 == 0 {
                random.below(320)
            } else {
                random.below(bytes)
            };
        if small.flipped(&path, bit) { found += 1 } else { harmless += 1 }
    }
    assert!(found > 0 && harmless > 0, "{found} found, {harmless} harmless");
}
