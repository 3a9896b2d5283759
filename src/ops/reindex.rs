//! `reindex`: a lost or damaged `store.redb` made again from `packs/` and `ops/`, refs included.
//!
//! Rests on the store's reading of its operation log. Invariants: what was found is told before anything is written; an
//! old file is moved aside and never removed; whether the last operation was finished is for a person to say, unless a
//! sound catalogue says it.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use serde::Serialize;

use crate::object::ObjectId;
use crate::ops::ErrorKind;
use crate::ops::OpError;
use crate::ops::open::site;
use crate::store::CatalogueState;
use crate::store::Operation;
use crate::store::RefChange;
use crate::store::ReindexPlan;
use crate::store::StoreError;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// `missing`, `damaged`, `older` than the log beside it, or `sound`.
    pub catalogue: &'static str,
    /// What is wrong with it; null where nothing is.
    pub detail: Option<String>,
    /// Whether there is anything to rebuild.
    pub is_needed: bool,
    /// Operations in the log, whose chain is whole.
    pub operations: u64,
    /// When the first and the last of them were made, RFC 3339 in UTC.
    pub span: Option<(String, String)>,
    /// A last file of the log that a crash has torn; it is not applied.
    pub torn: Option<PathBuf>,
    /// The last operation, of which nothing says whether it was finished; null where that is known.
    pub unconfirmed: Option<Unconfirmed>,
    /// The refs, with all operations applied.
    pub refs: BTreeMap<String, ObjectId>,
    /// HEAD: `ref: heads/main`, or a commit.
    pub head: String,
    /// Packs that the log names.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Those among them whose file is missing or damaged.
    pub missing_packs: Vec<ObjectId>,
    /// Files in `packs/` that no operation names.
    pub unnamed_packs: Vec<PathBuf>,
}

/// An operation that may or may not have been finished.
#[derive(Clone, Debug, Serialize)]
pub struct Unconfirmed {
    /// Its number.
    pub number: u64,
    /// What it did.
    pub operation: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Its message.
    pub message: Option<String>,
    /// The refs that it moved.
    pub ref_changes: Vec<RefChange>,
    /// How many packs it brought.
    pub packs: u64,
}

/// A rebuild that waits for a decision.
#[derive(Debug)]
pub struct Reindex {
    plan: ReindexPlan,
    /// What was found.
    pub findings: Findings,
}

/// What was rebuilt.
#[derive(Clone, Debug, Serialize)]
pub struct ReindexReport {
    /// What was found.
    #[serde(flatten)]
    pub findings: Findings,
    /// What was done; null where nothing was to be done.
    pub done: Option<Rebuild>,
}

/// The outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuild {
    /// Operations that were applied.
    pub operations: u64,
    /// How many refs there are now.
    pub refs: u64,
    /// HEAD now.
    pub head: String,
    /// Where the old file is; null where there was none.
    pub moved_aside: Option<PathBuf>,
}

/// Looks at what there is. Writes nothing.
///
/// # Errors
/// No repository; a log that is damaged before its end; a catalogue that knows more than the log; a store of a later
/// format.
pub fn survey(start: &Path) -> Result<Reindex, OpError> {
    let dot = site(start)?.dot();
    let plan = ReindexPlan::read(&dot).map_err(|error| log_error(error, &dot))?;
    let state = plan.catalogue_state()?;
    let logged = plan.operations.len() as u64;
    if logged == 0 && !matches!(state, CatalogueState::Sound(_)) {
        return Err(nothing_to_rebuild_from(&dot, &plan, &state));
    }
    if let CatalogueState::Sound(confirmed) = state
        && confirmed > logged
    {
        return Err(OpError::new(
            ErrorKind::Damaged,
            format!(
                "store.redb is sound and confirms {confirmed} operations, but ops/ holds {logged}: \
                 files of the log are missing or damaged"
            ),
            "bring ops/ back from a backup; the catalogue needs no rebuild",
        ));
    }
    let (catalogue, detail, is_needed) = match &state {
        CatalogueState::Missing => ("missing", None, true),
        CatalogueState::Damaged(detail) => ("damaged", Some(detail.clone()), true),
        CatalogueState::Sound(confirmed) if confirmed + 1 < logged => {
            ("older", Some(format!("it confirms {confirmed} of {logged} operations")), true)
        }
        CatalogueState::Sound(_) => ("sound", None, false),
    };
    let last = plan.operations.last().map(|logged| &logged.operation);
    let outcome = plan.outcome(true);
    let findings = Findings {
        catalogue,
        detail,
        is_needed,
        operations: logged,
        span: plan
            .operations
            .first()
            .zip(last)
            .map(|(first, last)| (first.operation.at.clone(), last.at.clone())),
        torn: plan.torn.as_ref().map(|(path, _)| path.clone()),
        // A crash tears a file that was never confirmed; the one before it was, or there would be no later one.
        unconfirmed: last
            .filter(|_| is_needed && plan.torn.is_none() && !plan.last_is_confirmed)
            .map(unconfirmed),
        refs: outcome.refs,
        head: outcome.head.to_string(),
        packs: outcome.packs,
        pack_bytes: outcome.pack_bytes,
        missing_packs: plan.missing_packs.clone(),
        unnamed_packs: plan.unnamed_packs.clone(),
    };
    Ok(Reindex { plan, findings })
}

fn unconfirmed(last: &Operation) -> Unconfirmed {
    Unconfirmed {
        number: last.number,
        operation: last.operation.clone(),
        at: last.at.clone(),
        message: last.message.clone(),
        ref_changes: last.ref_changes.clone(),
        packs: last.packs.len() as u64,
    }
}

fn log_error(error: StoreError, dot: &Path) -> OpError {
    match error {
        StoreError::Damaged { .. } => OpError::new(
            ErrorKind::Damaged,
            error.to_string(),
            format!(
                "bring the file back from a backup or another copy of {}: operations behind it need it",
                dot.display()
            ),
        ),
        other => other.into(),
    }
}

fn nothing_to_rebuild_from(dot: &Path, plan: &ReindexPlan, state: &CatalogueState) -> OpError {
    if *state == CatalogueState::Missing && plan.unnamed_packs.is_empty() {
        return StoreError::NotAStore { dir: dot.to_owned() }.into();
    }
    OpError::new(
        ErrorKind::Damaged,
        format!(
            "{} holds no operation that can be read, so nothing says what the refs were; {} packs lie in packs/",
            dot.join("ops").display(),
            plan.unnamed_packs.len()
        ),
        "bring ops/ or store.redb back from a backup; the packs themselves can be read without either",
    )
}

impl Reindex {
    /// Rebuilds, with the last operation or without it.
    ///
    /// # Errors
    /// Writers that do not end; a full disk.
    pub fn rebuild(self, apply_last: bool) -> Result<ReindexReport, OpError> {
        let Self { plan, findings } = self;
        let (store, moved_aside) = plan.write(apply_last)?;
        let done = Rebuild {
            operations: store.last_operation().map_or(0, |(number, _)| number),
            refs: store.refs().len() as u64,
            head: store.head().to_string(),
            moved_aside,
        };
        Ok(ReindexReport { findings, done: Some(done) })
    }
}
