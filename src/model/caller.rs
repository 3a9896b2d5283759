//! Who asks: over the network, over it with a record kept, or from a cassette.
//!
//! Rests on the client and on cassettes. Invariant: whoever asks cannot tell which it is but by the errors.

use std::path::Path;

use super::cassette::{Player, Recorder};
use super::client;
use super::decode::Decoder;
use super::endpoint::Endpoint;
use super::error::ModelError;
use super::wire;
use super::{Completion, Request};
use crate::base::clock::Clock;

/// Asks models.
#[derive(Debug)]
pub struct Caller {
    clock: Clock,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Network(Option<Recorder>),
    Cassette(Player),
}

impl Caller {
    /// Asks over the network; `record` names a file that does not exist yet, to keep the exchanges in.
    ///
    /// # Errors
    /// When the file is there already.
    pub fn live(clock: Clock, record: Option<&Path>) -> Result<Self, ModelError> {
        Ok(Self { clock, way: Way::Network(record.map(Recorder::new).transpose()?) })
    }

    /// Plays the cassette at `path` back; no network is touched.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn played(clock: Clock, path: &Path) -> Result<Self, ModelError> {
        Ok(Self { clock, way: Way::Cassette(Player::open(path)?) })
    }

    /// Whether endpoints are asked, and keys needed.
    pub const fn is_live(&self) -> bool {
        matches!(self.way, Way::Network(_))
    }

    /// Asks `endpoint`. `on_token` hears the answer as it comes, before anybody has judged it.
    ///
    /// # Errors
    /// See [`ModelError`].
    pub fn ask(
        &mut self,
        endpoint: &Endpoint,
        request: &Request,
        on_token: &mut dyn FnMut(&str),
    ) -> Result<Completion, ModelError> {
        let body = wire::body(request, &endpoint.model, endpoint.dialect())?;
        match &mut self.way {
            Way::Network(recorder) => {
                let (completion, raw) =
                    client::ask(endpoint, &body, self.clock, recorder.is_some(), on_token)?;
                if let Some(recorder) = recorder {
                    recorder.add(&body, raw, completion.latency_ms)?;
                }
                Ok(completion)
            }
            Way::Cassette(player) => {
                let (raw, latency_ms) = player.next(&body)?;
                let mut decoder = Decoder::new(endpoint.url(), &raw.content_type);
                decoder.feed(&raw.body, on_token)?;
                decoder.finish(latency_ms, on_token)
            }
        }
    }

    /// Ends the conversation: a record is written.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn finish(self) -> Result<(), ModelError> {
        match self.way {
            Way::Network(Some(recorder)) => recorder.finish(),
            Way::Network(None) | Way::Cassette(_) => Ok(()),
        }
    }
}
