//! A real inference server: llama.cpp's own, with a model of random weights. It proves protocol, streaming and counts; what it says
//! is noise, and must be refused.
//!
//! `DISTILL_LLAMA_PYTHON` names a Python that has the package `xllamacpp`, `DISTILL_LLAMA_MODEL` the model that
//! `tests/llama/make_model.py` writes. Without them the test says that it is skipped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::Desk;

struct Llama {
    child: Child,
    url: String,
}

impl Drop for Llama {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts the server; `None`, and a word about it, where it is not installed.
fn llama() -> Option<Llama> {
    let (Ok(python), Ok(model)) =
        (std::env::var("DISTILL_LLAMA_PYTHON"), std::env::var("DISTILL_LLAMA_MODEL"))
    else {
        println!(
            "skipped: DISTILL_LLAMA_PYTHON and DISTILL_LLAMA_MODEL name no llama.cpp server and no model"
        );
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llama/serve.py");
    let mut child = (Command::new(python).arg(script).arg(model))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let out = child.stdout.take().expect("its output");
    let url = BufReader::new(out)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
    Some(Llama { child, url: url.expect("it says where it listens") })
}

#[test]
fn a_real_server_is_understood_and_its_noise_refused() {
    let Some(llama) = llama() else { return };
    let desk = Desk::new();
    let config = format!(
        "[replay]\nendpoint = \"{}\"\nmodel = \"tiny-random\"\nmax_tokens = 48\nk = 1\ncontext_bytes = 300\n",
        llama.url
    );
    desk.bench.write(".distill/config.toml", &config);
    let told = desk.json(1, "Why does the lookup of merge_stock fail?", &["--record", "tape.jsonl"]);
    let item = &told["items"][0];
    let attempt = &item["attempts"][0];
    println!(
        "llama.cpp answered {} prompt + {} answer tokens: {}",
        attempt["prompt_tokens"], attempt["completion_tokens"], item["judgement"]["faults"]
    );
    assert!(attempt["prompt_tokens"].as_u64().expect("counted") > 100, "{attempt}");
    assert!((1..=48).contains(&attempt["completion_tokens"].as_u64().expect("counted")), "{attempt}");
    assert_eq!(item["verdict"], "needs_human_review");
    assert_eq!(item["judgement"]["grounded"], false, "noise is not grounded: {item:#}");
    // It was streamed, event by event, and is played back.
    let tape = std::fs::read_to_string(desk.bench.path().join("tape.jsonl")).expect("a cassette");
    let exchange: Value = serde_json::from_str(&tape).expect("JSON");
    assert!(
        exchange["content_type"].as_str().expect("a type").starts_with("text/event-stream"),
        "{exchange}"
    );
    assert!(exchange["body"].as_str().expect("text").matches("data: ").count() > 3, "{exchange}");
    let played = desk.json(1, "Why does the lookup of merge_stock fail?", &["--cassette", "tape.jsonl"]);
    assert_eq!(played["items"][0]["answer"], item["answer"]);
    // Without records, and as the whole address of its chat.
    let whole = format!("{}/chat/completions", llama.url);
    let bare = desk.json(1, "Say one", &["--no-retrieval", "--endpoint", &whole]);
    assert_eq!(bare["items"][0]["records"], serde_json::json!([]));
    assert_eq!(bare["snapshot"], Value::Null);
}
