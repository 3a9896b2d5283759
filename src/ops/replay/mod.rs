//! `replay`: a task, records from the corpus, a model's answer, and what the answer is worth.
//!
//! Rests on `search` for records, on `model` for answers and on `pipeline::answer` for the judgement. Invariants: nothing is stored
//! before every answer is there and judged; then one transaction stores all of it, so that a replay is there whole or not at all;
//! no answer that did not pass is called good; the model is asked while no lock is held.

mod ask;
mod endpoints;
mod keep;
mod page;
mod prompt;
mod rows;
mod suite;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::model::{Caller, Endpoint};
use crate::object::{CommitId, ObjectId, RootId};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::ops::run::{RunOptions, What, branch_of};
use crate::ops::search::{Searcher, corpus};
use crate::ops::snapshot;
use crate::pipeline::answer::{Fault, Format, Judgement};
use crate::record::ExchangeRole;
use crate::repo::Repo;

pub use endpoints::{Asking, Overrides, endpoints};
pub use page::PAGE;
pub use prompt::{PROMPT_FORMAT, PromptRecord};
pub(crate) use prompt::{cut, indented, records_of, written};
pub use rows::FILE as ROWS;
pub(crate) use rows::settle;
pub use suite::parse as parse_suite;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its own id; made from the text where nobody gives one.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// The form of the answer.
    pub format: Format,
}

impl Task {
    /// A task of this text, whose id is made from it: the same question is the same task, whoever answers it.
    pub fn new(text: &str, format: Format) -> Self {
        let id = format!("task-{}", ObjectId::of(text.trim().as_bytes()).short(16));
        Self { id, text: text.to_owned(), format }
    }
}

/// With what a task is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// With records from the corpus.
    Retrieval,
    /// Without.
    Baseline,
    /// Once so and once so.
    Ab,
}

impl Mode {
    const fn arms(self) -> &'static [Arm] {
        match self {
            Self::Retrieval => &[Arm::Retrieval],
            Self::Baseline => &[Arm::Baseline],
            Self::Ab => &[Arm::Retrieval, Arm::Baseline],
        }
    }
}

/// One way of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// With records from the corpus.
    Retrieval,
    /// Without.
    Baseline,
}

impl Arm {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrieval => "retrieval",
            Self::Baseline => "baseline",
        }
    }
}

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tasks, in order.
    pub tasks: Vec<Task>,
    /// With or without records.
    pub mode: Mode,
    /// The revision whose RAG export is searched.
    pub at: Option<String>,
    /// The corpus of `config.toml` that is searched.
    pub corpus: Option<String>,
    /// Records in a prompt.
    pub k: usize,
    /// Who is asked, and how.
    pub asking: Asking,
    /// The commit's message.
    pub message: Option<String>,
    /// Whether reports that were changed by hand may be overwritten.
    pub force: bool,
}

/// Told of what happens between question and commit.
pub trait Listener {
    /// A model is about to be asked.
    fn asked(&mut self, task: &Task, arm: Arm, endpoint: &Endpoint);
    /// It said this much more. Nobody has judged it yet.
    fn token(&mut self, text: &str);
    /// The answer ended, and this is what it is worth.
    fn judged(&mut self, judgement: &Judgement);
}

/// What replays did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run.
    pub run_id: String,
    /// Its commit.
    pub commit_id: CommitId,
    /// The branch it moved.
    pub branch: String,
    /// The snapshot that was searched; null where none was.
    pub snapshot: Option<SearchedSnapshot>,
    /// One for each task and way of asking, in order.
    pub items: Vec<Replayed>,
    /// How many passed of how many, by way of asking.
    pub rates: Vec<Rate>,
    /// Whether every answer that had the help of the corpus (or every answer, where none had) passed.
    pub passed: bool,
    /// The report.
    pub report: String,
    /// The file that the rows were appended to.
    pub rows: String,
    /// Whether a spec reads that file, so that the next run makes evidence of the rows.
    pub rows_are_read: bool,
}

