//! Every form of a revision, and what is said of those that name nothing.

use super::Bench;

#[test]
fn every_form_names_its_commit() {
    let bench = Bench::with_runs();
    let (one, two) = (bench.id("r1"), bench.id("r2"));
    bench.ok(&["tag", "v1.0.0", "r1", "-m", "first"]);
    bench.ok(&["branch", "topic/a", "r1"]);
    for rev in [
        "r1",
        "runs/r1",
        "v1.0.0",
        "tags/v1.0.0",
        "topic/a",
        "heads/topic/a",
        "HEAD~1",
        "HEAD~",
        "HEAD^",
        "@^1",
    ] {
        assert_eq!(bench.id(rev), one, "{rev}");
    }
    for rev in ["main~1", "r2~1^0", "@{1}", "main@{1}", &one, &one[..10], &one[..63], "HEAD@{1}~0"] {
        assert_eq!(bench.id(rev), one, "{rev}");
    }
    for rev in ["HEAD", "@", "main", "r2", "@{0}", "main@{0}", "HEAD~0", "HEAD^0", &two] {
        assert_eq!(bench.id(rev), two, "{rev}");
    }
    let tag = bench.json("distill.tag_list.v1", &["tag"])["items"][0]["tag_id"].clone();
    assert_eq!(bench.id(tag.as_str().expect("an id")), one, "a tag object is peeled");
    for rev in [":evidence", "main:evidence", "HEAD~0:evidence/2026/01/02"] {
        assert_eq!(bench.json("distill.show.v1", &["show", rev])["kind"], "dataset", "{rev}");
    }
    for rev in [
        ":evidence/2026/01/02/notes/n1",
        "r1:rag/2026/01/02/notes/n1",
        "v1.0.0:exports/rag/2026/01/02/notes/n1",
    ] {
        assert_eq!(bench.json("distill.show.v1", &["show", rev])["kind"], "row", "{rev}");
    }
}

#[test]
fn what_names_nothing_is_refused_with_a_hint() {
    let bench = Bench::with_runs();
    bench.ok(&["tag", "v1.0.0"]);
    bench.fails(2, &["show", "v1.0.1"]).says("no revision is called `v1.0.1`", "did you mean `v1.0.0`");
    bench.fails(2, &["show", "mian"]).says("`mian`", "did you mean `main`");
    bench.fails(2, &["show", "zzzz"]).says("`zzzz`", "distill log");
    bench.fails(2, &["log", "HEAD~9"]).says("goes beyond the first commit", "distill log");
    bench.fails(2, &["log", "@{99}"]).says("no entry 99", "distill reflog");
    bench.fails(2, &["log", "main~x"]).says("not a revision", "NAME~2");
    bench.fails(2, &["log", "r1..nowhere"]).says("`nowhere`", "distill");
    bench.fails(2, &["show", "HEAD:evidence/2026/99"]).says("has no `evidence/2026/99`", "distill ls");
    bench.fails(2, &["cat", "0123456789"]).says("no revision is called `0123456789`", "distill");
}

#[test]
fn an_ambiguous_name_lists_what_it_may_mean() {
    let bench = Bench::with_runs();
    bench.ok(&["branch", "r1", "r2", "--force"]);
    let answer = bench.fails(2, &["show", "r1"]);
    answer.says("`r1` is ambiguous: heads/r1, runs/r1", "write the full name");
    assert_eq!(bench.id("runs/r1"), bench.id("r2~1"));
}

#[test]
fn an_ambiguous_abbreviation_lists_the_objects() {
    let bench = Bench::new();
    // Among this many objects, some two share four digits.
    let rows: String = (0..600)
        .map(|n| format!("{{\"id\":\"m{n}\",\"ts\":\"2026-02-01T00:00:00Z\",\"prompt\":\"p{n}\",\"answer\":\"a{n}\",\"passed\":true}}\n"))
        .collect();
    bench.write("many.jsonl", &rows);
    bench.ok(&["run-all", "--run-id", "many", "--no-files"]);
    let listed = bench.json("distill.ls.v1", &["ls", "HEAD:evidence"]);
    let mut ids: Vec<String> = Vec::new();
    for dataset in ["HEAD:evidence", "HEAD:rag", "HEAD:sources", "HEAD:scored-runs"] {
        let items = bench.json("distill.ls.v1", &["ls", dataset])["items"].clone();
        ids.extend(
            items.as_array().expect("items").iter().map(|i| i["id"].as_str().expect("an id").to_owned()),
        );
    }
    ids.sort();
    let twins = ids
        .windows(2)
        .find(|pair| pair[0][..4] == pair[1][..4] && pair[0] != pair[1])
        .expect("two share 4 digits");
    let answer = bench.fails(2, &["cat", &twins[0][..4]]);
    answer.says("is ambiguous", "more digits");
    for id in twins {
        assert!(answer.stderr.contains(&id[..16]), "{id} is a candidate: {answer:?}");
    }
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(603));
}
