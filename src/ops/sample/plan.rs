//! The plan of the freeze sample: how many rows of which kind each stream holds, in one table.
//!
//! Rests on the policy that the repository ships (`.distill/policy.toml`): a [`Signal`] is what one of its rules looks
//! for. Invariant: the rows of all streams add up to [`FREEZE_ROWS`], and the plan alone foretells the exports:
//! [`FREEZE_RAG`], [`FREEZE_SFT`] and [`FREEZE_PAIRS`]; a unit test adds it up.

use super::tables::STREAMS;

/// Rows of the freeze sample, damaged ones and blank lines included.
pub const FREEZE_ROWS: u64 = 1052;
/// RAG rows that an honest pipeline makes of the freeze sample.
pub const FREEZE_RAG: u64 = 446;
/// SFT rows that an honest pipeline makes of the freeze sample (without `--include-partial`).
pub const FREEZE_SFT: u64 = 351;
/// Preference pairs that an honest pipeline makes of the freeze sample.
pub const FREEZE_PAIRS: u64 = 83;
/// Pairs that one task or one comparison may yield.
pub const PAIRS_MAX: u64 = 8;

/// The twelve streams, in the order of their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// What one auditor found that another did not.
    AuditDiscrepancies,
    /// Single findings of the code auditor; they answer no prompt.
    AuditFindings,
    /// Edits applied without a person, with their gates.
    AutoApply,
    /// One prompt answered in several modes, ranked.
    ModeExperiments,
    /// Completions that went through the gateway, in the form of the chat API.
    ModelCalls,
    /// Diagnoses of failing clusters, made by the observer's larger model.
    ObserverEscalations,
    /// An observer's verdict on somebody else's answer.
    ObserverReviews,
    /// Tasks with a reward, tried several times.
    Outcomes,
    /// Executions of operational playbooks.
    PlaybookRuns,
    /// Audits of pull requests against what they claim.
    PrAudits,
    /// What `distill replay` writes: answers that were made from the corpus itself.
    ReplayRuns,
    /// Reviews of stories before they are called done.
    ScrumReviews,
}

/// Good, bad, or both at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tri {
    /// All for it.
    Good,
    /// All against it.
    Bad,
    /// Some for and some against: a contradiction.
    Mixed,
}

/// What a judge said, as the policy's word table reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// Yes, with reservations.
    Partial,
    /// No.
    Reject,
    /// An undecided or unknown word.
    Unclear,
}

/// The strongest thing that is known about a row; what is weaker may say the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A person said so; where the stream can, the automatic signals below are turned against it.
    Human(Verdict),
    /// The source's own final result.
    Outcome(bool),
    /// Named checks.
    Checks(Tri),
    /// A confident observer.
    Observer(Verdict),
    /// An observer who accepts with little confidence or none stated.
    ObserverLow,
    /// Words in an event list.
    Markers(Tri),
    /// A rank in a comparison and nothing else.
    Comparison,
    /// Nothing.
    Nothing,
}

/// Where the policy puts a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// `accepted`
    Accepted,
    /// `partially_accepted`
    Partial,
    /// `rejected`
    Rejected,
    /// `needs_human_review`
    Human,
}

impl Signal {
    /// The category that the shipped policy gives.
    pub const fn category(self) -> Category {
        match self {
            Self::Human(Verdict::Accept)
            | Self::Outcome(true)
            | Self::Checks(Tri::Good)
            | Self::Observer(Verdict::Accept) => Category::Accepted,
            Self::Human(Verdict::Partial)
            | Self::Observer(Verdict::Partial)
            | Self::ObserverLow
            | Self::Markers(Tri::Good) => Category::Partial,
            Self::Human(Verdict::Reject)
            | Self::Outcome(false)
            | Self::Checks(Tri::Bad)
            | Self::Observer(Verdict::Reject)
            | Self::Markers(Tri::Bad) => Category::Rejected,
            _ => Category::Human,
        }
    }

