//! Bulk rows: the freeze sample's mix at any length, each row made from its number alone.
//!
//! Rests on the plan's proportions. Invariant: nothing is kept between rows, so memory is constant and any part of the
//! sample can be made on its own; ids are unique, times ascend within a stream over the year 2026.

use super::dirt::spell;
use super::dirt::spoil;
use super::plan::Body;
use super::plan::Dirt;
use super::plan::Signal;
use super::plan::Stream;
use super::plan::StreamPlan;
use super::rng::Rng;
use super::rng::mix;
use super::row::Row;

/// 2026-01-01T00:00:00Z.
const FROM_MS: u64 = 1_767_225_600_000;
const YEAR_MS: u64 = 365 * 86_400_000;
/// One row in so many is no record.
const DIRT_ONE_IN: u64 = 200;
/// Tries of one task, arms of one comparison.
const TRIES: u64 = 4;
const ARMS: u64 = 3;
/// How far back a copy or a repeated text reaches.
const BACK: u64 = 64;

/// The rows of one stream in a bulk sample.
pub struct Bulk {
    plan: &'static StreamPlan,
    seed: u64,
    rows: u64,
    /// Kinds of records with the running sum of their shares.
    mix: Vec<(u64, Signal, Body)>,
    dirt: Vec<Dirt>,
}

impl Bulk {
    /// `rows` rows of `stream`.
    pub fn new(stream: Stream, seed: u64, rows: u64) -> Self {
        let plan = StreamPlan::of(stream);
        let mut sum = 0;
        let mix = plan
            .each_record()
            .map(|(n, signal, body)| {
                sum += n;
                (sum, signal, body)
            })
            .collect();
        let dirt = plan.dirt.iter().map(|(_, dirt)| *dirt).filter(|d| *d != Dirt::Unterminated).collect();
        Self { plan, seed, rows, mix, dirt }
    }

    /// Appends row `serial` with its line ending.
    pub fn write(&self, serial: u64, out: &mut Vec<u8>) {
        let mut rng = Rng::new(self.seed ^ mix(0xb01c + self.plan.stream as u64), serial);
        match self.dirt_at(&mut rng) {
            None => spell(&self.record(serial, &mut rng), out),
            Some(dirt @ (Dirt::Copy | Dirt::CopyRespelled)) => {
                spoil(&self.record_before(serial, &mut rng), dirt, out);
            }
            Some(dirt) => {
                let plain = self.record(serial, &mut rng);
                let group = Some((serial / ARMS, 1));
                spoil(
                    &Row { group, signal: Signal::Nothing, body: Body::Full, twist: None, ..plain },
                    dirt,
                    out,
                );
            }
        }
        out.push(b'\n');
    }

    fn dirt_at(&self, rng: &mut Rng) -> Option<Dirt> {
        (rng.below(DIRT_ONE_IN) == 0).then(|| rng.pick(&self.dirt))
    }

    /// A record a little before `serial`: dirt is rare, so a few steps back are enough; the first row stands in for
    /// what lies before the file.
    fn record_before(&self, serial: u64, rng: &mut Rng) -> Row {
        let mut at = serial.saturating_sub(1 + rng.below(BACK));
        loop {
            let mut rng = Rng::new(self.seed ^ mix(0xb01c + self.plan.stream as u64), at);
            let dirt = self.dirt_at(&mut rng);
            if dirt.is_none() || at == 0 {
                return self.record(at, &mut rng);
            }
            at -= 1;
        }
    }

    fn record(&self, serial: u64, rng: &mut Rng) -> Row {
        let share = rng.below(self.mix.last().map_or(1, |(sum, _, _)| *sum));
        let kind = self.mix.partition_point(|(sum, _, _)| *sum <= share);
        let (_, signal, body) = self.mix[kind.min(self.mix.len() - 1)];
        let step = (YEAR_MS / self.rows.max(1)).max(1);
        let time = FROM_MS
            + u64::try_from(u128::from(serial) * u128::from(YEAR_MS) / u128::from(self.rows.max(1)))
                .unwrap_or(0)
            + rng.below(step);
        let tried = !self.plan.tasks.is_empty();
        let compared = signal == Signal::Comparison;
        let text = if body == Body::Repeat { serial.saturating_sub(1 + rng.below(BACK)) } else { serial };
        let topic = |serial| match (tried, compared) {
            (true, _) => serial / TRIES,
            (_, true) => serial / ARMS,
            _ => serial,
        };
        Row {
            seed: self.seed,
            stream: self.plan.stream,
            serial,
            key: serial,
            text,
            topic: topic(text),
            task: tried.then_some(text / TRIES),
            trial: if tried { serial % TRIES } else { 0 },
            group: compared.then_some((serial / ARMS, serial % ARMS + 1)),
            signal,
            body: if body == Body::Repeat { Body::Full } else { body },
            twist: None,
            wrong_type: false,
            time_ms: i64::try_from(time).unwrap_or(i64::MAX),
        }
    }
}
