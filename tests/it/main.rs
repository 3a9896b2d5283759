//! The one integration-test binary.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod json;
mod records;
mod sources;
mod store;
mod store_crash;
mod store_damage;
mod store_format;
mod store_processes;
mod tidy;
mod tree;
mod worktree;
