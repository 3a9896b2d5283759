//! The gate on itself: it passes, and each planted defect fells the invariant of its number and no other.

use super::fixture::{FILES, hash};
use super::power::DEFECTS;
use super::{Options, judge};
use crate::ops::fault::Fault;

fn fell(faults: &[Fault]) -> Vec<(u8, String)> {
    let dir = tempfile::tempdir().expect("a folder");
    let options = Options { tmp: dir.path().to_owned(), power: false, force: false };
    let items = judge(&options, faults).expect("the fixture is refined");
    assert_eq!(items.iter().map(|item| item.number).collect::<Vec<_>>(), (1..=22).collect::<Vec<_>>());
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").collect();
    assert!(left.is_empty(), "the scene cleans up: {left:?}");
    items.into_iter().filter(|i| !i.holds).map(|i| (i.number, format!("{:?}", i.breaches))).collect()
}

#[test]
fn every_invariant_holds() {
    assert_eq!(fell(&[]), []);
}

#[track_caller]
fn check(numbers: std::ops::RangeInclusive<u8>) {
    let mut wrong = Vec::new();
    for number in numbers {
        let (fault, defect) = DEFECTS[usize::from(number) - 1];
        let fell = fell(&[fault]);
        if fell.iter().map(|(number, _)| *number).ne([number]) {
            wrong.push(format!("{number}, {defect}: {fell:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// In parts, so that they run beside each other.
#[test]
fn defects_1_to_6_are_caught() {
    check(1..=6);
}

#[test]
fn defects_7_to_11_are_caught() {
    check(7..=11);
}

#[test]
fn defects_12_to_17_are_caught() {
    check(12..=17);
}

#[test]
fn defects_18_to_22_are_caught() {
    check(18..=22);
}

#[test]
fn the_fixture_is_embedded_whole() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/acceptance");
    let mut files: Vec<String> = walkdir::WalkDir::new(&root)
        .into_iter()
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| entry.path().strip_prefix(&root).expect("below").to_str().expect("UTF-8").to_owned())
        .collect();
    files.sort();
    assert!(files.iter().map(String::as_str).eq(FILES.iter().map(|(name, _)| *name)), "{files:?}");
    assert_ne!(hash().to_string(), "");
}
