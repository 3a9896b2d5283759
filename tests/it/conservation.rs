//! Nothing is lost: every unit has one fate, every refusal says why and where, every row walks back to its bytes.
//!
//! Over the bundled sample, and over tau-bench, aider-swe-bench and hh-rlhf where `DISTILL_REAL_DATA` names a folder
//! that holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use distill::base::json;
use distill::object::FindExt as _;
use distill::object::ObjectId;
use distill::ops::run::What;
use distill::pipeline::source::embedded;
use distill::record::Category;
use distill::record::DuplicateEntry;
use distill::record::EvidenceRecord;
use distill::record::PassFail;
use distill::record::PreferenceSample;
use distill::record::Provenance;
use distill::record::QuarantineEntry;
use distill::record::RagSample;
use distill::record::Record;
use distill::record::ScoredRun;
use distill::record::SftSample;
use distill::record::source_key;
use distill::repo::{Commit, Repo};
use distill::tree;
use sha2::Digest as _;

use crate::engine::{Place, Rng, receipts};
use crate::freeze::sample_in;

/// A repository as its last commit left it.
pub(crate) struct View {
    pub(crate) repo: Repo,
    pub(crate) head: Commit,
}

impl View {
    pub(crate) fn of(place: &Place) -> Self {
        Self { repo: place.repo(), head: place.head() }
    }

    pub(crate) fn entries(&self, dataset: &str) -> BTreeMap<String, ObjectId> {
        let root = self.head.dataset(dataset).expect("the dataset");
        tree::iter(self.repo.store(), root).map(|e| e.expect("an entry")).map(|e| (e.key, e.id)).collect()
    }

    pub(crate) fn records<R: Record>(&self, dataset: &str) -> BTreeMap<String, R> {
        let read = |(key, id): (String, ObjectId)| {
            let bytes = self.repo.store().find(&id).expect("an object");
            let record = R::parse(&bytes).unwrap_or_else(|e| panic!("{dataset}/{key}: {e}"));
            assert_eq!(record.validate(), Vec::new(), "{dataset}/{key}");
            assert_eq!(record.to_object_bytes().expect("JSON"), *bytes, "{dataset}/{key} is canonical");
            (key, record)
        };
        self.entries(dataset).into_iter().map(read).collect()
    }
}

/// A row of an export walks to its evidence and its raw unit, and every hash on the way is that of the bytes there.
fn walk(view: &View, sources: &BTreeMap<String, ObjectId>, provenance: &Provenance) {
    let unit = source_key(&provenance.source_file, provenance.line_offset).expect("a key");
    assert_eq!(sources.get(&unit), Some(&provenance.raw_id), "{unit}");
    let raw = view.repo.store().find(&provenance.raw_id).expect("the raw unit");
    let mut canonical = Vec::new();
    if json::canonicalize(&raw, &mut canonical).is_err() {
        // A file of several texts is known by their canonical forms, a line each.
        canonical.clear();
        for line in raw.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            json::canonicalize(line, &mut canonical).expect("an exported row parses");
            canonical.push(b'\n');
        }
    }
    let sig_hash = hex::encode(sha2::Sha256::digest(&canonical));
    assert_eq!(provenance.sig_hash.as_deref(), Some(sig_hash.as_str()), "{unit}");
}

