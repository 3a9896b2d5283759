//! Servers as they exist: behind HTTPS, and Ollama with its own ways of answering.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::server::{Order, Server};
use super::{Desk, ROWS};
use crate::cli::Answer;

const TASK: &str = "The lookup of merge_stock fails since Monday. Where do I look first?";

/// Asks with a file of certificates to trust.
fn trusting(desk: &Desk, file: &Path) -> Answer {
    let mut command = desk.bench.command(&["replay", "--task", TASK]);
    Answer::of(command.env("SSL_CERT_FILE", file).output().expect("it runs"))
}

#[test]
fn a_model_behind_https_is_asked_when_its_certificate_is_trusted() {
    let mut desk = Desk::new();
    let folder = desk.bench.path().to_owned();
    if !crate::serve::certificate(&folder, "localhost") {
        println!("skipped: openssl makes no certificate here");
        return;
    }
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let plain = desk.server.url();
    desk.server = Server::behind_tls(&certificate, &key);
    desk.configure("api_key_env = \"SMALL_KEY\"\n");
    let before = desk.state();

    // Nobody here knows the certificate.
    let other = tempfile::tempdir().expect("a folder");
    assert!(crate::serve::certificate(other.path(), "elsewhere.example"));
    let mut command = desk.bench.command(&["replay", "--task", TASK]);
    command.env("SSL_CERT_FILE", other.path().join("cert.pem")).env("SMALL_KEY", "sk-0123456789abcdef");
    let refused = Answer::of(command.output().expect("it runs"));
    assert_eq!(refused.status, 3, "{refused:?}");
    refused
        .says("is not trusted: its certificate is signed by nobody whom this system trusts", "SSL_CERT_FILE");
    assert_eq!(refused.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{refused:?}");
    assert_eq!(desk.state(), before, "nothing is stored");
    assert!(desk.server.heard().is_empty(), "neither prompt nor key was sent");

    // Somebody who is trusted, under a name that is not his.
    let impostor = Server::behind_tls(&other.path().join("cert.pem"), &other.path().join("key.pem"));
    let mut command = desk.bench.command(&["replay", "--task", TASK, "--endpoint", &impostor.url()]);
    let refused =
        Answer::of(command.env("SSL_CERT_FILE", other.path().join("cert.pem")).output().expect("it runs"));
    assert_eq!(refused.status, 3, "{refused:?}");
    refused.says("its certificate is for another name", "SSL_CERT_FILE");
    assert!(impostor.heard().is_empty());

    // There is nothing to trust at all.
    let mut command = desk.bench.command(&["replay", "--task", TASK]);
    command.env("SSL_CERT_FILE", folder.join("none.pem")).env("SMALL_KEY", "sk-0123456789abcdef");
    let refused = Answer::of(command.output().expect("it runs"));
    assert_eq!(refused.status, 3, "{refused:?}");
    refused.says("no HTTP client can be made", "SSL_CERT_FILE");
    assert_eq!(desk.state(), before, "nothing is stored");

    // HTTPS where there is none, and the other way round.
    desk.configure("");
    let wrong = plain.replace("http:", "https:");
    let mut command = desk.bench.command(&["replay", "--task", TASK, "--endpoint", &wrong]);
    let refused = Answer::of(command.env("SSL_CERT_FILE", &certificate).output().expect("it runs"));
    assert_eq!(refused.status, 3, "{refused:?}");
    refused.says("no model answers at https://", "");
    let wrong = desk.server.url().replace("https:", "http:");
    desk.bench.fails(3, &["replay", "--task", TASK, "--endpoint", &wrong]);
    assert_eq!(desk.state(), before, "nothing is stored");

    let taken = trusting(&desk, &certificate);
    assert_eq!(taken.status, 0, "{taken:?}");
    assert!(taken.stdout.contains("customer_key is compared as text"), "{taken:?}");
    assert_eq!(desk.server.heard().len(), 1);
    assert_eq!(desk.rows().len(), 1);
}

#[test]
fn a_system_without_certificates_can_ask_its_own_model() {
    let desk = Desk::new();
    let answer = trusting(&desk, &desk.bench.path().join("none.pem"));
    assert_eq!(answer.status, 0, "{answer:?}");
}

/// Ollama's OpenAI-compatible answers, as its source writes them.
mod ollama {
    use super::*;

    const STREAM: &str = r#"data: {"id":"chatcmpl-311","object":"chat.completion.chunk","created":1764140000,"model":"qwen2.5-coder:7b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":"In merge_stock the customer_key"},"finish_reason":null}]}

data: {"id":"chatcmpl-311","object":"chat.completion.chunk","created":1764140000,"model":"qwen2.5-coder:7b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":" is compared as text [1]."},"finish_reason":null}]}

