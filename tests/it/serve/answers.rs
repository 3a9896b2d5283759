//! What honest clients get.

use std::fs;

use base64::Engine as _;
use serde_json::Value;

use super::{Server, output, small};
use crate::cli::Bench;

fn header<'a>(response: &'a reqwest::blocking::Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
}

#[test]
fn a_snapshot_has_the_digests_of_the_receipt_in_its_headers_and_its_bytes() {
    let (bench, server) = small();
    let said = output(&bench, "v1.0.0", "exports/sft");
    let root = said["root"].as_str().expect("text");
    let response = server.get(&format!("/v1/snapshots/{root}/rows.jsonl"));
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "distill-blake3"), said["jsonl_blake3"]);
    assert_eq!(header(&response, "distill-root"), root);
    assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header(&response, "content-type"), "application/x-ndjson");
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    let etag = header(&response, "etag").to_owned();
    assert!(etag.starts_with('"') && etag.contains(root), "strong: {etag}");
    let sha256 = said["jsonl_sha256"].as_str().expect("text");
    let digest = header(&response, "repr-digest").to_owned();
    let bytes = response.bytes().expect("a body");
    assert_eq!(blake3::hash(&bytes).to_string(), said["jsonl_blake3"]);
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(digest.strip_prefix("sha-256=:").and_then(|d| d.strip_suffix(':')).expect("RFC 9530"))
        .expect("base64");
    assert_eq!(hex::encode(decoded), sha256);

    // Parts, and what is known already.
    for (range, expect) in
        [("bytes=0-9", 0..10), ("bytes=5-", 5..bytes.len()), ("bytes=-7", bytes.len() - 7..bytes.len())]
    {
        let part = server.get_with(&format!("/v1/snapshots/{root}/rows.jsonl"), &[("range", range)]);
        assert_eq!(part.status(), 206, "{range}");
        let wanted = format!("bytes {}-{}/{}", expect.start, expect.end - 1, bytes.len());
        assert_eq!(header(&part, "content-range"), wanted);
        assert_eq!(header(&part, "repr-digest"), digest, "of the whole");
        assert_eq!(part.bytes().expect("a body"), bytes.slice(expect));
    }
    let ask = |headers: &[(&str, &str)]| {
        server.get_with(&format!("/v1/snapshots/{root}/rows.jsonl"), headers).status().as_u16()
    };
    assert_eq!(ask(&[("if-none-match", &etag)]), 304);
    assert_eq!(ask(&[("range", "bytes=99999999-")]), 416);
    assert_eq!(ask(&[("range", "bytes=0-1"), ("if-range", "\"other\"")]), 200);
    assert_eq!(ask(&[("range", "bytes=0-1,4-5")]), 200);
    let head = server
        .client()
        .head(format!("{}/v1/snapshots/{root}/rows.jsonl", server.url))
        .send()
        .expect("an answer");
    assert_eq!(header(&head, "content-length"), bytes.len().to_string());
}

#[test]
fn every_form_of_every_dataset_is_what_the_store_has() {
    let (bench, server) = small();
    let commit = server.json("/v1/commits/v1.0.0");
    assert_eq!(commit["commit_id"], bench.id("v1.0.0"));
    for dataset in commit["datasets"].as_array().expect("datasets") {
        let (name, root) =
            (dataset["dataset"].as_str().expect("text"), dataset["root"].as_str().expect("text"));
        let hint = format!("?dataset={}", name.replace('/', "%2F"));
        let rows = server.get(&format!("/v1/snapshots/{root}/rows.jsonl{hint}")).bytes().expect("a body");
        assert_eq!(rows.len(), dataset["jsonl_bytes"], "{name}");
        let listed: Vec<String> =
            bench.ok(&["ls", &format!("v1.0.0:{name}")]).lines().map(|line| line[..64].to_owned()).collect();
        if name != "sources" {
            let hashed: Vec<String> = rows
                .split(|b| *b == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| blake3::hash(line).to_string())
                .collect();
            assert_eq!(hashed, listed, "{name}");
        }
        let described = server.json(&format!("/v1/snapshots/{root}{hint}"));
        assert_eq!(described["dataset"], name);
        for file in described["files"].as_array().expect("files") {
            let response = server.get(file["path"].as_str().expect("a path"));
            assert_eq!(response.status(), 200, "{name} {file}");
            let blake3 =
                response.headers().get("distill-blake3").map(|v| v.to_str().expect("text").to_owned());
            let bytes = response.bytes().expect("a body");
            if let Some(blake3) = blake3 {
                assert_eq!(blake3, blake3::hash(&bytes).to_string(), "{name} {file}");
            }
            match file["format"].as_str().expect("text") {
                "jsonl" => assert_eq!(bytes, rows),
                "jsonl_zst" => assert_eq!(zstd::decode_all(&bytes[..]).expect("zstd"), rows),
                _ => assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1")),
            }
        }
        assert_eq!(
            described["files"].as_array().expect("files").len(),
            if name == "sources" { 2 } else { 3 }
        );
    }
}

