//! The `distill` binary.

fn main() {}
