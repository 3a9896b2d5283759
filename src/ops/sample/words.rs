//! The vocabulary of the sample: names of things on a data platform, and sentences about them.
//!
//! Rests on nothing. A sentence holds slots in braces, filled by [`super::text`]. Invariant: no name of a person, a
//! company or a host, and nothing that looks like a credential; common words stand first, because positions are drawn
//! as ranks.

/// Database schemas.
pub const SCHEMAS: &[&str] = &[
    "sales",
    "events",
    "billing",
    "inventory",
    "ledger",
    "crm",
    "catalog",
    "shipping",
    "support",
    "telemetry",
    "finance",
    "identity",
    "marketing",
    "pricing",
    "returns",
    "search",
    "fraud",
    "planning",
];

/// What tables hold.
pub const TABLES: &[&str] = &[
    "orders",
    "order_items",
    "customers",
    "invoices",
    "payments",
    "sessions",
    "page_views",
    "refunds",
    "shipments",
    "stock_levels",
    "price_changes",
    "tickets",
    "subscriptions",
    "devices",
    "alerts",
    "carts",
    "coupons",
    "exchange_rates",
    "campaigns",
    "suppliers",
    "warehouses",
    "click_streams",
    "credit_notes",
    "usage_records",
    "feature_flags",
    "delivery_slots",
    "loyalty_points",
    "tax_rules",
    "bank_lines",
    "survey_answers",
    "addresses",
    "contracts",
    "meter_readings",
    "route_plans",
    "audit_entries",
    "churn_scores",
];

/// What tables are.
pub const SUFFIXES: &[&str] = &[
    "",
    "_daily",
    "_raw",
    "_staging",
    "_v2",
    "_hourly",
    "_snapshot",
    "_fact",
    "_dim",
    "_delta",
    "_history",
    "_agg",
];

/// Columns.
pub const COLUMNS: &[&str] = &[
    "customer_key",
    "order_id",
    "amount_cents",
    "updated_at",
    "event_time",
    "currency",
    "region_code",
    "status",
    "valid_from",
    "valid_to",
    "source_system",
    "quantity",
    "unit_price",
    "session_id",
    "device_id",
    "batch_id",
    "ingested_at",
    "tax_rate",
    "country",
    "channel",
    "discount_pct",
    "is_deleted",
    "row_version",
    "parent_id",
    "tenant",
    "sku",
    "net_total",
    "closed_at",
    "priority",
    "hash_key",
];

/// What jobs and functions do.
pub const VERBS: &[&str] = &[
    "merge",
    "load",
    "compact",
    "rebuild",
    "backfill",
    "sync",
    "dedupe",
    "export",
    "snapshot",
    "validate",
    "publish",
    "repartition",
    "expire",
    "reconcile",
    "hydrate",
    "flush",
];

/// What functions do it to.
pub const OBJECTS: &[&str] = &[
    "partitions",
    "batch",
    "manifest",
    "checkpoint",
    "schema",
    "offsets",
    "rows",
    "watermark",
    "segments",
    "cursor",
    "lease",
    "window",
    "statistics",
    "tombstones",
    "page",
    "metadata",
];

/// Services.
pub const SERVICES: &[&str] = &[
    "gateway",
    "scheduler",
    "ingest-worker",
    "query-planner",
    "catalog",
    "compactor",
    "stream-reader",
    "lineage",
    "quality-gate",
    "export-worker",
    "metrics",
    "coordinator",
    "cache",
    "replicator",
];

/// Folders of a code base.
pub const FOLDERS: &[&str] = &[
    "ingest/src",
    "planner/src",
    "catalog/src",
    "etl/jobs",
    "storage/src",
    "scheduler/src",
    "warehouse/models",
    "gateway/src",
    "quality/checks",
    "stream/src",
    "export/src",
    "lineage/src",
];

/// Files in them.
pub const FILES: &[&str] = &[
    "merge.rs",
    "reader.rs",
    "retry.rs",
    "load_facts.sql",
    "partition.rs",
    "schema.py",
    "writer.rs",
    "checkpoint.rs",
    "dedupe.sql",
    "window.rs",
    "backfill.py",
    "manifest.rs",
    "limits.rs",
    "dim_customer.sql",
    "router.rs",
    "watermark.rs",
    "quality.py",
    "stg_orders.sql",
    "lease.rs",
    "codec.rs",
];

/// Parts of a data platform in which something goes wrong.
pub const STAGES: &[&str] =
    &["merge", "scan", "shuffle", "commit", "fetch", "plan", "write", "verify", "spill", "ack"];

