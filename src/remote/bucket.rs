//! A bucket: names and bytes, of which a name can be created once.
//!
//! Rests on nothing. Invariants: an object that was created is never changed; creating is exclusive, which [`race`] tries
//! before anybody relies on it; what a name holds is all of it or nothing.

use std::ops::Range;
use std::path::Path;

use super::error::RemoteError;

/// How many writers race for one name when a bucket is tried.
pub const RACERS: usize = 8;

/// No object that is read as a whole is longer, in bytes: operations and the marker. Packs are read by ranges.
pub(super) const GET_BYTES_MAX: u64 = 256 << 20;

/// The refusal of an object that is longer.
pub(super) fn too_long(place: String, bytes: u64) -> RemoteError {
    RemoteError::damaged(place, format!("{bytes} bytes are too many"))
}

/// A place for objects with names, such as a directory or a bucket of an object store.
pub trait Bucket: Send + Sync {
    /// The place, for people.
    fn place(&self) -> String;

    /// All bytes of `name`; `None` where there is no such object. Not for packs: memory holds all of it.
    ///
    /// # Errors
    /// When the place cannot be read; an object that is longer than any such object is.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RemoteError>;

    /// These bytes of `name`, all of them. Memory is taken for no more than there is.
    ///
    /// # Errors
    /// [`RemoteError::Gone`] where there is no such object; when the place cannot be read, or ends before.
    fn get_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, RemoteError>;

    /// The length of `name` in bytes; `None` where there is no such object.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn size(&self, name: &str) -> Result<Option<u64>, RemoteError>;

    /// Creates `name` with these bytes, durably; `false` where it exists already. Where the answer was lost, `false` may
    /// be said of one's own success: read it back.
    ///
    /// # Errors
    /// When the place cannot be written, or it is not known whether it was.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, RemoteError>;

    /// As [`Self::create`], with the bytes of a file.
    ///
    /// # Errors
    /// As [`Self::create`], and when the file cannot be read.
    fn create_from(&self, name: &str, path: &Path) -> Result<bool, RemoteError>;

    /// The names directly in `folder` that come after `after` in byte order, without the folder.
    ///
    /// # Errors
    /// When the place cannot be read.
    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, RemoteError>;

    /// Removes `name`, if it is there. Only ever called for what a probe made.
    ///
    /// # Errors
    /// When the place cannot be written.
    fn remove(&self, name: &str) -> Result<(), RemoteError>;
}

/// Lets [`RACERS`] writers create one name at the same time and looks whether exactly one could, and whether a later one
/// still cannot.
///
/// # Errors
/// [`RemoteError::NotExclusive`]; [`RemoteError::Denied`]; when the place cannot be written.
pub fn race(bucket: &dyn Bucket, token: &str) -> Result<(), RemoteError> {
    let name = format!("probe/{token}");
    let barrier = std::sync::Barrier::new(RACERS);
    let answers: Vec<Result<bool, RemoteError>> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS)
            .map(|racer| {
                let (barrier, name) = (&barrier, &name);
                scope.spawn(move || {
                    barrier.wait();
                    bucket.create(name, format!("{token} {racer}").as_bytes())
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| match racer.join() {
                Ok(answer) => answer,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let mut winners = Vec::new();
    for (racer, answer) in answers.into_iter().enumerate() {
        if answer? {
            winners.push(racer);
        }
    }
    let late = bucket.create(&name, format!("{token} late").as_bytes())?;
    let found = bucket.get(&name)?;
    bucket.remove(&name).ok();
    let holds = match winners.as_slice() {
        [winner] => found == Some(format!("{token} {winner}").into_bytes()),
        // The winner's answer was lost on the way: the object is one racer's all the same.
        [] => found.is_some(),
        _ => false,
    };
    if holds && !late {
        return Ok(());
    }
    Err(RemoteError::NotExclusive {
        place: bucket.place(),
        winners: winners.len() + usize::from(late),
        racers: RACERS + 1,
    })
}
