//! The most important test of the project: a run in steps equals one full run.
//!
//! Random histories of a repository: rows appended, repeated in earlier and later files, conflicting over keys, completed
//! after a cut, packed, joined; files that come and go; policy, specs and options edited; the memo deleted; HEAD moved.
//! After every step, every dataset root and every receipt's counts must be those of a fresh repository that runs once
//! over the same files. `DISTILL_TEST_LONG=1` runs many histories, `DISTILL_TEST_SEED=n` one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use distill::ops::run::{RunOptions, What};
use distill::store::{OpRequest, RefChange};

use crate::engine::{POLICY, Place, Result_, Rng, result};

const ALPHA: &str = r#"
stream = "alpha"
files = ["a/*.jsonl", "a/*.jsonl.gz"]
[record]
key = ".id"
time = ".ts"
skip = [{ rule = "beat", when = ".beat == true" }]
[lookup.tasks]
files = ["look/*.jsonl"]
key = ".id"
on = ".task"
[fields]
run_id = ".run"
task_id = ".task"
instruction = '$tasks.text // .ask'
response = ".say"
tags = ".tags"
validation.outcome = ".ok"
observer.verdict = ".verdict"
observer.confidence = ".sure"
human.verdict = ".human"
"#;

const BETA: &str = r#"
stream = "beta"
files = ["b/*.json"]
unit = "element"
at = ".items"
[record]
emit = ".sides[]"
key = ".id"
[fields]
run_id = ".id"
task_id = ".task"
instruction = "$unit.ask"
response = ".say"
comparison.group = "$unit.group"
comparison.rank = ".rank"
validation.outcome = ".ok"
"#;

const GAMMA: &str = r#"
stream = "gamma"
files = ["g/*.json"]
unit = "value"
[record]
key = "$key"
[fields]
run_id = "$key"
task_id = ".task"
instruction = ".ask"
response = ".say"
validation.outcome = ".ok"
"#;

const DELTA: &str = r#"
stream = "alpha"
files = ["d/*.json"]
unit = "file"
[record]
key = ".id"
[fields]
run_id = ".run"
task_id = ".task"
instruction = ".ask"
response = ".say"
validation.outcome = ".ok"
observer.verdict = ".verdict"
"#;

/// Everything a run depends on.
#[derive(Clone)]
pub(crate) struct World {
    /// Lines, as they will stand in the file, ends included.
    pub(crate) lines: BTreeMap<String, Vec<String>>,
    pub(crate) elements: BTreeMap<String, Vec<String>>,
    pub(crate) values: BTreeMap<String, Vec<String>>,
    pub(crate) wholes: BTreeMap<String, String>,
    pub(crate) specs: BTreeMap<&'static str, String>,
    pub(crate) policy: String,
    pub(crate) include_partial: bool,
    pub(crate) max_pairs: usize,
}

impl World {
    /// A world of one file of two lines.
    pub(crate) fn first(rng: &mut Rng) -> Self {
        let specs = [("alpha", ALPHA), ("beta", BETA), ("gamma", GAMMA), ("delta", DELTA)];
        Self {
            lines: BTreeMap::from([("a/3.jsonl".to_owned(), vec![row(rng) + "\n", row(rng) + "\n"])]),
            elements: BTreeMap::new(),
            values: BTreeMap::new(),
            wholes: BTreeMap::new(),
            specs: specs.map(|(name, text)| (name, text.to_owned())).into(),
            policy: POLICY.to_owned(),
            include_partial: false,
            max_pairs: 8,
        }
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for (name, lines) in &self.lines {
            let text = lines.concat();
            let bytes = if packed(name) {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packer.write_all(text.as_bytes()).expect("packed");
                packer.finish().expect("packed")
            } else {
                text.into_bytes()
            };
            files.insert(name.clone(), bytes);
        }
        for (name, items) in &self.elements {
            files.insert(name.clone(), format!("{{\"items\":[{}]}}", items.join(",\n")).into_bytes());
        }
        for (name, items) in &self.values {
            let mut text = String::from("{");
            for (at, item) in items.iter().enumerate() {
                let comma = if at > 0 { "," } else { "" };
                write!(text, "{comma}\"k{at}\":{item}").expect("written");
            }
            text.push('}');
            files.insert(name.clone(), text.into_bytes());
        }
        for (name, text) in &self.wholes {
            files.insert(name.clone(), text.clone().into_bytes());
        }
        for (name, text) in &self.specs {
            files.insert(format!(".distill/sources/{name}.toml"), text.clone().into_bytes());
        }
        files.insert(".distill/policy.toml".to_owned(), self.policy.clone().into_bytes());
        let (partial, pairs) = (self.include_partial, self.max_pairs);
        let config = format!("[exports]\ninclude_partial = {partial}\nmax_pairs_per_task = {pairs}\n");
        files.insert(".distill/config.toml".to_owned(), config.into_bytes());
        files
    }

