//! Who may do what: tokens, read once at the start, kept as digests.
//!
//! Rests on `subtle`. Invariants: a token is compared in constant time, all of them each time; it is printed nowhere, and of
//! what a client sent nothing is kept.

use std::fmt;

use subtle::{Choice, ConstantTimeEq as _};

use crate::ops::{ErrorKind, OpError};

/// A shorter token can be guessed.
pub const TOKEN_CHARS_MIN: usize = 16;

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and write.
    Write,
}

/// The tokens of a server.
#[derive(Clone, Default)]
pub struct Tokens {
    digests: Vec<(Scope, [u8; 32])>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.digests.len())
    }
}

impl Tokens {
    /// Parses lines such as `read TOKEN` and `write TOKEN`; empty lines and comments (`#`) are passed over.
    ///
    /// # Errors
    /// A line of another form, a token that is too short. The message names the line, never its text.
    pub fn parse(text: &str) -> Result<Self, OpError> {
        let mut digests = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let bad = |why: &str| {
                let hint = format!(
                    "write `read TOKEN` or `write TOKEN`, with a token of {TOKEN_CHARS_MIN} characters or more"
                );
                OpError::new(ErrorKind::Usage, format!("line {} of the token file {why}", n + 1), hint)
            };
            let mut words = line.split_whitespace();
            let scope = match words.next() {
                None => continue,
                Some(word) if word.starts_with('#') => continue,
                Some("read") => Scope::Read,
                Some("write") => Scope::Write,
                Some(_) => return Err(bad("begins with neither `read` nor `write`")),
            };
            let token = words.next().ok_or_else(|| bad("has no token"))?;
            if words.next().is_some() {
                return Err(bad("has more than a token"));
            }
            if token.chars().count() < TOKEN_CHARS_MIN {
                return Err(bad("has a token that is too short"));
            }
            digests.push((scope, *blake3::hash(token.as_bytes()).as_bytes()));
        }
        if digests.is_empty() {
            let hint = "write `read TOKEN` or `write TOKEN` into it";
            return Err(OpError::new(ErrorKind::Usage, "the token file has no token", hint));
        }
        Ok(Self { digests })
    }

    /// What a client without a token may do: read, unless there are tokens for reading.
    pub fn scope_without(&self) -> Scope {
        if self.digests.iter().any(|(scope, _)| *scope == Scope::Read) { Scope::None } else { Scope::Read }
    }

    /// What whoever sends `token` may do; `None` for one that nobody has.
    pub fn scope_of(&self, token: &[u8]) -> Option<Scope> {
        let sent = *blake3::hash(token).as_bytes();
        let (mut read, mut write) = (Choice::from(0), Choice::from(0));
        for (scope, digest) in &self.digests {
            let same = digest.ct_eq(&sent);
            match scope {
                Scope::Write => write |= same,
                _ => read |= same,
            }
        }
        match (bool::from(write), bool::from(read)) {
            (true, _) => Some(Scope::Write),
            (false, true) => Some(Scope::Read),
            (false, false) => None,
        }
    }

    /// Whether somebody may write.
    pub fn may_write(&self) -> bool {
        self.digests.iter().any(|(scope, _)| *scope == Scope::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let tokens =
            Tokens::parse("# who\nread aaaaaaaaaaaaaaaa\n\n  write bbbbbbbbbbbbbbbb\n").expect("tokens");
        assert_eq!(tokens.scope_without(), Scope::None);
        assert_eq!(tokens.scope_of(b"aaaaaaaaaaaaaaaa"), Some(Scope::Read));
        assert_eq!(tokens.scope_of(b"bbbbbbbbbbbbbbbb"), Some(Scope::Write));
        for other in [&b""[..], b"aaaaaaaaaaaaaaa", b"aaaaaaaaaaaaaaaab", b"read aaaaaaaaaaaaaaaa"] {
            assert_eq!(tokens.scope_of(other), None);
        }
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
        let open = Tokens::parse("write bbbbbbbbbbbbbbbb").expect("one");
        assert_eq!(open.scope_without(), Scope::Read);
        assert!(open.may_write() && !Tokens::default().may_write());
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        for bad in ["write", "admin cccccccccccccccc", "read short", "read aaaaaaaaaaaaaaaa extra", "# none"]
        {
            let error = Tokens::parse(bad).expect_err(bad);
            assert!(!error.message.contains("aaaa") && !error.message.contains("short\n"), "{error}");
        }
    }
}
