//! The plan's numbers, stream by stream: the one place to turn when the freeze counts should move.
//!
//! Rests on the words of [`super::plan`]. Invariant: [`STREAMS`] stands in the order of [`Stream`]; what it adds up to
//! is tested where the words are.

use super::plan::Body::Empty;
use super::plan::Body::Full;
use super::plan::Body::NoRun;
use super::plan::Body::Repeat;
use super::plan::Dirt;
use super::plan::Groups;
use super::plan::Line;
use super::plan::Signal;
use super::plan::Signal::Checks;
use super::plan::Signal::Comparison;
use super::plan::Signal::Human;
use super::plan::Signal::Markers;
use super::plan::Signal::Nothing;
use super::plan::Signal::Observer;
use super::plan::Signal::ObserverLow;
use super::plan::Signal::Outcome;
use super::plan::Stream;
use super::plan::StreamPlan;
use super::plan::Tasks;
use super::plan::Tri::Bad;
use super::plan::Tri::Good;
use super::plan::Tri::Mixed;
use super::plan::Twist;
use super::plan::Verdict::Accept;
use super::plan::Verdict::Partial;
use super::plan::Verdict::Reject;
use super::plan::Verdict::Unclear;

/// A task that passed and one that failed, as tasks with checks say it.
const PASS: Signal = Checks(Good);
const FAIL: Signal = Checks(Bad);

