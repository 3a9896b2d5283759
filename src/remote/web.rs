//! A server, as every client here sees it: JSON answers, objects by id, bodies from any byte on, bodies that are brought.
//!
//! Rests on `reqwest`, blocking. Invariants: an object is hashed before it is handed on; no redirect is followed, so a token
//! goes to the server that it is for and to no other; the token stands in no message; an answer is bounded; a server that
//! falls silent is given up.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::RemoteError;
use crate::base::causes::causes;
use crate::base::tls::install_provider;
use crate::object::{Find, ObjectBytes, ObjectId, OdbError};

/// A server that does not answer is given up after this long …
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// … and one that falls silent before or within an answer after this long.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// What is brought to a server may go this slowly, in bytes each second: of an upload no silence can be seen.
const UPLOAD_BYTES_PER_S: u64 = 32 << 10;
/// The longest JSON answer that is read.
const JSON_BYTES_MAX: u64 = 256 << 20;
/// The longest refusal that is read.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;
/// The longest object that is read.
const OBJECT_BYTES_MAX: u64 = crate::store::OBJECT_BYTES_MAX;

/// What is sent to a server to prove who asks. It prints as nothing.
#[derive(Clone, PartialEq, Eq)]
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
        /// As given, without what may be a secret.
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
        /// `refused`, `usage`, `outside` or `damaged`, where the server is one of distill's; else empty.
        kind: String,
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
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    hint: String,
}

/// An address without what may be a secret in it: a user name, a password, a query, a fragment.
pub fn without_secrets(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (rest, cut) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], "…"),
        None => (rest, ""),
    };
    let end = rest.find(['/', '\\']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://…{}{cut}", &rest[at..]),
        None => format!("{scheme}://{rest}{cut}"),
    }
}

/// The address of a server as it is asked: without a slash at its end.
///
/// # Errors
/// What is wrong with it: it is no HTTP address, or holds a user name, a password, a query or a fragment.
pub fn check_address(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("it does not begin with http:// or https:// and name a server".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it holds a user name or a password, which do not belong in it: give a token instead".to_owned()
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it holds a `?` or a `#`".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl Web {
    /// The server at `base`, which may have a path. Nothing is asked yet.
    ///
    /// # Errors
    /// When `base` is no HTTP address, or holds a user name or a query.
    pub fn new(base: &str, token: Option<Token>) -> Result<Self, WebError> {
        install_provider();
        let address = |detail: String| WebError::Address { url: without_secrets(base), detail };
        let base = check_address(base).map_err(address)?;
        let client = Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .timeout(SILENCE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("distill/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| WebError::Address { url: base.clone(), detail: causes(&error) })?;
        Ok(Self { client, base, token })
    }

    /// The address, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The whole address of `path`, which begins with a slash.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request for `path`, with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.address(path));
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
        let response = request.send().map_err(|error| {
            let url = error.url().map_or_else(|| self.base.clone(), ToString::to_string);
            // The address stands before the reason already.
            WebError::Unreachable { url, detail: causes(&error.without_url()) }
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (url, status) = (response.url().to_string(), response.status());
        if status.is_redirection()
            && let Some(place) = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok())
        {
            return Err(WebError::Refused {
                url,
                status: status.as_u16(),
                kind: String::new(),
                message: format!("it points to {}", without_secrets(place)),
                hint: "if that is the server, name its address; no redirect is followed, so that a token goes nowhere else"
                    .to_owned(),
            });
        }
        let body = read_at_most(response, REFUSAL_BYTES_MAX).unwrap_or_default();
        let ErrorAnswer { kind, message, hint } = serde_json::from_slice(&body).unwrap_or_default();
        Err(WebError::Refused { url, status: status.as_u16(), kind, message, hint })
    }

    /// The JSON answer to a question.
    ///
    /// # Errors
    /// As [`Web::send`]; an answer of another form.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, WebError> {
        parse(self.send(self.request(Method::GET, path))?)
    }

    /// Sends JSON and waits for the JSON answer, which may take `wait`.
    ///
    /// # Errors
    /// As [`Web::json`].
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
        wait: Duration,
    ) -> Result<T, WebError> {
        parse(self.send(self.request(Method::POST, path).json(body).timeout(wait))?)
    }

    /// Brings bytes to `path`. They go in one piece: of a body that is read as it goes, an early answer (no token, no room)
    /// would be lost.
    ///
    /// # Errors
    /// As [`Web::send`].
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), WebError> {
        let wait = SILENCE_MAX + Duration::from_secs(bytes.len() as u64 / UPLOAD_BYTES_PER_S);
        self.send(self.request(Method::PUT, path).body(bytes).timeout(wait)).map(drop)
    }

    /// The body of an answer from byte `start` on, up to byte `end` where that is given.
    ///
    /// # Errors
    /// As [`Web::send`]; a part that is not the one that was asked for.
    pub fn body(&self, path: &str, start: u64, end: Option<u64>) -> Result<impl Read + use<>, WebError> {
        let mut request = self.request(Method::GET, path);
        if start > 0 || end.is_some() {
            let last = end.map(|end| end.saturating_sub(1).to_string()).unwrap_or_default();
            request = request.header(header::RANGE, format!("bytes={start}-{last}"));
        }
        let mut response = self.send(request)?;
        let url = response.url().to_string();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let said = response.headers().get(header::CONTENT_RANGE).and_then(|said| said.to_str().ok());
                let begins =
                    said.and_then(|said| said.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
                if begins != Some(start) {
                    let detail = format!("it gave another part than the one from byte {start} on");
                    return Err(WebError::Answer { url, detail });
                }
            }
            // A server that knows no parts sends all of it.
            StatusCode::OK => {
                io::copy(&mut response.by_ref().take(start), &mut io::sink())
                    .map_err(|error| WebError::Unreachable { url, detail: error.to_string() })?;
            }
            other => {
                let detail = format!("it answered {} to a question for a part", other.as_u16());
                return Err(WebError::Answer { url, detail });
            }
        }
        Ok(response.take(end.map_or(u64::MAX, |end| end.saturating_sub(start))))
    }
}

