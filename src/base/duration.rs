//! Spans of time as people write them: `2w`, `14d`, `36h`, `90m`, `30s`, `0`.
//!
//! Rests on nothing. Invariant: what is written is read back as the same number of seconds.

/// The units, largest first, with their seconds.
const UNITS: [(char, u64, &str); 5] = [
    ('w', 604_800, "week"),
    ('d', 86_400, "day"),
    ('h', 3_600, "hour"),
    ('m', 60, "minute"),
    ('s', 1, "second"),
];

/// Reads a whole number with one of the units `w`, `d`, `h`, `m`, `s`; `0` needs none. In seconds.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse_seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no span of time: write 2w, 14d, 36h, 90m, 30s or 0");
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(0);
    }
    let unit = trimmed.chars().last().ok_or_else(wrong)?;
    let (_, seconds, _) = UNITS.iter().find(|(letter, ..)| *letter == unit).ok_or_else(wrong)?;
    let digits = &trimmed[..trimmed.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(*seconds)).ok_or_else(wrong)
}

/// Seconds in words, in the largest unit that divides them: `14 days`, `36 hours`, `0 seconds`. Weeks are told in days.
pub fn in_words(seconds: u64) -> String {
    let divides = |unit: &u64| seconds > 0 && seconds.is_multiple_of(*unit);
    let (_, unit, name) =
        UNITS.iter().skip(1).find(|(_, unit, _)| divides(unit)).unwrap_or(&UNITS[UNITS.len() - 1]);
    let n = seconds / unit;
    format!("{n} {name}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_told() {
        let read = ["2w", "14d", "36h", "90m", "30s", "0", "0d", " 1d "].map(|t| parse_seconds(t).expect(t));
        assert_eq!(read, [1_209_600, 1_209_600, 129_600, 5_400, 30, 0, 0, 86_400]);
        for bad in ["", "d", "2", "-1d", "1.5d", "2 weeks", "+1d", "99999999999999999999d", "2é"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(
            [1_209_600, 129_600, 1, 0].map(in_words),
            ["14 days", "36 hours", "1 second", "0 seconds"]
        );
    }
}
