//! One row of the sample before it is spelled: what it is about, what is known about it, when it happened.
//!
//! Rests on the plan's words, the topics and the seeded generator. Invariant: all training text of a row is a function
//! of the seed, the stream, `topic` and `text`; everything else of the seed, the stream and `serial`. So a row that
//! repeats another's text under a new run is the other's `topic` and `text` with a new `serial`.

use crate::base::clock::rfc3339;

use super::json::Json;
use super::plan::Body;
use super::plan::Signal;
use super::plan::Stream;
use super::plan::Tri;
use super::plan::Twist;
use super::plan::Verdict;
use super::rng::Rng;
use super::rng::mix;
use super::text::Topic;
use super::text::hex;
use super::text::number;
use super::text::unicode_trouble;

/// One record of one stream.
#[derive(Clone, Debug)]
pub struct Row {
    /// The seed of the whole sample.
    pub seed: u64,
    /// The stream.
    pub stream: Stream,
    /// Place in the stream: ids, measurements.
    pub serial: u64,
    /// Whose key it carries: its own, or that of a row it clashes with.
    pub key: u64,
    /// Whose answer it gives.
    pub text: u64,
    /// Whose question it answers.
    pub topic: u64,
    /// The task, where several rows may try one; `None` where the row is a task of its own.
    pub task: Option<u64>,
    /// Which try of the task this is, from 0.
    pub trial: u64,
    /// Comparison and rank (1 is best).
    pub group: Option<(u64, u64)>,
    /// What is known about it.
    pub signal: Signal,
    /// What text it carries.
    pub body: Body,
    /// What is unusual about it.
    pub twist: Option<Twist>,
    /// One of its fields has the wrong type.
    pub wrong_type: bool,
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
}

/// Different uses of one number must not draw the same.
const OF_TOPIC: u64 = 0x7401;
const OF_TEXT: u64 = 0x7402;
const OF_MEASURES: u64 = 0x7403;

impl Row {
    fn rng(&self, purpose: u64, number: u64) -> Rng {
        Rng::new(self.seed ^ mix(purpose + ((self.stream as u64) << 32)), number)
    }

    /// Randomness for ids and measurements.
    pub fn measures(&self) -> Rng {
        self.rng(OF_MEASURES, self.serial)
    }

    /// Randomness for training text beyond prompt and answer (context, retrieved documents, tool calls).
    pub fn material(&self) -> Rng {
        self.rng(OF_TEXT, !self.text)
    }

    /// What the row is about.
    pub fn topic(&self) -> Topic {
        Topic::draw(&mut self.rng(OF_TOPIC, self.topic), self.topic)
    }

    /// The instruction: the same for every row of a task.
    pub fn prompt(&self, sentences: &[&str]) -> String {
        self.topic().one_of(&mut self.rng(OF_TOPIC, !self.topic), sentences)
    }

    /// The response; empty where the row has none.
    pub fn answer(&self) -> String {
        if self.body == Body::Empty {
            return String::new();
        }
        let mut rng = self.rng(OF_TEXT, self.text);
        // Some of the undecided rows read well and some do not: nobody has judged them.
        let good = match self.signal {
            Signal::Comparison => self.group.is_none_or(|(_, rank)| rank == 1),
            Signal::Nothing => rng.chance(60),
            signal => signal.reads_well(),
        };
        let mut answer = self.topic().renumbered(self.text).answer(&mut rng, good);
        if self.twist == Some(Twist::Unicode) {
            answer.push_str(unicode_trouble(&mut rng));
        }
        answer
    }

    /// The run's id; `None` where the row has none.
    pub fn run_id(&self) -> Option<String> {
        let mut id = String::from("run-");
        hex(&mut id, mix(self.seed ^ mix(self.serial ^ ((self.stream as u64) << 48))), 12);
        (self.body != Body::NoRun).then_some(id)
    }

    /// A key with the stream's prefix and seven digits or more.
    pub fn key(&self, prefix: &str) -> String {
        format!("{prefix}-{:07}", self.key)
    }

