//! Asking a language model over HTTP, and playing a recorded exchange back without one.
//!
//! Rests on `base` and on reqwest, which no other module but `remote` may name. A [`Caller`] speaks the chat protocol that Ollama,
//! llama.cpp, vLLM and hosted services share, streaming or not, and the plain form of a gateway. Invariants: every read and every
//! wait has a bound; a key reaches the host it is meant for and no message, file or log; what comes back is checked for its form
//! here, and for its content by nobody below `pipeline`.

mod caller;
mod cassette;
mod client;
mod decode;
mod endpoint;
mod error;
mod wire;

pub use caller::Caller;
pub use endpoint::{Dialect, Endpoint, Key};
pub use error::ModelError;

use serde::{Deserialize, Serialize};

/// An answer of more bytes than this, as text or as an unstreamed body, is refused.
pub const ANSWER_BYTES_MAX: usize = 8 << 20;
/// A stream of more bytes than this, with all that surrounds the text, is refused.
pub const STREAM_BYTES_MAX: usize = 64 << 20;

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// `system` or `user`.
    pub role: String,
    /// Its text.
    pub content: String,
}

impl Message {
    /// A message of this role.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self { role: role.to_owned(), content: content.into() }
    }
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// 0 for the likeliest answer.
    pub temperature: f64,
}

/// What a model answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// Why it ended: `stop`, `length` …; null where the server does not say.
    pub finish_reason: Option<String>,
    /// The model, as the server calls it; null where it does not say.
    pub model: Option<String>,
    /// Tokens of the prompt, as the server counted them.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer.
    pub completion_tokens: Option<u64>,
    /// From sending the request to the last byte, in milliseconds; of a cassette, what it took when it was recorded.
    pub latency_ms: u64,
}
