//! The `distill` binary: hands over to the command line and returns its exit status.

fn main() -> std::process::ExitCode {
    distill::cli::main()
}
