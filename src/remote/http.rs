//! A repository behind `distill serve` as the other side.
//!
//! Rests on HTTP: refs, packs by ranges, a quarantine for packs that are pushed. Invariants: nothing of an answer is believed
//! before it was hashed; an answer that was lost is asked for again before anything is said of it; the token goes to the
//! server alone, and is not followed by a redirect elsewhere.

use std::io::Read as _;
use std::ops::Range;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::blocking::RequestBuilder;
use reqwest::blocking::Response;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::RemoteError;
use super::peer::Committed;
use super::peer::Intent;
use super::peer::Peer;
use super::peer::State;
use crate::base::causes::causes;
use crate::base::tls::install_provider;
use crate::object::ObjectId;
use crate::store::Bundled;
use crate::store::PackEntry;
use crate::store::RefChange;
use crate::store::check_ref_name;

/// A connection is made in this time, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A request may take this long.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(10);
/// An answer in JSON is not longer, in bytes.
const JSON_BYTES_MAX: u64 = 256 << 20;

/// A server.
pub struct Server {
    url: String,
    token: Option<String>,
    client: Client,
}

#[derive(Deserialize)]
struct Refs {
    head: Option<String>,
    operation: Option<Number>,
    #[serde(rename = "refs")]
    all: Vec<Ref>,
}

#[derive(Deserialize)]
struct Number {
    number: u64,
    id: ObjectId,
}

#[derive(Deserialize)]
struct Ref {
    name: String,
    id: ObjectId,
}

#[derive(Deserialize)]
struct Packs {
    packs: Vec<Pack>,
}

#[derive(Deserialize)]
struct Pack {
    id: ObjectId,
    bytes: u64,
    objects: u64,
}

#[derive(Serialize)]
struct Push<'a> {
    schema: &'static str,
    packs: Vec<ObjectId>,
    ref_changes: &'a [RefChange],
    message: Option<&'a str>,
}

#[derive(Deserialize)]
struct Pushed {
    operation: Option<u64>,
}

#[derive(Deserialize)]
struct Failure {
    kind: String,
    message: String,
    #[serde(default)]
    hint: String,
}

impl Server {
    /// The server at `url`; nothing is asked of it yet.
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self, RemoteError> {
        install_provider();
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| RemoteError::Unreachable {
                action: "prepare for",
                place: url.to_owned(),
                detail: causes(&error),
            })?;
        Ok(Self { url: url.to_owned(), token: token.map(ToOwned::to_owned), client })
    }

    fn unreachable(&self, action: &'static str, path: &str, error: &reqwest::Error) -> RemoteError {
        RemoteError::Unreachable { action, place: format!("{}{path}", self.url), detail: causes(error) }
    }

    fn send(
        &self,
        action: &'static str,
        path: &str,
        request: RequestBuilder,
    ) -> Result<Response, RemoteError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().map_err(|error| self.unreachable(action, path, &error))
    }

    /// What an answer that is no success says.
    fn refused(&self, path: &str, response: Response) -> RemoteError {
        let status = response.status();
        let place = format!("{}{path}", self.url);
        let mut text = Vec::new();
        response.take(1 << 16).read_to_end(&mut text).ok();
        if let Ok(failure) = serde_json::from_slice::<Failure>(&text) {
            return match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    RemoteError::Denied { place: self.url.clone(), detail: failure.message }
                }
                _ => RemoteError::Server {
                    place: self.url.clone(),
                    kind: failure.kind,
                    message: failure.message,
                    hint: failure.hint,
                },
            };
        }
        match status {
            StatusCode::NOT_FOUND => RemoteError::Gone { place },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                RemoteError::Denied { place, detail: status.to_string() }
            }
            _ => RemoteError::Unreachable { action: "use", place, detail: format!("it answers {status}") },
        }
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, RemoteError> {
        let response = self.send("read", path, self.client.get(format!("{}{path}", self.url)))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(RemoteError::NotARemote { place: self.url.clone() });
        }
        if response.status() != StatusCode::OK {
            return Err(self.refused(path, response));
        }
        self.parse(path, response)
    }

    fn parse<T: DeserializeOwned>(&self, path: &str, response: Response) -> Result<T, RemoteError> {
        let place = format!("{}{path}", self.url);
        let mut text = Vec::new();
        response.take(JSON_BYTES_MAX).read_to_end(&mut text).map_err(|error| RemoteError::Unreachable {
            action: "read",
            place: place.clone(),
            detail: error.to_string(),
        })?;
        serde_json::from_slice(&text).map_err(|error| RemoteError::damaged(place, error.to_string()))
    }
}

impl Peer for Server {
    fn place(&self) -> String {
        self.url.clone()
    }

