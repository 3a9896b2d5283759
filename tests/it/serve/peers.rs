//! Strangers with their own tools: curl, b3sum, sha256sum, and the Python packages that read datasets by URL.

use std::path::Path;
use std::process::Command;

use super::{Server, output};
use crate::cli::Bench;

fn served() -> (Bench, Server) {
    let bench = Bench::sampled(1500);
    bench.ok(&["tag", "v1.0.0", "-m", "the first"]);
    let server = Server::start(bench.path(), &[]);
    (bench, server)
}

fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|answer| answer.status.success())
}

/// docs/http.md has this script; it is run as it stands there.
fn script() -> String {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http.md")).expect("docs/http.md");
    let begin = page.find("```sh\n#!/bin/sh").expect("the script") + "```sh\n".len();
    page[begin..].split("\n```").next().expect("its end").to_owned()
}

#[test]
fn a_stranger_with_curl_verifies_what_a_tag_names() {
    for tool in ["curl", "b3sum", "jq", "sha256sum"] {
        if !has(tool) {
            println!("skipped: {tool} is not here");
            return;
        }
    }
    let (bench, server) = served();
    let folder = tempfile::tempdir().expect("a folder");
    let answer = Command::new("sh")
        .args(["-eu", "-c", &script(), "stranger", &server.url, "v1.0.0"])
        .current_dir(folder.path())
        .output()
        .expect("sh runs");
    assert!(answer.status.success(), "{answer:?}");
    let said = output(&bench, "v1.0.0", "exports/sft");
    let bytes = std::fs::read(folder.path().join("sft.jsonl")).expect("a file");
    assert_eq!(blake3::hash(&bytes).to_string(), said["jsonl_blake3"]);
    assert!(String::from_utf8_lossy(&answer.stdout).contains("sft.jsonl verified"), "{answer:?}");
}

const READERS: &str = r#"
import sys, io, json, urllib.request
url, tmp = sys.argv[1], sys.argv[2]
import os
os.environ["HF_HOME"] = tmp
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
for name in ("sft", "rag", "preference"):
    jsonl = f"{url}/v1/datasets/v1.0.0/{name}/rows.jsonl"
    parquet = f"{url}/v1/datasets/v1.0.0/{name}/rows.parquet"
    truth = [json.loads(line) for line in urllib.request.urlopen(jsonl).read().splitlines()]
    ids = [row["id"] for row in truth]
    text = {"sft": "response", "rag": "content", "preference": "chosen"}[name]
    texts = [row[text] for row in truth]

    import pandas
    frame = pandas.read_json(jsonl, lines=True, dtype=False)
    assert list(frame["id"]) == ids and list(frame[text]) == texts, "pandas jsonl"
    frame = pandas.read_parquet(parquet)
    assert list(frame["id"]) == ids and list(frame[text]) == texts, "pandas parquet"

    import polars
    frame = polars.read_parquet(parquet)
    assert frame["id"].to_list() == ids and frame[text].to_list() == texts, "polars parquet"
    frame = polars.read_ndjson(io.BytesIO(urllib.request.urlopen(jsonl).read()))
    assert frame["id"].to_list() == ids and frame[text].to_list() == texts, "polars jsonl"

    import duckdb, glob, sysconfig
    # What `INSTALL httpfs` would bring, from a package.
    for path in glob.glob(sysconfig.get_paths()["purelib"] + "/duckdb_ext/extensions/*/*/httpfs.duckdb_extension"):
        duckdb.sql(f"load '{path}'")
    rows = duckdb.sql(f"select id, {text}, provenance from read_parquet('{parquet}')").fetchall()
    assert [row[0] for row in rows] == ids and [row[1] for row in rows] == texts, "duckdb parquet"

    from datasets import load_dataset
    loaded = load_dataset("parquet", data_files=parquet, split="train", cache_dir=tmp)
    assert loaded["id"][:] == ids and loaded[text][:] == texts, "datasets parquet"
    # Nested members arrive whole.
    assert [row["provenance"] for row in loaded.to_list()] == [row["provenance"] for row in truth], "datasets nested"
    print(name, len(ids), "rows read by pandas", pandas.__version__, "polars", polars.__version__, "duckdb", duckdb.__version__)
"#;

#[test]
fn python_packages_read_it_by_url() {
    let Some(python) = std::env::var_os("DISTILL_CONSUMER_PYTHON") else {
        println!("skipped: DISTILL_CONSUMER_PYTHON names no Python with pandas, polars, duckdb and datasets");
        return;
    };
    let (_bench, server) = served();
    let folder = tempfile::tempdir().expect("a folder");
    let answer = Command::new(Path::new(&python))
        .args(["-c", READERS, &server.url])
        .arg(folder.path())
        .current_dir(folder.path())
        .output()
        .expect("Python runs");
    let (out, err) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    assert!(answer.status.success(), "{out}{err}");
    assert_eq!(out.lines().count(), 3, "{out}");
    println!("{out}");
}
