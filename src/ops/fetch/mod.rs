//! `fetch SOURCE REV|ID`: the rows of a dataset from somewhere else, as a file that is what was asked for, byte by byte, or
//! is not there.
//!
//! Rests on [`Origin`] and on hashes alone: commit → receipt → digest of the JSONL; root id → tree nodes → rows; or the
//! digest itself. Invariants: no store is needed; the file gets its name only after every byte of it was verified, and while
//! nobody else can be writing to it; what arrived before an interruption is kept beside it and verified again with the rest.

mod address;
mod directory;
mod distant;
mod origin;
mod server;
mod transfer;

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::fs::sync_dir;
use crate::object::{CommitId, RootId};
use crate::ops::delivery::shelf::digest_file;
use crate::ops::delivery::{Digests, Format, columns, parquet};
use crate::ops::error::{ErrorKind, OpError};
use crate::ops::progress::Progress;
use crate::remote::{Access, Distant, MARKER, Place, unique};

pub use origin::Origin;

use address::Wanted;
use directory::Directory;
use distant::Files;
use server::Server;

/// What to fetch, and where to.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// The address of a server or a bucket, or a directory.
    pub source: String,
    /// A revision, `REV:DATASET`, a commit, tag or root id, or a digest of the JSONL.
    pub what: String,
    /// The dataset, where a commit is named.
    pub dataset: Option<String>,
    /// JSONL or Parquet.
    pub format: Format,
    /// The file; named by the dataset where none is given.
    pub output: Option<PathBuf>,
    /// Whether another file of that name may be replaced.
    pub force: bool,
    /// What a server or a bucket asks for.
    pub access: Access,
    /// A folder in which one of its own is made and removed again; others may write to it.
    pub scratch: PathBuf,
}

/// What proves that the bytes are those that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A receipt that the commit names says the digests of the whole JSONL.
    Receipt,
    /// Every row is the object that the tree names, and the tree is the one of that root id.
    Tree,
    /// The JSONL has the digest that was asked for.
    Digest,
}

/// What was fetched.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Fetched {
    /// Where it came from.
    pub source: String,
    /// What was asked for.
    pub asked: String,
    /// The commit, where one was named; a name was believed to stand for it.
    pub commit_id: Option<CommitId>,
    /// The dataset; null where only a root or a digest was named and there are no rows.
    pub dataset: Option<String>,
    /// The snapshot.
    pub root: RootId,
    /// How many rows it has.
    pub rows: u64,
    /// What the rows were held against.
    pub proof: Proof,
    /// Length and digests of the JSONL.
    pub jsonl: Digests,
    /// The form of the file.
    pub format: Format,
    /// The file.
    pub file: PathBuf,
    /// Length and digests of the file.
    pub written: Digests,
    /// How many bytes an earlier attempt had left.
    pub resumed_from: u64,
    /// Whether the file was there already.
    pub was_there: bool,
}

/// Fetches the rows.
///
/// # Errors
/// What names nothing; a source that cannot be asked; bytes that do not verify, of which nothing is kept; a file that is
/// there and is another.
pub fn fetch(options: &FetchOptions, progress: &dyn Progress) -> Result<Fetched, OpError> {
    if options.format == Format::JsonlZst {
        let hint = "take it as jsonl or parquet";
        return Err(OpError::new(
            ErrorKind::Usage,
            "a compressed file is not what a digest is given for",
            hint,
        ));
    }
    let attempt =
        |origin: &dyn Origin| run(origin, options, progress).map_err(|error| from_elsewhere(error, origin));
    let source = options.source.as_str();
    match Place::parse(source)? {
        Place::Http(address) => attempt(&Server::new(&address, options.access.token.clone())?),
        Place::Folder(folder) if !folder.join(MARKER).exists() => attempt(&Directory::open(&folder)?),
        _ => {
            // Tables of packs are kept until the rows are here.
            let scratch = Scratch::new(&options.scratch)?;
            let distant = Distant::open(source, &options.access, &scratch.0)?;
            let objects = distant.objects()?;
            attempt(&Files::new(source, &distant, &objects))
        }
    }
}

/// A folder that nobody else can have prepared or can write to. It goes when it is no longer needed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self, OpError> {
        let path = parent.join(format!("distill-fetch-{}", unique()));
        // A folder of that name that is there already is somebody's trap.
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|e| OpError::io("make the folder", &path, &e))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn run(origin: &dyn Origin, options: &FetchOptions, progress: &dyn Progress) -> Result<Fetched, OpError> {
    let wanted = address::resolve(origin, &options.what, options.dataset.as_deref())?;
    if let (Format::Parquet, Some(dataset)) = (options.format, &wanted.dataset) {
        columns::of(dataset)?;
    }
    let file = output(options, &wanted);
    if let (Format::Jsonl, Some(said)) = (options.format, &wanted.jsonl)
        && fs::metadata(&file).is_ok_and(|meta| meta.len() == said.bytes)
        && digest_file(&file)? == *said
    {
        let files = Made { jsonl: said.clone(), digests: said.clone(), file };
        return Ok(report(origin, options, wanted, files, 0, true));
    }
    refuse_other(&file, options.force)?;
    let part = beside(&file, &format!("{}.part", wanted.root.object().short(16)));
    // Until the file has its name, nobody else writes to what will be it.
    let mut ours = transfer::take_part(&part)?;
    let arrived = transfer::receive(origin, &wanted, &part, &mut ours, progress).and_then(|arrived| {
        let jsonl = transfer::verify(origin, &wanted, &part, arrived.digests, progress)?;
        Ok((jsonl, arrived.resumed_from))
    });
    let (jsonl, resumed_from) = arrived.inspect_err(|error| {
        // What is wrong somewhere is of no use to the next attempt.
        if error.kind == ErrorKind::Damaged {
            fs::remove_file(&part).ok();
        }
    })?;
    let wanted = name_dataset(wanted, &part)?;
    let (ready, digests) = match options.format {
        Format::Parquet => {
            let made = convert(&wanted, &part);
            fs::remove_file(&part).ok();
            made?
        }
        _ => (part, jsonl.clone()),
    };
    name_file(&ready, &file, options.force)?;
    sync_dir(parent(&file)).map_err(|e| OpError::io("sync", parent(&file), &e))?;
    let files = Made { file, jsonl, digests };
    Ok(report(origin, options, wanted, files, resumed_from, false))
}

