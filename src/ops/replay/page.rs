//! `phase7-replay-report.md`: what was asked, what was answered, and what it is worth.
//!
//! Rests on the replays of one commit and on the receipts of those before it. Invariant: every figure in it stands in a record.

use std::fmt::Write as _;

use crate::object::CommitId;
use crate::ops::error::OpError;
use crate::ops::replay::keep::Kept;
use crate::ops::replay::{Arm, Rate, SearchedSnapshot};
use crate::ops::report::count;
use crate::ops::report::text::escape;
use crate::record::StageReceipt;
use crate::repo::{Commit, REPLAY, Repo};

/// The report's name below the folder of reports.
pub const PAGE: &str = "phase7-replay-report.md";
/// So many earlier replays are listed.
const EARLIER_MAX: usize = 20;
/// So many claims of one answer are named.
const CLAIMS_MAX: usize = 10;

/// The report of `commit`, whose parent is `parent`.
pub(super) fn markdown(
    repo: &Repo,
    commit: &Commit,
    parent: CommitId,
    kept: &[Kept],
    rates: &[Rate],
    snapshot: Option<&SearchedSnapshot>,
) -> Result<String, OpError> {
    let mut out = format!("# Phase 7: replay\n\nRun `{}`, {}.", commit.run_id, commit.committed_at);
    match snapshot {
        Some(snapshot) => {
            let (name, root) = (escape(&snapshot.name), snapshot.root.object());
            let id = snapshot.commit_id.object().short(12);
            writeln!(out, " Searched: `{name}`, commit `{id}`, snapshot `{root}`.\n").ok();
        }
        None => out.push_str(" Nothing was searched.\n\n"),
    }
    out.push_str("| asked | passed | of |\n|---|---:|---:|\n");
    for rate in rates {
        writeln!(out, "| {} | {} | {} |", with(rate.arm), count(rate.passed), count(rate.of)).ok();
    }
    out.push_str("\nAn answer passes when it is whole, is an answer, has the form that was asked for, and claims nothing that stands \
                  neither in its task nor in a record that it cites. No model judges.\n\n## Answers\n\n");
    out.push_str("| replay | task | asked | by | verdict | ms | prompt | answer | why not |\n|---|---|---|---|---|---:|---:|---:|---|\n");
    let tokens = |tokens: Option<u64>| tokens.map_or_else(|| "·".to_owned(), count);
    for Kept { replayed, .. } in kept {
        let Some(last) = replayed.attempts.last() else { continue };
        let why: Vec<&str> = replayed.judgement.faults.iter().map(|fault| fault.as_str()).collect();
        writeln!(
            out,
            "| `{}` | {} | {} | {} ({}) | {} | {} | {} | {} | {} |",
            replayed.replay_id,
            escape(&super::cut(replayed.task.lines().next().unwrap_or_default(), 80)),
            with(replayed.arm),
            escape(&last.model),
            last.role.as_str(),
            replayed.verdict,
            count(last.latency_ms),
            tokens(last.prompt_tokens),
            tokens(last.completion_tokens),
            why.join(", ")
        )
        .ok();
    }
    unsupported(&mut out, kept);
    earlier(&mut out, repo, parent)?;
    Ok(out)
}

const fn with(arm: Arm) -> &'static str {
    match arm {
        Arm::Retrieval => "with records",
        Arm::Baseline => "without",
    }
}

fn unsupported(out: &mut String, kept: &[Kept]) {
    let with_claims = kept.iter().filter(|kept| !kept.replayed.judgement.unsupported.is_empty());
    for (n, Kept { replayed, .. }) in with_claims.enumerate() {
        if n == 0 {
            out.push_str("\n## Claims that nothing supports\n\n");
        }
        let claims = &replayed.judgement.unsupported;
        writeln!(out, "- `{}`, {} of them:", replayed.replay_id, count(claims.len() as u64)).ok();
        for claim in claims.iter().take(CLAIMS_MAX) {
            let text = escape(&super::cut(&claim.text, 80));
            writeln!(out, "  - {} {text}, bytes {} to {}", claim.kind.as_str(), claim.start, claim.end).ok();
        }
    }
}

/// The replays before this one on the branch.
fn earlier(out: &mut String, repo: &Repo, parent: CommitId) -> Result<(), OpError> {
    let mut listed = 0;
    for found in repo.ancestors([parent]) {
        let (_, commit) = found?;
        if commit.operation != REPLAY {
            continue;
        }
        let Some(receipt) = repo.receipt(&commit, REPLAY)? else { continue };
        if listed == 0 {
            out.push_str("\n## Earlier replays\n\n| run | when | passed | of |\n|---|---|---:|---:|\n");
        }
        let (passed, of) = passed(&receipt);
        writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            commit.run_id,
            commit.committed_at,
            count(passed),
            count(of)
        )
        .ok();
        listed += 1;
        if listed == EARLIER_MAX {
            break;
        }
    }
    Ok(())
}

/// How many replays of a receipt passed: of an escalated one the last answer counts.
fn passed(receipt: &StageReceipt) -> (u64, u64) {
    let mut passed = 0;
    for (n, exchange) in receipt.exchanges.iter().enumerate() {
        let next = receipt.exchanges.get(n + 1);
        let is_last = next.is_none_or(|next| next.replay_id != exchange.replay_id);
        passed += u64::from(is_last && exchange.complete && exchange.grounded);
    }
    (passed, receipt.counts.rows_in)
}
