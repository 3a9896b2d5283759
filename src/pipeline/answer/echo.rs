//! Whether an answer only says again what was asked: its task, or what a record was made for.
//!
//! Rests on words alone, in any case and without what stands between them. Invariants: a sentence that says one word more than a
//! question, but for words that lead to it, is none of these; what a cited record says beyond its own question is an answer, also
//! where it uses the question's words; nothing is taken for a repetition because of its meaning.

use super::form::item;

/// What an answer may repeat, and what speaks for it.
pub(super) struct Questions {
    /// The task.
    task: Asked,
    /// What the records of the prompt were asked.
    records: Vec<Asked>,
    /// What the cited records say beyond that.
    said: Vec<String>,
    /// Words of the longest sentence that asks.
    longest: usize,
}

/// One question.
struct Asked {
    /// The sentences that ask, as words with a space on either side.
    sentences: Vec<String>,
    /// All its words.
    text: String,
    /// Of sentences that ask why or how, the words that carry them, as stems.
    reasons: Vec<Vec<String>>,
}

/// A run of so many words of a question is no accident, and no choice between what it offers.
const RUN_MIN: usize = 4;
/// So many words may lead to a repetition, or follow it.
const LEAD_MAX: usize = 12;

impl Questions {
    /// The questions of a prompt: the task, and each record's own. `cited` are questions and texts of the records that are cited.
    pub(super) fn new<'a>(
        task: &str,
        questions: impl Iterator<Item = &'a str>,
        cited: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let task = Asked::of_task(task);
        let records: Vec<Asked> = questions.map(Asked::of_record).collect();
        let asking = || std::iter::once(&task).chain(&records).flat_map(|asked| &asked.sentences);
        let longest = asking().map(|sentence| sentence.split_whitespace().count()).max().unwrap_or(0);
        let said = cited.flat_map(|(question, text)| {
            let rest = text.trim_start().strip_prefix(question.trim()).unwrap_or(text);
            let told = sentences(rest).into_iter().filter(|sentence| !sentence.asks);
            told.map(|sentence| spaced(&sentence.words)).collect::<Vec<_>>()
        });
        Self { said: said.collect(), longest, task, records }
    }

    /// Whether `answer`, without its citations, says nothing else. `is_cited`: whether it names a record.
    pub(super) fn hold_all_of(&self, answer: &str, is_cited: bool) -> bool {
        // Without a record to rest on, a part of the task is no answer, however short.
        let all = words(answer);
        if !is_cited && !all.is_empty() && self.task.text.contains(&spaced(&all)) {
            return true;
        }
        let mut repeated = false;
        for sentence in sentences(answer) {
            if self.hold(&sentence) {
                repeated = true;
            } else if !sentence.words.iter().all(|word| is_filler(word)) {
                return false;
            }
        }
        repeated
    }

    /// Whether a sentence repeats a question, and no cited record says it as an answer.
    fn hold(&self, sentence: &Sentence) -> bool {
        let words = &sentence.words;
        let is_told = |run: &str| !sentence.asks && self.said.iter().any(|said| said.contains(run));
        let lead = words.iter().enumerate().take_while(|(n, word)| leads(words, *n, word)).count();
        let tail = words.iter().rev().take_while(|word| is_filler(word)).count();
        for start in 0..=lead.min(LEAD_MAX) {
            for end in 0..=tail.min(LEAD_MAX) {
                let core = words.get(start..words.len().saturating_sub(end)).unwrap_or_default();
                if core.is_empty() || core.len() > self.longest {
                    continue;
                }
                let run = spaced(core);
                let asked = || std::iter::once(&self.task).chain(&self.records);
                if asked().any(|asked| asked.asks(&run, core.len())) {
                    return !is_told(&run);
                }
            }
        }
        self.task.explains_nothing(words) && !is_told(&spaced(words))
    }
}

impl Asked {
    /// All of a task asks, but for the list that it lets one choose from.
    fn of_task(task: &str) -> Self {
        let mut all = sentences(task);
        let reasons = all.iter().filter_map(|sentence| reason(&sentence.words)).collect();
        if all.iter().any(|sentence| !sentence.item) {
            all.retain(|sentence| !sentence.item);
        }
        Self {
            sentences: all.iter().map(|s| spaced(&s.words)).collect(),
            text: spaced(&words(task)),
            reasons,
        }
    }

    /// Of what a record was made for, the sentences that end with a question mark, and where its first paragraph has none, that
    /// paragraph. The rest is matter, to be told of.
    fn of_record(question: &str) -> Self {
        let lead = question.trim_start();
        let end = lead.lines().take_while(|line| !line.trim().is_empty()).last();
        let end = end.map_or(0, |line| line.as_ptr() as usize - lead.as_ptr() as usize + line.len());
        let mut all = sentences(&lead[..end]);
        let asks = |sentence: &Sentence| sentence.asks;
        if all.iter().any(asks) {
            all.retain(asks);
        }
        all.extend(sentences(&lead[end..]).into_iter().filter(asks));
        let sentences = all.iter().map(|sentence| spaced(&sentence.words)).collect();
        Self { sentences, text: String::new(), reasons: Vec::new() }
    }

