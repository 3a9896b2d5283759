//! Panics of libraries become errors.
//!
//! Rests on unwinding. Invariants: a panic inside [`caught`] ends there; the program decides whether it prints.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether a panic of this thread would be caught and reported as damage. A program's panic hook asks this and prints
/// nothing if so; the library itself installs no hook.
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

/// Runs `call`; a panic in it is an error with what the panic said. Nothing that `call` may leave half-changed may be
/// used afterwards.
///
/// # Errors
/// The message of the panic.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let quiet = Quiet::enter();
    let outcome = catch_unwind(AssertUnwindSafe(call));
    drop(quiet);
    outcome.map_err(|panic| {
        panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message")
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_quiet_ends_with_it() {
        assert!(!panics_are_quiet());
        let outcome: Result<(), _> = caught(|| {
            assert!(panics_are_quiet());
            std::panic::resume_unwind(Box::new("boom"))
        });
        assert_eq!(outcome.expect_err("caught"), "boom");
        assert!(!panics_are_quiet());
    }
}
