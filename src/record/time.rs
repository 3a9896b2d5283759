//! Times as sources write them, and the one form in which records hold them.
//!
//! Rests on chrono's calendar. What always holds: no panic whatever the input; a result lies within the years 1970 to
//! 9999 in UTC, and its text parses back to itself. The time zone and locale of the machine play no part.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};

use crate::base::json::Value;

/// An instant and its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAt {
    /// The instant in UTC.
    pub instant: DateTime<Utc>,
    /// RFC 3339 in UTC with `Z`; a fraction of 3, 6 or 9 digits only where it is not zero.
    pub text: String,
}

impl RecordedAt {
    /// The instant, if it lies within the years 1970 to 9999.
    fn within(instant: DateTime<Utc>) -> Option<Self> {
        within(&instant).then(|| Self { instant, text: instant.to_rfc3339_opts(SecondsFormat::AutoSi, true) })
    }
}

fn within(instant: &DateTime<Utc>) -> bool {
    (EPOCH_SECONDS..=LAST_SECOND).contains(&instant.timestamp())
}

/// The shape of canonical time text, for JSON Schemas; that of receipts always has milliseconds.
pub(super) const TIME_PATTERN: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3,9})?Z$";
/// 1970-01-01T00:00:00Z.
const EPOCH_SECONDS: i64 = 0;
/// 9999-12-31T23:59:59Z.
const LAST_SECOND: i64 = 253_402_300_799;
/// Numbers below this are seconds (until the year 5138).
const SECONDS_BELOW: i128 = 100_000_000_000;
/// Numbers below this are milliseconds (1973 to 5138), numbers below a thousand times as much microseconds.
const MILLISECONDS_BELOW: i128 = 100_000_000_000_000;

/// The time that a JSON value names: text as [`parse_time_text`], a number as [`parse_time_number`]; nothing else does.
pub fn parse_time(value: &Value<'_>) -> Option<RecordedAt> {
    match value {
        Value::String(text) => parse_time_text(text),
        Value::Number(number) => parse_time_number(number),
        _ => None,
    }
}

/// Reads RFC 3339 with any offset, `YYYY-MM-DD`, and date and time joined by `T` or a space, with or without a
/// fraction and an offset (`Z`, `+HH:MM`, `+HHMM`, `+HH`). No offset means UTC. Digits past nanoseconds are dropped;
/// second 60 is the next minute.
pub fn parse_time_text(text: &str) -> Option<RecordedAt> {
    RecordedAt::within(instant(text)?)
}

/// Whether `text` is what [`parse_time_text`] gives for itself.
pub fn is_canonical_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shaped = bytes.get(10) == Some(&b'T') && bytes.ends_with(b"Z") && bytes.get(17..19) != Some(b"60");
    // A fraction has as many digits as it takes, by threes.
    let shortest = match bytes.len() {
        20 => true,
        24 | 27 | 30 => {
            bytes.get(19) == Some(&b'.') && bytes.get(bytes.len() - 4..bytes.len() - 1) != Some(b"000")
        }
        _ => false,
    };
    shaped && shortest && instant(text).is_some_and(|instant| within(&instant))
}

/// The date in UTC of a time that [`parse_time_text`] reads: `YYYY/MM/DD`.
pub(super) fn calendar_date(text: &str) -> Option<String> {
    let date = instant(text).filter(within)?.date_naive();
    let mut written = String::with_capacity(10);
    let (year, month, day) = (date.year().unsigned_abs(), date.month(), date.day());
    for (number, digits) in [(year, 1000), (month, 10), (day, 10)] {
        let mut unit = digits;
        while unit > 0 {
            written.extend(char::from_digit(number / unit % 10, 10));
            unit /= 10;
        }
        if written.len() < 10 {
            written.push('/');
        }
    }
    Some(written)
}

