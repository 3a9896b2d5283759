//! Fills the slots of sentences: what a row is about, and what is said about it.
//!
//! Rests on [`super::words`] and [`super::rng`]. Invariant: a text is a function of the topic and the random numbers
//! it is given, and ends in a reference that no other text of the stream has, so that texts are distinct.

use super::rng::Rng;
use super::words::CAUSE;
use super::words::COLUMNS;
use super::words::FILES;
use super::words::FIX;
use super::words::FOLDERS;
use super::words::FOUND;
use super::words::OBJECTS;
use super::words::PROOF;
use super::words::SCHEMAS;
use super::words::SERVICES;
use super::words::STAGES;
use super::words::SUFFIXES;
use super::words::TABLES;
use super::words::VAGUE;
use super::words::VERBS;
use super::words::WRONG;

/// The things one task is about; every text of the task speaks of them.
pub struct Topic {
    table: String,
    other_table: String,
    column: &'static str,
    other_column: &'static str,
    job: String,
    /// A file of the code base.
    pub path: String,
    /// A service.
    pub service: &'static str,
    function: String,
    reference: u64,
}

fn zipf<'a>(rng: &mut Rng, items: &[&'a str]) -> &'a str {
    items[rng.zipf(items.len())]
}

fn table(rng: &mut Rng) -> String {
    [zipf(rng, SCHEMAS), ".", zipf(rng, TABLES), zipf(rng, SUFFIXES)].concat()
}

impl Topic {
    /// Draws a topic. `reference` is what `{u}` stands for: unique among the texts of a stream.
    pub fn draw(rng: &mut Rng, reference: u64) -> Self {
        let table = table(rng);
        let noun = table.split_once('.').map_or("rows", |(_, noun)| noun);
        Self {
            job: [zipf(rng, VERBS), "_", noun].concat(),
            other_table: self::table(rng),
            column: zipf(rng, COLUMNS),
            other_column: rng.pick(COLUMNS),
            path: [zipf(rng, FOLDERS), "/", zipf(rng, FILES)].concat(),
            service: zipf(rng, SERVICES),
            function: [zipf(rng, VERBS), "_", zipf(rng, OBJECTS)].concat(),
            reference,
            table,
        }
    }

    /// The same topic under another reference.
    pub fn renumbered(mut self, reference: u64) -> Self {
        self.reference = reference;
        self
    }

    /// Appends `sentence` with its slots filled.
    pub fn say(&self, rng: &mut Rng, sentence: &str, out: &mut String) {
        let mut rest = sentence;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let slot = rest.as_bytes().get(open + 1).copied().unwrap_or(b' ');
            match slot {
                b't' => out.push_str(&self.table),
                b'x' => out.push_str(&self.other_table),
                b'c' => out.push_str(self.column),
                b'y' => out.push_str(self.other_column),
                b'j' => out.push_str(&self.job),
                b'p' => out.push_str(&self.path),
                b's' => out.push_str(self.service),
                b'f' => out.push_str(&self.function),
                b'n' => number(out, rng.between(2, 48)),
                b'l' => number(out, rng.between(12, 940)),
                b'k' => grouped(out, rng.between(1_200, 4_900_000)),
                b'v' => {
                    number(out, rng.below(40));
                    out.push('.');
                    number(out, rng.between(1, 9));
                }
                b'd' => {
                    number(out, rng.between(2, 58));
                    out.push_str(rng.pick(&[" s", " minutes", " ms", " hours"]));
                }
                b'h' => hex(out, rng.next(), 7),
                b'u' => {
                    out.push_str("DP-");
                    number(out, 1000 + self.reference);
                }
                _ => out.push('?'),
            }
            rest = rest.get(open + 3..).unwrap_or("");
        }
        out.push_str(rest);
    }

    /// One of `sentences`, filled; the first ones come most often.
    pub fn one_of(&self, rng: &mut Rng, sentences: &[&str]) -> String {
        let mut out = String::with_capacity(256);
        self.add(rng, sentences, &mut out);
        out
    }

    fn add(&self, rng: &mut Rng, sentences: &[&str], out: &mut String) {
        let sentence = zipf(rng, sentences);
        self.say(rng, sentence, out);
    }

    /// An answer: sound where `good`, empty talk or a wrong remedy where not.
    pub fn answer(&self, rng: &mut Rng, good: bool) -> String {
        let mut out = String::with_capacity(640);
        if good {
            let at = rng.zipf(FOUND.len());
            self.say(rng, FOUND[at], &mut out);
            out.push(' ');
            if rng.chance(60) {
                self.add(rng, CAUSE, &mut out);
                out.push_str(if rng.chance(30) { "\n\n" } else { " " });
            }
            self.say(rng, FIX[at], &mut out);
            out.push(' ');
            self.add(rng, PROOF, &mut out);
        } else {
            let (first, second) = if rng.chance(50) { (VAGUE, WRONG) } else { (WRONG, VAGUE) };
            self.add(rng, first, &mut out);
            out.push(' ');
            if rng.chance(55) {
                self.add(rng, second, &mut out);
                out.push(' ');
            }
            out.push_str("Nothing further was checked.");
        }
        self.say(rng, " (ref {u})", &mut out);
        out
    }

    /// An excerpt of a log, `lines` lines long.
    pub fn log(&self, rng: &mut Rng, lines: u64) -> String {
        let mut out = String::with_capacity(96 * 4);
        for _ in 0..lines {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(rng.pick(&["INFO ", "INFO ", "WARN ", "ERROR "]));
            out.push_str(self.service);
            out.push_str(" stage=");
            out.push_str(rng.pick(STAGES));
            out.push_str(" part=");
            number(&mut out, rng.below(4096));
            out.push_str(" rows=");
            number(&mut out, rng.below(2_000_000));
            out.push_str(" ms=");
            number(&mut out, rng.between(3, 90_000));
            out.push_str(" trace=");
            hex(&mut out, rng.next(), 16);
            hex(&mut out, rng.next(), 16);
            out.push_str(" offset=");
            number(&mut out, rng.below(1 << 40));
        }
        out
    }
}

