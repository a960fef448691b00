//! Where a store is: in a folder, or in a bucket at a cloud or at a server that speaks its protocol.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use url::Url;

use super::signing::OpenSsl;
use super::{PACE, Store, StoreError, failed};
use crate::error::chain;

/// How long one request may take, from its connection to the end of its answer.
const REQUEST: Duration = Duration::from_secs(6);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// A request that failed is made again until so much time has passed since the first.
const RETRIES: Duration = Duration::from_secs(3);
/// The longest wait between two requests.
const BACKOFF: Duration = Duration::from_secs(1);
/// Requests after the first. A conditional put that is made again can meet its own success, so
/// whoever makes one reads back what is there.
const RETRIES_MAX: usize = 3;

// Nobody is left waiting after the store was given up.
const _: () = assert!(
    REQUEST.as_millis() + RETRIES.as_millis() + BACKOFF.as_millis() <= PACE.call.as_millis()
);

/// Options that are not the operator's to set, under the names of [`Cloud::option`], and why.
const FIXED: [(&str, &str); 7] = [
    ("aws_bucket", "remove it: store.url names the bucket"),
    ("google_bucket", "remove it: store.url names the bucket"),
    ("azure_container_name", "remove it: store.url names the container"),
    ("aws_conditional_put", "remove it: Postroad needs conditional puts, and proves them"),
    ("timeout", WAITING),
    ("connect_timeout", WAITING),
    ("read_timeout", WAITING),
];
const WAITING: &str = "remove it: Postroad sets how long it waits for an answer";

/// Where a store is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder on a local disk.
    Folder(PathBuf),
    /// A bucket, or a part of one.
    Bucket(Bucket),
}

/// A bucket of an object store, or what lies under a prefix in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Bucket {
    cloud: Cloud,
    name: String,
    prefix: Path,
    /// What its client is told, some of it secret, under the names of [`Cloud::option`].
    options: BTreeMap<String, String>,
}

/// Whose protocol an object store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    Amazon,
    Google,
    Azure,
}

impl Cloud {
    const ALL: [Self; 3] = [Self::Amazon, Self::Google, Self::Azure];

    fn scheme(self) -> &'static str {
        match self {
            Self::Amazon => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// What the names of its variables in an environment begin with.
    fn variables(self) -> &'static str {
        match self {
            Self::Amazon => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }

    /// The one name of an option that has several; `None` where there is no such option.
    fn option(self, key: &str) -> Option<String> {
        fn name<K: FromStr + AsRef<str>>(key: &str) -> Option<String> {
            key.parse().ok().map(|key: K| key.as_ref().to_owned())
        }
        match self {
            Self::Amazon => name::<AmazonS3ConfigKey>(key),
            Self::Google => name::<GoogleConfigKey>(key),
            Self::Azure => name::<AzureConfigKey>(key),
        }
    }
}

impl Location {
    /// Understands a URL: `file:///path`, `s3://bucket/prefix`, `gs://bucket/prefix` or
    /// `az://container/prefix`.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        if url.scheme() == "file" {
            let folder = text.starts_with("file:///").then(|| url.to_file_path().ok())?;
            return folder.map(Self::Folder);
        }
        let cloud = Cloud::ALL.into_iter().find(|cloud| cloud.scheme() == url.scheme())?;
        let name = url.host_str().filter(|name| !name.is_empty())?.to_owned();
        let has_more = !url.username().is_empty()
            || url.password().is_some()
            || url.port().is_some()
            || url.query().is_some()
            || url.fragment().is_some();
        let prefix = Path::from_url_path(url.path()).ok().filter(|_| !has_more)?;
        Some(Self::Bucket(Bucket { cloud, name, prefix, options: BTreeMap::new() }))
    }

    /// Understands what was typed: a folder, or a URL.
    pub fn of_argument(text: &str) -> Option<Self> {
        if text.contains("://") { Self::parse(text) } else { Some(Self::Folder(text.into())) }
    }

    /// What is wrong with an option of this name, and what to do.
    pub fn refuse_option(&self, key: &str) -> Option<&'static str> {
        let Self::Bucket(bucket) = self else {
            return Some("remove it: a folder has no options");
        };
        let Some(name) = bucket.cloud.option(key) else {
            return Some("is not a known option of this kind of store; check its spelling");
        };
        FIXED.iter().find(|(fixed, _)| *fixed == name).map(|(_, why)| *why)
    }

    /// Sets options, over those that were set before; names that are refused are passed over.
    pub fn set_options(&mut self, options: impl IntoIterator<Item = (String, String)>) {
        for (key, value) in options {
            if self.refuse_option(&key).is_none()
                && let Self::Bucket(bucket) = self
                && let Some(name) = bucket.cloud.option(&key)
            {
                bucket.options.insert(name, value);
            }
        }
    }

    /// Sets what the cloud's own variables say: `AWS_REGION` and the like.
    pub fn set_variables(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        let Self::Bucket(Bucket { cloud, .. }) = self else { return };
        let beginning = cloud.variables();
        let ours = environment.into_iter().filter(|(name, _)| name.starts_with(beginning));
        self.set_options(ours.map(|(name, value)| (name.to_ascii_lowercase(), value)));
    }

    /// Sets the options of another place of the same kind.
    pub fn set_options_of(&mut self, other: &Self) {
        if let (Self::Bucket(ours), Self::Bucket(theirs)) = (&*self, other)
            && ours.cloud == theirs.cloud
        {
            self.set_options(theirs.options.clone());
        }
    }
}

