//! One request over HTTP: retries, redirects, limits.
//!
//! Rests on reqwest. Invariants: a prompt and a key go to the configured host and nowhere else; 429 and 5xx are asked again
//! with growing waits, or after as long as the server says; what a server says in a refusal is read up to a limit.

use std::io::Read as _;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client as Http, Response};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{StatusCode, Url};

use super::decode::{Decoder, OnToken};
use super::endpoint::Endpoint;
use super::error::ModelError;
use super::wire;
use super::{Completion, STREAM_BYTES_MAX};
use crate::base::clock::Clock;

/// A connection is waited for this long.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// The first wait before asking again; it doubles each time.
const BACKOFF: Duration = Duration::from_millis(500);
/// No wait is longer than this, whatever the server asks for.
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// So much of a refusal is read.
const REFUSAL_BYTES_MAX: u64 = 16 << 10;
/// So many redirects within a host are followed.
const REDIRECTS_MAX: u32 = 3;
/// Bytes are read in pieces of this size.
const PIECE: usize = 16 << 10;

/// The bytes of an answer, as they came.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Asks `endpoint`; the bytes of its answer are handed back where `keep` is set.
///
/// # Errors
/// See [`ModelError`]; nothing was kept then.
pub(super) fn ask(
    endpoint: &Endpoint,
    body: &[u8],
    clock: Clock,
    keep: bool,
    on_token: OnToken<'_>,
) -> Result<(Completion, Raw), ModelError> {
    let http = http(endpoint)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let started = (Instant::now(), clock.now_ms());
        let response = send(&http, endpoint, body)?;
        let status = response.status();
        if status.is_success() {
            return read(endpoint, response, started, clock, keep, on_token);
        }
        let asked = wait_asked_for(response.headers(), clock);
        let message = said(endpoint, response);
        if !is_passing(status) {
            return Err(refused(endpoint, status, message));
        }
        if attempt > endpoint.retries {
            let (url, status) = (endpoint.url().to_owned(), status.as_u16());
            return Err(ModelError::Busy { url, status, attempts: attempt, message });
        }
        let wait =
            asked.unwrap_or_else(|| BACKOFF.saturating_mul(1 << (attempt - 1).min(16)).min(BACKOFF_MAX));
        if wait > BACKOFF_MAX {
            let url = endpoint.url().to_owned();
            return Err(ModelError::ComeBackLater { url, seconds: wait.as_secs() });
        }
        std::thread::sleep(wait);
    }
}

