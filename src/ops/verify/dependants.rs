//! What depends on damaged objects: the refs, datasets and keys that need them.
//!
//! Rests on a walk of each dataset that the first walk reached. It runs only where something is damaged. Invariants: an
//! object that several commits share is named for each of them; a part of a commit is counted as hit also where its finding
//! was one too many to be listed.

use std::collections::BTreeMap;

use super::Dependant;
use super::Findings;
use super::reach::Reached;
use crate::object::CommitId;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::tree::Entry;
use crate::tree::TreeError;
use crate::tree::Visitor;
use crate::tree::Walker;

/// Adds to each finding the commits, datasets and keys that need it, and to `reached` the parts that are hit.
pub(super) fn find(repo: &Repo, reached: &mut Reached, findings: &mut Findings) {
    let mut users: BTreeMap<RootId, Vec<(CommitId, String)>> = BTreeMap::new();
    for (id, commit) in &reached.commits {
        for (part, root) in parts(commit) {
            users.entry(root).or_default().push((*id, part.to_owned()));
        }
    }
    for (root, users) in users {
        let mut hits = Hits { findings, hits: Vec::new() };
        Walker::new(repo.store()).walk(root, &mut hits);
        let hits = hits.hits;
        if hits.is_empty() {
            continue;
        }
        for (commit, part) in &users {
            reached.hit(*commit, part);
        }
        for (object, key) in hits {
            let Some(finding) = findings.objects.get_mut(&object) else { continue };
            if finding.kind == "receipt" {
                // The walk has told of it already.
                continue;
            }
            for (commit, part) in &users {
                finding.needed_by(Dependant {
                    refs: reached.refs.get(commit).cloned().unwrap_or_default(),
                    commit_id: Some(*commit),
                    part: part.clone(),
                    key: key.clone(),
                });
            }
        }
    }
}

/// The trees of a commit whose rows no parser has looked at.
pub(super) fn parts(commit: &Commit) -> impl Iterator<Item = (&str, RootId)> {
    (commit.datasets.iter())
        .map(|(name, root)| (name.as_str(), *root))
        .chain(commit.config_files.map(|root| ("config files", root)))
        .chain([("receipts", commit.receipts)])
}

/// The damaged objects below one root.
struct Hits<'a> {
    findings: &'a Findings,
    hits: Vec<(ObjectId, Option<String>)>,
}

impl Visitor for Hits<'_> {
    fn node(&mut self, _: &ObjectId, _: u8) -> bool {
        true
    }

    fn row(&mut self, row: &Entry) {
        if self.findings.knows(&row.id) {
            self.hits.push((row.id, Some(row.key.clone())));
        }
    }

    fn damage(&mut self, id: &ObjectId, _: TreeError) {
        self.hits.push((*id, None));
    }
}
