//! What depends on damaged objects: the refs, datasets and keys that need them.
//!
//! Rests on a walk of each dataset that the first walk reached. It runs only where something is damaged. Invariant: an
//! object that several commits share is named for each of them.

use std::collections::BTreeMap;

use super::Dependant;
use super::Finding;
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

/// Adds to each finding the commits, datasets and keys that need it.
pub(super) fn find(repo: &Repo, reached: &Reached, findings: &mut BTreeMap<ObjectId, Finding>) {
    let mut users: BTreeMap<RootId, Vec<(&CommitId, &str)>> = BTreeMap::new();
    for (id, commit) in &reached.commits {
        for (part, root) in parts(commit) {
            users.entry(root).or_default().push((id, part));
        }
    }
    for (root, users) in users {
        let mut hits = Hits { findings, hits: Vec::new() };
        Walker::new(repo.store()).walk(root, &mut hits);
        for (object, key) in hits.hits {
            let Some(finding) = findings.get_mut(&object) else { continue };
            for (commit, part) in &users {
                finding.needed_by(Dependant {
                    refs: reached.refs.get(*commit).cloned().unwrap_or_default(),
                    commit_id: Some(**commit),
                    part: (*part).to_owned(),
                    key: key.clone(),
                });
            }
        }
    }
}

/// The trees of a commit whose rows no parser has looked at.
fn parts(commit: &Commit) -> impl Iterator<Item = (&str, RootId)> {
    (commit.datasets.iter())
        .map(|(name, root)| (name.as_str(), *root))
        .chain(commit.config_files.map(|root| ("config files", root)))
        .chain([("receipts", commit.receipts)])
}

/// The damaged objects below one root.
struct Hits<'a> {
    findings: &'a BTreeMap<ObjectId, Finding>,
    hits: Vec<(ObjectId, Option<String>)>,
}

impl Visitor for Hits<'_> {
    fn node(&mut self, _: &ObjectId, _: u8) -> bool {
        true
    }

    fn row(&mut self, row: &Entry) {
        if self.findings.get(&row.id).is_some_and(|finding| finding.kind != "receipt") {
            self.hits.push((row.id, Some(row.key.clone())));
        }
    }

    fn damage(&mut self, id: &ObjectId, _: TreeError) {
        if self.findings.contains_key(id) {
            self.hits.push((*id, None));
        }
    }
}
