//! `config.toml`: the settings a person edits. Unknown keys are refused.
//!
//! Rests on TOML and the drift limits. Invariant: what can change a dataset ([`Options`]) is kept apart from what cannot, since
//! only the former enters the config id.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::base::duration::parse_seconds;
use crate::pipeline::drift::DriftLimits;

/// A parsed `config.toml`; every setting has a default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the paths of source specs start, relative to the folder that holds `.distill`.
    pub base: Option<String>,
    /// Who commits.
    pub author: String,
    /// What decides the datasets.
    pub exports: Options,
    /// When a change of a metric is worth a word.
    pub drift: DriftLimits,
    /// How a run behaves.
    pub run: Run,
    /// What `gc` keeps.
    pub gc: Gc,
    /// Names of RAG snapshots, each with its revision: `main:exports/rag` follows a branch, `v1.0.0:exports/rag` stays.
    pub corpora: BTreeMap<String, String>,
    /// Which models answer, and from what.
    pub replay: Replay,
}

/// Which models `replay` and `audit-pr` ask, and what they are given; changes no dataset.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replay {
    /// Address of the model that is asked first: the base of an OpenAI-compatible API, or a whole `…/chat` address.
    pub endpoint: String,
    /// Its model; none is guessed.
    pub model: String,
    /// The environment variable that holds its key; empty for none.
    pub api_key_env: String,
    /// The corpus of `[corpora]` that is searched; empty for `exports/rag` of HEAD.
    pub corpus: String,
    /// Records in a prompt.
    pub k: usize,
    /// Bytes that the records of a prompt may take together.
    pub context_bytes: usize,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// 0 for the likeliest answer.
    pub temperature: f64,
    /// How long one answer may take, in seconds.
    pub timeout_s: u64,
    /// How often a busy endpoint (429, 5xx) is asked again.
    pub retries: u32,
    /// Who is asked when the first answer does not pass and `--allow-escalation` is given.
    pub escalation: Escalation,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            endpoint: "http://localhost:11434/v1".to_owned(),
            model: String::new(),
            api_key_env: String::new(),
            corpus: String::new(),
            k: 5,
            context_bytes: 16 << 10,
            max_tokens: 1024,
            temperature: 0.0,
            timeout_s: 300,
            retries: 3,
            escalation: Escalation::default(),
        }
    }
}

/// A second model; an empty address means that there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Escalation {
    /// Its address.
    pub endpoint: String,
    /// Its model.
    pub model: String,
    /// The environment variable that holds its key; empty for none.
    pub api_key_env: String,
}

/// What `gc` keeps; changes no dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gc {
    /// `grace`: what a ref named this many seconds ago or later is kept. Written as `14d`.
    #[serde(rename = "grace", deserialize_with = "span")]
    pub grace_s: u64,
}

impl Default for Gc {
    fn default() -> Self {
        Self { grace_s: 14 * 86_400 }
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_seconds(&text).map_err(|why| serde::de::Error::custom(format!("grace: {why}")))
}

/// The options that can change a dataset: part of the config id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Whether the SFT corpus takes partially accepted evidence too.
    pub include_partial: bool,
    /// Most preference pairs for one task.
    pub max_pairs_per_task: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { include_partial: false, max_pairs_per_task: 8 }
    }
}

/// How a run behaves; changes no dataset.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Run {
    /// Worker threads; 0 for one a core.
    pub threads: usize,
    /// How long a run waits for another run on its branch, in seconds.
    pub lease_timeout_s: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self { threads: 0, lease_timeout_s: 600 }
    }
}

impl Config {
    /// Parses `text`.
    ///
    /// # Errors
    /// The parser's message with line and column, or the setting that makes no sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        if config.exports.max_pairs_per_task == 0 {
            return Err("exports.max_pairs_per_task must be at least 1".to_owned());
        }
        let replay = &config.replay;
        for (is_good, what) in [
            (replay.k > 0, "replay.k must be at least 1"),
            (replay.context_bytes > 0, "replay.context_bytes must be at least 1"),
            (replay.max_tokens > 0, "replay.max_tokens must be at least 1"),
            (replay.timeout_s > 0, "replay.timeout_s must be at least 1"),
            (
                replay.temperature.is_finite() && replay.temperature >= 0.0,
                "replay.temperature must be 0 or more",
            ),
        ] {
            if !is_good {
                return Err(what.to_owned());
            }
        }
        Ok(config)
    }
}