    /// Makes the folder of `place` hold exactly this world, whatever it held.
    fn write(&self, place: &Place) {
        let files = self.files();
        for folder in ["a", "b", "g", "d", "look", ".distill/sources"] {
            let Ok(entries) = fs::read_dir(place.root.join(folder)) else { continue };
            for entry in entries.flatten() {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                if !files.contains_key(&name) {
                    fs::remove_file(entry.path()).expect("removed");
                }
            }
        }
        for (name, bytes) in files {
            if fs::read(place.root.join(&name)).ok().as_deref() != Some(&bytes) {
                place.write(&name, bytes);
            }
        }
    }

    /// What a fresh repository makes of it in one run.
    fn rebuilt(&self) -> Result_ {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Place { root: dir.path().to_owned() };
        self.write(&place);
        place.run(What::All);
        result(&place)
    }
}

fn text(rng: &mut Rng, stem: &str, n: usize) -> String {
    match rng.below(n + 3) {
        0 => "null".to_owned(),
        1 if stem == "say" => "\"\"".to_owned(),
        k => format!("\"{stem}{}\"", k % n),
    }
}

/// A row whose fields come from so few values that repeats and conflicts of every kind are common.
pub(crate) fn row(rng: &mut Rng) -> String {
    let ts = *rng.pick(&["null", "\"2026-01-01T00:00:00Z\"", "\"2026-02-02T10:00:00+02:00\"", "7"]);
    let ok = *rng.pick(&["null", "null", "true", "false"]);
    let verdict = *rng.pick(&["null", "\"good\"", "\"meh\"", "\"bad\"", "\"odd\"", "\"pass\""]);
    let sure = *rng.pick(&["null", "0.2", "0.9"]);
    let beat = if rng.one_in(12) { ",\"beat\":true" } else { "" };
    let human = if rng.one_in(10) { ",\"human\":\"bad\"" } else { "" };
    let (id, run, task) = (rng.below(7), text(rng, "run", 4), text(rng, "t", 3));
    let (ask, say) = (text(rng, "ask", 3), text(rng, "say", 5));
    let tag = rng.below(3);
    format!(
        "{{\"id\":\"i{id}\",\"run\":{run},\"task\":{task},\"ask\":{ask},\"say\":{say},\"ts\":{ts},\"ok\":{ok},\
         \"verdict\":{verdict},\"sure\":{sure},\"tags\":\"g{tag}\"{beat}{human}}}"
    )
}

fn element(rng: &mut Rng) -> String {
    let mut sides = Vec::new();
    for _ in 0..rng.below(4) {
        let (id, task, say) = (rng.below(12), text(rng, "t", 3), text(rng, "say", 4));
        let rank = *rng.pick(&["1", "2", "3", "null"]);
        let ok = *rng.pick(&["true", "false", "null"]);
        let id = "x".repeat(1 + id % 3) + &id.to_string();
        sides.push(format!("{{\"id\":\"{id}\",\"task\":{task},\"say\":{say},\"rank\":{rank},\"ok\":{ok}}}"));
    }
    let group = *rng.pick(&["null", "\"g1\"", "\"g2\""]);
    format!("{{\"ask\":{},\"group\":{group},\"sides\":[{}]}}", text(rng, "ask", 3), sides.join(","))
}

