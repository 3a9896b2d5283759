//! From the text of a revision to a commit, a dataset, a row or any object.
//!
//! Rests on `revspec` and `history`. Invariants: ambiguity is an error that lists the candidates; an unknown name
//! suggests near ones; a tag is peeled only when its object names itself.

use crate::object::CommitId;
use crate::object::Exists as _;
use crate::object::IdPrefix;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::repo::commit::{Commit, DATASETS};
use crate::repo::error::RepoError;
use crate::repo::revspec::{Base, PathSpec, RevSpec, Step};
use crate::repo::{NotA, Repo};
use crate::tree;

/// What a revision with a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A commit.
    Commit,
    /// A dataset, or the part of it below a key prefix.
    Dataset {
        /// Its name.
        dataset: String,
        /// Its root.
        root: RootId,
        /// What the keys must begin with; empty for all.
        prefix: String,
    },
    /// One row.
    Row {
        /// Its dataset.
        dataset: String,
        /// The root of its dataset.
        root: RootId,
        /// Its key.
        key: String,
        /// Its object.
        id: ObjectId,
    },
}

/// A resolved revision.
#[derive(Clone, Debug)]
pub struct Located {
    /// The commit.
    pub commit_id: CommitId,
    /// Its content.
    pub commit: Commit,
    /// What in it.
    pub target: Target,
}

impl Repo {
    /// Resolves a revision without a path to a commit.
    ///
    /// # Errors
    /// When it is malformed, unknown, ambiguous or goes beyond the first commit.
    pub fn resolve(&self, text: &str) -> Result<CommitId, RepoError> {
        self.resolve_spec(&RevSpec::parse(text)?)
    }

    fn resolve_spec(&self, spec: &RevSpec) -> Result<CommitId, RepoError> {
        let mut id = match &spec.base {
            Base::Head => self.head_commit().ok_or(RepoError::NoCommit)?,
            Base::Name(name) => self.resolve_name(name)?,
            Base::Reflog(name, n) => self.resolve_reflog(name.as_deref(), *n)?,
        };
        for step in &spec.steps {
            let beyond = || RepoError::BeyondRoot { rev: spec.to_string() };
            match *step {
                Step::Parent(0) | Step::Ancestor(0) => {}
                Step::Parent(n) => {
                    let index = usize::try_from(n - 1).unwrap_or(usize::MAX);
                    id = *self.commit(id)?.parents.get(index).ok_or_else(beyond)?;
                }
                Step::Ancestor(n) => {
                    for _ in 0..n {
                        id = *self.commit(id)?.parents.first().ok_or_else(beyond)?;
                    }
                }
            }
        }
        Ok(id)
    }

    fn resolve_reflog(&self, name: Option<&str>, n: u64) -> Result<CommitId, RepoError> {
        let full = match name {
            None => None,
            Some(name) => Some(self.full_ref_name(name)?),
        };
        let shown = || name.unwrap_or("HEAD").to_owned();
        let moves = self.head_moves(full.as_deref())?;
        let index = usize::try_from(n).unwrap_or(usize::MAX);
        let found = moves.get(index).and_then(|m| m.commit);
        let commit = found.ok_or_else(|| RepoError::NoReflogEntry { name: shown(), n })?;
        if !self.store().exists(commit.object())? {
            return Err(RepoError::Collected { name: shown(), n, commit: *commit.object() });
        }
        Ok(commit)
    }

