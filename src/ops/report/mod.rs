//! Reports that a person reads: Markdown from the records of a run.
//!
//! Rests on `record` alone. Invariants: a report is a function of the records, so the same commit gives the same bytes;
//! every figure in it stands in a record; what needs attention comes with what to do about it.

pub(in crate::ops) mod text;

use std::fmt::Write as _;

pub use text::bytes;
pub use text::count;
pub use text::percent;

use crate::record::Category;
use crate::record::Counts;
use crate::record::DriftMetric;
use crate::record::DriftReport;
use crate::record::OutputSnapshot;
use crate::record::PassFail;
use crate::record::RunSummary;
use crate::record::Severity;
use crate::record::StageReceipt;
use crate::repo::STAGES;
use crate::repo::worktree::single_file;
use text::Align;
use text::Table;

/// The records of one run.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Its summary.
    pub summary: &'a RunSummary,
    /// Its drift report.
    pub drift: Option<&'a DriftReport>,
    /// The latest receipt of each stage, in the order of [`stage_order`]; a one-shot stage keeps the others' earlier ones.
    pub receipts: Vec<&'a StageReceipt>,
}

/// Where a stage stands in reports; unknown ones come last.
pub fn stage_order(stage: &str) -> usize {
    STAGES.iter().position(|known| *known == stage).unwrap_or(STAGES.len())
}

/// `summary.md`: the whole run on a page.
pub fn summary(run: &Run<'_>) -> String {
    let mut out = String::new();
    let summary = run.summary;
    let metrics = &summary.metrics;
    writeln!(out, "# Run `{}`\n", summary.run_id).ok();
    writeln!(
        out,
        "**{}.** {} evidence records became {} RAG rows, {} SFT rows and {} preference pairs. {}\n",
        match summary.verdict {
            PassFail::Pass => "Passed",
            PassFail::Fail => "Failed",
        },
        count(metrics.p2_evidence_rows),
        count(metrics.p4_rag_rows),
        count(metrics.p4_sft_rows),
        count(metrics.p4_pref_pairs),
        drift_sentence(run.drift),
    )
    .ok();
    for note in &summary.notes {
        writeln!(out, "> {}\n", text::escape(note)).ok();
    }
    out.push_str("## What came in, and where it went\n\n");
    conservation(&mut out, run);
    out.push_str("## How the runs were judged\n\n");
    categories(&mut out, summary);
    out.push_str("## What was exported\n\n");
    export_table(&mut out, run);
    out.push_str("## What moved\n\n");
    drift(&mut out, run.drift);
    reasons(&mut out, run, "## Why something was left out\n\n", |_| true);
    out.push_str("## What to do next\n\n");
    next_steps(&mut out, run);
    out
}

/// `phase4-export-report.md`: the three corpora, and why what is not in them is not.
pub fn exports(run: &Run<'_>) -> String {
    let mut out = String::new();
    writeln!(out, "# Phase 4: exports\n\nOf run `{}`.\n", run.summary.run_id).ok();
    export_table(&mut out, run);
    let exports: Vec<_> = run.receipts.iter().filter(|r| r.stage.starts_with("export-")).collect();
    for receipt in &exports {
        let counts = &receipt.counts;
        writeln!(out, "## {}\n", title(&receipt.stage)).ok();
        writeln!(
            out,
            "{} records came in, {} were used and gave {} rows.{}\n",
            count(counts.rows_in),
            count(counts.consumed),
            count(counts.records),
            from_other_run(run, receipt),
        )
        .ok();
        let mut fates =
            Table::new(&[("fate", Align::Left), ("records", Align::Right), ("share", Align::Right)]);
        for (fate, n) in fates_of(counts) {
            fates.row(&[fate.to_owned(), count(n), percent(n, counts.rows_in)]);
        }
        fates.write(&mut out);
        reason_tables(&mut out, receipt);
    }
    out.push_str("## How to check it\n\n");
    out.push_str("Each line of an export is the exact bytes of one object. The digest of a whole file stands above, in the receipt and here:\n\n```console\n");
    for output in export_outputs(run) {
        if let (Some(file), Some(digest)) = (single_file(&output.dataset), &output.jsonl_blake3) {
            writeln!(out, "$ b3sum {file}\n{digest}  {file}").ok();
        }
    }
    out.push_str("```\n\n## What to do next\n\n");
    next_steps(&mut out, run);
    out
}

