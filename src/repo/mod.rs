//! An opened `.distill`: its configuration, its store, its history.
//!
//! Rests on `store`, `tree` and `record`. Invariants: nothing here prints; reading never writes; every change of a ref
//! goes through [`Store::publish`] as a compare-and-swap.

mod bases;
mod commit;
mod config;
mod error;
mod history;
mod refname;
mod reports;
mod resolve;
mod revspec;
mod topological;
pub mod worktree;

pub use commit::{Commit, CommitSchema, DATASETS, NotA, REPLAYS, Tag, TagSchema};
pub use config::{Config, Escalation, Gc, Options, Replay, Run};
pub use error::RepoError;
pub use history::{Ancestors, HeadMove};
pub use refname::{RefName, RefNameError};
pub use reports::{REPLAY, STAGES};
pub use resolve::{Located, Target};
pub use revspec::{Base, PathSpec, RevSpec, RevSpecError, Step, split_range};
pub use topological::Topological;

use std::path::{Path, PathBuf};

use crate::object::CommitId;
use crate::object::FindExt as _;
use crate::store::Head;
use crate::store::Store;

/// The folder that makes a directory a repository.
pub const DOT: &str = ".distill";

/// An opened repository.
#[derive(Clone, Debug)]
pub struct Repo {
    root: PathBuf,
    base: PathBuf,
    config: Config,
    store: Store,
}

/// Where a repository lies and how it is configured, before its store is opened.
#[derive(Clone, Debug)]
pub struct Site {
    /// The folder that holds `.distill`.
    pub root: PathBuf,
    /// Where the paths of source specs start.
    pub base: PathBuf,
    /// The parsed `config.toml`.
    pub config: Config,
}

impl Site {
    /// Finds the nearest folder at or above `start` that holds `.distill`, and reads its configuration.
    ///
    /// # Errors
    /// [`RepoError::NotARepository`], or a configuration that cannot be read.
    pub fn discover(start: &Path) -> Result<Self, RepoError> {
        let absolute = std::path::absolute(start).map_err(|source| RepoError::Io {
            action: "find",
            path: start.to_owned(),
            source,
        })?;
        let root = absolute
            .ancestors()
            .find(|folder| folder.join(DOT).is_dir())
            .ok_or_else(|| RepoError::NotARepository { start: absolute.clone() })?
            .to_owned();
        Self::at(&root)
    }

    /// Reads the configuration of the repository at `root`.
    ///
    /// # Errors
    /// When `config.toml` is there and cannot be read or parsed.
    pub fn at(root: &Path) -> Result<Self, RepoError> {
        let path = root.join(DOT).join("config.toml");
        let config = match std::fs::read_to_string(&path) {
            Ok(text) => {
                Config::parse(&text).map_err(|message| RepoError::Config { path: path.clone(), message })?
            }
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Config::default(),
            Err(source) => return Err(RepoError::Io { action: "read", path, source }),
        };
        let base = config.base.as_deref().map_or_else(|| root.to_owned(), |base| root.join(base));
        Ok(Self { root: root.to_owned(), base, config })
    }

    /// The `.distill` folder.
    pub fn dot(&self) -> PathBuf {
        self.root.join(DOT)
    }

    /// Whether a store has been made yet, be it damaged since.
    pub fn has_store(&self) -> bool {
        Store::is_in(&self.dot())
    }

    /// Opens the store.
    ///
    /// # Errors
    /// When there is none, or it is damaged or newer than this program.
    pub fn open(self) -> Result<Repo, RepoError> {
        let store = Store::open(&self.dot())?;
        Ok(Repo { root: self.root, base: self.base, config: self.config, store })
    }

    /// Opens the store, making it first where `.distill` holds only configuration.
    ///
    /// # Errors
    /// As [`Site::open`].
    pub fn open_or_init(self) -> Result<Repo, RepoError> {
        if !self.has_store() {
            match Store::init(&self.dot()) {
                // Somebody else may just have made it.
                Ok(_) | Err(crate::store::StoreError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.open()
    }
}

impl Repo {
    /// The folder that holds `.distill`; the working tree is written below it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The `.distill` folder.
    pub fn dot(&self) -> PathBuf {
        self.root.join(DOT)
    }

    /// Where the paths of source specs start.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The parsed `config.toml`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The commit HEAD stands at; `None` before the first.
    pub fn head_commit(&self) -> Option<CommitId> {
        match self.store.head() {
            Head::Branch(name) => self.store.get_ref(&name),
            Head::Detached(id) => Some(id),
        }
        .map(CommitId::new)
    }

    /// Reads a commit.
    ///
    /// # Errors
    /// When the object is missing, damaged or no commit.
    pub fn commit(&self, id: CommitId) -> Result<Commit, RepoError> {
        let bytes = self.store.find(id.object())?;
        Ok(Commit::parse(id.object(), &bytes)?)
    }

    /// Reads a tag object.
    ///
    /// # Errors
    /// When the object is missing, damaged or no tag.
    pub fn tag(&self, id: &crate::object::ObjectId) -> Result<Tag, RepoError> {
        let bytes = self.store.find(id)?;
        Ok(Tag::parse(id, &bytes)?)
    }
}
