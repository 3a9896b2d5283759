//! The inventory as a page.
//!
//! Rests on the tables of `ops::report`. Invariant: a function of the inventory alone.

use std::fmt::Write as _;

use super::Recon;
use super::StreamFacts;
use crate::ops::report::bytes;
use crate::ops::report::count;
use crate::ops::report::percent;
use crate::ops::report::text::Align;
use crate::ops::report::text::Table;
use crate::ops::report::text::code;
use crate::ops::report::text::escape;

/// Keys of a stream that are listed.
const KEYS_LISTED: usize = 40;
/// Files of a stream that are listed.
const FILES_LISTED: usize = 20;

/// The whole page.
pub(super) fn markdown(recon: &Recon) -> String {
    let mut out = String::new();
    out.push_str(
        "# What lies here\n\nWritten by `distill recon`. Every row is counted; keys and times come from ",
    );
    writeln!(out, "the first {} rows of each file.\n", count(recon.sample_rows)).ok();
    let (with, without): (Vec<_>, Vec<_>) = recon.items.iter().partition(|stream| stream.has_spec);
    out.push_str("## Streams with a spec\n\n");
    table(&mut out, &with, "None yet: `.distill/sources/` is empty.\n\n");
    out.push_str("## Data that no spec names\n\n");
    table(&mut out, &without, "Nothing: every file that looks like data belongs to a spec.\n\n");
    if !without.is_empty() {
        out.push_str("A stream needs one file, `.distill/sources/NAME.toml`; `docs/sources.md` teaches the format.\n\n");
    }
    for stream in recon.items.iter().filter(|stream| !stream.files.is_empty()) {
        details(&mut out, stream);
    }
    out
}

fn table(out: &mut String, streams: &[&StreamFacts], empty: &str) {
    let mut table = Table::new(&[
        ("stream", Align::Left),
        ("files", Align::Right),
        ("rows", Align::Right),
        ("size", Align::Right),
        ("from", Align::Left),
        ("to", Align::Left),
    ]);
    for stream in streams {
        let day =
            |time: &Option<String>| time.as_deref().and_then(|time| time.get(..10)).unwrap_or("·").to_owned();
        table.row(&[
            code(&stream.name),
            count(stream.files.len() as u64),
            count(stream.rows),
            bytes(stream.bytes),
            day(&stream.first),
            day(&stream.last),
        ]);
    }
    if table.is_empty() { out.push_str(empty) } else { table.write(out) }
}

fn details(out: &mut String, stream: &StreamFacts) {
    writeln!(out, "## {}\n", code(&stream.name)).ok();
    let mut sentences = Vec::new();
    if stream.sampled < stream.rows {
        sentences.push(format!("{} of {} rows were looked into.", count(stream.sampled), count(stream.rows)));
    }
    if stream.unreadable > 0 {
        sentences.push(format!("{} of the rows looked into are no JSON object.", count(stream.unreadable)));
    }
    match (&stream.first, &stream.last) {
        (Some(first), Some(last)) => {
            let keys: Vec<String> = stream.time_keys.iter().map(|key| code(key)).collect();
            sentences.push(format!("Times from {first} to {last}, by {}.", keys.join(", ")));
        }
        _ => sentences.push("No time was found under the usual names.".to_owned()),
    }
    writeln!(out, "{}\n", sentences.join(" ")).ok();
    for file in stream.files.iter().take(FILES_LISTED) {
        let size = bytes(file.bytes);
        write!(out, "- {}: {} units ({}), {size}", code(&file.path), count(file.rows), file.unit).ok();
        match &file.problem {
            Some(problem) => writeln!(out, "; **{}**", escape(problem)).ok(),
            None => writeln!(out).ok(),
        };
    }
    if let Some(more) = stream.files.len().checked_sub(FILES_LISTED).filter(|more| *more > 0) {
        writeln!(out, "- and {more} more").ok();
    }
    out.push('\n');
    let mut keys: Vec<_> = stream.keys.iter().collect();
    keys.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
    let mut table = Table::new(&[("key", Align::Left), ("rows", Align::Right), ("share", Align::Right)]);
    for (key, n) in keys.iter().take(KEYS_LISTED) {
        table.row(&[code(key), count(**n), percent(**n, stream.sampled)]);
    }
    if !table.is_empty() {
        table.write(out);
    }
    if keys.len() > KEYS_LISTED || stream.other_keys > 0 {
        let more = keys.len().saturating_sub(KEYS_LISTED);
        let beyond = if stream.other_keys > 0 { " and names beyond those told apart" } else { "" };
        writeln!(out, "{more} more keys{beyond}.\n").ok();
    }
}
