//! `distill acceptance`.

use std::fmt::Write as _;

use crate::cli::error::{CommandError, printable};
use crate::cli::table::counted;
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::acceptance::{Acceptance, Breach, Options, acceptance};
use crate::repo::Site;

/// Run the whole system on its own fixture and check 22 pinned invariants
///
/// The fixture comes with the program: a few files that are broken, contradict themselves and try to get past every gate.
/// It is refined again and again in a temporary folder, and each invariant that does not hold is named with the record, file
/// and line that broke it. In a repository writes reports/distillation/phase6-acceptance-report.md. Exits 0 only when all
/// hold.
#[derive(Clone, Debug, clap::Args)]
pub struct AcceptanceArgs {
    /// Plant a defect for each invariant, too, and show that exactly that invariant falls
    #[arg(long)]
    power: bool,
    /// Write no report
    #[arg(long)]
    no_report: bool,
    /// Overwrite the report although it was changed by hand
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &AcceptanceArgs) -> Result<Outcome, CommandError> {
    let site = if args.no_report { None } else { Site::discover(&context.start).ok() };
    let options = Options { tmp: std::env::temp_dir(), power: args.power, force: args.force };
    let accepted = acceptance(site.as_ref(), &options, &context.ui)?;
    context.ui.answer("distill.acceptance.v1", &accepted, &render(&context.ui, &accepted))?;
    if let Some(report) = &accepted.report {
        context.ui.say(&format!("The report is in {report}"));
    }
    Ok(if accepted.accepted { Outcome::Done } else { Outcome::No })
}

fn render(ui: &Ui, accepted: &Acceptance) -> String {
    let mut text = String::new();
    for item in &accepted.items {
        let mark = if item.holds { ui.paint(Style::Green, "holds") } else { ui.paint(Style::Red, "FALLS") };
        writeln!(text, "{:>3}  {mark}  {}", item.number, item.name).ok();
        breaches(&mut text, &item.breaches, item.breaches_total);
    }
    if let Some(power) = &accepted.power {
        writeln!(text).ok();
        for planting in power {
            let fell: Vec<String> = planting.fell.iter().map(ToString::to_string).collect();
            let fell = if fell.is_empty() { "nothing".to_owned() } else { fell.join(", ") };
            let mark = if planting.caught {
                ui.paint(Style::Green, "caught")
            } else {
                ui.paint(Style::Red, format!("MISSED: {fell} fell"))
            };
            writeln!(text, "{:>3}  {mark}  {}", planting.number, planting.defect).ok();
        }
        let caught = power.iter().filter(|planting| planting.caught).count();
        writeln!(
            text,
            "\n{caught}/{} planted defects were caught, each by its own invariant alone",
            power.len()
        )
        .ok();
    }
    let style = if accepted.accepted { Style::Green } else { Style::Red };
    let held = ui.paint(style, format!("{}/{}", accepted.held, accepted.of));
    writeln!(text, "{held} invariants hold on fixture {}", accepted.fixture).ok();
    text
}

/// What broke a check, indented below it.
pub(super) fn breaches(text: &mut String, breaches: &[Breach], total: u64) {
    for breach in breaches {
        let record = breach.record.as_ref().map_or_else(String::new, |record| format!("{record}: "));
        writeln!(text, "       {}", printable(&format!("{record}{}", breach.detail))).ok();
        if let Some(file) = &breach.file {
            let line = breach.line.map_or_else(String::new, |line| format!(", line {line}"));
            writeln!(text, "       in {}{line}", printable(file)).ok();
        }
    }
    let more = total - breaches.len() as u64;
    if more > 0 {
        writeln!(text, "       and {} more", counted(more, "finding")).ok();
    }
}
