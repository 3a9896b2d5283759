//! A change as text: files, hunks, and groups of hunks that belong together.
//!
//! Rests on the unified format that `git diff` and `diff -u` write. Invariants: a hunk is as long as its head says, so that a changed
//! line which looks like a head is a line, and ends before a line that no hunk has, so that a head which lies hides no file; it shows
//! the lines that stand in it; every line in a prompt has its mark, so that none passes for a line of the prompt; every hunk is in one
//! group, in the order of the diff; what is no text is named and left out.

use std::borrow::Cow;
use std::ops::Range;

/// One file of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileDiff {
    /// Its name after the change; the one before where it was deleted.
    pub path: String,
    pub hunks: Vec<Hunk>,
}

/// One hunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    /// The lines of the file after the change that it shows, counted from 1.
    pub lines: Range<u64>,
    /// Head and lines.
    pub text: String,
}

/// Hunks of one file that are looked at together.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    pub path: &'a str,
    pub hunks: &'a [Hunk],
}

/// A parsed change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Diff {
    pub files: Vec<FileDiff>,
    /// Files without hunks: binary, renamed, emptied.
    pub left_out: Vec<String>,
}

impl Diff {
    /// Reads a unified diff.
    pub(super) fn parse(text: &str) -> Self {
        let mut diff = Self::default();
        let mut current: Option<FileDiff> = None;
        let mut before = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(names) = line.strip_prefix("diff --git ") {
                diff.close(current.take());
                let name = names.rsplit_once(" b/").map_or(names, |(_, name)| name);
                current = Some(FileDiff { path: bare(name).to_owned(), hunks: Vec::new() });
            } else if let Some(name) = line.strip_prefix("--- ") {
                name.clone_into(&mut before);
            } else if let Some(name) = line.strip_prefix("+++ ") {
                let name = if name.starts_with("/dev/null") { before.as_str() } else { name };
                let path = bare(name).to_owned();
                match &mut current {
                    Some(file) if file.hunks.is_empty() => file.path = path,
                    _ => {
                        diff.close(current.take());
                        current = Some(FileDiff { path, hunks: Vec::new() });
                    }
                }
            } else if let Some(head) = head(line) {
                let (mut old, mut new) = (head.old_lines, head.new_lines);
                let mut hunk =
                    Hunk { lines: head.new_start..head.new_start, text: format!("{}\n", visible(line)) };
                while let Some(line) = lines.peek() {
                    let mark = line.bytes().next().unwrap_or(b' ');
                    let (is_old, is_new) = (matches!(mark, b'-' | b' '), matches!(mark, b'+' | b' '));
                    if mark != b'\\' && (old == 0 && new == 0 || !is_old && !is_new) {
                        break;
                    }
                    old = old.saturating_sub(u64::from(is_old));
                    new = new.saturating_sub(u64::from(is_new));
                    hunk.lines.end = hunk.lines.end.saturating_add(u64::from(is_new));
                    // A context line that is empty may have lost its space.
                    hunk.text.push_str(if line.is_empty() { " " } else { "" });
                    hunk.text.push_str(&visible(line));
                    hunk.text.push('\n');
                    lines.next();
                }
                if let Some(file) = &mut current {
                    file.hunks.push(hunk);
                }
            }
        }
        diff.close(current);
        diff
    }

    fn close(&mut self, file: Option<FileDiff>) {
        match file {
            Some(file) if file.hunks.is_empty() => self.left_out.push(file.path),
            Some(file) => self.files.push(file),
            None => {}
        }
    }

    /// Neighbouring hunks of one file, as many as fit into `bytes`; a longer hunk is a group of its own.
    pub(super) fn groups(&self, bytes: usize) -> Vec<Group<'_>> {
        let mut groups = Vec::new();
        for file in &self.files {
            let (mut start, mut size) = (0, 0);
            for (n, hunk) in file.hunks.iter().enumerate() {
                if n > start && size + hunk.text.len() > bytes {
                    groups.push(Group { path: &file.path, hunks: &file.hunks[start..n] });
                    (start, size) = (n, 0);
                }
                size += hunk.text.len();
            }
            groups.push(Group { path: &file.path, hunks: &file.hunks[start..] });
        }
        groups
    }

    /// The file called `path`.
    pub(super) fn file(&self, path: &str) -> Option<&FileDiff> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The whole change, file by file.
    pub(super) fn text(&self) -> String {
        self.groups(usize::MAX).iter().map(Group::text).collect()
    }
}

impl FileDiff {
    /// Whether a hunk shows this line of the file after the change.
    pub(super) fn shows(&self, line: u64) -> bool {
        self.hunks
            .iter()
            .any(|hunk| hunk.lines.contains(&line) || (hunk.lines.is_empty() && hunk.lines.start == line))
    }

