//! The one integration-test binary.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod engine;
mod freeze;
mod json;
mod records;
mod sample;
mod sample_specs;
mod sources;
mod store;
mod store_crash;
mod store_damage;
mod store_format;
mod store_processes;
mod tidy;
mod tree;
mod worktree;
