//! Where a run puts what it has not published yet: one folder below `.distill/tmp`, gone when the run ends, however it
//! ends.
//!
//! Rests on the lease of the branch: while it is held, nobody else uses the folder of that branch. Invariant: after a run
//! that failed nothing of it is left; what a killed one left goes when the next one on its branch begins.

use std::fs;
use std::path::{Path, PathBuf};

use crate::object::ObjectId;
use crate::ops::error::OpError;

/// The folder of the run that holds the lease of a branch; removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// An empty folder below `tmp` for the run on `branch`, whose lease the caller holds.
    pub(crate) fn new(tmp: &Path, branch: &str) -> Result<Self, OpError> {
        let folder = tmp.join(format!("run-{}", ObjectId::of(branch.as_bytes()).short(16)));
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).map_err(|e| OpError::io("make", &folder, &e))?;
        Ok(Self(folder))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
