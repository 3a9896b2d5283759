//! Whether a claim stands in a text.
//!
//! Rests on `claims`. Invariants: a name or a quote must stand there as it is, between other characters than its own kind; a number
//! must stand there as a number, however its thousands are marked; white space is one.

use rustc_hash::FxHashSet;

use super::claims::{Claim, ClaimKind, is_number};

/// The texts that claims are looked up in.
pub(super) struct Sources {
    texts: Vec<String>,
    /// The same in lower case.
    lower: Vec<String>,
    numbers: FxHashSet<String>,
    verdicts: FxHashSet<&'static str>,
}

impl Sources {
    pub(super) fn new(texts: &[&str]) -> Self {
        let texts: Vec<String> = texts.iter().map(|text| folded(text)).collect();
        let lower: Vec<String> = texts.iter().map(|text| text.to_lowercase()).collect();
        let mut numbers = FxHashSet::default();
        for text in &texts {
            gather_numbers(text, &mut numbers);
        }
        let words = lower.iter().flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_'));
        let verdicts = words.filter_map(verdict_stem).collect();
        Self { texts, lower, numbers, verdicts }
    }

    /// Whether they hold `claim`.
    pub(super) fn hold(&self, claim: &Claim) -> bool {
        match claim.kind {
            ClaimKind::Quote => self.quote(&claim.text),
            ClaimKind::Number => self.number(&claim.text),
            ClaimKind::Path => self.path(&claim.text),
            ClaimKind::Identifier => self.name(&claim.text),
            ClaimKind::Verdict => verdict_stem(&claim.text).is_some_and(|stem| self.verdicts.contains(stem)),
            // Citations are looked up among records, not in texts.
            ClaimKind::Citation => false,
        }
    }

    /// All parts of a quote, which points may leave something out between.
    fn quote(&self, text: &str) -> bool {
        let text = folded(text).replace("...", "…");
        let mut parts = text.split('…').map(str::trim).filter(|part| !part.is_empty()).peekable();
        parts.peek().is_some()
            && parts.all(|part| {
                // A quote may end with the punctuation of the sentence around it.
                let bare = part.trim_end_matches(['.', ',', ';', ':', '!', '?']);
                self.has(part) || (!bare.is_empty() && self.has(bare))
            })
    }

    fn path(&self, text: &str) -> bool {
        let stands = |path: &str| self.has(path) || self.has(path.trim_end_matches('/'));
        // `src/main.rs:12:5`: the file, the line and the column may stand apart.
        let number = |text: &str| {
            let (before, behind) = text.rsplit_once(':')?;
            let is_number = !behind.is_empty() && behind.bytes().all(|b| b.is_ascii_digit());
            is_number.then(|| (before.len(), self.number(behind)))
        };
        let mut path = text;
        for _ in 0..2 {
            if stands(path) {
                return true;
            }
            match number(path) {
                Some((end, true)) => path = &path[..end],
                _ => return false,
            }
        }
        stands(path)
    }

    fn name(&self, text: &str) -> bool {
        let is_capitals = !text.chars().any(char::is_lowercase);
        self.has(text) || (is_capitals && self.lower.iter().any(|held| stands_in(held, &text.to_lowercase())))
    }

    fn number(&self, text: &str) -> bool {
        self.numbers.contains(&plain(text))
    }

    fn has(&self, text: &str) -> bool {
        self.texts.iter().any(|held| stands_in(held, text))
    }
}

/// White space folded to one space each.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `text` stands in `held` and does not go on at either end.
fn stands_in(held: &str, text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (opens, closes) = (text.starts_with(is_word), text.ends_with(is_word));
    memchr::memmem::find_iter(held.as_bytes(), text.as_bytes()).any(|at| {
        let before = held[..at].chars().next_back().is_some_and(is_word);
        let after = held[at + text.len()..].chars().next().is_some_and(is_word);
        !(opens && before || closes && after)
    })
}

/// Adds every number of a text, alone and as part of what it is joined with.
fn gather_numbers(text: &str, numbers: &mut FxHashSet<String>) {
    let joined = |c: char| c.is_alphanumeric() || matches!(c, '.' | ',' | '_' | ':' | '-' | '+');
    for run in text.split(|c: char| !joined(c)) {
        let run = run.trim_end_matches(['.', ',', ':', '-', '+', '_']);
        if !run.contains(|c: char| c.is_ascii_digit()) {
            continue;
        }
        if is_number(run) {
            numbers.insert(plain(run));
        }
        for part in run.split([':', '-', '+', '_']).filter(|part| is_number(part)) {
            numbers.insert(plain(part));
        }
    }
}

