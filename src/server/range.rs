//! Parts of an answer, and answers that a client has already (RFC 9110 §13, §14).
//!
//! Rests on header values. Invariants: one range at most is given, and to GET alone; what is malformed or asks for several is
//! answered with the whole, as the standard allows; a part is given only of the version that the client names, where it names
//! one.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};

/// What of a request says which part of an answer is wanted.
pub struct Asked {
    /// GET or HEAD.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self { method: parts.method.clone(), headers: parts.headers.clone() })
    }
}

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
    /// The client wants another version alone.
    Other,
}

/// What of an answer of `total` bytes that is called `etag` is asked for.
pub fn part(asked: &Asked, etag: &str, total: u64) -> Part {
    let headers = &asked.headers;
    let wanted = tags(headers, header::IF_MATCH);
    if !wanted.is_empty() && !wanted.iter().any(|one| *one == b"*" || *one == etag.as_bytes()) {
        return Part::Other;
    }
    let known = tags(headers, header::IF_NONE_MATCH);
    if known.iter().any(|one| {
        let strong = one.strip_prefix(b"W/").unwrap_or(one);
        *one == b"*" || strong == etag.as_bytes()
    }) {
        return Part::Known;
    }
    // Of HEAD, the whole is told.
    let Some(wanted) = headers.get(header::RANGE).filter(|_| asked.method == Method::GET) else {
        return Part::Whole;
    };
    if headers.get(header::IF_RANGE).is_some_and(|version| version.as_bytes().trim_ascii() != etag.as_bytes())
    {
        return Part::Whole;
    }
    wanted.to_str().map_or(Part::Whole, |wanted| parse(wanted, total))
}

/// The tags that a condition names, in all lines of that name.
fn tags(headers: &HeaderMap, name: HeaderName) -> Vec<&[u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii).collect()
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
    use axum::http::HeaderValue;

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
        let headers = |pairs: &[(HeaderName, &str)]| {
            pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
        };
        let etag = "\"abc\"";
        let by = |method: Method, pairs: &[(HeaderName, &str)]| {
            part(&Asked { method, headers: headers(pairs) }, etag, 10)
        };
        let ask = |pairs: &[(HeaderName, &str)]| by(Method::GET, pairs);
        assert_eq!(ask(&[(header::IF_NONE_MATCH, "\"x\", W/\"abc\"")]), Part::Known);
        assert_eq!(ask(&[(header::IF_NONE_MATCH, "\"x\"")]), Part::Whole);
        assert_eq!(ask(&[(header::IF_MATCH, "\"x\"")]), Part::Other);
        assert_eq!(ask(&[(header::IF_MATCH, "W/\"abc\"")]), Part::Other, "a weak tag is no promise");
        assert_eq!(ask(&[(header::IF_MATCH, "\"x\", \"abc\"")]), Part::Whole);
        let range = (header::RANGE, "bytes=1-2");
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "\"abc\"")]), Part::Bytes { start: 1, len: 2 });
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "\"old\"")]), Part::Whole);
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "W/\"abc\"")]), Part::Whole);
        assert_eq!(by(Method::HEAD, std::slice::from_ref(&range)), Part::Whole, "only GET has parts");
        // A version that is no text is none of ours.
        let odd = HeaderValue::from_bytes(b"\"\xff\"").expect("a value");
        let mut headers = headers(&[range]);
        headers.insert(header::IF_RANGE, odd);
        assert_eq!(part(&Asked { method: Method::GET, headers }, etag, 10), Part::Whole);
    }
}
