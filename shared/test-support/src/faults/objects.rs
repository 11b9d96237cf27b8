//! The layer over objects.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ports::PortErrorKind;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};

use super::{Fault, Injected, Tapped};

impl fmt::Display for Tapped<dyn ObjectStore> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "tapped {}", self.port)
    }
}

impl fmt::Debug for Tapped<dyn ObjectStore> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[async_trait]
impl ObjectStore for Tapped<dyn ObjectStore> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let work = || {
            let (payload, options) = (payload.clone(), options.clone());
            self.port.put_opts(location, payload, options)
        };
        let name = format!("objects put {location}");
        self.process.call(&name, work).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let work = || self.port.put_multipart_opts(location, options.clone());
        let name = format!("objects upload {location}");
        self.process.call(&name, work).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let name = format!("objects get {location}");
        let fault = self.process.fault_of(&name).await;
        let work = || self.port.get_opts(location, options.clone());
        match fault {
            Some(Fault::NotThereYet) => Err(object_store::Error::NotFound {
                path: location.to_string(),
                source: "a fault on purpose".into(),
            }),
            Some(Fault::BodyBreaks) => Ok(broken_off(work().await?).await?),
            _ => self.process.call_with(fault, work).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.port.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let (port, process) = (Arc::clone(&self.port), Arc::clone(&self.process));
        let prefix = prefix.cloned();
        let call = async move {
            let listed = || {
                let listing = port.list(prefix.as_ref()).try_collect::<Vec<_>>();
                FutureExt::boxed(listing)
            };
            process.call("objects list", listed).await
        };
        stream::once(call)
            .map_ok(|objects| stream::iter(objects.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let work = || self.port.list_with_delimiter(prefix);
        self.process.call("objects list", work).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        let work = || self.port.copy_opts(from, to, options.clone());
        self.process.call("objects copy", work).await
    }
}

/// The same object with a body that ends in a fault half way.
async fn broken_off(found: GetResult) -> object_store::Result<GetResult> {
    let (meta, range) = (found.meta.clone(), found.range.clone());
    let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
    let body: Bytes = found.bytes().await?;
    let pieces = [
        Ok(body.slice(..body.len() / 2)),
        Err(object_store::Error::injected(PortErrorKind::TimedOut)),
    ];
    Ok(GetResult {
        payload: GetResultPayload::Stream(stream::iter(pieces).boxed()),
        meta,
        range,
        attributes,
        extensions,
    })
}
