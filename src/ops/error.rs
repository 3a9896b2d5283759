//! What went wrong, for whoever called an operation: a kind that says what to do, a message, a hint.
//!
//! Rests on the errors of the layers below. Rules: a kind answers "what should the caller do next?" and is one exit
//! status; the message names the thing and the cause; the hint names the next step. Words are made here once, so that
//! the terminal and a server say the same.

use std::fmt;

use crate::model::ModelError;
use crate::object::OdbError;
use crate::ops::sample::SampleError;
use crate::pipeline::policy::PolicyError;
use crate::pipeline::secret::TableError;
use crate::pipeline::source::SpecError;
use crate::record::RecordError;
use crate::remote::RemoteError;
use crate::remote::web::WebError;
use crate::repo::RepoError;
use crate::repo::worktree::WorktreeError;
use crate::store::StoreError;
use crate::tree::TreeError;

/// What the caller should do. Each kind is one exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The answer is no: a gate, a refusal to overwrite, a vanished source. Exit 1.
    Refused,
    /// Change the arguments or the configuration. Exit 2.
    Usage,
    /// Something outside failed: a file, the network, a lock, a full disk. Exit 3.
    Outside,
    /// Stored data is damaged or missing. Exit 4.
    Damaged,
}

impl ErrorKind {
    /// The exit status of DESIGN §12.
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Outside => 3,
            Self::Damaged => 4,
        }
    }

    /// The word for it in `--json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Usage => "usage",
            Self::Outside => "outside",
            Self::Damaged => "damaged",
        }
    }
}

/// A failed operation.
#[derive(Debug)]
pub struct OpError {
    /// What to do about it, as a class.
    pub kind: ErrorKind,
    /// What happened, to what, and why.
    pub message: String,
    /// What to do next; empty when there is nothing useful to say.
    pub hint: String,
}

impl OpError {
    /// A failed operation with a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }

    /// A file that could not be read or written.
    pub fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "free some space and run the command again; the store is as it was"
            }
            std::io::ErrorKind::PermissionDenied => "check the permissions of the file and of its folders",
            std::io::ErrorKind::NotFound => "check the path",
            _ => "check the file and the disk it lies on, then run the command again",
        };
        Self::new(ErrorKind::Outside, format!("cannot {action} {}: {error}", path.display()), hint)
    }

    /// A folder that could not be listed.
    pub fn walk(path: &std::path::Path, error: walkdir::Error) -> Self {
        // The walker's own text names the path again.
        let source = error.into_io_error().unwrap_or_else(|| std::io::Error::other("its links go round"));
        match path.symlink_metadata() {
            Ok(meta) if meta.file_type().is_symlink() => Self::new(
                ErrorKind::Outside,
                format!("cannot follow the link {}: {source}", path.display()),
                "correct or remove the link, or add it to `exclude` in its spec",
            ),
            _ => Self::io("read", path, &source),
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OpError {}

/// What a tag, a branch and a run may be called.
const NAMES: &str = "names follow Git's rules, such as `v1.0.0` or `team/try-2`: no spaces, no `..`, none of ~^:?*[\\, no part \
                     that begins with a dot; neither `HEAD` nor `@`";

const VERIFY: &str = "run `distill verify` to see what is damaged and what depends on it";

const REINDEX: &str =
    "`distill reindex` rebuilds store.redb from packs/ and ops/, refs included; it says first what it found";

/// Whether the damaged file is the catalogue, without which nothing else can be asked.
fn is_catalogue(place: &std::path::Path) -> bool {
    place.file_name().is_some_and(|name| name == "store.redb")
}

impl From<OdbError> for OpError {
    fn from(error: OdbError) -> Self {
        let message = error.to_string();
        match error {
            // Objects of somewhere else: what failed is no file here.
            OdbError::Io { path, source } => match source.downcast::<RemoteError>() {
                Ok(remote) => remote.into(),
                Err(source) => Self::io("read or write", &path, &source),
            },
            OdbError::Damaged { place, .. } if is_catalogue(&place) => {
                Self::new(ErrorKind::Damaged, message, REINDEX)
            }
            _ => Self::new(ErrorKind::Damaged, message, VERIFY),
        }
    }
}

impl From<TreeError> for OpError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Odb(error) => error.into(),
            other => Self::new(ErrorKind::Damaged, other.to_string(), VERIFY),
        }
    }
}

