//! The `distill` binary: hands over to the command line and returns its exit status.

/// A run makes and drops some hundred small strings a row; the system's allocator takes a tenth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    distill::cli::main()
}
