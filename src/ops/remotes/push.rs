//! `push`: what a remote lacks of some refs goes there, and then the refs move.
//!
//! Rests on `remote`. Invariants: objects go before the commit that needs them, and the ref comes last; a ref that somebody
//! moved meanwhile is never overwritten; what was put there by a push that was interrupted is not sent again.

use std::time::Duration;

use serde::Serialize;

use crate::base::clock::Clock;
use crate::object::CommitId;
use crate::object::Exists as _;
use crate::object::ObjectId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::open::hold;
use crate::ops::progress::Progress;
use crate::ops::remotes::cache_dir;
use crate::ops::remotes::configured;
use crate::ops::remotes::is_configured;
use crate::ops::remotes::lease;
use crate::ops::remotes::opened;
use crate::ops::remotes::tracking;
use crate::ops::remotes::try_writers;
use crate::remote::Access;
use crate::remote::Committed;
use crate::remote::Intent;
use crate::remote::Opened;
use crate::remote::Outgoing;
use crate::remote::Peer;
use crate::remote::RemoteError;
use crate::remote::State;
use crate::remote::gather;
use crate::remote::is_ancestor;
use crate::remote::is_shared;
use crate::remote::send;
use crate::repo::Repo;
use crate::repo::RepoError;
use crate::store::Head;
use crate::store::OpRequest;
use crate::store::RefChange;

/// How often a push begins again because others were faster, before it gives up.
const ATTEMPTS: u64 = 50;

/// What to push, and where to.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// The remote, then the refs; where the first is no remote's name, all are refs.
    pub names: Vec<String>,
    /// Every branch, tag and run.
    pub all: bool,
    /// Every tag too.
    pub tags: bool,
    /// Whether a branch may lose commits there, if it stands where it was last seen.
    pub force_with_lease: bool,
    /// Whether to send and move nothing.
    pub dry_run: bool,
    /// A person's message for the remote's log.
    pub message: Option<String>,
}

/// What became of one ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushedRef {
    /// Its full name.
    pub name: String,
    /// What it named there; null where it is new.
    pub before: Option<ObjectId>,
    /// What it names there.
    pub after: ObjectId,
    /// Whether it lost commits there.
    pub forced: bool,
}

/// What a push did.
#[derive(Clone, Debug, Serialize)]
pub struct PushReport {
    /// The remote's name.
    pub remote: String,
    /// Where it is.
    pub place: String,
    /// Whether nothing was to be done but to look.
    pub dry_run: bool,
    /// The refs that moved there.
    pub refs: Vec<PushedRef>,
    /// The refs that stood there already.
    pub up_to_date: Vec<String>,
    /// Run ids that mean another commit there, and stay what they are.
    pub runs_taken: Vec<String>,
    /// Commits that were sent.
    pub commits: u64,
    /// Objects that were sent.
    pub objects: u64,
    /// Their bytes, unpacked.
    pub object_bytes: u64,
    /// Packs they were sent in.
    pub packs: u64,
    /// Bytes that travelled.
    pub sent_bytes: u64,
    /// Bytes of packs that an interrupted push had put there.
    pub resumed_bytes: u64,
    /// Rows of the last commit that were not sent, since they are there.
    pub rows_skipped: u64,
    /// Their bytes, unpacked.
    pub row_bytes_skipped: u64,
    /// Number of the remote's operation; null where nothing moved.
    pub operation: Option<u64>,
}

/// Pushes refs; the current branch where none is named.
///
/// # Errors
/// A name that means nothing, a branch that has other commits there, a tag that is another there; when the remote cannot be
/// reached or written. What was put there then is not named by anything, and the next push finds it.
pub fn push(
    repo: &Repo,
    options: &PushOptions,
    access: &Access,
    clock: Clock,
    progress: &dyn Progress,
) -> Result<PushReport, OpError> {
    let (remote, names) = match options.names.split_first() {
        Some((first, rest)) if is_configured(&repo.dot(), first)? => (Some(first.as_str()), rest),
        _ => (None, options.names.as_slice()),
    };
    let (remote, place) = configured(repo, remote)?;
    let _lease = lease(repo, &place, "push", progress)?;
    let _hold = hold(repo)?;
    let wants = wanted(repo, options, names)?;
    let opened = opened(repo, &place, access)?;
    let peer = opened.peer();
    let state = peer.state()?;
    if let (Opened::Bucketed(bucketed), false) = (&opened, options.dry_run) {
        try_writers(repo, &place, bucketed)?;
    }
    let mut job = Job { repo, remote: &remote, options, changes: Vec::new(), forced: Vec::new() };
    let mut report = PushReport {
        remote: remote.clone(),
        place: place.to_string(),
        dry_run: options.dry_run,
        refs: Vec::new(),
        up_to_date: Vec::new(),
        runs_taken: Vec::new(),
        commits: 0,
        objects: 0,
        object_bytes: 0,
        packs: 0,
        sent_bytes: 0,
        resumed_bytes: 0,
        rows_skipped: 0,
        row_bytes_skipped: 0,
        operation: None,
    };
    for (name, id) in &wants {
        if !job.add(&state, name, *id)? {
            report.up_to_date.push(name.clone());
        }
    }
    if !job.changes.is_empty() {
        let moving: Vec<(String, ObjectId)> =
            job.changes.iter().filter_map(|change| Some((change.name.clone(), change.new?))).collect();
        let work = repo.dot().join("tmp").join(format!("push-{remote}"));
        progress.begin("gathering", None);
        let gathered =
            gather(repo.store(), &moving, &haves(repo, &state)?, &work, &|bytes| progress.advance(1, bytes));
        progress.end();
        let outgoing = gathered?;
        report.runs_taken = job.name_runs(&state, &outgoing)?;
        report.tell(&outgoing);
        if !options.dry_run {
            let total: u64 = outgoing.packs.iter().map(|pack| pack.entry.bytes).sum();
            progress.begin("sending", Some(total));
            let sent =
                send(peer, &outgoing.packs, &cache_dir(repo, &place), &|bytes| progress.advance(0, bytes));
            progress.end();
            (report.sent_bytes, report.resumed_bytes) = sent?;
            report.operation = job.commit(peer, state.clone(), outgoing, clock)?;
        }
        std::fs::remove_dir_all(&work).ok();
    }
    for change in &job.changes {
        if let Some(after) = change.new {
            let forced = job.forced.contains(&change.name);
            report.refs.push(PushedRef { name: change.name.clone(), before: change.old, after, forced });
        }
    }
    if !options.dry_run {
        remember(repo, &remote, &wants, clock)?;
    }
    Ok(report)
}

