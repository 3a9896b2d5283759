//! Keys, commits, tags and configurations, pinned: `fixtures/format/history-v1.json` was written from `docs/format.md` by a program that
//! shares no code with this crate.

use std::fs;
use std::path::Path;
use std::process::Command;

use distill::object::ObjectId;
use distill::record::RecordKey;
use distill::record::duplicate_key;
use distill::record::preference_key;
use distill::record::quarantine_key;
use distill::record::source_key;
use distill::repo::Commit;
use distill::repo::Tag;
use serde_json::Value;

fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/format/history-v1.json");
    serde_json::from_slice(&fs::read(path).expect("the vectors")).expect("JSON")
}

fn list<'v>(vectors: &'v Value, name: &str) -> &'v [Value] {
    let list = vectors[name].as_array().expect(name);
    assert!(list.len() >= 3, "{name}");
    list
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().expect(name)
}

#[test]
fn keys_are_those_of_the_vectors() {
    let vectors = vectors();
    for vector in list(&vectors, "record_keys") {
        let output = vector["output"].as_u64().expect("a number");
        let at = vector["recorded_at"].as_str();
        let key = RecordKey::build(at, text(vector, "stream"), text(vector, "row"), output).expect("a key");
        assert_eq!(key.as_str(), text(vector, "key"));
    }
    for vector in list(&vectors, "conflict_keys") {
        let wanted = RecordKey::parse(text(vector, "wanted")).expect("a key");
        assert_eq!(
            wanted.in_conflict(text(vector, "sig_hash")).expect("a key").as_str(),
            text(vector, "key")
        );
    }
    for vector in list(&vectors, "preference_keys") {
        let key = preference_key(text(vector, "chosen"), text(vector, "rejected_sig_hash")).expect("a key");
        assert_eq!(key, text(vector, "key"));
    }
    for vector in list(&vectors, "source_keys") {
        let unit = vector["unit"].as_u64().expect("a number");
        assert_eq!(source_key(text(vector, "path"), unit).expect("a key"), text(vector, "key"));
    }
    for vector in list(&vectors, "quarantine_keys") {
        let key = quarantine_key(text(vector, "stage"), text(vector, "reason"), text(vector, "of"));
        assert_eq!(key.expect("a key"), text(vector, "key"));
    }
    for vector in list(&vectors, "duplicate_keys") {
        assert_eq!(
            duplicate_key(text(vector, "stage"), text(vector, "of")).expect("a key"),
            text(vector, "key")
        );
    }
}

#[test]
fn commits_and_tags_are_those_of_the_vectors() {
    let vectors = vectors();
    let of = |name: &str| {
        let bytes = text(&vectors[name], "text").as_bytes();
        let id = ObjectId::of(bytes);
        assert_eq!(id.to_string(), text(&vectors[name], "id"), "{name}");
        (id, bytes)
    };
    let (id, bytes) = of("commit");
    let commit = Commit::parse(&id, bytes).expect("a commit");
    assert_eq!(commit.to_bytes().expect("bytes"), bytes);
    let (id, bytes) = of("tag");
    let tag = Tag::parse(&id, bytes).expect("a tag");
    assert_eq!(tag.to_bytes().expect("bytes"), bytes);

    for (from, to) in
        [("\"generation\":1", "\"generation\":-1"), ("\"generation\"", "\"generations\""), ("v1\"", "v2\"")]
    {
        let other = text(&vectors["commit"], "text").replacen(from, to, 1);
        assert!(Commit::parse(&id, other.as_bytes()).is_err(), "{to}");
    }
}

/// The files of a configuration, as a person writes them, give the object of the vector.
#[test]
fn a_configuration_is_that_of_the_vector() {
    let vectors = vectors();
    let vector = &vectors["config"];
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_distill"));
        let output = command.args(args).current_dir(folder.path()).output().expect("it starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    for sub in [".distill/sources", "data"] {
        fs::create_dir_all(folder.path().join(sub)).expect(sub);
    }
    for (name, content) in vector["files"].as_object().expect("files") {
        let path = folder.path().join(".distill").join(name);
        fs::write(path, content.as_str().expect(name)).expect(name);
    }
    fs::write(folder.path().join("data/one.jsonl"), "{\"id\":\"a\",\"answer\":\"x\"}\n").expect("a source");
    run(&["run-all", "--no-files"]);
    let commit: Value = serde_json::from_slice(&run(&["show", "HEAD", "--json"])).expect("JSON");
    let id = text(vector, "id");
    assert_eq!(ObjectId::of(text(vector, "text").as_bytes()).to_string(), id);
    let stored = String::from_utf8(run(&["cat", text(&commit, "config_id")])).expect("text");
    assert_eq!(stored, text(vector, "text"));
    assert_eq!(text(&commit, "config_id"), id);
}