    /// The id of the task: shared by its tries.
    pub fn task_id(&self, prefix: &str) -> String {
        let mut id = String::from(prefix);
        id.push_str(if self.task.is_some() { "-t" } else { "-s" });
        number(&mut id, self.task.unwrap_or(self.topic));
        id
    }

    /// A person's verdict, where there is one.
    pub const fn human(&self) -> Option<Verdict> {
        match self.signal {
            Signal::Human(verdict) => Some(verdict),
            _ => None,
        }
    }

    /// Named checks, where there are some: those of the signal, or the opposite of what a person decided.
    pub const fn checks(&self) -> Option<Tri> {
        match self.signal {
            Signal::Checks(checks) => Some(checks),
            Signal::Human(Verdict::Accept) => Some(Tri::Bad),
            Signal::Human(Verdict::Reject) => Some(Tri::Good),
            Signal::Human(_) => Some(Tri::Mixed),
            _ => None,
        }
    }

    /// An observer's verdict and confidence in percent, where there is one; again turned against a person's.
    pub fn observer(&self) -> Option<(Verdict, Option<u64>)> {
        let mut rng = self.measures();
        match self.signal {
            Signal::Observer(verdict) => Some((verdict, Some(rng.between(78, 98)))),
            Signal::ObserverLow => Some((Verdict::Accept, rng.chance(70).then(|| rng.between(35, 70)))),
            Signal::Human(Verdict::Accept) => Some((Verdict::Reject, Some(rng.between(60, 90)))),
            Signal::Human(Verdict::Reject) => Some((Verdict::Accept, Some(rng.between(80, 95)))),
            _ => None,
        }
    }

    /// Writes the time as RFC 3339 with the offset `minutes` east of UTC, as the row's twist has it.
    pub fn time(&self, json: &mut Json<'_>, key: &str, minutes: i64) {
        match self.twist {
            Some(Twist::NoTime) => {}
            Some(Twist::BadTime) => json.str(key, "yesterday 14:05"),
            Some(Twist::OddOffset) => {
                let odd = [345, -570, 825, 765, -210];
                let at = usize::try_from(self.serial % 5).unwrap_or(0);
                json.str(key, &local_time(self.time_ms, odd[at]));
            }
            _ => json.str(key, &local_time(self.time_ms, minutes)),
        }
    }

    /// Writes the time as seconds (`per_second` 1) or milliseconds (1000) since the epoch.
    pub fn epoch(&self, json: &mut Json<'_>, key: &str, per_second: i64) {
        if self.twist != Some(Twist::NoTime) {
            json.int(key, self.time_ms / (1000 / per_second));
        }
    }

    /// An odd integer beyond 2⁵³, which binary64 cannot hold, where the row is twisted so; else `number`.
    pub fn big_or(&self, number: u64) -> i64 {
        let big = self.twist == Some(Twist::BigInteger);
        let value = if big { (1 << 53) + 1 + 2 * self.key } else { number };
        i64::try_from(value).unwrap_or(i64::MAX)
    }

    /// A number of tokens; negative where the row has a field of the wrong type.
    pub fn tokens(&self, count: u64) -> i64 {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if self.wrong_type { -count } else { count }
    }
}

/// RFC 3339 with milliseconds and an offset in minutes (`Z` for none).
pub fn local_time(ms: i64, minutes: i64) -> String {
    let mut text = rfc3339(ms + minutes * 60_000);
    if minutes != 0 {
        text.pop();
        text.push(if minutes < 0 { '-' } else { '+' });
        let far = minutes.unsigned_abs();
        for digit in [far / 600, far / 60 % 10, 10, far % 60 / 10, far % 10] {
            text.push(char::from(b"0123456789:"[usize::try_from(digit).unwrap_or(0)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_times_name_the_same_instant() {
        assert_eq!(local_time(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(local_time(0, 345), "1970-01-01T05:45:00.000+05:45");
        assert_eq!(local_time(86_400_000, -210), "1970-01-01T20:30:00.000-03:30");
    }
}
