//! `sources list`: the specs of the repository with what they match and made, and those that could be added.
//!
//! Rests on discovery and on the receipts of HEAD. Invariant: one spec that cannot be used does not hide the others.

use std::path::Path;

use serde::Serialize;

use super::find::find;
use super::show::matched;
use crate::ops::OpError;
use crate::ops::setup::spec_files;
use crate::pipeline::source::Spec;
use crate::pipeline::source::embedded;
use crate::record::StreamCoverage;
use crate::repo::Site;

/// What there is, as one list.
#[derive(Clone, Debug, Serialize)]
pub struct SourceList {
    /// The specs of the repository in order of name, then those that come with distill and are not among them.
    pub items: Vec<Listed>,
}

/// One spec.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum Listed {
    /// In `.distill/sources`.
    Configured(Configured),
    /// In the program, to be added.
    Embedded(Available),
}

/// A spec of the repository.
#[derive(Clone, Debug, Serialize)]
pub struct Configured {
    /// Its name.
    pub name: String,
    /// Its stream; null where it cannot be used.
    pub stream: Option<String>,
    /// What it says of itself.
    pub description: String,
    /// Files that it reads below the base.
    pub files: u64,
    /// Units of its stream at HEAD; null before the first run with it.
    pub units: Option<u64>,
    /// Records made of them, repetitions included; null also where a run looked into a part of the units only.
    pub records: Option<u64>,
    /// Whether it means what it meant in the run that made HEAD's evidence; null before.
    pub unchanged: Option<bool>,
    /// Why it cannot be used, or null.
    pub error: Option<String>,
}

/// A spec that comes with distill.
#[derive(Clone, Debug, Serialize)]
pub struct Available {
    /// Its name.
    pub name: String,
    /// Its stream.
    pub stream: String,
    /// What it is for.
    pub description: String,
    /// Files that it would read below the base; null outside a repository.
    pub files: Option<u64>,
}

/// All specs; outside a repository only those that come with distill.
///
/// # Errors
/// Files that cannot be read, a damaged store.
pub fn list(site: Option<&Site>, start: &Path) -> Result<SourceList, OpError> {
    let mut items = Vec::new();
    let mut own = Vec::new();
    if let Some(site) = site {
        let known = coverage_at_head(site)?;
        for (name, _) in spec_files(&site.dot())? {
            items.push(Listed::Configured(configured(site, start, &name, &known)?));
            own.push(name);
        }
    }
    for (name, text) in embedded().iter().filter(|(name, _)| !own.iter().any(|own| own == name)) {
        let spec = Spec::parse(name, text)?;
        let files = site.map(|site| matched(site, &spec)).transpose()?.map(|(files, _)| files.len() as u64);
        items.push(Listed::Embedded(Available {
            name: (*name).to_owned(),
            stream: spec.stream().to_owned(),
            description: spec.description().to_owned(),
            files,
        }));
    }
    Ok(SourceList { items })
}

fn configured(
    site: &Site,
    start: &Path,
    name: &str,
    known: &[StreamCoverage],
) -> Result<Configured, OpError> {
    let found = find(Some(site), start, name)?;
    let at_head = known.iter().find(|stream| stream.spec == name);
    let units = at_head.map(|stream| stream.units);
    let records = at_head.filter(|stream| stream.observed == stream.units).map(|stream| stream.records);
    let name = name.to_owned();
    match found.spec() {
        Ok(spec) => Ok(Configured {
            name,
            stream: Some(spec.stream().to_owned()),
            description: spec.description().to_owned(),
            files: matched(site, &spec)?.0.len() as u64,
            units,
            records,
            unchanged: at_head.map(|stream| stream.spec_id == spec.id()),
            error: None,
        }),
        Err(error) => Ok(Configured {
            name,
            stream: None,
            description: String::new(),
            files: 0,
            units,
            records,
            unchanged: at_head.map(|_| false),
            error: Some(error.message),
        }),
    }
}

/// What the run that made HEAD's evidence recorded of each stream.
fn coverage_at_head(site: &Site) -> Result<Vec<StreamCoverage>, OpError> {
    if !site.has_store() {
        return Ok(Vec::new());
    }
    let repo = site.clone().open()?;
    let Some(head) = repo.head_commit() else { return Ok(Vec::new()) };
    let receipt = repo.receipt(&repo.commit(head)?, "evidence")?;
    Ok(receipt.map(|receipt| receipt.coverage).unwrap_or_default())
}