    /// Whether a run of `len` words asks what this asks: a whole sentence of it, or enough of one. A part that stands on one side of
    /// an `or` is a choice.
    fn asks(&self, run: &str, len: usize) -> bool {
        let is_part = |sentence: &String| {
            len >= RUN_MIN && sentence.contains(run) && (run.contains(" or ") || !sentence.contains(" or "))
        };
        self.sentences.iter().any(|sentence| sentence == run || is_part(sentence))
    }

    /// Whether words that are to say why or how are those of the question, at least half of them, and no others.
    fn explains_nothing(&self, words: &[String]) -> bool {
        let mut used: Vec<String> =
            words.iter().filter(|word| !is_filler(word)).map(|word| stem(word)).collect();
        used.sort();
        used.dedup();
        self.reasons.iter().any(|reason| {
            2 * used.len() >= reason.len()
                && !used.is_empty()
                && used.iter().all(|word| reason.contains(word))
        })
    }
}

/// One sentence.
struct Sentence {
    /// In lower case.
    words: Vec<String>,
    /// It ends with a question mark.
    asks: bool,
    /// It is an item of a list.
    item: bool,
}

/// The sentences of a text that have a word: they end with a mark, a blank line, or where a list begins or goes on.
fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    let mut current = Sentence { words: Vec::new(), asks: false, item: false };
    let mut close = |current: &mut Sentence, asks: bool, item: bool| {
        let next = Sentence { words: Vec::new(), asks: false, item };
        let mut done = std::mem::replace(current, next);
        done.asks = asks;
        if !done.words.is_empty() {
            found.push(done);
        }
    };
    for line in text.lines().map(str::trim) {
        let listed = item(line);
        if line.is_empty() || listed.is_some() {
            close(&mut current, false, listed.is_some());
        }
        let mut rest = listed.unwrap_or(line);
        while let Some((at, mark)) = end_of_sentence(rest) {
            current.words.extend(words(&rest[..at]));
            let item = current.item;
            close(&mut current, matches!(mark, '?' | '？'), item);
            rest = &rest[at + mark.len_utf8()..];
        }
        current.words.extend(words(rest));
    }
    close(&mut current, false, false);
    found
}

/// The first mark that ends a sentence, and does not stand within a name or a number.
fn end_of_sentence(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|(at, c)| {
        matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？')
            && !text[at + c.len_utf8()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
    })
}

fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|part| !part.is_empty());
    parts.map(str::to_lowercase).collect()
}

/// Words with a space on either side of each, so that a run of them is found as text.
fn spaced(words: &[String]) -> String {
    format!(" {} ", words.join(" "))
}

/// Of a sentence that asks why or how something is so, the stems of the words that say what; `None` where it offers a choice, or asks
/// for something that may stand in it.
fn reason(words: &[String]) -> Option<Vec<String>> {
    const PICKS: [&str; 7] = ["or", "which", "what", "where", "who", "when", "whether"];
    const AMOUNTS: [&str; 8] = ["many", "much", "long", "often", "old", "big", "large", "far"];
    let asks = words.iter().enumerate().any(|(n, word)| {
        let amount = || words.get(n + 1).is_some_and(|next| AMOUNTS.contains(&next.as_str()));
        word == "why" || word == "how" && !amount()
    });
    if !asks || words.iter().any(|word| PICKS.contains(&word.as_str())) {
        return None;
    }
    let mut stems: Vec<String> =
        words.iter().filter(|word| !is_filler(word)).map(|word| stem(word)).collect();
    stems.sort();
    stems.dedup();
    Some(stems)
}

/// A word without the endings of its forms.
fn stem(word: &str) -> String {
    let cut = ["ing", "ed", "es", "s", "d"]
        .iter()
        .find_map(|end| word.strip_suffix(end).filter(|stem| stem.len() > 2));
    cut.unwrap_or(word).trim_end_matches('e').to_owned()
}

/// Whether a word may stand before a repetition; a record may be named by its number.
fn leads(words: &[String], n: usize, word: &str) -> bool {
    let names = n > 0 && word.bytes().all(|b| b.is_ascii_digit()) && words[n - 1].starts_with("record");
    names || is_filler(word)
}

