//! Reporting on long work, without knowing who listens.
//!
//! Rests on nothing. Invariant: reports change no result; an operation never waits for its listener.

/// A listener of long work.
pub trait Progress: Sync {
    /// A stage begins; `bytes_total` is how many bytes it will go through, where known.
    fn begin(&self, stage: &str, bytes_total: Option<u64>);
    /// So many more rows, of so many bytes, are done.
    fn advance(&self, rows: u64, bytes: u64);
    /// The stage ends.
    fn end(&self);
    /// Something worth a sentence, such as whom a run waits for.
    fn note(&self, sentence: &str);
}

/// Nobody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64, _: u64) {}
    fn end(&self) {}
    fn note(&self, _: &str) {}
}
