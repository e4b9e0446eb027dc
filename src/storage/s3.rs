//! Packages in a bucket of S3, MinIO and kin.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, ensure};
use axum::http::Method;
use futures_util::{Stream, StreamExt};
use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutPayload, RetryConfig, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
    signer::Signer,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use super::{Received, Stored};
use crate::{
    config,
    error::{Error, Result},
};

/// Packages up to this size go in one request; larger ones in parts of it, a few at a time.
const PART: usize = 8 * 1024 * 1024;
const PARTS_AT_ONCE: usize = 3;
/// How long a presigned address is good for: long enough to begin a download on a slow line.
const PRESIGNED: Duration = Duration::from_secs(3600);
/// Time between probes: asking a bucket costs money.
const PROBES: Duration = Duration::from_secs(30);

/// The bucket.
#[derive(Clone)]
pub(super) struct S3 {
    bucket: AmazonS3,
    /// The same bucket under the address that clients reach.
    public: AmazonS3,
    prefix: Path,
    probe: Arc<Probe>,
}

#[derive(Default)]
struct Probe {
    asked: Mutex<Option<Instant>>,
    failed: AtomicBool,
}

impl S3 {
    /// Prepares access to `s3://bucket/prefix`; whether it answers shows later.
    pub(super) fn open(settings: &config::Storage) -> anyhow::Result<Self> {
        // There is more than one TLS library's worth of features in the tree, so one is named.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = settings.url.strip_prefix("s3://").context("storage.url must begin with s3://")?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        ensure!(!bucket.is_empty(), "storage.url names no bucket: write s3://BUCKET/PREFIX");
        let connect = |endpoint: &str| -> anyhow::Result<AmazonS3> {
            let retry = RetryConfig { retry_timeout: Duration::from_secs(20), ..RetryConfig::default() };
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_region(&settings.s3_region)
                .with_retry(retry)
                .with_allow_http(endpoint.starts_with("http://"));
            if !endpoint.is_empty() {
                builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
            }
            // Without keys the machine's own role is asked for.
            if let (Some(key), Some(secret)) = (settings.s3_access_key.get(), settings.s3_secret_key.get()) {
                builder = builder.with_access_key_id(key).with_secret_access_key(secret);
            }
            builder.build().with_context(|| format!("storage.url: cannot use the bucket {bucket}"))
        };
        let public = match settings.s3_public_endpoint.as_str() {
            "" => &settings.s3_endpoint,
            endpoint => endpoint,
        };
        Ok(Self {
            bucket: connect(&settings.s3_endpoint)?,
            public: connect(public)?,
            prefix: Path::parse(prefix.trim_matches('/')).context("storage.url: the prefix is no path")?,
            probe: Arc::default(),
        })
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.parts().chain(Path::from(name).parts()).collect()
    }

    /// Stores a received file under its name. The bucket shows an object only when it is whole, so a
    /// crash leaves nothing but parts that the bucket's life-cycle rule removes.
    pub(super) async fn keep(&self, received: Received, name: &str, file_name: &str) -> Result<()> {
        let path = self.path(name);
        let disposition = format!("attachment; filename=\"{file_name}\"");
        let attributes = Attributes::from_iter([
            (Attribute::ContentType, "application/gzip".to_owned()),
            (Attribute::ContentDisposition, disposition),
            // A name holds the hash of its bytes, so they never change.
            (Attribute::CacheControl, "public, max-age=31536000, immutable".to_owned()),
        ]);
        let mut file = tokio::fs::File::from_std(received.open()?);
        if received.size <= PART as u64 {
            let mut bytes = Vec::with_capacity(received.size as usize);
            file.read_to_end(&mut bytes).await?;
            self.bucket.put_opts(&path, PutPayload::from(bytes), attributes.into()).await.map_err(unavailable)?;
            return Ok(());
        }
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = self.bucket.put_multipart_opts(&path, options).await.map_err(unavailable)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let sent = async {
            let mut buffer = vec![0; 256 * 1024];
            loop {
                upload.wait_for_capacity(PARTS_AT_ONCE).await.map_err(unavailable)?;
                match file.read(&mut buffer).await? {
                    0 => return Ok(()),
                    n => upload.write(&buffer[..n]),
                }
            }
        }
        .await;
        match sent {
            Ok(()) => upload.finish().await.map_err(unavailable).map(|_| ()),
            Err(e) => {
                // What cannot be taken back now is left to the bucket's life-cycle rule.
                let _ = upload.abort().await;
                Err(e)
            }
        }
    }

    /// The bytes from `start` on, and the size of the whole.
    pub(super) async fn read(&self, name: &str, start: u64) -> Result<Option<(Pin<Box<dyn AsyncRead + Send>>, u64)>> {
        let range = (start > 0).then_some(GetRange::Offset(start));
        match self.bucket.get_opts(&self.path(name), GetOptions { range, ..GetOptions::default() }).await {
            Ok(object) => {
                let size = object.meta.size;
                Ok(Some((Box::pin(StreamReader::new(object.into_stream())), size)))
            }
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(e) => Err(unavailable(e)),
        }
    }

    /// An address from which anyone may download the package for a while.
    pub(super) async fn presign(&self, name: &str) -> Result<String> {
        let url = self.public.signed_url(Method::GET, &self.path(name), PRESIGNED).await.map_err(unavailable)?;
        Ok(url.into())
    }

    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        match self.bucket.delete(&self.path(name)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(e) => Err(unavailable(e)),
        }
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.bucket.rename(&self.path(from), &self.path(to)).await.map_err(unavailable)
    }

    pub(super) fn list(&self, folder: &str) -> impl Stream<Item = Result<Stored>> + Send + use<> {
        let before = self.prefix.parts().count();
        self.bucket.list(Some(&self.path(folder))).map(move |object| {
            let object = object.map_err(unavailable)?;
            let path: Path = object.location.parts().skip(before).collect();
            Ok(Stored { path: path.into(), size: object.size, modified: SystemTime::from(object.last_modified) })
        })
    }

    /// Whether the bucket answered lately.
    pub(super) async fn answers(&self) -> bool {
        let is_due = {
            let mut asked = self.probe.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let pause = if self.probe.failed.load(Ordering::Relaxed) { Duration::from_secs(2) } else { PROBES };
            let is_due = asked.is_none_or(|at| at.elapsed() >= pause);
            if is_due {
                *asked = Some(Instant::now());
            }
            is_due
        };
        if is_due {
            // An object that is not there is an answer too.
            let nothing = self.path("probe");
            let failed = match tokio::time::timeout(Duration::from_secs(3), self.bucket.head(&nothing)).await {
                Ok(Ok(_) | Err(StoreError::NotFound { .. })) => false,
                Ok(Err(_)) | Err(_) => true,
            };
            self.probe.failed.store(failed, Ordering::Relaxed);
        }
        !self.probe.failed.load(Ordering::Relaxed)
    }
}

fn unavailable(error: StoreError) -> Error {
    Error::Unavailable(anyhow::Error::new(error).context("the bucket"))
}
