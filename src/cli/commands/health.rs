//! `distill health`: what the specs read of their streams.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::ops::OpError;
use crate::ops::health::StreamHealth;
use crate::ops::health::health;
use crate::ops::report::count;
use crate::ops::report::percent;
use crate::repo::Site;

/// Show what each spec makes of its stream: fields filled, members unread, verdicts unknown, units refused
///
/// Reads the source files as they are now and writes nothing. A member that no expression reads is data that no run will
/// see; a verdict word that the policy does not know sends its run to a person.
#[derive(Clone, Debug, clap::Args)]
pub struct HealthArgs {
    /// Only these streams or specs
    streams: Vec<String>,
}

pub(super) fn run(context: &Context, args: &HealthArgs) -> Result<Outcome, CommandError> {
    let site = Site::discover(&context.start).map_err(OpError::from)?;
    let health = health(&site, &args.streams, &context.ui)?;
    let text: Vec<String> = health.items.iter().map(|stream| render(context, stream)).collect();
    context.ui.answer("distill.health.v1", &health, &text.join("\n"))?;
    Ok(Outcome::Done)
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
    text
}

fn line(text: &mut String, what: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        writeln!(text, "  {what}: {}", items.join(", ")).ok();
    }
}
