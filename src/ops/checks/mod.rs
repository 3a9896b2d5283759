//! Checks of a commit: what must hold of its datasets and receipts, each written once for all gates.
//!
//! Rests on the object database alone, so that a check says what an auditor would find, and not what the program that made
//! the rows believes. Invariants: a check reads and judges, and never stops at its first finding; it names the record,
//! and where there is one the file and the line; what cannot be read is a finding, too.

pub(crate) mod evidence;
pub(crate) mod exports;
pub(crate) mod fates;
pub(crate) mod pairs;
pub(crate) mod receipts;
pub(crate) mod refusals;
pub(crate) mod scores;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::object::Find;
use crate::object::FindExt as _;
use crate::object::ObjectBytes;
use crate::object::ObjectId;
use crate::ops::error::{ErrorKind, OpError};
use crate::pipeline::policy::Policy;
use crate::record::Provenance;
use crate::record::Record;
use crate::record::StageReceipt;
use crate::repo::{Commit, Options, Repo};
use crate::tree;

/// How many findings of one check are named; the rest are counted.
const NAMED_MAX: usize = 20;

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The record: dataset and key, or the receipt; null where no single one is to blame.
    pub record: Option<String>,
    /// The source file it comes from, relative to the base.
    pub file: Option<String>,
    /// The line (or element, or value) in it, from 1.
    pub line: Option<u64>,
    /// What is wrong.
    pub detail: String,
}

impl Breach {
    /// About no record in particular.
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self { record: None, file: None, line: None, detail: detail.into() }
    }

    /// About a record.
    pub(crate) fn of(dataset: &str, key: &str, detail: impl Into<String>) -> Self {
        Self { record: Some(format!("{dataset}/{key}")), ..Self::new(detail) }
    }

    /// The same, with the source row that the record comes from.
    pub(crate) fn from(self, provenance: &Provenance) -> Self {
        self.at(&provenance.source_file, provenance.line_offset)
    }

    /// The same, with unit `number` of `file`.
    pub(crate) fn at(self, file: &str, number: u64) -> Self {
        Self { file: Some(file.to_owned()), line: Some(number + 1), ..self }
    }
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// The first of them.
    pub named: Vec<Breach>,
    /// All of them.
    pub total: u64,
}

impl Found {
    pub(crate) fn push(&mut self, breach: Breach) {
        self.total += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(breach);
        }
    }

    /// Notes `breach` unless `holds`.
    pub(crate) fn require(&mut self, holds: bool, breach: impl FnOnce() -> Breach) {
        if !holds {
            self.push(breach());
        }
    }
}

/// A commit as a check sees it.
pub(crate) struct Subject<'a> {
    pub find: &'a dyn Find,
    pub commit: Commit,
    /// The latest receipt of each stage, by name.
    pub receipts: BTreeMap<String, (ObjectId, StageReceipt)>,
    /// The policy that the commit was made under.
    pub policy: Policy,
    /// The options that it was made under.
    pub options: Options,
}

/// The parts of a `distill.config.v1` that checks need.
#[derive(Deserialize)]
struct StoredConfig {
    policy: Policy,
    options: Options,
}

impl<'a> Subject<'a> {
    /// Reads what a check needs of `commit` besides its rows.
    ///
    /// # Errors
    /// A commit without a configuration, which ran nothing; a receipt or the configuration missing or damaged.
    pub(crate) fn load(repo: &'a Repo, commit: Commit) -> Result<Self, OpError> {
        let Some(config_id) = commit.config_id else {
            let message = format!("the commit of `{}` holds no run", commit.run_id);
            return Err(OpError::new(ErrorKind::Usage, message, "run `distill run-all` first"));
        };
        let bytes = repo.store().find(&config_id)?;
        let config: StoredConfig = serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("the configuration {config_id} cannot be read: {error}");
            OpError::new(ErrorKind::Damaged, message, "`distill verify` says what is damaged")
        })?;
        let receipts = (repo.receipts(&commit)?.into_iter())
            .map(|(id, receipt)| (receipt.stage.clone(), (id, receipt)))
            .collect();
        let StoredConfig { policy, options } = config;
        Ok(Self { find: repo.store(), commit, receipts, policy, options })
    }

    /// The rows of a dataset; none where the commit does not have it.
    pub(crate) fn entries(&self, dataset: &str) -> impl Iterator<Item = Result<tree::Entry, OpError>> + 'a {
        let rows = self.commit.dataset(dataset).map(|root| tree::iter(self.find, root));
        rows.into_iter().flatten().map(|entry| Ok(entry?))
    }

    /// The rows of a dataset whose keys begin with `prefix`.
    pub(crate) fn below(
        &self,
        dataset: &str,
        prefix: &str,
    ) -> impl Iterator<Item = Result<tree::Entry, OpError>> + 'a {
        let rows = self.commit.dataset(dataset).map(|root| tree::prefix(self.find, root, prefix));
        rows.into_iter().flatten().map(|entry| Ok(entry?))
    }

    /// One row of a dataset.
    pub(crate) fn get(&self, dataset: &str, key: &str) -> Result<Option<tree::Entry>, OpError> {
        match self.commit.dataset(dataset) {
            Some(root) => Ok(tree::get(self.find, root, key)?),
            None => Ok(None),
        }
    }

    /// How many rows a dataset has.
    pub(crate) fn rows(&self, dataset: &str) -> Result<u64, OpError> {
        match self.commit.dataset(dataset) {
            Some(root) => Ok(tree::totals(self.find, root)?.rows),
            None => Ok(0),
        }
    }

    /// The bytes of an object, hashed again on the way.
    pub(crate) fn bytes(&self, id: &ObjectId) -> Result<ObjectBytes, OpError> {
        Ok(self.find.find(id)?)
    }

    /// Every row of a dataset as a record of type `T`; a row that is none is a finding and passed over.
    pub(crate) fn each<T: Record>(
        &self,
        dataset: &str,
        found: &mut Found,
        mut take: impl FnMut(&tree::Entry, T, &mut Found) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        for entry in self.entries(dataset) {
            let entry = entry?;
            match T::parse(&self.bytes(&entry.id)?) {
                Ok(record) => take(&entry, record, found)?,
                Err(error) => found.push(Breach::of(dataset, &entry.key, error.to_string())),
            }
        }
        Ok(())
    }

    /// A row of a dataset by key, as a record; nothing where there is none or it is of another shape.
    pub(crate) fn record<T: Record>(
        &self,
        dataset: &str,
        key: &str,
    ) -> Result<Option<(ObjectId, T)>, OpError> {
        let Some(entry) = self.get(dataset, key)? else { return Ok(None) };
        Ok(T::parse(&self.bytes(&entry.id)?).ok().map(|record| (entry.id, record)))
    }
}
