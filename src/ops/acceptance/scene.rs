//! What acceptance looks at: the fixture refined again and again, each time in another way.
//!
//! Rests on `run`, in this process, in a folder that goes when the scene does. Invariants: a run that fails is kept as its
//! error, for the invariant that it concerns; nothing outside the folder is touched; the clock stands still.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::clock::Clock;
use crate::object::FindExt as _;
use crate::object::RootId;
use crate::ops::acceptance::fixture;
use crate::ops::error::OpError;
use crate::ops::fault::Fault;
use crate::ops::progress::Silent;
use crate::ops::run::{RunOptions, RunReport, What, run};
use crate::record::DuplicateEntry;
use crate::record::Record as _;
use crate::record::SftSample;
use crate::repo::worktree::single_file;
use crate::repo::{Commit, Repo, Site};
use crate::tree;

/// 2026-02-01T00:00:00Z.
const NOW: Clock = Clock::Fixed(1_769_904_000_000);
/// The run that the checks of rows look at.
pub(super) const RUN: &str = "acceptance";

/// How one more run ended.
pub(super) type Ended = Result<RunReport, OpError>;

/// The fixture, refined.
pub(super) struct Scene {
    /// Removed when dropped; declared last, so that the store is closed before.
    pub main: Repo,
    /// The commit of [`RUN`].
    pub commit: Commit,
    /// What that run said.
    pub first: RunReport,
    /// The same run again, from its memo.
    pub warm: Ended,
    /// The same run again, from nothing but the files.
    pub cold: Ended,
    /// The datasets of the fixture laid out elsewhere: how, and what came out.
    pub elsewhere: Vec<(&'static str, Ended)>,
    /// With `--include-partial`, on a branch of its own.
    pub partial: Ended,
    /// With the written SFT file changed before it is read back.
    pub tampered: Ended,
    /// Where HEAD's branch stood before and after a run over an export that was changed by hand, and how that run ended.
    pub by_hand: (Ended, bool),
    /// Without a quarter of the rows that SFT rows were made from, and how many there were.
    pub loss: (Ended, u64),
    /// The defects that were planted.
    pub faults: Vec<Fault>,
    _folder: Folder,
}

/// A folder that goes when this is dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Folder {
    /// A new folder below `tmp`.
    fn new(tmp: &Path) -> Result<Self, OpError> {
        let mut number = 0_u32;
        loop {
            let path = tmp.join(format!("distill-acceptance-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(OpError::io("make", &path, &error)),
            }
        }
    }
}

impl Scene {
    /// Refines the fixture below `tmp`, with `faults` planted in every run.
    ///
    /// # Errors
    /// When the folder cannot be made, or the first run fails, without which there is nothing to look at.
    pub(super) fn new(tmp: &Path, faults: &[Fault]) -> Result<Self, OpError> {
        let folder = Folder::new(tmp)?;
        let root = folder.0.join("main");
        fixture::lay_out(&root, false)?;
        let base = RunOptions {
            run_id: Some(RUN.to_owned()),
            write_files: false,
            threads: Some(1),
            faults: faults.to_vec(),
            ..RunOptions::new(What::All)
        };
        let first = go(&root, &RunOptions { write_files: true, ..base.clone() })?;
        let named = |name: &str| RunOptions {
            run_id: Some(format!("{RUN}-{name}")),
            branch: Some(name.to_owned()),
            ..base.clone()
        };
        let by_hand = by_hand(&root, &base)?;
        let warm = go(&root, &RunOptions { branch: None, ..named("warm") });
        let partial = go(&root, &RunOptions { include_partial: Some(true), ..named("partial") });
        let mut tampering = RunOptions { include_partial: Some(true), ..named("tampered") };
        tampering.faults.push(Fault::TampersWithFile);
        let tampered = go(&root, &tampering);
        let index = root.join(".distill/index");
        fs::remove_dir_all(&index).map_err(|e| OpError::io("remove", &index, &e))?;
        let cold = go(&root, &named("cold"));
        let mut elsewhere = Vec::new();
        for (how, name, reversed, threads) in [
            ("with the files made in the opposite order", "reversed", true, 1),
            ("with four threads", "threads", false, 4),
        ] {
            let root = folder.0.join(name);
            fixture::lay_out(&root, reversed)?;
            elsewhere.push((how, go(&root, &RunOptions { threads: Some(threads), ..base.clone() })));
        }
        let main = Site::at(&root)?.open()?;
        let commit = main.commit(first.commit_id)?;
        let loss = loss(&root, &main, &commit, &named("loss"))?;
        // What the branches brought is read through this one.
        let main = Site::at(&root)?.open()?;
        let faults = faults.to_vec();
        Ok(Self {
            main,
            commit,
            first,
            warm,
            cold,
            elsewhere,
            partial,
            tampered,
            by_hand,
            loss,
            faults,
            _folder: folder,
        })
    }