/// `phase5-receipts-report.md`: that nothing was lost, stage by stage.
pub fn receipts(run: &Run<'_>) -> String {
    let mut out = String::new();
    writeln!(out, "# Phase 5: receipts\n\nOf run `{}`.\n", run.summary.run_id).ok();
    let unbalanced: Vec<&str> = (run.receipts.iter())
        .filter(|receipt| receipt.counts.fates() != receipt.counts.rows_in)
        .map(|receipt| receipt.stage.as_str())
        .collect();
    if unbalanced.is_empty() {
        out.push_str("**Nothing was lost.** In every stage each unit that came in has exactly one fate.\n\n");
    } else {
        writeln!(out, "**The counts of {} do not add up.**\n", unbalanced.join(", ")).ok();
    }
    conservation(&mut out, run);
    reasons(&mut out, run, "## Rules and reasons\n\n", |_| true);
    out.push_str("## Receipts\n\n");
    for receipt in &run.receipts {
        writeln!(out, "### {}\n", title(&receipt.stage)).ok();
        writeln!(
            out,
            "{} · {} {} · took {} ms · configuration `{}`{}\n",
            if receipt.validation_pass { "valid" } else { "**not valid**" },
            text::escape(&receipt.tool.name),
            text::escape(&receipt.tool.version),
            count(receipt.duration_ms),
            receipt.config_id.short(12),
            from_other_run(run, receipt),
        )
        .ok();
        for (word, messages) in [("error", &receipt.errors), ("warning", &receipt.warnings)] {
            for message in messages {
                writeln!(out, "- {word}: {}", text::escape(message)).ok();
            }
        }
        if !receipt.errors.is_empty() || !receipt.warnings.is_empty() {
            out.push('\n');
        }
        snapshots(&mut out, receipt);
    }
    out.push_str("## What moved\n\n");
    drift(&mut out, run.drift);
    out.push_str("## What to do next\n\n");
    next_steps(&mut out, run);
    out
}

fn title(stage: &str) -> &str {
    match stage {
        "sources" => "Sources",
        "evidence" => "Evidence",
        "score" => "Scoring",
        "export-rag" => "RAG corpus",
        "export-sft" => "SFT corpus",
        "export-preference" => "Preference corpus",
        "quarantine" => "Quarantine",
        other => other,
    }
}

fn from_other_run(run: &Run<'_>, receipt: &StageReceipt) -> String {
    if receipt.run_id == run.summary.run_id {
        return String::new();
    }
    format!(" From the earlier run `{}`: this one did not run the stage.", receipt.run_id)
}