/// Whether `text` is what [`calendar_date`] may give.
pub(super) fn is_calendar_date(text: &str) -> bool {
    let mut rest = Digits(text.as_bytes());
    let mut read = || {
        let date = (rest.number(4)?, rest.after(b"/")?.number(2)?, rest.after(b"/")?.number(2)?);
        rest.0.is_empty().then_some(date)
    };
    read().is_some_and(|(year, month, day)| {
        year >= 1970
            && i32::try_from(year).is_ok_and(|year| NaiveDate::from_ymd_opt(year, month, day).is_some())
    })
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    let mut rest = Digits(text.as_bytes());
    let (year, month, day) = (rest.number(4)?, rest.after(b"-")?.number(2)?, rest.after(b"-")?.number(2)?);
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    if rest.0.is_empty() {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let hour = rest.after(b"Tt ")?.number(2)?;
    let minute = rest.after(b":")?.number(2)?;
    let second = rest.after(b":")?.number(2)?;
    let leap = second == 60;
    let nanos = if rest.after(b".").is_some() { rest.fraction()? } else { 0 };
    let time = NaiveTime::from_hms_nano_opt(hour, minute, if leap { 59 } else { second }, nanos)?;
    let local = date.and_time(time).and_utc();
    let shift = TimeDelta::seconds(i64::from(leap) - rest.offset_seconds()?);
    local.checked_add_signed(shift)
}

/// Reads epoch seconds, milliseconds or microseconds, told apart by magnitude (below 1e11, 1e14, 1e17). `number` is a
/// JSON number; its decimal digits count exactly, and digits past nanoseconds are dropped.
pub fn parse_time_number(number: &str) -> Option<RecordedAt> {
    if number.contains(['e', 'E']) {
        let plain = number.parse::<f64>().ok().filter(|float| float.is_finite())?.to_string();
        return parse_decimal(&plain);
    }
    parse_decimal(number)
}

fn parse_decimal(number: &str) -> Option<RecordedAt> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || whole.len() > 17 || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: i128 = whole.parse().ok()?;
    let unit_nanos: i128 = match whole {
        0..SECONDS_BELOW => 1_000_000_000,
        SECONDS_BELOW..MILLISECONDS_BELOW => 1_000_000,
        _ => 1_000,
    };
    let nanos =
        whole * unit_nanos + i128::from(Digits(fraction.as_bytes()).fraction()?) * unit_nanos / 1_000_000_000;
    let seconds = i64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    RecordedAt::within(DateTime::from_timestamp(seconds, rest)?)
}

