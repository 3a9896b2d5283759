//! A commit made again under another configuration, as counts alone.
//!
//! Rests on the stored rows, evidence and receipts of the commit. What always holds: where only the policy is another,
//! no row is mapped again.

use std::collections::BTreeMap;
use std::path::Path;

use super::moves::Moves;
use crate::object::FindExt as _;
use crate::ops::engine::stored::count;
use crate::ops::engine::{self, Dataset, Prefix, Stored, StoredFile, Tallies};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::loss::known_inputs;
use crate::ops::progress::Progress;
use crate::ops::setup::{POLICY_FILE, SECRETS_FILE, Setup};
use crate::pipeline::metrics::{self, metrics};
use crate::record::Metrics;
use crate::record::Record as _;
use crate::record::ScoredRun;
use crate::repo::{Commit, Options, Repo};
use crate::tree;

/// The configuration of a commit, parsed and as text.
#[derive(Clone)]
pub(super) struct Configured {
    object: serde_json::Value,
    files: BTreeMap<String, Vec<u8>>,
}

impl Configured {
    pub(super) fn of(repo: &Repo, commit: &Commit) -> Result<Self, OpError> {
        let unusable = |detail: &str| {
            let message = format!("the configuration of {} cannot be used: {detail}", commit.run_id);
            OpError::new(ErrorKind::Damaged, message, "run `distill verify` to see what is damaged")
        };
        let (Some(id), Some(root)) = (commit.config_id, commit.config_files) else {
            return Err(unusable("it has none"));
        };
        let object =
            serde_json::from_slice(&repo.store().find(&id)?).map_err(|e| unusable(&e.to_string()))?;
        let mut files = BTreeMap::new();
        for entry in tree::iter(repo.store(), root) {
            let entry = entry?;
            files.insert(entry.key, repo.store().find(&entry.id)?.to_vec());
        }
        Ok(Self { object, files })
    }

    /// What the specs say.
    pub(super) fn specs(&self) -> &serde_json::Value {
        &self.object["sources"]
    }

    /// What policy and options say, and the rules for secrets where somebody wrote them down.
    pub(super) fn policy(&self) -> [serde_json::Value; 3] {
        let own = self.files.contains_key(SECRETS_FILE);
        let rules = if own { self.object["secrets"].clone() } else { serde_json::Value::Null };
        [self.object["policy"].clone(), self.object["options"].clone(), rules]
    }

    /// This configuration with the specs of another.
    pub(super) fn with_specs(&self, other: &Self) -> Self {
        let mut with = self.clone();
        with.object["sources"] = other.object["sources"].clone();
        with.files.retain(|name, _| !is_spec(name));
        with.files.extend(
            other.files.iter().filter(|(name, _)| is_spec(name)).map(|(n, t)| (n.clone(), t.clone())),
        );
        with
    }

    /// This configuration with the policy, options and rules for secrets of another.
    pub(super) fn with_policy(&self, other: &Self) -> Self {
        let mut with = self.clone();
        for part in ["policy", "options", "secrets"] {
            with.object[part] = other.object[part].clone();
        }
        for name in [POLICY_FILE, SECRETS_FILE] {
            match other.files.get(name) {
                Some(text) => with.files.insert(name.to_owned(), text.clone()),
                None => with.files.remove(name),
            };
        }
        with
    }

    /// This configuration with another text of one file.
    pub(super) fn with_file(&self, name: &str, text: &str) -> Self {
        let mut with = self.clone();
        with.files.insert(name.to_owned(), text.as_bytes().to_vec());
        with
    }

    pub(super) fn setup(&self) -> Result<Setup, OpError> {
        let options: Options = serde_json::from_value(self.object["options"].clone()).map_err(|e| {
            let message = format!("the options of the commit cannot be used: {e}");
            OpError::new(ErrorKind::Outside, message, "use the version of distill that made it")
        })?;
        Setup::parse(self.files.clone(), options)
    }
}

fn is_spec(name: &str) -> bool {
    name.starts_with("sources/")
}

