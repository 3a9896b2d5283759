//! What objects are counted under: a dataset and a stream, or a part of a commit that is no dataset.
//!
//! Rests on the forms of keys, and for source rows on the specs of the commit that is told of. Invariant: there are never
//! more groups than a label has room for; what comes after that has no stream.

use std::collections::HashMap;

use crate::object::FindExt as _;
use crate::ops::closure::COMMITS;
use crate::ops::closure::CONFIGURATION;
use crate::ops::closure::Named;
use crate::ops::closure::REPORTS;
use crate::pipeline::source::Spec;
use crate::repo::Commit;
use crate::repo::DATASETS;
use crate::repo::Repo;
use crate::tree;

/// The parts of a commit that are no dataset come first.
const OTHERS: [&str; 3] = [COMMITS, REPORTS, CONFIGURATION];
/// The number of the first group of a dataset.
pub(super) const FIRST_DATASET: usize = OTHERS.len();
/// More groups than this have no place in a label.
const GROUPS_MAX: usize = 1 << 16;

/// The groups, by number.
pub(super) struct Groups {
    /// Part and stream.
    all: Vec<(String, Option<String>)>,
    known: HashMap<(String, Option<String>), u16>,
    specs: Vec<Spec>,
    /// The stream of each source file that was met.
    files: HashMap<String, Option<String>>,
}

impl Groups {
    /// The groups that every store has. Source rows get their stream from the specs of `commit`.
    pub(super) fn new(repo: &Repo, commit: Option<&Commit>) -> Self {
        let mut groups =
            Self { all: Vec::new(), known: HashMap::new(), specs: Vec::new(), files: HashMap::new() };
        for part in OTHERS.iter().chain(&DATASETS) {
            groups.number((*part).to_owned(), None);
        }
        if let Some(root) = commit.and_then(|commit| commit.config_files) {
            for entry in tree::iter(repo.store(), root).flatten() {
                let name = entry.key.strip_prefix("sources/").and_then(|name| name.strip_suffix(".toml"));
                // A spec of another version may not parse; its rows then have no stream.
                if let Some(name) = name
                    && let Ok(bytes) = repo.store().find(&entry.id)
                    && let Ok(text) = std::str::from_utf8(&bytes)
                {
                    groups.specs.extend(Spec::parse(name, text).ok());
                }
            }
        }
        groups
    }

    /// The number of the group that something belongs to.
    pub(super) fn of(&mut self, named: &Named) -> u16 {
        let stream = named.key.and_then(|key| self.stream_of(named.part, key));
        self.number(named.part.to_owned(), stream)
    }

    fn number(&mut self, part: String, stream: Option<String>) -> u16 {
        let group = (part, stream);
        if let Some(number) = self.known.get(&group) {
            return *number;
        }
        match u16::try_from(self.all.len()) {
            Ok(number) if self.all.len() < GROUPS_MAX => {
                self.all.push(group.clone());
                self.known.insert(group, number);
                number
            }
            _ => self.known.get(&(group.0, None)).copied().unwrap_or(0),
        }
    }

    fn stream_of(&mut self, part: &str, key: &str) -> Option<String> {
        match part {
            "sources" => {
                let (file, _) = key.rsplit_once('/')?;
                if let Some(stream) = self.files.get(file) {
                    return stream.clone();
                }
                let path = percent_encoding::percent_decode_str(file).decode_utf8_lossy();
                let spec = self.specs.iter().find(|spec| spec.files().contains(&path));
                let stream = spec.map(|spec| spec.stream().to_owned());
                self.files.insert(file.to_owned(), stream.clone());
                stream
            }
            "quarantine" | "duplicates" => None,
            // YYYY/MM/DD/stream/row key
            part if DATASETS.contains(&part) => key.split('/').nth(3).map(ToOwned::to_owned),
            _ => None,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The parts, each once, in the order in which people read them.
    pub(super) fn parts(&self) -> Vec<&str> {
        let mut parts: Vec<&str> = DATASETS.to_vec();
        for (part, _) in self.all.iter().skip(OTHERS.len()).chain(&self.all[..OTHERS.len()]) {
            if !parts.contains(&part.as_str()) {
                parts.push(part);
            }
        }
        parts
    }

    /// The groups of a part.
    pub(super) fn of_part(&self, part: &str) -> impl Iterator<Item = usize> {
        self.all.iter().enumerate().filter(move |(_, (own, _))| own == part).map(|(number, _)| number)
    }

    /// The streams of datasets, each once; none for rows without one.
    pub(super) fn streams(&self) -> Vec<Option<&str>> {
        let mut streams: Vec<Option<&str>> =
            self.all.iter().skip(FIRST_DATASET).map(|(_, stream)| stream.as_deref()).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// The groups of a stream with their datasets.
    pub(super) fn of_stream(&self, stream: Option<&str>) -> impl Iterator<Item = (usize, &str)> {
        (self.all.iter().enumerate().skip(FIRST_DATASET))
            .filter(move |(_, (_, own))| own.as_deref() == stream)
            .map(|(number, (part, _))| (number, part.as_str()))
    }
}