fn http(endpoint: &Endpoint) -> Result<Http, ModelError> {
    crate::base::tls::install_provider();
    let mut builder = Http::builder()
        .user_agent(concat!("distill/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_WAIT)
        // Of each wait; the whole answer is timed where it is read.
        .timeout(endpoint.timeout);
    if endpoint.is_loopback() {
        builder = builder.no_proxy();
    }
    if !endpoint.is_secure() {
        // A system without certificates can ask its own model all the same.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ModelError::NoClient { detail: cause(&error) })
}

/// Sends the request and follows redirects that stay on the host and keep the method.
fn send(http: &Http, endpoint: &Endpoint, body: &[u8]) -> Result<Response, ModelError> {
    let mut url = endpoint.parsed().clone();
    for _ in 0..=REDIRECTS_MAX {
        let mut request = http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream, application/json")
            .body(body.to_vec());
        if let Some(key) = &endpoint.key {
            let unusable = |_| ModelError::NoClient { detail: "the key cannot be sent".to_owned() };
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).map_err(unusable)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().map_err(|error| unsent(endpoint, &error))?;
        if !response.status().is_redirection() {
            return Ok(response);
        }
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        let to = url.join(location).ok();
        let keeps_method = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
        match to {
            Some(to) if keeps_method.contains(&response.status()) && same_host(&to, &url) => url = to,
            to => {
                let to = to.map_or_else(|| "nowhere".to_owned(), |to| shown(endpoint, to));
                return Err(ModelError::Redirected { url: endpoint.url().to_owned(), to });
            }
        }
    }
    let to = format!("{}, again and again", shown(endpoint, url));
    Err(ModelError::Redirected { url: endpoint.url().to_owned(), to })
}

fn same_host(a: &Url, b: &Url) -> bool {
    (a.scheme(), a.host_str(), a.port_or_known_default())
        == (b.scheme(), b.host_str(), b.port_or_known_default())
}

/// An address for a message: without what may be a secret in it.
fn shown(endpoint: &Endpoint, mut url: Url) -> String {
    url.set_query(None);
    url.set_fragment(None);
    // Fails for addresses that cannot have either.
    url.set_username("").ok();
    url.set_password(None).ok();
    super::error::shortened(&without_key(endpoint, url.as_str()))
}

/// What a server says, without the key, should it repeat it.
fn without_key(endpoint: &Endpoint, text: &str) -> String {
    endpoint.key.as_ref().map_or_else(|| text.to_owned(), |key| key.redact(text))
}

fn read(
    endpoint: &Endpoint,
    mut response: Response,
    (since, started_ms): (Instant, i64),
    clock: Clock,
    keep: bool,
    on_token: OnToken<'_>,
) -> Result<(Completion, Raw), ModelError> {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut raw = Raw { content_type: content_type.unwrap_or_default().to_owned(), body: Vec::new() };
    let mut decoder = Decoder::new(endpoint.url(), &raw.content_type).without(endpoint.key.clone());
    let mut piece = vec![0; PIECE];
    loop {
        let n = response.read(&mut piece).map_err(|error| unread(endpoint, &error))?;
        decoder.feed(&piece[..n], on_token)?;
        if keep && raw.body.len() < STREAM_BYTES_MAX {
            raw.body.extend_from_slice(&piece[..n]);
        }
        // Some servers keep the connection open behind the last event.
        if n == 0 || decoder.is_done() {
            break;
        }
        if since.elapsed() > endpoint.timeout {
            return Err(timed_out(endpoint));
        }
    }
    let latency_ms = u64::try_from(clock.now_ms() - started_ms).unwrap_or(0);
    let completion = decoder.finish(latency_ms, on_token)?;
    // Also where it stands beside the answer: a record is read by others.
    let repeats = |key: &super::Key| key.is_in(&raw.body) || key.is_in(raw.content_type.as_bytes());
    if keep && endpoint.key.as_ref().is_some_and(repeats) {
        return Err(ModelError::RepeatsKey { url: endpoint.url().to_owned() });
    }
    Ok((completion, raw))
}

/// Whether a status is one that may be gone in a moment.
fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn refused(endpoint: &Endpoint, status: StatusCode, message: String) -> ModelError {
    let url = endpoint.url().to_owned();
    let names_model = message.to_ascii_lowercase().contains("model");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            ModelError::BadKey { url, status: status.as_u16(), message }
        }
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
            if names_model && says_unknown(&message, &endpoint.model, status) =>
        {
            ModelError::NoSuchModel { url, model: endpoint.model.clone(), status: status.as_u16(), message }
        }
        StatusCode::NOT_FOUND => ModelError::NoSuchAddress { url, message },
        _ => ModelError::Rejected { url, status: status.as_u16(), message },
    }
}

/// Whether a refusal that speaks of a model says that there is none of that name.
fn says_unknown(message: &str, model: &str, status: StatusCode) -> bool {
    let lower = message.to_ascii_lowercase();
    let words = ["not found", "no such", "unknown", "does not exist", "not exist", "invalid model"];
    status == StatusCode::NOT_FOUND
        || words.iter().any(|word| lower.contains(word))
        || (!model.is_empty() && lower.contains(&format!("no model {}", model.to_ascii_lowercase())))
}

/// What a server says in a refusal, without the key, should it repeat it.
fn said(endpoint: &Endpoint, response: Response) -> String {
    let mut body = Vec::new();
    // A refusal that cannot be read is one that says nothing.
    response.take(REFUSAL_BYTES_MAX).read_to_end(&mut body).ok();
    // Before anything is cut off, lest a part of the key be left; and behind, should JSON have hidden it.
    let body = without_key(endpoint, &String::from_utf8_lossy(&body));
    without_key(endpoint, &wire::refusal(body.as_bytes()))
}

/// How long `Retry-After` asks to wait: seconds, or an instant.
fn wait_asked_for(headers: &HeaderMap, clock: Clock) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let instant = |text: &str| chrono::DateTime::parse_from_rfc2822(text).ok().map(|at| at.timestamp());
    // The server's own clock says what its instant means, where it shows it.
    let now = headers.get(DATE).and_then(|date| instant(date.to_str().ok()?));
    let now = now.unwrap_or_else(|| clock.now_ms() / 1000);
    Some(Duration::from_secs(u64::try_from(instant(text)? - now).unwrap_or(0)))
}

