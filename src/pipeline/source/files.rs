//! Which files a spec reads, and what their paths say.
//!
//! Rests on `globset`. Paths are relative to the base, with `/`. Invariant: `*` and a capture never cross `/`; matching
//! looks at the path's text alone, never at the disk.

use globset::Glob;
use globset::GlobBuilder;
use globset::GlobSet;
use globset::GlobSetBuilder;

/// Globs of files to read and of files to leave out.
#[derive(Clone, Debug)]
pub struct FileSet {
    patterns: Vec<String>,
    exclude: Vec<String>,
    included: GlobSet,
    excluded: GlobSet,
}

impl FileSet {
    /// Compiles the globs; an error carries the place in its list (`files` first, then `exclude`) and why.
    pub(super) fn new(patterns: Vec<String>, exclude: Vec<String>) -> Result<Self, (usize, String)> {
        let included = globs(&patterns)?;
        let excluded = globs(&exclude).map_err(|(at, why)| (at + patterns.len(), why))?;
        Ok(Self { patterns, exclude, included, excluded })
    }

    /// Is this file (relative to the base, with `/`) read?
    pub fn contains(&self, file: &str) -> bool {
        self.included.is_match(file) && !self.excluded.is_match(file)
    }

    /// The globs of files to read, as written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// The globs of files to leave out, as written.
    pub fn exclude(&self) -> &[String] {
        &self.exclude
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, (usize, String)> {
    let mut set = GlobSetBuilder::new();
    for (at, pattern) in patterns.iter().enumerate() {
        set.add(glob(pattern).map_err(|why| (at, why))?);
    }
    set.build().map_err(|e| (0, e.kind().to_string()))
}

fn glob(pattern: &str) -> Result<Glob, String> {
    if pattern.is_empty() {
        return Err("an empty glob matches no file".to_owned());
    }
    if pattern.starts_with('/') || pattern.contains('\\') || pattern.split('/').any(|part| part == "..") {
        return Err(format!("glob {pattern:?} must be relative to the base, with `/` and without `..`"));
    }
    GlobBuilder::new(pattern).literal_separator(true).build().map_err(|e| e.kind().to_string())
}

/// A path with named parts: `historical_trajectories/{model}-{domain}.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathPattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Capture(String),
}

impl PathPattern {
    pub(super) fn parse(pattern: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = pattern;
        while !rest.is_empty() {
            let Some(open) = rest.find(['{', '}']) else {
                parts.push(Part::Text(rest.to_owned()));
                break;
            };
            let close = rest.find('}').filter(|close| *close > open && rest.as_bytes()[open] == b'{');
            let Some(close) = close else { return Err(format!("path {pattern:?} has an unpaired brace")) };
            let name = &rest[open + 1..close];
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if name.is_empty() || !plain || name.as_bytes()[0].is_ascii_digit() {
                return Err(format!("capture {{{name}}} must be a name of a-z, 0-9 and _"));
            }
            if name == "file" || parts.iter().any(|p| matches!(p, Part::Capture(n) if n == name)) {
                return Err(format!("capture {{{name}}} is taken; choose another name"));
            }
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            } else if matches!(parts.last(), Some(Part::Capture(_))) {
                return Err(format!("path {pattern:?} has two captures with nothing between them"));
            }
            parts.push(Part::Capture(name.to_owned()));
            rest = &rest[close + 1..];
        }
        Ok(Self { parts })
    }

    /// The names of the captures, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|p| match p {
            Part::Capture(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The captures of a path whose last components match; `None` when none do. A capture takes at least one
    /// character and, from the left, as much as it can.
    pub(super) fn captures<'f>(&self, file: &'f str) -> Option<Vec<&'f str>> {
        let starts = std::iter::once(0).chain(file.match_indices('/').map(|(at, _)| at + 1));
        starts.into_iter().find_map(|start| {
            let mut found = Vec::new();
            matches(&self.parts, &file[start..], &mut found).then_some(found)
        })
    }
}

fn matches<'f>(parts: &[Part], text: &'f str, found: &mut Vec<&'f str>) -> bool {
    match parts.split_first() {
        None => text.is_empty(),
        Some((Part::Text(literal), rest)) => {
            text.strip_prefix(literal.as_str()).is_some_and(|text| matches(rest, text, found))
        }
        Some((Part::Capture(_), rest)) => {
            let most = text.find('/').unwrap_or(text.len());
            let ends = (1..=most).rev().filter(|end| text.is_char_boundary(*end));
            for end in ends {
                found.push(&text[..end]);
                if matches(rest, &text[end..], found) {
                    return true;
                }
                found.pop();
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_greedy_and_stay_in_one_component() {
        let pattern = PathPattern::parse("runs/{model}-{domain}.json").expect("a pattern");
        assert_eq!(pattern.captures("runs/gpt-4o-airline.json"), Some(vec!["gpt-4o", "airline"]));
        assert_eq!(pattern.captures("a/b/runs/m-d.json"), Some(vec!["m", "d"]), "the last components count");
        assert_eq!(pattern.captures("runs/a/b-c.json"), None);
        assert_eq!(pattern.captures("xruns/m-d.json"), None, "components match whole");
        assert_eq!(pattern.captures("runs/-d.json"), None, "a capture is never empty");
        for bad in ["{a", "a}", "{}", "{A}", "{file}", "{a}{b}", "{a}-{a}", "}{"] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_stays_in_one_component() {
        let set = FileSet::new(vec!["data/*.jsonl".into(), "deep/**/x.json".into()], vec!["data/no*".into()])
            .expect("globs");
        assert!(
            set.contains("data/a.jsonl") && set.contains("deep/a/b/x.json") && set.contains("deep/x.json")
        );
        assert!(!set.contains("data/sub/a.jsonl") && !set.contains("data/no.jsonl"));
        assert_eq!(FileSet::new(vec!["a".into()], vec!["../b".into()]).expect_err("leaves the base").0, 1);
    }
}
