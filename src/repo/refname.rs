//! Ref names: `heads/main`, `tags/v1.0.0`, `runs/<run id>`, by Git's rules.
//!
//! Rests on nothing. Invariant: holding a [`RefName`] is the proof that the name is well formed.

use std::fmt;

/// A well-formed ref name with its family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// A name that no ref may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a good name: {why}")]
pub struct RefNameError {
    /// The name.
    pub name: String,
    /// Which rule it breaks.
    pub why: &'static str,
}

/// Longest name without its family, in bytes.
const NAME_BYTES_MAX: usize = 200;

impl RefName {
    /// A branch.
    ///
    /// # Errors
    /// When `name` breaks one of the rules for ref names.
    pub fn branch(name: &str) -> Result<Self, RefNameError> {
        check(name)?;
        Ok(Self(format!("heads/{name}")))
    }

    /// A tag.
    ///
    /// # Errors
    /// When `name` breaks one of the rules for ref names.
    pub fn tag(name: &str) -> Result<Self, RefNameError> {
        check(name)?;
        Ok(Self(format!("tags/{name}")))
    }

    /// The ref of a run.
    ///
    /// # Errors
    /// When `run_id` breaks one of the rules for ref names.
    pub fn run(run_id: &str) -> Result<Self, RefNameError> {
        check(run_id)?;
        Ok(Self(format!("runs/{run_id}")))
    }

    /// The whole name, family included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Git's rules for ref names, and ours for revisions: no part that is empty, begins with a dot or ends in `.lock`;
/// no `..`, `@{`, control character, space or any of `~^:?*[\`; not `@` or `HEAD`; no `-` at the start.
///
/// # Errors
/// The first rule broken.
pub fn check(name: &str) -> Result<(), RefNameError> {
    let fail = |why| Err(RefNameError { name: name.to_owned(), why });
    if name.is_empty() {
        return fail("it is empty");
    }
    if name.len() > NAME_BYTES_MAX {
        return fail("it is longer than 200 bytes");
    }
    if name == "@" || name == "HEAD" {
        return fail("it means the current revision");
    }
    if name.starts_with('-') {
        return fail("it begins with `-`");
    }
    if name.contains("..") || name.contains("@{") {
        return fail("`..` and `@{` belong to revisions");
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c)) {
        return fail("it holds a space, a control character or one of ~^:?*[\\");
    }
    #[expect(
        clippy::case_sensitive_file_extension_comparisons,
        reason = "Git's rule is about `.lock` as it stands"
    )]
    for part in name.split('/') {
        if part.is_empty() {
            return fail("a part between slashes is empty");
        }
        if part.starts_with('.') {
            return fail("a part begins with a dot");
        }
        if part.ends_with('.') || part.ends_with(".lock") {
            return fail("a part ends in a dot or in `.lock`");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for good in ["main", "v1.0.0", "site/a-b_c", "2026-11-23T20:43".replace(':', "").as_str()] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "@",
            "HEAD",
            "-x",
            "a..b",
            "a@{1}",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "a.",
            "a.lock",
            "a.lock/b",
            "a\u{7f}",
            "ä\u{a0}b",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"x".repeat(201)).is_err());
    }
}