    /// Whether the text of the row should read like good work.
    pub const fn reads_well(self) -> bool {
        matches!(self.category(), Category::Accepted | Category::Partial)
    }
}

/// What text a row carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Instruction and response (no instruction in the streams that have none).
    Full,
    /// An instruction and an empty or missing response.
    Empty,
    /// Instruction and response, and no run id.
    NoRun,
    /// Instruction, response and task of an earlier row, under another run.
    Repeat,
}

/// Something unusual about a row that the pipeline must carry through unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// No time at all.
    NoTime,
    /// A time that is no time: "yesterday 14:05".
    BadTime,
    /// A local time with an unusual offset.
    OddOffset,
    /// An integer beyond 2⁵³.
    BigInteger,
    /// Decomposed accents, right-to-left text, emoji, zero-width characters, U+2028.
    Unicode,
}

/// A line that does not become a record of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dirt {
    /// A sign of life, skipped by the stream's named rule.
    Heartbeat,
    /// The same bytes as an earlier row: a duplicate.
    Copy,
    /// The same value as an earlier row, spelled otherwise: a duplicate.
    CopyRespelled,
    /// JSON cut off in the middle.
    Truncated,
    /// A key named twice with two values.
    DuplicateKey,
    /// Half a surrogate pair.
    LoneSurrogate,
    /// A Latin-1 byte in UTF-8.
    InvalidUtf8,
    /// JSON, but no object.
    NotObject,
    /// A number too large for binary64.
    Overflow,
    /// An empty line.
    Blank,
    /// A field of the wrong type (a negative token count, a rank in words).
    WrongType,
    /// A last line that breaks off without its line ending.
    Unterminated,
}

/// Rows of one stream that share signal and body.
#[derive(Clone, Copy, Debug)]
pub struct Line(pub u64, pub Signal, pub Body);

