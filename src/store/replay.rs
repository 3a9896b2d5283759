//! Checking the container and the operation log: the catalogue's own pages, every operation, and whether applying all of
//! them gives what the catalogue says.
//!
//! Rests on the operation files and on the replay that `reindex` makes. Invariants: nothing is written; it never stops at the
//! first finding; the catalogue names the last operation by its hash, so the chain is proven from its end.

use std::fs;
use std::path::PathBuf;

use super::CATALOGUE_FILE;
use super::OPS_DIR;
use super::catalogue::Catalogue;
use super::error::StoreError;
use super::opened::Store;
use super::operation::LoggedOperation;
use super::oplog::operation_path;
use super::oplog::read_operation;
use super::redb;
use super::reindex::apply;
use crate::object::ObjectId;

/// What a check of the log found.
#[derive(Clone, Debug, Default)]
pub struct LogCheck {
    /// Operations that hash to what the later one, or the catalogue, says.
    pub operations: u64,
    /// Whether all operations could be applied and the outcome compared.
    pub replayed: bool,
    /// What is wrong.
    pub findings: Vec<LogFinding>,
    /// Files beyond the last confirmed operation: a crash's leftovers, no part of the log.
    pub beyond: Vec<PathBuf>,
}

/// Something that is wrong with the log, or with what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFinding {
    /// `operation`, `ref`, `head`, or `catalogue`.
    pub kind: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The ref, where it is one.
    pub name: Option<String>,
    /// What is wrong.
    pub detail: String,
}

impl Store {
    /// Verifies the checksum of every page of `store.redb`, on a copy in memory.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where one does not hold; I/O.
    pub fn verify_catalogue(&self) -> Result<(), StoreError> {
        redb::check(&self.catalogue_path())
    }

    /// Checks that the operation log is dense and chained, and that refs, HEAD and packs are what it makes of them.
    pub fn verify_log(&self) -> LogCheck {
        let catalogue = self.snapshot().catalogue.clone();
        let mut check = LogCheck::default();
        let last = catalogue.last_operation.map_or(0, |(number, _)| number);
        let mut expected = catalogue.last_operation.map(|(_, id)| id);
        let mut operations: Vec<LoggedOperation> = Vec::new();
        for number in (1..=last).rev() {
            let path = operation_path(self.dir(), number);
            let mut find = |detail: String| {
                check.findings.push(LogFinding { kind: "operation", path: path.clone(), name: None, detail });
            };
            let logged = match read_operation(self.dir(), number) {
                Ok(logged) => logged,
                Err(error) => {
                    let detail = match error {
                        StoreError::Damaged { detail, .. } => detail,
                        error if error.is_missing_file() => {
                            "it is missing, and later ones are there".to_owned()
                        }
                        other => other.to_string(),
                    };
                    find(format!("{detail}{}", unproven(number)));
                    expected = None;
                    continue;
                }
            };
            let mut proven = true;
            if let Some(id) = expected
                && id != logged.id
            {
                let detail = format!("operation {number} hashes to {}, the log says {id}", logged.id);
                find(format!("{detail}{}", unproven(number)));
                proven = false;
            }
            if logged.operation.previous.is_some() != (number > 1) {
                find("the first operation alone has no previous one".to_owned());
                proven = false;
            }
            // What a damaged operation names as its predecessor proves nothing.
            expected = if proven { logged.operation.previous } else { None };
            check.operations += u64::from(proven);
            operations.push(logged);
        }
        operations.reverse();
        if check.findings.is_empty() {
            check.replayed = true;
            self.compare(&catalogue, &apply(&operations), &mut check);
        }
        check.beyond = self.operations_beyond(last);
        check
    }

    /// Notes where the catalogue is not what the log makes of it.
    fn compare(&self, stored: &Catalogue, made: &Catalogue, check: &mut LogCheck) {
        let mut find = |kind, name: Option<&str>, detail: String| {
            let path = self.dir().join(CATALOGUE_FILE);
            check.findings.push(LogFinding { kind, path, name: name.map(ToOwned::to_owned), detail });
        };
        let shown = |id: Option<&ObjectId>| id.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        for name in stored.refs.keys().chain(made.refs.keys().filter(|name| !stored.refs.contains_key(*name)))
        {
            let (is, should) = (stored.refs.get(name), made.refs.get(name));
            if is != should {
                let detail = format!("{name} is {}, the log says {}", shown(is), shown(should));
                find("ref", Some(name), detail);
            }
        }
        if stored.head != made.head {
            find("head", None, format!("HEAD is `{}`, the log says `{}`", stored.head, made.head));
        }
        if stored.packs != made.packs {
            let only = |a: &Catalogue, b: &Catalogue| {
                let ids =
                    a.packs.iter().filter(|pack| !b.packs.contains(pack)).map(|pack| pack.entry.id.short(16));
                ids.collect::<Vec<_>>().join(", ")
            };
            let detail = format!(
                "the packs are not those of the log (in the catalogue alone: {}; in the log alone: {})",
                only(stored, made),
                only(made, stored)
            );
            find("catalogue", None, detail);
        }
    }

    fn operations_beyond(&self, last: u64) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.dir().join(OPS_DIR));
        let mut beyond: Vec<_> = (listed.into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| {
                let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
                number.is_none_or(|number| number > last || *path != operation_path(self.dir(), number))
            })
            .collect();
        beyond.sort();
        beyond
    }
}

/// What the damage of an operation means for those before it.
fn unproven(number: u64) -> String {
    if number > 1 {
        format!("; no hash vouches for operation {} any more", number - 1)
    } else {
        String::new()
    }
}
