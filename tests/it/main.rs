//! The one integration-test binary.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod json;
mod records;
mod tree;
