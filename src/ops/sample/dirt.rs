//! Spells a row, or damages it on the way.
//!
//! Rests on the streams' writers. Invariant: every kind of damage makes a line that is refused, skipped or a duplicate;
//! none can be taken for a record of its own.

use super::json::Json;
use super::json::Style;
use super::plan::Dirt;
use super::plan::Stream;
use super::row::Row;
use super::streams;

/// Each stream has a house style.
pub const fn style_of(stream: Stream) -> Style {
    match stream {
        Stream::AuditFindings | Stream::AutoApply | Stream::Outcomes => Style { spaced: true, ascii: false },
        Stream::PlaybookRuns | Stream::ScrumReviews => Style { spaced: true, ascii: true },
        _ => Style { spaced: false, ascii: false },
    }
}

/// Appends `row` in its stream's style, without a line ending.
pub fn spell(row: &Row, out: &mut Vec<u8>) {
    Json::row(out, style_of(row.stream), |json| streams::write(row, json));
}

/// Appends the line that `dirt` makes of `row`, without its line ending. For copies, `row` is the row copied.
pub fn spoil(row: &Row, dirt: Dirt, out: &mut Vec<u8>) {
    let start = out.len();
    match dirt {
        Dirt::Copy => spell(row, out),
        Dirt::CopyRespelled => {
            let house = style_of(row.stream);
            let other = Style { spaced: !house.spaced, ascii: !house.ascii };
            Json::row(out, other, |json| streams::write(row, json));
        }
        Dirt::Heartbeat => {
            Json::row(out, style_of(row.stream), |json| streams::write_heartbeat(row, json));
        }
        Dirt::WrongType => spell(&Row { wrong_type: true, ..row.clone() }, out),
        Dirt::Truncated | Dirt::Unterminated => {
            spell(row, out);
            let kept = (out.len() - start) * 3 / 5;
            // Cut between characters: damage of the encoding is another kind.
            let whole = (start + kept..out.len()).find(|at| out[*at].is_ascii()).unwrap_or(start + kept);
            out.truncate(whole);
        }
        Dirt::DuplicateKey => {
            spell(row, out);
            let first: Vec<u8> = out[start + 1..].iter().copied().take_while(|b| *b != b':').collect();
            append_member(out, &first, b"\"written twice\"");
        }
        Dirt::LoneSurrogate => {
            spell(row, out);
            append_member(out, b"\"excerpt\"", b"\"cut in the middle of \\ud83d\"");
        }
        Dirt::InvalidUtf8 => {
            spell(row, out);
            append_member(out, b"\"station\"", b"\"M\xfcnchen\"");
        }
        Dirt::Overflow => {
            spell(row, out);
            append_member(out, b"\"weight\"", b"1e400");
        }
        Dirt::NotObject => match row.stream {
            Stream::AuditDiscrepancies => out.extend_from_slice(b"\"second auditor did not answer\""),
            _ => out.extend_from_slice(b"[\"remedy_applied\", 3, null]"),
        },
        Dirt::Blank => {}
    }
}

fn append_member(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.pop();
    out.push(b',');
    out.extend_from_slice(key);
    out.push(b':');
    out.extend_from_slice(value);
    out.push(b'}');
}
