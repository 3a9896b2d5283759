//! Secrets: whether a text holds what looks like a credential.
//!
//! Rests on a table of rules in gitleaks' format. Four sieves, each finer than the one before: keywords, patterns, entropy,
//! allow-lists; then the same over what the text hides in escapes, percent signs and base64. What always holds: a pure
//! function of text and table, in time linear in the text; what is said of a finding never repeats it.

mod decode;
mod entropy;
mod keywords;
mod table;

use std::borrow::Cow;
use std::ops::Range;

use regex::bytes::Regex;

use crate::object::ObjectId;
use entropy::Bits;
use keywords::Keywords;
pub use table::{Allowlist, Condition, Rule, Table, TableError, Target};

/// The rules that come with distill.
pub const RULES: &str = include_str!("rules.toml");

/// How often a text may be decoded again: base64 of escaped text with percent signs is three.
const DEPTH_MAX: u32 = 3;
/// Shortest text that can hold a credential, in bytes.
const TEXT_BYTES_MIN: usize = 8;

/// A compiled table.
pub struct Scanner {
    id: ObjectId,
    keywords: Keywords,
    rules: Vec<Compiled>,
    allow: Vec<Allowed>,
}

/// What looks like a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// How it was hidden, outermost first: `base64`, `escaped`, `percent`; nothing where it stands as it is.
    pub forms: Vec<&'static str>,
    /// What stands for it: its public prefix, if it has one, and its length.
    pub masked: String,
}

struct Compiled {
    id: String,
    pattern: Regex,
    group: usize,
    entropy: Option<Bits>,
    allow: Vec<Allowed>,
    /// Keywords that are the public beginning of what the rule finds.
    prefixes: Vec<String>,
}

struct Allowed {
    all: bool,
    target: Target,
    patterns: Vec<Regex>,
    /// In lower case.
    stopwords: Vec<String>,
    /// Conditions on files or commits, which a text has not: they never hold.
    never: bool,
}

impl Scanner {
    /// Compiles `table`.
    ///
    /// # Errors
    /// The rule whose pattern is not of the syntax of the `regex` crate (which is RE2's, but for `\Q…\E`).
    pub fn new(table: &Table) -> Result<Self, TableError> {
        let mut keywords = Keywords::builder();
        let mut rules: Vec<Compiled> = Vec::new();
        for rule in &table.rules {
            // A rule without a pattern looks at names of files, and there are none here.
            let Some(text) = &rule.regex else { continue };
            let pattern = compile(&rule.id, text)?;
            let group = rule.secret_group.unwrap_or_else(|| usize::from(pattern.captures_len() > 1));
            if group >= pattern.captures_len() {
                return Err(TableError::Group { rule: rule.id.clone(), group });
            }
            // A keyword that stands in a pattern as it is written is looked for as it is written, any other in any case.
            let exact = |keyword: &str| {
                !text.contains("(?i") && (text.contains(keyword) || text.contains(&regex::escape(keyword)))
            };
            keywords.rule(rules.len(), &rule.keywords, &exact);
            rules.push(Compiled {
                id: rule.id.clone(),
                pattern,
                group,
                entropy: rule.entropy.map(Bits::new),
                allow: allowed(&rule.id, rule.allowlists())?,
                prefixes: rule.keywords.iter().filter(|keyword| exact(keyword)).cloned().collect(),
            });
        }
        let allow = allowed("(global)", table.allowlists())?;
        Ok(Self { id: table.id(), keywords: keywords.build(), rules, allow })
    }

    /// Names the table by what it says.
    pub const fn id(&self) -> ObjectId {
        self.id
    }

    /// The first thing in `text` that looks like a credential, by the order of the rules; as it stands first, then decoded.
    pub fn scan(&self, text: &str) -> Option<Finding> {
        if text.len() < TEXT_BYTES_MIN { None } else { self.level(text.as_bytes(), 0) }
    }