fn line(rng: &mut Rng, world: &World) -> String {
    match rng.below(14) {
        0 => "{\"id\": broken\n".to_owned(),
        1 => "\n".to_owned(),
        2..6 => {
            // A row that some file has already, an earlier or a later one.
            let all: Vec<&String> = world.lines.values().flatten().filter(|l| l.ends_with('\n')).collect();
            if all.is_empty() { row(rng) + "\n" } else { (*rng.pick(&all)).clone() }
        }
        _ => row(rng) + "\n",
    }
}

fn packed(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|ending| ending == "gz")
}

/// Changes the world; says what it did, and whether known rows may be lost by it.
pub(crate) fn step(rng: &mut Rng, world: &mut World) -> (String, bool) {
    const LINE_FILES: [&str; 7] = [
        "a/0.jsonl",
        "a/3.jsonl",
        "a/5.jsonl",
        "a/9.jsonl",
        "a/4.jsonl.gz",
        "look/tasks.jsonl",
        "look/more.jsonl",
    ];
    match rng.below(19) {
        0..6 => {
            let name = (*rng.pick(&LINE_FILES)).to_owned();
            let mut lines = world.lines.get(&name).cloned().unwrap_or_default();
            let whole = name.starts_with("look") && world.specs["alpha"].contains("unit = \"file\"");
            let mut lost = packed(&name) || whole;
            if let Some(last) = lines.last_mut().filter(|l| !l.ends_with('\n')) {
                // What was cut is completed: by an end, by its other half, or by something else.
                match rng.below(3) {
                    0 => last.push('\n'),
                    1 if !last.ends_with('}') => last.push_str("1\"}\n"),
                    _ => last.push_str(" \n"),
                }
                lost |= packed(&name);
            }
            for _ in 0..=rng.below(4) {
                let made = if name.starts_with("look") {
                    format!("{{\"id\":\"t{}\",\"text\":\"ask{}\"}}\n", rng.below(3), rng.below(4))
                } else {
                    line(rng, world)
                };
                lines.push(made);
            }
            if rng.one_in(3) {
                let whole = if rng.one_in(2) { row(rng) } else { "{\"id\":\"i1\",\"say\":\"say".to_owned() };
                lines.push(whole);
            }
            world.lines.insert(name.clone(), lines);
            (format!("append to {name}"), lost)
        }
        6 => {
            let name = (*rng.pick(&["b/1.json", "b/2.json"])).to_owned();
            let items = world.elements.entry(name.clone()).or_default();
            for _ in 0..=rng.below(3) {
                let again = if items.is_empty() || !rng.one_in(4) { element(rng) } else { items[0].clone() };
                items.push(again);
            }
            (format!("elements of {name}"), false)
        }
        7 => {
            let name = (*rng.pick(&["g/1.json", "g/2.json"])).to_owned();
            let made = row(rng);
            world.values.entry(name.clone()).or_default().push(made);
            (format!("values of {name}"), false)
        }
        8 => {
            let name = format!("d/{}.json", rng.below(3));
            // The same row may stand as a line of the same stream.
            let made = match world.lines.get("a/3.jsonl").and_then(|lines| lines.first()) {
                Some(first) if rng.one_in(2) => first.trim_end().to_owned(),
                _ => row(rng),
            };
            let lost = world.wholes.insert(name.clone(), made).is_some();
            (format!("whole file {name}"), lost)
        }
        9 | 10 => {
            world.policy = match rng.below(6) {
                0 => POLICY.to_owned(),
                1 => POLICY.replace("id = \"liked\"", "id = \"loved\""),
                2 => POLICY.replace("reject = [\"bad\"]", "reject = [\"bad\", \"odd\"]"),
                3 => POLICY.replace("review = [\"pass\"]", "review = [\"pass\", \"odd\"]"),
                4 => POLICY.replace("confidence_min = 0.5", "confidence_min = 0.1"),
                _ => POLICY.replace("partial = [\"meh\"]", "partial = [\"odd\"]"),
            };
            ("policy".to_owned(), false)
        }
        11 => {
            world.include_partial = !world.include_partial;
            ("include_partial".to_owned(), false)
        }
        12 => {
            world.max_pairs = *rng.pick(&[1, 2, 8]);
            (format!("max_pairs {}", world.max_pairs), false)
        }
        13 => {
            let alpha = match rng.below(5) {
                0 => ALPHA.to_owned(),
                1 => ALPHA.replace("\".tags\"", "'.tags + \"!\"'"),
                2 => ALPHA.replace("key = \".id\"\ntime", "time"),
                3 => ALPHA.replace("skip = [", "# ["),
                _ => ALPHA.replace(
                    "[lookup.tasks]\nfiles = [\"look/*.jsonl\"]\nkey",
                    "[lookup.tasks]\nfiles = [\"look/*.jsonl\"]\nunit = \"file\"\nkey",
                ),
            };
            let lost = alpha.contains("unit = \"file\"") != world.specs["alpha"].contains("unit = \"file\"");
            world.specs.insert("alpha", alpha);
            ("spec".to_owned(), lost)
        }
        14 => {
            // One file stays: a repository without any is another test's concern.
            let names = world.lines.keys().chain(world.elements.keys()).filter(|name| *name != "a/3.jsonl");
            let names: Vec<String> = names.cloned().collect();
            let Some(name) = (!names.is_empty()).then(|| rng.pick(&names).clone()) else {
                return ("nothing to delete".to_owned(), false);
            };
            world.lines.remove(&name);
            world.elements.remove(&name);
            (format!("delete {name}"), true)
        }
        15 => {
            let names: Vec<String> = world.lines.keys().cloned().collect();
            let Some(name) = (!names.is_empty()).then(|| rng.pick(&names).clone()) else {
                return ("nothing to edit".to_owned(), false);
            };
            let made = row(rng) + "\n";
            let lines = world.lines.get_mut(&name).expect("a file");
            match rng.below(3) {
                0 if !lines.is_empty() => drop(lines.pop()),
                1 => lines.insert(0, made),
                _ => lines[..].reverse(),
            }
            // Only the last line may lack its end.
            let last = lines.len().saturating_sub(1);
            for line in lines.iter_mut().take(last).filter(|l| !l.ends_with('\n')) {
                line.push('\n');
            }
            (format!("edit {name}"), true)
        }
        16 => ("nothing".to_owned(), false),
        17 => ("forget".to_owned(), false),
        _ => ("undo".to_owned(), true),
    }
}