/// Tasks of one stream: how many, and the members of each.
#[derive(Clone, Copy, Debug)]
pub struct Tasks(pub u64, pub &'static [(u64, Signal)]);

/// Comparisons of one stream: how many, and what each arm is, best rank first.
#[derive(Clone, Copy, Debug)]
pub struct Groups(pub u64, pub &'static [(Signal, Body)]);

/// Everything about one stream's part of the freeze sample.
#[derive(Clone, Copy, Debug)]
pub struct StreamPlan {
    /// Whose plan this is.
    pub stream: Stream,
    /// The file's name without its ending.
    pub name: &'static str,
    /// Whether rows carry an instruction.
    pub prompted: bool,
    /// Tasks that were tried more than once.
    pub tasks: &'static [Tasks],
    /// Ranked comparisons.
    pub groups: &'static [Groups],
    /// Rows on their own.
    pub lines: &'static [Line],
    /// Laid over the rows of the first line, in this order.
    pub twists: &'static [(u64, Twist)],
    /// Rows that take the key of an earlier row and say something else (no signal).
    pub key_clashes: u64,
    /// Rows that become no record of their own.
    pub dirt: &'static [(u64, Dirt)],
}

impl StreamPlan {
    /// The plan of one stream.
    pub fn of(stream: Stream) -> &'static Self {
        &STREAMS[stream as usize]
    }

    /// The stream's file, relative to the base folder.
    pub fn file(&self) -> String {
        format!("data/_kb/{}.jsonl", self.name)
    }

    /// Lines of the stream's file.
    pub fn rows(&self) -> u64 {
        let dirt: u64 = self.dirt.iter().map(|(n, _)| n).sum();
        self.records() + dirt
    }

    /// Evidence records made of the stream's file.
    pub fn records(&self) -> u64 {
        self.each_record().map(|(n, _, _)| n).sum::<u64>() + self.key_clashes
    }

    /// Every kind of record but the key clashes: how many, signal, body.
    pub fn each_record(&self) -> impl Iterator<Item = (u64, Signal, Body)> + '_ {
        let tasks = self.tasks.iter().flat_map(|t| t.1.iter().map(|(n, s)| (t.0 * n, *s, Body::Full)));
        let groups = self.groups.iter().flat_map(|g| g.1.iter().map(|(s, b)| (g.0, *s, *b)));
        tasks.chain(groups).chain(self.lines.iter().map(|l| (l.0, l.1, l.2)))
    }

    /// Preference pairs that the stream yields.
    pub fn pairs(&self) -> u64 {
        let of_task = |tasks: &Tasks| {
            let count = |c: Category| -> u64 {
                tasks.1.iter().filter(|(_, s)| s.category() == c).map(|(n, _)| n).sum()
            };
            let (a, p, r) = (count(Category::Accepted), count(Category::Partial), count(Category::Rejected));
            tasks.0 * (a * p + a * r + p * r).min(PAIRS_MAX)
        };
        let of_group = |group: &Groups| {
            let eligible = |(signal, body): &&(Signal, Body)| {
                *body == Body::Full && *signal != Signal::Human(Verdict::Reject)
            };
            let arms = group.1.iter().filter(eligible).count() as u64;
            group.0 * arms.saturating_sub(1).min(PAIRS_MAX)
        };
        self.tasks.iter().map(of_task).chain(self.groups.iter().map(of_group)).sum()
    }

    /// Records of the stream with this category and body.
    pub fn count(&self, category: Category, body: Body) -> u64 {
        let clashes = if (category, body) == (Category::Human, Body::Full) { self.key_clashes } else { 0 };
        let wanted = |(_, s, b): &(u64, Signal, Body)| s.category() == category && *b == body;
        self.each_record().filter(wanted).map(|(n, _, _)| n).sum::<u64>() + clashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replayed rows are synthetic and enter no export.
    fn exported() -> impl Iterator<Item = &'static StreamPlan> {
        STREAMS.iter().filter(|plan| plan.stream != Stream::ReplayRuns)
    }

    #[test]
    fn streams_stand_where_their_number_says() {
        for (at, plan) in STREAMS.iter().enumerate() {
            assert_eq!(plan.stream as usize, at);
            let twisted: u64 = plan.twists.iter().map(|(n, _)| n).sum();
            assert!(twisted <= plan.lines[0].0, "{}: more twists than rows in the first line", plan.name);
        }
        assert!(STREAMS.is_sorted_by_key(|plan| plan.name));
    }

    #[test]
    fn the_plan_adds_up() {
        assert_eq!(STREAMS.iter().map(StreamPlan::rows).sum::<u64>(), FREEZE_ROWS);
        let sft: u64 =
            exported().filter(|p| p.prompted).map(|p| p.count(Category::Accepted, Body::Full)).sum();
        let rag: u64 = exported()
            .map(|p| p.count(Category::Accepted, Body::Full) + p.count(Category::Partial, Body::Full))
            .sum();
        let pairs: u64 = exported().map(StreamPlan::pairs).sum();
        assert_eq!((rag, sft, pairs), (FREEZE_RAG, FREEZE_SFT, FREEZE_PAIRS));
    }

    #[test]
    fn every_kind_of_dirt_and_every_twist_is_there() {
        use Dirt::*;
        for kind in [
            Heartbeat,
            Copy,
            CopyRespelled,
            Truncated,
            DuplicateKey,
            LoneSurrogate,
            InvalidUtf8,
            NotObject,
            Overflow,
            Blank,
            WrongType,
            Unterminated,
        ] {
            assert!(STREAMS.iter().any(|p| p.dirt.iter().any(|(n, d)| *d == kind && *n > 0)), "{kind:?}");
        }
        for kind in [Twist::NoTime, Twist::BadTime, Twist::OddOffset, Twist::BigInteger, Twist::Unicode] {
            assert!(STREAMS.iter().any(|p| p.twists.iter().any(|(n, t)| *t == kind && *n > 0)), "{kind:?}");
        }
    }
}
