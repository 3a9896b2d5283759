//! `distill status`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::table::{Table, age, count, counted, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::open::site;
use crate::ops::status::{ConfigState, FileChange, SpecState, Status, status};

/// Show where HEAD is, which source files are new, and whether the configuration changed
///
/// A file that has the size of the last run and was not written since is taken for unchanged; `--check` hashes every byte
/// that the last run knew.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Hash what is known of every file
    #[arg(long)]
    check: bool,
}

pub(super) fn run(context: &Context, args: &StatusArgs) -> Result<Outcome, CommandError> {
    let status = status(site(&context.start)?, args.check, context.clock)?;
    context.ui.answer("distill.status.v1", &status, &render(&context.ui, &status))?;
    Ok(Outcome::Done)
}

fn render(ui: &Ui, status: &Status) -> String {
    let mut text = String::new();
    let at = status.commit_id.map_or_else(String::new, |id| format!(" at {}", id.object().short(12)));
    match (&status.branch, status.detached) {
        (Some(branch), _) if status.commit_id.is_some() => {
            writeln!(text, "On branch {}{at}", ui.paint(Style::Bold, branch)).ok();
        }
        (Some(branch), _) => {
            writeln!(text, "On branch {}, no commit yet", ui.paint(Style::Bold, branch)).ok();
        }
        (None, true) => {
            writeln!(text, "{}{at}", ui.paint(Style::Yellow, "HEAD is detached")).ok();
        }
        (None, false) => {
            writeln!(text, "No store yet").ok();
        }
    }
    if let Some(run) = &status.last_run {
        let when = run.age_s.map_or_else(|| run.committed_at.clone(), age);
        writeln!(text, "Last run  {} ({}, {when})", run.run_id, run.operation).ok();
        if let Some(m) = &run.metrics {
            writeln!(
                text,
                "          {}, {} RAG, {} SFT, {} pairs, {} quarantined",
                counted(m.p2_evidence_rows, "evidence row"),
                count(m.p4_rag_rows),
                count(m.p4_sft_rows),
                count(m.p4_pref_pairs),
                count(m.p4_total_quarantined)
            )
            .ok();
        }
    }
    let config = match status.config {
        ConfigState::New => "not yet used".to_owned(),
        ConfigState::Unchanged => "as in the last commit".to_owned(),
        ConfigState::Changed => ui.paint(Style::Yellow, "changed since the last commit"),
        ConfigState::Unusable => ui.paint(Style::Red, "cannot be used"),
    };
    writeln!(text, "Config    {config}").ok();
    if let Some(error) = &status.config_error {
        writeln!(text, "{error}").ok();
    }
    if let Some(store) = status.store {
        writeln!(
            text,
            "Store     {} in {}, {}",
            counted(store.objects, "object"),
            counted(store.packs, "pack"),
            size(store.bytes)
        )
        .ok();
    }
    if !status.sources.is_empty() {
        let mut table = Table::new(&["source", ">files", ">new", ">grown", ">changed", ">rows known"]);
        for spec in &status.sources {
            table.row(cells(spec));
        }
        write!(text, "\n{table}").ok();
    }
    let files = status.sources.iter().flat_map(|spec| &spec.files);
    for file in files.filter(|file| file.state == FileChange::Changed) {
        writeln!(text, "{} {}", ui.paint(Style::Red, "changed: "), file.path).ok();
    }
    for path in &status.vanished {
        writeln!(text, "{} {path}", ui.paint(Style::Red, "vanished:")).ok();
    }
    for path in &status.held {
        writeln!(
            text,
            "{} {path} (not in this folder: its rows came with a merge, and runs keep them)",
            ui.paint(Style::Dim, "merged:  ")
        )
        .ok();
    }
    if !status.next.is_empty() {
        writeln!(text, "\nNext:").ok();
        for step in &status.next {
            writeln!(text, "  {step}").ok();
        }
    }
    text
}

fn cells(spec: &SpecState) -> Vec<String> {
    let of = |state: FileChange| {
        let n = spec.files.iter().filter(|file| file.state == state).count();
        if n == 0 { "·".to_owned() } else { count(n as u64) }
    };
    vec![
        spec.name.clone(),
        count(spec.files.len() as u64),
        of(FileChange::New),
        of(FileChange::Grown),
        of(FileChange::Changed),
        count(spec.files.iter().map(|file| file.known_rows).sum()),
    ]
}
