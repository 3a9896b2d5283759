//! From the bytes of an answer to its text: one JSON object, or a stream of events.
//!
//! Rests on `wire`. The same decoder reads what a server sends and what a cassette holds. Invariants: no more bytes are kept than an
//! answer may have; a stream that ends before it says so is broken off, not short; bytes arrive in pieces of any size.

use serde_json::Value;

use super::endpoint::Key;
use super::error::{ModelError, shortened};
use super::wire;
use super::{ANSWER_BYTES_MAX, Completion, STREAM_BYTES_MAX};

/// The data of the event that ends a stream.
const DONE: &[u8] = b"[DONE]";

/// Told of each piece of text as it comes.
pub(super) type OnToken<'a> = &'a mut dyn FnMut(&str);

/// An answer being read.
pub(super) struct Decoder {
    url: String,
    /// What was sent with the question, and must not come back.
    key: Option<Key>,
    is_stream: bool,
    /// Of a stream, the line that is not whole yet; else the body so far.
    pending: Vec<u8>,
    /// The last byte was a carriage return, so that a line feed now ends no other line.
    after_return: bool,
    /// No line of the stream was seen yet.
    is_first: bool,
    /// The data of the event that is not whole yet.
    event: Vec<u8>,
    bytes: usize,
    text: String,
    has_text: bool,
    finish_reason: Option<String>,
    model: Option<String>,
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    is_done: bool,
}

impl Decoder {
    /// Reads what `url` answers under this content type.
    pub(super) fn new(url: &str, content_type: &str) -> Self {
        Self {
            url: url.to_owned(),
            key: None,
            is_stream: content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream"),
            pending: Vec::new(),
            after_return: false,
            is_first: true,
            event: Vec::new(),
            bytes: 0,
            text: String::new(),
            has_text: false,
            finish_reason: None,
            model: None,
            prompt_tokens: None,
            completion_tokens: None,
            is_done: false,
        }
    }

    /// Refuses an answer that holds `key`, and shows it in no error.
    pub(super) fn without(mut self, key: Option<Key>) -> Self {
        self.key = key;
        self
    }

