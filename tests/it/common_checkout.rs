//! A repository over a copy of the bundled sample, driven through the binary.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

/// A repository in a temporary folder.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// The answer of a command that went well.
    pub fn done(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.out
    }

    /// The answer with `--json`.
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.done()).expect("the answer is JSON")
    }

    /// The words of a command that must fail with `status`.
    pub fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.err
    }
}

impl Sandbox {
    /// The bundled configuration and sample, with no store yet.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["config.toml", "policy.toml", "sources"] {
            copy(&root.join(".distill").join(name), &dir.path().join(".distill").join(name));
        }
        copy(&root.join("fixtures/lakehouse"), &dir.path().join("fixtures/lakehouse"));
        Self { dir }
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn run(&self, args: &[&str]) -> Said {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_distill"))
            .current_dir(self.root())
            .env_clear()
            .env("SOURCE_DATE_EPOCH", "1767225600")
            .args(args)
            .output()
            .expect("the binary runs");
        Said {
            status: status.code().expect("it ends by itself"),
            out: String::from_utf8(stdout).expect("text"),
            err: String::from_utf8(stderr).expect("text"),
        }
    }

    pub fn read(&self, rel: &str) -> String {
        fs::read_to_string(self.root().join(rel)).unwrap_or_else(|e| panic!("{rel}: {e}"))
    }

    pub fn append(&self, rel: &str, text: &str) {
        let path = self.root().join(rel);
        let mut bytes = fs::read(&path).unwrap_or_default();
        bytes.extend_from_slice(text.as_bytes());
        fs::create_dir_all(path.parent().expect("has a folder")).expect("make the folder");
        fs::write(path, bytes).expect("write");
    }

    pub fn exists(&self, rel: &str) -> bool {
        self.root().join(rel).exists()
    }

    /// Every file below `folder`, with its bytes, in order.
    pub fn tree(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        tree(&self.root().join(folder))
    }
}

/// Every file below `folder`, with its bytes, in order.
pub fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.expect("walk"))
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let rel = entry.path().strip_prefix(folder).expect("below").to_string_lossy().into_owned();
            (rel, fs::read(entry.path()).expect("read"))
        })
        .collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.expect("walk");
        let rel = entry.path().strip_prefix(from).expect("below");
        // Joining nothing would end in a slash, which no file may have.
        let target = if rel.as_os_str().is_empty() { to.to_owned() } else { to.join(rel) };
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).expect("make the folder");
        } else {
            fs::create_dir_all(target.parent().expect("has a folder")).expect("make the folder");
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}
