//! Where a model is asked: address, model, key, patience.
//!
//! Rests on URLs. Invariants: an address holds no password; a [`Key`] shows itself to nobody, whatever prints it.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

use super::error::ModelError;

/// How an endpoint wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/v1/chat/completions`, streamed.
    OpenAi,
    /// `/v1/chat` of a gateway: one JSON answer.
    Plain,
}

/// Shorter keys are passwords of nobody: local servers take any word.
const SECRET_BYTES_MIN: usize = 12;

/// A key for an endpoint. It is sent in one header and appears nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key as it stands in the environment; white space around it is no part of it.
    ///
    /// # Errors
    /// When it cannot be sent: it is empty, or holds a control character.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds a character that no key has");
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Its length in bytes.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `bytes` hold it. A key of a few letters is none: `ollama` stands in many an answer.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.len() >= SECRET_BYTES_MIN && memchr::memmem::find(bytes, self.0.as_bytes()).is_some()
    }

    /// `text` without the key, should a server repeat it.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A model that can be asked.
#[derive(Clone, Debug)]
pub struct Endpoint {
    url: Url,
    /// The address without a query, which may hold a key.
    shown: String,
    dialect: Dialect,
    /// The model's name, as the endpoint knows it.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<Key>,
    /// How long the whole answer may take.
    pub timeout: Duration,
    /// How often a busy endpoint is asked again.
    pub retries: u32,
}

impl Endpoint {
    /// The endpoint at `address`: the base of an API, such as `http://localhost:11434/v1`, or the whole address of its
    /// chat, `…/chat/completions`, or of a plain gateway, `…/chat`.
    ///
    /// # Errors
    /// [`ModelError::BadUrl`].
    pub fn new(address: &str, model: &str, key: Option<Key>) -> Result<Self, ModelError> {
        let bad =
            |detail: &str| ModelError::BadUrl { url: without_password(address), detail: detail.to_owned() };
        let mut url = Url::parse(address).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(bad("it is no address of http or https"));
        }
        if url.password().is_some() || !url.username().is_empty() {
            return Err(bad("it holds a name or a password, which would be written down with it"));
        }
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/').to_owned();
        let dialect = if path.ends_with("/chat") { Dialect::Plain } else { Dialect::OpenAi };
        if dialect == Dialect::OpenAi && !path.ends_with("/chat/completions") {
            url.set_path(&format!("{path}/chat/completions"));
        } else {
            url.set_path(&path);
        }
        let (timeout, retries) = (Duration::from_mins(5), 3);
        let mut shown = url.clone();
        shown.set_query(None);
        let shown = shown.to_string();
        Ok(Self { url, shown, dialect, model: model.to_owned(), key, timeout, retries })
    }

    /// The address of its chat, as it is shown: without a query.
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// How it is spoken to.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The host, and the port where it is not the usual one: who provides the model.
    pub fn provider(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    pub(super) const fn parsed(&self) -> &Url {
        &self.url
    }

    /// Whether what is sent is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether the host is this machine, to which no proxy leads.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// An address that may hold a password or a key, for a message.
fn without_password(address: &str) -> String {
    let address = address.split('?').next().unwrap_or_default();
    let Some(at) = address.rfind('@') else { return address.to_owned() };
    let scheme =
        address.find("://").filter(|scheme| *scheme < at).map_or("", |scheme| &address[..scheme + 3]);
    format!("{scheme}…@{}", &address[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, url: &str, dialect: Dialect, provider: &str) {
        let endpoint = Endpoint::new(address, "m", None).expect("an endpoint");
        assert_eq!((endpoint.url(), endpoint.dialect()), (url, dialect), "{address}");
        assert_eq!(endpoint.provider(), provider, "{address}");
    }

    #[test]
    fn an_address_names_an_api_or_its_chat() {
        let local = "http://localhost:11434/v1/chat/completions";
        check("http://localhost:11434/v1", local, Dialect::OpenAi, "localhost:11434");
        check("http://localhost:11434/v1/", local, Dialect::OpenAi, "localhost:11434");
        check(local, local, Dialect::OpenAi, "localhost:11434");
        check("http://gw:3100/v1/chat", "http://gw:3100/v1/chat", Dialect::Plain, "gw:3100");
        check(
            "https://api.example.org/v1",
            "https://api.example.org/v1/chat/completions",
            Dialect::OpenAi,
            "api.example.org",
        );
    }

    #[test]
    fn what_is_no_address_is_refused_and_no_password_is_repeated() {
        for bad in [
            "localhost:11434",
            "ftp://host/v1?key=s3cret",
            "nothing",
            "http://ada:s3cret@host/v1",
            "ada:s3cret@host",
        ] {
            let error = Endpoint::new(bad, "m", None).expect_err(bad).to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_query_is_sent_and_not_shown() {
        let endpoint =
            Endpoint::new("https://h/v1?api-version=2&key=s3cret", "m", None).expect("an endpoint");
        assert_eq!(endpoint.url(), "https://h/v1/chat/completions");
        assert_eq!(endpoint.parsed().as_str(), "https://h/v1/chat/completions?api-version=2&key=s3cret");
    }

    #[test]
    fn a_key_shows_itself_to_nobody() {
        let key = Key::new(" sk-abc \n").expect("a key");
        assert_eq!(key.reveal(), "sk-abc");
        assert_eq!(format!("{key:?}"), "Key(…)");
        assert_eq!(key.redact("bad key sk-abc!"), "bad key [key]!");
        assert!(Key::new("  ").is_err() && Key::new("a\nb").is_err());
    }
}
