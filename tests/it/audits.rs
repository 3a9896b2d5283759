//! `audit-full` over the acceptance fixture, the bundled sample and real data: 16 of 16; and over commits that were forged.

use std::path::Path;

use distill::base::clock::Clock;
use distill::object::FindExt as _;
use distill::object::Kind;
use distill::object::Write as _;
use distill::ops::Silent;
use distill::ops::audit::{Audit, Options, audit_full};
use distill::ops::run::What;
use distill::repo::Site;
use distill::store::{OpRequest, RefChange};

use crate::conservation::real;
use crate::engine::{LINES, Place, Rng};
use crate::freeze::sample_in;

fn audit(place: &Place) -> Audit {
    let tmp = tempfile::tempdir().expect("a folder");
    let options = Options { rev: None, tmp: tmp.path().to_owned(), write: true, force: false };
    let site = Site::at(&place.root).expect("a site");
    audit_full(&site, &options, Clock::Fixed(1_700_000_000_000), &Silent).expect("an audit")
}

/// The checks that failed, each with what it said first.
fn failed(audit: &Audit) -> Vec<(u8, String)> {
    let failed = audit.items.iter().filter(|item| !item.holds);
    failed.map(|item| (item.number, format!("{:?}", item.breaches.first()))).collect()
}

#[track_caller]
fn passes(place: &Place) {
    let audit = audit(place);
    assert_eq!(failed(&audit), []);
    assert_eq!((audit.held, audit.of, audit.passed), (16, 16, true));
}

#[test]
fn the_acceptance_fixture_passes() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/acceptance");
    let place = Place { root: dir.path().to_owned() };
    for entry in walkdir::WalkDir::new(&root).into_iter().map(|entry| entry.expect("an entry")) {
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(&root).expect("below").to_str().expect("UTF-8");
            let bytes = std::fs::read(entry.path()).expect("a fixture");
            let below = if name.starts_with("data/") { name.to_owned() } else { format!(".distill/{name}") };
            place.write(&below, bytes);
        }
    }
    place.run(What::All);
    passes(&place);
}

#[test]
fn the_sample_passes() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = sample_in(dir.path(), &mut Rng::new(11));
    place.run(What::All);
    passes(&place);
}

#[test]
fn real_data_passes() {
    for name in ["tau-bench", "aider-swe-bench", "hh-rlhf"] {
        let Some((_dir, place)) = real(name) else { return };
        passes(&place);
    }
}

/// A repository whose HEAD is its last commit, changed by `forge` past everything that a run checks.
fn forged(dir: &Path, forge: impl FnOnce(&mut distill::repo::Commit, &mut distill::store::Staging)) -> Place {
    let place = Place::new(dir, &[("lines", LINES)]);
    place.write(
        "in/a.jsonl",
        concat!(
            r#"{"id":"good","run":"r1","task":"t","ask":"q","say":"right","ok":true}"#,
            "\n",
            r#"{"id":"bad","run":"r2","task":"t","ask":"q","say":"wrong","ok":false}"#,
            "\n",
        ),
    );
    place.run(What::All);
    let (repo, mut commit) = (place.repo(), place.head());
    let old = *repo.head_commit().expect("a commit").object();
    let mut staging = repo.store().staging().expect("a staging");
    forge(&mut commit, &mut staging);
    let new = staging.write(Kind::Data, &commit.to_bytes().expect("JSON")).expect("written");
    let request = OpRequest {
        operation: "forge".to_owned(),
        message: None,
        at: commit.committed_at.clone(),
        ref_changes: vec![RefChange { name: "heads/main".to_owned(), old: Some(old), new: Some(new) }],
        head: None,
        drop_packs: Vec::new(),
    };
    repo.store().publish(Some(staging), request).expect("published");
    place
}

#[track_caller]
fn falls(numbers: &[u8], forge: impl FnOnce(&mut distill::repo::Commit, &mut distill::store::Staging)) {
    let dir = tempfile::tempdir().expect("a folder");
    let audit = audit(&forged(dir.path(), forge));
    let failed = failed(&audit);
    assert_eq!(failed.iter().map(|(number, _)| *number).collect::<Vec<_>>(), numbers, "{failed:#?}");
    assert!(!audit.passed);
}

/// Another policy than the one that scored: the stored configuration is what a commit is held against.
#[test]
fn another_stored_policy_falls() {
    falls(&[6, 7], |commit, staging| {
        let id = commit.config_id.expect("a configuration");
        let text = String::from_utf8(staging.find(&id).expect("it").to_vec()).expect("UTF-8");
        let other = text.replace(
            r#"{"category":"accepted","id":"passed""#,
            r#"{"category":"partially_accepted","id":"passed""#,
        );
        assert_ne!(text, other);
        commit.config_id = Some(staging.write(Kind::Data, other.as_bytes()).expect("written"));
    });
}

#[test]
fn datasets_that_were_emptied_fall() {
    falls(&[4, 6, 7, 8, 11, 12, 15], |commit, staging| {
        let root = distill::tree::Builder::new(staging).finish().expect("an empty tree").root;
        commit.datasets.insert("scored-runs".to_owned(), root);
        commit.datasets.insert("exports/rag".to_owned(), root);
        commit.datasets.insert("exports/preference".to_owned(), root);
    });
}

#[test]
fn a_commit_without_its_reports_falls() {
    falls(&[12], |commit, _| commit.drift_id = None);
    falls(&[12], |commit, _| commit.summary_id = None);
}

/// A commit whose source configuration names other files than it read.
#[test]
fn files_without_a_spec_fall() {
    falls(&[1], |commit, staging| {
        let root = distill::tree::Builder::new(staging).finish().expect("an empty tree").root;
        commit.config_files = Some(root);
    });
}
