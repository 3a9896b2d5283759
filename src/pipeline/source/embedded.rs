//! The specs that ship inside the binary, for public data sets that exist in the world.
//!
//! Rests on files beside this one. Invariant: each parses (a test says so); none is used until somebody copies it to
//! `.distill/sources/`.

/// Name and text of every embedded spec, in order of name.
pub const fn embedded() -> &'static [(&'static str, &'static str)] {
    &[
        ("aider-swe-bench", include_str!("embedded/aider-swe-bench.toml")),
        ("claude-code", include_str!("embedded/claude-code.toml")),
        ("code-review-benchmark", include_str!("embedded/code-review-benchmark.toml")),
        ("hh-rlhf", include_str!("embedded/hh-rlhf.toml")),
        ("inspect", include_str!("embedded/inspect.toml")),
        ("mt-bench", include_str!("embedded/mt-bench.toml")),
        ("openinference", include_str!("embedded/openinference.toml")),
        ("otel-genai", include_str!("embedded/otel-genai.toml")),
        ("self-instruct", include_str!("embedded/self-instruct.toml")),
        ("swe-agent", include_str!("embedded/swe-agent.toml")),
        ("tau-bench", include_str!("embedded/tau-bench.toml")),
        ("vexp-swe-bench", include_str!("embedded/vexp-swe-bench.toml")),
        ("who-and-when", include_str!("embedded/who-and-when.toml")),
        ("wildbench", include_str!("embedded/wildbench.toml")),
    ]
}
