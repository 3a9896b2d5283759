//! What a text hides: JSON escapes, percent signs, base64.
//!
//! Rests on nothing of distill. What always holds: a cheap test comes first, and a text without such forms is not
//! copied; what comes out is never longer than what went in, so that decoding again and again ends.

/// What kinds of escapes a text has.
pub(super) struct Escapes {
    /// Some stand for characters that a keyword may have (`\u0041`, `\/`), not only for quotes and line ends.
    pub of_letters: bool,
}

/// Whether `text` has backslashes that JSON knows.
pub(super) fn escapes(text: &[u8]) -> Option<Escapes> {
    let mut found = None;
    for at in memchr::memchr_iter(b'\\', text) {
        match text.get(at + 1) {
            Some(b'u' | b'/') => return Some(Escapes { of_letters: true }),
            Some(b'"' | b'\\' | b'n' | b'r' | b't' | b'b' | b'f') => {
                found = Some(Escapes { of_letters: false });
            }
            _ => {}
        }
    }
    found
}

/// `text` with JSON's escapes undone; what is none stays.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        let (byte, taken) = match rest.get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'b' | b'f') => (b' ', 2),
            Some(quoted @ (b'"' | b'\\' | b'/')) => (*quoted, 2),
            Some(b'u') => match rest.get(at + 2..at + 6).and_then(hex4) {
                Some(code) if code < 0x80 => (code.to_le_bytes()[0], 6),
                // No credential has such a character; it stays as it is.
                _ => (b'\\', 1),
            },
            _ => (b'\\', 1),
        };
        out.push(byte);
        rest = &rest[at + taken..];
    }
    out.extend_from_slice(rest);
    out
}

fn hex4(digits: &[u8]) -> Option<u16> {
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The words of `text` that hold percent-encoded bytes, decoded, a line each; `None` where there are none.
pub(super) fn percent(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut done = 0;
    for at in memchr::memchr_iter(b'%', text) {
        if at < done || percent_byte(&text[at..]).is_none() {
            continue;
        }
        let start = text[done..at].iter().rposition(u8::is_ascii_whitespace).map_or(done, |p| done + p + 1);
        let end = text[at..].iter().position(u8::is_ascii_whitespace).map_or(text.len(), |p| at + p);
        let mut rest = &text[start..end];
        while let Some((first, others)) = rest.split_first() {
            match percent_byte(rest) {
                Some(byte) => {
                    out.push(byte);
                    rest = &rest[3..];
                }
                None => {
                    out.push(*first);
                    rest = others;
                }
            }
        }
        out.push(b'\n');
        done = end;
    }
    (!out.is_empty()).then_some(out)
}

fn percent_byte(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// Shortest run of base64 that is looked into: 18 bytes.
const RUN: usize = 24;
/// A line of base64 at least this long may go on in the next one.
const WRAPPED: usize = 60;
/// Characters that are decoded to see whether the run is text at all.
const PROBE: usize = 16;

const NONE: u8 = 0xff;
/// The value of each character in the two alphabets of base64.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut n: u8 = 0;
    while n < 64 {
        values[plain[n as usize] as usize] = n;
        n += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

/// Hands out each run of base64 in `text` that decodes to text, until `found` returns something.
pub(super) fn base64<T>(text: &[u8], found: &mut dyn FnMut(&[u8]) -> Option<T>) -> Option<T> {
    let inside = |at: usize| VALUES[usize::from(text[at])] != NONE;
    let mut start = 0;
    'runs: while start + RUN <= text.len() {
        // From its last place back: most words end before it, and all places before their end are passed over.
        for at in (start..start + RUN).rev() {
            if !inside(at) {
                start = at + 1;
                continue 'runs;
            }
        }
        let mut end = start + RUN;
        while end < text.len() && inside(end) {
            end += 1;
        }
        // A run may begin before its base64 does, as in `key/QUJD…`, or end after it: each of the four ways to cut it is
        // tried, at both ends.
        for skip in 0..4 {
            let (first, last) = (start + skip, start + skip + (end - start - skip - PROBE) / 4 * 4);
            if [first, last].iter().any(|at| is_text(&decode(&text[*at..*at + PROBE]))) {
                let mut run = text[start + skip..end].to_vec();
                let after = joined(text, start, end, &mut run);
                let decoded = decode(&run);
                if let Some(result) = found(&decoded) {
                    return Some(result);
                }
                end = end.max(after);
                break;
            }
        }
        start = end;
    }
    None
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 9 | 10 | 13 | 32..=126))
}