fn parse<T: DeserializeOwned>(response: Response) -> Result<T, WebError> {
    let url = response.url().to_string();
    let body = read_at_most(response, JSON_BYTES_MAX)
        .map_err(|error| WebError::Unreachable { url: url.clone(), detail: error.to_string() })?;
    serde_json::from_slice(&body).map_err(|error| WebError::Answer { url, detail: error.to_string() })
}

impl Find for Web {
    /// An object, asked for by its id and hashed here.
    fn try_find(&self, id: &ObjectId) -> Result<Option<ObjectBytes>, OdbError> {
        let path = format!("/v1/objects/{id}");
        let place = PathBuf::from(self.address(&path));
        let bytes = match self.send(self.request(Method::GET, &path)) {
            Ok(response) => read_at_most(response, OBJECT_BYTES_MAX).map_err(|error| WebError::Unreachable {
                url: self.address(&path),
                detail: error.to_string(),
            }),
            Err(WebError::Refused { status: 404, .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|error| OdbError::Io {
            path: place.clone(),
            source: io::Error::other(RemoteError::from(error)),
        })?;
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
        for bad in
            ["ftp://x", "http://", "http://user:secret@x", "http://x/?secret", "http://x#secret", "nothing"]
        {
            let error = Web::new(bad, None).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn secrets_are_left_out() {
        for (address, shown) in [
            ("https://user:pw@h:1/x", "https://…@h:1/x"),
            ("https://a@b@h", "https://…@h"),
            ("http://h/x?token=t#f", "http://h/x…"),
            ("http://h?t@u", "http://h…"),
            ("http://h/a@b", "http://h/a@b"),
            ("s3://key:secret@bucket/x", "s3://…@bucket/x"),
            ("/srv/a@b", "/srv/a@b"),
        ] {
            assert_eq!(without_secrets(address), shown);
        }
    }
}