impl From<StoreError> for OpError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        let (kind, hint) = match &error {
            StoreError::NotAStore { .. } => (
                ErrorKind::Outside,
                "run `distill init` here, or `distill run-all`, which makes the store on its first run",
            ),
            StoreError::AlreadyExists { .. } => {
                (ErrorKind::Refused, "run `distill status` to see what it holds")
            }
            StoreError::NewerFormat { .. } => {
                (ErrorKind::Outside, "use the version of distill that wrote it, or a later one")
            }
            StoreError::RefConflict { .. } => (
                ErrorKind::Outside,
                "somebody published meanwhile: look at `distill log` and run the command again",
            ),
            StoreError::BadRefName { .. } => (ErrorKind::Usage, NAMES),
            StoreError::PackGone { .. } => (ErrorKind::Outside, "run the command again"),
            StoreError::Busy { .. } => (
                ErrorKind::Outside,
                "wait for it to end, or raise run.lease_timeout_s in .distill/config.toml",
            ),
            StoreError::Io { action, path, source } => return Self::io(action, path, source),
            StoreError::Damaged { place, .. } if is_catalogue(place) => (ErrorKind::Damaged, REINDEX),
            _ => (ErrorKind::Damaged, VERIFY),
        };
        Self::new(kind, message, hint)
    }
}

impl From<RepoError> for OpError {
    fn from(error: RepoError) -> Self {
        let message = error.to_string();
        let (kind, hint) = match error {
            RepoError::Store(error) => return error.into(),
            RepoError::Odb(error) => return error.into(),
            RepoError::Tree(error) => return error.into(),
            RepoError::Io { action, path, source } => return Self::io(action, &path, &source),
            RepoError::NotARepository { .. } => (
                ErrorKind::Outside,
                "run `distill init` in the folder that holds your traces, or name it with `--repo DIR`"
                    .to_owned(),
            ),
            RepoError::Config { .. } => {
                (ErrorKind::Usage, "correct the file; `distill init` writes a commented one".to_owned())
            }
            RepoError::UnknownRevision { near, .. } | RepoError::NoSuchPath { near, .. }
                if !near.is_empty() =>
            {
                (ErrorKind::Usage, format!("did you mean `{}`?", near.join("`, `")))
            }
            RepoError::UnknownRevision { .. } => (
                ErrorKind::Usage,
                "`distill log`, `distill tag` and `distill branch` list what there is".to_owned(),
            ),
            RepoError::NoSuchPath { .. } => (
                ErrorKind::Usage,
                "`distill ls REV` lists the datasets, `distill ls REV:DATASET` the keys".to_owned(),
            ),
            RepoError::Ambiguous { .. } => {
                (ErrorKind::Usage, "write the full name, such as `tags/NAME`, or more digits".to_owned())
            }
            RepoError::BeyondRoot { .. } => {
                (ErrorKind::Usage, "`distill log` shows how far back history goes".to_owned())
            }
            RepoError::NoCommit => (ErrorKind::Usage, "run `distill run-all` first".to_owned()),
            RepoError::NoReflogEntry { .. } => {
                (ErrorKind::Usage, "`distill reflog` lists the entries".to_owned())
            }
            RepoError::Collected { .. } => (
                ErrorKind::Usage,
                "nothing had named it for longer than the grace period when `distill gc` ran; the entry itself stays"
                    .to_owned(),
            ),
            RepoError::RefName(_) => (ErrorKind::Usage, NAMES.to_owned()),
            RepoError::RevSpec(_) => (
                ErrorKind::Usage,
                "revisions are written as in Git: NAME, NAME~2, NAME^, @{1}, NAME:DATASET/KEY, A..B"
                    .to_owned(),
            ),
            RepoError::NotA(_) => (ErrorKind::Damaged, VERIFY.to_owned()),
        };
        Self::new(kind, message, hint)
    }
}

impl From<WorktreeError> for OpError {
    fn from(error: WorktreeError) -> Self {
        let message = error.to_string();
        let (kind, hint) = match error {
            WorktreeError::Conflicts { .. } => {
                (ErrorKind::Refused, "move what you want to keep, then run the command again with --force")
            }
            WorktreeError::Escapes { .. } => {
                (ErrorKind::Refused, "replace the link by a folder: distill writes inside its directory only")
            }
            WorktreeError::Blocked { .. } => (ErrorKind::Refused, "move it away, then run the command again"),
            WorktreeError::Odb(error) => return error.into(),
            WorktreeError::Tree(error) => return error.into(),
            WorktreeError::Io { action, path, source } => return Self::io(action, &path, &source),
            _ => (ErrorKind::Damaged, VERIFY),
        };
        Self::new(kind, message, hint)
    }
}

