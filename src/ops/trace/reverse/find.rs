//! Which evidence was made of a source row.
//!
//! Rests on the specs that the commit stores: the one that reads the file is run on the row, and the keys that it gives are
//! looked up. Where that cannot tell, all evidence is searched for the row's id. Invariant: a key is given back only where the
//! record's provenance names the row.

use std::ops::Bound;

use crate::object::Find as _;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::OpError;
use crate::ops::progress::Progress;
use crate::pipeline::source::{Adapter, LookupSpec, Lookups, Outcome, Spec, UnitFlags, UnitInput, UnitKind};
use crate::record::{EvidenceRecord, Provenance, Record as _, Unit};
use crate::repo::{Commit, Repo};
use crate::tree;

/// Objects that are read at once.
const BATCH: usize = 256;

/// What was found.
#[derive(Default)]
pub(super) struct Found {
    /// Keys of the row's evidence.
    pub(super) keys: Vec<String>,
    /// The rule by which its spec leaves the row out.
    pub(super) skipped: Option<String>,
    /// Keys of evidence that joined it.
    pub(super) joined_by: Vec<String>,
    /// Whether all evidence was gone through.
    pub(super) scanned: bool,
}

/// Looks for the evidence of one row.
pub(super) struct Finder<'a> {
    repo: &'a Repo,
    evidence: Option<RootId>,
    file: &'a str,
    number: u64,
    raw_id: ObjectId,
    spec: Option<Spec>,
    joins: bool,
}

impl<'a> Finder<'a> {
    /// For row `number` of `file`, which is the object `raw_id`.
    pub(super) fn new(
        repo: &'a Repo,
        commit: &'a Commit,
        file: &'a str,
        number: u64,
        raw_id: ObjectId,
    ) -> Result<Self, OpError> {
        let specs = specs(repo, commit)?;
        let joins =
            |spec: &Spec| spec.lookups().values().map(LookupSpec::files).any(|files| files.contains(file));
        let is_joined = specs.iter().any(joins);
        let spec = specs.into_iter().find(|spec| spec.files().contains(file));
        let evidence = commit.dataset("evidence");
        Ok(Self { repo, evidence, file, number, raw_id, joins: is_joined && spec.is_none(), spec })
    }

    /// What the file's spec counts.
    pub(super) fn unit(&self) -> Option<Unit> {
        self.spec.as_ref().map(|spec| spec.unit().provenance())
    }

    /// The name of the file's spec.
    pub(super) fn spec_name(&self) -> Option<String> {
        self.spec.as_ref().map(|spec| spec.name().to_owned())
    }

    /// Whether the file is read by lookups and by no spec as its own.
    pub(super) fn is_lookup_only(&self) -> bool {
        self.joins
    }

    /// The keys of the evidence that was made of the row, whose bytes are `bytes`.
    pub(super) fn find(&self, bytes: Option<&[u8]>, progress: &dyn Progress) -> Result<Found, OpError> {
        if let (Some(spec), Some(bytes), Some(root)) = (&self.spec, bytes, self.evidence) {
            let mut adapter = spec.compile()?;
            let sees_all =
                !adapter.reads_beside() && spec.lookups().is_empty() && spec.unit() != UnitKind::Value;
            match self.map(&mut adapter, bytes) {
                Outcome::Records(drafts) => {
                    let mut keys = Vec::new();
                    for draft in &drafts {
                        keys.extend(self.at(root, &draft.record.key)?);
                    }
                    if keys.len() == drafts.len() {
                        return Ok(Found { keys, ..Found::default() });
                    }
                }
                Outcome::Skipped { rule } if sees_all => {
                    return Ok(Found { skipped: Some(rule), ..Found::default() });
                }
                Outcome::Skipped { .. } | Outcome::Quarantined { .. } => {}
            }
        }
        self.scan(progress)
    }

