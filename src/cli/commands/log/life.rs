//! `distill log --record`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::diff::{RecordChange, RowChange};
use crate::ops::log::record::{Event, Life, Step, Verdict, life};
use crate::repo::Repo;

/// How many fields of a changed row are shown to people; `--json` has all.
const FIELDS_SHOWN: usize = 8;

pub(super) fn run(
    context: &Context,
    repo: &Repo,
    rev: Option<&str>,
    key: &str,
    dataset: Option<&str>,
    limit: Option<usize>,
) -> Result<Outcome, CommandError> {
    let life = life(repo, rev, key, dataset, limit)?;
    context.ui.answer("distill.log_record.v1", &life, &text(&context.ui, &life))?;
    Ok(Outcome::Done)
}

fn text(ui: &Ui, life: &Life) -> String {
    let mut text = String::new();
    writeln!(text, "{}", ui.paint(Style::Bold, &life.key)).ok();
    let at = life.commit_id.object().short(12);
    if life.present.is_empty() {
        writeln!(text, "at {at}: not there").ok();
    } else {
        let mut places: Vec<&str> = life.present.iter().map(|row| row.dataset.as_str()).collect();
        places.dedup();
        let verdict =
            life.verdict.as_ref().map_or_else(String::new, |verdict| format!("{}, ", judged(verdict)));
        writeln!(text, "at {at}: {verdict}in {}", places.join(", ")).ok();
    }
    for event in &life.items {
        text.push('\n');
        one(ui, life, event, &mut text);
    }
    text
}

fn judged(verdict: &Verdict) -> String {
    format!("{} by {}", verdict.category, verdict.deciding_rule)
}

fn one(ui: &Ui, life: &Life, event: &Event, text: &mut String) {
    let id = ui.paint(Style::Yellow, event.commit_id.object().short(12));
    let steps: Vec<String> = event.steps.iter().map(|step| painted(ui, *step)).collect();
    writeln!(text, "{id} {} {}  {}", event.run_id, event.committed_at, steps.join(", ")).ok();
    if let Some(subject) = event.message.lines().next() {
        writeln!(text, "    {subject}").ok();
    }
    if event.verdict_before != event.verdict_after {
        let words = |verdict: &Option<Verdict>| verdict.as_ref().map_or("not judged".to_owned(), judged);
        match (&event.verdict_before, &event.verdict_after) {
            (None, Some(after)) => writeln!(text, "    {}", judged(after)).ok(),
            (before, after) => writeln!(text, "    {} → {}", words(before), words(after)).ok(),
        };
    }
    if event.config_changed && event.steps.contains(&Step::Rescored) {
        writeln!(text, "    the configuration changed in this run").ok();
    }
    for change in &event.changes {
        row(ui, life, change, text);
    }
}

fn painted(ui: &Ui, step: Step) -> String {
    let style = match step {
        Step::Appeared | Step::Returned | Step::Exported => Style::Green,
        Step::Changed | Step::Rescored => Style::Yellow,
        Step::Withdrawn | Step::Left => Style::Red,
    };
    ui.paint(style, step.as_str())
}

fn row(ui: &Ui, life: &Life, change: &RecordChange, text: &mut String) {
    let sign = match change.change {
        RowChange::Added => ui.paint(Style::Green, "+"),
        RowChange::Removed => ui.paint(Style::Red, "-"),
        RowChange::Modified => ui.paint(Style::Yellow, "~"),
    };
    let pair = if change.key == life.key { String::new() } else { format!("/{}", change.key) };
    writeln!(text, "    {sign} {}{pair}", change.dataset).ok();
    for field in change.fields.iter().take(FIELDS_SHOWN) {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        writeln!(text, "        {}: {} → {}", field.pointer, side(&field.before), side(&field.after)).ok();
    }
    if change.fields.len() > FIELDS_SHOWN {
        writeln!(text, "        … and {} more fields", change.fields.len() - FIELDS_SHOWN).ok();
    }
}