    fn state(&self) -> Result<State, RemoteError> {
        // Refs first: packs that came since do no harm, refs that came since would need them.
        let refs: Refs = self.json("/v1/refs")?;
        let packs: Packs = self.json("/v1/packs")?;
        let mut state = State {
            number: refs.operation.as_ref().map_or(0, |operation| operation.number),
            id: refs.operation.map(|operation| operation.id),
            head: refs.head.filter(|head| check_ref_name(head).is_ok()),
            ..State::default()
        };
        for Ref { name, id } in refs.all {
            check_ref_name(&name).map_err(|error| RemoteError::damaged(&self.url, error.to_string()))?;
            if ["heads/", "tags/", "runs/"].iter().any(|family| name.starts_with(family)) {
                state.refs.insert(name, id);
            }
        }
        state.packs = packs
            .packs
            .into_iter()
            .map(|Pack { id, bytes, objects }| PackEntry { bytes, id, objects })
            .collect();
        Ok(state)
    }

    fn read(&self, pack: &ObjectId, range: Range<u64>) -> Result<Vec<u8>, RemoteError> {
        let len = range.end.saturating_sub(range.start);
        if len == 0 {
            return Ok(Vec::new());
        }
        let path = format!("/v1/packs/{pack}");
        let request = self
            .client
            .get(format!("{}{path}", self.url))
            .header("range", format!("bytes={}-{}", range.start, range.end - 1));
        let response = self.send("read", &path, request)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT | StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                return Err(RemoteError::Gone { place: format!("{}{path}", self.url) });
            }
            _ => return Err(self.refused(&path, response)),
        }
        // A server that ignores the range sends all of it.
        let skip = if response.status() == StatusCode::OK { range.start } else { 0 };
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        let mut body = response;
        let read = std::io::copy(&mut body.by_ref().take(skip), &mut std::io::sink())
            .and_then(|_| body.take(len).read_to_end(&mut bytes));
        read.map_err(|error| RemoteError::Unreachable {
            action: "read",
            place: format!("{}{path}", self.url),
            detail: error.to_string(),
        })?;
        if bytes.len() as u64 != len {
            return Err(RemoteError::Unreachable {
                action: "read",
                place: format!("{}{path}", self.url),
                detail: format!("{} bytes came of {len}", bytes.len()),
            });
        }
        Ok(bytes)
    }

    fn put(&self, pack: &Bundled) -> Result<bool, RemoteError> {
        let path = format!("/v1/quarantine/{}", pack.entry.id);
        let url = format!("{}{path}", self.url);
        let looked = self.send("look at", &path, self.client.head(&url))?;
        if looked.status().is_success() {
            return Ok(false);
        }
        // In one piece: of a body that is read as it goes, an early answer (no token, no room) would be lost.
        let body = std::fs::read(&pack.path).map_err(RemoteError::io("read", &pack.path))?;
        let request = self.client.put(&url).body(body);
        let response = self.send("write to", &path, request)?;
        if response.status().is_success() { Ok(true) } else { Err(self.refused(&path, response)) }
    }

    fn commit(&self, state: &State, intent: &Intent) -> Result<Committed, RemoteError> {
        if intent.force {
            return Err(RemoteError::Server {
                place: self.url.clone(),
                kind: "refused".to_owned(),
                message: "a server takes no push that lets a branch lose commits".to_owned(),
                hint: "push to a branch of another name".to_owned(),
            });
        }
        let push = Push {
            schema: "distill.push.v1",
            packs: intent.packs.iter().map(|pack| pack.entry.id).collect(),
            ref_changes: &intent.ref_changes,
            message: intent.message.as_deref(),
        };
        let path = "/v1/push";
        let sent = self.send("push to", path, self.client.post(format!("{}{path}", self.url)).json(&push));
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                // It may have been done before the answer was lost.
                let now = self.state().map_err(|_| error)?;
                let is_done = (intent.ref_changes.iter())
                    .all(|change| now.refs.get(&change.name).copied() == change.new);
                return if is_done { Ok(Committed::Done(now.number)) } else { Ok(Committed::Lost(now)) };
            }
        };
        if response.status().is_success() {
            let pushed: Pushed = self.parse(path, response)?;
            return Ok(Committed::Done(pushed.operation.unwrap_or(state.number)));
        }
        if response.status() != StatusCode::CONFLICT {
            return Err(self.refused(path, response));
        }
        let failure: Failure = self.parse(path, response)?;
        let now = self.state()?;
        let has_moved =
            intent.ref_changes.iter().any(|change| now.refs.get(&change.name).copied() != change.old);
        if has_moved {
            return Ok(Committed::Lost(now));
        }
        Err(RemoteError::Server {
            place: self.url.clone(),
            kind: failure.kind,
            message: failure.message,
            hint: failure.hint,
        })
    }
}