/// Appends `n` in decimal.
pub fn number(out: &mut String, n: u64) {
    if n >= 10 {
        number(out, n / 10);
    }
    out.push(char::from(b"0123456789"[usize::try_from(n % 10).unwrap_or(0)]));
}

/// Appends `n` in decimal with a comma after each group of three digits.
fn grouped(out: &mut String, n: u64) {
    if n < 1000 {
        return number(out, n);
    }
    grouped(out, n / 1000);
    out.push(',');
    for unit in [100, 10, 1] {
        number(out, n / unit % 10);
    }
}

/// Appends the first `digits` (at most 16) hexadecimal digits of `n`.
pub fn hex(out: &mut String, n: u64, digits: u32) {
    for at in 0..digits.min(16) {
        let digit = (n >> (60 - 4 * at)) & 15;
        out.push(char::from(b"0123456789abcdef"[usize::try_from(digit).unwrap_or(0)]));
    }
}

/// Text that breaks careless tools: decomposed accents, right-to-left script, emoji with joiners, characters without
/// width, U+2028 and a direction override.
pub fn unicode_trouble(rng: &mut Rng) -> &'static str {
    rng.pick(&[
        " Cafe\u{301} and caf\u{e9} are two keys here, on purpose.",
        " The label reads \u{5d3}\u{5d5}\u{5d7} \u{5d9}\u{5d5}\u{5de}\u{5d9} from right to left.",
        " Reaction: \u{1f469}\u{200d}\u{1f4bb}\u{1f680}, seen \u{2795}2.",
        " The key holds a zero\u{200b}width space and a soft\u{ad}hyphen.",
        " First line\u{2028}second line, one row.",
        " Name as logged: \u{202e}lqs.tropxe\u{202c}, \u{feff}with a mark.",
        " \u{6570}\u{636e}\u{5e73}\u{53f0} and \u{fb01}eld ligature, \u{212b}ngstr\u{f6}m sign.",
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample::words::ASK_EDIT;
    use crate::ops::sample::words::ASK_HELP;
    use crate::ops::sample::words::ASK_OPERATE;
    use crate::ops::sample::words::ASK_REVIEW;
    use crate::ops::sample::words::ASK_STORY;

    #[test]
    fn every_finding_has_its_remedy() {
        assert_eq!(FOUND.len(), FIX.len());
    }

    #[test]
    fn every_slot_of_every_sentence_is_known() {
        let mut rng = Rng::new(1, 1);
        let topic = Topic::draw(&mut rng, 7);
        for pool in
            [FOUND, CAUSE, FIX, PROOF, VAGUE, WRONG, ASK_REVIEW, ASK_STORY, ASK_EDIT, ASK_HELP, ASK_OPERATE]
        {
            for sentence in pool {
                let mut out = String::new();
                topic.say(&mut rng, sentence, &mut out);
                assert!(!out.contains(['{', '}']), "{sentence} -> {out}");
                assert!(sentence.ends_with('?') || !out.contains("??"), "{sentence} -> {out}");
                for slot in sentence.split('{').skip(1) {
                    assert!("txcyjpsfnlkvdhu".contains(&slot[..1]) && &slot[1..2] == "}", "{sentence}");
                }
            }
        }
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        let mut out = String::new();
        grouped(&mut out, 4_900_007);
        hex(&mut out, 0xabcd_ef01_2345_6789, 7);
        assert_eq!(out, "4,900,007abcdef0");
    }
}