    /// The full name of the one ref that `name` means: a full name itself, or a tag, branch or run.
    fn full_ref_name(&self, name: &str) -> Result<String, RepoError> {
        match self.refs_called(name).as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(self.unknown(name)),
            several => Err(RepoError::Ambiguous { name: name.to_owned(), candidates: several.to_vec() }),
        }
    }

    fn refs_called(&self, name: &str) -> Vec<String> {
        let own = [name.to_owned(), format!("tags/{name}"), format!("heads/{name}"), format!("runs/{name}")];
        // `origin/main` is the branch of a remote as it was last seen.
        let full = own.into_iter().chain([format!("remotes/{name}")]);
        full.filter(|full| self.store().get_ref(full).is_some()).collect()
    }

    fn resolve_name(&self, name: &str) -> Result<CommitId, RepoError> {
        let called = self.refs_called(name);
        let mut commits = Vec::new();
        for full in &called {
            let commit = self.peel(full)?;
            if !commits.contains(&commit) {
                commits.push(commit);
            }
        }
        match commits.as_slice() {
            [one] => return Ok(*one),
            [] => {}
            _ => return Err(RepoError::Ambiguous { name: name.to_owned(), candidates: called }),
        }
        let Ok(prefix) = IdPrefix::parse(name) else { return Err(self.unknown(name)) };
        let mut commits = Vec::new();
        for id in self.store().resolve_prefix(&prefix)? {
            if self.is_commit(&id)? {
                commits.push(id);
            } else if let Ok(tag) = self.tag(&id) {
                commits.push(*tag.target.object());
            }
        }
        commits.dedup();
        match commits.as_slice() {
            [one] => Ok(CommitId::new(*one)),
            [] => Err(self.unknown(name)),
            several => {
                let candidates = several.iter().map(|id| format!("commit {}", id.short(16))).collect();
                Err(RepoError::Ambiguous { name: name.to_owned(), candidates })
            }
        }
    }

    /// The commit a ref stands for; a tag object must carry the ref's own name.
    ///
    /// # Errors
    /// When the ref does not exist, or its tag object was made for another name.
    pub fn peel(&self, full_name: &str) -> Result<CommitId, RepoError> {
        let id = self.store().get_ref(full_name).ok_or_else(|| self.unknown(full_name))?;
        let Some(name) = full_name.strip_prefix("tags/") else { return Ok(CommitId::new(id)) };
        let tag = self.tag(&id)?;
        if tag.name != name {
            let detail = format!("it was made for the name `{}`, but stands under `{name}`", tag.name);
            return Err(NotA { id, wanted: "tag of this name", detail }.into());
        }
        Ok(tag.target)
    }

    fn unknown(&self, name: &str) -> RepoError {
        let refs = self.store().refs();
        let short = refs.keys().filter_map(|full| full.split_once('/').map(|(_, short)| short));
        RepoError::UnknownRevision { name: name.to_owned(), near: near(name, short.chain(["HEAD"])) }
    }

    /// Resolves `REV`, `REV:dataset` or `REV:dataset/key`.
    ///
    /// # Errors
    /// As [`Repo::resolve`], and when the commit has no such dataset or key.
    pub fn locate(&self, text: &str) -> Result<Located, RepoError> {
        let spec = PathSpec::parse(text)?;
        let commit_id = self.resolve_spec(&spec.rev)?;
        let commit = self.commit(commit_id)?;
        let target = match spec.path.as_deref() {
            None | Some("") => Target::Commit,
            Some(path) => self.locate_path(commit_id, &commit, path)?,
        };
        Ok(Located { commit_id, commit, target })
    }

    fn locate_path(&self, commit_id: CommitId, commit: &Commit, path: &str) -> Result<Target, RepoError> {
        // `sft` may stand for `exports/sft` where nothing is called `sft`.
        let names = commit.datasets.iter().flat_map(|(name, root)| {
            let short = name.strip_prefix("exports/").filter(|short| !commit.datasets.contains_key(*short));
            [Some(name.as_str()), short].into_iter().flatten().map(move |called| (called, name, *root))
        });
        let found = names
            .filter(|(called, ..)| path == *called || path.starts_with(&format!("{called}/")))
            .max_by_key(|(called, ..)| called.len());
        let missing = |near| RepoError::NoSuchPath {
            commit: commit_id.object().short(12),
            path: path.to_owned(),
            near,
        };
        let Some((called, dataset, root)) = found else {
            return Err(missing(near(path, DATASETS)));
        };
        let rest = path[called.len()..].trim_start_matches('/');
        let dataset = dataset.clone();
        if rest.is_empty() {
            return Ok(Target::Dataset { dataset, root, prefix: String::new() });
        }
        if let Some(entry) = tree::get(self.store(), root, rest)? {
            return Ok(Target::Row { dataset, root, key: entry.key, id: entry.id });
        }
        match tree::prefix(self.store(), root, rest).next() {
            Some(entry) => {
                entry?;
                Ok(Target::Dataset { dataset, root, prefix: rest.to_owned() })
            }
            None => Err(missing(Vec::new())),
        }
    }

    /// Resolves an object id or abbreviation, a revision (its commit object), or a row.
    ///
    /// # Errors
    /// When it names nothing, or several objects.
    pub fn resolve_object(&self, text: &str) -> Result<ObjectId, RepoError> {
        if !text.contains(':')
            && self.refs_called(text).is_empty()
            && let Ok(prefix) = IdPrefix::parse(text)
        {
            match self.store().resolve_prefix(&prefix)?.as_slice() {
                [one] => return Ok(*one),
                [] => return Err(self.unknown(text)),
                several => {
                    let candidates = several.iter().map(|id| id.short(16)).collect();
                    return Err(RepoError::Ambiguous { name: text.to_owned(), candidates });
                }
            }
        }
        let located = self.locate(text)?;
        Ok(match located.target {
            Target::Commit => *located.commit_id.object(),
            Target::Dataset { root, prefix, .. } if prefix.is_empty() => *root.object(),
            Target::Dataset { dataset, prefix, .. } => {
                return Err(RepoError::NoSuchPath {
                    commit: located.commit_id.object().short(12),
                    path: format!("{dataset}/{prefix}"),
                    near: Vec::new(),
                });
            }
            Target::Row { id, .. } => id,
        })
    }
}

/// The three names nearest to `name`, if any is near.
fn near<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = (names.into_iter())
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}