    /// Whether the stream has said that it ends.
    pub(super) const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// More bytes than an answer may have; an event that is not JSON, or in which the server complains.
    pub(super) fn feed(&mut self, bytes: &[u8], on_token: OnToken<'_>) -> Result<(), ModelError> {
        self.bytes += bytes.len();
        let most = if self.is_stream { STREAM_BYTES_MAX } else { ANSWER_BYTES_MAX };
        if self.bytes > most {
            return Err(self.too_large());
        }
        if !self.is_stream {
            self.pending.extend_from_slice(bytes);
            return Ok(());
        }
        let mut rest = bytes;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (mark, is_second) = (rest[at], std::mem::take(&mut self.after_return) && at == 0);
            self.after_return = mark == b'\r';
            self.pending.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            if mark == b'\r' || !is_second {
                let line = std::mem::take(&mut self.pending);
                self.line(&line, on_token)?;
            }
        }
        self.after_return &= rest.is_empty();
        self.pending.extend_from_slice(rest);
        Ok(())
    }

    fn line(&mut self, line: &[u8], on_token: OnToken<'_>) -> Result<(), ModelError> {
        let is_first = std::mem::take(&mut self.is_first);
        let line = if is_first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch(on_token);
        }
        // Fields other than these, and comments, say nothing of the answer.
        if let Some(data) = line.strip_prefix(b"data:") {
            if self.event.is_empty() && data.trim_ascii() == DONE {
                // Servers that keep the connection may keep the blank line as well.
                self.is_done = true;
                return Ok(());
            }
            if !self.event.is_empty() {
                self.event.push(b'\n');
            }
            self.event.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        } else if let Some(complaint) = line.strip_prefix(b"error:").filter(|_| !self.is_done) {
            // As llama.cpp's server says that it cannot go on.
            return Err(self.complains(&wire::refusal(complaint)));
        }
        Ok(())
    }

    fn dispatch(&mut self, on_token: OnToken<'_>) -> Result<(), ModelError> {
        let event = std::mem::take(&mut self.event);
        if event.is_empty() || self.is_done {
            return Ok(());
        }
        self.object(&event, on_token)
    }

    fn redacted(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.redact(text))
    }

    fn complains(&self, error: &str) -> ModelError {
        let detail = format!("it says `{}`", self.redacted(error));
        ModelError::NoAnswer { url: self.url.clone(), detail }
    }

    /// Takes one JSON object in.
    fn object(&mut self, bytes: &[u8], on_token: OnToken<'_>) -> Result<(), ModelError> {
        let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(bytes) else {
            // The key is looked for before anything is cut off, lest a part of it be left.
            let start =
                shortened(&self.redacted(&String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 12)])));
            return Err(ModelError::NotJson { url: self.url.clone(), start });
        };
        let piece = wire::piece(&value);
        if let Some(error) = piece.error {
            return Err(self.complains(&error));
        }
        if piece.is_own_of_ollama {
            return Err(ModelError::OwnOfOllama { url: self.url.clone() });
        }
        let repeats = |text: &str| self.key.as_ref().is_some_and(|key| key.is_in(text.as_bytes()));
        if [&piece.finish_reason, &piece.model].into_iter().flatten().any(|text| repeats(text)) {
            return Err(ModelError::RepeatsKey { url: self.url.clone() });
        }
        if let Some(text) = piece.text {
            self.has_text = true;
            let before = self.text.len();
            self.text.push_str(&text);
            // A key may come in pieces.
            if self
                .key
                .as_ref()
                .is_some_and(|key| key.is_in(&self.text.as_bytes()[before.saturating_sub(key.len())..]))
            {
                return Err(ModelError::RepeatsKey { url: self.url.clone() });
            }
            if self.text.len() > ANSWER_BYTES_MAX {
                return Err(self.too_large());
            }
            if !text.is_empty() {
                on_token(&text);
            }
        }
        self.finish_reason = piece.finish_reason.or(self.finish_reason.take());
        self.model = piece.model.or(self.model.take());
        self.prompt_tokens = piece.prompt_tokens.or(self.prompt_tokens);
        self.completion_tokens = piece.completion_tokens.or(self.completion_tokens);
        Ok(())
    }

    /// The whole answer, which took `latency_ms`.
    ///
    /// # Errors
    /// When it is not whole, not JSON, or holds no text.
    pub(super) fn finish(mut self, latency_ms: u64, on_token: OnToken<'_>) -> Result<Completion, ModelError> {
        if self.is_stream {
            let line = std::mem::take(&mut self.pending);
            if !line.is_empty() {
                self.line(&line, on_token)?;
            }
            self.dispatch(on_token)?;
            if !self.is_done && self.finish_reason.is_none() {
                let detail = "the stream ended without saying that it ends".to_owned();
                return Err(ModelError::Truncated { url: self.url, detail });
            }
        } else {
            let body = std::mem::take(&mut self.pending);
            self.object(&body, on_token)?;
            if !self.has_text {
                let detail = "there is no text under `choices[0].message.content`".to_owned();
                return Err(ModelError::NoAnswer { url: self.url, detail });
            }
        }
        Ok(Completion {
            text: self.text,
            finish_reason: self.finish_reason,
            model: self.model,
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            latency_ms,
        })
    }

    fn too_large(&self) -> ModelError {
        ModelError::TooLarge { url: self.url.clone(), mib: ANSWER_BYTES_MAX >> 20 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "event: message\r\ndata: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"Ja\"}}]}\r\n\r\n\
        : a comment\ndata: {\"choices\":[{\"delta\":{\"content\":\" — ö\"},\"finish_reason\":\"stop\"}]}\n\n\
        data:{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

    fn read(content_type: &str, body: &[u8], step: usize) -> Result<(Completion, Vec<String>), ModelError> {
        let mut tokens = Vec::new();
        let mut on_token = |token: &str| tokens.push(token.to_owned());
        let mut decoder = Decoder::new("http://h", content_type);
        for bytes in body.chunks(step) {
            decoder.feed(bytes, &mut on_token)?;
        }
        let completion = decoder.finish(5, &mut on_token)?;
        Ok((completion, tokens))
    }

    #[test]
    fn a_stream_is_the_same_in_pieces_of_any_size() {
        for step in [1, 2, 3, 7, 64, 10_000] {
            let (answer, tokens) =
                read("text/event-stream; charset=utf-8", STREAM.as_bytes(), step).expect("an answer");
            assert_eq!(answer.text, "Ja — ö");
            assert_eq!(tokens, ["Ja", " — ö"]);
            assert_eq!((answer.prompt_tokens, answer.completion_tokens), (Some(7), Some(2)));
            assert_eq!((answer.finish_reason.as_deref(), answer.model.as_deref()), (Some("stop"), Some("m")));
        }
    }

    #[test]
    fn a_stream_may_end_its_lines_in_any_way() {
        let whole = read("text/event-stream", STREAM.as_bytes(), 10_000).expect("an answer");
        let bare = STREAM.replace("\r\n", "\n");
        for (lines, lead) in [("\n", "\u{feff}"), ("\r\n", ""), ("\r", "\u{feff}")] {
            let text = format!("{lead}{}", bare.replace('\n', lines));
            for step in [1, 2, 5, 10_000] {
                let told = read("text/event-stream", text.as_bytes(), step).expect("an answer");
                assert_eq!(told, whole, "{lines:?}");
            }
        }
        // No blank line behind the end, and white space around it.
        for end in ["data:[DONE]", "data: [DONE] ", "data:  [DONE]\r"] {
            let text = bare.replace("data: [DONE]\n\n", end);
            assert_eq!(read("text/event-stream", text.as_bytes(), 3).expect("an answer"), whole, "{end:?}");
        }
        let mut decoder = Decoder::new("http://h", "text/event-stream");
        decoder.feed(bare.trim_end().as_bytes(), &mut |_| {}).expect("a stream");
        assert!(!decoder.is_done(), "the line may go on");
        decoder.feed(b"\n", &mut |_| {}).expect("a stream");
        assert!(decoder.is_done(), "nobody waits for more");
    }

    #[test]
    fn what_follows_the_end_of_a_stream_is_nothing() {
        let text = format!(
            "{STREAM}data: {{\"choices\":[{{\"delta\":{{\"content\":\" and\"}}}}]}}\n\nerror: late\n\n"
        );
        assert_eq!(read("text/event-stream", text.as_bytes(), 4).expect("an answer").0.text, "Ja — ö");
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_answer() {
        let cut = STREAM.find(": a comment").expect("a comment");
        let error = read("text/event-stream", &STREAM.as_bytes()[..cut], 10).expect_err("broken off");
        assert!(matches!(error, ModelError::Truncated { .. }), "{error}");
        let whole_without_done = &STREAM[..STREAM.find("data: [DONE]").expect("an end")];
        read("text/event-stream", whole_without_done.as_bytes(), 10).expect("it says why it ended");
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for (body, part) in [
            ("<html>", "not JSON"),
            ("[1]", "not JSON"),
            ("", "not JSON"),
            ("{}", "no text"),
            ("{\"error\":{\"message\":\"overloaded\"}}", "overloaded"),
        ] {
            let error = read("application/json", body.as_bytes(), 3).expect_err(body).to_string();
            assert!(error.contains(part), "{body}: {error}");
        }
        for complaint in [
            "data: {\"error\":\"out of memory\"}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\nerror: {\"code\":500,\"message\":\"out of memory\"}\n\n",
        ] {
            let error =
                read("text/event-stream", complaint.as_bytes(), 9).expect_err("a complaint").to_string();
            assert!(error.contains("it says `out of memory`"), "{error}");
        }
    }

    #[test]
    fn a_key_that_comes_back_is_no_answer_and_in_no_error() {
        let key = Key::new("sk-0123456789abcdef").expect("a key");
        let read = |content_type: &str, body: &str| {
            let mut heard = String::new();
            let mut on_token = |token: &str| heard.push_str(token);
            let mut decoder = Decoder::new("http://h", content_type).without(Some(key.clone()));
            let told = decoder
                .feed(body.as_bytes(), &mut on_token)
                .and_then(|()| decoder.finish(0, &mut on_token))
                .expect_err("no answer");
            assert!(!heard.contains("9abcdef"), "{heard}");
            told
        };
        let event =
            |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        for (content_type, body) in [
            ("application/json", "{\"content\":\"you sent sk-0123456789abcdef\"}".to_owned()),
            ("application/json", "{\"content\":\"\\u0073k-0123456789abcdef\"}".to_owned()),
            ("application/json", "{\"content\":\"a\",\"model\":\"sk-0123456789abcdef\"}".to_owned()),
            ("text/event-stream", event("you sent sk-012345") + &event("6789abcdef")),
        ] {
            let error = read(content_type, &body);
            assert!(matches!(error, ModelError::RepeatsKey { .. }), "{error}");
        }
        for body in [
            "{\"error\":\"sk-0123456789abcdef is wrong\"}".to_owned(),
            format!("<p>{}sk-0123456789abcdef is wrong", "x".repeat(190)),
        ] {
            let error = read("application/json", &body).to_string();
            assert!(!error.contains("sk-0"), "{error}");
        }
    }

    #[test]
    fn an_answer_has_a_longest_length() {
        let long = vec![b' '; ANSWER_BYTES_MAX + 1];
        let error = read("application/json", &long, 1 << 16).expect_err("too long");
        assert!(matches!(error, ModelError::TooLarge { mib: 8, .. }), "{error}");
    }
}
