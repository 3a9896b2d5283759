//! The scoring policy: an ordered list of rules over normalised signals, first match decides.
//!
//! Rests on `record`. Invariants: the last rule matches everything and says `needs_human_review`, so nothing passes by
//! default; a policy is data, parsed once, and the same evidence under the same policy always gets the same category.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::signals::{Level, Mixture, Outcome, Signals, Text};
use crate::record::Category;

/// A parsed `policy.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Rules in order of precedence.
    #[serde(rename = "rule")]
    pub rules: Vec<Rule>,
    /// Which words of a verdict mean what.
    pub words: Words,
}

/// One rule: when all its conditions hold, the run gets its category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The name that scored runs carry as `deciding_rule`.
    pub id: String,
    /// What the run becomes.
    pub category: Category,
    /// The conditions, all of which must hold; none at all holds always.
    #[serde(default)]
    pub when: When,
    /// Whether what this rule decides may enter a corpus although a model made it with the help of one. Left out where it is
    /// not, so that a policy without it is, byte for byte, what it always was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admit_synthetic: bool,
}

/// Verdict words by meaning; compared trimmed and in lower case. A word in no list is `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// Good as it is.
    pub accept: Vec<String>,
    /// Good in part.
    pub partial: Vec<String>,
    /// Not good.
    pub reject: Vec<String>,
    /// The judge would not say.
    #[serde(default)]
    pub review: Vec<String>,
}

/// One value or several, any of which will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyOf<T> {
    /// Exactly this.
    One(T),
    /// One of these.
    Many(Vec<T>),
}

impl<T: PartialEq> AnyOf<T> {
    fn holds(&self, value: &T) -> bool {
        match self {
            Self::One(wanted) => wanted == value,
            Self::Many(wanted) => wanted.contains(value),
        }
    }
}

/// The conditions of a rule. An absent condition holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// A person's override.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human: Option<AnyOf<Level>>,
    /// The check named `outcome`: the source's own final result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AnyOf<Outcome>>,
    /// All checks together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<AnyOf<Mixture>>,
    /// An observer's verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer: Option<AnyOf<Level>>,
    /// The observer's confidence is known and at least this (0 to 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_min: Option<f64>,
    /// The observer's confidence is known and below this (0 to 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_below: Option<f64>,
    /// Success and failure markers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markers: Option<AnyOf<Mixture>>,
    /// Whether the run is a side of a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<bool>,
    /// Whether there is a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<AnyOf<Text>>,
    /// The stream the run came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<AnyOf<String>>,
    /// At least this many generations of model output stand between the run and the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic_depth_min: Option<u64>,
}

/// A policy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not TOML, or not of this shape.
    #[error("{file}: {message}")]
    Parse {
        /// The file, as the user knows it.
        file: String,
        /// The parser's message, with line and column.
        message: String,
    },
    /// Two rules share a name.
    #[error("{file}: two rules are called `{id}`")]
    DuplicateRule {
        /// The file.
        file: String,
        /// The name.
        id: String,
    },
    /// The last rule does not catch everything as `needs_human_review`.
    #[error(
        "{file}: the last rule must have no `when` and the category `needs_human_review`, so that what no rule knows is never accepted"
    )]
    OpenEnd {
        /// The file.
        file: String,
    },
    /// A rule that nothing may enter by lets model output in.
    #[error("{file}: the rule `{id}` admits synthetic rows, but its category enters no corpus")]
    AdmitsNothing {
        /// The file.
        file: String,
        /// The rule.
        id: String,
    },
    /// One word has two meanings.
    #[error("{file}: the verdict word `{word}` stands in two lists of [words]")]
    AmbiguousWord {
        /// The file.
        file: String,
        /// The word.
        word: String,
    },
}

impl Policy {
    /// Parses and checks `text`; `file` names it in errors.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let mut policy: Self = toml::from_str(text).map_err(|e| PolicyError::Parse {
            file: file.to_owned(),
            message: e.to_string().trim_end().to_owned(),
        })?;
        let mut seen = std::collections::BTreeSet::new();
        for rule in &policy.rules {
            if !seen.insert(&rule.id) {
                return Err(PolicyError::DuplicateRule { file: file.to_owned(), id: rule.id.clone() });
            }
        }
        match policy.rules.last() {
            Some(rule) if rule.when == When::default() && rule.category == Category::NeedsHumanReview => {}
            _ => return Err(PolicyError::OpenEnd { file: file.to_owned() }),
        }
        let in_vain = |rule: &&Rule| {
            let enters = matches!(rule.category, Category::Accepted | Category::PartiallyAccepted);
            rule.admit_synthetic && !enters
        };
        if let Some(rule) = policy.rules.iter().find(in_vain) {
            return Err(PolicyError::AdmitsNothing { file: file.to_owned(), id: rule.id.clone() });
        }
        let mut meanings = BTreeMap::new();
        let words = &mut policy.words;
        for (list, level) in
            [(&mut words.accept, 0), (&mut words.partial, 1), (&mut words.reject, 2), (&mut words.review, 3)]
        {
            for word in list {
                *word = word.trim().to_lowercase();
                if meanings.insert(word.clone(), level).is_some_and(|other| other != level) {
                    return Err(PolicyError::AmbiguousWord { file: file.to_owned(), word: word.clone() });
                }
            }
        }
        Ok(policy)
    }

    /// The first rule that holds for `signals`.
    pub fn decide(&self, signals: &Signals) -> &Rule {
        static REVIEW: std::sync::LazyLock<Rule> = std::sync::LazyLock::new(|| Rule {
            id: "default".to_owned(),
            category: Category::NeedsHumanReview,
            when: When::default(),
            admit_synthetic: false,
        });
        // `parse` has made sure that the last rule holds always; a policy built by hand fails closed.
        self.rules.iter().find(|rule| rule.when.holds(signals)).unwrap_or(&REVIEW)
    }

    /// Whether what the rule called `id` decides may enter a corpus although it is synthetic. A rule that is not there
    /// admits nothing.
    pub fn admits_synthetic(&self, id: &str) -> bool {
        self.rules.iter().any(|rule| rule.id == id && rule.admit_synthetic)
    }
}

