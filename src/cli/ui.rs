//! The only door to the terminal: answers to stdout, talk to stderr.
//!
//! Rests on the standard streams. Invariants: what another program may read goes to stdout and nothing else does; a
//! broken pipe is not an error; colour and bars appear on a terminal only, and `NO_COLOR` and `--quiet` are respected.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::ops::Progress;

/// How to speak.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Answers as JSON.
    pub json: bool,
    /// No talk.
    pub quiet: bool,
}

/// The terminal.
#[derive(Debug)]
pub struct Ui {
    manners: Manners,
    colour: bool,
    bar: std::sync::Mutex<Option<ProgressBar>>,
}

/// A machine answer: `schema` first, the body's fields beside it.
#[derive(Serialize)]
struct Answer<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// A style of text on a terminal.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// Headings.
    Bold,
    /// What needs no attention.
    Dim,
    /// Good news.
    Green,
    /// Worth a look.
    Yellow,
    /// Bad news.
    Red,
}

impl Ui {
    /// A terminal that speaks with these manners.
    pub fn new(manners: Manners, no_color: bool) -> Self {
        let colour = io::stdout().is_terminal() && !no_color && !manners.json;
        Self { manners, colour, bar: std::sync::Mutex::new(None) }
    }

    /// Whether answers are JSON.
    pub fn is_json(&self) -> bool {
        self.manners.json
    }

    /// Gives the answer: `body` as one line of JSON under `schema`, or as `text` for a person.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn answer<T: Serialize>(&self, schema: &str, body: &T, text: &dyn Display) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.manners.json {
            serde_json::to_writer(&mut out, &Answer { schema, body })?;
            writeln!(out)?;
        } else {
            let text = text.to_string();
            out.write_all(text.as_bytes())?;
            if !text.is_empty() && !text.ends_with('\n') {
                writeln!(out)?;
            }
        }
        out.flush()
    }

    /// How many columns the answer may take: `COLUMNS` where it says, the terminal's, or 100 where there is none.
    pub fn width(&self) -> usize {
        const ELSEWHERE: usize = 100;
        let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
        let terminal =
            || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        asked.filter(|width| *width > 0).or_else(terminal).unwrap_or(ELSEWHERE)
    }

    /// Writes exact bytes to stdout.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// Says a sentence about the work.
    pub fn say(&self, sentence: &str) {
        if !self.manners.quiet {
            self.talk(sentence);
        }
    }

    /// Says what must be said even when quiet: an error.
    pub fn complain(&self, text: &str) {
        self.talk(text);
    }

    fn talk(&self, text: &str) {
        let bar = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*bar {
            Some(bar) => bar.suspend(|| writeln!(io::stderr(), "{text}").ok()),
            None => writeln!(io::stderr(), "{text}").ok(),
        };
    }

    /// Whether somebody watches: stderr is a terminal, and neither `--quiet` nor `--json` was given.
    pub fn is_watched(&self) -> bool {
        !self.manners.quiet && !self.manners.json && io::stderr().is_terminal()
    }

    /// Shows a piece of a text that is still coming, to whoever watches.
    pub fn stream(&self, piece: &str) {
        if self.is_watched() {
            let mut err = io::stderr().lock();
            err.write_all(piece.as_bytes()).and_then(|()| err.flush()).ok();
        }
    }

    /// `text` in `style`, where colour is wanted.
    pub fn paint(&self, style: Style, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Yellow => 33,
            Style::Red => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// A bar that appears after a quarter of a second.
const BAR_HZ: u8 = 10;

impl Progress for Ui {
    fn begin(&self, stage: &str, bytes_total: Option<u64>) {
        if self.manners.quiet || self.manners.json || !io::stderr().is_terminal() {
            return;
        }
        let target = ProgressDrawTarget::stderr_with_hz(BAR_HZ);
        let bar = ProgressBar::with_draw_target(bytes_total, target);
        let template = if bytes_total.is_some() {
            "{msg} {bar:24} {bytes}/{total_bytes} {prefix} {eta} left"
        } else {
            "{spinner} {msg} {prefix}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(stage.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        *self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(bar);
    }

    fn advance(&self, rows: u64, bytes: u64) {
        let slot = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bar) = &*slot {
            bar.inc(bytes);
            let done = bar.prefix().split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) + rows;
            let seconds = bar.elapsed().as_secs_f64().max(0.001);
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = done as f64 / seconds;
            bar.set_prefix(format!("{done} rows, {rate:.0}/s"));
        }
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }

    fn note(&self, sentence: &str) {
        self.say(sentence);
    }
}
