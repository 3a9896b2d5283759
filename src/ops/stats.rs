//! `stats`: what takes the space, by dataset, stream and run, how much is shared, and what nothing names.
//!
//! Rests on the walk of what is named and on the store's roll. Invariants: nothing is written and no row object is read;
//! memory is bounded by a line a commit, a tree node, a dataset and a stream; every object of every pack is counted once,
//! for the earliest commit that names it.

mod groups;

use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::Kind;
use crate::ops::OpError;
use crate::ops::closure::Closure;
use crate::ops::gc::Amount;
use crate::ops::gc::Sum;
use crate::ops::gc::leftovers::size_of;
use crate::ops::gc::mark::log_names;
use crate::ops::progress::Progress;
use crate::ops::stats::groups::Groups;
use crate::repo::Commit;
use crate::repo::Repo;
use crate::store::Labels;
use crate::tree;
use crate::tree::Totals;

/// What takes the space.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// The revision as typed; null for all that refs name.
    pub rev: Option<String>,
    /// The commit whose datasets are told of: that of the revision, or of HEAD; null before the first.
    pub commit_id: Option<CommitId>,
    /// The files of the store.
    pub files: Files,
    /// All objects, a second copy of one apart.
    pub objects: Amount,
    /// Those among them that are tree nodes.
    pub nodes: Amount,
    /// Copies of objects in earlier packs, which nothing reads.
    pub copies: Amount,
    /// What the revision, or any ref, names.
    pub named: Amount,
    /// What only the log names, within the grace period of `gc`. Without a revision.
    pub kept_for_undo: Option<Amount>,
    /// What `gc` would remove. Without a revision.
    pub dead: Option<Amount>,
    /// What the revision does not name. With a revision.
    pub elsewhere: Option<Amount>,
    /// How much is stored once and named repeatedly.
    pub sharing: Sharing,
    /// By dataset, and what a commit has beside its datasets.
    pub datasets: Vec<DatasetStats>,
    /// By stream, the largest first.
    pub streams: Vec<StreamStats>,
    /// By run, the latest first.
    pub runs: Vec<RunStats>,
    /// What it took to find this out.
    pub cost: Cost,
}

/// The files of the store, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Files {
    /// How many packs.
    pub packs: u64,
    /// All packs.
    pub pack_bytes: u64,
    /// Their compressed blocks; the rest is tables.
    pub block_bytes: u64,
    /// `store.redb`.
    pub catalogue_bytes: u64,
    /// The operation log.
    pub log_bytes: u64,
    /// Memos of earlier runs below `index/`, which make the next one quick.
    pub memo_bytes: u64,
    /// Other caches below `index/`.
    pub cache_bytes: u64,
    /// Unfinished writes.
    pub tmp_bytes: u64,
}

/// How much is stored once and named repeatedly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sharing {
    /// Commits that were walked.
    pub commits: u64,
    /// Rows of all datasets of each of them, added up: what separate copies would hold.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the rows as they are stored, once each.
    pub stored_once_bytes: u64,
}

/// One dataset.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetStats {
    /// Its name.
    pub dataset: String,
    /// Rows that it has at the commit; null for what is no dataset.
    pub rows: Option<u64>,
    /// Their bytes.
    pub bytes_at_commit: Option<u64>,
    /// Over all commits, each object once.
    pub all: Amount,
    /// Those among them that are tree nodes.
    pub nodes: Amount,
    /// What the commit was the first to bring.
    pub new: Amount,
}

