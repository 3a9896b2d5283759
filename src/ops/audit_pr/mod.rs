//! `audit-pr`: a change, records from the corpus, and what a model finds in it.
//!
//! Rests on `search` for records, on `model` for answers, on `findings` for what they are worth. It is the consumer that the corpus is
//! made for, as a reference. Invariants: nothing is stored; with one call everything is in one prompt; a finding that the change and
//! the cited records do not support is not shown as one.

mod diff;
mod findings;
pub mod git;
mod prompt;

use serde::Serialize;

use crate::model::{Caller, Completion, Message, Request};
use crate::object::{CommitId, RootId};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::ops::replay::{Asking, PromptRecord};
use crate::ops::search::{Filter, Hit, Searcher, corpus};
use crate::repo::Repo;

pub use findings::{Finding, Severity};

use diff::{Diff, Group};

/// A longer diff is refused.
pub const DIFF_BYTES_MAX: usize = 8 << 20;
/// Hunks of one file are looked up together up to this size.
const GROUP_BYTES: usize = 4 << 10;
/// A part that gets a call of its own, with `--tree-split`.
const SHARD_BYTES: usize = 1 << 10;
/// So many summaries are merged by one call.
const FAN_IN: usize = 8;
/// Of a long question only so much is looked up.
const QUESTION_BYTES: usize = 4 << 10;

/// How to audit a change.
#[derive(Clone, Debug)]
pub struct Options {
    /// The unified diff.
    pub diff: String,
    /// The revision whose RAG export is searched.
    pub at: Option<String>,
    /// The corpus of `config.toml` that is searched.
    pub corpus: Option<String>,
    /// Records for each group of hunks.
    pub k: usize,
    /// Records in the prompt, at most.
    pub records_max: usize,
    /// Whether every part of the change gets a call of its own, and the summaries are merged.
    pub tree_split: bool,
    /// Who is asked, and how.
    pub asking: Asking,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The snapshot that was searched.
    pub commit_id: CommitId,
    /// Its root.
    pub root: RootId,
    /// The files of the change that were looked at.
    pub files: Vec<String>,
    /// Those without a text that could be.
    pub left_out: Vec<String>,
    /// Findings that the change and the cited records support, the worst first.
    pub findings: Vec<Finding>,
    /// The others.
    pub doubtful: Vec<Finding>,
    /// Whether the model answered in the form that was asked for.
    pub answered: bool,
    /// The answer, where it did not.
    pub answer: Option<String>,
    /// The records of the prompt, by number.
    pub records: Vec<PromptRecord>,
    /// What it cost.
    pub cost: Cost,
}

/// What an audit cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Searches: one for each group of hunks.
    pub searches: u64,
    /// Calls of the model.
    pub calls: u64,
    /// Tokens of all prompts, as the server counted them; of calls without a count nothing is added.
    pub prompt_tokens: u64,
    /// Tokens of all answers.
    pub completion_tokens: u64,
    /// All calls together, in milliseconds.
    pub latency_ms: u64,
    /// Bytes of all prompts.
    pub prompt_bytes: u64,
}

