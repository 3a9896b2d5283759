//! The configuration of a run: specs, policy and options, parsed, with the raw text kept beside it.
//!
//! Rests on the files of `.distill` that a person edits. Invariants: the config object holds exactly what can change a
//! dataset, so that comments, formatting and paths of caches change no id; what cannot be parsed stops the command
//! before anything is read or written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;

use crate::base::json;
use crate::object::ObjectId;
use crate::ops::engine::SourceFile;
use crate::ops::error::{ErrorKind, OpError};
use crate::pipeline::policy::Policy;
use crate::pipeline::secret::{Scanner, Table};
use crate::pipeline::source::{LookupSpec, Spec, UnitKind};
use crate::repo::Options;

/// What is embedded when `.distill/policy.toml` is missing: nothing; a policy is never guessed.
pub(crate) const POLICY_FILE: &str = "policy.toml";
/// Rules for secrets in place of, or on top of, those that come with distill.
pub(crate) const SECRETS_FILE: &str = "secrets.toml";

/// Everything that decides the datasets.
pub(crate) struct Setup {
    /// Specs by name, in order.
    pub specs: Vec<(String, Spec)>,
    pub policy: Policy,
    pub policy_id: ObjectId,
    pub options: Options,
    /// The rules for secrets.
    secrets: Table,
    /// What exports are screened by, compiled when first asked for: that takes longer than most questions do.
    scanner: OnceLock<Scanner>,
    /// The config object's bytes; its id is the config id.
    pub config_object: Vec<u8>,
    /// Raw text by file name below `.distill`.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The parsed part of a configuration, as it is stored.
#[derive(Serialize)]
struct ConfigObject<'a> {
    schema: &'static str,
    sources: BTreeMap<&'a str, serde_json::Value>,
    policy: &'a Policy,
    options: &'a Options,
    secrets: SecretsObject,
}

/// The rules for secrets, by what names them: those that come with a version of distill are not stored with every run.
#[derive(Serialize)]
struct SecretsObject {
    rules: ObjectId,
}

impl Setup {
    /// Reads and parses the configuration below `dot`.
    ///
    /// # Errors
    /// The first file that cannot be read or used, with line and column.
    pub(crate) fn load(dot: &Path, options: Options) -> Result<Self, OpError> {
        let mut files = BTreeMap::new();
        let mut add = |name: String, path: &Path| -> Result<(), OpError> {
            files.insert(name, read(path)?.into_bytes());
            Ok(())
        };
        for name in ["config.toml", SECRETS_FILE] {
            if dot.join(name).exists() {
                add(name.to_owned(), &dot.join(name))?;
            }
        }
        add(POLICY_FILE.to_owned(), &dot.join(POLICY_FILE))?;
        for (name, path) in spec_files(dot)? {
            add(spec_file(&name), &path)?;
        }
        Self::parse(files, options)
    }

    /// Parses a configuration whose raw texts are `files`, by name below `.distill`.
    ///
    /// # Errors
    /// The first text that cannot be used, with line and column.
    pub(crate) fn parse(files: BTreeMap<String, Vec<u8>>, options: Options) -> Result<Self, OpError> {
        let text = |name: &str| String::from_utf8_lossy(files.get(name).map_or(&[][..], Vec::as_slice));
        let policy = Policy::parse(".distill/policy.toml", &text(POLICY_FILE))?;
        let table = table(files.get(SECRETS_FILE).map(Vec::as_slice))?;
        let mut specs = Vec::new();
        for file in files.keys() {
            let Some(name) = file.strip_prefix("sources/").and_then(|name| name.strip_suffix(".toml")) else {
                continue;
            };
            let spec = Spec::parse(name, &text(file))?;
            // Expressions are compiled once here, so that a mistake in one stops the command before it begins.
            spec.compile()?;
            specs.push((name.to_owned(), spec));
        }
        specs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let unwritable = |e: json::JsonError| {
            let hint = "correct the number it names in .distill";
            OpError::new(ErrorKind::Usage, format!("the configuration cannot be written as JSON: {e}"), hint)
        };
        let sources = specs.iter().map(|(name, spec)| (name.as_str(), spec.to_value())).collect();
        let secrets = SecretsObject { rules: table.id() };
        let object = ConfigObject {
            schema: "distill.config.v1",
            sources,
            policy: &policy,
            options: &options,
            secrets,
        };
        let config_object = json::to_canonical(&object).map_err(unwritable)?;
        let policy_id = ObjectId::of(&json::to_canonical(&policy).map_err(unwritable)?);
        Ok(Self {
            specs,
            policy,
            policy_id,
            options,
            secrets: table,
            scanner: OnceLock::new(),
            config_object,
            files,
        })
    }

    /// What exports are screened by.
    ///
    /// # Errors
    /// The rule whose pattern cannot be compiled.
    pub(crate) fn scanner(&self) -> Result<&Scanner, OpError> {
        if let Some(scanner) = self.scanner.get() {
            return Ok(scanner);
        }
        let scanner = Scanner::new(&self.secrets)?;
        Ok(self.scanner.get_or_init(|| scanner))
    }

    /// The config id.
    pub(crate) fn config_id(&self) -> ObjectId {
        ObjectId::of(&self.config_object)
    }

    /// Whether a spec asks for the keys of the map that `file` is. A row in the store is a value without its key.
    pub(crate) fn needs_keys(&self, file: &SourceFile) -> bool {
        let reads = |spec: &Spec| {
            let mut joined = spec.lookups().values().map(LookupSpec::files);
            spec.files().contains(&file.name) || joined.any(|files| files.contains(&file.name))
        };
        let asks = |name: &str| {
            let text = self.files.get(&spec_file(name));
            text.is_some_and(|text| memchr::memmem::find(text, b"$key").is_some())
        };
        file.kind == UnitKind::Value && self.specs.iter().any(|(name, spec)| reads(spec) && asks(name))
    }
}

/// The file below `.distill` that the spec `name` is written in.
fn spec_file(name: &str) -> String {
    format!("sources/{name}.toml")
}

/// The spec files below `.distill/sources`, by name.
pub(crate) fn spec_files(dot: &Path) -> Result<Vec<(String, std::path::PathBuf)>, OpError> {
    let folder = dot.join("sources");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(OpError::io("read", &folder, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| OpError::io("read", &folder, &e))?.path();
        if path.extension().is_some_and(|e| e == "toml")
            && let Some(name) = path.file_stem().and_then(|n| n.to_str())
        {
            found.push((name.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, OpError> {
    fs::read_to_string(path).map_err(|e| {
        let mut error = OpError::io("read", path, &e);
        if e.kind() == std::io::ErrorKind::NotFound {
            "run `distill init` in an empty folder to see a commented example".clone_into(&mut error.hint);
        }
        error
    })
}

/// The scanner by the rules that `text` has, or by those that come with distill.
///
/// # Errors
/// Rules that cannot be used, with line and column.
pub(crate) fn scanner(text: Option<&[u8]>) -> Result<Scanner, OpError> {
    Ok(Scanner::new(&table(text)?)?)
}

fn table(text: Option<&[u8]>) -> Result<Table, OpError> {
    Ok(match text {
        Some(text) => Table::parse(".distill/secrets.toml", &String::from_utf8_lossy(text))?,
        None => Table::embedded()?,
    })
}