    /// Whether this defect was planted.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The datasets of the run that is looked at.
    pub(super) fn datasets(&self) -> &BTreeMap<String, RootId> {
        &self.first.datasets
    }
}

fn go(root: &Path, options: &RunOptions) -> Ended {
    run(Site::at(root)?, options, NOW, &Silent)
}

/// Appends a rejected row to the SFT file in the working tree, runs, and takes it back. Also whether HEAD stayed.
fn by_hand(root: &Path, base: &RunOptions) -> Result<(Ended, bool), OpError> {
    let path = root.join(single_file("exports/sft").unwrap_or_default());
    let text = fs::read(&path).map_err(|e| OpError::io("read", &path, &e))?;
    let mut forged = text.clone();
    forged.extend_from_slice(b"{\"quality_score\":\"rejected\"}\n");
    let put = |bytes: &[u8]| fs::write(&path, bytes).map_err(|e| OpError::io("write", &path, &e));
    let head = || -> Result<_, OpError> { Ok(Site::at(root)?.open()?.head_commit()) };
    put(&forged)?;
    let before = head()?;
    let ended =
        go(root, &RunOptions { run_id: Some("by-hand".to_owned()), write_files: true, ..base.clone() });
    let stayed = head()? == before;
    put(&text)?;
    Ok((ended, stayed))
}

/// Takes a quarter (rounded up) of the source rows away that SFT rows were made from, runs, and says how many SFT rows
/// there were.
fn loss(root: &Path, repo: &Repo, commit: &Commit, options: &RunOptions) -> Result<(Ended, u64), OpError> {
    let store = repo.store();
    let mut repeated = BTreeSet::new();
    for entry in commit.dataset("duplicates").into_iter().flat_map(|root| tree::iter(store, root)) {
        repeated.insert(DuplicateEntry::parse(&store.find(&entry?.id)?)?.duplicate_of);
    }
    let (mut rows, mut count) = (Vec::new(), 0_u64);
    for entry in commit.dataset("exports/sft").into_iter().flat_map(|root| tree::iter(store, root)) {
        let row = SftSample::parse(&store.find(&entry?.id)?)?;
        count += 1;
        // Its repetition would stand in for it.
        if !repeated.contains(&row.id) {
            rows.push((row.provenance.source_file, row.provenance.line_offset));
        }
    }
    rows.sort();
    let wanted = usize::try_from(count.div_ceil(4)).unwrap_or(usize::MAX);
    let gone: BTreeSet<(String, u64)> = rows.into_iter().take(wanted).collect();
    for (name, bytes) in fixture::sources() {
        let Some(lines) = fixture::lines(name, &bytes) else { continue };
        let kept: Vec<&[u8]> = (0_u64..)
            .zip(lines)
            .filter(|(number, _)| !gone.contains(&(name.to_owned(), *number)))
            .map(|(_, line)| line)
            .collect();
        let mut text = kept.join(&b'\n');
        if bytes.ends_with(b"\n") {
            text.push(b'\n');
        }
        let path = root.join(name);
        fs::write(&path, text).map_err(|e| OpError::io("write", &path, &e))?;
    }
    let options = RunOptions { accept_source_loss: true, ..options.clone() };
    Ok((go(root, &options), count))
}