pub(crate) fn check(place: &Place) -> View {
    let view = View::of(place);
    let receipts = receipts(&view.repo, &view.head);
    for (stage, receipt) in &receipts {
        let c = receipt.counts;
        assert_eq!(c.rows_in, c.consumed + c.duplicates + c.quarantined + c.skipped + c.redacted, "{stage}");
        assert_eq!(receipt.skipped_by.values().sum::<u64>(), c.skipped, "{stage}");
        assert_eq!(receipt.quarantined_by.values().sum::<u64>(), c.quarantined, "{stage}");
        for output in &receipt.outputs {
            assert_eq!(view.head.dataset(&output.dataset), Some(output.root), "{stage}");
            let totals = tree::totals(view.repo.store(), output.root).expect("totals");
            assert_eq!((output.rows, output.bytes), (totals.rows, totals.bytes), "{stage}");
        }
        for input in receipt.inputs.iter().filter(|i| !i.dataset.starts_with("file:")) {
            let made = receipts.values().flat_map(|r| &r.outputs).find(|o| o.dataset == input.dataset);
            assert_eq!(made.map(|o| (o.root, o.rows)), Some((input.root, input.rows)), "{stage}");
        }
    }
    let counts = |stage: &str| receipts[stage].counts;
    let sources = view.entries("sources");
    assert_eq!(counts("sources").rows_in, sources.len() as u64);
    assert_eq!(counts("evidence").rows_in, sources.len() as u64);
    let evidence = view.records::<EvidenceRecord>("evidence");
    let evidence_ids = view.entries("evidence");
    assert_eq!(counts("evidence").records, evidence.len() as u64);
    let scored = view.records::<ScoredRun>("scored-runs");
    assert!(scored.keys().eq(evidence.keys()), "datasets join by key");
    assert_eq!(counts("score").rows_in, evidence.len() as u64);
    let (rag, sft) = (view.records::<RagSample>("exports/rag"), view.records::<SftSample>("exports/sft"));
    let pairs = view.records::<PreferenceSample>("exports/preference");
    for (stage, rows) in
        [("export-rag", rag.len()), ("export-sft", sft.len()), ("export-preference", pairs.len())]
    {
        assert_eq!(counts(stage).rows_in, evidence.len() as u64, "{stage}");
        assert_eq!(counts(stage).records, rows as u64, "{stage}");
    }

    let quarantine = view.records::<QuarantineEntry>("quarantine");
    let refused: u64 = receipts.values().map(|r| r.counts.quarantined).sum();
    assert_eq!(quarantine.len() as u64, refused);
    for (key, entry) in &quarantine {
        assert!(key.starts_with(&format!("{}/{}/", entry.stage, entry.reason)), "{key}");
        let unit = source_key(&entry.provenance.source_file, entry.provenance.line_offset).expect("a key");
        assert_eq!(sources.get(&unit), Some(&entry.provenance.raw_id), "{key}");
        view.repo.store().find(&entry.refused_id).expect("what was refused is kept");
    }
    let duplicates = view.records::<DuplicateEntry>("duplicates");
    let repeated: u64 = receipts.values().map(|r| r.counts.duplicates).sum();
    assert_eq!(duplicates.len() as u64, repeated);
    for (key, entry) in &duplicates {
        let first = &evidence[&entry.duplicate_of];
        view.repo.store().find(&entry.refused_id).expect("what repeats is kept");
        match entry.stage.as_str() {
            "evidence" => {
                assert_eq!(first.provenance.sig_hash, entry.provenance.sig_hash, "{key}");
                let at = |p: &Provenance| (p.source_file.clone().into_bytes(), p.line_offset);
                assert!(
                    at(&first.provenance) < at(&entry.provenance),
                    "{key}: the first in source order stays"
                );
            }
            "export-rag" => assert!(rag.contains_key(&entry.duplicate_of), "{key}"),
            "export-sft" => assert!(sft.contains_key(&entry.duplicate_of), "{key}"),
            _ => assert_eq!(entry.stage, "export-preference"),
        }
    }
    let gathered = counts("quarantine");
    assert_eq!(gathered.rows_in, (quarantine.len() + duplicates.len()) as u64);

    for (key, row) in &rag {
        assert_eq!((&row.id, row.evidence_id), (key, evidence_ids[key]));
        assert_eq!(row.provenance, evidence[key].provenance);
        walk(&view, &sources, &row.provenance);
    }
    for (key, row) in &sft {
        assert_eq!((&row.id, row.evidence_id), (key, evidence_ids[key]));
        assert_eq!(scored[key].category, Category::Accepted);
        assert_eq!(row.provenance, evidence[key].provenance);
        walk(&view, &sources, &row.provenance);
    }
    let known: BTreeMap<ObjectId, &String> = evidence_ids.iter().map(|(key, id)| (*id, key)).collect();
    for (key, row) in &pairs {
        assert_eq!(&row.id, key);
        let (chosen, rejected) = (known[&row.evidence_ids.chosen], known[&row.evidence_ids.rejected]);
        let (a, b) = (&evidence[chosen], &evidence[rejected]);
        match (&a.comparison, &b.comparison) {
            (Some(a), Some(b)) => assert!(a.group == b.group && a.rank < b.rank, "{key}"),
            _ => {
                assert!(a.task_id.is_some() && a.task_id == b.task_id, "{key}: pairs stay within a task");
                assert!(better(scored[chosen].category) > better(scored[rejected].category), "{key}");
            }
        }
        for side in [&row.provenance.chosen, &row.provenance.rejected] {
            walk(&view, &sources, side);
        }
    }
    for run in scored.values() {
        assert!(!run.reasons.is_empty() && !run.deciding_rule.is_empty());
        assert_eq!(evidence_ids[&run.key], run.evidence_id);
    }
    view
}

