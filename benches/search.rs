//! How fast a corpus is indexed and searched, and what the tokenizer does for it.
//!
//! `cargo bench --bench search` indexes a RAG snapshot of `DISTILL_BENCH_DOCS` rows (20,000) and asks it questions, warm; then asks for
//! rows by the names, paths and codes that stand in them, with our tokenizer and with tantivy's own. With `DISTILL_BENCH_REPO` the
//! corpus is that of HEAD of the repository there, which is left as it is but for the index. `docs/benchmarks.md` keeps one output.
//! Rests on the library.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use distill::object::FindExt as _;
use distill::ops::Silent;
use distill::ops::search::{Filter, Searcher, corpus};
use distill::record::{RagSample, Record as _};
use distill::repo::{Repo, Site};
use distill::tree;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Query, TermQuery};
use tantivy::schema::{FAST, INDEXED, IndexRecordOption, STORED, Schema, TEXT};
use tantivy::{Index, TantivyDocument, Term};

type Done<T> = Result<T, Box<dyn Error>>;

/// Questions that are asked.
const QUESTIONS: u64 = 500;
/// Rows that are asked for by a name in them.
const NAMED: u64 = 300;

fn main() -> Done<()> {
    let mut out = io::stdout().lock();
    let kept;
    let root = match std::env::var_os("DISTILL_BENCH_REPO") {
        Some(root) => PathBuf::from(root),
        None => {
            kept = tempfile::tempdir()?;
            let docs: u64 = std::env::var("DISTILL_BENCH_DOCS").map_or(Ok(20_000), |docs| docs.parse())?;
            make(kept.path(), docs)?;
            kept.path().to_owned()
        }
    };
    let repo = Site::at(&root)?.open()?;
    let corpus = corpus(&repo, None, None).map_err(|error| error.message)?;
    let root = corpus.root;
    let totals = tree::totals(repo.store(), root)?;
    std::fs::remove_dir_all(repo.dot().join("index").join(root.to_string())).ok();
    let start = Instant::now();
    let searcher = Searcher::open(&repo, corpus.clone(), &Silent).map_err(|error| error.message)?;
    let built = start.elapsed().as_secs_f64();
    drop(searcher);
    let start = Instant::now();
    let searcher = Searcher::open(&repo, corpus, &Silent).map_err(|error| error.message)?;
    let opened = start.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "counts to print")]
    let (rows, megabytes) = (totals.rows as f64, totals.bytes as f64 / 1e6);
    writeln!(out, "corpus                 {} rows, {megabytes:.1} MB", totals.rows)?;
    writeln!(out, "index, built           {:>8.0} rows/s  {built:>7.2} s", rows / built)?;
    writeln!(out, "index, opened          {:>8.2} ms", opened * 1e3)?;

    let questions = titles(&repo, root, totals.rows)?;
    // Both in turns, so that neither has the warmer index; the first time rows are read from the store, then they are kept.
    let kinds =
        [(10, "10 rows, first time", 0), (1, "1 row, asked again", 1), (10, "10 rows, asked again", 1)];
    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..3 {
        for question in &questions {
            for (times, (k, _, kind)) in times.iter_mut().zip(kinds) {
                let start = Instant::now();
                searcher.search(question, k, &Filter::default()).map_err(|error| error.message)?;
                if kind == round {
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
    }
    for (mut times, (_, what, _)) in times.into_iter().zip(kinds) {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        writeln!(out, "{what:<22} p50 {:>6.2} ms  p95 {:>6.2} ms  p99 {:>6.2} ms", at(50), at(95), at(99))?;
    }

    let named = named(&repo, root, totals.rows)?;
    let ours = mean_rank(&named, |name, key| {
        let hits = searcher.search(name, 10, &Filter::default()).map_err(|error| error.message)?;
        Ok(hits.iter().position(|hit| hit.key == key))
    })?;
    let theirs = {
        let plain = Plain::of(&repo, root)?;
        mean_rank(&named, |name, key| plain.rank(name, key))?
    };
    writeln!(
        out,
        "by a name in the row   {} asked: MRR@10 {ours:.3}, with words only {theirs:.3}",
        named.len()
    )?;
    Ok(())
}

/// A repository with about so many RAG rows.
fn make(place: &Path, docs: u64) -> Done<()> {
    // A bit less than half of the sample's rows enter the corpus.
    let rows = (docs * 213 / 100).to_string();
    run(Path::new("."), &["sample", &place.to_string_lossy(), "--rows", &rows])?;
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".distill");
    let dot = place.join(".distill");
    std::fs::create_dir_all(dot.join("sources"))?;
    std::fs::copy(ours.join("policy.toml"), dot.join("policy.toml"))?;
    for spec in std::fs::read_dir(ours.join("sources"))? {
        let spec = spec?;
        std::fs::copy(spec.path(), dot.join("sources").join(spec.file_name()))?;
    }
    run(place, &["run-all", "--quiet", "--no-files"])
}

fn run(place: &Path, args: &[&str]) -> Done<()> {
    let status = Command::new(env!("CARGO_BIN_EXE_distill"))
        .args(args)
        .current_dir(place)
        .stdout(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("distill {} ended with {status}", args.join(" ")).into())
    }
}