/// Words that say nothing of themselves, and those by which one speaks of a question. Neither `yes`, `no` nor `not` is one.
fn is_filler(word: &str) -> bool {
    const FILLER: &[&str] = &[
        "a",
        "about",
        "above",
        "according",
        "and",
        "answer",
        "answers",
        "are",
        "as",
        "ask",
        "asked",
        "asking",
        "asks",
        "at",
        "based",
        "be",
        "because",
        "been",
        "below",
        "by",
        "can",
        "cited",
        "did",
        "do",
        "does",
        "explain",
        "following",
        "for",
        "given",
        "had",
        "has",
        "have",
        "here",
        "how",
        "i",
        "in",
        "is",
        "it",
        "its",
        "me",
        "of",
        "on",
        "original",
        "please",
        "question",
        "questions",
        "reads",
        "record",
        "records",
        "response",
        "said",
        "say",
        "says",
        "should",
        "so",
        "stated",
        "states",
        "task",
        "tasks",
        "tell",
        "that",
        "the",
        "this",
        "to",
        "user",
        "us",
        "was",
        "we",
        "were",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ];
    FILLER.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "Why does the lookup of merge_stock fail since Monday?";
    const QUESTION: &str =
        "The lookup of merge_stock broke on 2026-01-05. Which cast is missing in load.sql?";
    const TEXT: &str = "The lookup of merge_stock broke on 2026-01-05. Which cast is missing in load.sql?\n\n\
        customer_key is compared as text: the lookup of merge_stock fails since Monday. Which cast is missing? That to BIGINT.";

    /// What of `task` and of one record, which is cited, an answer without its citations is held to repeat.
    #[track_caller]
    fn check(task: &str, answer: &str, expect: bool) {
        let questions = Questions::new(task, [QUESTION].into_iter(), [(QUESTION, TEXT)].into_iter());
        assert_eq!(questions.hold_all_of(answer, true), expect, "{answer}");
    }

    #[test]
    fn a_question_said_again_is_no_answer() {
        for answer in [
            TASK,
            "**Why does the lookup of merge_stock fail since Monday?**",
            "\"why does the lookup\n of merge_stock fail\"",
            "Here is the answer:\n\nWhy does the lookup of merge_stock fail since Monday? ",
            "The question is: Why does the lookup of merge_stock fail?",
            "Which cast is missing in load.sql?",
            "Record 1 asks: \"Which cast is missing in load.sql?\"",
            "Which cast is missing in load.sql? Why does the lookup of merge_stock fail since Monday?",
            "- Which cast is missing in load.sql?\n- Which cast is missing",
            // The same in another order, as if it were a reason.
            "The merge_stock lookup fails.",
            "Because the lookup of merge_stock has failed since Monday",
        ] {
            check(TASK, answer, true);
        }
        check("Fix the tests.", "Fix the tests.", true);
    }

    #[test]
    fn an_answer_may_use_the_words_of_a_question() {
        for answer in [
            "Why does the lookup of merge_stock fail since Monday? customer_key is compared as text.",
            "Which cast is missing in load.sql? BIGINT.",
            "The lookup of merge_stock does not fail since Monday.",
            "The lookup of merge_stock broke on 2026-01-05.",
            "merge_stock, and its lookup: customer_key",
            // A record says so, beyond its question.
            "The lookup of merge_stock fails since Monday.",
            "It is so.",
        ] {
            check(TASK, answer, false);
        }
        check("Does the lookup of merge_stock fail?", "Yes, the lookup of merge_stock does fail.", false);
        check("Is it the cast or the lookup of merge_stock?", "The lookup of merge_stock.", false);
        check("Is it the cast or the lookup of merge_stock?", "The cast or the lookup of merge_stock?", true);
        check(
            "Which of them fails?\n- the lookup of merge_stock\n- the cast",
            "the lookup of merge_stock",
            false,
        );
        check("Which of them fails?\n1. lookup\n2. cast", "1. lookup", false);
        check("How many rows are read?", "Rows: 12", false);
        check("Which job is slow?", "The job is slow", false);
    }

    #[test]
    fn without_a_record_a_part_of_the_task_is_no_answer() {
        let questions = Questions::new("Is it hash_key or customer_key?", [].into_iter(), [].into_iter());
        assert!(questions.hold_all_of("hash_key", false) && !questions.hold_all_of("hash_key", true));
        assert!(
            !questions.hold_all_of("hash_key, since it is first", false)
                && !questions.hold_all_of("…", false)
        );
    }

    #[test]
    fn sentences_end_where_they_end() {
        let told = |text: &str| -> Vec<(String, bool)> {
            sentences(text).into_iter().map(|s| (s.words.join(" "), s.asks)).collect()
        };
        assert_eq!(
            told("See http_client.rs,\nline 1.5. Why?\n\n- one\n- two! …"),
            [
                ("see http_client rs line 1 5".to_owned(), false),
                ("why".to_owned(), true),
                ("one".to_owned(), false),
                ("two".to_owned(), false)
            ]
        );
        assert!(told("… ? [ ]\n\n").is_empty());
    }
}