fn fates_of(counts: &Counts) -> [(&'static str, u64); 5] {
    [
        ("consumed", counts.consumed),
        ("duplicates", counts.duplicates),
        ("quarantined", counts.quarantined),
        ("skipped", counts.skipped),
        ("redacted", counts.redacted),
    ]
}

/// One line a stage, and whether it adds up.
fn conservation(out: &mut String, run: &Run<'_>) {
    let mut table = Table::new(&[
        ("stage", Align::Left),
        ("in", Align::Right),
        ("consumed", Align::Right),
        ("duplicates", Align::Right),
        ("quarantined", Align::Right),
        ("skipped", Align::Right),
        ("redacted", Align::Right),
        ("adds up", Align::Left),
        ("made", Align::Right),
    ]);
    for receipt in &run.receipts {
        let counts = &receipt.counts;
        let mut cells = vec![title(&receipt.stage).to_owned(), count(counts.rows_in)];
        cells.extend(fates_of(counts).map(|(_, n)| if n == 0 { "·".to_owned() } else { count(n) }));
        cells.push(if counts.fates() == counts.rows_in { "yes" } else { "**no**" }.to_owned());
        cells.push(count(counts.records));
        table.row(&cells);
    }
    table.write(out);
}

fn categories(out: &mut String, summary: &RunSummary) {
    let total = Category::ALL.iter().map(|category| summary.categories.get(*category)).sum();
    let mut table = Table::new(&[
        ("category", Align::Left),
        ("runs", Align::Right),
        ("share", Align::Right),
        ("", Align::Left),
    ]);
    for category in Category::ALL {
        let n = summary.categories.get(category);
        table.row(&[format!("`{category}`"), count(n), percent(n, total), text::bar(n, total)]);
    }
    table.write(out);
}

/// The snapshots of the exports, in the order of stages.
fn export_outputs<'a>(run: &'a Run<'_>) -> impl Iterator<Item = &'a OutputSnapshot> {
    let outputs = run.receipts.iter().flat_map(|receipt| &receipt.outputs);
    outputs.filter(|output| output.dataset.starts_with("exports/"))
}

fn export_table(out: &mut String, run: &Run<'_>) {
    let mut table = Table::new(&[
        ("file", Align::Left),
        ("rows", Align::Right),
        ("size", Align::Right),
        ("BLAKE3 of the file", Align::Left),
        ("snapshot", Align::Left),
    ]);
    for output in export_outputs(run) {
        let file = single_file(&output.dataset).unwrap_or(&output.dataset);
        let digest = output.jsonl_blake3.as_deref().unwrap_or("");
        table.row(&[
            format!("`{file}`"),
            count(output.rows),
            bytes(output.bytes.saturating_add(output.rows)),
            format!("`{}…`", digest.get(..16).unwrap_or(digest)),
            format!("`{}`", output.root.object().short(12)),
        ]);
    }
    if table.is_empty() {
        out.push_str("Nothing yet: `distill export-all` makes the corpora.\n\n");
    } else {
        table.write(out);
    }
}

fn drift_sentence(drift: Option<&DriftReport>) -> String {
    match drift {
        None | Some(DriftReport { baseline: None, .. }) => {
            "It is the first run: there is nothing to compare it with.".to_owned()
        }
        Some(drift @ DriftReport { baseline: Some(baseline), .. }) => match drift.severity {
            Severity::None => format!("Against run `{}` nothing moved beyond the limits.", baseline.run_id),
            Severity::Warn => format!("Against run `{}` some figures moved: worth a look.", baseline.run_id),
            Severity::Alert => format!("**Alert:** against run `{}` figures moved a lot.", baseline.run_id),
        },
    }
}

fn drift(out: &mut String, drift: Option<&DriftReport>) {
    let Some(DriftReport { baseline: Some(baseline), metrics, datasets, causes, severity, .. }) = drift
    else {
        writeln!(out, "{}\n", drift_sentence(drift)).ok();
        return;
    };
    writeln!(
        out,
        "Compared with run `{}` (commit `{}`): **{}**.\n",
        baseline.run_id,
        baseline.commit_id.object().short(12),
        severity.as_str(),
    )
    .ok();
    moves("before", metrics).write(out);
    let moved: Vec<_> = datasets.iter().filter(|d| d.added + d.removed + d.modified > 0).collect();
    if moved.is_empty() {
        out.push_str("Every dataset is the same, to the byte.\n\n");
    } else {
        let mut table = Table::new(&[
            ("dataset", Align::Left),
            ("added", Align::Right),
            ("removed", Align::Right),
            ("modified", Align::Right),
        ]);
        for changes in moved {
            table.row(&[
                format!("`{}`", changes.dataset),
                count(changes.added),
                count(changes.removed),
                count(changes.modified),
            ]);
        }
        table.write(out);
    }
    for cause in causes {
        writeln!(out, "- {}", text::escape(cause)).ok();
    }
    if !causes.is_empty() {
        out.push('\n');
    }
}

/// The ten metrics, and how they moved against what the column `before` is called.
pub(in crate::ops) fn moves(before: &str, metrics: &[DriftMetric]) -> Table {
    let mut table = Table::new(&[
        ("metric", Align::Left),
        (before, Align::Right),
        ("now", Align::Right),
        ("change", Align::Right),
        ("severity", Align::Left),
    ]);
    for metric in metrics {
        let change = match (metric.before, metric.change) {
            (None, _) => String::new(),
            (Some(before), _) if before == metric.after => "·".to_owned(),
            (_, Some(change)) => format!("{:+.1} %", change * 100.0),
            _ => "new".to_owned(),
        };
        table.row(&[
            text::code(&metric.name),
            metric.before.map_or_else(|| "·".to_owned(), count),
            count(metric.after),
            change,
            match metric.severity {
                Severity::None => String::new(),
                other => format!("**{}**", other.as_str()),
            },
        ]);
    }
    table
}

/// Rules and reasons of every stage that has some.
fn reasons(out: &mut String, run: &Run<'_>, heading: &str, wanted: impl Fn(&StageReceipt) -> bool) {
    let having: Vec<_> = (run.receipts.iter())
        .filter(|receipt| wanted(receipt))
        .filter(|receipt| !receipt.skipped_by.is_empty() || !receipt.quarantined_by.is_empty())
        .collect();
    if having.is_empty() {
        return;
    }
    out.push_str(heading);
    for receipt in having {
        writeln!(out, "**{}**\n", title(&receipt.stage)).ok();
        reason_tables(out, receipt);
    }
}

fn reason_tables(out: &mut String, receipt: &StageReceipt) {
    let mut table =
        Table::new(&[("fate", Align::Left), ("rule or reason", Align::Left), ("units", Align::Right)]);
    for (fate, by) in [("skipped", &receipt.skipped_by), ("quarantined", &receipt.quarantined_by)] {
        let mut parts: Vec<_> = by.iter().collect();
        parts.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
        for (name, n) in parts {
            table.row(&[fate.to_owned(), format!("`{name}`"), count(*n)]);
        }
    }
    if !table.is_empty() {
        table.write(out);
    }
}

fn snapshots(out: &mut String, receipt: &StageReceipt) {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("dataset", Align::Left),
        ("rows", Align::Right),
        ("size", Align::Right),
        ("id", Align::Left),
    ]);
    for input in &receipt.inputs {
        let id = input.root.object().short(12);
        table.row(&["in".to_owned(), text::code(&input.dataset), count(input.rows), bytes(input.bytes), id]);
    }
    for output in &receipt.outputs {
        let id = output.root.object().short(12);
        table.row(&[
            "out".to_owned(),
            text::code(&output.dataset),
            count(output.rows),
            bytes(output.bytes),
            id,
        ]);
    }
    if !table.is_empty() {
        table.write(out);
    }
}

