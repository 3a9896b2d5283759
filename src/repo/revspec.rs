//! The grammar of revisions, without a store: `REV~n`, `REV^`, `@{n}`, `REV:dataset/key`, `A..B`.
//!
//! Rests on nothing. Invariant: parsing never looks anything up; [`crate::repo::Repo`] resolves what is parsed here.

use std::fmt;

/// A revision as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevSpec {
    /// Where to start.
    pub base: Base,
    /// Steps from there, in order.
    pub steps: Vec<Step>,
}

/// What a revision starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// `HEAD` or `@`.
    Head,
    /// A branch, tag, run id, object id or abbreviation.
    Name(String),
    /// `@{n}` or `NAME@{n}`: where HEAD or a branch pointed n operations ago.
    Reflog(Option<String>, u64),
}

/// One step from a commit to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `~n`: n times to the first parent.
    Ancestor(u64),
    /// `^n`: to parent n, counted from 1; `^0` is the commit itself.
    Parent(u64),
}

/// A revision with, perhaps, a dataset and a key in it: `REV:dataset/key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSpec {
    /// The revision; `HEAD` where only `:path` was given.
    pub rev: RevSpec,
    /// What follows the colon.
    pub path: Option<String>,
}

/// Text that is no revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a revision: {why}")]
pub struct RevSpecError {
    /// As typed.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl RevSpec {
    /// Parses one revision without a path.
    ///
    /// # Errors
    /// When a step or a bracket is malformed.
    pub fn parse(text: &str) -> Result<Self, RevSpecError> {
        let fail = |why| RevSpecError { text: text.to_owned(), why };
        let end = text.find(['~', '^']).unwrap_or(text.len());
        let (mut name, mut rest) = text.split_at(end);
        let mut reflog = None;
        if let Some(at) = name.find("@{") {
            let number = name[at + 2..].strip_suffix('}').ok_or_else(|| fail("`@{` without `}`"))?;
            reflog = Some(number.parse().map_err(|_| fail("`@{n}` takes a number"))?);
            name = &name[..at];
        }
        let base = match (name, reflog) {
            ("" | "HEAD" | "@", Some(n)) => Base::Reflog(None, n),
            (name, Some(n)) => Base::Reflog(Some(name.to_owned()), n),
            ("HEAD" | "@", None) => Base::Head,
            ("", None) => return Err(fail("it names nothing")),
            (name, None) => Base::Name(name.to_owned()),
        };
        let mut steps = Vec::new();
        while let Some(sign) = rest.chars().next() {
            let digits = rest[1..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| n + 1);
            let count = match &rest[1..digits] {
                "" => 1,
                number => number.parse().map_err(|_| fail("the number after `~` or `^` is too large"))?,
            };
            steps.push(match sign {
                '~' => Step::Ancestor(count),
                '^' => Step::Parent(count),
                _ => return Err(fail("only `~n` and `^n` may follow the name")),
            });
            rest = &rest[digits..];
        }
        Ok(Self { base, steps })
    }
}

impl PathSpec {
    /// Parses `REV`, `REV:path` or `:path`.
    ///
    /// # Errors
    /// When the revision is malformed.
    pub fn parse(text: &str) -> Result<Self, RevSpecError> {
        match text.split_once(':') {
            None => Ok(Self { rev: RevSpec::parse(text)?, path: None }),
            Some(("", path)) => {
                Ok(Self { rev: RevSpec { base: Base::Head, steps: Vec::new() }, path: Some(path.to_owned()) })
            }
            Some((rev, path)) => Ok(Self { rev: RevSpec::parse(rev)?, path: Some(path.to_owned()) }),
        }
    }
}

/// Splits `A..B`; an empty side is `HEAD`. `None` when there is no `..`.
pub fn split_range(text: &str) -> Option<(&str, &str)> {
    let (a, b) = text.split_once("..")?;
    Some((if a.is_empty() { "HEAD" } else { a }, if b.is_empty() { "HEAD" } else { b }))
}

impl fmt::Display for RevSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.base {
            Base::Head => f.write_str("HEAD")?,
            Base::Name(name) => f.write_str(name)?,
            Base::Reflog(name, n) => write!(f, "{}@{{{n}}}", name.as_deref().unwrap_or(""))?,
        }
        for step in &self.steps {
            match step {
                Step::Ancestor(n) => write!(f, "~{n}")?,
                Step::Parent(n) => write!(f, "^{n}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, base: Base, steps: &[Step]) {
        assert_eq!(RevSpec::parse(text), Ok(RevSpec { base, steps: steps.to_vec() }), "{text}");
    }

    #[test]
    fn forms() {
        let name = |n: &str| Base::Name(n.to_owned());
        check("HEAD", Base::Head, &[]);
        check("@~2", Base::Head, &[Step::Ancestor(2)]);
        check("v1.0.0", name("v1.0.0"), &[]);
        check("main~^2~3", name("main"), &[Step::Ancestor(1), Step::Parent(2), Step::Ancestor(3)]);
        check("@{3}", Base::Reflog(None, 3), &[]);
        check("main@{1}^", Base::Reflog(Some("main".to_owned()), 1), &[Step::Parent(1)]);
        for bad in ["", "~1", "main~x", "main@{x}", "main@{1", "main^99999999999999999999", "a~1b"] {
            assert!(RevSpec::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_and_ranges() {
        let spec = PathSpec::parse("main~1:exports/sft/2026/a:b").expect("well formed");
        assert_eq!(
            (spec.rev.to_string().as_str(), spec.path.as_deref()),
            ("main~1", Some("exports/sft/2026/a:b"))
        );
        assert_eq!(PathSpec::parse(":sources").expect("well formed").rev.base, Base::Head);
        assert_eq!(split_range("a..b"), Some(("a", "b")));
        assert_eq!(split_range("..b"), Some(("HEAD", "b")));
        assert_eq!(split_range("a"), None);
    }
}
