//! The same against a real S3 protocol: moto's server, a Python package. `.ci/run` installs it and sets `DISTILL_S3_PYTHON`.
//! It serves one request after another: with threads it now and then lets two writers create one object, which the race of
//! `remote add` has found.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Place, death, moving, race, with_runs};
use crate::cli::Bench;
use crate::store_damage::long;

/// A server that ends with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Moto's server without threads.
const SERVE: &str = "
import sys
from werkzeug.serving import run_simple
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
run_simple('127.0.0.1', int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
";

/// Starts a server with an empty bucket; `None`, and said so, where there is no such Python.
fn server() -> Option<Server> {
    let Some(python) = std::env::var_os("DISTILL_S3_PYTHON") else {
        println!("skipped: DISTILL_S3_PYTHON names no Python with moto[server]; .ci/run installs one");
        return None;
    };
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let child = Command::new(python)
        .args(["-c", SERVE, &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("moto's server starts");
    let server = Server { child, port };
    let begun = Instant::now();
    loop {
        match server.ask("PUT", "/bucket") {
            Some(answer) if answer.contains("200 OK") => return Some(server),
            _ if begun.elapsed() > Duration::from_mins(1) => panic!("moto's server does not answer"),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

impl Server {
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.port
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn place(&self, prefix: &str) -> Place {
        let env = [
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port)),
            ("AWS_ACCESS_KEY_ID", "testing".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Place::elsewhere(format!("s3://bucket/{prefix}"), env)
    }
}

#[test]
fn a_bucket_does_what_a_folder_does() {
    let Some(server) = server() else { return };
    moving::goes_round(&server.place("round"));
    moving::forks(&server.place("forks"));
    death::pushes(&server.place("death"), if long() { 50 } else { 4 });
    race::own_branches(&server.place("race"), if long() { 3 } else { 1 });
    race::one_branch(&server.place("one"), if long() { 8 } else { 2 });
    let place = server.place("nowhere");
    place
        .fails(3, &Bench::empty(), &["clone", &place.text, "copy"])
        .says("holds no distill remote", "remote add");
}

#[test]
fn a_bucket_that_cannot_be_reached_or_entered_is_told() {
    let bench = Bench::with_runs();
    let place = Place::elsewhere(
        "s3://bucket/x".to_owned(),
        vec![
            ("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), "k".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "s".to_owned()),
            ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
        ],
    );
    let answer = place.fails(3, &bench, &["remote", "add", "origin", &place.text]);
    answer.says("s3://bucket/x", "AWS_ENDPOINT_URL");
    assert!(!bench.path().join(".distill/remotes.toml").exists());
    if let Some(server) = server() {
        with_runs(&server.place("y"));
        let mut place = server.place("y");
        place.text = "s3://no-such-bucket/y".to_owned();
        place.fails(3, &bench, &["remote", "add", "origin", &place.text]);
    }
}