fn better(category: Category) -> i32 {
    match category {
        Category::Accepted => 3,
        Category::PartiallyAccepted => 2,
        Category::Rejected => 1,
        Category::NeedsHumanReview => 9,
    }
}

#[test]
fn the_sample_is_conserved() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = sample_in(dir.path(), &mut Rng::new(7));
    place.run(What::All);
    let view = check(&place);
    // The sample would prove little if it held nothing to refuse, repeat or leave out.
    let receipts = receipts(&view.repo, &view.head);
    assert!(receipts["evidence"].counts.quarantined > 5 && receipts["evidence"].counts.duplicates > 5);
    assert!(!receipts["evidence"].skipped_by.is_empty());
    let reasons: BTreeSet<&String> = receipts.values().flat_map(|r| r.quarantined_by.keys()).collect();
    assert!(reasons.len() > 3, "{reasons:?}");
}

/// A repository over real data, run once; nothing where the data is not here.
pub(crate) fn real(name: &str) -> Option<(tempfile::TempDir, Place)> {
    real_in(name, name)
}

/// As [`real`], by the embedded spec `name` over the data set in `folder`.
pub(crate) fn real_in(name: &str, folder: &str) -> Option<(tempfile::TempDir, Place)> {
    let Some(data) = std::env::var_os("DISTILL_REAL_DATA") else {
        println!("skipped: DISTILL_REAL_DATA is not set, {folder} is not read");
        return None;
    };
    let dir = tempfile::tempdir().expect("a folder");
    let place = embedded_in(dir.path(), name);
    let base = PathBuf::from(data).join(folder);
    place.write(".distill/config.toml", format!("base = {:?}\n", base.to_str().expect("UTF-8")));
    place.run(What::All);
    Some((dir, place))
}

/// A repository in `root` with the embedded spec `name` and the policy that ships.
pub(crate) fn embedded_in(root: &Path, name: &str) -> Place {
    let (_, spec) = embedded().iter().find(|(n, _)| *n == name).expect("an embedded spec");
    let place = Place::new(root, &[(name, spec)]);
    let policy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".distill/policy.toml");
    place.write(".distill/policy.toml", std::fs::read(policy).expect("the policy"));
    place
}

/// What the source itself says of a run decides, both ways.
fn outcomes_decide(view: &View) -> (usize, usize) {
    let evidence = view.records::<EvidenceRecord>("evidence");
    let scored = view.records::<ScoredRun>("scored-runs");
    let (mut passed, mut failed) = (0, 0);
    for (key, record) in &evidence {
        match record.validation_results.get("outcome") {
            Some(PassFail::Pass) => {
                passed += 1;
                assert_ne!(scored[key].category, Category::Rejected, "{key}");
            }
            Some(PassFail::Fail) => {
                failed += 1;
                assert_ne!(scored[key].category, Category::Accepted, "{key}");
            }
            // Checks that failed may speak against a run; none that passed speaks for one.
            None => assert_ne!(scored[key].category, Category::Accepted, "{key}"),
        }
    }
    (passed, failed)
}

#[test]
fn tau_bench_is_conserved_and_pairs_within_tasks() {
    let Some((_dir, place)) = real("tau-bench") else { return };
    let view = check(&place);
    let (passed, failed) = outcomes_decide(&view);
    assert!(passed > 10 && failed > 10, "{passed} passed, {failed} failed");
    let known: BTreeMap<ObjectId, String> =
        view.entries("evidence").into_iter().map(|(k, id)| (id, k)).collect();
    let evidence = view.records::<EvidenceRecord>("evidence");
    let pairs = view.records::<PreferenceSample>("exports/preference");
    assert!(!pairs.is_empty());
    for (key, pair) in &pairs {
        let outcome = |id: &ObjectId| evidence[&known[id]].validation_results.get("outcome").copied();
        assert_eq!(outcome(&pair.evidence_ids.chosen), Some(PassFail::Pass), "{key}");
        assert_eq!(outcome(&pair.evidence_ids.rejected), Some(PassFail::Fail), "{key}");
    }
}

#[test]
fn aider_is_conserved() {
    let Some((_dir, place)) = real("aider-swe-bench") else { return };
    let (passed, failed) = outcomes_decide(&check(&place));
    assert!(passed + failed > 10, "{passed} passed, {failed} failed");
}

#[test]
fn hh_rlhf_makes_pairs_but_no_sft() {
    let Some((_dir, place)) = real("hh-rlhf") else { return };
    let view = check(&place);
    assert!(view.entries("exports/sft").is_empty());
    assert!(!view.entries("exports/preference").is_empty());
}
