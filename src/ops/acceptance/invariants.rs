//! The 22 invariants: number, name, what each protects, and how it is checked.
//!
//! Rests on `checks` for what is true of any commit, and adds what is true of the fixture: what it must refuse, what must
//! come out twice, what must fail. Invariant: each looks at one thing, so that one defect fells one of them, which
//! `power` shows.

use std::collections::BTreeSet;

use memchr::memmem;

use crate::ops::acceptance::fixture::{self, REFUSED, SKIPPED, UNREADABLE, credentials};
use crate::ops::acceptance::probes;
use crate::ops::acceptance::scene::{Ended, Scene};
use crate::ops::checks::{
    Breach, Found, Subject, evidence, exports, fates, pairs, receipts, refusals, scores,
};
use crate::ops::error::{ErrorKind, OpError};
use crate::record::DuplicateEntry;
use crate::record::EvidenceRecord;
use crate::record::Provenance;
use crate::record::QuarantineEntry;
use crate::record::Severity;
use crate::record::{quarantine_key, source_key};

/// One invariant.
pub(super) struct Invariant {
    pub number: u8,
    pub name: &'static str,
    pub protects: &'static str,
    pub check: fn(&Scene, &Subject<'_>, &mut Found) -> Result<(), OpError>,
}

/// All of them, in order of number.
pub(super) const INVARIANTS: [Invariant; 22] = [
    Invariant {
        number: 1,
        name: "every unit has exactly one fate, and rows_in is their sum, at every stage",
        protects: "that nothing is lost without a word",
        check: one_fate,
    },
    Invariant {
        number: 2,
        name: "unreadable rows are quarantined with file, line and byte offset, and their bytes are kept",
        protects: "that a broken row can be found, and read once it is mended",
        check: unreadable,
    },
    Invariant {
        number: 3,
        name: "every evidence record validates",
        protects: "everything downstream, which reads evidence by its schema",
        check: |_, subject, found| evidence::valid(subject, found),
    },
    Invariant {
        number: 4,
        name: "every sig_hash recomputes",
        protects: "that a record is of the row it says it is of",
        check: |_, subject, found| evidence::signatures(subject, found),
    },
    Invariant {
        number: 5,
        name: "a second run gives identical dataset ids",
        protects: "that a re-run is a proof: no clock, no run id, no chance in a dataset",
        check: |scene, _, found| {
            same(scene, found, "again, from its memo", &scene.warm);
            same(scene, found, "again, from the files", &scene.cold);
            Ok(())
        },
    },
    Invariant {
        number: 6,
        name: "shuffled files and one or many threads give identical ids",
        protects: "that the result is the same on another machine",
        check: |scene, _, found| {
            for (how, ended) in &scene.elsewhere {
                same(scene, found, how, ended);
            }
            Ok(())
        },
    },
    Invariant {
        number: 7,
        name: "every evidence record has exactly one scored run",
        protects: "that nothing is exported, or left out, unjudged",
        check: |_, subject, found| scores::one_each(subject, found),
    },
    Invariant {
        number: 8,
        name: "only the four categories, each with a deciding rule",
        protects: "that every judgement can be traced to a rule of the policy",
        check: |_, subject, found| scores::legal(subject, found),
    },
    Invariant {
        number: 9,
        name: "a human override beats every machine signal",
        protects: "that a person has the last word",
        check: people,
    },
    Invariant {
        number: 10,
        name: "default SFT holds accepted only",
        protects: "the SFT corpus from what is not wholly good",
        check: |_, subject, found| exports::sft_is_trainable(subject, found),
    },
    Invariant {
        number: 11,
        name: "--include-partial adds partially accepted only",
        protects: "the SFT corpus, when its door is opened a little",
        check: |scene, subject, found| probes::partial(scene, subject, found),
    },
    Invariant {
        number: 12,
        name: "the SFT type cannot hold a forbidden category",
        protects: "the first layer of the SFT firewall",
        check: |scene, subject, found| probes::type_layer(scene, subject, found),
    },
    Invariant {
        number: 13,
        name: "SFT_NEVER catches forbidden categories with the type layer bypassed",
        protects: "the second layer of the SFT firewall",
        check: |scene, subject, found| probes::never_list(scene, subject, found),
    },
    Invariant {
        number: 14,
        name: "a tampered SFT file on disk makes the run fail loudly",
        protects: "the third layer of the SFT firewall, and the files that consumers read",
        check: |scene, _, found| {
            probes::read_back(scene, found);
            Ok(())
        },
    },
    Invariant {
        number: 15,
        name: "RAG rows are non-empty and grounded",
        protects: "retrieval from documents that say nothing, or come from nowhere",
        check: |_, subject, found| exports::rag_is_grounded(subject, found),
    },
    Invariant {
        number: 16,
        name: "no preference pair of a run with itself",
        protects: "preference training from a run that is better than itself",
        check: |_, subject, found| pairs::no_self(subject, found),
    },
    Invariant {
        number: 17,
        name: "no preference pair of identical text, after normalisation too",
        protects: "preference training from learning white space",
        check: |_, subject, found| pairs::no_same_text(subject, found),
    },
    Invariant {
        number: 18,
        name: "pairs join one task, and chosen was judged strictly better",
        protects: "preference training from pairs that nobody judged",
        check: |_, subject, found| pairs::judged(subject, found),
    },
    Invariant {
        number: 19,
        name: "every export row walks to its source row by hashes",
        protects: "the answer to where a row comes from",
        check: |_, subject, found| exports::rows_walk(subject, found),
    },
    Invariant {
        number: 20,
        name: "every refusal is in quarantine and counted; a planted credential reaches no export",
        protects: "that what was refused can be found, and that secrets stay in the house",
        check: refused,
    },
    Invariant {
        number: 21,
        name: "receipts chain: each stage's inputs are the ids the stage before put out",
        protects: "that the receipts of a run are of that run",
        check: |_, subject, found| receipts::chain(subject, found),
    },
    Invariant {
        number: 22,
        name: "an identical rerun drifts by zero, and a loss of 25 % of one metric is flagged",
        protects: "that a corpus which shrank is noticed, and one which did not raises no alarm",
        check: |scene, _, found| {
            drift(scene, found);
            Ok(())
        },
    },
];

/// Every unit has one fate; and every line of the fixture's files is a unit, and became evidence, a repetition or a
/// refusal, but for those that a rule leaves out.
fn one_fate(_: &Scene, subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    fates::one_each(subject, found)?;
    let mut fates = BTreeSet::new();
    let mut add = |at: Provenance| fates.insert((at.source_file, at.line_offset));
    subject.each::<EvidenceRecord>("evidence", found, |_, record, _| {
        add(record.provenance);
        Ok(())
    })?;
    for entry in subject.below("duplicates", "evidence/") {
        if let Some((_, record)) = subject.record::<DuplicateEntry>("duplicates", &entry?.key)? {
            add(record.provenance);
        }
    }
    for entry in subject.below("quarantine", "evidence/") {
        if let Some((_, record)) = subject.record::<QuarantineEntry>("quarantine", &entry?.key)? {
            add(record.provenance);
        }
    }
    for (name, bytes) in fixture::sources() {
        let Some(lines) = fixture::lines(name, &bytes) else { continue };
        for number in 0..lines.len() as u64 {
            let unit = source_key(name, number).unwrap_or_default();
            found.require(subject.get("sources", &unit)?.is_some(), || {
                Breach::new("this line is not in `sources`").at(name, number)
            });
            let is_left_out = SKIPPED.contains(&(name, number));
            found.require(fates.contains(&(name.to_owned(), number)) != is_left_out, || {
                let detail =
                    if is_left_out { "this line should be left out" } else { "this line has no fate" };
                Breach::new(detail).at(name, number)
            });
        }
    }
    Ok(())
}

/// What cannot be read is refused as it should be; and what the fixture says cannot be read is among it.
fn unreadable(_: &Scene, subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    refusals::unreadable(subject, found)?;
    for (file, line, reason, offset) in UNREADABLE {
        let number = line as u64;
        let breach = |detail: String| Breach::new(detail).at(file, number);
        let unit = source_key(file, number).unwrap_or_default();
        let key = quarantine_key("evidence", reason, &unit).unwrap_or_default();
        let Some((_, entry)) = subject.record::<QuarantineEntry>("quarantine", &key)? else {
            found.push(breach(format!("it is not in quarantine as `{reason}`")));
            continue;
        };
        let place = (entry.provenance.source_file.as_str(), entry.provenance.line_offset);
        found.require(place == (file, number), || {
            breach(format!("its entry says that it is line {} of {}", place.1 + 1, place.0))
        });
        let said = format!("at byte {offset}");
        found.require(entry.detail.ends_with(&said), || {
            breach(format!("its entry does not say `{said}`: {}", entry.detail))
        });
        let source = fixture::sources().find(|(name, _)| *name == file).map(|(_, bytes)| bytes);
        let bytes = source.as_deref().and_then(|bytes| fixture::lines(file, bytes)?.get(line).copied());
        found.require(bytes == Some(&*subject.bytes(&entry.refused_id)?), || {
            breach("the bytes that are kept are not those of the line".to_owned())
        });
    }
    Ok(())
}

/// People decide; and the fixture holds a verdict of theirs against every machine signal, up and down.
fn people(_: &Scene, subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    scores::people_decide(subject, found)?;
    let mut heard = 0;
    subject.each::<EvidenceRecord>("evidence", found, |entry, record, _| {
        let row = entry.key.rsplit('/').next().unwrap_or_default();
        let against = ["outcome", "tests", "observer", "markers"]
            .iter()
            .flat_map(|signal| ["up", "down"].map(|way| format!("person-over-{signal}-{way}")));
        let is_one = against.chain([
            "person-over-all".to_owned(),
            "person-in-part".to_owned(),
            "person-unsure".to_owned(),
            "person-strange".to_owned(),
        ]);
        heard += usize::from(record.human_override.is_some() && is_one.into_iter().any(|name| name == row));
        Ok(())
    })?;
    found.require(heard == 12, || {
        Breach::new(format!("the fixture should hold 12 verdicts of people against machines, not {heard}"))
    });
    Ok(())
}

/// Refusals are kept and counted; and what the fixture must refuse is among them.
fn refused(_: &Scene, subject: &Subject<'_>, found: &mut Found) -> Result<(), OpError> {
    refusals::kept(subject, found)?;
    for (stage, reason, end) in REFUSED {
        let mut there = false;
        for entry in subject.below("quarantine", &format!("{stage}/{reason}/")) {
            there |= entry?.key.ends_with(end);
        }
        found.require(there, || {
            Breach::new(format!("`{stage}` should refuse `{end}` as `{reason}`, and there is no such entry"))
        });
    }
    let credentials = credentials();
    for dataset in ["exports/rag", "exports/sft", "exports/preference", "quarantine"] {
        for entry in subject.entries(dataset) {
            let entry = entry?;
            let bytes = subject.bytes(&entry.id)?;
            let leaked = credentials.iter().find(|(_, text)| memmem::find(&bytes, text.as_bytes()).is_some());
            if let Some((form, _)) = leaked {
                found.push(Breach::of(
                    dataset,
                    &entry.key,
                    format!("it holds the planted credential, {form}"),
                ));
            }
        }
    }
    Ok(())
}

/// Notes where a run did not give the datasets of the one that is looked at.
fn same(scene: &Scene, found: &mut Found, how: &str, ended: &Ended) {
    let other = match ended {
        Ok(report) => &report.datasets,
        Err(error) => return found.push(Breach::new(format!("the run {how} failed: {}", error.message))),
    };
    for (dataset, root) in scene.datasets() {
        let now = other.get(dataset);
        found.require(now == Some(root), || {
            let now = now.map_or_else(|| "absent".to_owned(), ToString::to_string);
            Breach { record: Some(dataset.clone()), ..Breach::new(format!("{how}: {root} became {now}")) }
        });
    }
}

/// Drift is silent about a rerun, and speaks of a loss.
fn drift(scene: &Scene, found: &mut Found) {
    match &scene.warm {
        Err(error) => found.push(Breach::new(format!("the second run failed: {}", error.message))),
        Ok(report) => {
            let drift = &report.drift;
            found.require(drift.baseline.is_some(), || Breach::new("the rerun was compared with nothing"));
            found.require(drift.severity == Severity::None, || {
                Breach::new(format!("an identical rerun is called `{}`", drift.severity.as_str()))
            });
            for metric in drift.metrics.iter().filter(|metric| metric.before != Some(metric.after)) {
                let detail = format!("a rerun changed it from {:?} to {}", metric.before, metric.after);
                found.push(Breach { record: Some(metric.name.clone()), ..Breach::new(detail) });
            }
            for moved in drift.datasets.iter().filter(|d| d.added + d.removed + d.modified > 0) {
                let detail = "a rerun changed its rows";
                found.push(Breach { record: Some(moved.dataset.clone()), ..Breach::new(detail) });
            }
        }
    }
    let (ended, rows) = &scene.loss;
    match ended {
        Err(error) if error.kind == ErrorKind::Refused => {
            found.push(Breach::new(format!("the run over less was refused: {}", error.message)));
        }
        Err(error) => found.push(Breach::new(format!("the run over less failed: {}", error.message))),
        Ok(report) => {
            let metric = report.drift.metrics.iter().find(|metric| metric.name == "p4_sft_rows");
            let flagged = metric.is_some_and(|metric| {
                metric.severity >= Severity::Warn
                    && metric.before == Some(*rows)
                    && metric.after == rows - rows.div_ceil(4)
            });
            found.require(flagged, || {
                let now = metric.map_or(0, |metric| metric.after);
                let detail = format!("it fell from {rows} to {now}, and drift did not flag it");
                Breach { record: Some("p4_sft_rows".to_owned()), ..Breach::new(detail) }
            });
        }
    }
}
