//! What each export made of one record.
//!
//! Rests on keys; where a record stands nowhere, the exporter itself, a pure function, says by which rule it is left out.
//! Invariant: what is stored comes before what is computed.

use super::super::follow::hop;
use super::super::{Hop, Role};
use super::{ExportFate, duplicate, quarantined};
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::ops::OpError;
use crate::ops::setup::{SECRETS_FILE, scanner};
use crate::pipeline::export::preference::{self, Entry};
use crate::pipeline::export::{Screen, Verdict, rag, sft};
use crate::pipeline::secret::Scanner;
use crate::record::{EvidenceRecord, PreferenceSample, QuarantineEntry, ScoredRun};
use crate::repo::{Commit, Repo};
use crate::tree;

/// The exports of one commit.
pub(super) struct Exports<'a> {
    repo: &'a Repo,
    commit: &'a Commit,
    include_partial: bool,
    /// The rules that let synthetic rows in.
    admitting: Vec<String>,
    scanner: Scanner,
}

impl<'a> Exports<'a> {
    /// Reads the options of the commit's configuration.
    pub(super) fn new(repo: &'a Repo, commit: &'a Commit) -> Result<Self, OpError> {
        let (mut include_partial, mut admitting) = (false, Vec::new());
        if let Some(id) = commit.config_id {
            let config: serde_json::Value =
                serde_json::from_slice(&repo.store().find(&id)?).unwrap_or_default();
            include_partial = config["options"]["include_partial"].as_bool().unwrap_or(false);
            let rules = config["policy"]["rule"].as_array();
            for rule in rules.into_iter().flatten().filter(|rule| rule["admit_synthetic"] == true) {
                admitting.extend(rule["id"].as_str().map(str::to_owned));
            }
        }
        let secrets = match commit.config_files {
            Some(root) => tree::get(repo.store(), root, SECRETS_FILE)?,
            None => None,
        };
        let text = secrets.map(|entry| repo.store().find(&entry.id)).transpose()?;
        let scanner = scanner(text.as_deref())?;
        Ok(Self { repo, commit, include_partial, admitting, scanner })
    }

    fn screen<'b>(&'b self, evidence: &'b EvidenceRecord, scored: &ScoredRun) -> Screen<'b> {
        let admits = self.admitting.contains(&scored.deciding_rule);
        Screen::new(&self.scanner, evidence).admitting_synthetic(admits)
    }

    /// The fate of one record in each export; datasets that were gone through are added to `scanned`.
    pub(super) fn of(
        &self,
        id: ObjectId,
        evidence: &EvidenceRecord,
        scored: &ScoredRun,
        scanned: &mut Vec<String>,
    ) -> Result<Vec<ExportFate>, OpError> {
        let screen = self.screen(evidence, scored);
        let rag_rule = rule(&rag::export(id, evidence, scored, &screen));
        let sft_rule = rule(&sft::export(id, evidence, scored, &screen, self.include_partial));
        Ok(vec![
            self.plain("exports/rag", "export-rag", &evidence.key, rag_rule)?,
            self.plain("exports/sft", "export-sft", &evidence.key, sft_rule)?,
            self.pairs(id, evidence, scored, scanned)?,
        ])
    }

    fn plain(
        &self,
        dataset: &str,
        stage: &str,
        key: &str,
        rule: Option<String>,
    ) -> Result<ExportFate, OpError> {
        let root = self.commit.dataset(dataset);
        if let Some(root) = root
            && tree::get(self.repo.store(), root, key)?.is_some()
        {
            let (hop, _) = hop(self.repo, Role::Row, dataset, Some(root), key, None);
            return Ok(exported(dataset, vec![hop]));
        }
        Ok(self.left_out(dataset, stage, key)?.unwrap_or_else(|| skipped(dataset, rule)))
    }

    /// The entry in `quarantine` or `duplicates` that says why an export has not the record.
    fn left_out(&self, dataset: &str, stage: &str, key: &str) -> Result<Option<ExportFate>, OpError> {
        let dataset = dataset.to_owned();
        let refused = quarantined::<QuarantineEntry>(self.repo, self.commit, stage, key, |entry| &entry.id)?;
        if let Some((reason, (hop, entry))) = refused {
            let detail = entry.map(|entry| entry.detail);
            let (fate, rule) = ("quarantined", Some(reason));
            return Ok(Some(ExportFate { dataset, fate, rule, detail, rows: vec![hop] }));
        }
        Ok(duplicate(self.repo, self.commit, stage, key)?.map(|(hop, entry)| {
            let detail = entry.map(|entry| entry.duplicate_of);
            ExportFate { dataset, fate: "duplicate", rule: None, detail, rows: vec![hop] }
        }))
    }

    /// The pairs with this record: those in which it was chosen by their keys, the others by a look at all keys.
    fn pairs(
        &self,
        id: ObjectId,
        evidence: &EvidenceRecord,
        scored: &ScoredRun,
        scanned: &mut Vec<String>,
    ) -> Result<ExportFate, OpError> {
        let dataset = "exports/preference";
        let screen = self.screen(evidence, scored);
        let entry = preference::candidate(evidence, scored.category, &screen);
        let mut rows = Vec::new();
        if let Some(root) = self.commit.dataset(dataset) {
            let row = |key: &str| hop(self.repo, Role::Row, dataset, Some(root), key, None).0;
            for pair in tree::prefix(self.repo.store(), root, &format!("{}+", evidence.key)) {
                let mut hop: Hop = row(&pair?.key);
                hop.says.push(("side", "chosen".to_owned()));
                rows.push(hop);
            }
            if matches!(entry, Entry::Candidate(_)) {
                let sig_hash = evidence.provenance.sig_hash.as_deref().unwrap_or_default();
                let ends = [sig_hash.get(..16).unwrap_or_default().to_owned(), id.short(16)];
                for pair in tree::iter(self.repo.store(), root) {
                    let pair = pair?;
                    let end = pair.key.rsplit_once('+').map_or("", |(_, end)| end);
                    if ends.iter().any(|own| own == end)
                        && self.repo.record::<PreferenceSample>(&pair.id)?.evidence_ids.rejected == id
                    {
                        let mut hop = row(&pair.key);
                        hop.says.push(("side", "rejected".to_owned()));
                        rows.push(hop);
                    }
                }
                let name = format!("{dataset} (keys)");
                if !scanned.contains(&name) {
                    scanned.push(name);
                }
            }
        }
        if !rows.is_empty() {
            return Ok(exported(dataset, rows));
        }
        if let Some(fate) = self.left_out(dataset, "export-preference", &evidence.key)? {
            return Ok(fate);
        }
        Ok(match entry {
            Entry::Candidate(_) => ExportFate { fate: "unpaired", ..skipped(dataset, None) },
            Entry::Skipped(rule) => skipped(dataset, Some(rule.to_owned())),
            Entry::Refused(refusal) => skipped(dataset, Some(refusal.reason.to_owned())),
        })
    }
}

fn exported(dataset: &str, rows: Vec<Hop>) -> ExportFate {
    ExportFate { dataset: dataset.to_owned(), fate: "exported", rule: None, detail: None, rows }
}

fn skipped(dataset: &str, rule: Option<String>) -> ExportFate {
    ExportFate { dataset: dataset.to_owned(), fate: "skipped", rule, detail: None, rows: Vec::new() }
}

fn rule<T>(verdict: &Verdict<T>) -> Option<String> {
    match verdict {
        Verdict::Skipped(rule) => Some((*rule).to_owned()),
        Verdict::Refused(refusal) => Some(refusal.reason.to_owned()),
        Verdict::Row(..) => None,
    }
}
