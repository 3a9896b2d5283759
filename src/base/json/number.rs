//! JSON numbers: the grammar, and the canonical text.
//!
//! An integer token keeps its digits, whatever its size; everything else goes through an exactly rounded binary64
//! and is printed as ECMAScript does (RFC 8785 §3.2.2.3). `-0` in any spelling is `0`.

use super::{JsonError, JsonErrorCode};

/// The most significant digits that every binary64 tells apart (`DBL_DIG` of C).
const DIGITS_EXACT: usize = 15;

/// The extent of a number and what is known of its canonical text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// One past its last byte.
    pub end: usize,
    /// Whether the token is its own canonical text, `None` where only printing it tells.
    pub canonical: Option<bool>,
}

/// Reads the number that starts at `start`, by RFC 8259.
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<Token, JsonError> {
    let negative = bytes.get(start) == Some(&b'-');
    let whole = start + usize::from(negative);
    let mut at = skip_digits(bytes, whole)?;
    let zero = bytes[whole] == b'0';
    if zero && at > whole + 1 {
        return Err(JsonError::syntax(whole + 1));
    }
    let mut canonical = Some(!(zero && negative));
    if bytes.get(at) == Some(&b'.') {
        let fraction = at + 1;
        let whole_digits = at - whole;
        at = skip_digits(bytes, fraction)?;
        // Few enough digits, no zero at the end, not below 1e-6: then no shorter text names the same binary64, and
        // ECMAScript writes this one. It spares most numbers of real traces a parse and a print.
        let leading = bytes[fraction..at].iter().take_while(|&&digit| zero && digit == b'0').count();
        let short = whole_digits + (at - fraction) <= DIGITS_EXACT;
        canonical = (short && leading < 6 && bytes[at - 1] != b'0').then_some(true);
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = skip_digits(bytes, at + 1 + sign)?;
        canonical = None;
    }
    Ok(Token { end: at, canonical })
}

/// One digit or more, from `at`.
fn skip_digits(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().take_while(|byte| byte.is_ascii_digit()).count() {
        0 => Err(JsonError::syntax(at.min(bytes.len()))),
        count => Ok(at + count),
    }
}

/// The canonical text of a number token that is no integer, or of `-0`.
pub(super) fn print<'b>(
    token: &str,
    offset: usize,
    buffer: &'b mut ryu_js::Buffer,
) -> Result<&'b str, JsonError> {
    match token.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(buffer.format_finite(number)),
        Ok(_) => Err(JsonError { code: JsonErrorCode::NumberOverflow, offset }),
        Err(_) => Err(JsonError::syntax(offset)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the shortcut calls canonical is what the printer prints.
    #[test]
    fn the_shortcut_agrees_with_the_printer() {
        let wholes = ["0", "1", "9", "10", "123456", "99999999999999", "900719925474099"];
        let fractions =
            ["1", "5", "0", "01", "10", "000001", "0000001", "123456789", "99999999999999", "30000000000004"];
        for whole in wholes {
            for fraction in fractions {
                for sign in ["", "-"] {
                    let text = format!("{sign}{whole}.{fraction}");
                    let token = scan(text.as_bytes(), 0).expect("a number");
                    assert_eq!(token.end, text.len());
                    let mut buffer = ryu_js::Buffer::new();
                    let printed = print(&text, 0, &mut buffer).expect("finite");
                    if let Some(canonical) = token.canonical {
                        assert_eq!(canonical, printed == text, "{text}");
                    }
                }
            }
        }
        let token = scan(b"0.25", 0).expect("a number");
        assert_eq!(token.canonical, Some(true), "the shortcut is taken at all");
    }
}
