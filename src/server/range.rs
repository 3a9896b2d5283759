//! Parts of an answer, and answers that a client has already (RFC 9110 §13, §14).
//!
//! Rests on header values. Invariants: one range at most is given; what is malformed or asks for several is answered with the
//! whole, as the standard allows; a part is given only of the version that the client names, where it names one.

use axum::http::{HeaderMap, header};

/// How much of an answer is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// So many bytes from there on.
    Bytes {
        /// The first.
        start: u64,
        /// How many; at least one.
        len: u64,
    },
    /// What was asked for lies beyond the end.
    Beyond,
    /// The client has it.
    Known,
}

/// What of an answer of `total` bytes that is called `etag` these headers ask for.
pub fn part(headers: &HeaderMap, etag: &str, total: u64) -> Part {
    if let Some(known) = text(headers, header::IF_NONE_MATCH)
        && known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == etag)
    {
        return Part::Known;
    }
    let Some(wanted) = text(headers, header::RANGE) else { return Part::Whole };
    if text(headers, header::IF_RANGE).is_some_and(|version| version.trim() != etag) {
        return Part::Whole;
    }
    parse(wanted, total)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn parse(wanted: &str, total: u64) -> Part {
    let Some((unit, range)) = wanted.split_once('=') else { return Part::Whole };
    let Some((first, last)) = range.trim().split_once('-') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return Part::Whole;
    }
    // A number too large for 64 bits is beyond any end.
    let number = |text: &str| match text {
        "" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    match (number(first.trim()), number(last.trim())) {
        (Some(Some(start)), Some(end)) => {
            if end.is_some_and(|end| end < start) {
                return Part::Whole;
            }
            if start >= total {
                return Part::Beyond;
            }
            let end = end.unwrap_or(u64::MAX).min(total - 1);
            Part::Bytes { start, len: end - start + 1 }
        }
        (Some(None), Some(Some(suffix))) => match suffix.min(total) {
            0 => Part::Beyond,
            len => Part::Bytes { start: total - len, len },
        },
        _ => Part::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let bytes = |start, len| Part::Bytes { start, len };
        for (wanted, expect) in [
            ("bytes=0-0", bytes(0, 1)),
            ("bytes=0-", bytes(0, 10)),
            ("bytes=9-", bytes(9, 1)),
            ("bytes=2-99999999999999999999999", bytes(2, 8)),
            ("bytes=-3", bytes(7, 3)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes=-0", Part::Beyond),
            ("bytes=10-", Part::Beyond),
            ("bytes=99999999999999999999999-", Part::Beyond),
            ("bytes=5-4", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=--1", Part::Whole),
            ("bytes=-", Part::Whole),
            ("items=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(parse(wanted, 10), expect, "{wanted}");
        }
        assert_eq!(parse("bytes=0-", 0), Part::Beyond);
    }

    #[test]
    fn conditions() {
        let headers = |pairs: &[(header::HeaderName, &str)]| {
            pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
        };
        let etag = "\"abc\"";
        let ask = |pairs: &[(header::HeaderName, &str)]| part(&headers(pairs), etag, 10);
        assert_eq!(ask(&[(header::IF_NONE_MATCH, "\"x\", W/\"abc\"")]), Part::Known);
        assert_eq!(ask(&[(header::IF_NONE_MATCH, "\"x\"")]), Part::Whole);
        let range = (header::RANGE, "bytes=1-2");
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "\"abc\"")]), Part::Bytes { start: 1, len: 2 });
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "\"old\"")]), Part::Whole);
        assert_eq!(ask(&[range, (header::IF_RANGE, "W/\"abc\"")]), Part::Whole);
    }
}