data: {"id":"chatcmpl-311","object":"chat.completion.chunk","created":1764140001,"model":"qwen2.5-coder:7b","system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}

data: {"id":"chatcmpl-311","object":"chat.completion.chunk","created":1764140001,"model":"qwen2.5-coder:7b","system_fingerprint":"fp_ollama","choices":[],"usage":{"prompt_tokens":412,"completion_tokens":11,"total_tokens":423}}

data: [DONE]

"#;

    fn stream() -> Order {
        Order::Status(200, vec![("Content-Type", "text/event-stream".to_owned())], STREAM.to_owned())
    }

    fn json(status: u16, body: &str) -> Order {
        Order::Status(status, vec![("Content-Type", "application/json".to_owned())], body.to_owned())
    }

    #[test]
    fn a_stream_and_its_counts_are_read_whatever_the_model_is_called() {
        let desk = Desk::new();
        for model in ["qwen2.5-coder:7b", "hf.co/bartowski/Qwen2.5-Coder-7B-Instruct-GGUF:Q4_K_M"] {
            desk.server.orders([stream()]);
            // Ollama wants any key, and writes its own name into every answer.
            let mut command = desk.bench.command(&["replay", "--task", TASK, "--model", model, "--json"]);
            command.args(["--api-key-env", "OLLAMA_KEY"]).env("OLLAMA_KEY", "ollama");
            let answer = Answer::of(command.output().expect("it runs"));
            assert_eq!(answer.status, 0, "{answer:?}");
            let told: Value = serde_json::from_str(&answer.stdout).expect("JSON");
            let attempt = &told["items"][0]["attempts"][0];
            assert_eq!((&attempt["prompt_tokens"], &attempt["completion_tokens"]), (&412.into(), &11.into()));
            assert_eq!(attempt["model"], model);
            let heard = desk.server.heard();
            let heard = heard.last().expect("a request");
            assert_eq!((&heard.body["model"], heard.path.as_str()), (&model.into(), "/v1/chat/completions"));
            assert_eq!(heard.body["stream_options"]["include_usage"], true, "or there would be no counts");
        }
        // The name survives the way through a run.
        let row: Value = serde_json::from_str(&desk.rows()[1]).expect("JSON");
        desk.bench.ok(&["run-all", "--run-id", "r2"]);
        let key =
            format!("HEAD:evidence/2026/05/28/replay_runs/{}", row["replay_id"].as_str().expect("an id"));
        let evidence: Value = serde_json::from_str(&desk.bench.ok(&["cat", &key])).expect("JSON");
        assert_eq!(evidence["model"]["name"], "hf.co/bartowski/Qwen2.5-Coder-7B-Instruct-GGUF:Q4_K_M");
    }

    #[test]
    fn a_model_that_was_not_pulled_is_named() {
        let desk = Desk::new();
        let before = desk.state();
        for body in [
            r#"{"error":{"message":"model \"qwen2.5-coder:7b\" not found, try pulling it first","type":"api_error","param":null,"code":null}}"#,
            r#"{"error":{"message":"model 'qwen2.5-coder:7b' not found","type":"not_found_error","param":null,"code":null}}"#,
        ] {
            desk.server.orders([json(404, body)]);
            let answer = desk.replay(TASK, &["--model", "qwen2.5-coder:7b"]);
            assert_eq!(answer.status, 3, "{answer:?}");
            answer.says("has no model called `qwen2.5-coder:7b` (status 404: model ", "ollama pull");
        }
        assert_eq!(desk.state(), before);
    }

    #[test]
    fn an_address_of_its_own_api_is_told_from_that_of_the_chat() {
        let desk = Desk::new();
        let before = desk.state();
        let base = desk.server.url().replace("/v1", "");
        // What it says of an address that it does not know.
        for path in ["", "/api", "/api/generate", "/api/tags"] {
            desk.server.orders([Order::Status(
                404,
                vec![("Content-Type", "text/plain".to_owned())],
                "404 page not found".to_owned(),
            )]);
            let answer = desk.replay(TASK, &["--endpoint", &format!("{base}{path}")]);
            assert_eq!(answer.status, 3, "{answer:?}");
            answer.says("there is no chat at", "http://localhost:11434/v1, not /api");
        }
        // `/api/chat` is there and answers, without a limit of tokens and at its own temperature.
        desk.server.orders([json(
            200,
            r#"{"model":"tiny","created_at":"2025-11-26T07:00:00.1Z","message":{"role":"assistant","content":"merge_stock [1]"},"done_reason":"stop","done":true,"total_duration":4883583458,"load_duration":1334875,"prompt_eval_count":26,"prompt_eval_duration":342546000,"eval_count":282,"eval_duration":4535599000}"#,
        )]);
        let answer = desk.replay(TASK, &["--endpoint", &format!("{base}/api/chat")]);
        assert_eq!(answer.status, 3, "{answer:?}");
        answer.says("/api/chat is an address of Ollama's own API", ":11434/v1");
        assert_eq!(desk.state(), before);
    }

    #[test]
    fn a_stream_that_ends_in_the_middle_is_no_answer() {
        let desk = Desk::new();
        let before = desk.state();
        // A runner that dies leaves an empty piece, and no end.
        let half = STREAM
            .split_once(
                "data: {\"id\":\"chatcmpl-311\",\"object\":\"chat.completion.chunk\",\"created\":1764140001",
            )
            .expect("an end")
            .0;
        let body = format!(
            "{half}data: {{\"id\":\"chatcmpl-311\",\"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"\"}},\"finish_reason\":null}}]}}\n\n"
        );
        desk.server.orders([Order::Status(
            200,
            vec![("Content-Type", "text/event-stream".to_owned())],
            body,
        )]);
        let answer = desk.replay(TASK, &[]);
        assert_eq!(answer.status, 3, "{answer:?}");
        answer.says("broke off in the middle", "the model's own log");
        assert_eq!(desk.state(), before);
        assert!(fs::read_to_string(desk.bench.path().join("notes.jsonl")).expect("text") == ROWS);
    }
}