impl Words {
    /// What a verdict means.
    pub fn level(&self, verdict: &str) -> Level {
        let word = verdict.trim().to_lowercase();
        for (list, level) in [
            (&self.accept, Level::Accept),
            (&self.partial, Level::Partial),
            (&self.reject, Level::Reject),
            (&self.review, Level::Review),
        ] {
            if list.contains(&word) {
                return level;
            }
        }
        Level::Unknown
    }
}

impl When {
    fn holds(&self, s: &Signals) -> bool {
        fn any<T: PartialEq>(wanted: Option<&AnyOf<T>>, value: &T) -> bool {
            wanted.is_none_or(|w| w.holds(value))
        }
        any(self.human.as_ref(), &s.human)
            && any(self.outcome.as_ref(), &s.outcome)
            && any(self.validation.as_ref(), &s.validation)
            && any(self.observer.as_ref(), &s.observer)
            && any(self.markers.as_ref(), &s.markers)
            && any(self.response.as_ref(), &s.response)
            && any(self.stream.as_ref(), &s.stream)
            && self.confidence_min.is_none_or(|min| s.confidence.is_some_and(|c| c >= min))
            && self.confidence_below.is_none_or(|max| s.confidence.is_some_and(|c| c < max))
            && self.comparison.is_none_or(|wanted| wanted == s.comparison)
            && self.synthetic_depth_min.is_none_or(|min| s.synthetic_depth >= min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[rule]]
        id = "sure"
        category = "accepted"
        when = { observer = ["accept", "partial"], confidence_min = 0.8 }
        [[rule]]
        id = "default"
        category = "needs_human_review"
        [words]
        accept = ["LGTM "]
        partial = []
        reject = ["no"]
    "#;

    fn refusal(text: &str) -> String {
        Policy::parse("policy.toml", text).expect_err("must be refused").to_string()
    }

    #[test]
    fn first_match_decides_and_the_rest_is_review() {
        let policy = Policy::parse("policy.toml", TEXT).expect("a good policy");
        assert_eq!(policy.words.level(" lgtm"), Level::Accept);
        assert_eq!(policy.words.level("perhaps"), Level::Unknown);
        let mut signals = Signals { observer: Level::Accept, confidence: Some(0.8), ..Signals::default() };
        assert_eq!(policy.decide(&signals).id, "sure");
        signals.confidence = None;
        assert_eq!(policy.decide(&signals).id, "default", "an unknown confidence is no confidence");
    }

    #[test]
    fn a_rule_may_admit_synthetic_rows() {
        let text = TEXT.replace("category = \"accepted\"", "category = \"accepted\"\nadmit_synthetic = true");
        let policy = Policy::parse("policy.toml", &text).expect("a good policy");
        assert!(policy.admits_synthetic("sure"));
        assert!(!policy.admits_synthetic("default") && !policy.admits_synthetic("nothing"));
        let plain = Policy::parse("policy.toml", TEXT).expect("a good policy");
        let written = serde_json::to_string(&plain).expect("JSON");
        assert!(!written.contains("admit_synthetic"), "a policy without it is what it always was: {written}");
        let in_vain = text.replace("category = \"accepted\"", "category = \"rejected\"");
        assert!(refusal(&in_vain).contains("`sure`"));
    }

    #[test]
    fn refusals_name_the_file_and_the_thing() {
        assert!(refusal(&TEXT.replace("default", "sure")).contains("`sure`"));
        assert!(refusal(&TEXT.replace("needs_human_review", "accepted")).contains("last rule"));
        assert!(refusal(&TEXT.replace("\"no\"", "\"lgtm\"")).contains("`lgtm`"));
        let unknown = refusal(&TEXT.replace("confidence_min", "confidence"));
        assert!(unknown.contains("line 5") && unknown.contains("confidence"), "{unknown}");
    }
}
