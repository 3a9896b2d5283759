//! Preference pairs: candidates gathered over the whole run, grouped, and paired group by group.
//!
//! Rests on the spill sorter and on [`preference::select`]. Invariants: members of a group come in source order; a group
//! none of whose members changed is counted, not made again; memory is bounded by the largest group.

use std::path::Path;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::RwLock;

use serde::{Deserialize, Serialize};

use crate::base::sort::Sorter;
use crate::object::Find as _;
use crate::object::FindExt as _;
use crate::object::ObjectId;
use crate::object::OdbError;
use crate::ops::engine::edits::{Dataset, Edits, spill_failed};
use crate::ops::engine::facts::{OutputFact, PairFact};
use crate::ops::engine::maker::{Maker, Wanted, deliver};
use crate::ops::engine::pool::in_order;
use crate::ops::engine::sabotage;
use crate::ops::engine::tally::Tally;
use crate::ops::engine::worker::bad_key;
use crate::ops::error::OpError;
use crate::ops::fault::Planted;
use crate::pipeline::export::preference::{self, Candidate, Fate, GroupKind, Selection, Side};
use crate::record::Category;
use crate::record::EvidenceRecord;
use crate::record::PreferenceSample;
use crate::record::Record as _;
use crate::record::duplicate_key;
use crate::store::{Staging, Store};

/// Most memory that candidates take before they spill, in bytes.
const MEMORY_BYTES: usize = 64 << 20;
/// Rows that a thread makes between two deliveries to the pack.
const ROWS_PER_DELIVERY: usize = 1024;

/// Whether a candidate was there before the run, is there after it, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum State {
    Unchanged,
    Gone,
    New,
}

/// Where a record stands in source order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub file: u32,
    pub unit: u64,
    pub output: u32,
}

/// The candidates of a run.
pub(crate) struct Pairing {
    sorter: Sorter,
    scratch: Vec<u8>,
    tmp: PathBuf,
}

/// A candidate as it comes back from the sorter.
struct Member {
    position: [u8; 16],
    state: State,
    candidate: Candidate,
    category: Category,
    evidence_id: ObjectId,
    sig: [u8; 32],
}

impl Pairing {
    /// No candidates yet; spills go below `tmp`.
    pub(crate) fn new(tmp: &Path) -> Self {
        let sorter = Sorter::new(tmp.to_owned(), MEMORY_BYTES);
        Self { sorter, scratch: Vec::new(), tmp: tmp.to_owned() }
    }

    /// Adds a record if it is a candidate. `sig` is its row's `sig_hash`.
    pub(crate) fn add(
        &mut self,
        state: State,
        at: Position,
        sig: &[u8; 32],
        fact: &OutputFact,
    ) -> Result<(), OpError> {
        let PairFact::Candidate { kind, group, standing, can_win, run, text } = &fact.pair else {
            return Ok(());
        };
        let record = &mut self.scratch;
        record.clear();
        record.extend_from_slice(group);
        record.push(u8::from(GroupKind::from(*kind) == GroupKind::Comparison));
        record.extend_from_slice(&at.file.to_be_bytes());
        record.extend_from_slice(&at.unit.to_be_bytes());
        record.extend_from_slice(&at.output.to_be_bytes());
        record.push(state as u8);
        record.extend_from_slice(&standing.to_le_bytes());
        record.push(u8::from(*can_win));
        record.extend_from_slice(run);
        record.extend_from_slice(text);
        record.push(fact.category as u8);
        record.extend_from_slice(fact.evidence_id.as_bytes());
        record.extend_from_slice(sig);
        record.extend_from_slice(fact.key.as_bytes());
        self.sorter.push(record).map_err(|e| spill_failed(&e))
    }

    /// Pairs every group and counts; makes nothing.
    pub(crate) fn count(self, max_pairs: u32) -> Result<Tally, OpError> {
        let mut tally = Tally::default();
        let mut group: Vec<Candidate> = Vec::new();
        let mut group_id = Vec::new();
        for record in self.sorter.finish().map_err(|e| spill_failed(&e))? {
            let record = record.map_err(|e| spill_failed(&e))?;
            let member = decode(&record).ok_or_else(changed)?;
            if group_id != record[..17] {
                count_group(&group, max_pairs as usize, &mut tally);
                group.clear();
                group_id.clear();
                group_id.extend_from_slice(&record[..17]);
            }
            group.push(member.candidate);
        }
        count_group(&group, max_pairs as usize, &mut tally);
        Ok(tally)
    }

