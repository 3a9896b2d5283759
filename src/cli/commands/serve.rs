//! `distill serve`.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use crate::cli::error::CommandError;
use crate::cli::table::counted;
use crate::cli::{Context, Outcome};
use crate::ops::delivery::shelf::BYTES_MAX;
use crate::ops::open::open;
use crate::ops::{ErrorKind, OpError};
use crate::server::{Limits, ServeOptions, Tokens, serve};

/// Serve the store over HTTP: snapshots by their hash, objects, refs, history
///
/// GET /v1/datasets/v1.0.0/sft/rows.jsonl (or rows.parquet) gives what curl, pandas and the like read; docs/http.md
/// describes the rest, /openapi.json is made for programs. It may run while runs are made: what they commit is served
/// from then on.
///
/// Everybody who reaches the address may read, and nobody may write, unless the file of --token-file says otherwise: lines
/// such as `read TOKEN` and `write TOKEN`. With a `read` line reading needs a token too. It ends on SIGTERM or SIGINT, after
/// the transfers that are under way.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7474")]
    bind: String,
    /// Who may read and write: lines of `read TOKEN` or `write TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Serve HTTPS with this certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A further name under which a server on this machine alone is asked, as behind a proxy
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Where Parquet and zstd files are kept after they were made; `.distill/index/snapshots` when left out
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// What a server says at its start.
#[derive(serde::Serialize)]
struct Started {
    url: String,
}

pub(super) fn run(context: &Context, args: ServeArgs) -> Result<Outcome, CommandError> {
    let repo = open(&context.start)?;
    let options = ServeOptions {
        bind: address(&args.bind)?,
        hosts: args.hosts,
        tokens: args.token_file.map(|path| tokens(context, &path)).transpose()?.unwrap_or_default(),
        tls: args.tls_cert.zip(args.tls_key),
        cache: args.cache.unwrap_or_else(|| repo.dot().join("index").join("snapshots")),
        cache_bytes: BYTES_MAX,
        limits: Limits::default(),
        clock: context.clock,
    };
    let ended = serve(repo, &options, &context.ui, |address, is_tls| {
        let url = format!("http{}://{address}", if is_tls { "s" } else { "" });
        let text = format!("Serving {} at {url}", context.start.display());
        // A closed stdout is no reason not to serve.
        context.ui.answer("distill.serve.v1", &Started { url }, &text).ok();
    })?;
    let cut = if ended.cut > 0 {
        format!(", {} cut", counted(ended.cut as u64, "connection"))
    } else {
        String::new()
    };
    context.ui.say(&format!("Ended after {}{cut}.", counted(ended.requests, "request")));
    Ok(Outcome::Done)
}

fn address(text: &str) -> Result<SocketAddr, OpError> {
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| {
        let hint = "write an address and a port, such as 127.0.0.1:7474 or [::]:80";
        OpError::new(ErrorKind::Usage, format!("`{text}` is no address to listen on"), hint)
    })
}

fn tokens(context: &Context, path: &Path) -> Result<Tokens, OpError> {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = std::fs::metadata(path).map_err(|e| OpError::io("read", path, &e))?;
    if meta.permissions().mode() & 0o077 != 0 {
        context.ui.say(&format!("Others may read {}: `chmod 600` it.", path.display()));
    }
    let text = std::fs::read_to_string(path).map_err(|e| OpError::io("read", path, &e))?;
    Tokens::parse(&text)
}
