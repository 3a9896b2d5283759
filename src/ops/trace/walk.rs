//! The walk back: export row → scored run → evidence → source row, and the same for what was refused or repeats.
//!
//! Rests on `follow` for each hop and on `origins` for the trees. Invariant: every record's own key, and every id by which
//! one names another, is compared with what the trees say.

use super::follow::{hop, record, same, same_provenance};
use super::origins::Origins;
use super::{CheckName, Hop, Role, source};
use crate::object::ObjectId;
use crate::object::RootId;
use crate::ops::OpError;
use crate::record::{
    Category, DuplicateEntry, EvidenceRecord, PreferenceSample, Provenance, QuarantineEntry, RagSample,
    Record, ScoredRun, SftSample,
};
use crate::repo::{Commit, Repo};

/// A walk in one commit.
pub(super) struct Walk<'a> {
    repo: &'a Repo,
    origins: Origins<'a>,
}

/// What a row says of the evidence that it was made from.
struct Claims<'a> {
    evidence_id: ObjectId,
    provenance: &'a Provenance,
    run_id: Option<&'a str>,
    category: Option<Category>,
}

/// The trees that a row was made from.
#[derive(Clone, Copy)]
struct Trees {
    scored: Option<RootId>,
    evidence: Option<RootId>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(repo: &'a Repo, commit: &'a Commit) -> Result<Self, OpError> {
        Ok(Self { repo, origins: Origins::new(repo, commit)? })
    }

    /// The row of `key` in the tree `root` of `dataset`, and all that is behind it.
    pub(super) fn row(&self, dataset: &str, root: RootId, key: &str) -> Hop {
        match dataset {
            "evidence" => self.evidence(Role::Row, Some(root), key, None).0,
            "scored-runs" => {
                let evidence = self.origins.input("score", dataset, root, "evidence");
                self.scored(Role::Row, Trees { scored: Some(root), evidence }, key, None)
            }
            "exports/rag" => self.export(dataset, root, key, |row: &RagSample| Claims {
                evidence_id: row.evidence_id,
                provenance: &row.provenance,
                run_id: Some(&row.source_run_id),
                category: Some(row.source_category.into()),
            }),
            "exports/sft" => self.export(dataset, root, key, |row: &SftSample| Claims {
                evidence_id: row.evidence_id,
                provenance: &row.provenance,
                run_id: Some(&row.source_run_id),
                category: Some(row.quality_score.into()),
            }),
            "exports/preference" => self.pair(dataset, root, key),
            "quarantine" => self.quarantined(root, key),
            "duplicates" => self.duplicate(root, key),
            _ => source::bare(self.repo, Role::Row, root, key),
        }
    }

    fn trees(&self, stage: &str, dataset: &str, root: RootId) -> Trees {
        Trees {
            scored: self.origins.input(stage, dataset, root, "scored-runs"),
            evidence: self.origins.input(stage, dataset, root, "evidence"),
        }
    }

    fn export<T: Exported>(
        &self,
        dataset: &str,
        root: RootId,
        key: &str,
        claims: impl Fn(&T) -> Claims<'_>,
    ) -> Hop {
        let (mut hop, bytes) = hop(self.repo, Role::Row, dataset, Some(root), key, None);
        if let Some(row) = record::<T>(&mut hop, &bytes, T::key) {
            let claims = claims(&row);
            hop.says.extend(claims.category.map(|category| ("category", category.as_str().to_owned())));
            let trees = self.trees(T::STAGE, dataset, root);
            hop.below.push(self.scored(Role::ScoredRun, trees, key, Some(&claims)));
        }
        hop
    }

    fn pair(&self, dataset: &str, root: RootId, key: &str) -> Hop {
        let (mut hop, bytes) = hop(self.repo, Role::Row, dataset, Some(root), key, None);
        let Some(pair) = record::<PreferenceSample>(&mut hop, &bytes, |pair| &pair.id) else { return hop };
        hop.says.push(("reason", pair.reason.clone()));
        let trees = self.trees("export-preference", dataset, root);
        let chosen_key = key.rsplit_once('+').map_or(key, |(chosen, _)| chosen);
        // The pair's key names the chosen side; that of the rejected one is told by its evidence.
        let rejected_key = self.repo.record::<EvidenceRecord>(&pair.evidence_ids.rejected).map(|e| e.key);
        let sides = [
            (Role::Chosen, Some(chosen_key.to_owned()), pair.evidence_ids.chosen, &pair.provenance.chosen),
            (Role::Rejected, rejected_key.ok(), pair.evidence_ids.rejected, &pair.provenance.rejected),
        ];
        let run_ids = [&pair.source_run_ids.chosen, &pair.source_run_ids.rejected];
        for ((role, side_key, evidence_id, provenance), run_id) in sides.into_iter().zip(run_ids) {
            let claims = Claims { evidence_id, provenance, run_id: Some(run_id), category: None };
            match side_key {
                Some(key) => hop.below.push(self.scored(role, trees, &key, Some(&claims))),
                None => {
                    let detail = format!("the evidence {evidence_id} of the rejected side cannot be read");
                    hop.fault(CheckName::Link, Some(evidence_id), detail);
                }
            }
        }
        hop
    }

