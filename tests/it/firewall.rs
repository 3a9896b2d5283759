//! The three layers of the SFT firewall, each on its own.

use distill::object::FindExt as _;
use distill::object::Kind;
use distill::object::Write as _;
use distill::ops::ErrorKind;
use distill::ops::run::{RunOptions, What};
use distill::pipeline::export::sft::SFT_NEVER;
use distill::record::Category;
use distill::record::Record as _;
use distill::record::SftSample;
use distill::record::TrainableCategory;
use distill::store::{OpRequest, RefChange};
use distill::tree;

use crate::engine::{LINES, Place};

const ROWS: &str = concat!(
    r#"{"id":"good","run":"r1","task":"t","ask":"q","say":"right","ok":true}"#,
    "\n",
    r#"{"id":"bad","run":"r2","task":"t","ask":"q","say":"wrong","ok":false}"#,
    "\n",
    r#"{"id":"open","run":"r3","task":"t","ask":"q","say":"who knows"}"#,
    "\n",
);

fn place(dir: &tempfile::TempDir) -> Place {
    let place = Place::new(dir.path(), &[("lines", LINES)]);
    place.write("in/a.jsonl", ROWS);
    place.run(What::All);
    place
}

/// The one SFT row of [`place`].
fn sft_row(place: &Place) -> (String, Vec<u8>) {
    let (repo, head) = (place.repo(), place.head());
    let root = head.dataset("exports/sft").expect("the dataset");
    let entries: Vec<_> = tree::iter(repo.store(), root).map(|e| e.expect("an entry")).collect();
    assert_eq!(entries.len(), 1, "the rejected and the undecided run stay out");
    (entries[0].key.clone(), repo.store().find(&entries[0].id).expect("a row").to_vec())
}

#[test]
fn the_type_cannot_hold_what_is_forbidden() {
    for category in [Category::Rejected, Category::NeedsHumanReview] {
        assert!(TrainableCategory::try_from(category).is_err());
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (_, bytes) = sft_row(&place(&dir));
    SftSample::parse(&bytes).expect("the row itself");
    for word in SFT_NEVER {
        let forged =
            String::from_utf8(bytes.clone()).expect("UTF-8").replace("\"accepted\"", &format!("\"{word}\""));
        assert!(forged.contains(word));
        SftSample::parse(forged.as_bytes()).expect_err("no value of the type says so");
    }
}

#[test]
fn the_exporters_own_list_names_every_category_that_must_stay_out() {
    for category in Category::ALL {
        let forbidden = SFT_NEVER.contains(&category.as_str());
        let expected = matches!(category, Category::Rejected | Category::NeedsHumanReview);
        assert_eq!(forbidden, expected, "{}", category.as_str());
    }
}

/// Rows of a forbidden category, written into the dataset past type and exporter, stop the next export.
#[test]
fn the_written_bytes_are_read_back() {
    for word in ["rejected", "needs_human_review", "partially_accepted", "golden"] {
        let dir = tempfile::tempdir().expect("a folder");
        let place = place(&dir);
        let (key, bytes) = sft_row(&place);
        let forged = String::from_utf8(bytes).expect("UTF-8").replace("\"accepted\"", &format!("\"{word}\""));
        let (repo, mut commit) = (place.repo(), place.head());
        let old = *repo.head_commit().expect("a commit").object();
        let mut staging = repo.store().staging().expect("a staging");
        let id = staging.write(Kind::Data, forged.as_bytes()).expect("written");
        let mut builder = tree::Builder::new(&mut staging);
        builder.push(&tree::Entry { key, id, bytes: forged.len() as u64 }).expect("pushed");
        let root = builder.finish().expect("a tree").root;
        commit.datasets.insert("exports/sft".to_owned(), root);
        let new = staging.write(Kind::Data, &commit.to_bytes().expect("JSON")).expect("written");
        let change = RefChange { name: "heads/main".to_owned(), old: Some(old), new: Some(new) };
        let request = OpRequest {
            operation: "forge".to_owned(),
            message: None,
            at: commit.committed_at.clone(),
            ref_changes: vec![change],
            head: None,
            drop_packs: Vec::new(),
        };
        repo.store().publish(Some(staging), request).expect("published");
        drop(repo);
        let before = place.store_state();
        let options = RunOptions { write_files: false, ..RunOptions::new(What::Rag) };
        let error = place.try_run(&options).expect_err("the firewall stops it");
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(error.message.contains(word) && error.message.contains("line 1"), "{error}");
        assert_eq!(place.store_state(), before);
        assert_eq!(place.left_in_tmp(), Vec::<String>::new());
    }
}