/// The snapshot that was searched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SearchedSnapshot {
    /// The corpus, or the revision.
    pub name: String,
    /// The commit.
    pub commit_id: CommitId,
    /// The root.
    pub root: RootId,
}

/// How many passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The way of asking.
    pub arm: Arm,
    /// Replays that passed.
    pub passed: u64,
    /// Replays.
    pub of: u64,
}

/// One replay.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// Its id.
    pub replay_id: String,
    /// The task's id.
    pub task_id: String,
    /// The task.
    pub task: String,
    /// With or without records.
    pub arm: Arm,
    /// `accepted`, or `needs_human_review`.
    pub verdict: &'static str,
    /// The last answer.
    pub answer: String,
    /// What it is worth.
    pub judgement: Judgement,
    /// The records of the prompt, by number.
    pub records: Vec<PromptRecord>,
    /// Who was asked, in order.
    pub attempts: Vec<Attempt>,
    /// Object of the prompt.
    pub prompt_id: ObjectId,
    /// Object of the row.
    pub row_id: ObjectId,
    /// Generations of model output, this one counted.
    pub synthetic_depth: u64,
}

/// One exchange with a model.
#[derive(Clone, Debug, Serialize)]
pub struct Attempt {
    /// First, or escalation.
    pub role: ExchangeRole,
    /// Host of the endpoint.
    pub provider: String,
    /// The model.
    pub model: String,
    /// In milliseconds.
    pub latency_ms: u64,
    /// As the server counted them.
    pub prompt_tokens: Option<u64>,
    /// As the server counted them.
    pub completion_tokens: Option<u64>,
    /// Why the answer did not pass; empty where it did.
    pub faults: Vec<Fault>,
    /// Object of the answer.
    pub answer_id: ObjectId,
}

/// Replays tasks.
///
/// # Errors
/// A model that gives no answer, a corpus that is not there, files changed by hand, another writer: nothing is stored then.
pub fn replay(
    repo: &Repo,
    options: &Options,
    mut caller: Caller,
    clock: Clock,
    progress: &dyn Progress,
    listener: &mut dyn Listener,
) -> Result<Report, OpError> {
    if options.tasks.is_empty() {
        return Err(OpError::new(
            ErrorKind::Usage,
            "there is no task",
            "give one with --task, or a suite of some",
        ));
    }
    if let Some(task) = options.tasks.iter().find(|task| task.text.trim().is_empty()) {
        let message = format!("the task `{}` is empty", task.id);
        return Err(OpError::new(ErrorKind::Usage, message, "say what is asked"));
    }
    // What would stop the commit at the end stops it here, before a model is asked.
    let branch = branch_of(repo, &RunOptions::new(What::All))?;
    let head = repo.head_commit().map(|id| repo.commit(id)).transpose()?;
    if head.is_none_or(|head| head.config_id.is_none()) {
        let message = "a replay is committed beside the datasets of a run, and there is no run yet";
        return Err(OpError::new(ErrorKind::Usage, message, "run `distill run-all` first"));
    }
    snapshot::refuse_changed_reports(repo, options.force, PAGE)?;
    let started = clock.now_ms();
    let searcher = match options.mode {
        Mode::Baseline => None,
        Mode::Retrieval | Mode::Ab => {
            let corpus = corpus(repo, options.corpus.as_deref(), options.at.as_deref())?;
            Some(Searcher::open(repo, corpus, progress)?)
        }
    };
    let mut exchanged = Vec::new();
    for task in &options.tasks {
        for arm in options.mode.arms() {
            let searcher = searcher.as_ref().filter(|_| *arm == Arm::Retrieval);
            exchanged.push(ask::one(repo, options, task, searcher, &mut caller, listener)?);
        }
    }
    let searched = searcher.as_ref().map(|searcher| searcher.corpus().clone());
    let keep = keep::Keep { repo, options, branch, started, clock, searched, progress };
    keep.commit(exchanged, caller)
}
