//! One task: records, prompt, answer, judgement, and a second answer where the first does not pass.
//!
//! Rests on `prompt` and `pipeline::answer`. Invariant: nothing is written here.

use serde::Serialize;

use crate::model::{Caller, Completion, Endpoint, Request};
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::ops::error::OpError;
use crate::ops::replay::prompt::{Prompt, object, prompt};
use crate::ops::replay::{Arm, Listener, Options, Task};
use crate::ops::search::{Filter, Hit, Searcher};
use crate::pipeline::answer::{self, Asked, Given, Judgement};
use crate::record::{EvidenceRecord, ExchangeRole, Record as _};
use crate::repo::Repo;

/// One task asked in one way, and answered.
pub(super) struct Exchanged {
    pub task: Task,
    pub arm: Arm,
    pub prompt: Prompt,
    /// Generations of model output, this one counted.
    pub synthetic_depth: u64,
    /// One, or two where the first did not pass.
    pub answers: Vec<Answered>,
}

/// One answer.
pub(super) struct Answered {
    pub role: ExchangeRole,
    pub provider: String,
    pub model: String,
    pub completion: Completion,
    pub judgement: Judgement,
    /// The object.
    pub bytes: Vec<u8>,
    pub id: ObjectId,
}

/// The answer as it is stored.
#[derive(Serialize)]
struct Stored<'a> {
    schema: &'static str,
    prompt_id: ObjectId,
    provider: &'a str,
    model: &'a str,
    /// What the server calls the model; may differ from what it was asked for.
    served_by: Option<&'a str>,
    finish_reason: Option<&'a str>,
    text: &'a str,
    rules_version: u32,
    judgement: &'a Judgement,
}

impl Exchanged {
    /// The answer that counts: the last.
    pub(super) fn last(&self) -> Option<&Answered> {
        self.answers.last()
    }
}

/// Asks one task, with records from `searcher` where there is one.
pub(super) fn one(
    repo: &Repo,
    options: &Options,
    task: &Task,
    searcher: Option<&Searcher>,
    caller: &mut Caller,
    listener: &mut dyn Listener,
) -> Result<Exchanged, OpError> {
    let arm = if searcher.is_some() { Arm::Retrieval } else { Arm::Baseline };
    let hits = match searcher {
        Some(searcher) => searcher.search(&task.text, options.k, &Filter::default())?,
        None => Vec::new(),
    };
    let asking = &options.asking;
    let prompt = prompt(task, &hits, asking.context_bytes)?;
    let behind = behind(repo, &hits)?;
    let synthetic_depth = 1 + behind.depth;
    let mut answers = Vec::new();
    let second = asking.escalation.as_ref().map(|endpoint| (ExchangeRole::Escalation, endpoint));
    for (role, endpoint) in std::iter::once((ExchangeRole::First, &asking.first)).chain(second) {
        let request = Request {
            messages: prompt.messages.clone(),
            max_tokens: asking.max_tokens,
            temperature: asking.temperature,
        };
        listener.asked(task, arm, endpoint);
        let completion = caller.ask(endpoint, &request, &mut |token| listener.token(token))?;
        let answered = judged(task, &prompt, &behind.questions, role, endpoint, completion)?;
        listener.judged(&answered.judgement);
        let passes = answered.judgement.passes();
        answers.push(answered);
        if passes {
            break;
        }
    }
    Ok(Exchanged { task: task.clone(), arm, prompt, synthetic_depth, answers })
}

fn judged(
    task: &Task,
    prompt: &Prompt,
    questions: &[String],
    role: ExchangeRole,
    endpoint: &Endpoint,
    completion: Completion,
) -> Result<Answered, OpError> {
    let records = prompt.records.iter().zip(questions);
    let records: Vec<Given<'_>> =
        records.map(|(record, question)| Given { question, text: &record.content }).collect();
    let asked = Asked {
        task: &task.text,
        format: task.format,
        records: &records,
        cut_short: completion.finish_reason.as_deref() == Some("length"),
    };
    let judgement = answer::judge(&completion.text, &asked);
    let (provider, model) = (endpoint.provider(), endpoint.model.clone());
    let bytes = object(&Stored {
        schema: "distill.answer.v1",
        prompt_id: prompt.id,
        provider: &provider,
        model: &model,
        served_by: completion.model.as_deref(),
        finish_reason: completion.finish_reason.as_deref(),
        text: &completion.text,
        rules_version: answer::VERSION,
        judgement: &judgement,
    })?;
    let id = ObjectId::of(&bytes);
    Ok(Answered { role, provider, model, completion, judgement, bytes, id })
}

/// What lies behind the records of a prompt.
struct Behind {
    /// The most generations of model output behind any of them.
    depth: u64,
    /// What each was made for.
    questions: Vec<String>,
}

fn behind(repo: &Repo, hits: &[Hit]) -> Result<Behind, OpError> {
    let mut behind = Behind { depth: 0, questions: Vec::new() };
    for hit in hits {
        let evidence = EvidenceRecord::parse(&repo.store().find(&hit.row.evidence_id)?)?;
        behind.depth = behind.depth.max(evidence.synthetic_depth);
        behind.questions.push(evidence.instruction.unwrap_or_default());
    }
    Ok(behind)
}
