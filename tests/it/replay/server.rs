//! A model on a script: an HTTP server that speaks the chat protocol and can say nothing but what stands in its prompt.
//!
//! What it is told to do differently (a status, a broken stream, a long wait) it does once for each order given, in turn; then it
//! answers again.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

/// What to do with one request.
#[derive(Clone, Debug)]
pub enum Order {
    /// Repeat what fits the task, as a stream of events.
    Copy,
    /// The same as one JSON object.
    CopyWhole,
    /// Say this, as a stream.
    Say(String),
    /// Say this and stop because the limit of tokens is reached.
    CutShort(String),
    /// Answer with a status, more headers and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Send these bytes as the whole response and close the connection.
    Bytes(Vec<u8>),
    /// Accept the request and say nothing for so long.
    Hang(Duration),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The text of the last message.
    pub fn user(&self) -> &str {
        let messages = self.body["messages"].as_array().expect("messages");
        messages.last().and_then(|message| message["content"].as_str()).expect("a text")
    }
}

#[derive(Default)]
struct Shared {
    orders: Mutex<VecDeque<Order>>,
    heard: Mutex<Vec<Heard>>,
    /// A wait before each token, so that prompts and answers cost time; and one for each token of the prompt.
    token_delay: Mutex<(Duration, Duration)>,
}

pub struct Server {
    address: SocketAddr,
    is_secure: bool,
    shared: Arc<Shared>,
}

impl Server {
    pub fn start() -> Self {
        Self::listen(None)
    }

    /// The same behind TLS, with this certificate and its key, for the name `localhost`.
    pub fn behind_tls(certificate: &Path, key: &Path) -> Self {
        distill::base::tls::install_provider();
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
            .expect("PEM")
            .collect::<Result<_, _>>()
            .expect("certificates");
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        Self::listen(Some(Arc::new(config.expect("a key that fits"))))
    }

    fn listen(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let is_secure = tls.is_some();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, tls) = (Arc::clone(&own), tls.clone());
                // A client that goes away is its own business.
                thread::spawn(move || match tls {
                    None => serve(&mut &stream, &own).ok(),
                    Some(tls) => secured(stream, tls, &own).ok(),
                });
            }
        });
        Self { address, is_secure, shared }
    }

    /// The base of its API.
    pub fn url(&self) -> String {
        if self.is_secure {
            format!("https://localhost:{}/v1", self.address.port())
        } else {
            format!("http://{}/v1", self.address)
        }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What the next requests meet.
    pub fn orders(&self, orders: impl IntoIterator<Item = Order>) {
        self.shared.orders.lock().expect("unpoisoned").extend(orders);
    }

    /// Every token of an answer takes the first, every token of a prompt the second.
    pub fn slow(&self, per_token: Duration, per_prompt_token: Duration) {
        *self.shared.token_delay.lock().expect("unpoisoned") = (per_token, per_prompt_token);
    }

    /// The requests so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().expect("unpoisoned").clone()
    }
}

fn secured(stream: TcpStream, tls: Arc<rustls::ServerConfig>, shared: &Shared) -> std::io::Result<()> {
    let connection = rustls::ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(connection, stream);
    serve(&mut stream, shared)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn serve(out: &mut (impl Read + Write), shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut *out);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse());
    let mut body = vec![0; length.and_then(Result::ok).unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let heard = Heard { path, headers, body };
    shared.heard.lock().expect("unpoisoned").push(heard.clone());
    let order = shared.orders.lock().expect("unpoisoned").pop_front().unwrap_or(Order::Copy);
    let delays = *shared.token_delay.lock().expect("unpoisoned");
    match order {
        Order::Bytes(bytes) => out.write_all(&bytes),
        Order::Hang(wait) => {
            thread::sleep(wait);
            Ok(())
        }
        Order::Status(status, headers, body) => out.write_all(&response(status, &headers, body.as_bytes())),
        Order::CopyWhole => {
            let text = copied(&heard);
            out.write_all(&response(
                200,
                &[("Content-Type", "application/json".to_owned())],
                &whole(&heard, &text),
            ))
        }
        Order::Say(text) => events(out, &heard, &text, "stop", delays),
        Order::CutShort(text) => events(out, &heard, &text, "length", delays),
        Order::Copy if heard.body["stream"] == false => {
            let text = copied(&heard);
            thread::sleep(delays.1 * tokens(&prompt(&heard)) + delays.0 * tokens(&text));
            out.write_all(&response(
                200,
                &[("Content-Type", "application/json".to_owned())],
                &whole(&heard, &text),
            ))
        }
        Order::Copy => events(out, &heard, &copied(&heard), "stop", delays),
    }
}

