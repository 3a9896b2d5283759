//! Judging a model's answer by rules: is it whole, is it an answer, does what it claims stand where it was told to look?
//!
//! Rests on `claims`, which finds what can be checked, and `support`, which looks it up. No model is asked, and the same answer is
//! always judged the same. `echo` knows an answer that only asks again. Invariants: what an answer claims must stand in its task or in a
//! record that it cites; an answer in which nothing can be checked does not pass; every claim that does not hold is named with its
//! place, in bytes of the answer.

mod claims;
mod echo;
mod form;
mod support;

use serde::{Deserialize, Serialize};

pub use claims::{Claim, ClaimKind};
pub use form::Format;
pub(crate) use form::unfenced;

use echo::Questions;
use support::Sources;

/// The version of the rules: part of every stored answer.
pub const VERSION: u32 = 2;

/// What an answer is held against.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What was asked.
    pub task: &'a str,
    /// The form that was asked for.
    pub format: Format,
    /// The records of the prompt, in the order of their numbers, which begin at 1.
    pub records: &'a [Given<'a>],
    /// Whether the model was cut off by its limit of tokens.
    pub cut_short: bool,
}

/// A record of a prompt.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What it was made for: the instruction of its evidence; empty where it had none.
    pub question: &'a str,
    /// Its text, as the prompt has it, which may begin with the question.
    pub text: &'a str,
}

/// Why an answer does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No letter and no digit, but for citations.
    Empty,
    /// It was cut off.
    CutShort,
    /// It declines to answer.
    Refusal,
    /// It repeats the task, or what a record was made for, and says nothing else.
    Echo,
    /// It has not the form that was asked for.
    WrongFormat,
    /// Records were given, and it cites none of them.
    Uncited,
    /// Something that it claims stands neither in the task nor in what it cites.
    Unsupported,
    /// Nothing in it can be checked.
    Uncheckable,
}

impl Fault {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::CutShort => "cut_short",
            Self::Refusal => "refusal",
            Self::Echo => "echo",
            Self::WrongFormat => "wrong_format",
            Self::Uncited => "uncited",
            Self::Unsupported => "unsupported",
            Self::Uncheckable => "uncheckable",
        }
    }

    /// What it says to a person.
    pub const fn says(self) -> &'static str {
        match self {
            Self::Empty => "the answer is empty",
            Self::CutShort => "the answer was cut off by the limit of tokens",
            Self::Refusal => "the answer declines to answer",
            Self::Echo => "the answer only repeats the task, or what a record was asked",
            Self::WrongFormat => "the answer has not the form that was asked for",
            Self::Uncited => "the answer cites none of the records that it was given",
            Self::Unsupported => {
                "the answer claims what stands neither in the task nor in a record that it cites"
            }
            Self::Uncheckable => "nothing in the answer can be checked",
        }
    }
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// Why it does not pass, in the order of the rules; empty for one that does.
    pub faults: Vec<Fault>,
    /// It is there, whole, an answer, and of the form that was asked for.
    pub complete: bool,
    /// What it claims stands where it was told to look.
    pub grounded: bool,
    /// The numbers of the records that it cites, in order, each once.
    pub cited: Vec<u64>,
    /// How many of its claims hold.
    pub supported: u64,
    /// Those that do not, in the order of the answer.
    pub unsupported: Vec<Claim>,
}