/// A commit to be made again.
pub(super) struct Again<'a> {
    pub repo: &'a Repo,
    pub commit: &'a Commit,
    pub spill: &'a Path,
    pub progress: &'a dyn Progress,
}

impl Again<'_> {
    /// The metrics of a run over the commit's rows under `config`; `from_rows` where its evidence would be another.
    pub(super) fn metrics(&self, config: &Configured, from_rows: bool) -> Result<Metrics, OpError> {
        let setup = config.setup()?;
        if from_rows { self.remapped(&setup) } else { self.rescored(&setup, &mut Moves::default()) }
    }

    /// The same from the commit's evidence, with the rows that move.
    pub(super) fn rescored(&self, setup: &Setup, moves: &mut Moves) -> Result<Metrics, OpError> {
        let (repo, commit) = (self.repo, self.commit);
        let root = self.root(Dataset::Evidence)?;
        let scored = self.root(Dataset::ScoredRuns)?;
        let mut tallies =
            engine::rescore(repo.store(), root, setup, self.spill, self.progress, &mut |after| {
                let before = match tree::get(repo.store(), scored, &after.key)? {
                    Some(entry) => Some(ScoredRun::parse(&repo.store().find(&entry.id)?)?),
                    None => None,
                };
                moves.run(&after.key, before.as_ref(), Some(after));
                Ok(())
            })?;
        // What became of the rows is what it was.
        let receipt = repo.receipt(commit, metrics::EVIDENCE)?;
        tallies.evidence.counts = receipt.map(|receipt| receipt.counts).unwrap_or_default();
        Ok(measure(&tallies))
    }

    fn remapped(&self, setup: &Setup) -> Result<Metrics, OpError> {
        let (repo, commit) = (self.repo, self.commit);
        let root = self.root(Dataset::Sources)?;
        let known = known_inputs(repo, Some(commit))?;
        let named = || known.keys().map(|name| (name.clone(), repo.base().join(name))).collect::<Vec<_>>();
        let files = engine::claim(&setup.specs, named())?;
        let was = engine::claim(&Configured::of(repo, commit)?.setup()?.specs, named())?;
        let mut stored = BTreeMap::new();
        for file in &files {
            let same_cut = was
                .iter()
                .find(|old| old.name == file.name)
                .is_some_and(|old| (old.kind, &old.at, old.beside) == (file.kind, &file.at, file.beside));
            if !same_cut {
                return Err(OpError::new(
                    ErrorKind::Outside,
                    format!("the specs cut {} into other rows than those that are stored", file.name),
                    "the whole change is that of specs and data together",
                ));
            }
            let input = &known[&file.name].snapshot;
            let prefix = Prefix { hash: *input.root.object(), bytes: input.bytes, units: input.rows };
            let units = count(repo.store(), root, &file.name)?;
            let needs_keys = setup.needs_keys(file);
            stored.insert(file.name.clone(), StoredFile { prefix, units, changed: Vec::new(), needs_keys });
        }
        let quarantines = commit.dataset(Dataset::Quarantine.name()).into_iter().collect();
        let stored = Stored { find: repo.store(), root, quarantines, files: stored };
        let tallies = engine::remap(repo.store(), &files, &stored, setup, self.spill, self.progress)?;
        Ok(measure(&tallies))
    }

    fn root(&self, dataset: Dataset) -> Result<crate::object::RootId, OpError> {
        self.commit.dataset(dataset.name()).ok_or_else(|| {
            let message = format!("{} has no dataset `{}`", self.commit.run_id, dataset.name());
            OpError::new(ErrorKind::Outside, message, "compare commits of `run-all`")
        })
    }
}

fn measure(tallies: &Tallies) -> Metrics {
    let stages = [
        (metrics::EVIDENCE, &tallies.evidence.counts),
        ("score", &tallies.score.counts),
        (metrics::EXPORT_RAG, &tallies.rag.counts),
        (metrics::EXPORT_SFT, &tallies.sft.counts),
        (metrics::EXPORT_PREFERENCE, &tallies.preference.counts),
    ];
    metrics(stages, &tallies.categories)
}