    /// `text` with everything masked that looks like a credential. Where it is hidden in another form, nothing of the
    /// text is kept.
    pub fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(mut finding) = self.scan(text) else { return Cow::Borrowed(text) };
        let mut masked = text.to_owned();
        // Each turn takes one away; what is put in its place is found by no rule of ours, but may be by another's.
        for _ in 0..text.len() {
            let bytes = masked.as_bytes();
            let found = self.keywords.hits(bytes).iter().find_map(|rule| self.try_rule(*rule, bytes));
            let Some((_, range)) = found.filter(|_| finding.forms.is_empty()) else { break };
            masked.replace_range(whole_characters(&masked, range), "********");
            match self.scan(&masked) {
                Some(next) => finding = next,
                None => return Cow::Owned(masked),
            }
        }
        Cow::Owned(format!("(withheld: it holds what looks like a credential, {})", finding.rule))
    }

    fn level(&self, text: &[u8], depth: u32) -> Option<Finding> {
        let hits = self.keywords.hits(text);
        for &rule in &hits {
            if let Some((finding, _)) = self.try_rule(rule, text) {
                return Some(finding);
            }
        }
        if depth == DEPTH_MAX {
            return None;
        }
        let under = |form: &'static str, decoded: &[u8]| {
            let mut finding = self.level(decoded, depth + 1)?;
            finding.forms.insert(0, form);
            Some(finding)
        };
        // Escapes hide what stands around a secret; a keyword they hide only where they are written for plain letters.
        if let Some(escapes) = decode::escapes(text)
            && (escapes.of_letters || !hits.is_empty())
            && let Some(finding) = under("escaped", &decode::unescape(text))
        {
            return Some(finding);
        }
        if let Some(decoded) = decode::percent(text)
            && let Some(finding) = under("percent", &decoded)
        {
            return Some(finding);
        }
        decode::base64(text, &mut |decoded| under("base64", decoded))
    }

    /// What the rule finds in `text`, and where the secret stands.
    fn try_rule(&self, rule: usize, text: &[u8]) -> Option<(Finding, Range<usize>)> {
        let rule = &self.rules[rule];
        // Most texts that hold a keyword hold no match, and that is known sooner than where the groups of one are.
        if !rule.pattern.is_match(text) {
            return None;
        }
        for captures in rule.pattern.captures_iter(text) {
            let whole = captures.get(0)?;
            let secret = captures.get(rule.group).unwrap_or(whole);
            if rule.entropy.is_some_and(|least| Bits::of(secret.as_bytes()) < least) {
                continue;
            }
            let allowed = |list: &Allowed| list.holds(text, whole.range(), secret.as_bytes());
            if self.allow.iter().any(allowed) || rule.allow.iter().any(allowed) {
                continue;
            }
            let masked = rule.mask(secret.as_bytes());
            return Some((Finding { rule: rule.id.clone(), forms: Vec::new(), masked }, secret.range()));
        }
        None
    }
}

impl Compiled {
    fn mask(&self, secret: &[u8]) -> String {
        let text = String::from_utf8_lossy(secret);
        let prefix = self.prefixes.iter().find(|prefix| text.starts_with(prefix.as_str()));
        format!("{}******** ({} characters)", prefix.map_or("", String::as_str), text.chars().count())
    }
}

impl Allowed {
    fn holds(&self, text: &[u8], whole: Range<usize>, secret: &[u8]) -> bool {
        let pattern = || {
            let target = match self.target {
                Target::Secret => secret,
                Target::Match => &text[whole.clone()],
                Target::Line => line_around(text, whole.clone()),
            };
            self.patterns.iter().any(|pattern| pattern.is_match(target))
        };
        let stopword = || {
            let lower = secret.to_ascii_lowercase();
            self.stopwords.iter().any(|word| memchr::memmem::find(&lower, word.as_bytes()).is_some())
        };
        if self.all {
            let said = !self.patterns.is_empty() || !self.stopwords.is_empty();
            said && !self.never
                && (self.patterns.is_empty() || pattern())
                && (self.stopwords.is_empty() || stopword())
        } else {
            pattern() || stopword()
        }
    }
}

fn allowed<'a>(owner: &str, lists: impl Iterator<Item = &'a Allowlist>) -> Result<Vec<Allowed>, TableError> {
    let compiled = |list: &Allowlist| {
        Ok(Allowed {
            all: list.condition == Condition::And,
            target: list.regex_target,
            patterns: list.regexes.iter().map(|text| compile(owner, text)).collect::<Result<_, _>>()?,
            stopwords: list.stopwords.iter().map(|word| word.to_ascii_lowercase()).collect(),
            never: !list.paths.is_empty() || !list.commits.is_empty(),
        })
    };
    lists.map(compiled).collect()
}

/// Classes are of ASCII, as in RE2; so a text is read as bytes, and a word boundary is quick to find in any script.
fn compile(owner: &str, text: &str) -> Result<Regex, TableError> {
    regex::bytes::RegexBuilder::new(text).unicode(false).build().map_err(|error| {
        let message = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
        TableError::Pattern { rule: owner.to_owned(), message }
    })
}

fn line_around(text: &[u8], range: Range<usize>) -> &[u8] {
    let start = memchr::memrchr(b'\n', &text[..range.start]).map_or(0, |at| at + 1);
    let end = memchr::memchr(b'\n', &text[range.end..]).map_or(text.len(), |at| range.end + at);
    &text[start..end]
}

fn whole_characters(text: &str, range: Range<usize>) -> Range<usize> {
    let start = (0..=range.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let end = (range.end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    start..end
}

#[cfg(test)]
mod tests;