/// Adds to `run` the lines that a wrapped run goes on in; returns where it ends.
fn joined(text: &[u8], start: usize, mut end: usize, run: &mut Vec<u8>) -> usize {
    let mut line = end - start;
    while line >= WRAPPED {
        let rest = &text[end..];
        let breaks: [&[u8]; 4] = [b"\r\n", b"\n", b"\\r\\n", b"\\n"];
        let Some(gap) = breaks.iter().find(|gap| rest.starts_with(gap)).map(|gap| gap.len()) else { break };
        let next = &rest[gap..];
        let more = next.iter().position(|byte| VALUES[usize::from(*byte)] == NONE).unwrap_or(next.len());
        if more == 0 {
            break;
        }
        run.extend_from_slice(&next[..more]);
        end += gap + more;
        line = more;
    }
    end
}

/// Decodes characters that are all of base64; one that is left over at the end is dropped.
fn decode(run: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(run.len() / 4 * 3 + 2);
    for four in run.chunks(4) {
        let mut bits = 0_u32;
        for character in four {
            bits = bits << 6 | u32::from(VALUES[usize::from(*character)]);
        }
        bits <<= 6 * (4 - four.len());
        out.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        base64(text.as_bytes(), &mut |decoded| {
            all.push(String::from_utf8_lossy(decoded).into_owned());
            None::<()>
        });
        all
    }

    #[test]
    fn escapes_are_undone_and_what_is_none_stays() {
        let undone = |text: &str| String::from_utf8(unescape(text.as_bytes())).expect("still text");
        assert_eq!(undone(r#"a\"b\\c\/d\ne\u0041\u00e4\q\u00"#), "a\"b\\c/d\neA\\u00e4\\q\\u00");
        assert!(escapes(br"C:\dir").is_none());
        assert!(!escapes(br#"say \"x\"\n"#).expect("some").of_letters);
        assert!(escapes(br"\\u0041").expect("some").of_letters);
    }

    #[test]
    fn words_with_percent_signs_are_decoded() {
        assert_eq!(percent(b"100 % of 5%"), None);
        assert_eq!(percent(b"a b%3Dc%2 d %zz e%20f"), Some(b"b=c%2\ne f\n".to_vec()));
    }

    #[test]
    fn runs_that_are_text_are_found_wherever_they_begin() {
        // "the quick brown fox jumps over the lazy dog"
        let fox = "dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZw";
        let plain = "the quick brown fox jumps over the lazy dog";
        assert_eq!(all(&format!("x: {fox}== .")), [plain]);
        for before in ["key/", "ab/", "/a/b/"] {
            let found = all(&format!("{before}{fox}"));
            assert!(found.len() == 1 && found[0].ends_with(plain), "{found:?}");
        }
        assert_eq!(all("src/pipeline/source/native/parse.rs and CamelCaseNamesThatAreVeryLong"), [""; 0]);
        let (first, second) = (fox.repeat(2), "dGhl");
        for gap in ["\n", "\r\n", "\\n"] {
            let joined = all(&format!("{}{gap}{second}\nother", &first[..76]));
            assert_eq!(joined.len(), 1, "{joined:?}");
            assert!(joined[0].ends_with("the"), "{joined:?}");
        }
    }
}
