//! `tag`, `branch`, `reset`, `reflog`, `undo`: names move by compare-and-swap, and every move can be taken back.

use serde_json::json;

use super::Bench;

#[test]
fn a_tag_stays_where_it_is() {
    let bench = Bench::with_runs();
    let made = bench.json("distill.tag.v1", &["tag", "v1.0.0", "r1", "-m", "first"]);
    assert_eq!((&made["name"], &made["before"]), (&json!("tags/v1.0.0"), &json!(null)));
    bench.fails(1, &["tag", "v1.0.0", "r2"]).says("a tag called `v1.0.0` already", "--force");
    assert_eq!(bench.id("v1.0.0"), bench.id("r1"));
    let moved = bench.json("distill.tag.v1", &["tag", "v1.0.0", "r2", "--force"]);
    assert_eq!(moved["before"], json!(bench.id("r1")));
    let items = bench.json("distill.tag_list.v1", &["tag"])["items"].clone();
    assert_eq!((items.as_array().map(Vec::len), &items[0]["run_id"]), (Some(1), &json!("r2")));
    bench.ok(&["tag", "--delete", "v1.0.0"]);
    assert_eq!(bench.ok(&["tag"]), "");
    bench.fails(2, &["tag", "--delete", "v1.0.0"]).says("no tag called `v1.0.0`", "no tag at all");
    bench.fails(2, &["tag", "-m", "nameless"]).says("a tag needs a name", "NAME");
}

#[test]
fn bad_names_and_ambiguous_names_are_refused() {
    let bench = Bench::with_runs();
    for bad in ["a b", "a..b", "a~1", "HEAD", "a.lock", ".a", "a//b", "a:b"] {
        for verb in ["tag", "branch"] {
            bench.fails(2, &[verb, bad]).says("is not a good name", "Git's rules");
        }
    }
    bench.fails(1, &["tag", "main", "r1"]).says("would be ambiguous: `heads/main`", "another name");
    bench.fails(1, &["branch", "r1", "r2"]).says("`runs/r1` names another commit", "another name");
    assert_eq!(bench.ok(&["tag"]), "", "nothing was made");
}

#[test]
fn branches_are_made_listed_moved_and_deleted() {
    let bench = Bench::with_runs();
    bench.ok(&["branch", "dev", "HEAD~1"]);
    assert_eq!(bench.id("dev"), bench.id("r1"));
    let items = bench.json("distill.branch_list.v1", &["branch"])["items"].clone();
    assert_eq!((&items[0]["name"], &items[0]["current"]), (&json!("dev"), &json!(false)));
    assert_eq!((&items[1]["name"], &items[1]["current"]), (&json!("main"), &json!(true)));
    bench.fails(1, &["branch", "dev"]).says("a branch called `dev` already", "--force");
    bench.ok(&["branch", "dev", "--force"]);
    assert_eq!(bench.id("dev"), bench.id("r2"));
    bench.fails(1, &["branch", "main", "r1", "--force"]).says("`main` already", "reset --hard");
    bench.fails(1, &["branch", "--delete", "main"]).says("HEAD is on the branch `main`", "checkout");
    bench.ok(&["branch", "--delete", "dev"]);
    bench.fails(2, &["branch", "--delete", "dev"]).says("no branch called `dev`", "`main`");
    let past = bench.json("distill.reflog.v1", &["reflog", "dev"])["items"].clone();
    assert_eq!(past.as_array().map(Vec::len), Some(3), "a deleted branch has a past: {past}");
    assert_eq!(past[0]["commit_id"], json!(null));
    let fresh = Bench::new();
    assert_eq!(fresh.json("distill.branch_list.v1", &["branch"])["items"][0]["commit_id"], json!(null));
    fresh.fails(2, &["branch", "x"]).says("no commit yet", "run-all");
}

#[test]
fn reset_moves_the_branch_and_undo_moves_it_back_and_forth() {
    let bench = Bench::with_runs();
    let (one, two) = (bench.id("r1"), bench.id("r2"));
    bench.fails(2, &["reset", "r1"]);
    let moved = bench.json("distill.reset.v1", &["reset", "--hard", "r1"]);
    assert_eq!(
        (&moved["name"], &moved["before"], &moved["after"]),
        (&json!("heads/main"), &json!(two), &json!(one))
    );
    assert_eq!(bench.id("HEAD"), one);
    assert_eq!(bench.id("r2"), two, "the run keeps its name");
    let again = bench.json("distill.reset.v1", &["reset", "--hard", "r1"]);
    assert_eq!(again["operation"], json!(null), "nothing to do is no operation");
    let sft = bench.path().join("exports/sft/instruction_response.jsonl");
    let exported = || std::fs::read_to_string(&sft).expect("an export");
    assert_eq!(exported().lines().count(), 2, "the working tree follows");
    let log = bench.json("distill.reflog.v1", &["reflog"])["items"].clone();
    let steps: Vec<_> =
        log.as_array().expect("items").iter().map(|i| i["operation"].as_str().expect("text")).collect();
    assert_eq!(steps, ["reset", "run-all", "run-all"]);
    let undone = bench.json("distill.undo.v1", &["undo"]);
    assert_eq!((&undone["operation"], &undone["commit_id"]), (&json!("reset"), &json!(two)));
    assert_eq!(bench.id("HEAD"), two);
    assert_eq!(exported().lines().count(), 3);
    std::fs::write(&sft, "mine\n").expect("writable");
    bench.fails(1, &["undo"]).says("changed by hand", "--force");
    bench.fails(1, &["reset", "--hard", "r1"]).says("changed by hand", "--force");
    assert_eq!((bench.id("HEAD"), exported().as_str()), (two.clone(), "mine\n"), "nothing has moved");
    assert_eq!(bench.json("distill.undo.v1", &["undo", "--force"])["operation"], "undo");
    assert_eq!(bench.id("HEAD"), one, "undone twice is done");
    assert_eq!(bench.id("HEAD@{1}"), two);
}

#[test]
fn undo_takes_back_a_run_a_tag_and_the_first_commit() {
    let bench = Bench::new();
    bench.fails(1, &["undo"]).says("nothing to undo", "run-all");
    bench.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    bench.ok(&["tag", "v1"]);
    bench.ok(&["undo"]);
    assert_eq!(bench.ok(&["tag"]), "");
    bench.ok(&["undo"]);
    assert_eq!(bench.ok(&["tag"]).lines().count(), 1, "undoing the undo is redoing");
    let other = Bench::new();
    other.ok(&["run-all", "--run-id", "r1", "--no-files"]);
    other.ok(&["undo"]);
    other.fails(2, &["show", "r1"]).says("`r1`", "distill");
    other.fails(2, &["log"]).says("no commit yet", "run-all");
    other.ok(&["run-all", "--run-id", "r1", "--no-files"]);
}
