//! A bucket as a remote: immutable packs, and numbered operations that are created once and are all that moves a ref.
//!
//! Rests on exclusive creation alone, which a directory and every object store worth the name can do. Invariants: the state is
//! the fold of the operations; operation n+1 names n by hash; a push that wins creates the next number, so nobody's update is
//! ever overwritten; packs lie there before the operation that names them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use serde::Serialize;

use super::bucket::Bucket;
use super::error::RemoteError;
use super::peer::Committed;
use super::peer::Intent;
use super::peer::Peer;
use super::peer::State;
use super::peer::is_shared;
use super::peer::unique;
use crate::base::fs::write_atomic;
use crate::object::ObjectId;
use crate::store::Bundled;
use crate::store::Operation;
use crate::store::PackEntry;
use crate::store::RefChange;
use crate::store::check_ref_name;

/// The schema every operation of a remote names.
pub const REMOTE_OPERATION_SCHEMA: &str = "distill.remote_operation.v1";
/// The object that says what the place is.
pub const MARKER: &str = "distill-remote.json";
/// What the marker names.
const MARKER_SCHEMA: &str = "distill.remote.v1";
/// The format of remotes that is written and read.
const FORMAT: u64 = 1;
/// The operations.
const OPS: &str = "ops";
/// An operation whose number is a multiple of this repeats the whole state, so that a newcomer reads this many at most.
const CHECKPOINT_EVERY: u64 = 32;

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u64,
    schema: String,
}

/// A whole state, as it is after the operation that holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The branch that clones start on.
    pub head: Option<String>,
    /// Every pack.
    pub packs: Vec<PackEntry>,
    /// Every ref.
    pub refs: BTreeMap<String, ObjectId>,
}

/// One operation of a remote, as its object says it. Members stand in alphabetical order, so that the compact form is
/// canonical JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteOperation {
    /// When, RFC 3339 in UTC, by the pusher's clock.
    pub at: String,
    /// The whole state after it, in every operation whose number is a multiple of 32; else null.
    pub checkpoint: Option<Checkpoint>,
    /// The branch that clones start on, where this operation gave it.
    pub head: Option<String>,
    /// A person's message.
    pub message: Option<String>,
    /// Counts from 1; the object is `ops/<10 digits>.json`.
    pub number: u64,
    /// Packs that came.
    pub packs: Vec<PackEntry>,
    /// BLAKE3 of the operation before it; null for the first.
    pub previous: Option<ObjectId>,
    /// The refs that moved.
    pub ref_changes: Vec<RefChange>,
    /// Always [`REMOTE_OPERATION_SCHEMA`].
    pub schema: String,
    /// Digits of the pusher's own, by which it knows its operation again when an answer was lost.
    pub token: String,
}

impl RemoteOperation {
    fn to_bytes(&self, place: &str) -> Result<Vec<u8>, RemoteError> {
        serde_json::to_vec(self).map_err(|error| RemoteError::damaged(place, error.to_string()))
    }

    fn parse(bytes: &[u8], place: &str, number: u64) -> Result<Self, RemoteError> {
        let damaged = |detail: String| RemoteError::damaged(place, detail);
        let operation: Self =
            serde_json::from_slice(bytes).map_err(|e| damaged(format!("not an operation: {e}")))?;
        if operation.schema != REMOTE_OPERATION_SCHEMA {
            return Err(damaged(format!("unknown schema `{}`", operation.schema)));
        }
        if operation.number != number {
            return Err(damaged(format!("it says that it is operation {}", operation.number)));
        }
        if operation.to_bytes(place)? != bytes {
            return Err(damaged("not in canonical form".to_owned()));
        }
        let checkpoint = operation.checkpoint.as_ref();
        let names = (operation.ref_changes.iter().map(|change| &change.name))
            .chain(checkpoint.iter().flat_map(|checkpoint| checkpoint.refs.keys()));
        for name in names {
            check_ref_name(name).map_err(|e| damaged(e.to_string()))?;
            if !is_shared(name) {
                return Err(damaged(format!("{name} is no branch, tag or run")));
            }
        }
        let heads = operation.head.iter().chain(checkpoint.and_then(|checkpoint| checkpoint.head.as_ref()));
        if let Some(head) = heads.into_iter().find(|head| !head.starts_with("heads/")) {
            return Err(damaged(format!("{head} is no branch to start on")));
        }
        Ok(operation)
    }