fn unsent(endpoint: &Endpoint, error: &reqwest::Error) -> ModelError {
    if error.is_timeout() && !error.is_connect() {
        return timed_out(endpoint);
    }
    let url = endpoint.url().to_owned();
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => ModelError::Untrusted { url, detail: distrust(why) },
        Some(rustls::Error::InvalidMessage(_)) => {
            let detail =
                "what answers there does not speak TLS, so that its address begins with http://".to_owned();
            ModelError::Unreachable { url, detail }
        }
        _ => ModelError::Unreachable { url, detail: cause(error) },
    }
}

/// What TLS says, wherever it lies among the causes.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if found.is_some() {
            return found;
        }
        // The source of a wrapped error is that of the inner one.
        next =
            inner.map_or_else(|| error.source(), |inner| Some(inner as &(dyn std::error::Error + 'static)));
    }
    None
}

/// Why a certificate is not believed, for a person.
fn distrust(why: &rustls::CertificateError) -> String {
    use rustls::CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer,
    };
    match why {
        // The second where somebody else of the same name is trusted, such as its certificate of yesterday.
        UnknownIssuer | BadSignature => {
            "its certificate is signed by nobody whom this system trusts".to_owned()
        }
        NotValidForName | NotValidForNameContext { .. } => "its certificate is for another name".to_owned(),
        Expired | ExpiredContext { .. } => "its certificate has expired".to_owned(),
        other => super::error::shortened(&other.to_string()),
    }
}

fn unread(endpoint: &Endpoint, error: &std::io::Error) -> ModelError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
    if inner.is_some_and(reqwest::Error::is_timeout) {
        return timed_out(endpoint);
    }
    let detail = error.get_ref().map_or_else(|| error.to_string(), |inner| cause(inner));
    ModelError::Truncated { url: endpoint.url().to_owned(), detail }
}

fn timed_out(endpoint: &Endpoint) -> ModelError {
    ModelError::TimedOut { url: endpoint.url().to_owned(), seconds: endpoint.timeout.as_secs() }
}

/// What lies at the bottom of an error: "connection refused", and not "error sending request".
fn cause(error: &dyn std::error::Error) -> String {
    let mut bottom = error;
    while let Some(below) = bottom.source() {
        bottom = below;
    }
    super::error::shortened(&bottom.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_an_instant() {
        let wait = |pairs: &[(reqwest::header::HeaderName, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(name, value.parse().expect("a header"));
            }
            wait_asked_for(&headers, Clock::Fixed(1_445_412_470_000))
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[(RETRY_AFTER, "7")]), Some(Duration::from_secs(7)));
        let at = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(wait(&[(RETRY_AFTER, at)]), Some(Duration::from_secs(10)));
        assert_eq!(
            wait(&[(RETRY_AFTER, at), (DATE, "Wed, 21 Oct 2015 07:27:58 GMT")]),
            Some(Duration::from_secs(2)),
            "the server's clock counts"
        );
        assert_eq!(wait(&[(RETRY_AFTER, "Wed, 21 Oct 2015 07:00:00 GMT")]), Some(Duration::ZERO));
        assert_eq!(wait(&[(RETRY_AFTER, "soon")]), None);
    }

    #[test]
    fn a_host_is_scheme_name_and_port() {
        let url = |text: &str| Url::parse(text).expect("an address");
        assert!(same_host(&url("http://h/a"), &url("http://h:80/b")));
        for other in ["https://h/a", "http://h:81/a", "http://g/a", "http://h.evil/a"] {
            assert!(!same_host(&url("http://h/a"), &url(other)), "{other}");
        }
        let endpoint =
            Endpoint::new("http://h/v1", "m", super::super::Key::new("sk-1234").ok()).expect("an endpoint");
        assert_eq!(shown(&endpoint, url("http://u:p@h/a/sk-1234?key=1#x")), "http://h/a/[key]");
    }

    #[test]
    fn a_refusal_says_whose_fault_it_is() {
        let endpoint = Endpoint::new("http://h/v1", "tiny", None).expect("an endpoint");
        let refusal = |status, message: &str| {
            refused(&endpoint, StatusCode::from_u16(status).expect("a status"), message.to_owned())
        };
        assert!(matches!(refusal(401, "no"), ModelError::BadKey { status: 401, .. }));
        assert!(matches!(refusal(404, "model 'tiny' not found"), ModelError::NoSuchModel { .. }));
        assert!(matches!(refusal(400, "Unknown model: tiny"), ModelError::NoSuchModel { .. }));
        assert!(matches!(refusal(400, "this model takes 2048 tokens at most"), ModelError::Rejected { .. }));
        assert!(matches!(refusal(404, "page not found"), ModelError::NoSuchAddress { .. }));
    }
}
