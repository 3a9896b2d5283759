//! Planted defects: how a gate shows that it can fail.
//!
//! Rests on nothing. Each of the 22 invariants of `acceptance` has one defect here that breaks it and no other. A run
//! carries the defects that it was asked for in its options, and no command asks for any but `acceptance --power`.
//! Invariant: a run without defects asks once a record whether it has some, and does nothing else about them.

/// A defect to plant in a run, or in the checks after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// 1: a unit that repeats another is left out without a word.
    LosesUnit,
    /// 2: the bytes of an unreadable unit are mended before they are kept.
    MendsBytes,
    /// 3: evidence carries a field that its schema forbids.
    BlankMarker,
    /// 4: evidence carries another `sig_hash` than that of its row.
    WrongSignature,
    /// 5: evidence says which run made it.
    LeaksRun,
    /// 6: with more than one thread, files are taken in another order.
    OrderByThreads,
    /// 7: evidence is left without a scored run.
    Unscored,
    /// 8: a scored run names a rule that the policy does not have.
    StrangeRule,
    /// 9: scoring does not hear a person.
    DeafToPeople,
    /// 10: the SFT exporter takes a partially accepted run and calls it accepted.
    Mislabels,
    /// 11: `--include-partial` opens the SFT export to runs that nobody has judged.
    OpensTheDoor,
    /// 12: the type of an SFT row takes any word for a quality.
    LaxType,
    /// 13: the exporter's own list of forbidden categories is not asked.
    NoNeverList,
    /// 14: the written SFT file is not read back.
    NoReadBack,
    /// 15: a RAG row has white space for content.
    BlankContent,
    /// 16: a pair's rejected side is its chosen side.
    PairsWithItself,
    /// 17: white space tells two answers apart.
    ComparesRawText,
    /// 18: the sides of a pair are exchanged.
    SwapsSides,
    /// 19: an export row names the line after its own.
    WrongLine,
    /// 20: a refusal is counted and not kept.
    LosesRefusal,
    /// 21: the receipt of scoring names other evidence than was made.
    BrokenChain,
    /// 22: drift is blind to losses.
    BlindDrift,
    /// No defect of distill's: the written SFT file is changed on disk before it is read back, which must be noticed.
    TampersWithFile,
}

/// The defects of a run, and what they need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Planted {
    faults: Vec<Fault>,
    /// The run's id.
    pub run_id: String,
}

impl Planted {
    /// The defects of run `run_id`; nothing where there are none, so that asking costs nothing.
    pub(crate) fn new(faults: &[Fault], run_id: &str) -> Option<Self> {
        (!faults.is_empty()).then(|| Self { faults: faults.to_vec(), run_id: run_id.to_owned() })
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}

/// Whether `fault` is among the defects of a run that may have none.
pub(crate) fn has(planted: Option<&Planted>, fault: Fault) -> bool {
    planted.is_some_and(|planted| planted.has(fault))
}