/// Puts the branch back to an earlier commit, as `undo` and `reset` do.
fn move_head(rng: &mut Rng, place: &Place) {
    let repo = place.repo();
    let refs = repo.store().refs();
    let Some(now) = repo.head_commit() else { return };
    let refs: Vec<_> = refs.into_iter().filter(|(name, _)| name.starts_with("runs/")).collect();
    let (_, target) = rng.pick(&refs);
    let change = RefChange { name: "heads/main".to_owned(), old: Some(*now.object()), new: Some(*target) };
    let request = OpRequest {
        operation: "reset".to_owned(),
        message: None,
        at: "2026-01-01T00:00:00.000Z".to_owned(),
        ref_changes: vec![change],
        head: None,
        drop_packs: Vec::new(),
    };
    repo.store().publish(None, request).expect("moved");
}

/// Runs what is needed to bring HEAD up to date, in one command or stage by stage; sometimes the source rows are stored
/// beforehand, and then what was made of them is returned.
fn bring_up_to_date(
    rng: &mut Rng,
    place: &Place,
    only_derived: bool,
    lost: bool,
) -> (&'static str, Option<Result_>) {
    let mut options = RunOptions::new(What::All);
    options.accept_source_loss = lost;
    options.threads = Some(1 + rng.below(3));
    // HEAD is moved without its files, so the files are another test's.
    options.write_files = false;
    let has_head = place.root.join(".distill/store.redb").exists() && place.repo().head_commit().is_some();
    let (whats, how): (&[What], _) = match rng.below(6) {
        0 if has_head && only_derived => (&[What::Score, What::Exports], "score, export-all"),
        1 if has_head && only_derived => {
            (&[What::Score, What::Preference, What::Sft, What::Rag], "score, exports one by one")
        }
        2 if has_head => (&[What::Evidence, What::Score, What::Exports], "stage by stage"),
        _ => (&[What::All], "run-all"),
    };
    let mut run = |what: What| {
        options.what = what;
        place.try_run(&options).unwrap_or_else(|e| panic!("{}: {e}", what.operation()));
    };
    let ingested = (rng.below(3) == 0).then(|| {
        run(What::Ingest);
        result(place)
    });
    whats.iter().copied().for_each(run);
    (how, ingested)
}

