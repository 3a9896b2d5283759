//! An S3-compatible bucket, by the `object_store` crate.
//!
//! Rests on `If-None-Match: *`, which the crate sends for [`PutMode::Create`]; that the server minds it is tried by
//! [`super::race`]. Invariants: endpoint and credentials come from the environment of the command (`AWS_*`), never from a file
//! of the repository; a request that may be repeated is, and its answer is then not taken for what happened.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;
use object_store::ObjectStoreExt as _;
use object_store::PutMode;
use object_store::PutOptions;
use object_store::PutPayload;
use object_store::RetryConfig;
use object_store::aws::AmazonS3;
use object_store::aws::AmazonS3Builder;
use object_store::aws::AmazonS3ConfigKey;
use tokio::runtime::Runtime;

use super::bucket::Bucket;
use super::bucket::GET_BYTES_MAX;
use super::bucket::too_long;
use super::error::RemoteError;
use crate::base::causes::causes;
use crate::base::tls::install_provider;

/// A request may take this long; a pack of 32 MiB then needs some 100 KB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(5);
/// A connection is made in this time, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often, and for how long, a request is repeated.
const RETRIES: usize = 5;
/// See [`RETRIES`].
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// A bucket, or what lies below a prefix of one.
pub(super) struct S3 {
    store: AmazonS3,
    bucket: String,
    prefix: String,
    runtime: Runtime,
}

impl S3 {
    /// The bucket, with settings from the environment: pairs such as `AWS_ENDPOINT_URL` and its value.
    pub(super) fn new(bucket: &str, prefix: &str, env: &[(String, String)]) -> Result<Self, RemoteError> {
        install_provider();
        let place =
            if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") };
        let mut builder = AmazonS3Builder::new().with_retry(RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
            ..RetryConfig::default()
        });
        let mut options = object_store::ClientOptions::new()
            .with_timeout(REQUEST_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT);
        for (name, value) in env {
            let name = name.to_ascii_lowercase();
            // A plain endpoint that somebody has set is meant so.
            if name.starts_with("aws_endpoint") && value.starts_with("http://") {
                options = options.with_allow_http(true);
            }
        }
        builder = builder.with_client_options(options);
        for (name, value) in env {
            // Variables that are of no concern here are passed over, as every client does.
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let unusable =
            |detail: String| RemoteError::Unreachable { action: "use", place: place.clone(), detail };
        let store = builder.with_bucket_name(bucket).build().map_err(|error| unusable(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { store, bucket: bucket.to_owned(), prefix: prefix.to_owned(), runtime })
    }

    fn path(&self, name: &str) -> object_store::path::Path {
        if self.prefix.is_empty() { name.into() } else { format!("{}/{name}", self.prefix).into() }
    }

    fn failed(&self, action: &'static str, name: &str, error: &object_store::Error) -> RemoteError {
        let place = format!("{}/{name}", self.place());
        let detail = causes(error).replace('\n', " ");
        match error {
            object_store::Error::NotFound { .. } if matches!(action, "read") => RemoteError::Gone { place },
            object_store::Error::NotFound { .. } => {
                let detail = format!("there is no bucket called `{}`", self.bucket);
                RemoteError::Unreachable { action, place, detail }
            }
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                RemoteError::Denied { place, detail }
            }
            _ => RemoteError::Unreachable { action, place, detail },
        }
    }

    fn put(&self, name: &str, bytes: PutPayload) -> Result<bool, RemoteError> {
        let options = PutOptions::from(PutMode::Create);
        match self.runtime.block_on(self.store.put_opts(&self.path(name), bytes, options)) {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) => Err(self.failed("write to", name, &error)),
        }
    }
}

impl Bucket for S3 {
    fn place(&self) -> String {
        if self.prefix.is_empty() {
            format!("s3://{}", self.bucket)
        } else {
            format!("s3://{}/{}", self.bucket, self.prefix)
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, RemoteError> {
        let path = self.path(name);
        let got = self.runtime.block_on(async {
            let got = self.store.get(&path).await?;
            let len = got.meta.size;
            Ok(if len > GET_BYTES_MAX { Err(len) } else { Ok(got.bytes().await?) })
        });
        match got {
            Ok(Ok(bytes)) => Ok(Some(bytes.to_vec())),
            Ok(Err(len)) => Err(too_long(format!("{}/{name}", self.place()), len)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", name, &error)),
        }
    }

    fn get_range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, RemoteError> {
        let path = self.path(name);
        let len = range.end.saturating_sub(range.start);
        match self.runtime.block_on(self.store.get_range(&path, range)) {
            Ok(bytes) if bytes.len() as u64 == len => Ok(bytes.to_vec()),
            Ok(bytes) => {
                let detail = format!("{} bytes came of {len}", bytes.len());
                Err(RemoteError::damaged(format!("{}/{name}", self.place()), detail))
            }
            Err(error) => Err(self.failed("read", name, &error)),
        }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, RemoteError> {
        match self.runtime.block_on(self.store.head(&self.path(name))) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", name, &error)),
        }
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, RemoteError> {
        self.put(name, bytes.to_vec().into())
    }

    fn create_from(&self, name: &str, path: &Path) -> Result<bool, RemoteError> {
        let bytes = std::fs::read(path).map_err(RemoteError::io("read", path))?;
        self.put(name, bytes.into())
    }

    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<String>, RemoteError> {
        let path = self.path(folder);
        let listed = if after.is_empty() {
            self.store.list(Some(&path))
        } else {
            self.store.list_with_offset(Some(&path), &self.path(&format!("{folder}/{after}")))
        };
        let found: Vec<object_store::ObjectMeta> = (self.runtime.block_on(listed.try_collect()))
            .map_err(|error| self.failed("list", folder, &error))?;
        let mut names: Vec<String> =
            found.iter().filter_map(|meta| meta.location.filename().map(ToOwned::to_owned)).collect();
        names.retain(|name| name.as_str() > after);
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), RemoteError> {
        match self.runtime.block_on(self.store.delete(&self.path(name))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, &error)),
        }
    }
}
