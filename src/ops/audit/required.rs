//! The 16 required checks: number, phase, name, what each asks, and how it is checked.
//!
//! Rests on `checks` for everything that is true of a commit. Invariant: the list and its numbers are part of what baselines
//! record, so a check is added at the end of it and never given another number.

use crate::base::json;
use crate::object::ObjectId;
use crate::ops::acceptance;
use crate::ops::audit::{Scope, schemas};
use crate::ops::checks::{Breach, Found, evidence, exports, fates, pairs, receipts, refusals, scores};
use crate::ops::error::OpError;
use crate::ops::recon::recon;
use crate::ops::search::{self, Corpus, RecallOptions, Searcher};
use crate::ops::verify::verify;
use crate::pipeline::score::score;
use crate::pipeline::source::{LookupSpec, Spec};
use crate::record::EvidenceRecord;
use crate::record::RagSample;
use crate::record::Record as _;
use crate::record::SftSample;
use crate::tree;

/// One required check.
pub(super) struct Required {
    pub number: u8,
    pub phase: u8,
    pub name: &'static str,
    pub asks: &'static str,
    pub check: fn(&Scope<'_>, &mut Found) -> Result<(), OpError>,
}

/// All of them, in order of number.
pub(super) const REQUIRED: [Required; 16] = [
    Required {
        number: 1,
        phase: 0,
        name: "recon-covers-streams",
        asks: "recon finds every file that the commit read and that is still there; each has a spec in its configuration",
        check: streams,
    },
    Required {
        number: 2,
        phase: 1,
        name: "schemas-with-fixtures",
        asks: "at least nine schemas are registered, and each takes its good fixture and refuses its bad one",
        check: |_, found| {
            schemas::registered(found);
            Ok(())
        },
    },
    Required {
        number: 3,
        phase: 2,
        name: "evidence-valid-and-dated",
        asks: "every evidence record validates and lies under its date",
        check: |scope, found| evidence::valid(&scope.subject, found),
    },
    Required {
        number: 4,
        phase: 2,
        name: "conservation",
        asks: "every unit has exactly one fate, and rows_in is their sum, at every stage",
        check: |scope, found| fates::one_each(&scope.subject, found),
    },
    Required {
        number: 5,
        phase: 2,
        name: "sig-hash-recomputes",
        asks: "every sig_hash recomputes from the stored bytes of its row",
        check: |scope, found| evidence::signatures(&scope.subject, found),
    },
    Required {
        number: 6,
        phase: 3,
        name: "one-legal-score-each",
        asks: "every evidence record has one scored run, of a legal category, by a rule of the stored policy",
        check: |scope, found| {
            scores::one_each(&scope.subject, found)?;
            scores::legal(&scope.subject, found)
        },
    },
    Required {
        number: 7,
        phase: 3,
        name: "re-score-is-identical",
        asks: "scoring the evidence again under the stored policy gives the identical root",
        check: rescore,
    },
    Required {
        number: 8,
        phase: 4,
        name: "sft-firewall",
        asks: "the SFT export holds what its type, the stored options and scoring allow, and nothing else",
        check: sft,
    },
    Required {
        number: 9,
        phase: 4,
        name: "rag-grounded",
        asks: "every RAG row is non-empty and grounded",
        check: |scope, found| exports::rag_is_grounded(&scope.subject, found),
    },
    Required {
        number: 10,
        phase: 4,
        name: "preference-pairs-sound",
        asks: "pairs are of two runs, two texts and one task, and the chosen side was judged better",
        check: |scope, found| {
            pairs::no_self(&scope.subject, found)?;
            pairs::no_same_text(&scope.subject, found)?;
            pairs::judged(&scope.subject, found)
        },
    },
    Required {
        number: 11,
        phase: 4,
        name: "export-conservation",
        asks: "every export row walks to its source row, and every refusal is in quarantine with its bytes",
        check: |scope, found| {
            exports::rows_walk(&scope.subject, found)?;
            refusals::unreadable(&scope.subject, found)?;
            refusals::kept(&scope.subject, found)
        },
    },
    Required {
        number: 12,
        phase: 5,
        name: "receipts-chain",
        asks: "receipts chain and count what the trees hold; digests, summary, drift report and checked-out exports agree",
        check: |scope, found| {
            receipts::chain(&scope.subject, found)?;
            receipts::reports(&scope.subject, found)?;
            receipts::digests(&scope.subject, scope.is_head.then_some(scope.repo.root()), found)
        },
    },
    Required {
        number: 13,
        phase: 6,
        name: "acceptance",
        asks: "this program passes its own acceptance, 22 of 22",
        check: accepted,
    },
    Required {
        number: 14,
        phase: 7,
        name: "retrieval-self-check",
        asks: "every RAG row can be read and has words to find it by; of those asked for by their own instruction, nine in ten \
               are answered among the first ten",
        check: retrieval,
    },
    Required {
        number: 15,
        phase: 8,
        name: "store-verifies",
        asks: "every pack, operation and object of the store is whole",
        check: verified,
    },
    Required {
        number: 16,
        phase: 8,
        name: "baseline-chain",
        asks: "data/_kb/audit_baselines.jsonl is what the audits before this one wrote",
        check: |scope, found| {
            for fault in scope.baselines.faults() {
                found.push(fault.clone());
            }
            Ok(())
        },
    },
];

/// Every file that the commit read belongs to a spec of its configuration, and recon finds those that are still there.
fn streams(scope: &Scope<'_>, found: &mut Found) -> Result<(), OpError> {
    let subject = &scope.subject;
    let mut specs = Vec::new();
    for entry in subject.commit.config_files.into_iter().flat_map(|root| tree::iter(subject.find, root)) {
        let entry = entry?;
        let name = entry.key.strip_prefix("sources/").and_then(|name| name.strip_suffix(".toml"));
        let Some(name) = name else { continue };
        let bytes = subject.bytes(&entry.id)?;
        match Spec::parse(name, &String::from_utf8_lossy(&bytes)) {
            Ok(spec) => specs.push(spec),
            Err(error) => found.push(Breach::of("config", &entry.key, error.to_string())),
        }
    }
    let seen = recon(scope.site, false, false, scope.progress)?;
    let seen: std::collections::BTreeSet<&str> =
        seen.items.iter().flat_map(|stream| &stream.files).map(|file| file.path.as_str()).collect();
    let Some((_, receipt)) = subject.receipts.get("sources") else {
        found.push(Breach::new("there is no receipt of the stage `sources`"));
        return Ok(());
    };
    for input in &receipt.inputs {
        let Some((kind, file)) = input.dataset.split_once(':') else { continue };
        if !["file", "merged"].contains(&kind) {
            continue;
        }
        let claimed = specs.iter().any(|spec| {
            let mut joined = spec.lookups().values().map(LookupSpec::files);
            spec.files().contains(file) || joined.any(|files| files.contains(file))
        });
        let breach = |detail: &str| Breach { file: Some(file.to_owned()), ..Breach::new(detail) };
        found.require(claimed, || breach("the commit read it, and no spec of its configuration names it"));
        let is_here = kind == "file" && scope.site.base.join(file).exists();
        found.require(!is_here || seen.contains(file), || breach("it is there, and recon does not find it"));
    }
    Ok(())
}

/// Scores all evidence again. The same keys with the same objects are the same tree, so rows are compared, and named.
fn rescore(scope: &Scope<'_>, found: &mut Found) -> Result<(), OpError> {
    let subject = &scope.subject;
    subject.each::<EvidenceRecord>("evidence", found, |entry, record, found| {
        let run = score(&subject.policy, entry.id, &record);
        let id = ObjectId::of(&run.to_object_bytes()?);
        let stored = subject.get("scored-runs", &entry.key)?.map(|entry| entry.id);
        found.require(stored == Some(id), || {
            let stored = stored.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
            let detail = format!("scored again it is {id}, and the commit has {stored}");
            Breach::of("scored-runs", &entry.key, detail).from(&record.provenance)
        });
        Ok(())
    })
}

/// The SFT firewall, from outside: every row is of the type, and its quality is allowed and is what scoring said.
fn sft(scope: &Scope<'_>, found: &mut Found) -> Result<(), OpError> {
    exports::sft_is_trainable(&scope.subject, found)?;
    scope.subject.each::<SftSample>("exports/sft", found, |entry, row, found| {
        for violation in row.validate() {
            let breach = Breach::of("exports/sft", &entry.key, violation.to_string());
            found.push(breach.from(&row.provenance));
        }
        Ok(())
    })
}

fn accepted(scope: &Scope<'_>, found: &mut Found) -> Result<(), OpError> {
    let options = acceptance::Options { tmp: scope.options.tmp.clone(), power: false, force: false };
    let accepted = acceptance::acceptance(None, &options, scope.progress)?;
    for item in accepted.items.into_iter().filter(|item| !item.holds) {
        let first = item.breaches.into_iter().next().unwrap_or_else(|| Breach::new("it does not hold"));
        let detail = format!("invariant {}, {}: {}", item.number, item.name, first.detail);
        found.push(Breach { detail, ..first });
    }
    Ok(())
}

/// Rows that are asked for, at most.
const RECALL_ROWS: u64 = 500;
/// The share of them that must be answered.
const RECALL_SHARE: f64 = 0.9;

/// Every RAG row can be read, and what it was made from finds it, or an answer to the same question.
fn retrieval(scope: &Scope<'_>, found: &mut Found) -> Result<(), OpError> {
    scope.subject.each::<RagSample>("exports/rag", found, |entry, row, found| {
        let breach = |detail: &str| Breach::of("exports/rag", &entry.key, detail).from(&row.provenance);
        found.require(row.content.chars().any(char::is_alphanumeric), || {
            breach("it has no word to find it by")
        });
        found.require(row.id == entry.key, || breach("it calls itself by another key"));
        let mut canonical = Vec::new();
        let bytes = scope.subject.bytes(&entry.id)?;
        let is_canonical = json::canonicalize(&bytes, &mut canonical).is_ok() && canonical == *bytes;
        found.require(is_canonical, || breach("it is not in its canonical form"));
        Ok(())
    })?;
    let readable = found.total == 0;
    let root = scope.subject.commit.dataset(search::DATASET);
    // Of rows that cannot be read no index can be made; that has been told.
    let Some(root) = root.filter(|_| readable) else { return Ok(()) };
    let corpus = Corpus {
        name: "audit".to_owned(),
        rev: scope.commit_id.to_string(),
        commit: scope.commit_id,
        dataset: search::DATASET.to_owned(),
        root,
    };
    let searcher = Searcher::open(scope.repo, corpus, scope.progress)?;
    let options = RecallOptions { rows_max: RECALL_ROWS };
    let recall = search::recall(scope.repo, &searcher, options, scope.progress)?;
    let share = recall.total.question_hit_10;
    found.require(recall.total.asked == 0 || share >= RECALL_SHARE, || {
        let key = recall.lost.first().map_or("", String::as_str);
        let detail = format!(
            "of {} rows asked for by their own instruction {:.1} % are answered among the first ten; this one is not",
            recall.total.asked,
            share * 100.0
        );
        Breach::of("exports/rag", key, detail)
    });
    Ok(())
}

fn verified(scope: &Scope<'_>, found: &mut Found) -> Result<(), OpError> {
    for finding in verify(scope.repo, None, scope.progress)?.findings {
        let object = finding.object.map(|id| id.to_string());
        let detail = format!("{}: {}", finding.kind, finding.detail);
        found.push(Breach {
            record: object,
            file: finding.place.map(|place| place.display().to_string()),
            ..Breach::new(detail)
        });
    }
    Ok(())
}
