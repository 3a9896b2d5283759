//! Cassettes: exchanges with a model in a file, to be played back without one.
//!
//! Rests on JSONL, one exchange a line: the request as it was sent, and content type, body and latency of the answer. Invariants:
//! the body is kept byte for byte, and played back through the decoder that reads a server; a request that differs from the
//! recorded one in a single byte is not answered; no key, header or address is recorded.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::Raw;
use super::error::{ModelError, shortened};
use crate::object::ObjectId;

/// The longest cassette, in bytes.
const BYTES_MAX: u64 = 1 << 30;

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    schema: ExchangeSchema,
    /// BLAKE3 of the request as it was sent.
    request_id: ObjectId,
    request: Box<RawValue>,
    content_type: String,
    /// The answer's bytes, where they are text …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// … and in hexadecimal where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
    latency_ms: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum ExchangeSchema {
    #[serde(rename = "distill.cassette.v1")]
    V1,
}

/// A cassette being written. Exchanges are kept until the last one, and written whole or not at all.
#[derive(Debug)]
pub(super) struct Recorder {
    path: PathBuf,
    lines: Vec<u8>,
}

impl Recorder {
    /// A cassette that is to stand at `path`, where nothing stands yet.
    pub(super) fn new(path: &Path) -> Result<Self, ModelError> {
        if path.exists() {
            let source =
                std::io::Error::new(std::io::ErrorKind::AlreadyExists, "there is such a file already");
            return Err(ModelError::CassetteIo { action: "record", path: path.to_owned(), source });
        }
        Ok(Self { path: path.to_owned(), lines: Vec::new() })
    }

    /// Adds an exchange.
    pub(super) fn add(&mut self, request: &[u8], raw: Raw, latency_ms: u64) -> Result<(), ModelError> {
        let unwritable = |error: serde_json::Error| ModelError::Unwritable { detail: error.to_string() };
        let text = String::from_utf8_lossy(request).into_owned();
        let (body, body_hex) = match String::from_utf8(raw.body) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(hex::encode(error.into_bytes()))),
        };
        let exchange = Exchange {
            schema: ExchangeSchema::V1,
            request_id: ObjectId::of(request),
            request: RawValue::from_string(text).map_err(unwritable)?,
            content_type: raw.content_type,
            body,
            body_hex,
            latency_ms,
        };
        serde_json::to_writer(&mut self.lines, &exchange).map_err(unwritable)?;
        self.lines.push(b'\n');
        Ok(())
    }

    /// Writes the file.
    pub(super) fn finish(self) -> Result<(), ModelError> {
        let io = |source| ModelError::CassetteIo { action: "record", path: self.path.clone(), source };
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(io)?;
        }
        // Never over a file that came meanwhile.
        let mut file = OpenOptions::new().write(true).create_new(true).open(&self.path).map_err(io)?;
        file.write_all(&self.lines).and_then(|()| file.sync_all()).map_err(io)
    }
}

/// A cassette being played back, in order.
#[derive(Debug)]
pub(super) struct Player {
    path: PathBuf,
    exchanges: Vec<Played>,
    calls: usize,
}

#[derive(Debug)]
struct Played {
    request: Vec<u8>,
    raw: Raw,
    latency_ms: u64,
}

impl Player {
    /// Reads the cassette at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let io = |source| ModelError::CassetteIo { action: "read", path: path.to_owned(), source };
        let mut text = String::new();
        File::open(path).map_err(io)?.take(BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        let mut exchanges = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let bad =
                |detail: String| ModelError::CassetteLine { path: path.to_owned(), line: n + 1, detail };
            let exchange: Exchange = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
            let request = exchange.request.get().as_bytes().to_vec();
            if ObjectId::of(&request) != exchange.request_id {
                return Err(bad("the request is not the one its `request_id` names".to_owned()));
            }
            let body = match (exchange.body, exchange.body_hex) {
                (Some(text), None) => text.into_bytes(),
                (None, Some(digits)) => hex::decode(digits).map_err(|error| bad(error.to_string()))?,
                _ => return Err(bad("it needs one of `body` and `body_hex`".to_owned())),
            };
            let raw = Raw { content_type: exchange.content_type, body };
            exchanges.push(Played { request, raw, latency_ms: exchange.latency_ms });
        }
        Ok(Self { path: path.to_owned(), exchanges, calls: 0 })
    }

    /// The recorded answer to the next request, and how long it took.
    pub(super) fn next(&mut self, request: &[u8]) -> Result<(&Raw, u64), ModelError> {
        self.calls += 1;
        let (call, held) = (self.calls, self.exchanges.len());
        let Some(played) = self.exchanges.get(call - 1) else {
            return Err(ModelError::CassetteEnds { path: self.path.clone(), held, call });
        };
        if played.request != request {
            let difference = difference(&played.request, request);
            return Err(ModelError::PromptChanged { path: self.path.clone(), call, difference });
        }
        Ok((&played.raw, played.latency_ms))
    }
}