impl PushReport {
    fn tell(&mut self, outgoing: &Outgoing) {
        self.commits = outgoing.commits.len() as u64;
        self.objects = outgoing.objects;
        self.object_bytes = outgoing.object_bytes;
        self.packs = outgoing.packs.len() as u64;
        self.rows_skipped = outgoing.rows_skipped;
        self.row_bytes_skipped = outgoing.row_bytes_skipped;
        if self.dry_run {
            self.sent_bytes = outgoing.packs.iter().map(|pack| pack.entry.bytes).sum();
        }
    }
}

/// The refs that are meant, by full name.
fn wanted(repo: &Repo, options: &PushOptions, names: &[String]) -> Result<Vec<(String, ObjectId)>, OpError> {
    let refs = repo.store().refs();
    let mut wants: Vec<(String, ObjectId)> = Vec::new();
    let mut add = |name: String, id: ObjectId| {
        if !wants.iter().any(|(known, _)| *known == name) {
            wants.push((name, id));
        }
    };
    for name in names {
        let full = [name.clone(), format!("heads/{name}"), format!("tags/{name}"), format!("runs/{name}")];
        let found: Vec<&String> =
            full.iter().filter(|full| is_shared(full) && refs.contains_key(*full)).collect();
        match found.as_slice() {
            [one] => add((*one).clone(), refs[*one]),
            [] => {
                return Err(OpError::new(
                    ErrorKind::Usage,
                    format!("no branch, tag or run is called `{name}`"),
                    "`distill branch` and `distill tag` list what there is; `distill remote list` lists remotes",
                ));
            }
            several => {
                let candidates = several.iter().map(|name| (*name).clone()).collect();
                return Err(RepoError::Ambiguous { name: name.clone(), candidates }.into());
            }
        }
    }
    for (name, id) in &refs {
        if options.all && is_shared(name) || options.tags && name.starts_with("tags/") {
            add(name.clone(), *id);
        }
    }
    if names.is_empty() && !options.all {
        match repo.store().head() {
            Head::Branch(name) => match refs.get(&name) {
                Some(id) => add(name, *id),
                None if options.tags => {}
                None => return Err(RepoError::NoCommit.into()),
            },
            Head::Detached(_) if options.tags => {}
            Head::Detached(_) => {
                return Err(OpError::new(
                    ErrorKind::Usage,
                    "HEAD is on no branch, so there is nothing to push by itself",
                    "name what to push: `distill push BRANCH`",
                ));
            }
        }
    }
    Ok(wants)
}

/// The commits that the other side has and that are here too.
fn haves(repo: &Repo, state: &State) -> Result<Vec<CommitId>, OpError> {
    let mut haves = std::collections::BTreeSet::new();
    for (name, id) in &state.refs {
        if !repo.store().exists(id)? {
            continue;
        }
        let commit = if name.starts_with("tags/") { repo.tag(id)?.target } else { CommitId::new(*id) };
        if repo.store().exists(commit.object())? {
            haves.insert(commit);
        }
    }
    Ok(haves.into_iter().collect())
}

struct Job<'a> {
    repo: &'a Repo,
    remote: &'a str,
    options: &'a PushOptions,
    changes: Vec<RefChange>,
    forced: Vec<String>,
}

