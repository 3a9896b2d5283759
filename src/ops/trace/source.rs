//! The end of a walk: the source row itself, its hash and its place in a file.
//!
//! Rests on the raw object. Invariants: `sig_hash` is computed from the raw bytes; the file in the folder is compared where
//! that needs no unpacking and no parser, and what it says is told and not judged.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Component, Path};

use super::follow::{self, hop};
use super::{CheckName, Hop, OnDisk, Role, SourceLine};
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::RootId;
use crate::pipeline::source::sig_hash;
use crate::record::{Provenance, Unit, source_key};
use crate::repo::Repo;
use crate::tree::TreeError;

/// The source row that `provenance` names, in the tree `sources`.
pub(super) fn source(repo: &Repo, role: Role, sources: Option<RootId>, provenance: &Provenance) -> Hop {
    let (file, number) = (&provenance.source_file, provenance.line_offset);
    let key = source_key(file, number).unwrap_or_default();
    let (mut hop, bytes) = hop(repo, role, "sources", sources, &key, Some(provenance.raw_id));
    if let Some(bytes) = &bytes {
        check_sig(&mut hop, bytes, provenance);
    }
    if !provenance.lookup_ids.is_empty() {
        let failed = provenance.lookup_ids.iter().find_map(|id| match repo.store().find(id) {
            Ok(_) => None,
            Err(error) => Some(follow::blame(&TreeError::Odb(error))),
        });
        match failed {
            None => hop.check(CheckName::Lookups, Ok(())),
            Some((object, detail)) => hop.fault(CheckName::Lookups, object, detail),
        }
    }
    hop.source = Some(place(repo.base(), file, Some(provenance.unit), number, &provenance.raw_id));
    hop
}

/// Computes the `sig_hash` of a row's bytes, where `provenance` has one.
pub(super) fn check_sig(hop: &mut Hop, bytes: &[u8], provenance: &Provenance) {
    let Some(claimed) = &provenance.sig_hash else { return };
    let result = match sig_hash(bytes, provenance.unit).map(hex::encode) {
        Ok(found) if found == *claimed => Ok(()),
        Ok(found) => Err(format!("the row's canonical form hashes to {found}, the records say {claimed}")),
        Err(error) => Err(format!("the row has no canonical form: {error}")),
    };
    hop.check(CheckName::SigHash, result);
}

/// A source row that no record speaks of: its key says where it comes from.
pub(super) fn bare(repo: &Repo, role: Role, sources: RootId, key: &str) -> Hop {
    let (mut hop, _) = hop(repo, role, "sources", Some(sources), key, None);
    let place_in = |(path, number): (&str, &str)| {
        // A path that was cut, and so is no name of a file, has a `~`.
        if path.contains('~') {
            return None;
        }
        let file = percent_encoding::percent_decode_str(path).decode_utf8().ok()?.into_owned();
        Some((file, number.parse().ok()?))
    };
    if let Some(id) = hop.id
        && let Some((file, number)) = key.rsplit_once('/').and_then(place_in)
    {
        hop.source = Some(place(repo.base(), &file, None, number, &id));
    }
    hop
}

/// Where a row stands, and whether it still stands there.
pub(super) fn place(
    base: &Path,
    file: &str,
    unit: Option<Unit>,
    number: u64,
    raw_id: &ObjectId,
) -> SourceLine {
    let on_disk = on_disk(base, file, unit, number, raw_id);
    SourceLine { file: file.to_owned(), unit, line_offset: number, line: number + 1, on_disk }
}

fn on_disk(base: &Path, file: &str, unit: Option<Unit>, number: u64, raw_id: &ObjectId) -> OnDisk {
    let name = Path::new(file);
    let packed =
        name.extension().is_some_and(|ending| ["gz", "zst", "eval"].iter().any(|known| ending == *known));
    let below = name.components().all(|part| matches!(part, Component::Normal(_)));
    if packed || !below || !matches!(unit, Some(Unit::Line | Unit::File)) {
        return OnDisk::NotCompared;
    }
    let Ok(opened) = File::open(base.join(name)) else { return OnDisk::Absent };
    let mut reader = BufReader::with_capacity(1 << 18, opened);
    let read = if unit == Some(Unit::File) {
        let mut hasher = blake3::Hasher::new();
        std::io::copy(&mut reader, &mut hasher).map(|_| ObjectId::from_bytes(*hasher.finalize().as_bytes()))
    } else {
        line(&mut reader, number).map(|line| ObjectId::of(&line))
    };
    match read {
        Ok(id) if id == *raw_id => OnDisk::Same,
        Ok(_) => OnDisk::Differs,
        Err(_) => OnDisk::Absent,
    }
}

/// Line `number` of a file, from 0, without its ending; empty where there is none.
fn line(reader: &mut BufReader<File>, number: u64) -> std::io::Result<Vec<u8>> {
    for _ in 0..number {
        if reader.skip_until(b'\n')? == 0 {
            return Ok(Vec::new());
        }
    }
    let mut line = Vec::new();
    // A row is at most 1 GiB; a longer line is another one.
    reader.take(1 << 30).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    Ok(line)
}