/// The first difference of two requests, in words.
fn difference(recorded: &[u8], now: &[u8]) -> String {
    let parse = |bytes| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let (recorded, now) = (parse(recorded), parse(now));
    let empty = Vec::new();
    let messages = |value: &Value| value["messages"].as_array().unwrap_or(&empty).clone();
    let (before, after) = (messages(&recorded), messages(&now));
    for (n, (a, b)) in before.iter().zip(&after).enumerate() {
        let (Some(old), Some(new)) = (a["content"].as_str(), b["content"].as_str()) else { continue };
        if old != new {
            let at = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
            let role = b["role"].as_str().unwrap_or("unknown");
            return format!(
                "message {} ({role}) differs from byte {at} on: it was `{}`, and is `{}`",
                n + 1,
                excerpt(old, at),
                excerpt(new, at)
            );
        }
    }
    if before.len() != after.len() {
        return format!("it had {} messages, and has {}", before.len(), after.len());
    }
    for name in ["model", "max_tokens", "temperature", "stream"] {
        if recorded[name] != now[name] {
            return format!("`{name}` was {}, and is {}", recorded[name], now[name]);
        }
    }
    "the requests differ in their bytes".to_owned()
}

/// A few characters of a text from a byte on.
fn excerpt(text: &str, at: usize) -> String {
    let start = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    shortened(&text[start..].chars().take(60).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(body: &[u8]) -> Raw {
        Raw { content_type: "text/event-stream".to_owned(), body: body.to_vec() }
    }

    #[test]
    fn what_was_recorded_is_played_back_byte_for_byte() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sub/tape.jsonl");
        let bodies = [&b"data: {}\r\n\r\n"[..], b"\xff\xfe not text\n"];
        let requests = [&br#"{"messages":[],"n":1}"#[..], br#"{"messages":[],"n":2}"#];
        let mut recorder = Recorder::new(&path).expect("a new cassette");
        for (request, body) in requests.iter().zip(bodies) {
            recorder.add(request, raw(body), 12).expect("added");
        }
        recorder.finish().expect("written");
        assert!(Recorder::new(&path).is_err(), "no cassette is written over");
        let mut player = Player::open(&path).expect("read");
        for (request, body) in requests.iter().zip(bodies) {
            let (played, latency) = player.next(request).expect("recorded");
            assert_eq!((&played.body[..], latency), (body, 12));
        }
        assert!(matches!(player.next(requests[0]), Err(ModelError::CassetteEnds { held: 2, call: 3, .. })));
    }

    #[test]
    fn a_changed_request_is_told_by_its_first_difference() {
        let request = |text: &str, model: &str| {
            serde_json::json!({"messages": [{"role": "user", "content": text}], "model": model}).to_string()
        };
        let said = difference(request("Is it — ö?", "m").as_bytes(), request("Is it — u?", "m").as_bytes());
        assert_eq!(said, "message 1 (user) differs from byte 10 on: it was `ö?`, and is `u?`");
        let said = difference(request("a", "m").as_bytes(), request("a", "n").as_bytes());
        assert_eq!(said, "`model` was \"m\", and is \"n\"");
    }

    #[test]
    fn a_line_that_was_edited_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tape.jsonl");
        let mut recorder = Recorder::new(&path).expect("a new cassette");
        recorder.add(br#"{"a":1}"#, raw(b"x"), 0).expect("added");
        recorder.finish().expect("written");
        let text = fs::read_to_string(&path).expect("text").replace("{\"a\":1}", "{\"a\":2}");
        fs::write(&path, text).expect("edited");
        let error = Player::open(&path).expect_err("edited").to_string();
        assert!(error.contains("tape.jsonl:1") && error.contains("request_id"), "{error}");
    }
}
