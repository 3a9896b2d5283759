//! `distill replay`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::error::{CommandError, printable};
use crate::cli::table::counted;
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::model::{Caller, Endpoint};
use crate::ops::open::open;
use crate::ops::replay::{
    Arm, Listener, Mode, Options, Overrides, Replayed, Report, Task, endpoints, parse_suite, replay,
};
use crate::ops::report::count;
use crate::ops::{ErrorKind, OpError};
use crate::pipeline::answer::{Format, Judgement};
use crate::repo::Repo;

/// Ask a local model with records from the corpus, and judge its answer by rules
///
/// Looks records up in the RAG export, asks the model that `[replay]` of .distill/config.toml names, and checks the answer: it
/// must be whole, an answer, of the form that was asked for, and every quoted string, path, number, identifier and verdict in it
/// must stand in the task or in a record that it cites. No model judges. An answer that does not pass is for a person to look at
/// (exit 1), or for a larger model where --allow-escalation is given.
///
/// Each call is one commit, with a receipt that names model, latency, tokens, records, prompt and answer, and a row for each answer in
/// `data/_kb/replay_runs.jsonl`, which the next run reads like any source. Nothing is stored when a model gives no answer (exit 3).
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// What to ask
    #[arg(long, value_name = "TEXT", required_unless_present = "suite", conflicts_with = "suite")]
    task: Option<String>,
    /// Ask every task of a file: a line each, `{"task": "…", "id": "…", "format": "…"}`
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    /// The form of the answer to --task
    #[arg(long, value_name = "FORM", value_parser = form, default_value = "text", conflicts_with = "suite")]
    format: Format,
    /// Give the model no records
    #[arg(long, conflicts_with_all = ["ab", "at", "corpus"])]
    no_retrieval: bool,
    /// Ask twice, with records and without, and show both side by side
    #[arg(long)]
    ab: bool,
    /// Where an answer does not pass, ask the model under [replay.escalation]
    #[arg(long)]
    allow_escalation: bool,
    /// Search the RAG export of this revision instead of HEAD's
    #[arg(long, value_name = "REV")]
    at: Option<String>,
    /// Search this corpus of config.toml
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    corpus: Option<String>,
    /// Records in a prompt
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    k: Option<u16>,
    #[command(flatten)]
    asking: AskingArgs,
    /// The commit's message
    #[arg(short, long)]
    message: Option<String>,
    /// Overwrite reports although they were changed by hand
    #[arg(long)]
    force: bool,
}

/// Who is asked, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AskingArgs {
    /// The model, as its endpoint calls it
    #[arg(long)]
    model: Option<String>,
    /// The base of an OpenAI-compatible API, or a gateway's chat; no configured key is sent to another host
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The environment variable that holds the endpoint's key
    #[arg(long, value_name = "VARIABLE")]
    api_key_env: Option<String>,
    /// Write all exchanges to a new file
    #[arg(long, value_name = "FILE", conflicts_with = "cassette")]
    record: Option<PathBuf>,
    /// Ask nobody: play a recorded file back
    #[arg(long, value_name = "FILE")]
    cassette: Option<PathBuf>,
}

impl AskingArgs {
    /// Who asks, and what is asked of whom.
    pub(super) fn prepare(
        &self,
        context: &Context,
        repo: &Repo,
        allow_escalation: bool,
    ) -> Result<(Caller, crate::ops::replay::Asking), OpError> {
        let caller = match &self.cassette {
            Some(path) => Caller::played(context.clock, path)?,
            None => Caller::live(context.clock, self.record.as_deref())?,
        };
        let overrides = Overrides {
            endpoint: self.endpoint.as_deref(),
            model: self.model.as_deref(),
            api_key_env: self.api_key_env.as_deref(),
            allow_escalation,
            is_live: caller.is_live(),
        };
        let asking = endpoints(&repo.config().replay, &overrides, &|name| std::env::var(name).ok())?;
        Ok((caller, asking))
    }
}

fn form(text: &str) -> Result<Format, String> {
    let found = Format::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, format)| *format).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
        format!("the forms are {}", names.join(", "))
    })
}

/// Shows what happens to whoever watches.
pub(super) struct Watcher<'a> {
    ui: &'a Ui,
    begun: bool,
}

impl<'a> Watcher<'a> {
    pub(super) const fn new(ui: &'a Ui) -> Self {
        Self { ui, begun: false }
    }

    pub(super) fn piece(&mut self, text: &str) {
        self.begun = true;
        self.ui.stream(&printable(text));
    }

    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.begun) {
            self.ui.stream("\n");
        }
    }
}

impl Listener for Watcher<'_> {
    fn asked(&mut self, task: &Task, arm: Arm, endpoint: &Endpoint) {
        if self.ui.is_watched() {
            let with = if arm == Arm::Retrieval { "with records" } else { "without records" };
            self.ui.say(&format!(
                "Asking {} at {}, {with}: {}",
                endpoint.model,
                endpoint.provider(),
                first_line(&task.text)
            ));
        }
    }

    fn token(&mut self, text: &str) {
        self.piece(text);
    }

    fn judged(&mut self, judgement: &Judgement) {
        self.end();
        if self.ui.is_watched() {
            for fault in &judgement.faults {
                self.ui.say(&format!("Not passed: {}.", fault.says()));
            }
        }
    }
}