#[test]
fn names_lead_to_roots_and_a_new_run_is_seen_at_once() {
    let (bench, server) = small();
    let at = |rev: &str| {
        let response = server.get(&format!("/v1/datasets/{rev}/sft/rows.jsonl"));
        assert_eq!(response.status(), 307);
        header(&response, "location").to_owned()
    };
    let before = at("main");
    assert_eq!(before, at("v1.0.0"));
    assert_eq!(before, at("heads%2Fmain"));
    bench.write("more.jsonl", "{\"id\":\"n9\",\"ts\":\"2026-02-04T00:00:00Z\",\"task\":\"t9\",\"prompt\":\"Say nine\",\"answer\":\"nine\",\"passed\":true}\n");
    bench.ok(&["run-all", "--run-id", "r3", "--no-files"]);
    let after = at("main");
    assert_ne!(before, after);
    assert_eq!(before, at("v1.0.0"));
    assert_eq!(server.get(&after).status(), 200);
    assert_eq!(server.json("/v1/log")["items"][0]["run_id"], "r3");
    let refs = server.json("/v1/refs");
    assert_eq!(refs["head"], "heads/main");
    assert_eq!(refs["head_commit"], bench.id("main"));
    bench.ok(&["reset", "--hard", "main~1"]);
    assert_eq!(at("main"), before);
}

#[test]
fn questions_are_answered_as_the_command_line_answers_them() {
    let (bench, server) = small();
    let same = |path: &str, schema: &str, args: &[&str]| {
        let (http, cli) = (server.json(path), bench.json(schema, args));
        assert_eq!(http, cli, "{path}");
    };
    same("/v1/log", "distill.log.v1", &["log"]);
    same("/v1/log?limit=1", "distill.log.v1", &["log", "-n", "1"]);
    same("/v1/diff?a=main~1&b=main", "distill.diff.v1", &["diff", "main~1", "main"]);
    same("/v1/diff", "distill.diff.v1", &["diff"]);
    let row = bench.ok(&["ls", "main:sft", "-n", "1"])[..64].to_owned();
    same(&format!("/v1/trace?row={row}"), "distill.trace.v1", &["trace", &row]);
    same("/v1/corpora/HEAD/search?q=three", "distill.search.v1", &["search", "three"]);
    assert_eq!(server.get("/v1/corpora/nothing/search?q=three").status(), 404);
    assert_eq!(server.get("/v1/corpora/HEAD/search?q=!").status(), 400);
    let object = server.get(&format!("/v1/objects/{row}"));
    assert_eq!(header(&object, "etag"), format!("\"{row}\""));
    assert_eq!(blake3::hash(&object.bytes().expect("a body")).to_string(), row);
    let digest = output(&bench, "main", "exports/rag")["jsonl_sha256"].as_str().expect("text").to_owned();
    assert_eq!(
        server.json(&format!("/v1/digests/{digest}"))["root"],
        output(&bench, "main", "exports/rag")["root"]
    );
}

#[test]
fn packs_operations_and_batches_are_byte_for_byte() {
    let (bench, server) = small();
    let packs = server.json("/v1/packs");
    let names: Vec<String> = packs["packs"]
        .as_array()
        .expect("packs")
        .iter()
        .map(|p| p["id"].as_str().expect("text").to_owned())
        .collect();
    assert_eq!(names.len(), bench.packs().len());
    for name in &names {
        let bytes = server.get(&format!("/v1/packs/{name}")).bytes().expect("a body");
        assert_eq!(blake3::hash(&bytes).to_string(), *name);
        let end =
            server.get_with(&format!("/v1/packs/{name}"), &[("range", "bytes=-16")]).bytes().expect("a body");
        assert_eq!(end, bytes.slice(bytes.len() - 16..));
    }
    let last = packs["operation"]["number"].as_u64().expect("a number");
    let operation = server.get(&format!("/v1/ops/{last}")).bytes().expect("a body");
    assert_eq!(blake3::hash(&operation).to_string(), packs["operation"]["id"]);
    assert_eq!(server.get(&format!("/v1/ops/{}", last + 1)).status(), 404);
    assert_eq!(server.get("/v1/ops/0").status(), 404);

    let root = output(&bench, "main", "exports/sft")["root"].as_str().expect("text").to_owned();
    let absent = "0".repeat(64);
    let row = bench.ok(&["ls", "main:sft", "-n", "1"])[..64].to_owned();
    let ids = serde_json::json!({"ids": [root, absent, row]});
    let post = |path: &str| {
        server.client().post(format!("{}{path}", server.url)).json(&ids).send().expect("an answer")
    };
    let missing: Value = post("/v1/objects/missing").json().expect("JSON");
    assert_eq!(missing["missing"], serde_json::json!([absent]));
    let frames = post("/v1/objects/batch").bytes().expect("a body");
    let mut rest = &frames[..];
    for (id, kind) in [(&root, 1), (&absent, 255), (&row, 0)] {
        assert_eq!(rest[0], kind, "{id}");
        let len =
            usize::try_from(u64::from_le_bytes(rest[1..9].try_into().expect("8 bytes"))).expect("small");
        if kind != 255 {
            assert_eq!(blake3::hash(&rest[9..9 + len]).to_string(), *id);
        }
        rest = &rest[9 + len..];
    }
    assert!(rest.is_empty());
}

