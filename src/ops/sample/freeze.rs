//! Lays out the freeze sample: the plan's rows in a seeded order, with the rows that depend on others after them.
//!
//! Rests on the plan. Invariant: a copy, a repeat and a key clash each have their own earlier row, so that every one
//! costs the pipeline exactly one fate.

use super::dirt::spell;
use super::dirt::spoil;
use super::plan::Body;
use super::plan::Dirt;
use super::plan::Signal;
use super::plan::StreamPlan;
use super::plan::Twist;
use super::rng::Rng;
use super::row::Row;

/// 2026-01-05T06:00:00Z, a Monday.
const FROM_MS: i64 = 1_767_592_800_000;
/// Eight weeks.
const SPAN_MS: i64 = 56 * 86_400_000;

/// One line to come, before its place is known.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Record {
        signal: Signal,
        body: Body,
        twist: Option<Twist>,
        task: Option<(u64, u64)>,
        group: Option<(u64, u64)>,
    },
    Repeat(Signal),
    KeyClash,
    Dirt(Dirt),
}

const fn depends(slot: &Slot) -> bool {
    !matches!(slot, Slot::Record { .. } | Slot::Dirt(_))
        || matches!(slot, Slot::Dirt(Dirt::Copy | Dirt::CopyRespelled))
}

/// Calls `line` with each line of one stream, its line ending included.
pub fn each_line<E>(
    plan: &StreamPlan,
    seed: u64,
    line: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let slots = lay_out(plan, &mut Rng::new(seed, 0x1a70 + plan.stream as u64));
    let mut rng = Rng::new(seed, 0x2a70 + plan.stream as u64);
    let step = SPAN_MS / i64::try_from(slots.len()).unwrap_or(1);
    let mut records: Vec<Row> = Vec::with_capacity(slots.len());
    let mut used = vec![false; slots.len()];
    let mut out = Vec::with_capacity(2048);
    for (serial, slot) in (0_u64..).zip(&slots) {
        let place = i64::try_from(serial).unwrap_or(0);
        let jitter = i64::try_from(rng.below(step.unsigned_abs())).unwrap_or(0);
        let plain = Row {
            seed,
            stream: plan.stream,
            serial,
            key: serial,
            text: serial,
            topic: serial,
            task: None,
            trial: 0,
            group: None,
            signal: Signal::Nothing,
            body: Body::Full,
            twist: None,
            wrong_type: false,
            time_ms: FROM_MS + place * step + jitter,
        };
        out.clear();
        let mut earlier = |wanted: &dyn Fn(&Row) -> bool| earlier(&mut rng, &records, &mut used, wanted);
        match *slot {
            Slot::Record { signal, body, twist, task, group } => {
                let row = Row {
                    signal,
                    body,
                    twist,
                    group,
                    task: task.map(|(task, _)| task),
                    trial: task.map_or(0, |(_, trial)| trial),
                    // The tries of a task, and the arms of a comparison, answer one question.
                    topic: task.map(|(t, _)| t).or(group.map(|(g, _)| g)).map_or(serial, |n| SHARED + n),
                    ..plain
                };
                spell(&row, &mut out);
                records.push(row);
            }
            Slot::Repeat(signal) => {
                let row =
                    earlier(&|row| row.signal == signal && row.body == Body::Full && row.twist.is_none())
                        .map_or(plain.clone(), |row| Row {
                            serial,
                            key: serial,
                            time_ms: plain.time_ms,
                            trial: row.trial + 1,
                            body: Body::Full,
                            ..row
                        });
                spell(&row, &mut out);
            }
            Slot::KeyClash => {
                let row = earlier(&|row| row.twist.is_none()).map_or(plain.clone(), |row| Row {
                    key: row.key,
                    time_ms: row.time_ms,
                    ..plain
                });
                spell(&row, &mut out);
            }
            Slot::Dirt(dirt @ (Dirt::Copy | Dirt::CopyRespelled)) => {
                let row = earlier(&|_| true).unwrap_or(plain);
                spoil(&row, dirt, &mut out);
            }
            Slot::Dirt(dirt) => {
                // A row whose rank is a word needs a comparison to have a rank in.
                let group = plan.groups.first().map(|_| (99_999, 1));
                spoil(&Row { group, ..plain }, dirt, &mut out);
            }
        }
        if !matches!(slot, Slot::Dirt(Dirt::Unterminated)) {
            out.push(b'\n');
        }
        line(&out)?;
    }
    Ok(())
}

/// Topics of tasks and comparisons are counted apart from those of single rows.
const SHARED: u64 = 1_000_000;

/// An earlier record that nothing depends on yet.
fn earlier(rng: &mut Rng, records: &[Row], used: &mut [bool], wanted: &dyn Fn(&Row) -> bool) -> Option<Row> {
    let free: Vec<usize> = (0..records.len()).filter(|at| !used[*at] && wanted(&records[*at])).collect();
    if free.is_empty() {
        return None;
    }
    let at = rng.pick(&free);
    used[at] = true;
    Some(records[at].clone())
}

fn lay_out(plan: &StreamPlan, rng: &mut Rng) -> Vec<Slot> {
    // The arms of a comparison stay together; everything else is on its own.
    let mut blocks: Vec<Vec<Slot>> = Vec::new();
    let mut dependent = Vec::new();
    let mut last = None;
    let record = |signal, body| Slot::Record { signal, body, twist: None, task: None, group: None };
    let mut number = 0;
    for tasks in plan.tasks {
        for _ in 0..tasks.0 {
            let members = tasks.1.iter().flat_map(|(n, signal)| (0..*n).map(|_| *signal));
            for (trial, signal) in (0..).zip(members) {
                let task = Some((number, trial));
                blocks.push(vec![Slot::Record { signal, body: Body::Full, twist: None, task, group: None }]);
            }
            number += 1;
        }
    }
    for groups in plan.groups {
        for _ in 0..groups.0 {
            let arm = |(rank, (signal, body)): (u64, &(Signal, Body))| {
                let group = Some((number, rank));
                Slot::Record { signal: *signal, body: *body, twist: None, task: None, group }
            };
            blocks.push((1..).zip(groups.1).map(arm).collect());
            number += 1;
        }
    }
    let mut twists = plan.twists.iter().flat_map(|(n, twist)| (0..*n).map(|_| *twist));
    for line in plan.lines {
        for _ in 0..line.0 {
            match line.2 {
                Body::Repeat => dependent.push(Slot::Repeat(line.1)),
                body => {
                    let mut slot = record(line.1, body);
                    if let Slot::Record { twist, .. } = &mut slot {
                        *twist = twists.next();
                    }
                    blocks.push(vec![slot]);
                }
            }
        }
    }
    dependent.extend((0..plan.key_clashes).map(|_| Slot::KeyClash));
    for (n, dirt) in plan.dirt {
        for _ in 0..*n {
            let slot = Slot::Dirt(*dirt);
            if *dirt == Dirt::Unterminated {
                last = Some(slot);
            } else if depends(&slot) {
                dependent.push(slot);
            } else {
                blocks.push(vec![slot]);
            }
        }
    }
    for at in (1..blocks.len()).rev() {
        blocks.swap(at, usize::try_from(rng.below(at as u64 + 1)).unwrap_or(0));
    }
    let mut slots: Vec<Slot> = blocks.into_iter().flatten().collect();
    for slot in dependent {
        let half = slots.len() as u64 / 2;
        let at = half + rng.below(slots.len() as u64 - half + 1);
        slots.insert(usize::try_from(at).unwrap_or(slots.len()), slot);
    }
    slots.extend(last);
    slots
}