/// ASCII text that is read from the front.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    /// Exactly `count` decimal digits.
    fn number(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0')))
    }

    /// Steps over one byte that is any of `any`.
    fn after(&mut self, any: &[u8]) -> Option<&mut Self> {
        let (first, rest) = self.0.split_first()?;
        if !any.contains(first) {
            return None;
        }
        self.0 = rest;
        Some(self)
    }

    /// One or more digits after a decimal point, in billionths.
    fn fraction(&mut self) -> Option<u32> {
        let count = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        let padded = digits.iter().copied().chain(std::iter::repeat(b'0'));
        (count > 0).then(|| padded.take(9).fold(0, |sum, b| sum * 10 + u32::from(b - b'0')))
    }

    /// An offset from UTC, east positive, to the end of the text; no offset is UTC.
    fn offset_seconds(&mut self) -> Option<i64> {
        let sign = match self.0 {
            [] | b"Z" | b"z" => return Some(0),
            [b'+', ..] => 1,
            [b'-', ..] => -1,
            _ => return None,
        };
        let hours = self.after(b"+-")?.number(2)?;
        let minutes = match self.0 {
            [] => 0,
            [b':', ..] => self.after(b":")?.number(2)?,
            _ => self.number(2)?,
        };
        let plausible = self.0.is_empty() && hours <= 23 && minutes <= 59;
        plausible.then_some(sign * i64::from(hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms() {
        let table = [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.5+02:00", "2026-01-02T01:04:05.500Z"),
            ("2026-01-02T03:04:05-0530", "2026-01-02T08:34:05Z"),
            ("2026-01-02 03:04:05+00", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
            ("2026-01-02 03:04:05.123456", "2026-01-02T03:04:05.123456Z"),
            ("2026-01-02 03:04:05.1234567899", "2026-01-02T03:04:05.123456789Z"),
            ("2026-01-02", "2026-01-02T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("1969-12-31T23:00:00-05:00", "1970-01-01T04:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ];
        for (text, canonical) in table {
            assert_eq!(parse_time_text(text).map(|time| time.text).as_deref(), Some(canonical), "{text}");
        }
        let refused = [
            "",
            "now",
            "2026",
            "2026-1-2",
            "2026-13-01",
            "2025-02-29",
            "2026-01-02T",
            "2026-01-02T03:04",
            "+2026-01-02",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:61Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+24:00",
            "2026-01-02T03:04:05Zjunk",
            "2026-01-02T03:04:05 UTC",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59-01:00",
            "٢٠٢٦-01-02",
            " 2026-01-02",
        ];
        for text in refused {
            assert_eq!(parse_time_text(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_by_magnitude() {
        let table = [
            ("0", "1970-01-01T00:00:00Z"),
            ("1767323045", "2026-01-02T03:04:05Z"),
            ("1767323045.25", "2026-01-02T03:04:05.250Z"),
            ("1767323045250", "2026-01-02T03:04:05.250Z"),
            ("1767323045250.5", "2026-01-02T03:04:05.250500Z"),
            ("1767323045250500", "2026-01-02T03:04:05.250500Z"),
            ("1.767323045e9", "2026-01-02T03:04:05Z"),
        ];
        for (number, canonical) in table {
            assert_eq!(
                parse_time_number(number).map(|time| time.text).as_deref(),
                Some(canonical),
                "{number}"
            );
        }
        for number in ["-1", "100000000000000000", "1e300", "1e999", "", ".", "1.", "nan", "0x1", "-0.5"] {
            assert_eq!(parse_time_number(number), None, "{number}");
        }
        assert_eq!(parse_time(&Value::Null), None);
        assert!(parse_time(&Value::Number("1767323045".into())).is_some());
        assert!(parse_time(&Value::String("2026-01-02".into())).is_some());
    }

    #[test]
    fn canonical_is_what_parses_to_itself() {
        let mut canonical = 0;
        for date in ["1970-01-01", "1969-12-31", "2026-02-29", "2024-02-29", "9999-12-31", "2026-1-01"] {
            for time in ["T00:00:00", "T23:59:59", "T23:59:60", "T24:00:00", "t00:00:00", " 00:00:00", ""] {
                for fraction in [
                    "",
                    ".",
                    ".0",
                    ".000",
                    ".100",
                    ".1",
                    ".120000",
                    ".100100",
                    ".000000001",
                    ".000001000",
                    ".1234567",
                ] {
                    for offset in ["Z", "z", "", "+00:00", "+01:00", "ZZ", "é"] {
                        let text = format!("{date}{time}{fraction}{offset}");
                        let same = parse_time_text(&text).is_some_and(|parsed| parsed.text == text);
                        assert_eq!(is_canonical_time(&text), same, "{text}");
                        let day = parse_time_text(&text).map(|parsed| parsed.text[..10].replace('-', "/"));
                        assert_eq!(calendar_date(&text), day, "{text}");
                        assert!(day.is_none_or(|day| is_calendar_date(&day)), "{text}");
                        canonical += usize::from(same);
                    }
                }
            }
        }
        assert!(canonical >= 20, "{canonical}");
        for bad in [
            "",
            "1969/12/31",
            "2026/02/29",
            "2026-02-28",
            "2026/2/28",
            "2026/02/28/",
            "20260/2/28",
            "0000/00/00",
        ] {
            assert!(!is_calendar_date(bad), "{bad}");
        }
    }
}