fn history(seed: u64, steps: usize) {
    let rng = &mut Rng::new(seed);
    let dir = tempfile::tempdir().expect("a folder");
    let place = Place { root: dir.path().to_owned() };
    let mut world = World::first(rng);
    let mut log = String::new();
    for number in 0..steps {
        let (mut lost, mut only_derived) = (false, true);
        for _ in 0..=rng.below(2) {
            let (what, loses) = step(rng, &mut world);
            write!(log, "{what}; ").expect("written");
            if what == "forget" {
                fs::remove_dir_all(place.root.join(".distill/index")).ok();
            } else if what == "undo" && number > 0 {
                move_head(rng, &place);
            }
            lost |= loses;
            only_derived &= matches!(&*what, "policy" | "include_partial" | "nothing" | "forget")
                || what.starts_with("max_pairs");
        }
        world.write(&place);
        let (how, ingested) = bring_up_to_date(rng, &place, only_derived && number > 0, lost);
        writeln!(log, "-> {}{how}", if ingested.is_some() { "ingest, " } else { "" }).expect("written");
        let (stepped, rebuilt) = (result(&place), world.rebuilt());
        if let Some(ingested) = ingested {
            let sources = |result: &Result_| result.datasets.get("sources").copied();
            assert_eq!(sources(&ingested), sources(&rebuilt), "seed {seed}, step {number}: ingest\n{log}");
            assert_eq!(ingested.stages["sources"], rebuilt.stages["sources"], "seed {seed}: ingest\n{log}");
        }
        if stepped != rebuilt {
            let keep = dir.keep();
            let differ: Vec<_> = rebuilt
                .datasets
                .iter()
                .filter(|(name, root)| stepped.datasets.get(*name) != Some(root))
                .collect();
            let stages: Vec<_> = (rebuilt.stages.iter())
                .filter(|(stage, made)| stepped.stages.get(*stage) != Some(made))
                .map(|(stage, made)| {
                    format!("{stage}: {:?}\n   rebuilt: {made:?}", stepped.stages.get(stage))
                })
                .collect();
            panic!(
                "seed {seed}, step {number}: a run in steps is not a full run\n{log}\ndatasets: {differ:?}\n{}\n{}",
                stages.join("\n"),
                keep.display()
            );
        }
        let left = place.left_in_tmp();
        assert!(left.is_empty(), "seed {seed}: {left:?}\n{log}");
    }
}

#[test]
fn a_run_in_steps_is_a_full_run() {
    if let Some(seed) = std::env::var("DISTILL_TEST_SEED").ok().and_then(|s| s.parse().ok()) {
        return history(seed, 8);
    }
    let first = std::env::var("DISTILL_TEST_FROM").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let count = if std::env::var_os("DISTILL_TEST_LONG").is_some() { 1000 } else { 8 };
    for seed in first..first + count {
        history(seed, 8);
    }
}