/// What a person can do now, the most pressing first.
fn next_steps(out: &mut String, run: &Run<'_>) {
    let mut steps = Vec::new();
    let summary = run.summary;
    if summary.verdict == PassFail::Fail {
        steps.push(
            "A stage is not valid: its receipt names the checks that failed. Do not release this run."
                .to_owned(),
        );
    }
    if let Some(DriftReport { baseline: Some(baseline), severity, run_id, .. }) = run.drift
        && *severity != Severity::None
    {
        steps.push(format!("See what moved: `distill diff {} {run_id} --records`.", baseline.run_id));
    }
    let mut quarantined: Vec<(&str, u64)> = (run.receipts.iter())
        .filter(|receipt| receipt.stage != "quarantine")
        .flat_map(|receipt| receipt.quarantined_by.iter().map(|(reason, n)| (reason.as_str(), *n)))
        .collect();
    quarantined.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
    if let Some((reason, n)) = quarantined.first() {
        steps.push(format!(
            "Look at what was refused: {} in quarantine, most for `{reason}` ({}). `exports/quarantine/{reason}.jsonl` \
             names the file and the line of each.",
            text::units(summary.metrics.p4_total_quarantined),
            count(*n),
        ));
    }
    let human = summary.categories.get(Category::NeedsHumanReview);
    if human > 0 {
        steps.push(format!(
            "{} for a person: log a human verdict in the source, or add a rule to `.distill/policy.toml`, and run again.",
            if human == 1 { "One run waits".to_owned() } else { format!("{} runs wait", count(human)) },
        ));
    }
    let warned = run.receipts.iter().any(|receipt| !receipt.warnings.is_empty());
    if warned {
        steps.push("Read the warnings in the receipts: `distill receipts`.".to_owned());
    }
    if summary.verdict == PassFail::Pass {
        steps.push(format!("Keep it as a release: `distill tag v1.0.0 {}`.", summary.run_id));
    }
    for step in steps {
        writeln!(out, "- {step}").ok();
    }
}
