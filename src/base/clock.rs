//! The one source of "now".
//!
//! Rests on the operating system's clock or on a pinned instant (`SOURCE_DATE_EPOCH`, read by the command line and
//! handed in as data). Invariant: no other module reads the wall clock; times never reach a dataset object.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where times come from: the system, or an instant that stands still.
#[derive(Clone, Copy, Debug, Default)]
pub enum Clock {
    /// The wall clock.
    #[default]
    System,
    /// Always this many milliseconds since the Unix epoch, so that a run made twice is the same run.
    Fixed(i64),
}

impl Clock {
    /// Milliseconds since the Unix epoch, UTC.
    pub fn now_ms(self) -> i64 {
        match self {
            Self::Fixed(ms) => ms,
            Self::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// The instant as RFC 3339 in UTC with milliseconds: `2026-11-23T20:43:00.000Z`.
    pub fn now_rfc3339(self) -> String {
        rfc3339(self.now_ms())
    }
}

/// Formats milliseconds since the Unix epoch as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_clock_stands_still() {
        assert_eq!(Clock::Fixed(0).now_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert!(Clock::System.now_ms() > 1_700_000_000_000);
    }
}
