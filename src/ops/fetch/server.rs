//! A server as a source of rows.
//!
//! Rests on `remote::web`. Invariant: nothing that the server says is believed but which commit a name stands for.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use super::origin::Origin;
use crate::object::{Find, ObjectId, RootId};
use crate::ops::error::OpError;
use crate::remote::web::{Token, Web, WebError};
use crate::store::Head;

/// A server.
#[derive(Debug)]
pub struct Server(Web);

#[derive(Deserialize)]
struct Refs {
    head: Option<String>,
    head_commit: Option<ObjectId>,
    #[serde(rename = "refs")]
    all: Vec<RefLine>,
}

#[derive(Deserialize)]
struct RefLine {
    name: String,
    id: ObjectId,
}

#[derive(Deserialize)]
struct Digest {
    root: RootId,
}

impl Server {
    /// The server at this address.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(address: &str, token: Option<Token>) -> Result<Self, OpError> {
        Ok(Self(Web::new(address, token)?))
    }
}

impl Origin for Server {
    fn place(&self) -> String {
        self.0.base().to_owned()
    }

    fn refs(&self) -> Result<BTreeMap<String, ObjectId>, OpError> {
        let Refs { all, .. } = self.0.json("/v1/refs")?;
        Ok(all.into_iter().map(|line| (line.name, line.id)).collect())
    }

    fn head(&self) -> Result<Option<Head>, OpError> {
        let Refs { head, head_commit, .. } = self.0.json("/v1/refs")?;
        Ok(head.map(Head::Branch).or(head_commit.map(Head::Detached)))
    }

    fn find(&self) -> &dyn Find {
        &self.0
    }

    fn rows(&self, root: RootId, offset: u64) -> Result<Box<dyn Read + '_>, OpError> {
        match self.0.body(&format!("/v1/snapshots/{root}/rows.jsonl"), offset, None) {
            Ok(body) => Ok(Box::new(body)),
            // All of it is here already.
            Err(WebError::Refused { status: 416, .. }) => Ok(Box::new(std::io::empty())),
            Err(error) => Err(error.into()),
        }
    }

    fn root_of_digest(&self, digest: &str) -> Result<Option<RootId>, OpError> {
        match self.0.json::<Digest>(&format!("/v1/digests/{digest}")) {
            Ok(found) => Ok(Some(found.root)),
            Err(WebError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