    /// Pairs every group that changed and reads what its rows are made of; removes from `edits` what no longer stands, and
    /// counts all groups. Writes no object, so that trees can be written meanwhile.
    pub(crate) fn gather(
        self,
        staging: &RwLock<&mut Staging>,
        edits: &mut Edits,
        max_pairs: u32,
    ) -> Result<Gathered, OpError> {
        let mut group: Vec<Member> = Vec::new();
        let mut group_id = Vec::new();
        let sorter = || Sorter::new(self.tmp.clone(), MEMORY_BYTES);
        let mut gathering = Gathering {
            edits,
            tally: Tally::default(),
            wanted: sorter(),
            parts: sorter(),
            repeats: Vec::new(),
        };
        let max_pairs = max_pairs as usize;
        for record in self.sorter.finish().map_err(|e| spill_failed(&e))? {
            let record = record.map_err(|e| spill_failed(&e))?;
            let member = decode(&record).ok_or_else(changed)?;
            if group_id != record[..17] {
                gathering.group(&group, max_pairs)?;
                group.clear();
                group_id.clear();
                group_id.extend_from_slice(&record[..17]);
            }
            group.push(member);
        }
        gathering.group(&group, max_pairs)?;
        gathering.read_sides(staging)
    }
}

/// What a sort that spilled gave back is not what went in.
fn changed() -> OpError {
    spill_failed(&std::io::Error::other("a spilled candidate or pair was changed on disk"))
}

fn decode(record: &[u8]) -> Option<Member> {
    let mut rest = record;
    let mut take = |n: usize| -> Option<&[u8]> {
        let (head, tail) = rest.split_at_checked(n)?;
        rest = tail;
        Some(head)
    };
    let group = take(16)?.try_into().ok()?;
    let kind = if take(1)?[0] == 0 { GroupKind::Task } else { GroupKind::Comparison };
    let position = take(16)?.try_into().ok()?;
    let state = match take(1)?[0] {
        0 => State::Unchanged,
        1 => State::Gone,
        _ => State::New,
    };
    let standing = i64::from_le_bytes(take(8)?.try_into().ok()?);
    let can_win = take(1)?[0] != 0;
    let run = take(16)?.try_into().ok()?;
    let text = take(16)?.try_into().ok()?;
    let category = take(1)?[0];
    let category = *Category::ALL.iter().find(|c| **c as u8 == category)?;
    let evidence_id = ObjectId::from_bytes(take(32)?.try_into().ok()?);
    let sig = take(32)?.try_into().ok()?;
    let key = std::str::from_utf8(rest).ok()?.to_owned();
    let candidate = Candidate { kind, group, standing, can_win, run, text, key };
    Some(Member { position, state, candidate, category, evidence_id, sig })
}

/// The keys of a group's pairs. Two rejected sides from one source row would share a key: the later one, in the order
/// of the pairs, is told apart by digits of its evidence's id in place of its row's hash.
fn pair_keys(members: &[&Member], pairs: &[(usize, usize)]) -> Result<Vec<String>, OpError> {
    let mut taken = std::collections::BTreeSet::new();
    let mut keys = Vec::with_capacity(pairs.len());
    for &(chosen, rejected) in pairs {
        let sig = hex::encode(members[rejected].sig);
        let mut key = preference::pair_key(&members[chosen].candidate.key, &sig).map_err(|e| bad_key(&e))?;
        if !taken.insert(key.clone()) {
            key = format!("{}+{}", members[chosen].candidate.key, members[rejected].evidence_id.short(16));
            taken.insert(key.clone());
        }
        keys.push(key);
    }
    Ok(keys)
}

/// Pairs the members of one group and counts what became of them.
fn count_group(candidates: &[Candidate], max_pairs: usize, tally: &mut Tally) -> Selection {
    let selection = preference::select(candidates, max_pairs);
    for fate in &selection.fates {
        match fate {
            Fate::Paired => tally.consumed(0),
            Fate::Duplicate(_) => tally.duplicate(),
            Fate::Skipped(rule) => tally.skipped(rule),
        }
    }
    tally.counts.records += selection.pairs.len() as u64;
    selection
}

