//! The diff of two revisions of a Git repository.
//!
//! Rests on the `git` program. Invariants: a revision is never taken for an option; neither diff programs nor watchers that the
//! repository configures are run; git is never waited for while it waits to be heard.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::DIFF_BYTES_MAX;
use crate::ops::error::{ErrorKind, OpError};

/// What `git diff RANGE` says in `folder`.
///
/// # Errors
/// No `git`, no repository, no such revision.
pub fn diff(folder: &Path, range: &str) -> Result<String, OpError> {
    if range.starts_with('-') || range.trim().is_empty() {
        let message = format!("`{range}` is no range of revisions");
        return Err(OpError::new(ErrorKind::Usage, message, "write it as Git does: `main..HEAD`"));
    }
    let failed = |message: String| {
        OpError::new(ErrorKind::Outside, message, "check the folder and the two revisions with `git diff`")
    };
    let mut child = Command::new("git")
        .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-C"])
        .arg(folder)
        .args(["diff", "--no-color", "--no-ext-diff", "--no-textconv", "--unified=3", range, "--"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot run git: {error}")))?;
    // It may have more warnings than a pipe holds, and says them before the rest of the diff.
    let err = child.stderr.take();
    let warnings = std::thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut err) = err {
            err.by_ref().take(4096).read_to_end(&mut said).ok();
            std::io::copy(&mut err, &mut std::io::sink()).ok();
        }
        said
    });
    let mut text = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(DIFF_BYTES_MAX as u64 + 1)
            .read_to_end(&mut text)
            .map_err(|e| failed(format!("cannot read git's answer: {e}")))?;
    }
    let status = child.wait().map_err(|error| failed(format!("git did not end: {error}")))?;
    // Git is stopped by the closed pipe where it had more to say.
    if !status.success() && text.len() <= DIFF_BYTES_MAX {
        let said = warnings.join().unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        return Err(failed(format!("git cannot tell `{range}` in {}: {}", folder.display(), said.trim())));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