impl Job<'_> {
    /// Notes that a ref is to move; `false` where it stands there already.
    fn add(&mut self, state: &State, name: &str, new: ObjectId) -> Result<bool, OpError> {
        let old = state.refs.get(name).copied();
        if old == Some(new) {
            return Ok(false);
        }
        if let Some(old) = old {
            if !name.starts_with("heads/") {
                return Err(RemoteError::Fixed { name: name.to_owned(), old, new: Some(new) }.into());
            }
            let store = self.repo.store();
            let goes_on = store.exists(&old)? && is_ancestor(store, CommitId::new(old), CommitId::new(new))?;
            if !goes_on {
                let branch = name.strip_prefix("heads/").unwrap_or(name);
                let seen = store.get_ref(&tracking(self.remote, branch));
                if !self.options.force_with_lease {
                    return Err(RemoteError::NotFastForward { name: name.to_owned(), old, new }.into());
                }
                if seen != Some(old) {
                    return Err(OpError::new(
                        ErrorKind::Refused,
                        format!("{name} is not there where it was last seen: somebody pushed to it"),
                        format!(
                            "`distill fetch {}` shows what came, and --force-with-lease then gives it up",
                            self.remote
                        ),
                    ));
                }
                self.forced.push(name.to_owned());
            }
        }
        self.changes.push(RefChange { name: name.to_owned(), old, new: Some(new) });
        Ok(true)
    }

    /// Gives the runs of the commits that are sent their names there; the ids that mean something else there already.
    fn name_runs(&mut self, state: &State, outgoing: &Outgoing) -> Result<Vec<String>, OpError> {
        let mut taken = Vec::new();
        for id in &outgoing.commits {
            let run_id = self.repo.commit(*id)?.run_id;
            let name = format!("runs/{run_id}");
            if self.repo.store().get_ref(&name) != Some(*id.object())
                || self.changes.iter().any(|change| change.name == name)
            {
                continue;
            }
            match state.refs.get(&name) {
                None => self.changes.push(RefChange { name, old: None, new: Some(*id.object()) }),
                Some(there) if there == id.object() => {}
                Some(_) => taken.push(run_id),
            }
        }
        Ok(taken)
    }

    /// Moves the refs there, beginning again where somebody else was faster with other refs.
    fn commit(
        &mut self,
        peer: &dyn Peer,
        mut state: State,
        outgoing: Outgoing,
        clock: Clock,
    ) -> Result<Option<u64>, OpError> {
        let head = self.changes.iter().find(|change| change.name.starts_with("heads/"));
        let current = match self.repo.store().head() {
            Head::Branch(name) if self.changes.iter().any(|change| change.name == name) => Some(name),
            _ => head.map(|change| change.name.clone()),
        };
        let mut packs = outgoing.packs;
        for attempt in 0..ATTEMPTS {
            let intent = Intent {
                packs,
                ref_changes: self.changes.clone(),
                head: current.clone(),
                message: self.options.message.clone(),
                at: clock.now_rfc3339(),
                force: !self.forced.is_empty(),
            };
            match peer.commit(&state, &intent)? {
                Committed::Done(number) => return Ok(Some(number)),
                Committed::Lost(now) => state = now,
            }
            for change in &self.changes {
                let found = state.refs.get(&change.name).copied();
                let is_run = change.name.starts_with("runs/");
                if found != change.old && found != change.new && !is_run {
                    let (name, expected) = (change.name.clone(), change.old);
                    return Err(RemoteError::Moved { name, expected, found }.into());
                }
            }
            // A run's name that somebody gave meanwhile, or a ref that stands where it should, is no concern any more.
            self.changes.retain(|change| state.refs.get(&change.name).copied() == change.old);
            if self.changes.is_empty() {
                return Ok(None);
            }
            packs = intent.packs;
            std::thread::sleep(pause(attempt, clock));
        }
        Err(OpError::new(
            ErrorKind::Outside,
            format!("others were faster {ATTEMPTS} times"),
            "run the command again; what was sent is there",
        ))
    }
}

/// How long to wait before the next attempt: longer each time, and not the same for everybody.
fn pause(attempt: u64, clock: Clock) -> Duration {
    let seed = ObjectId::of(format!("{} {attempt} {}", std::process::id(), clock.now_ms()).as_bytes());
    let part = u64::from(seed.as_bytes()[0]);
    Duration::from_millis(5 + (part * (attempt + 1).min(8)) / 8)
}

/// What the remote's branches are now, as this repository knows them.
fn remember(repo: &Repo, remote: &str, wants: &[(String, ObjectId)], clock: Clock) -> Result<(), OpError> {
    repo.store().refresh()?;
    let mut ref_changes = Vec::new();
    for (name, id) in wants {
        let Some(branch) = name.strip_prefix("heads/") else { continue };
        let name = tracking(remote, branch);
        let old = repo.store().get_ref(&name);
        if old != Some(*id) {
            ref_changes.push(RefChange { name, old, new: Some(*id) });
        }
    }
    if ref_changes.is_empty() {
        return Ok(());
    }
    let request = OpRequest {
        operation: "push".to_owned(),
        message: Some(format!("to {remote}")),
        at: clock.now_rfc3339(),
        ref_changes,
        ..OpRequest::default()
    };
    repo.store().publish(None, request)?;
    Ok(())
}
