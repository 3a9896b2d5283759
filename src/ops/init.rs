//! `init`: makes `.distill`: configuration that a person edits, and the store.
//!
//! Rests on the embedded specs and the store's own atomic creation. Invariants: nothing that exists is overwritten; each
//! file appears whole, the store last, so that an `init` killed at any moment can be run again.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::base::fs::write_atomic;
use crate::ops::{ErrorKind, OpError};
use crate::pipeline::source::embedded;
use crate::repo::DOT;
use crate::store::Store;
use crate::store::StoreError;

const CONFIG: &str = include_str!("init/config.toml");
pub(super) const POLICY: &str = include_str!("init/policy.toml");
const GITIGNORE: &str = include_str!("init/gitignore");
const BASE_LINE: &str = "# base = \"../traces\"";

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// The folder that gets a `.distill`; made where it does not exist.
    pub dir: PathBuf,
    /// Names of embedded specs to write.
    pub with: Vec<String>,
    /// Where the paths of specs start, when not at `dir`.
    pub base: Option<PathBuf>,
}

/// What was made.
#[derive(Clone, Debug, Serialize)]
pub struct InitReport {
    /// The folder that holds `.distill`.
    pub root: PathBuf,
    /// The files written, relative to `root`.
    pub files: Vec<String>,
    /// The specs among them, by name.
    pub sources: Vec<String>,
    /// Where the paths of specs start.
    pub base: PathBuf,
}

/// The names that `--with` takes.
pub fn available() -> Vec<&'static str> {
    embedded().iter().map(|(name, _)| *name).collect()
}

/// Makes `.distill` with configuration and a store.
///
/// # Errors
/// An unknown spec, something that exists already, a folder that cannot be written.
pub fn init(options: &InitOptions) -> Result<InitReport, OpError> {
    let root = absolute(&options.dir)?;
    let dot = root.join(DOT);
    let base = options.base.as_deref().map(absolute).transpose()?;
    let files = contents(options, base.as_deref().map(|base| relative(&root, base)))?;
    refuse_existing(&dot, &files)?;
    for (name, text) in &files {
        let path = dot.join(name);
        write_atomic(&path, text.as_bytes()).map_err(|e| OpError::io("write", &path, &e))?;
    }
    let folder = dot.join("sources");
    fs::create_dir_all(&folder).map_err(|e| OpError::io("create", &folder, &e))?;
    Store::init(&dot)?;
    let mut sources = options.with.clone();
    sources.sort();
    sources.dedup();
    let files = files.into_iter().map(|(name, _)| format!("{DOT}/{name}")).collect();
    Ok(InitReport { base: base.unwrap_or_else(|| root.clone()), root, files, sources })
}

/// Writes those files of a new `.distill` that are not there.
///
/// # Errors
/// I/O.
pub(super) fn write_missing(dot: &Path) -> Result<(), OpError> {
    for (name, text) in contents(&InitOptions::default(), None)? {
        let path = dot.join(name);
        if !path.exists() {
            write_atomic(&path, text.as_bytes()).map_err(|e| OpError::io("write", &path, &e))?;
        }
    }
    let folder = dot.join("sources");
    fs::create_dir_all(&folder).map_err(|e| OpError::io("create", &folder, &e))
}

/// The files of a new `.distill`, by name.
fn contents(options: &InitOptions, base: Option<String>) -> Result<Vec<(String, String)>, OpError> {
    let config = match base {
        // A JSON string is a TOML string, escapes and all.
        Some(base) => CONFIG.replacen(BASE_LINE, &format!("base = {}", serde_json::Value::String(base)), 1),
        None => CONFIG.to_owned(),
    };
    let mut files = vec![
        (".gitignore".to_owned(), GITIGNORE.to_owned()),
        ("config.toml".to_owned(), config),
        ("policy.toml".to_owned(), POLICY.to_owned()),
    ];
    for name in &options.with {
        let Some((_, text)) = embedded().iter().find(|(known, _)| known == name) else {
            return Err(OpError::new(
                ErrorKind::Usage,
                format!("there is no source spec called `{name}`"),
                format!("the specs that come with distill are {}", available().join(", ")),
            ));
        };
        let file = format!("sources/{name}.toml");
        if !files.iter().any(|(known, _)| *known == file) {
            files.push((file, (*text).to_owned()));
        }
    }
    Ok(files)
}

/// A file that already holds what would be written is what a killed `init` left; any other is somebody's work.
fn refuse_existing(dot: &Path, files: &[(String, String)]) -> Result<(), OpError> {
    if dot.join("store.redb").exists() {
        return Err(StoreError::AlreadyExists { dir: dot.to_owned() }.into());
    }
    let mut taken = Vec::new();
    for (name, text) in files {
        let path = dot.join(name);
        match fs::read(&path) {
            Ok(bytes) if bytes == text.as_bytes() => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Ok(_) => taken.push(name.as_str()),
            Err(error) => return Err(OpError::io("read", &path, &error)),
        }
    }
    if taken.is_empty() {
        return Ok(());
    }
    Err(OpError::new(
        ErrorKind::Refused,
        format!("{} already holds {}, which init would overwrite", dot.display(), taken.join(", ")),
        "nothing was changed; `distill run-all` makes the store for the configuration that is there",
    ))
}

fn absolute(path: &Path) -> Result<PathBuf, OpError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).map(|path| tidy(&path)).map_err(|e| OpError::io("find", path, &e))
}

/// Without `.`, and without `..` where it only undoes the part before it.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

/// The way from `root` to `base`, with `/`; both absolute.
fn relative(root: &Path, base: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (root.components().collect(), base.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let ups = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let downs = to[shared..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    let way: Vec<String> = ups.chain(downs).collect();
    if way.is_empty() { ".".to_owned() } else { way.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::policy::Policy;
    use crate::repo::Config;

    #[test]
    fn what_is_written_can_be_read() {
        let policy = Policy::parse("policy.toml", POLICY).expect("the policy is good");
        let sample = Policy::parse("policy.toml", include_str!("../../.distill/policy.toml")).expect("good");
        assert_eq!(policy, sample, "a new repository judges as the bundled sample does");
        assert_eq!(Config::parse(CONFIG).expect("the configuration is good"), Config::default());
        let options =
            InitOptions { with: vec!["tau-bench".into(), "tau-bench".into()], ..InitOptions::default() };
        let files = contents(&options, Some("../a \"b\"".into())).expect("known names");
        let config = Config::parse(&files[1].1).expect("a configuration with a base");
        assert_eq!(config.base.as_deref(), Some("../a \"b\""));
        assert_eq!(files.len(), 4, "a spec named twice is written once");
    }

    #[test]
    fn the_base_is_written_relative_to_the_root() {
        for (root, base, way) in [
            ("/a/b", "/a/b", "."),
            ("/a/b", "/a/c/d", "../c/d"),
            ("/a", "/a/x", "x"),
            ("/a/b/c", "/", "../../.."),
        ] {
            assert_eq!(relative(Path::new(root), Path::new(base)), way, "{root} {base}");
        }
        assert_eq!(tidy(Path::new("/a/./b/../c")), Path::new("/a/c"));
    }
}
