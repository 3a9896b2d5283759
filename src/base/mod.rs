//! Helpers that know nothing of distill: clock, files, canonical JSON, spill sorting.

pub mod causes;
pub mod clock;
pub mod duration;
pub mod fs;
pub mod json;
pub mod panics;
pub mod sort;
pub mod tls;
