//! The documents say what the program does: commands, files, links, codes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use distill::ops::ErrorKind;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// Every file of the project, relative to its root, with `/`; not what builds and runs leave behind.
fn files() -> Vec<String> {
    let left_behind = [
        ".git",
        "target",
        "data",
        "exports",
        "reports",
        "docs/recon",
        ".distill/store.redb",
        ".distill/packs",
        ".distill/ops",
        ".distill/index",
        ".distill/tmp",
    ];
    let mut found = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(root()).expect("below the root").to_str().expect("UTF-8").to_owned();
            if left_behind.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(name);
            }
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<String> {
    let found: Vec<String> = files().into_iter().filter(|name| name.ends_with(".md")).collect();
    assert!(found.len() >= 8, "{found:?}");
    found
}

/// The lines of a document outside code blocks, with their numbers from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(n, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (!code && !fence).then_some((n + 1, line))
    })
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn ci_runs_the_commands_of_the_readme() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("## Two commands\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let commands: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert_eq!(commands, ["cargo run --release -- run-all", "cargo test"]);
    let ci = read(".ci/run");
    assert!(ci.contains("'/^## Two commands/,/^## A tour/s/^\\$ //p' README.md"), "it reads the README");
    assert!(section.len() < readme.len() && readme.contains("\n## A tour\n"));
    for command in commands {
        let own = ci.lines().filter(|line| !line.trim_start().starts_with('#') && line.contains(command));
        assert_eq!(own.count(), 0, "`{command}` stands in .ci/run too: the two would diverge");
    }
}

