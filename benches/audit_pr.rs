//! What one call with the corpus costs, against a call for every part of a change.
//!
//! `cargo bench --bench audit_pr` takes ten changes of this repository's own history, audits each with `distill audit-pr` and with
//! `--tree-split`, and prints calls, prompt tokens and time of both. The model is the scripted server of the tests: every token of a
//! prompt and every token of an answer takes a fixed time, so that what is compared is the work that is asked for. Tokens are words. Rests
//! on the program, on `git` and on that server. `docs/benchmarks.md` keeps one output.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

#[path = "../tests/it/replay/server.rs"]
#[expect(dead_code, reason = "it obeys orders that this benchmark does not give")]
mod server;

/// So many changes are audited.
const CHANGES: usize = 10;
/// Changes of at least and at most so many bytes, as `git diff` writes them.
const BYTES: std::ops::Range<usize> = (8 << 10)..(200 << 10);
/// A token of an answer takes this long, a token of a prompt a fiftieth of it.
const PER_TOKEN: Duration = Duration::from_millis(2);
const PER_PROMPT_TOKEN: Duration = Duration::from_micros(40);

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Clone, Copy, Default)]
struct Cost {
    calls: u64,
    prompt_tokens: u64,
    seconds: f64,
}

fn main() -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = TempDir::new()?;
    let (server, desk) = (server::Server::start(), folder.path());
    server.slow(PER_TOKEN, PER_PROMPT_TOKEN);
    copy(&root.join(".distill/sources"), &desk.join(".distill/sources"))?;
    copy(&root.join("fixtures/lakehouse/data/_kb"), &desk.join("data/_kb"))?;
    std::fs::copy(root.join(".distill/policy.toml"), desk.join(".distill/policy.toml"))?;
    let config = format!("[replay]\nendpoint = \"{}\"\nmodel = \"scripted\"\nk = 2\n", server.url());
    std::fs::write(desk.join(".distill/config.toml"), config)?;
    distill(desk, &["run-all", "--no-files", "--json"])?;
    // The index is built once, and is no part of what is compared; nothing need be found.
    distill(desk, &["search", "warm", "--json"]).ok();

    println!("{:<10} {:>8}  {:>13} {:>17} {:>15}", "change", "bytes", "calls", "prompt tokens", "seconds");
    let (mut one, mut tree) = (Cost::default(), Cost::default());
    for (name, diff) in changes(root)? {
        std::fs::write(desk.join("change.diff"), &diff)?;
        let once = audit(desk, &[])?;
        let split = audit(desk, &["--tree-split"])?;
        println!(
            "{name:<10} {:>8}  {:>5} / {:>5} {:>7} / {:>7} {:>6.2} / {:>6.2}",
            diff.len(),
            once.calls,
            split.calls,
            once.prompt_tokens,
            split.prompt_tokens,
            once.seconds,
            split.seconds
        );
        one.add(once);
        tree.add(split);
    }
    println!(
        "{:<10} {:>8}  {:>5} / {:>5} {:>7} / {:>7} {:>6.2} / {:>6.2}",
        "all", "", one.calls, tree.calls, one.prompt_tokens, tree.prompt_tokens, one.seconds, tree.seconds
    );
    #[expect(clippy::cast_precision_loss, reason = "ratios for people")]
    let ratio = |a: u64, b: u64| a as f64 / b as f64;
    println!(
        "one call against --tree-split: {:.1} times fewer calls, {:.2} times the prompt tokens, {:.1} times less time",
        ratio(tree.calls, one.calls),
        ratio(one.prompt_tokens, tree.prompt_tokens),
        tree.seconds / one.seconds
    );
    Ok(())
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.prompt_tokens += other.prompt_tokens;
        self.seconds += other.seconds;
    }
}

/// The latest changes of a size that people review, the latest first.
fn changes(root: &Path) -> Outcome<Vec<(String, String)>> {
    let git = |args: &[&str]| -> Outcome<String> {
        let output = Command::new("git").arg("-C").arg(root).args(args).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut found = Vec::new();
    for commit in git(&["log", "--no-merges", "--format=%h", "-n", "200"])?.lines() {
        let diff = git(&["diff", "--no-color", &format!("{commit}~1..{commit}"), "--", "src"])?;
        if BYTES.contains(&diff.len()) {
            found.push((commit.to_owned(), diff));
        }
        if found.len() == CHANGES {
            return Ok(found);
        }
    }
    Err(format!("history has {} changes of the wanted size, and {CHANGES} are needed", found.len()).into())
}

fn audit(desk: &Path, more: &[&str]) -> Outcome<Cost> {
    let args = [&["audit-pr", "--diff", "change.diff", "--json"], more].concat();
    let started = Instant::now();
    let told = distill(desk, &args)?;
    let seconds = started.elapsed().as_secs_f64();
    let number = |name: &str| told["cost"][name].as_u64().unwrap_or(0);
    Ok(Cost { calls: number("calls"), prompt_tokens: number("prompt_tokens"), seconds })
}

fn distill(desk: &Path, args: &[&str]) -> Outcome<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_distill")).args(args).current_dir(desk).output()?;
    if !output.status.success() {
        return Err(format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
