//! Failures as a person and a program see them.
//!
//! Rests on [`OpError`], which carries the words. Invariant: every failure prints one `error:` line and, where there is
//! something to do, one `hint:` line, on stderr; with `--json` the same as an object on stdout.

use std::io;

use serde::Serialize;

use crate::cli::ui::{Manners, Style, Ui};
use crate::ops::{ErrorKind, OpError};

/// Why a command did not end well.
#[derive(Debug)]
pub enum CommandError {
    /// The reader of stdout went away: not an error.
    BrokenPipe,
    /// An operation failed.
    Op(OpError),
}

impl From<OpError> for CommandError {
    fn from(error: OpError) -> Self {
        Self::Op(error)
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            let message = format!("cannot write the answer: {error}");
            Self::Op(OpError::new(ErrorKind::Outside, message, "check where stdout goes"))
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    kind: &'a str,
    message: &'a str,
    hint: &'a str,
}

impl CommandError {
    /// The exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Op(error) => error.kind.exit_status(),
        }
    }

    /// Prints it.
    pub fn report(&self, ui: &Ui) {
        let Self::Op(error) = self else { return };
        if ui.is_json() {
            let body = ErrorBody { kind: error.kind.as_str(), message: &error.message, hint: &error.hint };
            ui.answer("distill.error.v1", &body, &"").ok();
        }
        ui.complain(&format!("{} {}", ui.paint(Style::Red, "error:"), printable(&error.message)));
        if !error.hint.is_empty() {
            ui.complain(&format!("{} {}", ui.paint(Style::Yellow, "hint:"), printable(&error.hint)));
        }
    }
}

/// The answer to a command line that could not be parsed, for a program.
pub(super) fn answer_usage(error: &clap::Error) {
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    let body = ErrorBody {
        kind: ErrorKind::Usage.as_str(),
        message: first.strip_prefix("error: ").unwrap_or(first),
        hint: "`distill --help` lists the verbs, `distill VERB --help` what each takes",
    };
    Ui::new(Manners { json: true, quiet: false }, true).answer("distill.error.v1", &body, &"").ok();
}

/// Without control characters, which a name from the command line or from a file may bring to the terminal.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}