pub(super) fn run(context: &Context, args: ReplayArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let tasks = match (&args.task, &args.suite) {
        (Some(text), _) => vec![Task::new(text, args.format)],
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| OpError::io("read", path, &error))?;
            parse_suite(&path.display().to_string(), &text)?
        }
        (None, None) => {
            return Err(OpError::new(ErrorKind::Usage, "there is no task", "give one with --task").into());
        }
    };
    let (caller, asking) = args.asking.prepare(context, &repo, args.allow_escalation)?;
    let config = &repo.config().replay;
    let configured = Some(config.corpus.clone()).filter(|name| !name.is_empty() && args.at.is_none());
    let options = Options {
        tasks,
        mode: match (args.no_retrieval, args.ab) {
            (true, _) => Mode::Baseline,
            (false, true) => Mode::Ab,
            (false, false) => Mode::Retrieval,
        },
        at: args.at,
        corpus: args.corpus.or(configured),
        k: args.k.map_or(config.k, usize::from),
        asking,
        message: args.message,
        force: args.force,
    };
    let report = replay(&repo, &options, caller, context.clock, &context.ui, &mut Watcher::new(&context.ui))?;
    let text = if options.mode == Mode::Ab {
        side_by_side(&context.ui, &report)
    } else {
        one_by_one(&context.ui, &report)
    };
    context.ui.answer("distill.replay.v1", &report, &text)?;
    if !report.rows_are_read {
        context.ui.say(&format!(
            "No spec reads {}: the next run makes no evidence of it. docs/replay.md has one.",
            report.rows
        ));
    }
    Ok(if report.passed { Outcome::Done } else { Outcome::No })
}

fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let end = line.char_indices().nth(100).map_or(line.len(), |(at, _)| at);
    let more = if end < line.len() { "…" } else { "" };
    printable(&format!("{}{more}", &line[..end]))
}

fn one_by_one(ui: &Ui, report: &Report) -> String {
    let mut text = String::new();
    for item in &report.items {
        if report.items.len() > 1 {
            writeln!(text, "{}", ui.paint(Style::Bold, first_line(&item.task))).ok();
        }
        writeln!(text, "{}\n", printable(item.answer.trim_end())).ok();
        verdict(ui, &mut text, item, "");
        writeln!(text).ok();
    }
    end(ui, &mut text, report);
    text
}

fn side_by_side(ui: &Ui, report: &Report) -> String {
    let mut text = String::new();
    for pair in report.items.chunks(2) {
        let Some(first) = pair.first() else { continue };
        writeln!(text, "{}", ui.paint(Style::Bold, first_line(&first.task))).ok();
        for item in pair {
            let name = if item.arm == Arm::Retrieval { "with records" } else { "without" };
            writeln!(text, "  {name}: {}", first_line(&item.answer)).ok();
            verdict(ui, &mut text, item, "    ");
        }
        writeln!(text).ok();
    }
    end(ui, &mut text, report);
    text
}

fn verdict(ui: &Ui, text: &mut String, item: &Replayed, indent: &str) {
    let passes = item.judgement.passes();
    let style = if passes { Style::Green } else { Style::Red };
    let last = item.attempts.last();
    let by = last.map_or_else(String::new, |last| {
        format!("{} at {}, {} ms", last.model, last.provider, count(last.latency_ms))
    });
    let tokens =
        last.and_then(|last| Some(format!(", {} + {} tokens", last.prompt_tokens?, last.completion_tokens?)));
    let verdict = ui.paint(style, item.verdict);
    writeln!(
        text,
        "{indent}{verdict}  {}",
        ui.paint(Style::Dim, format!("{by}{}", tokens.unwrap_or_default()))
    )
    .ok();
    for fault in &item.judgement.faults {
        writeln!(text, "{indent}  {}", fault.says()).ok();
    }
    for claim in &item.judgement.unsupported {
        let place = format!("bytes {} to {}", claim.start, claim.end);
        writeln!(text, "{indent}    {} `{}`, {place}", claim.kind.as_str(), printable(&claim.text)).ok();
    }
    for record in item.records.iter().filter(|record| item.judgement.cited.contains(&record.number)) {
        writeln!(
            text,
            "{indent}  [{}] {}  {}",
            record.number,
            record.key,
            ui.paint(Style::Dim, record.id.short(12))
        )
        .ok();
    }
}

fn end(ui: &Ui, text: &mut String, report: &Report) {
    for rate in &report.rates {
        let name = if rate.arm == Arm::Retrieval { "with records" } else { "without records" };
        let style = if rate.passed == rate.of { Style::Green } else { Style::Yellow };
        writeln!(text, "{}", ui.paint(style, format!("{name}: {} of {} passed", rate.passed, rate.of))).ok();
    }
    let commit = report.commit_id.object().short(12);
    let rows = counted(report.items.len() as u64, "row");
    let on = report.branch.trim_start_matches("heads/");
    writeln!(text, "Committed {commit} ({}) on {on}; {rows} in {}", report.run_id, report.rows).ok();
    ui.say(&format!("The report is in {}", report.report));
}
