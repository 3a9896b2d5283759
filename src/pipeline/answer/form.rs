//! The form of an answer, and whether it is one at all.
//!
//! Rests on nothing but text. Invariant: a form is checked as it is written in the prompt, so that a model which obeys passes.

use serde::{Deserialize, Serialize};

/// The form that an answer is asked for in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Any text.
    #[default]
    Text,
    /// One line.
    Line,
    /// A list: every line is an item.
    List,
    /// One JSON value, alone or in one fenced block.
    Json,
    /// One of the four verdicts as its first word.
    Verdict,
}

/// The words that an answer of the form [`Format::Verdict`] begins with.
const VERDICTS: [&str; 4] = ["accepted", "partially_accepted", "rejected", "needs_human_review"];

impl Format {
    /// Every form, with the name it is asked for by.
    pub const ALL: [(&'static str, Self); 5] = [
        ("text", Self::Text),
        ("line", Self::Line),
        ("list", Self::List),
        ("json", Self::Json),
        ("verdict", Self::Verdict),
    ];

    /// The sentence that asks for it; empty for any text.
    pub const fn request(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::Line => "Answer in one line.",
            Self::List => "Answer as a list: every line begins with `- `.",
            Self::Json => "Answer with one JSON value and nothing else.",
            Self::Verdict => {
                "Begin the answer with one of the words accepted, partially_accepted, rejected, needs_human_review."
            }
        }
    }

    /// Whether `answer` has it.
    pub fn holds(self, answer: &str) -> bool {
        let mut lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
        match self {
            Self::Text => true,
            Self::Line => lines.count() == 1,
            Self::List => lines.all(|line| item(line).is_some()),
            Self::Json => serde_json::from_str::<serde::de::IgnoredAny>(unfenced(answer)).is_ok(),
            Self::Verdict => {
                let first = answer.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next();
                first.is_some_and(|word| VERDICTS.iter().any(|verdict| word.eq_ignore_ascii_case(verdict)))
            }
        }
    }

    /// The verdicts that the form itself brings into an answer.
    pub(super) fn own_verdict(self, word: &str) -> bool {
        self == Self::Verdict && VERDICTS.iter().any(|verdict| word.eq_ignore_ascii_case(verdict))
    }
}

/// What a list's item says behind its mark.
pub(super) fn item(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix(['-', '*', '•']) {
        return rest.strip_prefix(' ');
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = line.get(digits..).filter(|_| digits > 0)?;
    rest.strip_prefix(['.', ')'])?.strip_prefix(' ')
}

/// A text without the one fence around it.
pub(crate) fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(rest) = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else { return text };
    rest.split_once('\n').map_or(rest, |(_, body)| body).trim()
}

/// How an answer begins that is none.
const DECLINES: &[&str] = &[
    "i cannot",
    "i can't",
    "i can not",
    "i am unable",
    "i'm unable",
    "i am not able",
    "i'm not able",
    "i am sorry",
    "i'm sorry",
    "sorry,",
    "i apologize",
    "i do not know",
    "i don't know",
    "i don't have",
    "i do not have",
    "i won't",
    "i will not",
    "as an ai",
    "as a language model",
    "unfortunately, i",
    "there is not enough information",
    "there is no information",
    "not enough information",
    "the records do not",
    "the records don't",
    "no record",
    "none of the records",
    "the provided records do not",
    "the given records do not",
    "it is not possible to answer",
];

/// Whether the first sentence declines to answer.
pub(super) fn declines(answer: &str) -> bool {
    let text =
        answer.trim_start_matches(|c: char| !c.is_alphanumeric()).replace('\u{2019}', "'").to_lowercase();
    let first = text.split(['.', '!', '?', '\n', ':']).next().unwrap_or_default();
    let begins = |part: &str, words: &str| {
        let rest = part.trim_start().strip_prefix(words);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    // Also behind a word that leads to it: "Well, I cannot say".
    let parts = || std::iter::once(first).chain(first.split_once(", ").map(|(_, rest)| rest));
    DECLINES.iter().any(|words| parts().any(|part| begins(part, words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart() {
        for (format, answer, holds) in [
            (Format::Line, "one\n", true),
            (Format::Line, "one\ntwo", false),
            (Format::List, "- a\n\n2. b\n* c", true),
            (Format::List, "- a\nand b", false),
            (Format::Json, "```json\n{\"a\": [1]}\n```", true),
            (Format::Json, "{\"a\": 1} as asked", false),
            (Format::Verdict, "Rejected: it fails.", true),
            (Format::Verdict, "It is rejected.", false),
            (Format::Text, "anything", true),
        ] {
            assert_eq!(format.holds(answer), holds, "{format:?} {answer:?}");
        }
    }

    #[test]
    fn declining_is_told_from_answering() {
        for text in [
            "I’m sorry, I can't.",
            "**I do not know.**",
            "Unfortunately, I have no access.",
            "Well, I cannot say.",
        ] {
            assert!(declines(text), "{text}");
        }
        for text in ["Drop the index. I cannot recommend more.", "Sort by key.", "No recorder is involved"] {
            assert!(!declines(text), "{text}");
        }
    }
}
