//! A store in front of another, through which every call passes: what it does with each kind of call is
//! a [`Station`], and `object_store_of!` makes an [`ObjectStore`] of one.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// What happens to the calls that pass; where nothing is said, they are passed on. Clones are the same.
#[async_trait]
pub(crate) trait Station: Clone + fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// The store that is passed on to.
    fn behind(&self) -> Arc<dyn ObjectStore>;

    async fn put(&self, at: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.behind().put_opts(at, payload, opts).await
    }

    async fn get(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.behind().get_opts(at, options).await
    }

    async fn delete(&self, at: &Path) -> Result<()> {
        self.behind().delete(at).await
    }

    /// Everything below a prefix, and after an offset.
    async fn list(&self, prefix: Option<&Path>, offset: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        list(&self.behind(), prefix, offset).await
    }

    async fn list_folder(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.behind().list_with_delimiter(prefix).await
    }

    async fn copy(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.behind().copy_opts(from, to, options).await
    }

    async fn rename(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.behind().rename_opts(from, to, options).await
    }
}

/// Everything that a store holds below a prefix, and after an offset.
pub(crate) async fn list(
    store: &Arc<dyn ObjectStore>,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> Result<Vec<ObjectMeta>> {
    let listing = match offset {
        None => store.list(prefix),
        Some(offset) => store.list_with_offset(prefix, offset),
    };
    listing.try_collect().await
}

/// What a store answers bit by bit.
pub(crate) type Stream<T> = BoxStream<'static, Result<T>>;

/// Deletes one after the other.
pub(crate) fn delete_each(station: &impl Station, locations: Stream<Path>) -> Stream<Path> {
    let station = station.clone();
    let delete = move |location: Result<Path>| {
        let station = station.clone();
        async move {
            let location = location?;
            station.delete(&location).await.map(|()| location)
        }
    };
    locations.then(delete).boxed()
}

/// Lists once somebody asks for the first item.
pub(crate) fn listing(
    station: &impl Station,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> Stream<ObjectMeta> {
    let (station, prefix, offset) = (station.clone(), prefix.cloned(), offset.cloned());
    stream::once(async move {
        let listed = station.list(prefix.as_ref(), offset.as_ref()).await?;
        Ok::<_, Error>(stream::iter(listed.into_iter().map(Ok)))
    })
    .try_flatten()
    .boxed()
}

/// Makes an [`ObjectStore`] of a [`Station`].
macro_rules! object_store_of {
    ($station:ty) => {
        #[::async_trait::async_trait]
        impl ::object_store::ObjectStore for $station {
            async fn put_opts(
                &self,
                location: &::object_store::path::Path,
                payload: ::object_store::PutPayload,
                opts: ::object_store::PutOptions,
            ) -> ::object_store::Result<::object_store::PutResult> {
                $crate::station::Station::put(self, location, payload, opts).await
            }

            async fn put_multipart_opts(
                &self,
                location: &::object_store::path::Path,
                opts: ::object_store::PutMultipartOptions,
            ) -> ::object_store::Result<Box<dyn ::object_store::MultipartUpload>> {
                $crate::station::Station::behind(self).put_multipart_opts(location, opts).await
            }

            async fn get_opts(
                &self,
                location: &::object_store::path::Path,
                options: ::object_store::GetOptions,
            ) -> ::object_store::Result<::object_store::GetResult> {
                $crate::station::Station::get(self, location, options).await
            }

            fn delete_stream(
                &self,
                locations: $crate::station::Stream<::object_store::path::Path>,
            ) -> $crate::station::Stream<::object_store::path::Path> {
                $crate::station::delete_each(self, locations)
            }

            fn list(
                &self,
                prefix: Option<&::object_store::path::Path>,
            ) -> $crate::station::Stream<::object_store::ObjectMeta> {
                $crate::station::listing(self, prefix, None)
            }

            fn list_with_offset(
                &self,
                prefix: Option<&::object_store::path::Path>,
                offset: &::object_store::path::Path,
            ) -> $crate::station::Stream<::object_store::ObjectMeta> {
                $crate::station::listing(self, prefix, Some(offset))
            }

            async fn list_with_delimiter(
                &self,
                prefix: Option<&::object_store::path::Path>,
            ) -> ::object_store::Result<::object_store::ListResult> {
                $crate::station::Station::list_folder(self, prefix).await
            }

            async fn copy_opts(
                &self,
                from: &::object_store::path::Path,
                to: &::object_store::path::Path,
                options: ::object_store::CopyOptions,
            ) -> ::object_store::Result<()> {
                $crate::station::Station::copy(self, from, to, options).await
            }

            async fn rename_opts(
                &self,
                from: &::object_store::path::Path,
                to: &::object_store::path::Path,
                options: ::object_store::RenameOptions,
            ) -> ::object_store::Result<()> {
                $crate::station::Station::rename(self, from, to, options).await
            }
        }
    };
}

pub(crate) use object_store_of;