impl From<RemoteError> for OpError {
    fn from(error: RemoteError) -> Self {
        const PULL: &str =
            "`distill pull` brings what came there meanwhile (and says how to join a fork), then push again";
        let message = error.to_string();
        let (kind, hint) = match error {
            RemoteError::Store(error) => return error.into(),
            RemoteError::Repo(error) => return error.into(),
            RemoteError::Odb(error) => return error.into(),
            RemoteError::Tree(error) => return error.into(),
            RemoteError::Web(error) => return error.into(),
            RemoteError::Io { action, path, source } => return Self::io(action, &path, &source),
            RemoteError::BadPlace { .. } => (
                ErrorKind::Usage,
                "a remote is a folder, `s3://BUCKET/PREFIX`, or the http(s):// address of a `distill serve`".to_owned(),
            ),
            RemoteError::BadName { .. } => {
                (ErrorKind::Usage, "call it `origin`, `backup` or the like".to_owned())
            }
            RemoteError::Settings { .. } => (
                ErrorKind::Usage,
                "correct the file, or take it away and name the remotes again with `distill remote add`".to_owned(),
            ),
            RemoteError::NotARemote { .. } => (
                ErrorKind::Outside,
                "check the place; `distill remote add NAME PLACE` makes an empty one a remote".to_owned(),
            ),
            RemoteError::NotEmpty { .. } => (
                ErrorKind::Refused,
                "name an empty folder, or one that does not exist yet".to_owned(),
            ),
            RemoteError::NewerFormat { .. } => {
                (ErrorKind::Outside, "use the version of distill that made it, or a later one".to_owned())
            }
            RemoteError::NotExclusive { .. } => (
                ErrorKind::Refused,
                "it ignores `If-None-Match: *`, so two pushes at once could undo each other: use another store, or a \
                 version of this one that honours the condition"
                    .to_owned(),
            ),
            RemoteError::Denied { .. } => (
                ErrorKind::Outside,
                "check the credentials (AWS_* for buckets, DISTILL_TOKEN for servers) or the permissions of the folder"
                    .to_owned(),
            ),
            RemoteError::Unreachable { .. } => (
                ErrorKind::Outside,
                "check the place, the network and, for a bucket, AWS_ENDPOINT_URL and AWS_REGION; then run the command again, \
                 which goes on where this one ended"
                    .to_owned(),
            ),
            RemoteError::Gone { .. } => (
                ErrorKind::Damaged,
                "somebody removed it there: push again from a repository that has everything, to a new place".to_owned(),
            ),
            RemoteError::Damaged { .. } | RemoteError::Incomplete { .. } | RemoteError::NotA(_) => (
                ErrorKind::Damaged,
                "nothing was taken over; run the command again, and if it stays so, the other side is damaged: `distill verify` \
                 there, or push anew to another place"
                    .to_owned(),
            ),
            RemoteError::Moved { .. } | RemoteError::NotFastForward { .. } => (ErrorKind::Refused, PULL.to_owned()),
            RemoteError::Fixed { .. } => {
                (ErrorKind::Refused, "tags and runs never move on a remote: give it another name".to_owned())
            }
            RemoteError::OwnRef { .. } => {
                (ErrorKind::Refused, "branches, tags and runs can be pushed, and none be taken away".to_owned())
            }
            RemoteError::NeverForced { .. } => {
                (ErrorKind::Refused, "push to a branch of another name".to_owned())
            }
        };
        Self::new(kind, message, hint)
    }
}

impl From<WebError> for OpError {
    fn from(error: WebError) -> Self {
        const AGAIN: &str =
            "check the address and the network, then run the command again; it goes on from where it stopped";
        let message = error.to_string();
        let (kind, hint) = match error {
            WebError::Address { .. } => {
                (ErrorKind::Usage, "write http://HOST:PORT or https://HOST".to_owned())
            }
            WebError::Refused { status: 401 | 403, .. } => (
                ErrorKind::Usage,
                "give a token that the server knows: in DISTILL_TOKEN, or to `fetch` with --token-file FILE"
                    .to_owned(),
            ),
            WebError::Refused { status, kind, hint, .. } => match (kind.as_str(), status) {
                ("refused", _) | ("", 409) => (ErrorKind::Refused, hint),
                ("damaged", _) => (ErrorKind::Damaged, hint),
                ("usage", _) | ("", 400..=407 | 410..=428 | 430..=499) => (ErrorKind::Usage, hint),
                _ if hint.is_empty() => (ErrorKind::Outside, AGAIN.to_owned()),
                _ => (ErrorKind::Outside, hint),
            },
            _ => (ErrorKind::Outside, AGAIN.to_owned()),
        };
        Self::new(kind, message, hint)
    }
}

impl From<RecordError> for OpError {
    fn from(error: RecordError) -> Self {
        Self::new(ErrorKind::Damaged, error.to_string(), VERIFY)
    }
}

impl From<PolicyError> for OpError {
    fn from(error: PolicyError) -> Self {
        Self::new(
            ErrorKind::Usage,
            error.to_string(),
            "correct .distill/policy.toml; docs/handoff.md describes it",
        )
    }
}