/// Audits a change. `on_token` hears answers as they come.
///
/// # Errors
/// A diff without a hunk, or too long; a corpus that is not there; a model that gives no answer.
pub fn audit_pr(
    repo: &Repo,
    options: &Options,
    mut caller: Caller,
    progress: &dyn Progress,
    on_token: &mut dyn FnMut(&str),
) -> Result<Report, OpError> {
    if options.diff.len() > DIFF_BYTES_MAX {
        let message = format!("the diff is longer than {} MiB", DIFF_BYTES_MAX >> 20);
        return Err(OpError::new(ErrorKind::Usage, message, "audit it in parts"));
    }
    let diff = Diff::parse(&options.diff);
    if diff.files.is_empty() {
        return Err(OpError::new(
            ErrorKind::Usage,
            "the diff holds no hunk",
            "give a unified diff, as `git diff` and `diff -u` write it",
        ));
    }
    let corpus = corpus(repo, options.corpus.as_deref(), options.at.as_deref())?;
    let searcher = Searcher::open(repo, corpus, progress)?;
    let mut cost = Cost::default();
    let hits = look_up(&searcher, &diff, options, &mut cost)?;
    let records = prompt::records(&hits, options.asking.context_bytes);
    let mut calls = Calls { caller: &mut caller, options, cost, on_token };
    let answer = if options.tree_split {
        let mut summaries = Vec::new();
        for shard in diff.groups(SHARD_BYTES) {
            summaries.push(calls.ask(prompt::shard(&shard))?.text);
        }
        while summaries.len() > FAN_IN {
            let mut merged = Vec::new();
            for some in summaries.chunks(FAN_IN) {
                merged.push(calls.ask(prompt::merge(some))?.text);
            }
            summaries = merged;
        }
        calls.ask(prompt::conclude(&summaries, &records))?
    } else {
        calls.ask(prompt::whole(&diff, &records))?
    };
    let cost = calls.cost;
    caller.finish()?;
    let found = findings::read(&answer.text, &diff, &records);
    let answered = found.is_some();
    let (mut findings, doubtful): (Vec<_>, Vec<_>) =
        found.unwrap_or_default().into_iter().partition(|finding| finding.doubts.is_empty());
    findings.sort_by(|a, b| (a.severity, &a.file, a.line).cmp(&(b.severity, &b.file, b.line)));
    Ok(Report {
        commit_id: searcher.corpus().commit,
        root: searcher.corpus().root,
        files: diff.files.iter().map(|file| file.path.clone()).collect(),
        left_out: diff.left_out,
        findings,
        doubtful,
        answered,
        answer: (!answered).then_some(answer.text),
        records,
        cost,
    })
}

/// Looks up records for each group of hunks: the best of all groups, each once.
fn look_up(
    searcher: &Searcher,
    diff: &Diff,
    options: &Options,
    cost: &mut Cost,
) -> Result<Vec<Hit>, OpError> {
    let mut hits: Vec<Hit> = Vec::new();
    for group in diff.groups(GROUP_BYTES) {
        let question = question(&group);
        if !Searcher::has_word(&question) {
            continue;
        }
        cost.searches += 1;
        for hit in searcher.search(&question, options.k, &Filter::default())? {
            match hits.iter_mut().find(|known| known.key == hit.key) {
                Some(known) if known.score >= hit.score => {}
                Some(known) => *known = hit,
                None => hits.push(hit),
            }
        }
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.key.cmp(&b.key)));
    hits.truncate(options.records_max);
    Ok(hits)
}

fn question(group: &Group<'_>) -> String {
    crate::ops::replay::cut(&group.question(), QUESTION_BYTES)
}

/// Asks, and adds up what it costs.
struct Calls<'a> {
    caller: &'a mut Caller,
    options: &'a Options,
    cost: Cost,
    on_token: &'a mut dyn FnMut(&str),
}

impl Calls<'_> {
    fn ask(&mut self, messages: Vec<Message>) -> Result<Completion, OpError> {
        let asking = &self.options.asking;
        let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
        let request = Request { messages, max_tokens: asking.max_tokens, temperature: asking.temperature };
        let completion = self.caller.ask(&asking.first, &request, self.on_token)?;
        self.cost.calls += 1;
        self.cost.prompt_bytes += bytes as u64;
        // Counts of the server, who may say anything.
        let add = |sum: &mut u64, count: u64| *sum = sum.saturating_add(count);
        add(&mut self.cost.prompt_tokens, completion.prompt_tokens.unwrap_or(0));
        add(&mut self.cost.completion_tokens, completion.completion_tokens.unwrap_or(0));
        add(&mut self.cost.latency_ms, completion.latency_ms);
        Ok(completion)
    }
}
