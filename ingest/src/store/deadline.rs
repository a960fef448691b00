//! Objects that answer in time, or say that they did not.
//!
//! A disk or a server that never answers would stop whoever waits for it for good: the publisher, a
//! claim, a start. A chain has deadlines of its own, which are shorter; this one is for all the rest.
//! A write that is given up here may still land, as after any other error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};
use tokio::time::timeout;

/// How long one answer is waited for: longer than a client's own tries take.
const LIMIT: Duration = Duration::from_secs(60);

/// A store with a deadline for each call.
#[derive(Debug)]
pub(super) struct InTime(pub(super) Arc<dyn ObjectStore>);

#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", LIMIT.as_secs())]
struct NoAnswer;

fn no_answer() -> Error {
    Error::Generic { store: "postroad", source: NoAnswer.into() }
}

async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(LIMIT, call).await.unwrap_or_else(|_| Err(no_answer()))
}

/// The same stream, which ends with an error once an item is waited for too long.
fn each_in_time<T: Send + 'static>(
    items: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let next = async |items: Option<BoxStream<'static, Result<T>>>| {
        let mut items = items?;
        match timeout(LIMIT, items.next()).await {
            Ok(item) => Some((item?, Some(items))),
            Err(_) => Some((Err(no_answer()), None)),
        }
    };
    stream::unfold(Some(items), next).boxed()
}

impl fmt::Display for InTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for InTime {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        in_time(self.0.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        in_time(self.0.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = in_time(self.0.get_opts(location, options)).await?;
        if let GetResultPayload::Stream(content) = found.payload {
            found.payload = GetResultPayload::Stream(each_in_time(content));
        }
        Ok(found)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        each_in_time(self.0.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        each_in_time(self.0.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        each_in_time(self.0.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        in_time(self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        in_time(self.0.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        in_time(self.0.rename_opts(from, to, options)).await
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutMode};
    use postroad_tests::faulty_store::{Fault, FaultyStore, Op};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_never_answered_is_an_error() {
        let faulty = FaultyStore::scripted(Arc::new(InMemory::new()));
        let store = InTime(Arc::new(faulty.clone()));
        let key = Path::from("a/b");
        for op in [Op::Put, Op::Get, Op::Head, Op::List, Op::Delete, Op::Rename] {
            faulty.fail_next(op, Fault::Hang);
            let error = match op {
                Op::Put => store.put_opts(&key, "1".into(), PutMode::Create.into()).await.err(),
                Op::Get => store.get(&key).await.err(),
                Op::Head => store.head(&key).await.err(),
                Op::List => store.list(None).try_collect::<Vec<_>>().await.err(),
                Op::Delete => store.delete(&key).await.err(),
                Op::Rename => store.rename(&key, &Path::from("c")).await.err(),
            };
            let error = error.expect("it hangs").to_string();
            assert!(error.contains("no answer within 60 s"), "{op:?}: {error}");
        }
        store.put(&key, "1".into()).await.expect("it answers again");
    }
}
