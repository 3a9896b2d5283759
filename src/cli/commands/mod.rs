//! The verbs: one file each, an argument struct whose doc comment is the help, and a function that calls one operation.
//!
//! Rests on `ops`. Invariant: a file here parses, calls, renders; it decides nothing.

use clap::{Args, Subcommand};

use crate::cli::error::CommandError;
use crate::cli::{Context, Outcome};

mod acceptance;
mod audit_full;
mod audit_pr;
mod bisect;
mod checkout;
mod fetch;
mod gc;
mod health;
mod recon;
mod diff;
mod init;
mod log;
mod merge;
mod receipts;
mod reindex;
mod remote;
mod replay;
mod refs;
mod run;
mod sample;
mod schema;
mod serve;
mod search;
mod show;
mod stats;
mod sources;
mod status;
mod trace;
mod verify;
mod whatif;

/// The verbs, by the names under which they are called.
macro_rules! verbs {
    ($($name:literal: $variant:ident($args:ty),)*) => {
        /// The verbs.
        #[derive(Clone, Debug, Subcommand)]
        pub enum Command {
            $(#[command(name = $name)] $variant($args),)*
        }

        /// The definition of the verb `name` alone; `None` where there is none of that name.
        pub(super) fn definition(name: &str) -> Option<clap::Command> {
            match name {
                $($name => Some(<$args as Args>::augment_args(clap::Command::new($name))),)*
                _ => None,
            }
        }
    };
}

verbs! {
    "init": Init(init::InitArgs),
    "status": Status(status::StatusArgs),
    "run-all": RunAll(run::RunAllArgs),
    "ingest": Ingest(run::IngestArgs),
    "build-evidence": BuildEvidence(run::BuildEvidenceArgs),
    "score": Score(run::ScoreArgs),
    "export-rag": ExportRag(run::ExportRagArgs),
    "export-sft": ExportSft(run::ExportSftArgs),
    "export-preference": ExportPreference(run::ExportPreferenceArgs),
    "export-all": ExportAll(run::ExportAllArgs),
    "checkout": Checkout(checkout::CheckoutArgs),
    "recon": Recon(recon::ReconArgs),
    "health": Health(health::HealthArgs),
    "sources": Sources(sources::SourcesArgs),
    "log": Log(log::LogArgs),
    "bisect": Bisect(bisect::BisectArgs),
    "show": Show(show::ShowArgs),
    "diff": Diff(diff::DiffArgs),
    "whatif": Whatif(whatif::WhatifArgs),
    "receipts": Receipts(receipts::ReceiptsArgs),
    "ls": Ls(show::LsArgs),
    "cat": Cat(show::CatArgs),
    "tag": Tag(refs::TagArgs),
    "branch": Branch(refs::BranchArgs),
    "reset": Reset(refs::ResetArgs),
    "reflog": Reflog(log::ReflogArgs),
    "undo": Undo(refs::UndoArgs),
    "merge": Merge(merge::MergeArgs),
    "clone": Clone(remote::CloneArgs),
    "remote": Remote(remote::RemoteArgs),
    "push": Push(remote::PushArgs),
    "pull": Pull(remote::PullArgs),
    "fetch": Fetch(fetch::FetchArgs),
    "search": Search(search::SearchArgs),
    "trace": Trace(trace::TraceArgs),
    "verify": Verify(verify::VerifyArgs),
    "acceptance": Acceptance(acceptance::AcceptanceArgs),
    "audit-full": AuditFull(audit_full::AuditFullArgs),
    "replay": Replay(replay::ReplayArgs),
    "audit-pr": AuditPr(audit_pr::AuditPrArgs),
    "stats": Stats(stats::StatsArgs),
    "serve": Serve(serve::ServeArgs),
    "gc": Gc(gc::GcArgs),
    "reindex": Reindex(reindex::ReindexArgs),
    "schema": Schema(schema::SchemaArgs),
    "sample": Sample(sample::SampleArgs),
}

/// Runs one verb.
pub fn run(context: &Context, command: Command) -> Result<Outcome, CommandError> {
    match command {
        Command::Init(args) => init::run(context, args),
        Command::Status(args) => status::run(context, &args),
        Command::RunAll(args) => run::run_all(context, args),
        Command::Ingest(args) => run::ingest(context, args),
        Command::BuildEvidence(args) => run::build_evidence(context, args),
        Command::Score(args) => run::score(context, args),
        Command::ExportRag(args) => run::export_rag(context, args),
        Command::ExportSft(args) => run::export_sft(context, args),
        Command::ExportPreference(args) => run::export_preference(context, args),
        Command::ExportAll(args) => run::export_all(context, args),
        Command::Sample(args) => sample::run(context, &args),
        Command::Recon(args) => recon::run(context, &args),
        Command::Health(args) => health::run(context, &args),
        Command::Sources(args) => sources::run(context, args),
        Command::Checkout(args) => checkout::run(context, args),
        Command::Bisect(args) => bisect::run(context, args),
        Command::Log(args) => log::run_log(context, &args),
        Command::Show(args) => show::run_show(context, &args),
        Command::Diff(args) => diff::run(context, &args),
        Command::Whatif(args) => whatif::run(context, &args),
        Command::Receipts(args) => receipts::run(context, &args),
        Command::Ls(args) => show::run_ls(context, &args),
        Command::Cat(args) => show::run_cat(context, &args),
        Command::Tag(args) => refs::run_tag(context, args),
        Command::Branch(args) => refs::run_branch(context, args),
        Command::Reset(args) => refs::run_reset(context, &args),
        Command::Reflog(args) => log::run_reflog(context, &args),
        Command::Undo(args) => refs::run_undo(context, &args),
        Command::Merge(args) => merge::run(context, args),
        Command::Clone(args) => remote::run_clone(context, args),
        Command::Remote(args) => remote::run_remote(context, args),
        Command::Push(args) => remote::run_push(context, args),
        Command::Pull(args) => remote::run_pull(context, args),
        Command::Fetch(args) => fetch::run(context, args),
        Command::Search(args) => search::run(context, &args),
        Command::Trace(args) => trace::run(context, &args),
        Command::Verify(args) => verify::run(context, &args),
        Command::Acceptance(args) => acceptance::run(context, &args),
        Command::AuditFull(args) => audit_full::run(context, args),
        Command::Replay(args) => replay::run(context, args),
        Command::AuditPr(args) => audit_pr::run(context, args),
        Command::Stats(args) => stats::run(context, &args),
        Command::Serve(args) => serve::run(context, args),
        Command::Gc(args) => gc::run(context, &args),
        Command::Reindex(args) => reindex::run(context, &args),
        Command::Schema(args) => schema::run(context, &args),
    }
}
