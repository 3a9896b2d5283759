//! Probes of the SFT firewall: each layer alone against rows that must not pass, and the door that `--include-partial`
//! opens.
//!
//! Rests on the exporter and on the record type. Invariant: every probe has a control that must pass, so that a layer which
//! refuses everything is no layer.

use std::collections::BTreeMap;

use crate::ops::acceptance::scene::Scene;
use crate::ops::checks::exports::Quality;
use crate::ops::checks::{Breach, Found, Subject};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::fault::Fault;
use crate::pipeline::export::sft::{self, Layers};
use crate::pipeline::export::{Screen, Verdict};
use crate::pipeline::secret::{Scanner, Table};
use crate::record::Category;
use crate::record::EvidenceRecord;
use crate::record::Record as _;
use crate::record::ScoredRun;
use crate::record::SftSample;

/// Words that no SFT row may have for a quality: the forbidden categories, spellings near the allowed ones, and others.
const PLANTED: [&str; 7] =
    ["rejected", "needs_human_review", "Accepted", "accepted ", "partially accepted", "golden", ""];

/// The rows of the partial run's SFT export are those of the run without it and partially accepted ones.
pub(super) fn partial(scene: &Scene, subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let report = match &scene.partial {
        Ok(report) => report,
        Err(error) => {
            found.push(Breach::new(format!("the run with partial rows failed: {}", error.message)));
            return Ok(());
        }
    };
    let opened = Subject::load(&scene.main, scene.main.commit(report.commit_id)?)?;
    let before = qualities(subject)?;
    let after = qualities(&opened)?;
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        found.push(Breach::of("exports/sft", key, "it left the export when partial rows came in"));
    }
    let mut added = 0;
    for (key, word) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
        added += 1;
        let run = opened.record::<ScoredRun>("scored-runs", key)?.map(|(_, run)| run);
        let category = run.as_ref().map(|run| run.category);
        let wanted = Category::PartiallyAccepted;
        found.require(category == Some(wanted) && word == wanted.as_str(), || {
            let said = category.map_or("nothing", Category::as_str);
            let breach =
                Breach::of("exports/sft", key, format!("it is called `{word}`, and scoring said `{said}`"));
            run.iter().fold(breach, |breach, run| breach.from(&run.provenance))
        });
    }
    found.require(added > 0, || Breach::new("the fixture has partially accepted runs, and none came in"));
    Ok(())
}

/// The quality of each SFT row, by key, as it stands in the bytes.
fn qualities(subject: &Subject<'_>) -> Result<BTreeMap<String, String>, OpError> {
    let mut words = BTreeMap::new();
    for entry in subject.entries("exports/sft") {
        let entry = entry?;
        let word = serde_json::from_slice::<Quality>(&subject.bytes(&entry.id)?).map(|q| q.quality_score);
        words.insert(entry.key, word.unwrap_or_default());
    }
    Ok(words)
}

/// The type refuses planted rows at parsing; the row that they are made of passes.
pub(super) fn type_layer(scene: &Scene, subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let lax = scene.has(Fault::LaxType);
    let Some(entry) = subject.entries("exports/sft").next().transpose()? else {
        found.push(Breach::new("there is no SFT row to forge"));
        return Ok(());
    };
    let row: serde_json::Value = match serde_json::from_slice(&subject.bytes(&entry.id)?) {
        Ok(row) => row,
        Err(error) => {
            found.push(Breach::of("exports/sft", &entry.key, format!("it cannot be read: {error}")));
            return Ok(());
        }
    };
    found.require(parses(row.clone(), lax), || {
        Breach::of("exports/sft", &entry.key, "the control, a row of the export, does not parse")
    });
    for word in PLANTED {
        let mut forged = row.clone();
        forged["quality_score"] = word.into();
        found.require(!parses(forged, lax), || {
            Breach::of("exports/sft", &entry.key, format!("as `{word}` it parses as an SFT row"))
        });
    }
    for missing in [serde_json::Value::Null, serde_json::Value::Bool(true)] {
        let mut forged = row.clone();
        forged["quality_score"] = missing;
        found.require(!parses(forged, lax), || {
            Breach::of("exports/sft", &entry.key, "it parses as an SFT row without a word for a quality")
        });
    }
    Ok(())
}

/// Whether JSON is an SFT row; `lax` is the defect of a type that takes any quality.
fn parses(mut row: serde_json::Value, lax: bool) -> bool {
    if lax {
        row["quality_score"] = Category::Accepted.as_str().into();
    }
    serde_json::to_vec(&row).is_ok_and(|bytes| SftSample::parse(&bytes).is_ok())
}

/// The exporter's own list refuses what scoring did not accept, with the type left out; an accepted run passes.
pub(super) fn never_list(scene: &Scene, subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    let layers = Layers { types: false, never: !scene.has(Fault::NoNeverList) };
    let scanner = Scanner::new(&Table::embedded()?)?;
    let (mut control, mut forbidden) = (0, 0);
    subject.each::<EvidenceRecord>("evidence", found, |entry, record, found| {
        let Some((_, run)) = subject.record::<ScoredRun>("scored-runs", &entry.key)? else { return Ok(()) };
        let verdict =
            sft::export_through(layers, entry.id, &record, &run, &Screen::new(&scanner, &record), true);
        match run.category {
            Category::Rejected | Category::NeedsHumanReview => {
                forbidden += 1;
                found.require(matches!(verdict, Verdict::Skipped(_)), || {
                    let detail = format!("it is `{}`, and the exporter's list let it through", run.category);
                    Breach::of("scored-runs", &entry.key, detail).from(&record.provenance)
                });
            }
            Category::Accepted | Category::PartiallyAccepted => {
                control += usize::from(matches!(verdict, Verdict::Row(..)));
            }
        }
        Ok(())
    })?;
    found.require(control > 0 && forbidden > 0, || {
        Breach::new(format!("{control} runs passed and {forbidden} were forbidden: this proves nothing"))
    });
    Ok(())
}

/// Runs over an SFT file that was changed, before it was read back and after it was checked out, fail and say so.
pub(super) fn read_back(scene: &Scene, found: &mut Found) {
    match &scene.tampered {
        Ok(report) => found.push(Breach::new(format!(
            "a row of the written SFT file became `rejected`, and the run ended well as {}",
            report.commit_id.object().short(12)
        ))),
        Err(error) => {
            let loud = error.kind == ErrorKind::Refused && error.message.contains("firewall");
            found.require(loud, || {
                Breach::new(format!("the run over it failed otherwise: {}", error.message))
            });
        }
    }
    let (ended, head_stayed) = &scene.by_hand;
    match ended {
        Ok(_) => found.push(Breach::new("a row was added to the checked-out SFT file, and the run went on")),
        Err(error) => {
            let loud =
                error.kind == ErrorKind::Refused && error.message.contains("instruction_response.jsonl");
            found.require(loud, || {
                Breach::new(format!("the run over it failed otherwise: {}", error.message))
            });
        }
    }
    found.require(*head_stayed, || Breach::new("a run that was refused moved the branch"));
}
