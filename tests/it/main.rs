//! The one integration-test binary.
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod breaking;
mod checkout;
mod cli;
mod common_checkout;
mod conservation;
mod determinism;
mod documents;
mod engine;
mod firewall;
mod freeze;
mod graph;
mod handoff;
mod history_format;
mod incremental;
mod ingest;
mod json;
mod real;
mod records;
mod reports;
mod runs;
mod sample;
mod sample_specs;
mod same_row;
mod sources;
mod store;
mod store_crash;
mod store_damage;
mod store_format;
mod store_map;
mod store_gc;
mod store_processes;
mod tidy;
mod tree;
mod worktree;