/// What is wrong; the remedy stands at the same place in [`FIX`].
pub const FOUND: &[&str] = &[
    "The merge into {t} matches on {c} alone, so two batches that carry the same key for different days overwrite each other.",
    "`{f}` in {p} reads the watermark before the transaction begins and commits after it ends; a crash in between replays {k} rows.",
    "The left join against {x} turns into an inner join, because the filter on {y} stands in WHERE instead of ON.",
    "{c} is compared as text: '9' sorts after '10', and {k} rows of {t} land in the wrong partition.",
    "Line {l} of {p} swallows the error of `{f}` and returns an empty list, which the caller takes for a finished batch.",
    "The retry in {s} has no limit and no jitter; after a restart of the catalog all {n} workers come back in the same second.",
    "The window over {t} is ordered by {c} only. Ties are broken by arrival, and the result changes from run to run.",
    "NULL in {c} drops out of NOT IN, so `{j}` silently keeps {k} rows that it should expire.",
    "The new index on {c} is never used: the planner casts the column to text, as the plan of line {l} shows.",
    "`{f}` holds the lease while it waits for {s}; under load the lease expires and a second worker starts the same batch.",
    "The job converts {c} to local time before it truncates to a day, so the hour of the clock change is counted twice.",
    "{t} is partitioned by {y}, yet the query filters on {c}: every run scans {n} partitions instead of one.",
    "The aggregate sums net_total over a join with {x} that fans out, and totals are too high by {v} %.",
    "Deletes never reach {t}: the change feed marks them with is_deleted, and the merge has no branch for that.",
    "The schema change drops {c} in the same release in which {s} still writes it.",
    "`{f}` buffers the whole page list in memory; at {k} pages the worker is stopped by the memory limit.",
    "The test in {p} compares against the row count that the code under test has just written, so it cannot fail.",
    "Offsets are acknowledged before the rows of {t} are durable; {s} loses what is in flight when it stops.",
    "The currency conversion takes the rate of the day of loading and not of {y}, which shifts margins by {v} %.",
    "Two jobs, `{j}` and the nightly compaction, rewrite the same files of {t} without a lock.",
];

/// Why it is wrong.
pub const CAUSE: &[&str] = &[
    "It started with the change that moved {s} to batches of {n}.",
    "The condition was copied from {x}, where {y} is unique; here it is not.",
    "Nothing in the tests has more than one partition, so this path never ran.",
    "The default of the client library changed from {n} to {l} and nobody sets it.",
    "The column was NOT NULL when the query was written and became nullable with revision {h}.",
    "Clocks of the workers differ by up to {d}, and the code trusts them.",
    "The comment above `{f}` still describes the behaviour before {h}.",
    "Late rows arrive up to {d} after the watermark, more than the allowed lateness.",
    "The planner has no statistics for {t} since the last rebuild.",
    "A feature flag keeps the old path alive for {v} % of the tenants.",
    "The upstream export of {x} repeats its last page when the page is exactly full.",
    "The two sides round at different steps: one per row, the other per batch.",
];

/// What to do about it: each remedy stands at the place of its finding in [`FOUND`].
pub const FIX: &[&str] = &[
    "Match on ({c}, {y}) and add a check that no key occurs twice within a batch.",
    "Move the read of the watermark into the transaction and store it with the rows it belongs to.",
    "Put the condition on {y} into the ON clause; `SELECT count(*) FROM {t}` should then stay at {k}.",
    "Cast {c} to BIGINT at the edge, in staging, and refuse the row when that fails.",
    "Return the error of `{f}`; let the caller decide, and count refusals in the receipt.",
    "Limit the retry to {n} attempts with full jitter, and give up with a message that names {s}.",
    "Add {y} as the second sort key, so that the order is total.",
    "Write NOT EXISTS instead of NOT IN, and cover the NULL case with a test of its own.",
    "Drop the cast, or build the index on the expression; the plan then shows an index scan in {d}.",
    "Renew the lease from `{f}` every {n} seconds, and fence writes by its number.",
    "Keep times in UTC to the last step and truncate there.",
    "Repartition {t} by {c}, or keep a small map from {y} to partitions.",
    "Aggregate {x} before the join, and assert that the row count of {t} does not change.",
    "Add WHEN MATCHED AND is_deleted THEN DELETE, then replay the feed from {h}.",
    "Split this in two releases: first stop writing {c}, then drop it.",
    "Stream the pages through `{f}` with a bound of {n}, and release each after its commit.",
    "Take the rate that was valid on {y}, and refuse days without one instead of falling back to the latest.",
    "Acknowledge after the commit; repeated rows are harmless, since the merge is idempotent on {c}.",
    "Take the table's lock in `{j}` and let the compaction skip files that are younger than {d}.",
    "Compare with a fixed expectation from the fixture and let the test break once on purpose.",
];

