//! Commits that no run would make: every hash is right, and one row says something else than what it rests on.

use std::path::Path;

use distill::base::json::to_canonical;
use distill::object::CommitId;
use distill::object::FindExt as _;
use distill::object::Kind;
use distill::object::ObjectId;
use distill::object::Write as _;
use distill::ops::open::open;
use distill::store::OpRequest;
use distill::store::RefChange;
use distill::tree;
use distill::tree::Edit;
use distill::tree::TreeError;
use serde_json::Value;

/// Publishes on `main` a commit like HEAD's in which the row of `key` in `dataset` is what `edit` makes of it; `None` takes
/// it out. Returns the commit and the new row.
pub fn forge(
    root: &Path,
    dataset: &str,
    key: &str,
    edit: impl FnOnce(&mut Value) -> Option<()>,
) -> (CommitId, Option<ObjectId>) {
    let repo = open(root).expect("a repository");
    let store = repo.store();
    let head = repo.head_commit().expect("a commit");
    let mut commit = repo.commit(head).expect("readable");
    let base = commit.dataset(dataset).expect("the dataset");
    let row = tree::get(store, base, key).expect("readable").expect("the row");
    let mut value: Value = serde_json::from_slice(&store.find(&row.id).expect("the object")).expect("JSON");
    let mut staging = store.staging().expect("staging");
    let change = edit(&mut value).map(|()| {
        let bytes = to_canonical(&value).expect("canonical");
        (staging.write(Kind::Data, &bytes).expect("staged"), bytes.len() as u64)
    });
    let edits = [Ok::<_, TreeError>(Edit { key: key.to_owned(), change })];
    let snapshot = tree::apply(store, &mut staging, base, edits).expect("applied");
    commit.datasets.insert(dataset.to_owned(), snapshot.root);
    commit.parents = vec![head];
    commit.generation += 1;
    "forged".clone_into(&mut commit.run_id);
    let id = staging.write(Kind::Data, &commit.to_bytes().expect("canonical")).expect("staged");
    let moved = RefChange { name: "heads/main".to_owned(), old: Some(*head.object()), new: Some(id) };
    let request = OpRequest {
        operation: "forge".to_owned(),
        at: "2026-11-23T00:00:00.000Z".to_owned(),
        ref_changes: vec![moved],
        ..OpRequest::default()
    };
    store.publish(Some(staging), request).expect("published");
    (CommitId::new(id), change.map(|(id, _)| id))
}