struct Made {
    file: PathBuf,
    jsonl: Digests,
    digests: Digests,
}

fn report(
    origin: &dyn Origin,
    options: &FetchOptions,
    wanted: Wanted,
    files: Made,
    resumed_from: u64,
    was_there: bool,
) -> Fetched {
    Fetched {
        source: origin.place(),
        asked: options.what.clone(),
        commit_id: wanted.commit_id,
        dataset: wanted.dataset,
        root: wanted.root,
        rows: wanted.totals.rows,
        proof: wanted.proof,
        jsonl: files.jsonl,
        format: options.format,
        file: files.file,
        written: files.digests,
        resumed_from,
        was_there,
    }
}

/// `sft.jsonl` in the current folder, unless a file is named.
fn output(options: &FetchOptions, wanted: &Wanted) -> PathBuf {
    options.output.clone().unwrap_or_else(|| {
        let name = wanted.dataset.as_deref().and_then(|dataset| dataset.rsplit('/').next());
        let name = name.map_or_else(|| wanted.root.object().short(16), str::to_owned);
        PathBuf::from(format!("{name}.{}", options.format.ending()))
    })
}

fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    file.with_file_name(name)
}

fn refuse_other(file: &Path, force: bool) -> Result<(), OpError> {
    match fs::symlink_metadata(file) {
        Ok(meta) if meta.is_dir() => Err(OpError::new(
            ErrorKind::Usage,
            format!("{} is a folder", file.display()),
            "name a file: `-o FILE`",
        )),
        Ok(_) if !force => Err(OpError::new(
            ErrorKind::Refused,
            format!("{} is there already and is another file", file.display()),
            "name another file with `-o FILE`, or replace it with --force",
        )),
        _ => Ok(()),
    }
}

/// Gives a file its name. One that somebody put there meanwhile stays, unless it may be replaced.
fn name_file(ready: &Path, file: &Path, force: bool) -> Result<(), OpError> {
    refuse_other(file, force)?;
    if !force {
        match fs::hard_link(ready, file) {
            Ok(()) => {
                fs::remove_file(ready).ok();
                return Ok(());
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return refuse_other(file, force);
            }
            // A file system without links.
            Err(_) => {}
        }
    }
    fs::rename(ready, file).map_err(|e| OpError::io("rename", ready, &e))
}

/// Where only a root was named, the first row says which dataset it is of.
fn name_dataset(mut wanted: Wanted, part: &Path) -> Result<Wanted, OpError> {
    if wanted.dataset.is_none() {
        let line = transfer::first_line(part)?;
        let schema = line.and_then(|line| {
            let row: serde_json::Value = serde_json::from_slice(&line).ok()?;
            Some(row.get("schema")?.as_str()?.to_owned())
        });
        wanted.dataset = schema.and_then(|schema| columns::dataset_of(&schema)).map(str::to_owned);
    }
    Ok(wanted)
}

/// Makes the Parquet file of verified rows, beside them.
fn convert(wanted: &Wanted, part: &Path) -> Result<(PathBuf, Digests), OpError> {
    let Some(dataset) = &wanted.dataset else {
        let message = format!("nothing says which dataset {} is a snapshot of", wanted.root);
        let hint = "name a revision and the dataset, or take it as JSONL";
        return Err(OpError::new(ErrorKind::Usage, message, hint));
    };
    let ready = beside(part, "parquet");
    let made = (|| {
        let out = fs::File::create(&ready).map_err(|e| OpError::io("write", &ready, &e))?;
        let mut table = parquet::Table::begin(dataset, wanted.root, std::io::BufWriter::new(out))?;
        transfer::each_line(part, |line| table.push(line))?;
        let out = table.finish()?.into_inner().map_err(|e| OpError::io("write", &ready, e.error()))?;
        out.sync_all().map_err(|e| OpError::io("sync", &ready, &e))?;
        digest_file(&ready)
    })();
    match made {
        Ok(digests) => Ok((ready, digests)),
        Err(error) => {
            fs::remove_file(&ready).ok();
            Err(error)
        }
    }
}

/// What is damaged lies elsewhere, or was changed on the way: there is no store here to verify.
fn from_elsewhere(error: OpError, origin: &dyn Origin) -> OpError {
    if error.kind != ErrorKind::Damaged {
        return error;
    }
    let hint = format!(
        "nothing that did not verify was kept; run the command again, or ask whoever keeps {} to run `distill verify`",
        origin.place()
    );
    OpError::new(ErrorKind::Damaged, error.message, hint)
}
