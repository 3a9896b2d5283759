//! Which ref names are allowed: Git's rules (git-check-ref-format), so that a name means the same everywhere.
//!
//! Rests on nothing. Invariant: a name that passes is safe as a path below a directory.

use super::error::StoreError;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// Checks a full ref name such as `heads/main`.
///
/// # Errors
/// [`StoreError::BadRefName`] with the broken rule.
pub fn check_ref_name(name: &str) -> Result<(), StoreError> {
    match broken_rule(name) {
        None => Ok(()),
        Some(why) => Err(StoreError::BadRefName { name: name.to_owned(), why }),
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let rules: [(bool, &str); 9] = [
        (name.len() > NAME_BYTES_MAX, "it is longer than 512 bytes"),
        (!name.contains('/'), "it names no category such as `heads/` or `tags/`"),
        (name.split('/').any(str::is_empty), "it has an empty component"),
        (name.split('/').any(|part| part.starts_with('.')), "a component begins with a dot"),
        (name.split('/').any(|part| part.strip_suffix(".lock").is_some()), "a component ends with `.lock`"),
        (name.contains(".."), "it contains `..`"),
        (name.contains("@{"), "it contains `@{`"),
        (name.ends_with('.'), "it ends with a dot"),
        (
            name.chars()
                .any(|c| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')),
            "it contains a space, a control character or one of ~ ^ : ? * [ \\",
        ),
    ];
    rules.into_iter().find_map(|(broken, why)| broken.then_some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_gits_rules() {
        for good in ["heads/main", "tags/v1.0.0", "runs/2026-11-23T00-00-00Z", "heads/a/b", "heads/ü"] {
            assert!(check_ref_name(good).is_ok(), "{good}");
        }
        for bad in [
            "main",
            "",
            "/",
            "heads/",
            "heads//a",
            "heads/.a",
            "heads/a..b",
            "heads/a.lock",
            "heads/a@{1}",
            "heads/a.",
            "heads/a b",
            "heads/a:b",
            "heads/../a",
            "heads/\u{7f}",
        ] {
            assert!(check_ref_name(bad).is_err(), "{bad}");
        }
    }
}
