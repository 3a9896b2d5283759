//! What a replay's receipt says of one question put to one model.
//!
//! Rests on `object`. What always holds: prompt, answer and row are objects of the store, in the dataset `replays` of the commit
//! that the receipt belongs to; a number that the server did not give is null, never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::nullable;
use super::validate::Checks;
use crate::object::ObjectId;

/// One exchange with a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Object of the answer, with what was found wrong with it.
    pub answer_id: ObjectId,
    /// Whether the answer is whole and of the form that was asked for.
    pub complete: bool,
    /// Tokens of the answer, as the server counted them.
    #[serde(deserialize_with = "nullable")]
    pub completion_tokens: Option<u64>,
    /// Whether what it claims stands in the task or in a record that it cites.
    pub grounded: bool,
    /// From the request to the last byte, in milliseconds.
    pub latency_ms: u64,
    /// The model, as the configuration calls it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// Object of the prompt.
    pub prompt_id: ObjectId,
    /// Tokens of the prompt, as the server counted them.
    #[serde(deserialize_with = "nullable")]
    pub prompt_tokens: Option<u64>,
    /// Host of the endpoint, with its port where it is not the usual one.
    #[schemars(length(min = 1))]
    pub provider: String,
    /// The replay that it belongs to; an escalated one has two exchanges.
    #[schemars(length(min = 1))]
    pub replay_id: String,
    /// The records of the prompt, by the numbers under which it cites them, from 1.
    pub retrieved: Vec<ObjectId>,
    /// Who was asked.
    pub role: ExchangeRole,
    /// Object of the row that was appended to `data/_kb/replay_runs.jsonl`.
    pub row_id: ObjectId,
    /// The task's own id.
    #[schemars(length(min = 1))]
    pub task_id: String,
}

/// Who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExchangeRole {
    /// The model that is asked first.
    First,
    /// The one that is asked when the first one's answer does not pass.
    Escalation,
}

impl ExchangeRole {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Escalation => "escalation",
        }
    }
}

impl Exchange {
    /// Checks its texts under the path `field`.
    pub(super) fn check(&self, checks: &mut Checks, field: &str) {
        for (name, text) in [
            ("model", &self.model),
            ("provider", &self.provider),
            ("replay_id", &self.replay_id),
            ("task_id", &self.task_id),
        ] {
            checks.text(text, format!("{field}.{name}"));
        }
    }
}