impl From<TableError> for OpError {
    fn from(error: TableError) -> Self {
        Self::new(
            ErrorKind::Usage,
            error.to_string(),
            "correct .distill/secrets.toml; docs/handoff.md describes it",
        )
    }
}

impl From<SpecError> for OpError {
    fn from(error: SpecError) -> Self {
        Self::new(ErrorKind::Usage, error.to_string(), "correct the spec; docs/sources.md teaches the format")
    }
}

impl From<ModelError> for OpError {
    fn from(error: ModelError) -> Self {
        let message = error.to_string();
        let (kind, hint) = match &error {
            ModelError::BadUrl { .. } => (
                ErrorKind::Usage,
                "write the base of an API, such as http://localhost:11434/v1, in .distill/config.toml or with --endpoint; \
                 a key belongs into the variable that api_key_env names",
            ),
            ModelError::NoClient { .. } => (
                ErrorKind::Outside,
                "check the system's certificates (SSL_CERT_FILE names others) and its proxy settings; nothing was stored",
            ),
            ModelError::Untrusted { .. } => (
                ErrorKind::Outside,
                "name a file with the certificate of whoever signed that of the server, as PEM, in SSL_CERT_FILE; nothing was stored",
            ),
            ModelError::RepeatsKey { .. } => (
                ErrorKind::Outside,
                "check whether the address is that of a model, and replace the key; nothing was stored",
            ),
            ModelError::OwnOfOllama { .. } => (
                ErrorKind::Outside,
                "give the base of its OpenAI-compatible API: http://HOST:11434/v1; nothing was stored",
            ),
            ModelError::Unreachable { .. } => (
                ErrorKind::Outside,
                "start the model (`ollama serve`), or correct `endpoint` under [replay] in .distill/config.toml; nothing was stored",
            ),
            ModelError::TimedOut { .. } => (
                ErrorKind::Outside,
                "raise replay.timeout_s in .distill/config.toml, or ask a smaller model; nothing was stored",
            ),
            ModelError::BadKey { .. } => (
                ErrorKind::Outside,
                "check the key in the variable that api_key_env names; nothing was stored",
            ),
            ModelError::NoSuchModel { .. } => (
                ErrorKind::Outside,
                "name one that it has with --model, or fetch it (`ollama pull NAME`); nothing was stored",
            ),
            ModelError::NoSuchAddress { .. } => (
                ErrorKind::Outside,
                "give the base of the API, which often ends in /v1 (Ollama: http://localhost:11434/v1, not /api), or the whole address of its \
                 chat; nothing was stored",
            ),
            ModelError::Rejected { .. } => (
                ErrorKind::Outside,
                "what it says is about the request: fewer records (-k), replay.context_bytes or replay.max_tokens may help; \
                 nothing was stored",
            ),
            ModelError::Busy { .. } | ModelError::ComeBackLater { .. } => {
                (ErrorKind::Outside, "try again later, or raise replay.retries; nothing was stored")
            }
            ModelError::Redirected { .. } => (
                ErrorKind::Outside,
                "if that is where the model is, write it as `endpoint` into .distill/config.toml; nothing was stored",
            ),
            ModelError::TooLarge { .. } => (
                ErrorKind::Outside,
                "that is no chat answer: check the address, and lower replay.max_tokens; nothing was stored",
            ),
            ModelError::NotJson { .. } | ModelError::NoAnswer { .. } => (
                ErrorKind::Outside,
                "check that the address is that of an OpenAI-compatible chat; nothing was stored",
            ),
            ModelError::Truncated { .. } => (
                ErrorKind::Outside,
                "look at the model's own log, and run the command again; nothing was stored",
            ),
            ModelError::Unwritable { .. } => {
                (ErrorKind::Usage, "look at the task for what the message names")
            }
            ModelError::CassetteIo { .. } | ModelError::CassetteLine { .. } => {
                (ErrorKind::Outside, "check the file, or record another one with `--record FILE`")
            }
            ModelError::PromptChanged { .. } | ModelError::CassetteEnds { .. } => (
                ErrorKind::Outside,
                "the task, the corpus, the model or a setting is not what it was: replay what was recorded, or record again \
                 with `--record FILE`; nothing was stored",
            ),
        };
        Self::new(kind, message, hint)
    }
}

impl From<SampleError> for OpError {
    fn from(error: SampleError) -> Self {
        let message = error.to_string();
        match error {
            SampleError::FreezeRows(_) => {
                Self::new(ErrorKind::Usage, message, "leave --rows out for the bundled sample")
            }
            SampleError::Exists(_) => {
                Self::new(ErrorKind::Refused, message, "choose an empty folder, or add `--force`")
            }
            SampleError::Io { path, source } => Self::io("write", &path, &source),
        }
    }
}