    /// What the state becomes.
    fn apply(&self, id: ObjectId, place: &str, state: &mut State) -> Result<(), RemoteError> {
        let damaged = |detail: String| Err(RemoteError::damaged(place, detail));
        if self.previous != state.id {
            return damaged("it does not follow the operation before it".to_owned());
        }
        for change in &self.ref_changes {
            let found = state.refs.get(&change.name).copied();
            if found != change.old {
                return damaged(format!("it moves {} from where it was not", change.name));
            }
            match change.new {
                Some(id) => state.refs.insert(change.name.clone(), id),
                None => state.refs.remove(&change.name),
            };
        }
        for pack in &self.packs {
            if !state.packs.iter().any(|known| known.id == pack.id) {
                state.packs.push(pack.clone());
            }
        }
        if let Some(head) = &self.head {
            state.head = Some(head.clone());
        }
        (state.number, state.id) = (self.number, Some(id));
        match &self.checkpoint {
            Some(checkpoint) if *checkpoint != checkpoint_of(state) => {
                damaged("its checkpoint is not what the operations come to".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The state that its checkpoint says.
    fn start(&self, id: ObjectId, checkpoint: &Checkpoint) -> State {
        State {
            number: self.number,
            id: Some(id),
            head: checkpoint.head.clone(),
            refs: checkpoint.refs.clone(),
            packs: checkpoint.packs.clone(),
        }
    }
}

fn checkpoint_of(state: &State) -> Checkpoint {
    Checkpoint { head: state.head.clone(), packs: state.packs.clone(), refs: state.refs.clone() }
}

/// What is remembered of a state between two commands.
#[derive(Serialize, Deserialize)]
struct Remembered {
    checkpoint: Checkpoint,
    id: ObjectId,
    number: u64,
    place: String,
}

/// A bucket with the layout of a remote.
pub struct Bucketed {
    bucket: Box<dyn Bucket>,
    memory: Option<PathBuf>,
}

impl Bucketed {
    /// The remote in `bucket`. What it was is remembered in the file `memory`, a cache.
    pub fn new(bucket: Box<dyn Bucket>, memory: Option<PathBuf>) -> Self {
        Self { bucket, memory }
    }

    /// The bucket itself.
    pub fn bucket(&self) -> &dyn Bucket {
        &*self.bucket
    }

    /// Makes the place a remote, if it is none yet; whether it was none.
    ///
    /// # Errors
    /// When it cannot be written, or is a remote of a later format.
    pub fn found(&self) -> Result<bool, RemoteError> {
        if self.check_marker()? {
            return Ok(false);
        }
        let marker = Marker { format: FORMAT, schema: MARKER_SCHEMA.to_owned() };
        let bytes = serde_json::to_vec(&marker)
            .map_err(|error| RemoteError::damaged(self.bucket.place(), error.to_string()))?;
        let is_new = self.bucket.create(MARKER, &bytes)?;
        self.check_marker()?;
        Ok(is_new)
    }

    /// Whether the place is a remote.
    ///
    /// # Errors
    /// When it cannot be read, or is a remote of a later format.
    pub fn check_marker(&self) -> Result<bool, RemoteError> {
        let Some(bytes) = self.bucket.get(MARKER)? else { return Ok(false) };
        let place = format!("{}/{MARKER}", self.bucket.place());
        let marker: Marker = serde_json::from_slice(&bytes)
            .map_err(|error| RemoteError::damaged(&place, format!("not a marker: {error}")))?;
        if marker.schema != MARKER_SCHEMA {
            return Err(RemoteError::damaged(&place, format!("unknown schema `{}`", marker.schema)));
        }
        if marker.format != FORMAT {
            return Err(RemoteError::NewerFormat {
                place: self.bucket.place(),
                found: marker.format,
                supported: FORMAT,
            });
        }
        Ok(true)
    }

    fn operation_name(number: u64) -> String {
        format!("{OPS}/{}", Operation::file_name(number))
    }

    fn operation_place(&self, number: u64) -> String {
        format!("{}/{}", self.bucket.place(), Self::operation_name(number))
    }

    fn operation(&self, number: u64) -> Result<Option<(ObjectId, RemoteOperation)>, RemoteError> {
        let place = self.operation_place(number);
        let Some(bytes) = self.bucket.get(&Self::operation_name(number))? else { return Ok(None) };
        let operation = RemoteOperation::parse(&bytes, &place, number)?;
        Ok(Some((ObjectId::of(&bytes), operation)))
    }

    /// The state that is remembered, if its operation is still the one at the place.
    fn remembered(&self) -> Result<Option<State>, RemoteError> {
        let read = self.memory.as_ref().and_then(|path| std::fs::read(path).ok());
        let memory: Option<Remembered> = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(memory) = memory.filter(|memory| memory.place == self.bucket.place()) else {
            return Ok(None);
        };
        let found = self.operation(memory.number)?.map(|(id, _)| id);
        let Checkpoint { head, packs, refs } = memory.checkpoint;
        let state = State { number: memory.number, id: Some(memory.id), head, refs, packs };
        Ok((found == Some(memory.id)).then_some(state))
    }

    /// A memory that cannot be written is made again.
    fn remember(&self, state: &State) {
        let (Some(path), Some(id)) = (&self.memory, state.id) else { return };
        let memory = Remembered {
            checkpoint: checkpoint_of(state),
            id,
            number: state.number,
            place: self.bucket.place(),
        };
        if let Ok(bytes) = serde_json::to_vec(&memory) {
            write_atomic(path, &bytes).ok();
        }
    }

    fn read_state(&self) -> Result<State, RemoteError> {
        let known = self.remembered()?.unwrap_or_default();
        let after = if known.number == 0 { String::new() } else { Operation::file_name(known.number) };
        let names = self.bucket.list_after(OPS, &after)?;
        let numbers = names.iter().filter_map(|name| {
            let number: u64 = name.strip_suffix(".json")?.parse().ok()?;
            (Operation::file_name(number) == *name).then_some(number)
        });
        let Some(last) = numbers.max() else { return Ok(known) };
        let mut later: Vec<(ObjectId, RemoteOperation)> = Vec::new();
        let mut number = last;
        let mut state = loop {
            if number == known.number {
                break known.clone();
            }
            let Some((id, operation)) = self.operation(number)? else {
                return Err(RemoteError::Gone { place: self.operation_place(number) });
            };
            if let Some((_, next)) = later.last()
                && next.previous != Some(id)
            {
                let detail = "it is not the operation that the next one names".to_owned();
                return Err(RemoteError::damaged(self.operation_place(number), detail));
            }
            if let Some(checkpoint) = &operation.checkpoint {
                break operation.start(id, checkpoint);
            }
            later.push((id, operation));
            number -= 1;
        };
        for (id, operation) in later.into_iter().rev() {
            operation.apply(id, &self.operation_place(operation.number), &mut state)?;
        }
        self.remember(&state);
        Ok(state)
    }
}

/// Where a pack lies.
fn pack_name(id: &ObjectId) -> String {
    format!("packs/{}/{id}.pack", id.short(2))
}

impl Peer for Bucketed {
    fn place(&self) -> String {
        self.bucket.place()
    }

    fn state(&self) -> Result<State, RemoteError> {
        if !self.check_marker()? {
            return Err(RemoteError::NotARemote { place: self.bucket.place() });
        }
        self.read_state()
    }

    fn read(&self, pack: &ObjectId, range: Range<u64>) -> Result<Vec<u8>, RemoteError> {
        self.bucket.get_range(&pack_name(pack), range)
    }

    fn put(&self, pack: &Bundled) -> Result<bool, RemoteError> {
        let name = pack_name(&pack.entry.id);
        let is_there = |found: Option<u64>| match found {
            None => Ok(false),
            Some(bytes) if bytes == pack.entry.bytes => Ok(true),
            Some(bytes) => Err(RemoteError::damaged(
                format!("{}/{name}", self.bucket.place()),
                format!("it has {bytes} bytes, not the {} of the pack that it is named by", pack.entry.bytes),
            )),
        };
        if is_there(self.bucket.size(&name)?)? || !self.bucket.create_from(&name, &pack.path)? {
            is_there(self.bucket.size(&name)?)?;
            return Ok(false);
        }
        Ok(true)
    }

    fn commit(&self, state: &State, intent: &Intent) -> Result<Committed, RemoteError> {
        for change in &intent.ref_changes {
            let found = state.refs.get(&change.name).copied();
            if found != change.old {
                return Err(RemoteError::Moved { name: change.name.clone(), expected: change.old, found });
            }
        }
        let number = state.number + 1;
        let place = self.operation_place(number);
        let known = |id: &ObjectId| state.packs.iter().any(|pack| pack.id == *id);
        let mut operation = RemoteOperation {
            at: intent.at.clone(),
            checkpoint: None,
            head: if state.head.is_none() { intent.head.clone() } else { None },
            message: intent.message.clone(),
            number,
            packs: (intent.packs.iter())
                .map(|pack| pack.entry.clone())
                .filter(|pack| !known(&pack.id))
                .collect(),
            previous: state.id,
            ref_changes: intent.ref_changes.clone(),
            schema: REMOTE_OPERATION_SCHEMA.to_owned(),
            token: unique(),
        };
        let mut after = state.clone();
        // The id is that of an operation without a checkpoint, and is set right below.
        operation.apply(ObjectId::of(&[]), &place, &mut after)?;
        if number.is_multiple_of(CHECKPOINT_EVERY) {
            operation.checkpoint = Some(checkpoint_of(&after));
        }
        let bytes = operation.to_bytes(&place)?;
        let created = self.bucket.create(&Self::operation_name(number), &bytes);
        let is_ours = match created {
            Ok(true) => true,
            // Whatever was answered, what lies there decides: an answer may have been lost and asked for again.
            Ok(false) => self.bucket.get(&Self::operation_name(number))?.as_deref() == Some(&*bytes),
            Err(error) => match self.bucket.get(&Self::operation_name(number)) {
                Ok(Some(found)) => found == bytes,
                _ => return Err(error),
            },
        };
        if !is_ours {
            return Ok(Committed::Lost(self.read_state()?));
        }
        after.id = Some(ObjectId::of(&bytes));
        self.remember(&after);
        Ok(Committed::Done(number))
    }
}