/// The text that a side's place in the second sort begins with.
const CHOSEN: u8 = 1;
const REJECTED: u8 = 2;

/// What is known of a pair before its sides are read.
#[derive(Serialize, Deserialize)]
struct PairHead {
    comparison: bool,
    categories: (Category, Category),
}

/// Pairs being selected. Sides are read in source order, which is the order of the packs, so that each block is
/// unpacked once however the pairs are spread; the rows then come together in key order.
struct Gathering<'a> {
    edits: &'a mut Edits,
    tally: Tally,
    /// Sides to read: position, evidence, pair key.
    wanted: Sorter,
    /// Pairs and their sides: pair key, part, content.
    parts: Sorter,
    repeats: Vec<Repeat>,
}

/// A record whose text an earlier one of its group has: its evidence, its key, the key of the first.
type Repeat = (ObjectId, String, String);

impl Gathering<'_> {
    /// Pairs the members of one group, which come in source order.
    fn group(&mut self, group: &[Member], max_pairs: usize) -> Result<(), OpError> {
        if group.is_empty() {
            return Ok(());
        }
        let after: Vec<&Member> = group.iter().filter(|m| m.state != State::Gone).collect();
        let candidates: Vec<Candidate> = after.iter().map(|m| m.candidate.clone()).collect();
        let selection = count_group(&candidates, max_pairs, &mut self.tally);
        if group.iter().all(|m| m.state == State::Unchanged) {
            return Ok(());
        }
        let before: Vec<&Member> = group.iter().filter(|m| m.state != State::New).collect();
        if !before.is_empty() {
            self.forget(&before, max_pairs)?;
        }
        for (key, &(chosen, rejected)) in
            pair_keys(&after, &selection.pairs)?.into_iter().zip(&selection.pairs)
        {
            self.pair(&key, after[chosen], after[rejected])?;
        }
        for (member, fate) in after.iter().zip(&selection.fates) {
            if let Fate::Duplicate(of) = fate {
                let (key, of) = (member.candidate.key.clone(), after[*of].candidate.key.clone());
                self.repeats.push((member.evidence_id, key, of));
            }
        }
        Ok(())
    }

    /// Takes out what the last run made of these members.
    fn forget(&mut self, before: &[&Member], max_pairs: usize) -> Result<(), OpError> {
        let candidates: Vec<Candidate> = before.iter().map(|m| m.candidate.clone()).collect();
        let old = preference::select(&candidates, max_pairs);
        for key in pair_keys(before, &old.pairs)? {
            self.edits.remove(Dataset::Preference, &key)?;
        }
        for (member, fate) in before.iter().zip(&old.fates) {
            if matches!(fate, Fate::Duplicate(_)) {
                let key =
                    duplicate_key("export-preference", &member.candidate.key).map_err(|e| bad_key(&e))?;
                self.edits.remove(Dataset::Duplicates, &key)?;
            }
        }
        Ok(())
    }

    fn pair(&mut self, key: &str, chosen: &Member, rejected: &Member) -> Result<(), OpError> {
        let comparison = chosen.candidate.kind == GroupKind::Comparison;
        let head = PairHead { comparison, categories: (chosen.category, rejected.category) };
        part(&mut self.parts, key, 0, &head)?;
        for (part, member) in [(CHOSEN, chosen), (REJECTED, rejected)] {
            let mut record = member.position.to_vec();
            record.extend_from_slice(member.evidence_id.as_bytes());
            record.push(part);
            record.extend_from_slice(key.as_bytes());
            self.wanted.push(&record).map_err(|e| spill_failed(&e))?;
        }
        Ok(())
    }

    /// Reads the evidence of every side.
    fn read_sides(self, staging: &RwLock<&mut Staging>) -> Result<Gathered, OpError> {
        let Self { tally, wanted, mut parts, repeats, .. } = self;
        let mut last: Option<(ObjectId, Side)> = None;
        for record in wanted.finish().map_err(|e| spill_failed(&e))? {
            let record = record.map_err(|e| spill_failed(&e))?;
            let id: [u8; 32] = record.get(16..48).and_then(|id| id.try_into().ok()).ok_or_else(changed)?;
            let id = ObjectId::from_bytes(id);
            let side = *record.get(48).ok_or_else(changed)?;
            let key = std::str::from_utf8(&record[49..]).map_err(|_| changed())?;
            if last.as_ref().is_none_or(|(read, _)| *read != id) {
                let bytes = staging.read().unwrap_or_else(PoisonError::into_inner).find(&id)?;
                last = Some((id, Side::of(id, EvidenceRecord::parse(&bytes)?)));
            }
            if let Some((_, content)) = &last {
                part(&mut parts, key, side, content)?;
            }
        }
        Ok(Gathered { tally, parts, repeats })
    }
}

