//! A server, as a client sees it: JSON answers, objects by id, rows from any byte on.
//!
//! Rests on `reqwest`, blocking. Invariants: an object is hashed before it is handed on; no redirect is followed, so a token
//! goes to the server that it is for and to no other; the token stands in no message; an answer is bounded.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::base::causes::causes;
use crate::base::tls::install_provider;
use crate::object::{Find, ObjectBytes, ObjectId, OdbError};

/// A server that does not answer is given up after this long …
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// … and one that falls silent within an answer after this long.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// The longest JSON answer that is read.
const JSON_BYTES_MAX: u64 = 64 << 20;
/// The longest object that is read.
const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// What is sent to a server to prove who asks. It prints as nothing.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The first line of `text` that is not empty or a comment, without a word `read` or `write` before it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.next()?.split_whitespace().last().map(|token| Self(token.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct Web {
    client: Client,
    base: String,
    token: Option<Token>,
}

/// Why a server did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The address is none.
    #[error("`{url}` is not the address of a server: {detail}")]
    Address {
        /// As given.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// It could not be reached, or the connection broke.
    #[error("{url} did not answer: {detail}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// The reason, with its causes.
        detail: String,
    },
    /// It answered, and the answer is no.
    #[error("{url} answered {status}{}", told(message))]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Its own words, where it has some.
        message: String,
        /// What it says to do.
        hint: String,
    },
    /// The answer is not what this program can read.
    #[error("{url} gave an answer that cannot be used: {detail}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
}

fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

#[derive(Default, Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    message: String,
    #[serde(default)]
    hint: String,
}

/// Whether `source` is the address of a server.
pub fn is_address(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

impl Web {
    /// The server at `base`, which may have a path. Nothing is asked yet.
    ///
    /// # Errors
    /// When `base` is no HTTP address, or holds a user name or a query.
    pub fn new(base: &str, token: Option<Token>) -> Result<Self, WebError> {
        install_provider();
        let address = |detail: &str| WebError::Address { url: base.to_owned(), detail: detail.to_owned() };
        let url = reqwest::Url::parse(base).map_err(|error| address(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(address("it does not begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WebError::Address {
                url: format!("{}://…", url.scheme()),
                detail: "it holds a user name or a password; give a token in a file instead".to_owned(),
            });
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(address("it holds a `?` or a `#`"));
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .timeout(SILENCE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("distill/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| address(&causes(&error)))?;
        Ok(Self { client, base: url.as_str().trim_end_matches('/').to_owned(), token })
    }

    /// The address, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request for `path`, which begins with a slash, with the token.
    pub fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(Token(token)) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request; an answer that is not a success is an error.
    ///
    /// # Errors
    /// [`WebError::Unreachable`], [`WebError::Refused`].
    pub fn send(&self, request: RequestBuilder) -> Result<Response, WebError> {
        let response = request.send().map_err(|error| WebError::Unreachable {
            url: error.url().map_or_else(|| self.base.clone(), ToString::to_string),
            detail: causes(&error),
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (url, status) = (response.url().to_string(), response.status().as_u16());
        let body = read_at_most(response, 64 << 10).unwrap_or_default();
        let ErrorAnswer { message, hint } = serde_json::from_slice(&body).unwrap_or_default();
        Err(WebError::Refused { url, status, message, hint })
    }

    /// The JSON answer to a question.
    ///
    /// # Errors
    /// As [`Web::send`]; an answer of another form.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, WebError> {
        let response = self.send(self.request(reqwest::Method::GET, path))?;
        let url = response.url().to_string();
        let body = read_at_most(response, JSON_BYTES_MAX)
            .map_err(|error| WebError::Unreachable { url: url.clone(), detail: error.to_string() })?;
        serde_json::from_slice(&body).map_err(|error| WebError::Answer { url, detail: error.to_string() })
    }

    /// The body of an answer from byte `offset` on.
    ///
    /// # Errors
    /// As [`Web::send`]; a server that does not give parts of it.
    pub fn body_from(&self, path: &str, offset: u64) -> Result<Response, WebError> {
        let mut request = self.request(reqwest::Method::GET, path);
        if offset > 0 {
            request = request.header(header::RANGE, format!("bytes={offset}-"));
        }
        let response = self.send(request)?;
        let wanted = if offset > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        if response.status() != wanted {
            let detail = format!("it answered {} to a question for a part", response.status().as_u16());
            return Err(WebError::Answer { url: response.url().to_string(), detail });
        }
        Ok(response)
    }
}

impl Find for Web {
    /// An object, asked for by its id and hashed here.
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        let path = format!("/v1/objects/{id}");
        let place = PathBuf::from(format!("{}{path}", self.base));
        let response = match self.send(self.request(reqwest::Method::GET, &path)) {
            Ok(response) => response,
            Err(WebError::Refused { status: 404, .. }) => return Ok(None),
            Err(error) => return Err(OdbError::Io { path: place, source: io::Error::other(error) }),
        };
        let bytes = read_at_most(response, OBJECT_BYTES_MAX)
            .map_err(|source| OdbError::Io { path: place.clone(), source })?;
        if ObjectId::of(&bytes) != *id {
            let detail = format!("what arrived hashes to {}", ObjectId::of(&bytes));
            return Err(OdbError::Corrupt { id: *id, place, detail });
        }
        Ok(Some(bytes.into()))
    }
}

fn read_at_most(from: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is longer than {max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_and_never_printed() {
        let token = Token::parse("# a comment\n\n write abc123 \n").expect("there is one");
        assert_eq!(token.0, "abc123");
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert!(Token::parse("\n# nothing\n").is_none());
    }

    #[test]
    fn addresses() {
        assert_eq!(Web::new("http://localhost:1/a/", None).expect("one").base(), "http://localhost:1/a");
        for bad in ["ftp://x", "http://", "http://user:secret@x", "http://x/?q", "nothing"] {
            let error = Web::new(bad, None).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