#[test]
fn links_resolve() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for name in documents() {
        let text = read(&name);
        let folder = Path::new(&name).parent().expect("a folder").to_owned();
        for (line, text_of) in prose(&text) {
            for (at, _) in text_of.match_indices("](") {
                let target = text_of[at + 2..].split(')').next().unwrap_or_default();
                if target.contains("://") {
                    continue;
                }
                seen += 1;
                let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
                let path = if file.is_empty() { PathBuf::from(&name) } else { folder.join(file) };
                let Ok(linked) = fs::read_to_string(root().join(&path)) else {
                    broken.push(format!("{name}:{line}: {target}: there is no such file"));
                    continue;
                };
                if !fragment.is_empty() && !anchors(&linked).contains(fragment) {
                    broken.push(format!("{name}:{line}: {target}: there is no such heading"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(seen > 20, "{seen} links");
}

/// Paths of the project that documents and sources name, such as `docs/format.md` or `src/tree/cut.rs`.
#[test]
fn no_text_names_a_missing_file() {
    /// Written by a run; redb's own.
    const MADE: [&str; 2] = ["docs/recon/local-distillation-recon.md", "docs/design.md"];
    let mut missing = Vec::new();
    let mut seen = 0;
    for name in files() {
        let document = name.ends_with(".md");
        if !document && !name.ends_with(".rs") && !name.ends_with(".toml") {
            continue;
        }
        for (n, line) in read(&name).lines().enumerate() {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-<>*{}".contains(c)));
            for word in words {
                let word = word.trim_end_matches(['.', '/']);
                let own =
                    ["docs/", "src/", "tests/", "fixtures/", ".ci/"].iter().any(|p| word.starts_with(p));
                let doc = word.starts_with("docs/") && word.ends_with(".md");
                // Sources make up paths for tests; of them only documents are held to exist.
                if !own || !(document || doc) || word.contains(['<', '*', '{', '>']) || MADE.contains(&word) {
                    continue;
                }
                let placeholder = word.split('/').any(|part| part.starts_with("NAME"));
                seen += 1;
                if !placeholder && !root().join(word).exists() {
                    missing.push(format!("{name}:{}: {word}", n + 1));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(seen > 40, "{seen} paths");
}

#[test]
fn every_exit_status_is_explained() {
    // A new kind does not compile here until somebody has thought of its line in the handoff.
    let known = |kind: ErrorKind| match kind {
        ErrorKind::Refused | ErrorKind::Usage | ErrorKind::Outside | ErrorKind::Damaged => kind.exit_status(),
    };
    let kinds = [ErrorKind::Refused, ErrorKind::Usage, ErrorKind::Outside, ErrorKind::Damaged];
    let mut statuses: Vec<u8> = kinds.into_iter().map(known).collect();
    statuses.push(0);
    let handoff = read("docs/handoff.md");
    let (_, section) = handoff.split_once("\n## Troubleshooting\n").expect("the section");
    for status in statuses {
        assert!(
            section.contains(&format!("\n| {status} | ")),
            "exit {status} has no line in docs/handoff.md"
        );
    }
}

/// The code of a source file, without its tests and without white space, for looking at what stands before a literal.
fn squeezed(path: &str) -> String {
    let text = read(path);
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.chars().filter(|c| !c.is_whitespace())).collect()
}

/// Whether a literal after `before` is a reason code or a skip rule.
fn is_code_context(before: &str, literal: &str) -> bool {
    const CONTEXTS: [&str; 8] = [
        "Err((",
        "|e|(",
        "|error|(",
        "quarantined((",
        "quarantined(",
        "reason:",
        ":&str=",
        "unit.terminated{",
    ];
    let named = CONTEXTS.iter().any(|context| before.ends_with(context))
        || (before.ends_with("=>") && (literal.starts_with("json_") || literal.starts_with("category_")));
    // `present("field", "reason", …)`
    let gate = before
        .strip_suffix("\",")
        .and_then(|before| before.rsplit_once('"'))
        .is_some_and(|(before, _)| before.ends_with("present("));
    let tuple = before.ends_with("_=>Err((") || before.ends_with("other=>Err((");
    named || gate || tuple
}

#[test]
fn every_reason_and_skip_rule_is_explained() {
    let mut codes = BTreeSet::new();
    for name in files() {
        let folders =
            ["src/pipeline/source/", "src/pipeline/export/", "src/ops/engine/", "src/base/json/mod.rs"];
        if !name.ends_with(".rs") || !folders.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        let code = squeezed(&name);
        let quotes: Vec<usize> = code.match_indices('"').map(|(at, _)| at).collect();
        for pair in quotes.windows(2) {
            let (before, literal) = (&code[..pair[0]], &code[pair[0] + 1..pair[1]]);
            let word = !literal.is_empty()
                && literal.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if word && is_code_context(before, literal) {
                codes.insert(literal.to_owned());
            }
        }
    }
    // Said of stored bytes, never of a row: `docs/format.md` explains it.
    assert!(codes.remove("json_not_canonical"), "{codes:?}");
    let expected =
        ["json_syntax", "unterminated", "bad_key", "jq_error", "ungrounded", "empty_prompt", "unpaired"];
    for code in expected {
        assert!(codes.contains(code), "the search for codes does not find {code}: {codes:?}");
    }
    assert!(codes.len() >= 30, "{codes:?}");
    let page = read("docs/quarantine.md");
    let missing: Vec<&String> =
        codes.iter().filter(|code| !page.contains(&format!("\n| `{code}` | "))).collect();
    assert!(missing.is_empty(), "docs/quarantine.md has no line for {missing:?}");
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let gone: Vec<&str> = listed.filter(|code| !codes.contains(*code)).collect();
    assert!(gone.is_empty(), "docs/quarantine.md explains what the source does not have: {gone:?}");
}

/// The schema strings `distill.NAME.v1` in a text.
fn schema_strings(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
    words
        .filter(|word| word.starts_with("distill.") && word.ends_with(".v1"))
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn every_machine_answer_is_described() {
    let mut answers = BTreeSet::new();
    for name in files() {
        if name.ends_with(".rs") && (name.starts_with("src/cli/") || name.starts_with("src/ops/")) {
            answers.extend(schema_strings(&squeezed(&name)));
        }
    }
    // Objects of the store, not answers.
    for object in ["distill.config.v1", "distill.audit_baseline.v1", "distill.prompt.v1", "distill.answer.v1"]
    {
        assert!(answers.remove(object), "{answers:?}");
        assert!(read("docs/format.md").contains(&format!("\n### {object}\n")), "{object}");
    }
    for known in ["distill.error.v1", "distill.run.v1", "distill.ls.v1"] {
        assert!(answers.contains(known), "the search does not find {known}: {answers:?}");
    }
    let page = read("docs/json.md");
    let headings = prose(&page).filter_map(|(_, line)| line.strip_prefix("## "));
    let described: BTreeSet<String> = headings.flat_map(schema_strings).collect();
    let missing: Vec<&String> = answers.difference(&described).collect();
    assert!(missing.is_empty(), "docs/json.md has no section for {missing:?}");
    let gone: Vec<&String> = described.difference(&answers).collect();
    assert!(gone.is_empty(), "docs/json.md describes what no command answers: {gone:?}");
}

#[test]
fn every_verb_of_the_phase_map_exists() {
    let handoff = read("docs/handoff.md");
    let (_, map) = handoff.split_once("\n## Phase map\n").expect("the section");
    let (map, _) = map.split_once("\n## ").expect("its end");
    let mut seen = 0;
    for line in map.lines().filter(|line| line.starts_with("| ")) {
        let Some(commands) = line.split('|').nth(3) else { continue };
        for command in commands.split('`').skip(1).step_by(2) {
            let verb = command.split(' ').next().unwrap_or_default();
            let help =
                std::process::Command::new(env!("CARGO_BIN_EXE_distill")).args([verb, "--help"]).output();
            assert!(help.expect("it starts").status.success(), "there is no `distill {verb}`");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} commands");
}

/// Where this was built, and where packages come from, is nobody's business.
#[test]
fn no_registry_hosts_and_no_machine_paths() {
    // Put together here, so that this file does not hold them itself.
    let words: Vec<String> = [
        ["crates", ".io"],
        ["py", "pi.org"],
        ["npm", "js.org"],
        ["npm", "js.com"],
        ["\"/wo", "rk/"],
        [" /wo", "rk/"],
        ["`/wo", "rk/"],
        ["(/wo", "rk/"],
        ["/ro", "ot/"],
        ["/home", "/runner"],
    ]
    .iter()
    .map(|parts| parts.concat())
    .collect();
    let mut found = Vec::new();
    for name in files() {
        // The lock file names its registry because cargo writes it; the sample is made-up text.
        if name == "Cargo.lock" || name.starts_with("fixtures/") {
            continue;
        }
        let Ok(text) = fs::read_to_string(root().join(&name)) else { continue };
        for (n, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{name}:{}: {word}", n + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