/// A response with its length.
pub fn response(status: u16, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn prompt(heard: &Heard) -> String {
    let messages = heard.body["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
}

/// A token is a word.
fn tokens(text: &str) -> u32 {
    u32::try_from(text.split_whitespace().count()).expect("few")
}

fn usage(heard: &Heard, text: &str) -> Value {
    json!({"prompt_tokens": tokens(&prompt(heard)), "completion_tokens": tokens(text)})
}

fn whole(heard: &Heard, text: &str) -> Vec<u8> {
    let message = json!({"role": "assistant", "content": text});
    let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    json!({"model": heard.body["model"], "choices": choices, "usage": usage(heard, text)})
        .to_string()
        .into_bytes()
}

fn events(
    out: &mut impl Write,
    heard: &Heard,
    text: &str,
    reason: &str,
    (per_token, per_prompt_token): (Duration, Duration),
) -> std::io::Result<()> {
    out.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n")?;
    thread::sleep(per_prompt_token * tokens(&prompt(heard)));
    for piece in text.split_inclusive(' ') {
        thread::sleep(per_token);
        let event = json!({"model": heard.body["model"], "choices": [{"delta": {"content": piece}}]});
        out.write_all(format!("data: {event}\n\n").as_bytes())?;
    }
    let end = json!({"choices": [{"delta": {}, "finish_reason": reason}]});
    let counted = json!({"choices": [], "usage": usage(heard, text)});
    out.write_all(format!("data: {end}\n\ndata: {counted}\n\ndata: [DONE]\n\n").as_bytes())
}

/// What a model can say that can only repeat: of the records, the sentence that shares most words with the task, and its number;
/// without records, the task.
fn copied(heard: &Heard) -> String {
    let user = heard.user();
    let begin = |text: &str, words: usize| text.split_whitespace().take(words).collect::<Vec<_>>().join(" ");
    if let Some(part) = user.strip_prefix("Part of a change:\n") {
        return begin(part, 60);
    }
    if user.starts_with("- ") {
        return begin(user, 120);
    }
    if let Some((_, change)) = user.split_once("hange:\n") {
        // One finding about the first file that the text names.
        let file =
            change.split("--- ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("nothing");
        return json!({"findings": [{"file": file, "text": begin(change, 60), "records": [1]}]}).to_string();
    }
    let (before, task) = user.rsplit_once("Task:\n").unwrap_or(("", user));
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| w.len() > 3).map(str::to_lowercase).collect()
    };
    let asked = words(task);
    let mut best: Option<(usize, String)> = None;
    let mut records: Vec<(u64, Vec<&str>)> = Vec::new();
    for line in before.lines() {
        // A number stands alone, and what a record says is indented.
        let number = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok());
        match (number, records.last_mut()) {
            (Some(number), _) => records.push((number, Vec::new())),
            (None, Some((_, lines))) if line.starts_with(' ') => lines.push(line.trim()),
            _ => {}
        }
    }
    for (number, lines) in records {
        // Behind the first blank line stands what was answered; before it, what was asked.
        let asked_until = lines.iter().position(|line| line.is_empty()).map_or(0, |at| at + 1);
        let sentences =
            lines[asked_until..].iter().flat_map(|line| line.split_inclusive(". ")).map(str::trim);
        for sentence in sentences.filter(|sentence| sentence.len() > 20) {
            // A question is no answer, neither that of the task nor that of a record.
            if sentence.ends_with('?') || task.contains(sentence.trim_end_matches(['.', '?', ' '])) {
                continue;
            }
            let shared = words(sentence).iter().filter(|word| asked.contains(word)).count();
            if best.as_ref().is_none_or(|(most, _)| shared > *most) {
                best = Some((shared, format!("{} [{number}]", sentence.trim_end_matches("[…]").trim())));
            }
        }
    }
    best.map_or_else(|| task.trim().to_owned(), |(_, text)| text)
}
