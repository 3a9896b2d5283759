//! The other side of a transfer, whatever it is: refs, packs, and a way to move refs.
//!
//! Rests on the store's packs. Invariants: a pack of a state has in it, or in the other packs of that state, everything that
//! the refs of the state need; [`Peer::commit`] moves all refs of an intent or none.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::hash::Hasher as _;
use std::ops::Range;

use super::error::RemoteError;
use crate::object::ObjectId;
use crate::store::Bundled;
use crate::store::PackEntry;
use crate::store::RefChange;

/// What the other side had at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Number of its last operation; 0 before the first.
    pub number: u64,
    /// Hash of that operation's file, where the other side has such files.
    pub id: Option<ObjectId>,
    /// The branch that a clone starts on, by full name.
    pub head: Option<String>,
    /// Its refs by full name: `heads/`, `tags/` and `runs/`.
    pub refs: BTreeMap<String, ObjectId>,
    /// Its packs.
    pub packs: Vec<PackEntry>,
}

/// What is to become of the other side's refs.
#[derive(Clone, Debug, Default)]
pub struct Intent {
    /// The packs that were put there for this.
    pub packs: Vec<Bundled>,
    /// All of them hold, or nothing happens.
    pub ref_changes: Vec<RefChange>,
    /// The branch that clones start on, where there is none yet.
    pub head: Option<String>,
    /// A person's message.
    pub message: Option<String>,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Whether a branch may lose commits.
    pub force: bool,
}

/// How a commit ended.
#[derive(Clone, Debug)]
pub enum Committed {
    /// It is there, as the operation of this number.
    Done(u64),
    /// Somebody else was faster; nothing happened, and this is how things are now.
    Lost(State),
}

/// A whole pack is fetched in pieces of this size, and no more memory than this is taken before bytes have come.
pub(super) const PIECE_BYTES: u64 = 8 << 20;

/// Whether a ref is for others to see and to be given: branches, tags and runs are.
pub fn is_shared(name: &str) -> bool {
    ["heads/", "tags/", "runs/"].iter().any(|family| name.starts_with(family))
}

/// Told of bytes that travelled, from several threads.
pub type Tick<'a> = &'a (dyn Fn(u64) + Sync);

/// The other side.
pub trait Peer: Send + Sync {
    /// The place, for people.
    fn place(&self) -> String;

    /// What it has now.
    ///
    /// # Errors
    /// When it cannot be reached, or holds nothing of distill's.
    fn state(&self) -> Result<State, RemoteError>;

    /// Bytes of one of its packs.
    ///
    /// # Errors
    /// [`RemoteError::Gone`] where it has the pack no more; when it cannot be reached.
    fn read(&self, pack: &ObjectId, range: Range<u64>) -> Result<Vec<u8>, RemoteError>;

    /// Puts a pack there, of which nobody is told yet; `false` where it lay there already.
    ///
    /// # Errors
    /// When it cannot be reached or does not allow it.
    fn put(&self, pack: &Bundled) -> Result<bool, RemoteError>;

    /// Moves refs, as seen from `state`.
    ///
    /// # Errors
    /// A ref that moved, a name that is fixed, a closure that is not complete; when it cannot be reached, and it may then be
    /// unknown whether it was done.
    fn commit(&self, state: &State, intent: &Intent) -> Result<Committed, RemoteError>;
}

/// 32 digits that nobody has used before and nobody can guess.
pub fn unique() -> String {
    // Each state of this kind is keyed anew by the system's own randomness.
    let half = || {
        let mut hasher = std::hash::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(), half())
}
