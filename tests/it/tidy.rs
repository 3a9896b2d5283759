//! Checks what the compiler cannot see inside one crate: which module may name which, which words may appear where, and
//! that every file says what it is.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `src/`, lowest first: each may name those before it.
const LAYERS: [&str; 12] = [
    "base", "object", "record", "tree", "store", "model", "pipeline", "repo", "remote", "ops", "server",
    "cli",
];

/// A word, the path prefixes where it may appear, and what to use instead.
const BANS: &[(&str, &[&str], &str)] = &[
    ("SystemTime::now", &["base/clock.rs"], "base::clock::Clock"),
    // Inside `store`, `redb` is also the name of the one folder that may use the crate.
    ("redb::", &["store/"], "store::Store"),
    ("use redb", &["store/redb/", "store/mod.rs"], "store::Store"),
    ("std::env", &["cli/"], "an argument"),
    ("println!", &[], "cli::ui::Ui"),
    ("eprintln!", &[], "cli::ui::Ui"),
    ("print!", &[], "cli::ui::Ui"),
    ("reqwest", &["model/", "remote/"], "model or remote"),
];

/// The longest file, in lines; a longer one does more than one thing.
const LINES_MAX: usize = 600;

/// Files that are longer, and how long they may be. The list and its numbers only shrink.
const LONG: &[(&str, usize)] = &[];

/// One message for each broken rule in the file at `path` under `src/`.
fn check_file(path: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if !text.starts_with("//! ") {
        broken.push(format!("{path}:1: the file does not open with a `//!` header"));
    }
    let lines = text.lines().count();
    let allowed = LONG.iter().find(|(long, _)| *long == path).map_or(LINES_MAX, |(_, most)| *most);
    if lines > allowed {
        broken.push(format!("{path}:{lines}: longer than {allowed} lines, split it"));
    }
    // `lib.rs` and `main.rs` put the modules together and may name all of them.
    let module = path.split_once('/').map(|(module, _)| module);
    let rank = module.and_then(|module| LAYERS.iter().position(|layer| *layer == module));
    if module.is_some() && rank.is_none() {
        broken.push(format!("{path}:1: `{}` is no module of DESIGN §13", module.unwrap_or_default()));
        return broken;
    }
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let mut report = |what: String| broken.push(format!("{path}:{}: {what}", index + 1));
        if let Some(rank) = rank {
            for (at, prefix) in code.match_indices("crate::") {
                let rest = &code[at + prefix.len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                match LAYERS.iter().position(|layer| *layer == &rest[..end]) {
                    Some(named) if named <= rank => {}
                    Some(_) => report(format!("`{}` must not name `{}`", LAYERS[rank], &rest[..end])),
                    None => report("write `use crate::module::…`, one module a line".to_owned()),
                }
            }
        }
        for (word, homes, instead) in BANS {
            let whole = code
                .match_indices(word)
                .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            if whole && !homes.iter().any(|home| path.starts_with(home)) {
                report(format!("`{word}` is banned, use {instead}"));
            }
        }
    }
    broken
}