/// The plan of every stream.
pub const STREAMS: [StreamPlan; 12] = [
    StreamPlan {
        stream: Stream::AuditDiscrepancies,
        name: "audit_discrepancies",
        prompted: true,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(8, Checks(Good), Full),
            Line(1, Checks(Good), NoRun),
            Line(2, Human(Partial), Full),
            Line(5, Checks(Bad), Full),
            Line(11, Checks(Mixed), Full),
            Line(1, Human(Unclear), Full),
            Line(14, Nothing, Full),
        ],
        twists: &[(5, Twist::OddOffset), (1, Twist::BadTime)],
        key_clashes: 0,
        dirt: &[(1, Dirt::Heartbeat), (1, Dirt::CopyRespelled), (1, Dirt::NotObject), (1, Dirt::Truncated)],
    },
    StreamPlan {
        stream: Stream::AuditFindings,
        name: "audit_findings",
        prompted: false,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(10, Observer(Accept), Full),
            Line(1, Observer(Accept), Empty),
            Line(1, Observer(Accept), Repeat),
            Line(1, Human(Accept), Full),
            Line(1, Human(Reject), Full),
            Line(9, ObserverLow, Full),
            Line(8, Observer(Partial), Full),
            Line(15, Observer(Reject), Full),
            Line(7, Observer(Unclear), Full),
            Line(24, Nothing, Full),
        ],
        twists: &[(2, Twist::BigInteger), (1, Twist::NoTime), (2, Twist::Unicode)],
        key_clashes: 1,
        dirt: &[
            (2, Dirt::Copy),
            (1, Dirt::CopyRespelled),
            (1, Dirt::Truncated),
            (1, Dirt::InvalidUtf8),
            (1, Dirt::LoneSurrogate),
        ],
    },
    StreamPlan {
        stream: Stream::AutoApply,
        name: "auto_apply",
        prompted: true,
        // 4 + 4 + 4 = 12 pairs
        tasks: &[
            Tasks(4, &[(1, PASS), (1, FAIL)]),
            Tasks(2, &[(2, PASS), (1, FAIL)]),
            Tasks(1, &[(2, PASS), (2, FAIL)]),
        ],
        groups: &[],
        lines: &[
            Line(31, Checks(Good), Full),
            Line(2, Checks(Good), Empty),
            Line(1, Checks(Good), NoRun),
            Line(1, Checks(Good), Repeat),
            Line(2, Human(Accept), Full),
            Line(4, Human(Partial), Full),
            Line(2, Human(Reject), Full),
            Line(9, Checks(Bad), Full),
            Line(9, Checks(Mixed), Full),
            Line(6, Nothing, Full),
        ],
        twists: &[(4, Twist::BigInteger), (2, Twist::NoTime), (1, Twist::Unicode)],
        key_clashes: 0,
        dirt: &[
            (4, Dirt::Heartbeat),
            (2, Dirt::Copy),
            (1, Dirt::CopyRespelled),
            (1, Dirt::WrongType),
            (2, Dirt::Truncated),
            (1, Dirt::Overflow),
        ],
    },
    StreamPlan {
        stream: Stream::ModeExperiments,
        name: "mode_experiments",
        prompted: true,
        tasks: &[],
        // 22 + 2 + 1 + 1 + 0 = 26 pairs
        groups: &[
            Groups(11, &[(Comparison, Full), (Comparison, Full), (Comparison, Full)]),
            Groups(2, &[(Comparison, Full), (Comparison, Full)]),
            Groups(1, &[(Comparison, Full), (Comparison, Full), (Human(Reject), Full)]),
            Groups(1, &[(Comparison, Full), (Comparison, Empty), (Comparison, Full)]),
            Groups(1, &[(Comparison, Full)]),
        ],
        lines: &[Line(3, Nothing, Full), Line(2, Human(Accept), Full), Line(1, Human(Partial), Full)],
        twists: &[(1, Twist::OddOffset), (1, Twist::NoTime)],
        key_clashes: 0,
        dirt: &[
            (4, Dirt::Heartbeat),
            (1, Dirt::Copy),
            (1, Dirt::CopyRespelled),
            (1, Dirt::WrongType),
            (1, Dirt::Truncated),
        ],
    },
    StreamPlan {
        stream: Stream::ModelCalls,
        name: "model_calls",
        prompted: true,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(18, Human(Accept), Full),
            Line(1, Human(Accept), Empty),
            Line(1, Human(Accept), NoRun),
            Line(1, Human(Accept), Repeat),
            Line(9, Human(Partial), Full),
            Line(8, Human(Reject), Full),
            Line(8, Checks(Good), Full),
            Line(7, Checks(Bad), Full),
            Line(4, Checks(Mixed), Full),
            Line(1, Human(Unclear), Full),
            Line(58, Nothing, Full),
        ],
        twists: &[(3, Twist::Unicode), (2, Twist::BigInteger), (1, Twist::NoTime)],
        key_clashes: 0,
        dirt: &[
            (2, Dirt::Heartbeat),
            (2, Dirt::Copy),
            (1, Dirt::CopyRespelled),
            (1, Dirt::Truncated),
            (1, Dirt::WrongType),
            (1, Dirt::InvalidUtf8),
        ],
    },
    StreamPlan {
        stream: Stream::ObserverEscalations,
        name: "observer_escalations",
        prompted: false,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(6, Markers(Good), Full),
            Line(1, Markers(Good), Empty),
            Line(4, Human(Accept), Full),
            Line(5, Markers(Bad), Full),
            Line(6, Markers(Mixed), Full),
            Line(14, Nothing, Full),
        ],
        twists: &[(1, Twist::BadTime), (1, Twist::Unicode)],
        key_clashes: 0,
        dirt: &[(2, Dirt::Heartbeat), (1, Dirt::CopyRespelled), (1, Dirt::NotObject)],
    },
    StreamPlan {
        stream: Stream::ObserverReviews,
        name: "observer_reviews",
        prompted: true,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(74, Observer(Accept), Full),
            Line(1, Observer(Accept), Empty),
            Line(2, Observer(Accept), Repeat),
            Line(3, Human(Accept), Full),
            Line(8, Observer(Partial), Full),
            Line(1, Observer(Partial), Empty),
            Line(1, Observer(Partial), Repeat),
            Line(5, ObserverLow, Full),
            Line(16, Observer(Reject), Full),
            Line(1, Human(Reject), Full),
            Line(6, Observer(Unclear), Full),
            Line(1, Nothing, Full),
        ],
        twists: &[(4, Twist::Unicode), (2, Twist::BadTime), (3, Twist::OddOffset)],
        key_clashes: 1,
        dirt: &[
            (3, Dirt::Copy),
            (2, Dirt::CopyRespelled),
            (1, Dirt::InvalidUtf8),
            (1, Dirt::Truncated),
            (1, Dirt::DuplicateKey),
        ],
    },
    StreamPlan {
        stream: Stream::Outcomes,
        name: "outcomes",
        prompted: true,
        // 9 + 8 + 6 + 4 + 8 (of 9) = 35 pairs; all passed and all failed pair with nobody
        tasks: &[
            Tasks(9, &[(1, Outcome(true)), (1, Outcome(false))]),
            Tasks(4, &[(2, Outcome(true)), (1, Outcome(false))]),
            Tasks(3, &[(1, Outcome(true)), (2, Outcome(false))]),
            Tasks(1, &[(2, Outcome(true)), (2, Outcome(false))]),
            Tasks(1, &[(3, Outcome(true)), (3, Outcome(false))]),
            Tasks(2, &[(3, Outcome(true))]),
            Tasks(2, &[(2, Outcome(false))]),
        ],
        groups: &[],
        lines: &[
            Line(21, Outcome(true), Full),
            Line(1, Outcome(true), Empty),
            Line(1, Outcome(true), NoRun),
            Line(2, Outcome(true), Repeat),
            Line(20, Outcome(false), Full),
            Line(1, Human(Reject), Full),
            Line(19, Nothing, Full),
        ],
        twists: &[(3, Twist::BigInteger), (2, Twist::NoTime), (2, Twist::Unicode)],
        key_clashes: 0,
        dirt: &[
            (2, Dirt::Heartbeat),
            (2, Dirt::Copy),
            (1, Dirt::CopyRespelled),
            (1, Dirt::Truncated),
            (1, Dirt::LoneSurrogate),
            (1, Dirt::Unterminated),
        ],
    },
    StreamPlan {
        stream: Stream::PlaybookRuns,
        name: "playbook_runs",
        prompted: true,
        // 6 + 2 + 2 = 10 pairs
        tasks: &[
            Tasks(2, &[(1, Outcome(true)), (1, Markers(Good)), (1, Outcome(false))]),
            Tasks(1, &[(1, Outcome(true)), (2, Outcome(false))]),
            Tasks(2, &[(1, Outcome(true)), (1, Outcome(false))]),
        ],
        groups: &[],
        lines: &[
            Line(28, Outcome(true), Full),
            Line(1, Outcome(true), Empty),
            Line(1, Outcome(true), NoRun),
            Line(1, Outcome(true), Repeat),
            Line(1, Human(Accept), Full),
            Line(4, Markers(Good), Full),
            Line(1, Human(Partial), Full),
            Line(6, Outcome(false), Full),
            Line(4, Markers(Bad), Full),
            Line(1, Human(Reject), Full),
            Line(6, Markers(Mixed), Full),
            Line(7, Nothing, Full),
        ],
        twists: &[(3, Twist::OddOffset), (2, Twist::NoTime), (1, Twist::Unicode)],
        key_clashes: 1,
        dirt: &[
            (2, Dirt::Heartbeat),
            (1, Dirt::Copy),
            (1, Dirt::CopyRespelled),
            (1, Dirt::Truncated),
            (1, Dirt::Blank),
            (1, Dirt::WrongType),
        ],
    },
    StreamPlan {
        stream: Stream::PrAudits,
        name: "pr_audits",
        prompted: true,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(52, Checks(Good), Full),
            Line(2, Checks(Good), Empty),
            Line(1, Checks(Good), NoRun),
            Line(2, Checks(Good), Repeat),
            Line(4, Human(Accept), Full),
            Line(7, Observer(Partial), Full),
            Line(3, ObserverLow, Full),
            Line(9, Checks(Bad), Full),
            Line(2, Human(Reject), Full),
            Line(3, Observer(Reject), Full),
            Line(9, Checks(Mixed), Full),
            Line(4, Observer(Unclear), Full),
            Line(1, Human(Unclear), Full),
            Line(5, Nothing, Full),
        ],
        twists: &[(2, Twist::Unicode), (2, Twist::NoTime), (1, Twist::BadTime), (2, Twist::OddOffset)],
        key_clashes: 1,
        dirt: &[
            (5, Dirt::Heartbeat),
            (2, Dirt::Copy),
            (2, Dirt::CopyRespelled),
            (1, Dirt::Truncated),
            (1, Dirt::DuplicateKey),
            (1, Dirt::Blank),
            (1, Dirt::WrongType),
        ],
    },
    StreamPlan {
        stream: Stream::ReplayRuns,
        name: "replay_runs",
        prompted: true,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(21, Checks(Good), Full),
            Line(10, Checks(Bad), Full),
            Line(2, Checks(Mixed), Full),
            Line(4, Nothing, Full),
        ],
        twists: &[(1, Twist::Unicode)],
        key_clashes: 0,
        dirt: &[(1, Dirt::Heartbeat), (1, Dirt::Copy), (1, Dirt::Truncated)],
    },
    StreamPlan {
        stream: Stream::ScrumReviews,
        name: "scrum_reviews",
        prompted: true,
        tasks: &[],
        groups: &[],
        lines: &[
            Line(50, Observer(Accept), Full),
            Line(2, Observer(Accept), Empty),
            Line(2, Observer(Accept), Repeat),
            Line(3, Human(Accept), Full),
            Line(9, Observer(Partial), Full),
            Line(1, Observer(Partial), Empty),
            Line(2, ObserverLow, Full),
            Line(11, Observer(Reject), Full),
            Line(1, Human(Reject), Full),
            Line(8, Observer(Unclear), Full),
            Line(6, Nothing, Full),
        ],
        twists: &[(4, Twist::OddOffset), (3, Twist::Unicode), (2, Twist::NoTime)],
        key_clashes: 0,
        dirt: &[
            (3, Dirt::Heartbeat),
            (1, Dirt::Copy),
            (2, Dirt::CopyRespelled),
            (1, Dirt::DuplicateKey),
            (1, Dirt::LoneSurrogate),
            (1, Dirt::Truncated),
        ],
    },
];