/// A number without separators, sign, unit and zeros that say nothing.
fn plain(text: &str) -> String {
    let text = text.trim_start_matches(['-', '+', '~']);
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || b",._".contains(b)).count();
    // A date, a time or a number of another form stands for itself.
    let unit = text[digits..].trim_end_matches('%');
    if unit.len() > 3 || !unit.bytes().all(|b| b.is_ascii_alphabetic()) {
        return text.to_owned();
    }
    let number: String = text[..digits].chars().filter(|c| !matches!(c, ',' | '_')).collect();
    match number.split_once('.') {
        Some((whole, part)) if !part.contains('.') => {
            let part = part.trim_end_matches('0');
            if part.is_empty() { whole.to_owned() } else { format!("{whole}.{part}") }
        }
        _ => number,
    }
}

/// Words that judge, by what they mean; forms of one word mean the same.
const VERDICTS: [(&str, &[&str]); 12] = [
    ("accept", &["accept", "accepted", "accepts", "acceptable"]),
    ("partial", &["partially_accepted", "partly_confirmed", "accept_with_changes"]),
    ("reject", &["reject", "rejected", "rejects"]),
    ("approve", &["approve", "approved", "approves", "lgtm"]),
    ("confirm", &["confirmed", "true_positive"]),
    ("false", &["false_positive"]),
    ("pass", &["passed", "passes"]),
    ("fail", &["fail", "failed", "fails", "failure"]),
    ("block", &["blocked", "request_changes", "needs_work", "sent_back"]),
    ("revert", &["reverted", "reverts"]),
    ("wontfix", &["wontfix"]),
    ("review", &["needs_human_review"]),
];

/// What a word judges, if it does.
pub(super) fn verdict_stem(word: &str) -> Option<&'static str> {
    // The longest of them.
    if word.len() > 20 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    VERDICTS.iter().find(|(_, forms)| forms.contains(&word.as_str())).map(|(stem, _)| *stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(held: &str, kind: ClaimKind, text: &str, expect: bool) {
        let claim = Claim { kind, text: text.to_owned(), start: 0, end: text.len() };
        assert_eq!(Sources::new(&[held]).hold(&claim), expect, "{text:?} in {held:?}");
    }

    #[test]
    fn a_name_must_not_go_on() {
        check("see merge_stock_raw", ClaimKind::Identifier, "merge_stock", false);
        check("see raw.merge_stock.", ClaimKind::Identifier, "merge_stock", true);
        check("cast to bigint", ClaimKind::Identifier, "BIGINT", true);
        check("HashMap", ClaimKind::Identifier, "hashMap", false);
    }

    #[test]
    fn a_number_is_a_number_however_it_is_written() {
        check("4,750,311 rows", ClaimKind::Number, "4750311", true);
        check("512 MiB", ClaimKind::Number, "12", false);
        check("took 24 s", ClaimKind::Number, "24s", true);
        check("1.50 %", ClaimKind::Number, "1.5%", true);
        check("at 10:50:49 on 2026-01-07", ClaimKind::Number, "2026-01-07", true);
        check("ticket DP-1001", ClaimKind::Number, "1001", true);
        check("10 rows", ClaimKind::Number, "100", false);
        check("version 1.2.3", ClaimKind::Number, "1.2", false);
    }

    #[test]
    fn a_quote_stands_there_word_for_word() {
        check("It\n  started   with the change", ClaimKind::Quote, "started with the change.", true);
        check("It started with the change", ClaimKind::Quote, "started by the change", false);
        check("one two three four five", ClaimKind::Quote, "one two … five", true);
        check("one", ClaimKind::Quote, "…", false);
    }

    #[test]
    fn a_path_and_its_line_may_stand_apart() {
        check("in src/main.rs, line 12", ClaimKind::Path, "src/main.rs:12", true);
        check("in src/main.rs, line 12, column 5", ClaimKind::Path, "src/main.rs:12:5", true);
        check("in src/main.rs, line 12, column 5", ClaimKind::Path, "src/main.rs:12:7", false);
        check("in src/main.rs", ClaimKind::Path, &format!("src/main.rs{}", ":1".repeat(1 << 20)), false);
        check("in src/main.rs, line 120", ClaimKind::Path, "src/main.rs:12", false);
        check("in other/src/main.rs", ClaimKind::Path, "src/main.rs", true);
        check("in src/main.rs.bak_2", ClaimKind::Path, "src/main.r", false);
    }

    #[test]
    fn verdicts_are_known_by_their_meaning() {
        check("we accept it", ClaimKind::Verdict, "accepted", true);
        check("we accept it", ClaimKind::Verdict, "rejected", false);
        check("a failure", ClaimKind::Verdict, "failed", true);
    }
}
