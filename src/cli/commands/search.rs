//! `distill search`.

use std::fmt::Write as _;

use crate::cli::error::CommandError;
use crate::cli::table::{Table, count};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::open::open;
use crate::ops::search::{
    Corpus, Filter, Found, HITS_DEFAULT, Hit, Recall, RecallOptions, Searcher, StreamRecall, corpus, recall,
};

/// Find the rows of the RAG corpus that answer a question best
///
/// Ranks the rows of `exports/rag` by BM25: rare words count more, and names, paths and error codes are found whole and by
/// their parts. The index is a cache below .distill/index; the first search of a snapshot builds it. Every hit is read from the
/// store by its hash. The same snapshot and question give the same order everywhere. Exits 1 where nothing is found.
#[derive(Clone, Debug, clap::Args)]
pub struct SearchArgs {
    /// What to look for; several words need no quotes
    #[arg(required_unless_present = "self_recall", conflicts_with = "self_recall")]
    query: Vec<String>,
    /// Search the corpus of this revision; HEAD when left out
    #[arg(long, value_name = "REV")]
    at: Option<String>,
    /// Search a corpus that `[corpora]` of config.toml names
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    corpus: Option<String>,
    /// How many rows to show
    #[arg(short = 'k', visible_short_alias = 'n', value_name = "N", default_value_t = HITS_DEFAULT)]
    k: usize,
    /// Rows of this stream only
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Rows with this tag only
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Rows of this category only: `accepted` or `partially_accepted`
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Rows recorded on this day, at this time, or later
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Rows recorded on this day or before, or before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Ask for every row with its own instruction, and say how often it is found
    #[arg(long, conflicts_with_all = ["stream", "tag", "category", "since", "until"])]
    self_recall: bool,
    /// With --self-recall: ask for so many rows, at even distances
    #[arg(long, value_name = "N", default_value_t = RecallOptions::default().rows_max, requires = "self_recall")]
    rows: u64,
}

/// Characters of a row's content that are shown.
const CONTENT_CHARS: usize = 240;

pub(super) fn run(context: &Context, args: &SearchArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let corpus = corpus(&repo, args.corpus.as_deref(), args.at.as_deref())?;
    let searcher = Searcher::open(&repo, corpus, &context.ui)?;
    if args.self_recall {
        let options = RecallOptions { rows_max: args.rows };
        let recall = recall(&repo, &searcher, options, &context.ui)?;
        context.ui.answer("distill.search_recall.v1", &recall, &recall_text(&context.ui, &recall))?;
        return Ok(Outcome::Done);
    }
    let query = args.query.join(" ");
    let filter = Filter {
        stream: args.stream.clone(),
        tag: args.tag.clone(),
        category: args.category.clone(),
        since: args.since.clone(),
        until: args.until.clone(),
    };
    let items = searcher.search(&query, args.k, &filter)?;
    let found = Found { corpus: searcher.corpus().clone(), query, items };
    context.ui.answer(
        "distill.search.v1",
        &found,
        &found_text(&context.ui, &found, filter == Filter::default()),
    )?;
    Ok(if found.items.is_empty() { Outcome::No } else { Outcome::Done })
}

fn head(ui: &Ui, corpus: &Corpus) -> String {
    let commit = corpus.commit.object().short(12);
    ui.paint(Style::Dim, format!("in {} of {} (commit {commit})", corpus.dataset, corpus.name))
}

fn found_text(ui: &Ui, found: &Found, is_any: bool) -> String {
    let mut text = format!("{}\n", head(ui, &found.corpus));
    if found.items.is_empty() {
        let which = if is_any { "No row" } else { "No row that the filters let through" };
        writeln!(text, "\n{which} has a word of it.").ok();
    }
    for Hit { rank, score, key, id, row } in &found.items {
        let title = ui.paint(Style::Bold, one_line(&row.title, CONTENT_CHARS));
        writeln!(text, "\n{rank:>2}  {title}").ok();
        let facts =
            format!("{} · {score:.2} · {}", ui.paint(Style::Yellow, id.short(12)), row.source_category);
        writeln!(text, "    {key} · {facts}").ok();
        // The content begins with the title, as a rule; where that was cut short, in the middle of a word.
        let begun = row.title.trim_end_matches('…');
        let rest = row.content.strip_prefix(begun).unwrap_or(&row.content);
        let rest =
            if begun.len() < row.title.len() { rest.find(' ').map_or("", |at| &rest[at..]) } else { rest };
        writeln!(text, "    {}", ui.paint(Style::Dim, one_line(rest, CONTENT_CHARS))).ok();
    }
    text
}

/// The beginning of a text, on one line.
fn one_line(text: &str, chars: usize) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() > chars {
            line.push('…');
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

fn recall_text(ui: &Ui, recall: &Recall) -> String {
    let mut table = Table::new(&[
        "stream",
        ">asked",
        ">no instruction",
        ">hit@1",
        ">hit@5",
        ">hit@10",
        ">MRR",
        ">same question",
    ]);
    let row = |stream: &StreamRecall| {
        let share = |share: f64| format!("{share:.3}");
        [
            stream.stream.clone(),
            count(stream.asked),
            count(stream.without_instruction),
            share(stream.hit_1),
            share(stream.hit_5),
            share(stream.hit_10),
            share(stream.mrr),
            share(stream.question_hit_10),
        ]
    };
    for stream in &recall.items {
        table.row(row(stream));
    }
    table.row(row(&recall.total));
    let mut text = format!("{}\n\n{table}", head(ui, &recall.corpus));
    let without = match recall.total.without_instruction {
        0 => String::new(),
        some => format!(", {} more have none", count(some)),
    };
    writeln!(
        text,
        "\n{} of {} rows were asked for by their own instructions{without}. \"Same question\" counts a row whose instruction is \
         word for word that of one of the first ten.",
        count(recall.total.asked),
        count(recall.rows)
    )
    .ok();
    text
}
