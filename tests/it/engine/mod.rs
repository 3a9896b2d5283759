//! What the tests of the engine share: a repository in a temporary folder, runs over it, and what a run left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use distill::base::clock::Clock;
use distill::object::FindExt as _;
use distill::object::ObjectId;
use distill::object::RootId;
use distill::ops::run::{RunOptions, RunReport, What, run};
use distill::ops::{OpError, Silent};
use distill::record::Counts;
use distill::record::InputSnapshot;
use distill::record::OutputSnapshot;
use distill::record::Record as _;
use distill::record::StageReceipt;
use distill::repo::{Commit, Repo, Site};
use distill::store::Store;
use distill::tree;

/// A policy with a rule for every signal that the rows of these tests carry.
pub(crate) const POLICY: &str = r#"
[[rule]]
id = "human"
category = "rejected"
when = { human = "reject" }
[[rule]]
id = "failed"
category = "rejected"
when = { outcome = "fail" }
[[rule]]
id = "passed"
category = "accepted"
when = { outcome = "pass" }
[[rule]]
id = "liked"
category = "accepted"
when = { observer = "accept", confidence_min = 0.5 }
[[rule]]
id = "half"
category = "partially_accepted"
when = { observer = ["accept", "partial"] }
[[rule]]
id = "disliked"
category = "rejected"
when = { observer = "reject" }
[[rule]]
id = "default"
category = "needs_human_review"
[words]
accept = ["good"]
partial = ["meh"]
reject = ["bad"]
review = ["pass"]
"#;

/// A spec of one stream of lines.
pub(crate) const LINES: &str = r#"
stream = "lines"
files = ["in/*.jsonl"]
[record]
key = ".id"
time = ".ts"
[fields]
run_id = ".run"
task_id = ".task"
instruction = ".ask"
response = ".say"
validation.outcome = ".ok"
observer.verdict = ".verdict"
observer.confidence = ".sure"
"#;

/// A repository in a folder.
pub(crate) struct Place {
    pub root: PathBuf,
}

impl Place {
    /// A repository in `root` with these specs and [`POLICY`].
    pub(crate) fn new(root: &Path, specs: &[(&str, &str)]) -> Self {
        let place = Self { root: root.to_owned() };
        place.write(".distill/policy.toml", POLICY);
        for (name, text) in specs {
            place.write(&format!(".distill/sources/{name}.toml"), text);
        }
        place
    }

    /// Writes a file below the root.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("written");
    }

    /// Appends to a file below the root.
    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut bytes = fs::read(self.root.join(name)).unwrap_or_default();
        bytes.extend_from_slice(text.as_bytes());
        self.write(name, bytes);
    }

    pub(crate) fn try_run(&self, options: &RunOptions) -> Result<RunReport, OpError> {
        run(Site::at(&self.root)?, options, Clock::Fixed(1_700_000_000_000), &Silent)
    }

    #[track_caller]
    pub(crate) fn run(&self, what: What) -> RunReport {
        self.try_run(&RunOptions::new(what)).unwrap_or_else(|e| panic!("{}: {e}", what.operation()))
    }

    pub(crate) fn repo(&self) -> Repo {
        Site::at(&self.root).expect("a site").open().expect("a store")
    }

    pub(crate) fn head(&self) -> Commit {
        let repo = self.repo();
        repo.commit(repo.head_commit().expect("a commit")).expect("the commit")
    }

    /// Files left below `.distill/tmp`.
    pub(crate) fn left_in_tmp(&self) -> Vec<String> {
        let folder = self.root.join(".distill/tmp");
        let entries = walkdir::WalkDir::new(folder).min_depth(1).into_iter().filter_map(Result::ok);
        // Lock files stay: removing one would race with whoever opens it.
        let locks = |name: &String| {
            ["publish.lock", "gc.lock"].contains(&name.as_str()) || name.starts_with("lease-")
        };
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).filter(|name| !locks(name)).collect()
    }

    /// What the store is: refs and packs.
    pub(crate) fn store_state(&self) -> (BTreeMap<String, ObjectId>, Vec<String>) {
        let folder = self.root.join(".distill/packs");
        let mut packs: Vec<String> = fs::read_dir(folder)
            .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
            .unwrap_or_default();
        packs.sort();
        // Opened past the configuration, which may be what a test broke.
        let store = Store::open(&self.root.join(".distill")).expect("a store");
        (store.refs(), packs)
    }
}

/// A receipt without what differs between two runs that made the same.
#[derive(Debug, PartialEq)]
pub(crate) struct Made {
    pub counts: Counts,
    pub skipped_by: BTreeMap<String, u64>,
    pub quarantined_by: BTreeMap<String, u64>,
    pub inputs: Vec<InputSnapshot>,
    pub outputs: Vec<OutputSnapshot>,
    pub coverage: Vec<distill::record::StreamCoverage>,
}

/// Everything about HEAD that must not depend on how it was reached.
#[derive(Debug, PartialEq)]
pub(crate) struct Result_ {
    pub datasets: BTreeMap<String, RootId>,
    pub stages: BTreeMap<String, Made>,
    pub config: Option<ObjectId>,
}

/// The latest receipt of each stage.
pub(crate) fn receipts(repo: &Repo, commit: &Commit) -> BTreeMap<String, StageReceipt> {
    tree::iter(repo.store(), commit.receipts)
        .map(|entry| {
            let entry = entry.expect("an entry");
            let bytes = repo.store().find(&entry.id).expect("a receipt");
            (entry.key, StageReceipt::parse(&bytes).expect("a receipt"))
        })
        .collect()
}

/// What HEAD holds.
pub(crate) fn result(place: &Place) -> Result_ {
    let (repo, head) = (place.repo(), place.head());
    let stages = receipts(&repo, &head).into_iter().map(|(stage, r)| {
        assert!(r.validation_pass, "{stage}: {:?}", r.errors);
        let made = Made {
            counts: r.counts,
            skipped_by: r.skipped_by,
            quarantined_by: r.quarantined_by,
            inputs: r.inputs,
            outputs: r.outputs,
            coverage: r.coverage,
        };
        (stage, made)
    });
    Result_ { stages: stages.collect(), datasets: head.datasets.clone(), config: head.config_id }
}

/// A small generator of numbers, the same on every machine.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("small")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}
