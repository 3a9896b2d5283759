//! What a model found in a change, and what of it can be seen there.
//!
//! Rests on `pipeline::answer`. Invariant: a finding names a file and a line that the diff shows, and claims nothing that stands neither
//! in that file's hunks nor in a record that it cites; the others are listed apart, with the reason.

use serde::{Deserialize, Serialize};

use super::diff::Diff;
use crate::ops::replay::PromptRecord;
use crate::pipeline::answer::{self, Asked, Claim, Format, Given};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The line after the change, from 1; null for the file as a whole.
    pub line: Option<u64>,
    /// `error`, `warning` or `note`.
    pub severity: Severity,
    /// What is wrong.
    pub text: String,
    /// The records that it rests on, by number.
    pub cites: Vec<u64>,
    /// Why it is not believed; empty for one that is.
    pub doubts: Vec<String>,
    /// What it claims and nothing supports.
    pub unsupported: Vec<Claim>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It breaks something.
    Error,
    /// It may.
    Warning,
    /// Worth a look.
    #[default]
    #[serde(other)]
    Note,
}

impl Severity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    findings: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    file: String,
    #[serde(default)]
    line: Option<u64>,
    #[serde(default)]
    severity: Severity,
    text: String,
    #[serde(default)]
    records: Vec<u64>,
}

/// So many findings of an answer are looked at: of more, nobody reads the rest.
const FINDINGS_MAX: usize = 200;

/// Reads the findings of an answer and judges them; `None` where it is not of the form that was asked for.
pub(super) fn read(answer: &str, diff: &Diff, records: &[PromptRecord]) -> Option<Vec<Finding>> {
    let said: Answer = serde_json::from_str(answer::unfenced(answer)).ok()?;
    let mut findings = Vec::new();
    for said in said.findings {
        if findings.len() == FINDINGS_MAX {
            return None;
        }
        findings.push(judge(said, diff, records));
    }
    Some(findings)
}

fn judge(said: Said, diff: &Diff, records: &[PromptRecord]) -> Finding {
    let mut doubts = Vec::new();
    let file = diff.file(&said.file);
    match (file, said.line.filter(|line| *line > 0)) {
        (None, _) => doubts.push("the change has no such file".to_owned()),
        (Some(file), Some(line)) if !file.shows(line) => {
            doubts.push(format!("the change does not show line {line} of it"));
        }
        _ => {}
    }
    let around = file.map(super::diff::FileDiff::text).unwrap_or_default();
    let task = format!("{} {around}", said.line.map_or_else(String::new, |line| line.to_string()));
    // A finding is no answer to a question.
    let records: Vec<Given<'_>> =
        records.iter().map(|record| Given { question: "", text: &record.content }).collect();
    // What is cited beside the text counts as cited in it.
    let cites: String = said.records.iter().map(|number| format!(" [{number}]")).collect();
    let asked = Asked { task: &task, format: Format::Text, records: &records, cut_short: false };
    let judgement = answer::judge(&format!("{}{cites}", said.text), &asked);
    if said.text.trim().is_empty() {
        doubts.push("it says nothing".to_owned());
    }
    if !judgement.unsupported.is_empty() {
        doubts.push(
            "it claims what stands neither in the change to that file nor in a record that it cites"
                .to_owned(),
        );
    }
    Finding {
        file: said.file,
        line: said.line.filter(|line| *line > 0),
        severity: said.severity,
        text: said.text,
        cites: judgement.cited,
        doubts,
        unsupported: judgement.unsupported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectId;

    #[test]
    fn a_finding_must_be_seen_in_the_change() {
        let diff = Diff::parse(
            "--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1,1 +1,2 @@\n let old_name = 1;\n+let new_name = 2;\n",
        );
        let record = PromptRecord {
            number: 1,
            key: "k".to_owned(),
            id: ObjectId::of(b""),
            score: 1.0,
            content: "DP-7 renamed it".to_owned(),
        };
        let answer = r#"```json
            {"findings": [
              {"file": "src/a.rs", "line": 2, "severity": "error", "text": "`new_name` was renamed by DP-7", "records": [1]},
              {"file": "src/a.rs", "line": 9, "severity": "fatal", "text": "new_name is new"},
              {"file": "src/b.rs", "text": "look here"},
              {"file": "src/a.rs", "line": 2, "text": "other_name is gone", "records": [4]}
            ]}
            ```"#;
        let found = read(answer, &diff, &[record]).expect("findings");
        let doubts: Vec<usize> = found.iter().map(|finding| finding.doubts.len()).collect();
        assert_eq!(doubts, [0, 1, 1, 1], "{found:#?}");
        assert_eq!((found[0].severity, found[1].severity), (Severity::Error, Severity::Note));
        assert_eq!(found[0].cites, [1]);
        let unsupported: Vec<&str> = found[3].unsupported.iter().map(|claim| claim.text.as_str()).collect();
        assert_eq!(unsupported, ["other_name", "[4]"]);
        assert!(read("nothing to see", &diff, &[]).is_none());
    }
}