impl Judgement {
    /// Whether the answer may be shown as a good one.
    pub fn passes(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Judges `answer`.
pub fn judge(answer: &str, asked: &Asked<'_>) -> Judgement {
    let mut faults = Vec::new();
    let mut fault = |is_there: bool, fault| {
        if is_there {
            faults.push(fault);
        }
    };
    let found = claims::find(answer, asked.format);
    let mut cited: Vec<u64> = found.cited.iter().map(|(number, _)| *number).collect();
    cited.sort_unstable();
    cited.dedup();
    let given = |number: u64| {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        asked.records.get(at)
    };
    let is_cited = cited.iter().any(|number| given(*number).is_some());
    let bare = found.without_citations(answer);
    let is_empty = !bare.contains(char::is_alphanumeric);
    let questions = || {
        let cited = cited.iter().filter_map(|number| given(*number));
        let asked_of = asked.records.iter().map(|record| record.question);
        Questions::new(asked.task, asked_of, cited.map(|record| (record.question, record.text)))
    };
    fault(is_empty, Fault::Empty);
    fault(asked.cut_short, Fault::CutShort);
    fault(form::declines(answer), Fault::Refusal);
    fault(!is_empty && questions().hold_all_of(&bare, is_cited), Fault::Echo);
    fault(!is_empty && !asked.format.holds(answer), Fault::WrongFormat);
    let complete = faults.is_empty();

    let texts: Vec<&str> = std::iter::once(asked.task)
        .chain(cited.iter().filter_map(|number| given(*number)).map(|record| record.text))
        .collect();
    let sources = Sources::new(&texts);
    let (mut supported, mut unsupported) = (0, Vec::new());
    // A record that was not given supports nothing, and naming it is a claim of its own.
    for (number, place) in &found.cited {
        if given(*number).is_none() {
            let (start, end) = *place;
            let text = answer[start..end].to_owned();
            unsupported.push(Claim { kind: ClaimKind::Citation, text, start, end });
        }
    }
    for claim in found.claims {
        if sources.hold(&claim) {
            supported += 1;
        } else {
            unsupported.push(claim);
        }
    }
    unsupported.sort_by_key(|claim| (claim.start, claim.end));
    let before = faults.len();
    if !is_empty {
        if !asked.records.is_empty() && !is_cited {
            faults.push(Fault::Uncited);
        }
        if !unsupported.is_empty() {
            faults.push(Fault::Unsupported);
        } else if supported == 0 && !is_cited {
            faults.push(Fault::Uncheckable);
        }
    }
    let grounded = !is_empty && faults.len() == before;
    cited.retain(|number| given(*number).is_some());
    Judgement { faults, complete, grounded, cited, supported, unsupported }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "Why does `merge_stock` fail since 2026-01-07?";
    const RECORDS: [&str; 2] = [
        "Lookup failed\n\ncustomer_key is compared as text: '9' sorts after '10'. Cast customer_key to BIGINT in src/load.sql.",
        "Slow query\n\nThe index on hash_key is never used; 4,750,311 rows are read. The verdict was accepted.",
    ];

    fn asked(records: &[&'static str]) -> With {
        let question = |text: &'static str| text.split("\n\n").next().unwrap_or_default();
        With { records: records.iter().map(|text| Given { question: question(text), text }).collect() }
    }

    struct With {
        records: Vec<Given<'static>>,
    }

    impl With {
        #[track_caller]
        fn check(&self, answer: &str, faults: &[Fault]) -> Judgement {
            let asked = Asked { task: TASK, format: Format::Text, records: &self.records, cut_short: false };
            let judged = judge(answer, &asked);
            assert_eq!(judged.faults, faults, "{answer}: {judged:?}");
            assert_eq!(judged.passes(), judged.complete && judged.grounded);
            judged
        }
    }

    #[test]
    fn what_stands_in_a_cited_record_is_grounded() {
        let with = asked(&RECORDS);
        let judged = with.check("customer_key is compared as text, so '9' sorts after '10' [1].", &[]);
        assert_eq!((judged.cited, judged.supported), (vec![1], 3));
        with.check("4750311 rows are read [2], and `merge_stock` waits.", &[]);
        with.check("Cast it in src/load.sql to BIGINT [1][2]. It was accepted.", &[]);
    }

    #[test]
    fn a_claim_that_stands_nowhere_is_named_with_its_place() {
        let answer = "The index on hash_key is dropped by ETL-77 after 12 minutes [1].";
        let judged = asked(&RECORDS).check(answer, &[Fault::Unsupported]);
        let named: Vec<_> =
            judged.unsupported.iter().map(|claim| (claim.kind, &answer[claim.start..claim.end])).collect();
        // `hash_key` stands in record 2, which is not cited.
        let expect = [
            (ClaimKind::Identifier, "hash_key"),
            (ClaimKind::Identifier, "ETL-77"),
            (ClaimKind::Number, "12"),
        ];
        assert_eq!(named, expect);
    }

    #[test]
    fn records_must_be_cited_and_citations_must_exist() {
        let with = asked(&RECORDS);
        with.check("merge_stock is slow.", &[Fault::Uncited]);
        let judged = with.check("merge_stock is slow [3].", &[Fault::Uncited, Fault::Unsupported]);
        assert_eq!(judged.unsupported[0].kind, ClaimKind::Citation);
        assert!(judged.cited.is_empty());
    }

    #[test]
    fn without_records_the_task_alone_supports() {
        let without = asked(&[]);
        without.check("Look at merge_stock first.", &[]);
        without.check("Restart it.", &[Fault::Uncheckable]);
        without.check("Drop the index on hash_key.", &[Fault::Unsupported]);
        without.check(TASK, &[Fault::Echo]);
    }

    #[test]
    fn a_question_with_a_citation_is_no_answer() {
        let with = asked(&RECORDS);
        with.check("Why does `merge_stock` fail since 2026-01-07? [1]", &[Fault::Echo]);
        with.check("Lookup failed [1].", &[Fault::Echo]);
        with.check("Record [2]: \"Slow query\" [2]", &[Fault::Echo]);
        with.check("Lookup failed: customer_key is compared as text [1].", &[]);
        with.check("Why does `merge_stock` fail since 2026-01-07? Cast customer_key to BIGINT [1].", &[]);
        // What one record was asked is said again, and another is named for it.
        with.check("Slow query [1]", &[Fault::Echo]);
    }

    #[test]
    fn no_answer_is_not_a_good_one() {
        let with = asked(&RECORDS);
        with.check(" \n", &[Fault::Empty]);
        with.check("[1] … [2]", &[Fault::Empty]);
        with.check("I'm sorry, but I cannot help with customer_key [1].", &[Fault::Refusal]);
        let asked = Asked { task: TASK, format: Format::Json, records: &with.records, cut_short: true };
        let judged = judge("customer_key [1]", &asked);
        assert_eq!(judged.faults, [Fault::CutShort, Fault::WrongFormat]);
        assert!(judged.grounded && !judged.complete);
    }
}