fn files_below(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries =
        walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().map(|entry| entry.expect("listable"));
    entries
        .filter(|entry| entry.path().extension().is_some_and(|ending| ending == "rs"))
        .map(|entry| {
            let name = entry.path().strip_prefix(dir).expect("below").to_str().expect("text").to_owned();
            (name, entry.path().to_owned())
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_source_is_tidy() {
    let files = files_below(&root().join("src"));
    assert!(files.len() > 50, "the source is found");
    let broken: Vec<String> = (files.iter())
        .flat_map(|(name, path)| check_file(name, &fs::read_to_string(path).expect("text")))
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_list_of_long_files_only_shrinks() {
    for (name, most) in LONG {
        let lines = fs::read_to_string(root().join("src").join(name)).map_or(0, |text| text.lines().count());
        assert!(lines > LINES_MAX, "src/{name} has {lines} lines: take it off the list");
        assert!(*most <= lines + 60, "src/{name} has {lines} lines: lower its limit of {most}");
    }
}

/// Every file of the test binary is named by the file above it, or its tests would never run.
#[test]
fn no_test_file_is_forgotten() {
    let dir = root().join("tests/it");
    let forgotten: Vec<String> = (files_below(&dir).into_iter())
        .filter(|(name, _)| name != "main.rs")
        .filter(|(name, _)| !is_named(name, |above| fs::read_to_string(dir.join(above)).ok()))
        .map(|(name, _)| name)
        .collect();
    assert!(forgotten.is_empty(), "no `mod` names {forgotten:?}");
}

/// Whether the file above `name` holds a `mod` for it; `read` gives the text of a file below `tests/it`.
fn is_named(name: &str, read: impl Fn(&str) -> Option<String>) -> bool {
    let path = name.trim_end_matches(".rs").trim_end_matches("/mod");
    let (above, module) = match path.rsplit_once('/') {
        None => (vec!["main.rs".to_owned()], path),
        Some((folder, module)) => (vec![format!("{folder}.rs"), format!("{folder}/mod.rs")], module),
    };
    let texts = above.iter().filter_map(|above| read(above));
    texts
        .into_iter()
        .any(|text| text.lines().any(|line| line.trim_start_matches("pub ") == format!("mod {module};")))
}

#[test]
fn tidy_sees_what_it_should() {
    #[track_caller]
    fn check(path: &str, code: &str, expect: &[&str]) {
        assert_eq!(check_file(path, &format!("//! A file.\n{code}")), expect);
    }
    check("store/gc.rs", "use crate::object::ObjectId; // not crate::cli", &[]);
    check("main.rs", "use crate::cli::main;", &[]);
    check("object/id.rs", "use crate::store::Find;", &["object/id.rs:2: `object` must not name `store`"]);
    check(
        "repo/diff.rs",
        "use crate::{ops, base};",
        &["repo/diff.rs:2: write `use crate::module::…`, one module a line"],
    );
    check("misc/x.rs", "", &["misc/x.rs:1: `misc` is no module of DESIGN §13"]);
    let banned = "`SystemTime::now` is banned, use base::clock::Clock";
    check("ops/gate.rs", "\nlet now = SystemTime::now();", &[&format!("ops/gate.rs:3: {banned}")]);
    check("base/clock.rs", "let now = SystemTime::now();", &[]);
    check(
        "store/opened.rs",
        "use redb::Database;",
        &["store/opened.rs:2: `use redb` is banned, use store::Store"],
    );
    check("store/opened.rs", "use super::redb::Catalogue;", &[]);
    check(
        "repo/x.rs",
        "let db = redb::Database::open(path);",
        &["repo/x.rs:2: `redb::` is banned, use store::Store"],
    );
    check(
        "ops/x.rs",
        "let home = std::env::var(\"HOME\");",
        &["ops/x.rs:2: `std::env` is banned, use an argument"],
    );
    check("cli/mod.rs", "println!(\"hello\");", &["cli/mod.rs:2: `println!` is banned, use cli::ui::Ui"]);
    check("cli/mod.rs", "eprintln!(\"hello\");", &["cli/mod.rs:2: `eprintln!` is banned, use cli::ui::Ui"]);
    check("ops/x.rs", "reqwest::get(url);", &["ops/x.rs:2: `reqwest` is banned, use model or remote"]);
    let long = "x\n".repeat(LINES_MAX);
    check("ops/x.rs", &long, &["ops/x.rs:601: longer than 600 lines, split it"]);
    assert_eq!(check_file("lib.rs", "mod a;"), ["lib.rs:1: the file does not open with a `//!` header"]);

    let read = |above: &str| {
        (above == "main.rs" || above == "cli/mod.rs").then(|| "mod cli;\nmod refs;\n".to_owned())
    };
    assert!(is_named("cli/mod.rs", read) && is_named("cli/refs.rs", read) && is_named("cli.rs", read));
    assert!(!is_named("tree.rs", read) && !is_named("cli/other.rs", read) && !is_named("tree/cost.rs", read));
}