/// What shows that it is right.
pub const PROOF: &[&str] = &[
    "Run against the snapshot {h}: {k} rows before and after, no difference in any column.",
    "The test {u} fails without the change and passes with it.",
    "A replay of {d} of traffic gives the same checksum twice.",
    "EXPLAIN shows {n} partitions instead of {l}; the query takes {d}.",
    "I compared both results with EXCEPT in both directions: empty.",
    "The counters agree: {k} rows read, every one of them written or refused.",
    "Lint and types are clean; {n} tests of the module pass.",
    "On staging the backlog of {s} went from {k} to zero within {d}.",
    "A kill in the middle of `{f}`, repeated {n} times, left no half-written batch.",
    "The dashboard of {s} shows {v} % fewer retries since {h}.",
];

/// Answers that say nothing.
pub const VAGUE: &[&str] = &[
    "Looks fine overall, I would merge {p} as it is.",
    "The change in {p} seems reasonable and follows the usual conventions.",
    "There may be some issues with {t}, please have a look at the logs of {s}.",
    "I could not open {p}, but the function `{f}` probably works as expected.",
    "Consider adding more tests and better error handling around `{f}`.",
    "It should be enough to restart {s} and run `{j}` again.",
    "This is a known problem and will be solved by the next version of {s}.",
    "All {n} files were reviewed and no problems of any kind were found in {t}.",
];

/// Answers that are wrong.
pub const WRONG: &[&str] = &[
    "The simplest way is to delete the rows of {t} where {c} is NULL before each run.",
    "I raised the timeout of {s} to {n} hours, so the error does not show any more.",
    "I removed the failing assertion in {p}; the remaining {n} tests pass.",
    "Use SELECT DISTINCT over {t}: that hides the repeated keys of {x}.",
    "`{f}` can ignore the error, since the next run of `{j}` will write the rows again.",
    "Disable the foreign key on {c} for good; it only slows down the load.",
    "Casting {c} to FLOAT makes the comparison pass and loses nothing that matters.",
    "I changed the expected value in the test from {k} to what the query returns now.",
];

/// Requests to a reviewer of code.
pub const ASK_REVIEW: &[&str] = &[
    "Review pull request {n}{l}: it changes `{f}` in {p}. Check the claim that {t} is loaded exactly once.",
    "Audit the diff of {p} against its description: \"{j} no longer repeats rows for {c}\".",
    "Does the change to {p} do what it says, namely make `{f}` safe to run twice? Name the line if it does not.",
    "Review the SQL in {p}. It should return one row for each {c} of {t}, also for {y} that is NULL.",
    "Check this refactoring of `{f}` for changes in behaviour; {s} depends on the order of its results.",
    "The author says that {p} cuts the run of `{j}` to {d}. Verify the claim and look for what it costs.",
];

/// Questions about a story.
pub const ASK_STORY: &[&str] = &[
    "Is the story \"{t} is current within {d}\" done? Look at {p} and the acceptance criteria on {c}.",
    "Review the increment for `{j}`: which criteria are met, which are not, and what is missing for release?",
    "The team wants to close \"{s} survives a restart of the catalog\". Judge from {p} whether it may.",
    "Assess story {u}: rows of {t} with an unknown {c} must be kept and reported, never dropped.",
    "What is the risk of shipping the change to `{f}` at the end of this sprint, and how would we notice?",
];

/// Orders to a program that edits code.
pub const ASK_EDIT: &[&str] = &[
    "In {p}, make `{f}` return an error instead of an empty list when {s} does not answer.",
    "Fix the type of {c} in the model of {t}; staging must refuse what is no integer.",
    "Replace the nested loop in `{f}` by a merge over {c}; results must stay the same, row for row.",
    "Add the missing index on {c} to {t} and use it in {p}.",
    "Make `{j}` idempotent: a second run over the same batch of {t} must change nothing.",
    "Bound the memory of `{f}` in {p} to {n} pages and cover the limit with a test.",
];

/// Questions to an assistant.
pub const ASK_HELP: &[&str] = &[
    "Why does `{j}` produce {k} rows more than {t} holds since yesterday?",
    "The load of {t} has been running for {d} instead of a few minutes. Where do I look first?",
    "Write the query that shows for each {c} the latest row of {t}, and explain what happens on ties.",
    "{s} logs \"lease lost\" about {n} times an hour. What does that mean and is data at risk?",
    "How do I backfill {t} for the days before {h} without touching what is there?",
    "Explain the difference between the totals of {t} and {x} for {y} = {n}.",
    "Which downstream tables break when {c} of {t} becomes nullable?",
    "Can I drop the partitions of {t} that are older than a year while `{j}` is running?",
];

/// Goals of playbooks.
pub const ASK_OPERATE: &[&str] = &[
    "Bring {s} back after the lost lease and prove that {t} has no gap.",
    "Rotate the partition of {t} for the new month, then run `{j}` and compare the counts.",
    "Drain {s}, upgrade it, and restore the throughput it had before.",
    "Replay the change feed of {t} from {h} and reconcile the result with {x}.",
    "Free disk on {s} without losing a snapshot that is younger than {d}.",
    "Find out why `{j}` missed its window and put {t} right before the morning reports.",
];
