//! Panics of redb become errors.
//!
//! Rests on unwinding. Invariant: no panic of redb leaves this folder; the program decides whether it prints.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::path::Path;

use crate::store::error::StoreError;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic of this thread would be caught by the store and reported as damage. A program's panic hook asks
/// this and prints nothing if so; the library itself installs no hook.
pub fn panics_are_quiet() -> bool {
    DEPTH.get() > 0
}

struct Quiet;

impl Quiet {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Runs `call`, with a panic in it as [`StoreError::Damaged`] of `path`.
///
/// Nothing that `call` may leave half-changed is used afterwards: redb handles live and die within it, and what they
/// wrote is guarded by the transaction that was not committed.
pub(in crate::store) fn guarded<T>(
    path: &Path,
    call: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let quiet = Quiet::enter();
    let outcome = catch_unwind(AssertUnwindSafe(call));
    drop(quiet);
    outcome.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(StoreError::damaged(path, format!("redb gave up: {said}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_quiet_ends_with_it() {
        assert!(!panics_are_quiet());
        let outcome: Result<(), _> = guarded(Path::new("f"), || {
            assert!(panics_are_quiet());
            std::panic::resume_unwind(Box::new("boom"))
        });
        assert_eq!(outcome.expect_err("caught").to_string(), "f is damaged: redb gave up: boom");
        assert!(!panics_are_quiet());
    }
}
