//! Panics of redb become errors.
//!
//! Rests on `base::panics`. Invariant: no panic of redb leaves this folder.

use std::path::Path;

use crate::base::panics::caught;
use crate::store::error::StoreError;

/// Runs `call`, with a panic in it as [`StoreError::Damaged`] of `path`.
///
/// Nothing that `call` may leave half-changed is used afterwards: redb handles live and die within it, and what they
/// wrote is guarded by the transaction that was not committed.
pub(in crate::store) fn guarded<T>(
    path: &Path,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    caught(call).unwrap_or_else(|said| Err(StoreError::damaged(path, format!("redb gave up: {said}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damage_of_the_file() {
        let outcome: Result<(), _> = guarded(Path::new("f"), || std::panic::resume_unwind(Box::new("boom")));
        assert_eq!(outcome.expect_err("caught").to_string(), "f is damaged: redb gave up: boom");
    }
}