    /// The verdict of `key`, and what it rests on.
    fn scored(&self, role: Role, trees: Trees, key: &str, claims: Option<&Claims<'_>>) -> Hop {
        let (mut hop, bytes) = hop(self.repo, role, "scored-runs", trees.scored, key, None);
        let Some(scored) = record::<ScoredRun>(&mut hop, &bytes, |scored| &scored.key) else {
            // The evidence is still there, perhaps.
            hop.below.extend(
                claims.map(|claims| self.evidence(Role::Evidence, trees.evidence, key, Some(claims)).0),
            );
            return hop;
        };
        hop.says.push(("category", scored.category.as_str().to_owned()));
        hop.says.push(("rule", scored.deciding_rule.clone()));
        if let Some(claims) = claims {
            same(&mut hop, CheckName::Link, &scored.evidence_id, &claims.evidence_id);
            same_provenance(&mut hop, &scored.provenance, claims.provenance);
            if let Some(category) = claims.category {
                same(&mut hop, CheckName::Category, &scored.category, &category);
            }
        }
        let below = Claims {
            evidence_id: scored.evidence_id,
            provenance: &scored.provenance,
            run_id: claims.and_then(|claims| claims.run_id),
            category: None,
        };
        hop.below.push(self.evidence(Role::Evidence, trees.evidence, key, Some(&below)).0);
        hop
    }

    /// The evidence of `key` and its source row.
    fn evidence(
        &self,
        role: Role,
        root: Option<RootId>,
        key: &str,
        claims: Option<&Claims<'_>>,
    ) -> (Hop, Option<EvidenceRecord>) {
        let named = claims.map(|claims| claims.evidence_id);
        let (mut hop, bytes) = hop(self.repo, role, "evidence", root, key, named);
        let Some(evidence) = record::<EvidenceRecord>(&mut hop, &bytes, |evidence| &evidence.key) else {
            return (hop, None);
        };
        hop.says.push(("stream", evidence.stream.clone()));
        if let Some(claims) = claims {
            same_provenance(&mut hop, &evidence.provenance, claims.provenance);
            if let Some(run_id) = claims.run_id {
                same(&mut hop, CheckName::RunId, &evidence.run_id.as_deref(), &Some(run_id));
            }
        }
        let sources = root.and_then(|root| self.origins.input("evidence", "evidence", root, "sources"));
        hop.below.push(source::source(self.repo, Role::Source, sources, &evidence.provenance));
        (hop, Some(evidence))
    }

    fn quarantined(&self, root: RootId, key: &str) -> Hop {
        let (mut hop, bytes) = hop(self.repo, Role::Row, "quarantine", Some(root), key, None);
        if let Some(entry) = record::<QuarantineEntry>(&mut hop, &bytes, |entry| &entry.id) {
            hop.says.push(("reason", entry.reason.clone()));
            hop.says.push(("detail", entry.detail.clone()));
            hop.below.push(self.refused(&entry.stage, entry.refused_id, &entry.provenance));
        }
        hop
    }

    fn duplicate(&self, root: RootId, key: &str) -> Hop {
        let (mut hop, bytes) = hop(self.repo, Role::Row, "duplicates", Some(root), key, None);
        let Some(entry) = record::<DuplicateEntry>(&mut hop, &bytes, |entry| &entry.id) else { return hop };
        hop.says.push(("repeats", entry.duplicate_of.clone()));
        hop.below.push(self.refused(&entry.stage, entry.refused_id, &entry.provenance));
        hop.below.push(self.repeated(&entry));
        hop
    }

    /// What a stage did not take: a source row for the stage `evidence`, evidence for exports.
    fn refused(&self, stage: &str, id: ObjectId, provenance: &Provenance) -> Hop {
        if stage == "evidence" {
            let sources = self.origins.latest_input("evidence", "sources");
            let mut hop = source::source(self.repo, Role::Refused, sources, provenance);
            same(&mut hop, CheckName::Link, &provenance.raw_id, &id);
            return hop;
        }
        let root = self.origins.latest_input(stage, "evidence");
        match self.repo.record::<EvidenceRecord>(&id) {
            Ok(evidence) => {
                let claims = Claims { evidence_id: id, provenance, run_id: None, category: None };
                self.evidence(Role::Refused, root, &evidence.key, Some(&claims)).0
            }
            Err(error) => {
                let (mut hop, _) = hop(self.repo, Role::Refused, "evidence", None, "", Some(id));
                hop.checks.clear();
                hop.fault(CheckName::Hash, Some(id), error.to_string());
                hop
            }
        }
    }

    /// The record that `entry` repeats.
    fn repeated(&self, entry: &DuplicateEntry) -> Hop {
        let of = entry.duplicate_of.as_str();
        let (stage, dataset) = match entry.stage.as_str() {
            "export-rag" => ("export-rag", "exports/rag"),
            "export-sft" => ("export-sft", "exports/sft"),
            _ => ("evidence", "evidence"),
        };
        let root = self.origins.latest_output(stage, dataset);
        if dataset != "evidence" {
            return hop(self.repo, Role::Repeats, dataset, root, of, None).0;
        }
        let (mut hop, bytes) = hop(self.repo, Role::Repeats, dataset, root, of, None);
        if let Some(evidence) = record::<EvidenceRecord>(&mut hop, &bytes, |evidence| &evidence.key)
            && entry.stage == "evidence"
        {
            same(&mut hop, CheckName::SigHash, &evidence.provenance.sig_hash, &entry.provenance.sig_hash);
        }
        hop
    }
}

/// An export whose rows have the key of their evidence.
trait Exported: Record {
    const STAGE: &'static str;
    fn key(&self) -> &str;
}

impl Exported for RagSample {
    const STAGE: &'static str = "export-rag";
    fn key(&self) -> &str {
        &self.id
    }
}

impl Exported for SftSample {
    const STAGE: &'static str = "export-sft";
    fn key(&self) -> &str {
        &self.id
    }
}
