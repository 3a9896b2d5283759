//! The table of rules, in the format of gitleaks' configuration file.
//!
//! Rests on TOML. What always holds: a table is named by what it says, not by its comments; what it says and is not
//! understood is refused, so that no rule is in force other than as it is written.

use serde::{Deserialize, Serialize};

use crate::base::json;
use crate::object::ObjectId;

/// Rules and what is allowed in spite of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Table {
    /// What the table is called.
    #[serde(default, skip_serializing)]
    pub title: Option<String>,
    /// In words.
    #[serde(default, skip_serializing)]
    pub description: Option<String>,
    /// The version of the table.
    #[serde(default)]
    pub version: Option<u32>,
    /// The version of gitleaks that the table asks for; not looked at.
    #[serde(default, skip_serializing)]
    pub min_version: Option<String>,
    /// Whether the table adds to the one that comes with distill.
    #[serde(default, skip_serializing)]
    pub extend: Option<Extend>,
    /// The rules; the first that finds something is named.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What is allowed whatever the rule.
    #[serde(default)]
    pub allowlists: Vec<Allowlist>,
    /// The same in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowlist: Option<Allowlist>,
}

/// What a table is built on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Extend {
    /// On the rules that come with distill.
    #[serde(default)]
    pub use_default: bool,
    /// Ids of those that are left out.
    #[serde(default)]
    pub disabled_rules: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// Its name in findings.
    pub id: String,
    /// In words.
    #[serde(default, skip_serializing)]
    pub description: Option<String>,
    /// What is found, in RE2's syntax; none for a rule about names of files.
    #[serde(default)]
    pub regex: Option<String>,
    /// The group that is the secret: the first where nothing is said, the whole match where there is none.
    #[serde(default)]
    pub secret_group: Option<usize>,
    /// Least entropy of the secret, in bits for each byte.
    #[serde(default)]
    pub entropy: Option<f64>,
    /// Words of which one must be in the text before the pattern is tried.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Names of files that the rule is about; not looked at, so the rule holds for every text.
    #[serde(default, skip_serializing)]
    pub path: Option<String>,
    /// Labels; not looked at.
    #[serde(default, skip_serializing)]
    pub tags: Vec<String>,
    /// What is allowed in spite of the rule.
    #[serde(default)]
    pub allowlists: Vec<Allowlist>,
    /// The same in the older spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowlist: Option<Allowlist>,
}

/// What is allowed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Allowlist {
    /// In words.
    #[serde(default, skip_serializing)]
    pub description: Option<String>,
    /// Whether one kind of condition is enough.
    #[serde(default)]
    pub condition: Condition,
    /// What the patterns are held against.
    #[serde(default)]
    pub regex_target: Target,
    /// Patterns.
    #[serde(default)]
    pub regexes: Vec<String>,
    /// Words that no secret has, in any case.
    #[serde(default)]
    pub stopwords: Vec<String>,
    /// Names of files; a text has none, so these never hold.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Commits; these never hold.
    #[serde(default)]
    pub commits: Vec<String>,
}

/// How the conditions of an allow-list are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Any of them.
    #[default]
    #[serde(rename = "OR", alias = "or", alias = "||")]
    Or,
    /// Each of them.
    #[serde(rename = "AND", alias = "and", alias = "&&")]
    And,
}

/// What the patterns of an allow-list are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The secret.
    #[default]
    Secret,
    /// All that the rule matched.
    Match,
    /// The line around it.
    Line,
}

/// A table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not TOML, or not of this shape.
    #[error("{file}: {message}")]
    Parse {
        /// The file, as the user knows it.
        file: String,
        /// The parser's message, with line and column.
        message: String,
    },
    /// Two rules share a name.
    #[error("two rules for secrets are called `{rule}`")]
    DuplicateRule {
        /// The name.
        rule: String,
    },
    /// A name that is left out and not there.
    #[error("`disabledRules` names `{rule}`, which is no rule that comes with distill")]
    UnknownRule {
        /// The name.
        rule: String,
    },
    /// A pattern that does not compile.
    #[error("the rule for secrets `{rule}` has a pattern that cannot be used: {message}")]
    Pattern {
        /// The rule.
        rule: String,
        /// Why.
        message: String,
    },
    /// A group that the pattern has not.
    #[error("the rule for secrets `{rule}` has no group {group}")]
    Group {
        /// The rule.
        rule: String,
        /// The number.
        group: usize,
    },
}

impl Table {
    /// Parses `text`, and joins it to the table that comes with distill where it says so; `file` names it in errors.
    ///
    /// # Errors
    /// See [`TableError`].
    pub fn parse(file: &str, text: &str) -> Result<Self, TableError> {
        let own: Self = toml::from_str(text).map_err(|error| TableError::Parse {
            file: file.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let table = match &own.extend {
            Some(extend) if extend.use_default => own.on(Self::embedded()?, extend)?,
            _ => own,
        };
        let mut seen = std::collections::BTreeSet::new();
        match table.rules.iter().find(|rule| !seen.insert(&rule.id)) {
            Some(rule) => Err(TableError::DuplicateRule { rule: rule.id.clone() }),
            None => Ok(table),
        }
    }

    /// The table that comes with distill.
    ///
    /// # Errors
    /// None, as a test makes sure.
    pub fn embedded() -> Result<Self, TableError> {
        Self::parse("rules.toml", super::RULES)
    }

    /// A rule of one's own takes the place of the one with its name.
    fn on(&self, mut base: Self, extend: &Extend) -> Result<Self, TableError> {
        for id in &extend.disabled_rules {
            let at = base.rules.iter().position(|rule| rule.id == *id);
            let at = at.ok_or_else(|| TableError::UnknownRule { rule: id.clone() })?;
            base.rules.remove(at);
        }
        for rule in &self.rules {
            match base.rules.iter_mut().find(|known| known.id == rule.id) {
                Some(known) => *known = rule.clone(),
                None => base.rules.push(rule.clone()),
            }
        }
        base.allowlists.extend(self.allowlists.iter().chain(&self.allowlist).cloned());
        base.version = self.version.or(base.version);
        Ok(base)
    }

    /// Names the table by what it says.
    pub fn id(&self) -> ObjectId {
        // Plain data: there is nothing in it that canonical JSON refuses, but an entropy that is no number.
        ObjectId::of(&json::to_canonical(self).unwrap_or_default())
    }

    pub(super) fn allowlists(&self) -> impl Iterator<Item = &Allowlist> {
        self.allowlists.iter().chain(&self.allowlist)
    }
}

impl Rule {
    pub(super) fn allowlists(&self) -> impl Iterator<Item = &Allowlist> {
        self.allowlists.iter().chain(&self.allowlist)
    }
}
