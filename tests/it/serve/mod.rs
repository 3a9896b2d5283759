//! `serve`, met by clients of all kinds: honest, lazy, rude, and strangers with their own tools.

mod answers;
mod fetching;
mod flips;
mod load;
mod peers;
mod pushing;
mod rude;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use serde_json::Value;

use crate::cli::Bench;

/// A server of a repository, ended when dropped.
pub struct Server {
    child: Child,
    pub url: String,
    client: Client,
}

impl Server {
    /// Starts one on a free port.
    #[track_caller]
    pub fn start(repository: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_distill"))
            .args(["serve", "--bind", "127.0.0.1:0", "--json"])
            .args(args)
            .current_dir(repository)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("a line");
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut words = String::new();
            child.stderr.take().expect("stderr").read_to_string(&mut words).ok();
            panic!("it did not start: {line}{words}");
        });
        assert_eq!(started["schema"], "distill.serve.v1");
        let url = started["url"].as_str().expect("an address").to_owned();
        distill::base::tls::install_provider();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_mins(1))
            .build()
            .expect("a client");
        Self { child, url, client }
    }

    pub fn address(&self) -> &str {
        self.url.split_once("://").expect("an address").1
    }

    pub fn get(&self, path: &str) -> Response {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().expect("an answer")
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The JSON answer to what must be answered with 200.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        let status = response.status().as_u16();
        let text = response.text().expect("text");
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The most memory that it ever held, in KiB.
    pub fn peak_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    /// Tells it to end.
    pub fn tell_to_end(&self) {
        let kill = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits for its end; its exit status and what it had said on stderr.
    #[track_caller]
    pub fn ended(mut self, within: Duration) -> (i32, String) {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("waited for") {
                let mut words = String::new();
                self.child.stderr.take().expect("stderr").read_to_string(&mut words).expect("text");
                return (status.code().expect("not killed"), words);
            }
            assert!(Instant::now() < until, "it has not ended");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Makes `cert.pem` and `key.pem` in `folder`, for this name and two days; whether that is possible here.
pub fn certificate(folder: &Path, name: &str) -> bool {
    let address = if name == "localhost" { ",IP:127.0.0.1" } else { "" };
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem", "-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name}{address}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output();
    made.is_ok_and(|made| made.status.success())
}

/// Two runs and a tag, served.
pub fn small() -> (Bench, Server) {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1.0.0", "-m", "the first"]);
    let server = Server::start(bench.path(), &[]);
    (bench, server)
}

/// What the receipts of `rev` say of a dataset.
pub fn output(bench: &Bench, rev: &str, dataset: &str) -> Value {
    let receipts = bench.json("distill.receipts.v1", &["receipts", rev]);
    let outputs = receipts["receipts"].as_array().expect("receipts").iter();
    (outputs.flat_map(|receipt| receipt["outputs"].as_array().expect("outputs")))
        .find(|output| output["dataset"] == dataset)
        .expect("a dataset")
        .clone()
}

pub fn is_long() -> bool {
    std::env::var_os("DISTILL_TEST_LONG").is_some()
}
