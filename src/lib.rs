//! distill turns the execution traces of LLM agents into clean, gated training datasets and keeps every byte of the
//! way in a content-addressed, Git-like store.
//!
//! Modules are listed lowest first; a module may name only modules above it in this list (`tests/it/tidy.rs` enforces
//! it). Two sentences carry the design: the pipeline is a pure function, so a re-run is a proof; only `ops` writes,
//! and every write is one transaction that records its receipt.

pub mod base;
pub mod object;
pub mod record;
pub mod tree;
pub mod store;
pub mod model;
pub mod pipeline;
pub mod repo;
pub mod remote;
pub mod ops;
pub mod server;
pub mod cli;
