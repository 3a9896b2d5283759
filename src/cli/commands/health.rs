//! `distill health`: what the specs read of their streams.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::error::{CommandError, printable};
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::ops::OpError;
use crate::ops::health::{Runs, StreamHealth, health};
use crate::ops::report::count;
use crate::ops::report::percent;
use crate::pipeline::shift::{Change, How, What};
use crate::repo::Site;

/// Show what each spec makes of its stream: fields filled, members unread, verdicts unknown, units refused
///
/// Reads the source files as they are now and writes nothing. A member that no expression reads is data that no run will
/// see; a verdict word that the policy does not know sends its run to a person. What the last run recorded is compared
/// with the `run-all` before it: a member, a field or a kind of row that came or went is an alarm.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    /// Only these streams or specs
    streams: Vec<String>,
    /// Exit with 1 when there is an alarm
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(context: &Context, args: &HealthArgs) -> Result<Outcome, CommandError> {
    let site = Site::discover(&context.start).map_err(OpError::from)?;
    let health = health(&site, &args.streams, &context.ui)?;
    let mut text: Vec<String> = health.items.iter().map(|stream| render(context, stream)).collect();
    text.extend(health.runs.as_ref().map(|runs| compared(context, runs, health.alarm)));
    context.ui.answer("distill.health.v1", &health, &text.join("\n"))?;
    Ok(if args.exit_code && health.alarm { Outcome::No } else { Outcome::Done })
}

/// Which runs were compared.
fn compared(context: &Context, runs: &Runs, alarm: bool) -> String {
    let ui = &context.ui;
    let Some(before) = &runs.before else {
        return format!("{} is the first run: nothing to compare with\n", runs.after.run_id);
    };
    let verdict = if alarm {
        ui.paint(Style::Red, "alarms above")
    } else {
        "no member, field or kind of row came or went".to_owned()
    };
    format!("{} compared with {}: {verdict}\n", runs.after.run_id, before.run_id)
}

fn render(context: &Context, stream: &StreamHealth) -> String {
    let ui = &context.ui;
    let mut text = String::new();
    let files = if stream.files.len() == 1 { "file" } else { "files" };
    writeln!(
        text,
        "{}  {} units in {} {files}, {} records",
        ui.paint(Style::Bold, &stream.spec),
        count(stream.units),
        stream.files.len(),
        count(stream.records),
    )
    .ok();
    for change in stream.changes.iter().flatten() {
        writeln!(text, "  {} {}", ui.paint(Style::Red, "ALARM:"), said(change, stream.spec_changed)).ok();
    }
    if stream.bytes > 0 {
        writeln!(
            text,
            "  read: {} of the bytes, {} of {} members",
            percent(stream.bytes_read, stream.bytes),
            count(stream.keys_read),
            count(stream.keys)
        )
        .ok();
    }
    let filled = stream.coverage.iter().filter(|field| field.mapped || field.filled > 0).map(|field| {
        let share =
            if stream.records == 0 { "no records".to_owned() } else { percent(field.filled, stream.records) };
        (format!("{} {share}", field.field), field.filled == 0)
    });
    let (empty, filled): (Vec<_>, Vec<_>) = filled.partition(|(_, is_empty)| *is_empty);
    line(&mut text, "filled", filled.into_iter().map(|(name, _)| name));
    let empty = empty.into_iter().map(|(name, _)| ui.paint(Style::Yellow, name));
    line(&mut text, "never filled", empty);
    let unread = stream
        .unread
        .iter()
        .map(|key| format!("{} ({})", ui.paint(Style::Yellow, &key.key), count(key.seen)));
    line(&mut text, "unread", unread);
    for kind in stream.kinds.iter().filter(|kind| kind.others == 0) {
        // Where the spec names some of the words, it tells kinds apart, and the others may have been forgotten.
        let told = kind.values.iter().any(|value| value.named);
        let words = kind.values.iter().map(|value| {
            let word = printable(&value.value);
            if told && !value.named {
                ui.paint(Style::Yellow, format!("{word} (not named, {})", count(value.seen)))
            } else {
                format!("{word} ({})", count(value.seen))
            }
        });
        line(&mut text, &format!("kinds by {}", kind.key), words);
    }
    for (field, words) in &stream.unknown_verdicts {
        let words = words
            .iter()
            .map(|(word, n)| format!("{} ({})", ui.paint(Style::Red, format!("{word:?}")), count(*n)));
        line(&mut text, &format!("unknown {field}"), words);
    }
    let by = |counts: &BTreeMap<String, u64>| {
        counts.iter().map(|(name, n)| format!("{name} {}", count(*n))).collect::<Vec<_>>()
    };
    line(&mut text, "skipped", by(&stream.skipped).into_iter());
    line(&mut text, "quarantined", by(&stream.quarantined).into_iter());
    line(&mut text, "inside", by(&stream.noted).into_iter());
    text
}

/// A change in words.
fn said(change: &Change, spec_changed: bool) -> String {
    let name = printable(&change.name);
    let what = match change.what {
        What::Key => format!("member `{name}`"),
        What::Field => format!("evidence field `{name}`"),
        What::Value => format!("kind `{name}`"),
    };
    let how = match change.how {
        How::Appeared => format!("is new ({} now)", count(change.after)),
        How::Vanished => format!("is gone ({} before)", count(change.before)),
        How::Stopped => format!("is in none of the rows that came since ({} before)", count(change.before)),
    };
    let note = match (change.what, change.read) {
        (What::Field, _) if spec_changed => "; the spec was edited between the runs",
        (What::Key, false) => "; nothing reads it",
        (What::Key, true) if change.how != How::Appeared => "; the spec reads it",
        _ => "",
    };
    format!("{what} {how}{note}")
}

fn line(text: &mut String, what: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        writeln!(text, "  {what}: {}", items.join(", ")).ok();
    }
}