/// The folder, or the URL without options.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(root) => root.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.cloud.scheme(), self.name)?;
        if self.prefix.is_root() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

/// Names the options but not their values, some of which are secret.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.options.keys().collect();
        write!(f, "Bucket({self}, options: {options:?})")
    }
}

impl Store {
    /// Opens a store that is there, and makes nothing; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be opened or read, is of a newer format, or has lost what says that it is a store.
    pub async fn open_existing(location: &Location) -> Result<Option<Self>, StoreError> {
        // Opening a folder would make it.
        if matches!(location, Location::Folder(root) if !root.is_dir()) {
            return Ok(None);
        }
        let store = Self::open(location)?;
        if store.exists().await? {
            return Ok(Some(store));
        }
        let mut folders = Vec::new();
        for folder in ["state", "publishes", "tables"].map(Path::from) {
            let first = store.objects.list(Some(&folder)).try_next().await;
            if first.map_err(failed("listing", &folder))?.is_some() {
                folders.push(format!("{folder}/"));
            }
        }
        if folders.is_empty() {
            return Ok(None);
        }
        Err(StoreError::Unmarked { place: location.to_string(), folders })
    }

    /// Opens the store at a place. Nothing is asked of an object store yet.
    ///
    /// # Errors
    /// Where a folder cannot be made or opened, or options of a bucket make no sense.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Folder(root) => Self::open_local(root),
            Location::Bucket(bucket) => {
                let objects = bucket.open().map_err(|error| StoreError::Options {
                    place: location.to_string(),
                    reason: bucket.without_values(chain(&error)),
                })?;
                Ok(Self::over(objects, location.to_string()))
            }
        }
    }
}

impl Bucket {
    fn open(&self) -> object_store::Result<Arc<dyn ObjectStore>> {
        let retries = RetryConfig {
            backoff: BackoffConfig { max_backoff: BACKOFF, ..BackoffConfig::default() },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRIES,
        };
        let crypto = Arc::new(OpenSsl);
        let objects: Arc<dyn ObjectStore> = match self.cloud {
            Cloud::Amazon => {
                let builder = AmazonS3Builder::new().with_bucket_name(&self.name);
                let builder = self
                    .options()
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value));
                Arc::new(builder.with_retry(retries).with_crypto_provider(crypto).build()?)
            }
            Cloud::Google => {
                let builder = GoogleCloudStorageBuilder::new().with_bucket_name(&self.name);
                let builder = self
                    .options()
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value));
                Arc::new(builder.with_retry(retries).with_crypto_provider(crypto).build()?)
            }
            Cloud::Azure => {
                let builder = MicrosoftAzureBuilder::new().with_container_name(&self.name);
                let builder = self
                    .options()
                    .fold(builder, |builder, (key, value)| builder.with_config(key, value));
                Arc::new(builder.with_retry(retries).with_crypto_provider(crypto).build()?)
            }
        };
        Ok(Arc::new(PrefixStore::new(objects, self.prefix.clone())))
    }

    /// What the client is told, by its own keys.
    fn options<K: FromStr>(&self) -> impl Iterator<Item = (K, String)> {
        let seconds = |limit: Duration| format!("{}s", limit.as_secs());
        // One object is deleted at a time, which every server can, unlike deletions in bulk.
        let before = [("aws_disable_bulk_delete".to_owned(), "true".to_owned())];
        let after = [("timeout", REQUEST), ("connect_timeout", CONNECT)];
        let after = after.map(|(key, limit)| (key.to_owned(), seconds(limit)));
        let all = before.into_iter().chain(self.options.clone()).chain(after);
        all.filter_map(|(key, value)| Some((key.parse().ok()?, value)))
    }

    /// A message in which the name of each option stands for its value.
    fn without_values(&self, message: String) -> String {
        let named = self.options.iter().filter(|(_, value)| !value.is_empty());
        named.fold(message, |message, (key, value)| message.replace(value, &format!("<{key}>")))
    }
}

#[cfg(test)]
mod tests;