/// One stream.
#[derive(Clone, Debug, Serialize)]
pub struct StreamStats {
    /// Its name; null for rows of no stream that is known.
    pub stream: Option<String>,
    /// Its rows in all datasets, each object once.
    #[serde(flatten)]
    pub amount: Amount,
    /// The part of it that is source rows.
    pub sources: Amount,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct RunStats {
    /// The run.
    pub run_id: String,
    /// Its commit.
    pub commit_id: CommitId,
    /// What it did.
    pub operation: String,
    /// RFC 3339, UTC.
    pub committed_at: String,
    /// What it was the first to bring; later runs may hold it, too.
    #[serde(flatten)]
    pub amount: Amount,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// Tree nodes that were read.
    pub nodes_read: u64,
    /// Rows of packs' tables that were gone through.
    pub table_rows: u64,
}

/// The label of what only the log names: after all commits.
const FOR_UNDO: u64 = u64::MAX;
/// Low bits of a label: the group.
const GROUP_BITS: u32 = 16;

/// Counts everything, or with `rev` what that revision names. A list that memory does not hold is spilled to `spill_dir`.
///
/// # Errors
/// A revision that names nothing; damage of what is read.
pub fn stats(
    repo: &Repo,
    rev: Option<&str>,
    spill_dir: &Path,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<Stats, OpError> {
    let start = rev.map(|rev| repo.resolve(rev)).transpose()?;
    let commit_id = start.or_else(|| repo.head_commit());
    let commits = commits(repo, start)?;
    let at = commit_id.and_then(|wanted| commits.iter().position(|(id, _)| *id == wanted));

    let mut labels = Labels::new(spill_dir);
    let mut groups = Groups::new(repo, at.map(|at| &commits[at].1));
    let mut closure = Closure::new(repo, progress);
    progress.begin("walking what is named", None);
    let walked = walk(repo, start, &commits, &mut closure, &mut groups, &mut labels, clock);
    progress.end();
    walked?;
    let nodes_read = closure.nodes();

    let mut counts = Counts::new(commits.len(), groups.len(), at);
    progress.begin("counting the packs", None);
    let roll = repo.store().roll_call(
        labels,
        |_| false,
        |row| {
            counts.count(row);
            progress.advance(1, 0);
            Ok::<(), OpError>(())
        },
    );
    progress.end();
    let pack_bytes = roll?.packs.iter().map(|pack| pack.bytes).sum();

    let sharing = sharing(repo, &commits, &counts)?;
    let rest = counts.unnamed.amount();
    let runs = (commits.iter().zip(&counts.by_commit).rev())
        .map(|((id, commit), sum)| RunStats {
            run_id: commit.run_id.clone(),
            commit_id: *id,
            operation: commit.operation.clone(),
            committed_at: commit.committed_at.clone(),
            amount: sum.amount(),
        })
        .collect();
    Ok(Stats {
        rev: rev.map(ToOwned::to_owned),
        commit_id,
        files: files(repo, pack_bytes, counts.all_packed_milli / 1000),
        objects: counts.objects.amount(),
        nodes: counts.nodes.amount(),
        copies: counts.copies.amount(),
        named: counts.named.amount(),
        kept_for_undo: rev.is_none().then(|| counts.for_undo.amount()),
        dead: rev.is_none().then_some(rest),
        elsewhere: rev.is_some().then_some(rest),
        sharing,
        datasets: datasets(repo, at.map(|at| &commits[at].1), &groups, &counts)?,
        streams: streams(&groups, &counts),
        runs,
        cost: Cost { nodes_read, table_rows: counts.objects.objects + counts.copies.objects },
    })
}

/// The commits behind the revision, or behind every ref, the earliest first.
fn commits(repo: &Repo, start: Option<CommitId>) -> Result<Vec<(CommitId, Commit)>, OpError> {
    let starts = match start {
        Some(start) => std::iter::once(start).collect(),
        None => repo.tips()?,
    };
    let mut commits: Vec<_> = repo.ancestors(starts).collect::<Result<_, _>>()?;
    commits.reverse();
    Ok(commits)
}

fn walk<'a>(
    repo: &'a Repo,
    start: Option<CommitId>,
    commits: &[(CommitId, Commit)],
    closure: &mut Closure<'a>,
    groups: &mut Groups,
    labels: &mut Labels,
    clock: Clock,
) -> Result<(), OpError> {
    for (number, (id, commit)) in (0_u64..).zip(commits) {
        closure.commit(*id, commit, &mut |named| {
            Ok(labels.add(named.id, number << GROUP_BITS | u64::from(groups.of(named)))?)
        })?;
    }
    if start.is_some() {
        return Ok(());
    }
    // Tag objects; their commits have been walked.
    let after_all = (commits.len() as u64) << GROUP_BITS;
    for (name, id) in repo.store().refs() {
        closure.of_ref(&name, &id, &mut |named| {
            Ok(labels.add(named.id, after_all | u64::from(groups.of(named)))?)
        })?;
    }
    let grace_ms = i64::try_from(repo.config().gc.grace_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let (recent, _) = log_names(repo, clock.now_ms().saturating_sub(grace_ms))?;
    for left in recent {
        closure.of_ref(&left.name, &left.id, &mut |named| Ok(labels.add(named.id, FOR_UNDO)?))?;
    }
    Ok(())
}

/// Sums over the roll.
struct Counts {
    objects: Sum,
    nodes: Sum,
    copies: Sum,
    named: Sum,
    for_undo: Sum,
    unnamed: Sum,
    /// Rows of datasets, nodes apart.
    rows: Sum,
    all_packed_milli: u64,
    by_commit: Vec<Sum>,
    by_group: Vec<Sum>,
    nodes_by_group: Vec<Sum>,
    /// What the commit that is told of was the first to bring.
    new_by_group: Vec<Sum>,
    at: Option<u64>,
    first_dataset_group: usize,
}

impl Counts {
    fn new(commits: usize, groups: usize, at: Option<usize>) -> Self {
        let none = Sum::default();
        Self {
            objects: none,
            nodes: none,
            copies: none,
            named: none,
            for_undo: none,
            unnamed: none,
            rows: none,
            all_packed_milli: 0,
            by_commit: vec![none; commits],
            by_group: vec![none; groups],
            nodes_by_group: vec![none; groups],
            new_by_group: vec![none; groups],
            at: at.map(|at| at as u64),
            first_dataset_group: groups::FIRST_DATASET,
        }
    }

    fn count(&mut self, row: &crate::store::RollRow) {
        self.all_packed_milli += row.packed_milli;
        if row.is_copy {
            return self.copies.add(row);
        }
        self.objects.add(row);
        if row.kind == Kind::Node {
            self.nodes.add(row);
        }
        let Some(label) = row.label else { return self.unnamed.add(row) };
        if label == FOR_UNDO {
            return self.for_undo.add(row);
        }
        self.named.add(row);
        let commit = label >> GROUP_BITS;
        let group = usize::try_from(label & ((1 << GROUP_BITS) - 1)).unwrap_or(0);
        if let Some(sum) = usize::try_from(commit).ok().and_then(|commit| self.by_commit.get_mut(commit)) {
            sum.add(row);
        }
        self.by_group[group].add(row);
        if row.kind == Kind::Node {
            self.nodes_by_group[group].add(row);
        } else if group >= self.first_dataset_group {
            self.rows.add(row);
        }
        if self.at == Some(commit) {
            self.new_by_group[group].add(row);
        }
    }
}

fn sharing(repo: &Repo, commits: &[(CommitId, Commit)], counts: &Counts) -> Result<Sharing, OpError> {
    let mut sharing =
        Sharing { commits: commits.len() as u64, stored_once_bytes: counts.rows.bytes, ..Sharing::default() };
    for root in commits.iter().flat_map(|(_, commit)| commit.datasets.values()) {
        let Totals { rows, bytes } = tree::totals(repo.store(), *root)?;
        sharing.rows += rows;
        sharing.bytes += bytes;
    }
    Ok(sharing)
}

fn datasets(
    repo: &Repo,
    commit: Option<&Commit>,
    groups: &Groups,
    counts: &Counts,
) -> Result<Vec<DatasetStats>, OpError> {
    let mut all = Vec::new();
    for part in groups.parts() {
        let [mut objects, mut nodes, mut new] = [Sum::default(); 3];
        for group in groups.of_part(part) {
            objects.plus(counts.by_group[group]);
            nodes.plus(counts.nodes_by_group[group]);
            new.plus(counts.new_by_group[group]);
        }
        let root = commit.and_then(|commit| commit.dataset(part));
        let totals = root.map(|root| tree::totals(repo.store(), root)).transpose()?;
        all.push(DatasetStats {
            dataset: part.to_owned(),
            rows: totals.map(|totals| totals.rows),
            bytes_at_commit: totals.map(|totals| totals.bytes),
            all: objects.amount(),
            nodes: nodes.amount(),
            new: new.amount(),
        });
    }
    Ok(all)
}

fn streams(groups: &Groups, counts: &Counts) -> Vec<StreamStats> {
    let mut all: Vec<StreamStats> = (groups.streams().into_iter())
        .map(|stream| {
            let [mut amount, mut sources] = [Sum::default(); 2];
            for (group, part) in groups.of_stream(stream) {
                let mut rows = counts.by_group[group];
                let nodes = counts.nodes_by_group[group];
                rows.objects -= nodes.objects;
                rows.bytes -= nodes.bytes;
                rows.packed_milli -= nodes.packed_milli;
                amount.plus(rows);
                if part == "sources" {
                    sources.plus(rows);
                }
            }
            let stream = stream.map(ToOwned::to_owned);
            StreamStats { stream, amount: amount.amount(), sources: sources.amount() }
        })
        .filter(|stream| stream.amount.objects > 0)
        .collect();
    all.sort_by(|a, b| (b.amount.stored_bytes, &a.stream).cmp(&(a.amount.stored_bytes, &b.stream)));
    all
}

fn files(repo: &Repo, pack_bytes: u64, block_bytes: u64) -> Files {
    let size = |name: &str| size_of(&repo.dot().join(name));
    let memo_bytes = size_of(&PathBuf::from_iter([repo.dot(), "index".into(), "memo".into()]));
    Files {
        packs: repo.store().packs().len() as u64,
        pack_bytes,
        block_bytes,
        catalogue_bytes: size("store.redb"),
        log_bytes: size("ops"),
        memo_bytes,
        cache_bytes: size("index").saturating_sub(memo_bytes),
        tmp_bytes: size("tmp"),
    }
}