#[test]
fn a_proof_holds_without_the_server() {
    let (bench, server) = small();
    let root = output(&bench, "main", "exports/sft")["root"].as_str().expect("text").to_owned();
    let key = bench.json("distill.ls.v1", &["ls", "main:sft", "-n", "1"])["items"][0]["key"]
        .as_str()
        .expect("text")
        .to_owned();
    for (key, there) in [(key.as_str(), true), ("0000", false)] {
        let proof = server
            .get(&format!("/v1/snapshots/{root}/proof?key={}", key.replace('/', "%2F")))
            .text()
            .expect("text");
        let proof: distill::tree::Proof = serde_json::from_str(&proof).expect("a proof");
        let root = distill::object::RootId::new(root.parse().expect("an id"));
        assert_eq!(proof.verify(root, key).expect("it proves").is_some(), there);
    }
}

#[test]
fn tokens_open_what_they_are_for_and_are_told_to_nobody() {
    let bench = Bench::with_runs();
    let (read, write) = ("canary-read-0123456789", "canary-write-0123456789");
    bench.write("tokens", &format!("read {read}\nwrite {write}\n"));
    let server = Server::start(bench.path(), &["--token-file", "tokens"]);
    let ask = |token: Option<&str>| {
        let header = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            header.iter().map(|value| ("authorization", value.as_str())).collect();
        let response = server.get_with("/v1/refs", &headers);
        (response.status().as_u16(), response.text().expect("text"))
    };
    assert_eq!(ask(Some(read)).0, 200);
    assert_eq!(ask(Some(write)).0, 200);
    for wrong in [None, Some(""), Some("canary-read-012345678"), Some("canary-read-01234567890"), Some("é")]
    {
        let (status, text) = ask(wrong);
        assert_eq!(status, 401, "{wrong:?}");
        assert!(!text.contains("canary"), "{text}");
    }
    assert_eq!(server.get(&format!("/v1/refs?token={read}")).status(), 401, "not in an address");
    assert_eq!(server.get("/healthz").status(), 200);
    let metrics = server.get("/metrics").text().expect("text");
    assert!(metrics.contains("distill_http_unauthorized_total 6"), "{metrics}");
    assert!(!metrics.contains("canary"), "{metrics}");
    // fetch sends it, from a file or from the environment.
    let consumer = Bench::empty();
    consumer.write("token", &format!("{read}\n"));
    consumer.fails(2, &["fetch", &server.url, "main:sft"]).says("401", "token");
    consumer.ok(&["fetch", &server.url, "main:sft", "--token-file", "token"]);
    let answer = consumer
        .command(&["fetch", &server.url, "main:rag"])
        .env("DISTILL_TOKEN", read)
        .output()
        .expect("it runs");
    assert!(answer.status.success());
    server.tell_to_end();
    let (status, words) = server.ended(std::time::Duration::from_secs(10));
    assert_eq!(status, 0);
    assert!(words.contains("Ended after") && !words.contains("canary"), "{words}");
}

