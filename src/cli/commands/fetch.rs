//! `distill fetch`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::commands::remote;
use crate::cli::error::CommandError;
use crate::cli::table::{count, size};
use crate::cli::ui::{Style, Ui};
use crate::cli::{Context, Outcome};
use crate::ops::delivery::Format;
use crate::ops::fetch::{FetchOptions, Fetched, Proof, fetch};
use crate::ops::open::open;
use crate::ops::remotes::is_configured;
use crate::ops::{ErrorKind, OpError};
use crate::remote::web::Token;

/// Bring here what a remote has; or fetch the rows of a dataset from anywhere, and verify every byte
///
/// With the name of a remote, or nothing, it brings the runs here that the remote has, and moves no branch of this
/// repository: the remote's branches are then known as `remotes/NAME/BRANCH`; its tags and runs have their own names, unless
/// they mean something else here.
///
/// With REV|ID it needs no repository. SOURCE is `http://HOST:PORT`, `https://HOST`, `s3://BUCKET/PREFIX`, or a folder: one that holds a
/// `.distill`, or one that was pushed to. What is asked for is a
/// revision with a dataset (`v1.0.0 --dataset sft`, `v1.0.0:sft`), the id of a commit or tag with a dataset, the root id of a
/// dataset, or the BLAKE3 or SHA-256 of an export's JSONL.
///
/// The file gets its name only when every byte was held against that: by the digest in the receipt that the commit names, by
/// the tree of that root, or by the digest itself. An interrupted transfer goes on where it stopped when the command is run
/// again. A name such as v1.0.0 is believed to stand for the commit that the source says; give the commit id to rely on
/// nobody. Parquet is made here, from rows that were verified.
#[derive(Clone, Debug, clap::Args)]
pub struct FetchArgs {
    /// The name of a remote; or the address of a server or bucket, or a folder
    #[arg(value_name = "SOURCE")]
    from: Option<String>,
    /// A revision, `REV:DATASET`, an id of 64 digits, or the digest of an export
    #[arg(value_name = "REV|ID")]
    what: Option<String>,
    /// The dataset of the commit, such as sft, rag, preference or evidence
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// The form of the file
    #[arg(long, value_enum, default_value_t = FileFormat::Jsonl)]
    format: FileFormat,
    /// The file; named by the dataset when left out
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    /// A file with the token that the server asks for; `DISTILL_TOKEN` when left out
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The forms that are fetched.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileFormat {
    /// One row a line, the exact bytes of the objects
    Jsonl,
    /// Apache Parquet
    Parquet,
}

pub(super) fn run(context: &Context, args: FetchArgs) -> Result<Outcome, CommandError> {
    let (Some(source), Some(what)) = (&args.from, args.what) else {
        return of_remote(context, args.from.as_deref());
    };
    let mut access = remote::access();
    if let Some(path) = &args.token_file {
        access.token = Some(token(path)?);
    }
    let options = FetchOptions {
        source: source.clone(),
        what,
        dataset: args.dataset,
        format: match args.format {
            FileFormat::Jsonl => Format::Jsonl,
            FileFormat::Parquet => Format::Parquet,
        },
        output: args.output,
        force: args.force,
        access,
        scratch: std::env::temp_dir(),
    };
    let fetched = fetch(&options, &context.ui)?;
    context.ui.answer("distill.fetch.v1", &fetched, &text(&context.ui, &fetched))?;
    Ok(Outcome::Done)
}

/// `fetch REMOTE`, or `fetch` for the only remote there is.
fn of_remote(context: &Context, name: Option<&str>) -> Result<Outcome, CommandError> {
    if let Some(name) = name
        && !is_configured(&open(&context.start)?.dot(), name)?
    {
        let message = format!("there is no remote called `{name}`, and nothing says what else to fetch");
        let hint = "`distill remote list` lists the remotes; of another source name a revision with a dataset, or an id: \
                    `distill fetch SOURCE v1.0.0 --dataset sft`";
        return Err(OpError::new(ErrorKind::Usage, message, hint).into());
    }
    remote::run_fetch(context, name)
}

fn token(path: &std::path::Path) -> Result<Token, OpError> {
    let text = std::fs::read_to_string(path).map_err(|e| OpError::io("read", path, &e))?;
    Token::parse(&text).ok_or_else(|| {
        let message = format!("{} holds no token", path.display());
        OpError::new(ErrorKind::Usage, message, "write the token into it, on a line of its own")
    })
}

fn text(ui: &Ui, fetched: &Fetched) -> String {
    let what = fetched.dataset.as_deref().unwrap_or("the snapshot");
    let commit = fetched.commit_id.map(|id| format!(" of commit {id}")).unwrap_or_default();
    let verb = if fetched.was_there { "was there already" } else { "written" };
    let mut text = format!(
        "{} {verb}: {} rows of {what}{commit}, {}\n",
        ui.paint(Style::Bold, fetched.file.display()),
        count(fetched.rows),
        size(fetched.written.bytes),
    );
    if fetched.resumed_from > 0 {
        text.push_str(&format!("resumed after {}\n", size(fetched.resumed_from)));
    }
    let proof = match fetched.proof {
        Proof::Receipt => "the digest in the commit's receipt",
        Proof::Tree => "every row and node of the tree",
        Proof::Digest => "the digest that was asked for",
    };
    text.push_str(&format!("{} by {proof}\n", ui.paint(Style::Green, "verified")));
    text.push_str(&format!("root    {}\n", fetched.root));
    text.push_str(&format!("blake3  {}\nsha256  {}\n", fetched.written.blake3, fetched.written.sha256));
    text
}
