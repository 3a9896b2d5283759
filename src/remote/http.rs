//! A repository behind `distill serve` as the other side.
//!
//! Rests on [`Web`]: refs, packs by ranges, a quarantine for packs that are pushed. Invariants: nothing of an answer is
//! believed before it was hashed; an answer that was lost is asked for again before anything is said of it.

use std::io::Read as _;
use std::ops::Range;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde::Serialize;

use super::error::RemoteError;
use super::peer::Committed;
use super::peer::Intent;
use super::peer::PIECE_BYTES;
use super::peer::Peer;
use super::peer::State;
use super::peer::is_shared;
use super::web::Token;
use super::web::Web;
use super::web::WebError;
use crate::object::ObjectId;
use crate::store::Bundled;
use crate::store::PackEntry;
use crate::store::RefChange;
use crate::store::check_ref_name;

/// The server hashes every object before it says whether a push is done, and may take this long.
const PUSH_WAIT: Duration = Duration::from_mins(30);

/// A server.
pub struct Server(Web);

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

impl Server {
    /// The server at `url`; nothing is asked of it yet.
    pub(super) fn new(url: &str, token: Option<Token>) -> Result<Self, RemoteError> {
        Ok(Self(Web::new(url, token)?))
    }

    /// What happened to a push whose answer was lost: it may have been done.
    fn read_back(&self, intent: &Intent, error: WebError) -> Result<Committed, RemoteError> {
        let now = self.state().map_err(|_| error)?;
        let is_done =
            (intent.ref_changes.iter()).all(|change| now.refs.get(&change.name).copied() == change.new);
        Ok(if is_done { Committed::Done(now.number) } else { Committed::Lost(now) })
    }
}

impl Peer for Server {
    fn place(&self) -> String {
        self.0.base().to_owned()
    }

    fn state(&self) -> Result<State, RemoteError> {
        let not_ours = |error| match error {
            WebError::Refused { status: 404, .. } => RemoteError::NotARemote { place: self.place() },
            other => other.into(),
        };
        // Refs first: packs that came since do no harm, refs that came since would need them.
        let refs: Refs = self.0.json("/v1/refs").map_err(not_ours)?;
        let packs: Packs = self.0.json("/v1/packs").map_err(not_ours)?;
        let mut state = State {
            number: refs.operation.as_ref().map_or(0, |operation| operation.number),
            id: refs.operation.map(|operation| operation.id),
            head: refs.head.filter(|head| head.starts_with("heads/")),
            ..State::default()
        };
        for Ref { name, id } in refs.all {
            check_ref_name(&name).map_err(|error| RemoteError::damaged(self.place(), error.to_string()))?;
            if is_shared(&name) {
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
        let lost = |detail: String| WebError::Unreachable { url: self.0.address(&path), detail };
        let mut body = match self.0.body(&path, range.start, Some(range.end)) {
            Ok(body) => body,
            Err(WebError::Refused { status: 404, .. }) => {
                return Err(RemoteError::Gone { place: self.0.address(&path) });
            }
            Err(error) => return Err(error.into()),
        };
        // What is announced is not believed: memory is taken as bytes come.
        let mut bytes = Vec::with_capacity(usize::try_from(len.min(PIECE_BYTES)).unwrap_or(0));
        body.read_to_end(&mut bytes).map_err(|error| lost(error.to_string()))?;
        if bytes.len() as u64 != len {
            return Err(lost(format!("{} bytes came of {len}", bytes.len())).into());
        }
        Ok(bytes)
    }

    fn put(&self, pack: &Bundled) -> Result<bool, RemoteError> {
        let path = format!("/v1/quarantine/{}", pack.entry.id);
        match self.0.send(self.0.request(Method::HEAD, &path)) {
            Ok(_) => return Ok(false),
            // An answer without a body says not why; the one to what follows does.
            Err(WebError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let bytes = std::fs::read(&pack.path).map_err(RemoteError::io("read", &pack.path))?;
        self.0.put(&path, bytes)?;
        Ok(true)
    }

    fn commit(&self, state: &State, intent: &Intent) -> Result<Committed, RemoteError> {
        if intent.force {
            return Err(RemoteError::NeverForced { place: self.place() });
        }
        let push = Push {
            schema: "distill.push.v1",
            packs: intent.packs.iter().map(|pack| pack.entry.id).collect(),
            ref_changes: &intent.ref_changes,
            message: intent.message.as_deref(),
        };
        match self.0.post::<Pushed>("/v1/push", &push, PUSH_WAIT) {
            Ok(pushed) => Ok(Committed::Done(pushed.operation.unwrap_or(state.number))),
            Err(error @ (WebError::Unreachable { .. } | WebError::Answer { .. })) => {
                self.read_back(intent, error)
            }
            Err(error @ WebError::Refused { status: 409, .. }) => {
                let now = self.state()?;
                let has_moved = (intent.ref_changes.iter())
                    .any(|change| now.refs.get(&change.name).copied() != change.old);
                if has_moved { Ok(Committed::Lost(now)) } else { Err(error.into()) }
            }
            Err(error) => Err(error.into()),
        }
    }
}