#[test]
fn the_api_document_describes_every_answer() {
    let (bench, server) = small();
    let document = server.json("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let root = output(&bench, "main", "exports/sft")["root"].as_str().expect("text").to_owned();
    let row = bench.ok(&["ls", "main:sft", "-n", "1"])[..64].to_owned();
    for (pattern, path) in [
        ("/healthz", "/healthz".to_owned()),
        ("/v1/refs", "/v1/refs".to_owned()),
        ("/v1/packs", "/v1/packs".to_owned()),
        ("/v1/commits/{rev}", "/v1/commits/main".to_owned()),
        ("/v1/log", "/v1/log".to_owned()),
        ("/v1/diff", "/v1/diff?a=main~1&b=main".to_owned()),
        ("/v1/trace", format!("/v1/trace?row={row}")),
        ("/v1/snapshots/{root}", format!("/v1/snapshots/{root}")),
        ("/v1/corpora", "/v1/corpora".to_owned()),
        ("/v1/corpora/{name}/search", "/v1/corpora/main/search?q=three".to_owned()),
    ] {
        let schema =
            &document["paths"][pattern]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{pattern}");
        let mut whole = schema.clone();
        whole["components"] = document["components"].clone();
        let validator = jsonschema::draft202012::new(&whole).expect("a schema");
        let answer = server.json(&path);
        let faults: Vec<String> =
            validator.iter_errors(&answer).map(|e| format!("{} {e}", e.instance_path())).collect();
        assert!(faults.is_empty(), "{pattern}: {faults:?}\n{answer}");
    }
    // The same, from the library: what docs/http.md is checked against.
    assert_eq!(document, distill::server::openapi_document());
}

/// The pages that describe the API name every route, and every column of every dataset.
#[test]
fn the_page_names_every_route_and_column() {
    const BEGIN: &str = "<!-- generated: DISTILL_UPDATE_GOLDEN=1 cargo test serve writes the rest anew -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/http.md");
    let page = fs::read_to_string(path).expect("docs/http.md");
    let (head, tables) = page.split_once(BEGIN).expect("the mark");
    let made: String = (distill::ops::delivery::columns::TABLES.iter())
        .map(|(dataset, _)| {
            let table = distill::ops::delivery::columns::table(dataset).expect("a table");
            format!("\n### {dataset}\n\n{table}")
        })
        .collect();
    if std::env::var_os("DISTILL_UPDATE_GOLDEN").is_some() {
        fs::write(path, format!("{head}{BEGIN}{made}")).expect("written");
    } else {
        assert_eq!(tables, made, "docs/http.md has other columns");
    }
    let document = distill::server::openapi_document();
    for path in document["paths"].as_object().expect("paths").keys() {
        assert!(page.contains(path.as_str()), "docs/http.md says nothing of {path}");
    }
}

#[test]
fn conditions_and_parts_are_as_the_standard_has_them() {
    let (bench, server) = small();
    let root = output(&bench, "main", "exports/sft")["root"].as_str().expect("text").to_owned();
    let path = format!("/v1/snapshots/{root}/rows.jsonl");
    let whole = server.get(&path);
    let (etag, len) = (header(&whole, "etag").to_owned(), header(&whole, "content-length").to_owned());
    // Parts are GET's alone: HEAD tells of the whole, whatever range it names.
    for range in ["bytes=0-1", "bytes=99999999-"] {
        let url = format!("{}{path}", server.url);
        let head = server.client().head(url).header("range", range).send().expect("an answer");
        assert_eq!(head.status(), 200, "{range}");
        assert_eq!(header(&head, "content-length"), len);
        assert!(head.headers().get("content-range").is_none());
    }
    let ask = |headers: &[(&str, &str)]| server.get_with(&path, headers).status().as_u16();
    assert_eq!(ask(&[("if-match", "\"other\"")]), 412);
    assert_eq!(ask(&[("if-match", &etag), ("range", "bytes=0-1")]), 206);
    assert_eq!(ask(&[("if-none-match", "\"a\""), ("if-none-match", &etag)]), 304);
    let known = server.get_with(&path, &[("if-none-match", &etag)]);
    assert_eq!(header(&known, "etag"), etag);
    assert!(known.headers().get("content-length").is_none_or(|said| said == len.as_str()));
    // A way that is not there says which there are.
    let posted = server.client().post(format!("{}/v1/refs", server.url)).send().expect("an answer");
    assert_eq!(posted.status(), 405);
    assert!(header(&posted, "allow").contains("GET"), "{:?}", posted.headers());
    // Names that are no text are failures like all others.
    for path in ["/v1/objects/%ff", "/v1/commits/%ff", "/v1/snapshots/%ff/rows.jsonl", "/v1/ops/x"] {
        let answer = server.get(path);
        assert_eq!(answer.status(), 404, "{path}");
        let body: Value = answer.json().expect("JSON");
        assert_eq!(body["schema"], "distill.error.v1", "{path}");
    }
}

#[test]
fn unfinished_files_of_a_server_that_died_go_after_a_day() {
    let bench = Bench::with_runs();
    let shelf = bench.path().join(".distill/index/snapshots");
    fs::create_dir_all(&shelf).expect("a folder");
    let now = std::time::SystemTime::now();
    for (name, age) in [(".1-old.parquet", 25), (".2-new.parquet", 1)] {
        let file = fs::File::create(shelf.join(name)).expect("a file");
        file.set_modified(now - std::time::Duration::from_hours(age)).expect("a time");
    }
    let server = Server::start(bench.path(), &[]);
    let root = output(&bench, "main", "exports/sft")["root"].as_str().expect("text").to_owned();
    assert_eq!(server.get(&format!("/v1/snapshots/{root}/rows.parquet")).status(), 200);
    assert!(!shelf.join(".1-old.parquet").exists() && shelf.join(".2-new.parquet").exists());
}