    fn map(&self, adapter: &mut Adapter, bytes: &[u8]) -> Outcome {
        let lookups = Lookups::default();
        let unit = UnitInput {
            file: self.file,
            number: self.number,
            bytes,
            terminated: true,
            flags: UnitFlags::default(),
            key: None,
            lookups: &lookups,
        };
        adapter.map(&unit).outcome
    }

    /// The key under which the record that wants `key` stands: that, or one with a suffix where an earlier row has it.
    fn at(&self, root: RootId, key: &str) -> Result<Option<String>, OpError> {
        let store = self.repo.store();
        let first = tree::get(store, root, key)?.into_iter().map(Ok);
        let suffixed = format!("{key}~");
        for entry in first.chain(tree::prefix(store, root, &suffixed)) {
            let entry = entry?;
            let record = EvidenceRecord::parse(&store.find(&entry.id)?)?;
            if self.is_of(&record.provenance) {
                return Ok(Some(entry.key));
            }
        }
        Ok(None)
    }

    fn is_of(&self, provenance: &Provenance) -> bool {
        provenance.raw_id == self.raw_id
            && provenance.line_offset == self.number
            && provenance.source_file == self.file
    }

    /// Goes through all evidence for records that name the row.
    fn scan(&self, progress: &dyn Progress) -> Result<Found, OpError> {
        let mut found = Found { scanned: true, ..Found::default() };
        let Some(root) = self.evidence else { return Ok(found) };
        progress.begin("searching the evidence", None);
        let name = self.raw_id.to_string();
        let finder = memchr::memmem::Finder::new(name.as_bytes());
        let mut entries = tree::iter(self.repo.store(), root);
        loop {
            let batch: Vec<_> = entries.by_ref().take(BATCH).collect::<Result<_, _>>()?;
            if batch.is_empty() {
                break;
            }
            let ids: Vec<_> = batch.iter().map(|entry| entry.id).collect();
            let objects = self.repo.store().try_find_many(&ids)?;
            for (entry, bytes) in batch.iter().zip(objects) {
                let Some(bytes) = bytes else { continue };
                if finder.find(&bytes).is_none() {
                    continue;
                }
                let record = EvidenceRecord::parse(&bytes)?;
                if self.is_of(&record.provenance) {
                    found.keys.push(entry.key.clone());
                } else if record.provenance.lookup_ids.contains(&self.raw_id) {
                    found.joined_by.push(entry.key.clone());
                }
            }
            progress.advance(batch.len() as u64, batch.iter().map(|entry| entry.bytes).sum());
        }
        progress.end();
        Ok(found)
    }
}

/// The specs that the commit stores, by name.
fn specs(repo: &Repo, commit: &Commit) -> Result<Vec<Spec>, OpError> {
    let mut specs = Vec::new();
    let Some(root) = commit.config_files else { return Ok(specs) };
    for entry in tree::prefix(repo.store(), root, "sources/") {
        let entry = entry?;
        let name = entry.key.trim_start_matches("sources/").trim_end_matches(".toml");
        let text = repo.store().find(&entry.id)?;
        // A spec of a later version may not parse: its rows are then found by a scan.
        if let Some(spec) = std::str::from_utf8(&text).ok().and_then(|text| Spec::parse(name, text).ok()) {
            specs.push(spec);
        }
    }
    Ok(specs)
}

/// The reasons for which `stage` refused anything, each found by one look-up.
pub(super) fn reasons(repo: &Repo, quarantine: RootId, stage: &str) -> Result<Vec<String>, OpError> {
    let mut reasons = Vec::new();
    let mut from = format!("{stage}/");
    loop {
        let bounds = (Bound::Included(from.as_str()), Bound::Unbounded);
        let Some(entry) = tree::range(repo.store(), quarantine, bounds).next() else { return Ok(reasons) };
        let key = entry?.key;
        let reason = key.strip_prefix(&format!("{stage}/")).and_then(|rest| rest.split_once('/'));
        let Some((reason, _)) = reason else { return Ok(reasons) };
        // `0` follows `/`.
        from = format!("{stage}/{reason}0");
        reasons.push(reason.to_owned());
    }
}