fn each(
    repo: &Repo,
    root: distill::object::RootId,
    rows: u64,
    wanted: u64,
    mut take: impl FnMut(String, RagSample),
) -> Done<()> {
    for number in 0..wanted.min(rows) {
        let Some(entry) = tree::nth(repo.store(), root, number * rows / wanted.min(rows))? else { continue };
        take(entry.key, RagSample::parse(&repo.store().find(&entry.id)?)?);
    }
    Ok(())
}

fn titles(repo: &Repo, root: distill::object::RootId, rows: u64) -> Done<Vec<String>> {
    let mut titles = Vec::new();
    each(repo, root, rows, QUESTIONS, |_, row| titles.push(row.title))?;
    Ok(titles)
}

/// Rows with the first name in their content that looks like code: a path, an identifier of several parts, a code.
fn named(repo: &Repo, root: distill::object::RootId, rows: u64) -> Done<Vec<(String, String)>> {
    let mut named = Vec::new();
    each(repo, root, rows, NAMED, |key, row| {
        let name =
            row.content.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        let mut name = name.filter(|word| {
            let joined = word.chars().skip(1).any(|c| "_/.:".contains(c));
            word.len() > 6 && joined && word.chars().any(char::is_alphabetic)
        });
        if let Some(name) = name.next() {
            named.push((name.to_owned(), key));
        }
    })?;
    Ok(named)
}

/// The mean of one over the rank.
fn mean_rank(named: &[(String, String)], rank: impl Fn(&str, &str) -> Done<Option<usize>>) -> Done<f64> {
    let mut sum = 0.0;
    for (name, key) in named {
        if let Some(place) = rank(name, key)? {
            sum += 1.0 / f64::from(u32::try_from(place + 1)?);
        }
    }
    Ok(sum / f64::from(u32::try_from(named.len().max(1))?))
}

/// The same corpus, cut into words as tantivy does where nothing is chosen.
struct Plain {
    index: Index,
    keys: Vec<String>,
}

impl Plain {
    fn of(repo: &Repo, root: distill::object::RootId) -> Done<Self> {
        let mut schema = Schema::builder();
        let text = schema.add_text_field("text", TEXT);
        let row = schema.add_u64_field("row", FAST | INDEXED | STORED);
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads(1, 256 << 20)?;
        let mut keys = Vec::new();
        for entry in tree::iter(repo.store(), root) {
            let entry = entry?;
            let sample = RagSample::parse(&repo.store().find(&entry.id)?)?;
            let mut document = TantivyDocument::default();
            document.add_text(text, &sample.content);
            document.add_u64(row, keys.len() as u64);
            writer.add_document(document)?;
            keys.push(entry.key);
        }
        writer.commit()?;
        Ok(Self { index, keys })
    }

    fn rank(&self, name: &str, key: &str) -> Done<Option<usize>> {
        let searcher = self.index.reader()?.searcher();
        let text = self.index.schema().get_field("text")?;
        let mut terms: Vec<Box<dyn Query>> = Vec::new();
        let mut analyzer = self.index.tokenizer_for_field(text)?;
        let mut stream = analyzer.token_stream(name);
        while let Some(token) = stream.next() {
            let term = Term::from_field_text(text, &token.text);
            terms.push(Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs)));
        }
        let found =
            searcher.search(&BooleanQuery::union(terms), &TopDocs::with_limit(10).order_by_score())?;
        for (place, (_, address)) in found.iter().enumerate() {
            let row = searcher.segment_reader(address.segment_ord).fast_fields().u64("row")?;
            let row = row.first(address.doc_id).ok_or("no row")?;
            if self.keys[usize::try_from(row)?] == key {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}
