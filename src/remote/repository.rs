//! Another repository on this machine, or on a disk that is mounted here, as the other side.
//!
//! Rests on its store. Invariants: reading writes nothing there; what is pushed is received as from anybody: hashed, its
//! closure looked at, and published in one step. Its working tree stays as it is.

use std::fs;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::error::RemoteError;
use super::peer::Committed;
use super::peer::Intent;
use super::peer::Peer;
use super::peer::State;
use super::peer::is_shared;
use super::peer::unique;
use super::receive::receive;
use crate::base::clock::Clock;
use crate::object::ObjectId;
use crate::repo::Repo;
use crate::store::Bundled;
use crate::store::Head;
use crate::store::PackEntry;

/// What pushes bring, until it is received.
const QUARANTINE: &str = "quarantine-push-";
/// A quarantine of this age belongs to nobody.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// A repository.
pub struct Repository {
    repo: Repo,
}

impl Repository {
    /// The repository.
    pub fn new(repo: Repo) -> Self {
        Self { repo }
    }

    fn tmp(&self) -> PathBuf {
        self.repo.dot().join("tmp")
    }

    /// Removes what pushes left that died.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.tmp()) else { return };
        let now = Duration::from_millis(u64::try_from(Clock::System.now_ms()).unwrap_or(0));
        for entry in entries.flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(QUARANTINE);
            let modified = entry.metadata().and_then(|meta| meta.modified()).ok();
            let at = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            if is_ours && at.is_some_and(|at| now.saturating_sub(at) > ABANDONED_AFTER) {
                fs::remove_dir_all(entry.path()).ok();
            }
        }
    }
}

impl Peer for Repository {
    fn place(&self) -> String {
        self.repo.root().display().to_string()
    }

    fn state(&self) -> Result<State, RemoteError> {
        let store = self.repo.store();
        store.refresh()?;
        let last = store.last_operation();
        let mut refs = store.refs();
        refs.retain(|name, _| is_shared(name));
        Ok(State {
            number: last.map_or(0, |(number, _)| number),
            id: last.map(|(_, id)| id),
            head: match store.head() {
                Head::Branch(name) => Some(name),
                Head::Detached(_) => None,
            },
            refs,
            packs: (store.packs().into_iter())
                .map(|pack| PackEntry { bytes: pack.bytes, id: pack.id, objects: pack.objects })
                .collect(),
        })
    }

    fn read(&self, pack: &ObjectId, range: Range<u64>) -> Result<Vec<u8>, RemoteError> {
        let gone = || RemoteError::Gone { place: format!("pack {pack} of {}", self.place()) };
        let Some(info) = self.repo.store().packs().into_iter().find(|info| info.id == *pack) else {
            return Err(gone());
        };
        let mut bytes = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)];
        match File::open(&info.path).and_then(|file| file.read_exact_at(&mut bytes, range.start)) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(gone()),
            Err(error) => Err(RemoteError::io("read", &info.path)(error)),
        }
    }

    fn put(&self, _: &Bundled) -> Result<bool, RemoteError> {
        // They are copied when they are received; until then nobody there needs them.
        Ok(true)
    }

    fn commit(&self, _: &State, intent: &Intent) -> Result<Committed, RemoteError> {
        self.sweep();
        let folder = self.tmp().join(format!("{QUARANTINE}{}", unique()));
        fs::create_dir_all(&folder).map_err(RemoteError::io("create", &folder))?;
        let received = (|| {
            let mut packs = Vec::new();
            for pack in &intent.packs {
                let own = folder.join(format!("{}.pack", pack.entry.id));
                fs::copy(&pack.path, &own).map_err(RemoteError::io("write", &own))?;
                packs.push(own);
            }
            self.repo.store().refresh()?;
            receive(
                &self.repo,
                &packs,
                &intent.ref_changes,
                intent.message.clone(),
                intent.at.clone(),
                intent.force,
            )
        })();
        fs::remove_dir_all(&folder).ok();
        match received {
            Ok(received) => Ok(Committed::Done(received.operation.unwrap_or(0))),
            Err(RemoteError::Moved { .. }) => Ok(Committed::Lost(self.state()?)),
            Err(error) => Err(error),
        }
    }
}
