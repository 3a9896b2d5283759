//! One of the ten metrics, chosen by name.
//!
//! Rests on [`Metrics`]. Invariant: a [`Metric`] is one of the ten.

use serde::Serialize;

use crate::ops::{ErrorKind, OpError};
use crate::record::Metrics;

/// One of the ten metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric(usize);

impl Metric {
    /// The metric called `name`.
    ///
    /// # Errors
    /// When there is none; the hint names the nearest and all ten.
    pub fn called(name: &str) -> Result<Self, OpError> {
        if let Some(at) = Metrics::NAMES.iter().position(|known| *known == name) {
            return Ok(Self(at));
        }
        // People leave the phase away, which tells them nothing: `accepted` is near to `p3_accepted`.
        let bare = |known: &'static str| known.split_once('_').map_or(known, |(_, bare)| bare);
        let score = |known: &'static str| {
            strsim::jaro_winkler(name, known).max(strsim::jaro_winkler(name, bare(known)))
        };
        let nearest = Metrics::NAMES.into_iter().max_by(|a, b| score(a).total_cmp(&score(b)));
        let nearest = nearest.filter(|known| score(known) > 0.7);
        let near = nearest.map_or_else(String::new, |known| format!("did you mean `{known}`? "));
        Err(OpError::new(
            ErrorKind::Usage,
            format!("there is no metric called `{name}`"),
            format!("{near}the ten are {}", Metrics::NAMES.join(", ")),
        ))
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        Metrics::NAMES[self.0]
    }

    /// Its value.
    pub const fn of(self, metrics: &Metrics) -> u64 {
        metrics.values()[self.0]
    }
}

impl Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