fn part<T: Serialize>(parts: &mut Sorter, key: &str, part: u8, content: &T) -> Result<(), OpError> {
    let mut record = key.as_bytes().to_vec();
    record.extend_from_slice(&[0, part]);
    let record = postcard::to_extend(content, record).map_err(|e| spill_failed(&std::io::Error::other(e)))?;
    parts.push(&record).map_err(|e| spill_failed(&e))
}

/// Everything that the rows of pairs are made of.
pub(crate) struct Gathered {
    tally: Tally,
    parts: Sorter,
    repeats: Vec<Repeat>,
}

/// One pair: its key, its head, its sides as they were sorted.
struct Parts {
    key: String,
    head: Vec<u8>,
    sides: [Vec<u8>; 2],
}

impl Gathered {
    /// Makes the rows, in order of key, and returns the counts.
    pub(crate) fn make(
        self,
        store: &Store,
        staging: &mut Staging,
        edits: &mut Edits,
        threads: usize,
        planted: Option<&Planted>,
    ) -> Result<Tally, OpError> {
        let Self { tally, parts, repeats } = self;
        let empty = store.packs().is_empty();
        let maker = || Maker::with(store, empty, Wanted::ALL);
        let mut parts = parts.finish().map_err(|e| spill_failed(&e))?;
        let mut next = || parts.next().transpose().map_err(|e| spill_failed(&e));
        loop {
            let mut pairs = Vec::new();
            while pairs.len() < ROWS_PER_DELIVERY * threads
                && let Some(head) = next()?
            {
                let end = head.iter().position(|b| *b == 0).ok_or_else(changed)?;
                let key = std::str::from_utf8(&head[..end]).map_err(|_| changed())?.to_owned();
                let sides = [next()?.ok_or_else(changed)?, next()?.ok_or_else(changed)?];
                pairs.push(Parts { key, head, sides });
            }
            if pairs.is_empty() {
                break;
            }
            let shares: Vec<&[Parts]> = pairs.chunks(ROWS_PER_DELIVERY).collect();
            let made = in_order(&shares, |share| {
                let mut maker = maker();
                for pair in *share {
                    let row = pair.row(planted)?;
                    maker.row(Dataset::Preference, pair.key.clone(), &row)?;
                }
                maker.finish()
            });
            for delivery in made {
                deliver(delivery?, staging, edits)?;
            }
        }
        for repeats in repeats.chunks(ROWS_PER_DELIVERY) {
            let ids: Vec<ObjectId> = repeats.iter().map(|(id, _, _)| *id).collect();
            let mut maker = maker();
            for ((id, key, of), bytes) in repeats.iter().zip(staging.try_find_many(&ids)?) {
                let bytes = bytes.ok_or(OdbError::NotFound { id: *id })?;
                let provenance = EvidenceRecord::parse(&bytes)?.provenance;
                maker.duplicate("export-preference", key, of, *id, provenance)?;
            }
            deliver(maker.finish()?, staging, edits)?;
        }
        Ok(tally)
    }
}

impl Parts {
    fn row(&self, planted: Option<&Planted>) -> Result<PreferenceSample, OpError> {
        let at = self.key.len() + 2;
        let mut head: PairHead = postcard::from_bytes(&self.head[at..]).map_err(|_| changed())?;
        let side = |record: &[u8]| -> Result<Side, OpError> {
            postcard::from_bytes(record.get(at..).ok_or_else(changed)?).map_err(|_| changed())
        };
        let kind = if head.comparison { GroupKind::Comparison } else { GroupKind::Task };
        let [chosen, rejected] = &self.sides;
        let (mut chosen, mut rejected) = (side(chosen)?, side(rejected)?);
        if let Some(planted) = planted {
            sabotage::pair(planted, &mut chosen, &mut rejected, &mut head.categories);
        }
        Ok(preference::row(self.key.clone(), kind, chosen, rejected, head.categories))
    }
}
