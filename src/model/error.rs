//! Why a model gave no answer.
//!
//! Rests on nothing. Invariants: every message names the address; what a server said is cut short, and never holds a key.

use std::path::PathBuf;

/// A failed exchange.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The address cannot be used.
    #[error("`{url}` cannot be asked: {detail}")]
    BadUrl {
        /// The address.
        url: String,
        /// Why not.
        detail: String,
    },
    /// The HTTP client itself cannot be made.
    #[error("no HTTP client can be made: {detail}")]
    NoClient {
        /// Why not.
        detail: String,
    },
    /// Nobody answers there.
    #[error("no model answers at {url}: {detail}")]
    Unreachable {
        /// The address.
        url: String,
        /// What the system said.
        detail: String,
    },
    /// Somebody answers there, and cannot prove to be it.
    #[error("{url} is not trusted: {detail}")]
    Untrusted {
        /// The address.
        url: String,
        /// What is wrong with its certificate.
        detail: String,
    },
    /// The answer holds the key that was sent with the question.
    #[error("{url} repeats the key that it was sent, which no model does")]
    RepeatsKey {
        /// The address.
        url: String,
    },
    /// The address is one of Ollama's own API.
    #[error("{url} is an address of Ollama's own API, which takes its settings in another form")]
    OwnOfOllama {
        /// The address.
        url: String,
    },
    /// The answer took too long.
    #[error("{url} gave no whole answer within {seconds} s")]
    TimedOut {
        /// The address.
        url: String,
        /// How long was waited.
        seconds: u64,
    },
    /// 401 or 403.
    #[error("{url} refuses the key{said}", said = said(*status, message))]
    BadKey {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// The endpoint has no model of this name.
    #[error("{url} has no model called `{model}`{said}", said = said(*status, message))]
    NoSuchModel {
        /// The address.
        url: String,
        /// The model.
        model: String,
        /// The status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// 404, and not for want of a model.
    #[error("there is no chat at {url}{said}", said = said(404, message))]
    NoSuchAddress {
        /// The address.
        url: String,
        /// What the server said.
        message: String,
    },
    /// Another status that asking again does not help.
    #[error("{url} refuses the request{said}", said = said(*status, message))]
    Rejected {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// What the server said.
        message: String,
    },
    /// 429 or 5xx, after all attempts.
    #[error("{url} did not answer in {attempts} attempts{said}", said = said(*status, message))]
    Busy {
        /// The address.
        url: String,
        /// The last status.
        status: u16,
        /// How often it was asked.
        attempts: u32,
        /// What the server said.
        message: String,
    },
    /// The endpoint wants to be left alone for longer than anybody waits.
    #[error("{url} wants to be asked again in {seconds} s at the earliest")]
    ComeBackLater {
        /// The address.
        url: String,
        /// The wait it asks for.
        seconds: u64,
    },
    /// A redirect that is not followed.
    #[error(
        "{url} redirects to {to}, and no prompt or key is sent to another address than the one configured"
    )]
    Redirected {
        /// The address.
        url: String,
        /// Where it points.
        to: String,
    },
    /// More bytes than an answer may have.
    #[error("the answer of {url} is longer than {mib} MiB")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit.
        mib: usize,
    },
    /// What came back is not JSON.
    #[error("{url} answered with something that is not JSON: `{start}`")]
    NotJson {
        /// The address.
        url: String,
        /// How it begins.
        start: String,
    },
    /// JSON without an answer in it.
    #[error("{url} answered with JSON that holds no answer: {detail}")]
    NoAnswer {
        /// The address.
        url: String,
        /// What is missing.
        detail: String,
    },
    /// The connection ended before the answer did.
    #[error("the answer of {url} broke off in the middle: {detail}")]
    Truncated {
        /// The address.
        url: String,
        /// How.
        detail: String,
    },
    /// The request cannot be written as JSON.
    #[error("the prompt cannot be sent: {detail}")]
    Unwritable {
        /// Why not.
        detail: String,
    },
    /// A cassette cannot be read or written.
    #[error("cannot {action} the cassette {}: {source}", path.display())]
    CassetteIo {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line of a cassette is no exchange.
    #[error("{}:{line} is no recorded exchange: {detail}", path.display())]
    CassetteLine {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Why not.
        detail: String,
    },
    /// The prompt is not the one that was recorded.
    #[error("the prompt of call {call} changed since {} was recorded: {difference}", path.display())]
    PromptChanged {
        /// The file.
        path: PathBuf,
        /// Which call of the command, from 1.
        call: usize,
        /// The first difference.
        difference: String,
    },
    /// The cassette holds fewer exchanges than were asked for.
    #[error("{} holds {held} exchanges, and this is call {call}", path.display())]
    CassetteEnds {
        /// The file.
        path: PathBuf,
        /// How many it holds.
        held: usize,
        /// Which call of the command, from 1.
        call: usize,
    },
}

/// The end of a message: status, and what the server said.
fn said(status: u16, message: &str) -> String {
    if message.is_empty() { format!(" (status {status})") } else { format!(" (status {status}: {message})") }
}

/// At most so many characters of what a server said stand in a message.
const SAID_CHARS_MAX: usize = 200;

/// What a server said, on one line and cut short.
pub(super) fn shortened(text: &str) -> String {
    let mut out = String::new();
    for (n, word) in text.split_whitespace().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        out.extend(word.chars().filter(|c| !c.is_control()));
        if out.chars().count() > SAID_CHARS_MAX {
            let end = out.char_indices().nth(SAID_CHARS_MAX).map_or(out.len(), |(at, _)| at);
            out.truncate(end);
            out.push('…');
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_cut_short() {
        assert_eq!(shortened(" a\n\tb\u{1b}[31m "), "a b[31m");
        assert_eq!(shortened(&"x".repeat(500)).chars().count(), SAID_CHARS_MAX + 1);
        let error = ModelError::BadKey { url: "http://h".to_owned(), status: 401, message: String::new() };
        assert_eq!(error.to_string(), "http://h refuses the key (status 401)");
    }
}
