//! `distill whatif`, and what `diff --explain` says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::error::CommandError;
use crate::cli::table::{Table, count};
use crate::cli::ui::Style;
use crate::cli::{Context, Outcome};
use crate::ops::OpError;
use crate::ops::explain::{Explanation, Part, whatif};
use crate::ops::open::open;
use crate::record::{Category, Metrics};

/// Say what another policy would make of a commit, before it is in force
///
/// Scores the stored evidence of REV by the policy in FILE, judges it for every export and counts. Reads no source
/// file, commits nothing and writes nothing into the store.
#[derive(Clone, Debug, clap::Args)]
pub struct WhatifArgs {
    /// The revision; HEAD where none is given
    rev: Option<String>,
    /// The policy to try, in the format of .distill/policy.toml
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
}

pub(super) fn run(context: &Context, args: &WhatifArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let commit_id = repo.resolve(args.rev.as_deref().unwrap_or("HEAD")).map_err(OpError::from)?;
    let text = std::fs::read_to_string(&args.policy).map_err(|e| OpError::io("read", &args.policy, &e))?;
    let name = args.policy.display().to_string();
    let found = whatif(&repo, commit_id, (&name, &text), &std::env::temp_dir(), &context.ui)?;
    let mut rendered = format!(
        "{} ({}) under {}\n",
        context.ui.paint(Style::Bold, &found.before.run_id),
        found.before.commit_id.object().short(12),
        context.ui.paint(Style::Bold, &name)
    );
    if found.changed.is_empty() {
        rendered.push_str("\nThe policy says what the one of the commit says.\n");
    }
    rendered.push_str(&explained(&found));
    context.ui.answer("distill.whatif.v1", &found, &rendered)?;
    Ok(Outcome::Done)
}

/// What moved, why, and where it came from.
pub(super) fn explained(found: &Explanation) -> String {
    let mut text = String::new();
    let changed: Vec<&str> = found.changed.iter().map(|part| part.as_str()).collect();
    if !changed.is_empty() {
        writeln!(text, "\nChanged: {}", changed.join(", ")).ok();
    }
    if found.metrics.is_empty() {
        text.push_str("No metric moved.\n");
    } else {
        let mut headings = vec!["metric", ">before", ">after"];
        let columns = [">tool", ">specs", ">policy", ">data"];
        headings
            .extend(Part::ALL.iter().zip(columns).filter(|(p, _)| found.changed.contains(p)).map(|(_, c)| c));
        let unattributed = found.metrics.values().any(|shares| shares.unattributed != 0);
        headings.extend(unattributed.then_some(">unattributed"));
        let mut table = Table::new(&headings);
        for name in Metrics::NAMES {
            let Some(shares) = found.metrics.get(name) else { continue };
            let mut row = vec![name.to_owned(), count(shares.before), count(shares.after)];
            for (part, by) in Part::ALL.iter().zip([shares.tool, shares.specs, shares.policy, shares.data]) {
                if found.changed.contains(part) {
                    row.push(signed(by));
                }
            }
            row.extend(unattributed.then(|| signed(shares.unattributed)));
            table.row(row);
        }
        write!(text, "\n{table}").ok();
        for name in Metrics::NAMES {
            let Some(shares) = found.metrics.get(name) else { continue };
            for (word, of) in [("streams", &shares.streams), ("rules", &shares.rules)] {
                if !of.is_empty() {
                    writeln!(text, "  {name}, {word}: {}", largest(of)).ok();
                }
            }
        }
    }
    if let Some(because) = &found.unattributed_because {
        writeln!(text, "\nUnattributed: {because}").ok();
    }
    if !found.transitions.is_empty() {
        let mut table = Table::new(&["from", "to", ">rows", "such as"]);
        for transition in &found.transitions {
            let name = |category: Option<Category>| category.map_or("-", Category::as_str);
            let examples = transition.examples.join("  ");
            table.row([name(transition.from), name(transition.to), &count(transition.rows), &examples]);
        }
        write!(text, "\n{table}").ok();
    }
    text
}

fn signed(by: i64) -> String {
    match by {
        0 => "·".to_owned(),
        1.. => format!("+{}", count(by.unsigned_abs())),
        _ => format!("-{}", count(by.unsigned_abs())),
    }
}

/// The eight largest, and how many there are besides.
fn largest(of: &BTreeMap<String, i64>) -> String {
    let mut all: Vec<(&String, &i64)> = of.iter().collect();
    all.sort_by_key(|(_, by)| std::cmp::Reverse(by.unsigned_abs()));
    let mut words: Vec<String> =
        all.iter().take(8).map(|(name, by)| format!("{name} {}", signed(**by))).collect();
    if all.len() > words.len() {
        words.push(format!("{} more", all.len() - words.len()));
    }
    words.join(", ")
}