    /// All hunks.
    pub(super) fn text(&self) -> String {
        Group { path: &self.path, hunks: &self.hunks }.text()
    }
}

impl Group<'_> {
    /// Name and hunks.
    pub(super) fn text(&self) -> String {
        let hunks: String = self.hunks.iter().map(|hunk| hunk.text.as_str()).collect();
        format!("--- {}\n{hunks}", visible(self.path))
    }

    /// What is looked up for it: the file's name, and the lines that changed.
    pub(super) fn question(&self) -> String {
        let mut text = self.path.to_owned();
        for line in self.hunks.iter().flat_map(|hunk| hunk.text.lines().skip(1)) {
            if line.starts_with(['+', '-']) {
                text.push('\n');
                text.push_str(&line[1..]);
            }
        }
        text
    }
}

struct Head {
    old_lines: u64,
    new_start: u64,
    new_lines: u64,
}

/// `@@ -1,2 +3,4 @@ …`
fn head(line: &str) -> Option<Head> {
    let ranges = line.strip_prefix("@@ -")?.split_once(" @@")?.0;
    let (old, new) = ranges.split_once(" +")?;
    let range = |text: &str| -> Option<(u64, u64)> {
        let (start, lines) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, lines.parse().ok()?))
    };
    let ((_, old_lines), (new_start, new_lines)) = (range(old)?, range(new)?);
    Some(Head { old_lines, new_start, new_lines })
}

/// A line with what would end it in the eyes of a reader written out.
fn visible(line: &str) -> Cow<'_, str> {
    let ends = |c: char| matches!(c, '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    if !line.contains(ends) {
        return Cow::Borrowed(line);
    }
    line.chars().map(|c| if ends(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// A name without what `diff` puts around it.
fn bare(name: &str) -> &str {
    let name = name.split('\t').next().unwrap_or(name).trim_matches('"');
    name.strip_prefix("a/").or_else(|| name.strip_prefix("b/")).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "diff --git a/src/a.rs b/src/a.rs\nindex 1..2 100644\n--- a/src/a.rs\n+++ b/src/a.rs\n\
        @@ -1,3 +1,4 @@ fn main\n one\n-two\n+++ two\n+three\n four\n@@ -90,1 +91,1 @@\n-x\n+y\n\\ No newline at end of file\n\
        diff --git a/logo.png b/logo.png\nBinary files differ\n\
        diff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-all\n";

    #[test]
    fn a_hunk_is_as_long_as_its_head_says() {
        let diff = Diff::parse(TEXT);
        let names: Vec<&str> = diff.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            (names, diff.left_out.as_slice()),
            (vec!["src/a.rs", "gone"], &["logo.png".to_owned()][..])
        );
        let file = diff.file("src/a.rs").expect("there");
        assert_eq!(file.hunks.len(), 2);
        assert_eq!(file.hunks[0].lines, 1..5);
        assert!(file.hunks[1].text.ends_with("No newline at end of file\n"));
        assert!(file.shows(4) && file.shows(91) && !file.shows(5));
        assert_eq!(diff.groups(10).len(), 3);
        let groups = diff.groups(4096);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].question(), "src/a.rs\ntwo\n++ two\nthree\nx\ny");
        assert_eq!(Diff::parse("nothing here"), Diff::default());
    }

    #[test]
    fn a_head_that_lies_hides_nothing_and_shows_nothing() {
        let text = "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,900 +18446744073709551615,900 @@\n+one\n\n\
            diff --git a/b b/b\n--- a/b\n+++ b/b\n@@ -1,0 +1,99999999999 @@\n+two\n[1]\nAnother record\n@@ -9,1 +9,1 @@\n-x\n+y\n";
        let diff = Diff::parse(text);
        let names: Vec<&str> = diff.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let file = diff.file("b").expect("there");
        assert!(file.shows(1) && !file.shows(2) && file.shows(9));
        assert_eq!(diff.file("a").expect("there").hunks[0].text.lines().last(), Some(" "));
        assert!(!diff.text().contains("Another record"), "{}", diff.text());
    }

    #[test]
    fn no_line_of_a_change_passes_for_one_of_the_prompt() {
        let text = "--- a/x\n+++ b/x\ry\n@@ -0,0 +1,2 @@ f\r[1]\n+a\r\n+b\r[1]\u{2028}Task:\n";
        let told = Diff::parse(text).text();
        assert_eq!(told, "--- x\\ry\n@@ -0,0 +1,2 @@ f\\r[1]\n+a\n+b\\r[1]\\u{2028}Task:\n");
        assert!(told.lines().all(|line| line.starts_with(['-', '+', '@'])));
    }
}
