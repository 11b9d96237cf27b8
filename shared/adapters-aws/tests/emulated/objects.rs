use std::time::Duration;

use aws_emulators::Stack;
use bytes::Bytes;
use domain::keys;
use futures::TryStreamExt;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStoreExt, PutMode, PutOptions, WriteMultipart};
use test_support::a_batch;

/// What somebody without credentials gets who knows an address.
async fn ask(method: Method, url: &str, body: impl Into<Bytes>) -> (StatusCode, Bytes) {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body(Full::new(body.into()))
        .unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, body)
}

#[tokio::test]
async fn an_object_is_created_once() {
    let objects = crate::aws(&Stack::create().await).objects();
    let key = Path::from("results/1");
    let create = || PutOptions::from(PutMode::Create);
    objects
        .put_opts(&key, "first".into(), create())
        .await
        .unwrap();
    let second = objects.put_opts(&key, "second".into(), create()).await;
    assert!(matches!(
        second,
        Err(object_store::Error::AlreadyExists { .. })
    ));
    let stored = objects.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!(stored, "first");
}

#[tokio::test]
async fn a_missing_object_is_not_found() {
    let objects = crate::aws(&Stack::create().await).objects();
    let missing = objects.get(&Path::from("results/none")).await;
    assert!(matches!(missing, Err(object_store::Error::NotFound { .. })));
    let missing = objects.head(&Path::from("results/none")).await;
    assert!(matches!(missing, Err(object_store::Error::NotFound { .. })));
}

#[tokio::test]
async fn a_range_of_an_object_is_read_alone() {
    let objects = crate::aws(&Stack::create().await).objects();
    let key = Path::from("lists/1");
    objects.put(&key, "0123456789".into()).await.unwrap();
    assert_eq!(objects.get_range(&key, 3..6).await.unwrap(), "345");
    let from = GetOptions {
        range: Some(GetRange::Offset(7)),
        ..GetOptions::default()
    };
    let rest = objects.get_opts(&key, from).await.unwrap();
    assert_eq!(rest.bytes().await.unwrap(), "789");
}

#[tokio::test]
async fn a_large_object_is_written_in_parts_and_read_as_a_whole() {
    const LENGTH: usize = 12 * 1024 * 1024;
    let objects = crate::aws(&Stack::create().await).objects();
    let key = Path::from("exports/1");
    let upload = objects.put_multipart(&key).await.unwrap();
    let mut upload = WriteMultipart::new(upload);
    let content: Vec<u8> = (0..LENGTH).map(|position| (position % 251) as u8).collect();
    for piece in content.chunks(100_000) {
        upload.wait_for_capacity(2).await.unwrap();
        upload.write(piece);
    }
    upload.finish().await.unwrap();

    let mut stream = objects.get(&key).await.unwrap().into_stream();
    let mut read = Vec::with_capacity(LENGTH);
    while let Some(piece) = stream.try_next().await.unwrap() {
        read.extend_from_slice(&piece);
    }
    assert!(read == content);
}

#[tokio::test]
async fn objects_are_listed_below_a_prefix_and_deleted_together() {
    let objects = crate::aws(&Stack::create().await).objects();
    let batch = a_batch().id;
    for chunk in 0..5 {
        let key = Path::from(keys::chunk(batch, chunk));
        objects.put(&key, "rows".into()).await.unwrap();
    }
    let prefix = Path::from(keys::chunks(batch));
    let found: Vec<_> = objects.list(Some(&prefix)).try_collect().await.unwrap();
    assert_eq!(found.len(), 5);
    for object in found {
        objects.delete(&object.location).await.unwrap();
    }
    let found: Vec<_> = objects.list(Some(&prefix)).try_collect().await.unwrap();
    assert_eq!(found.len(), 0);
}

#[tokio::test]
async fn a_list_is_handed_in_at_its_presigned_address() {
    let stack = Stack::create().await;
    let aws = crate::aws(&stack);
    let batch = a_batch().id;
    let upload = aws.upload_urls().upload_url(batch).await.unwrap();
    assert!(upload.expires_at > Timestamp::now());
    assert!(upload.expires_at < Timestamp::now() + Duration::from_secs(16 * 60));
    for part in [
        "X-Amz-Signature=",
        "X-Amz-Expires=900",
        &keys::upload(batch),
    ] {
        assert!(upload.url.contains(part), "{part}");
    }
    let (status, _) = ask(Method::PUT, &upload.url, "url\nhttp://a.example/1.png\n").await;
    assert_eq!(status, StatusCode::OK);
    let key = Path::from(keys::upload(batch));
    let stored = aws.objects().get(&key).await.unwrap();
    assert_eq!(
        stored.bytes().await.unwrap(),
        "url\nhttp://a.example/1.png\n"
    );
}

/// The least that S3 takes as a part that is not the last.
const PART_BYTES: usize = 5 * 1024 * 1024;

#[tokio::test]
async fn a_list_in_parts_goes_on_after_an_interruption_and_is_put_together() {
    let stack = Stack::create().await;
    let aws = crate::aws(&stack);
    let batch = a_batch().id;
    let first = aws.upload_urls();
    assert_eq!(first.parts(batch, false).await.unwrap(), []);
    assert!(first.part_url(batch, 1, 5).await.unwrap().is_none());
    assert_eq!(first.parts(batch, true).await.unwrap(), []);
    let whole = vec![b'a'; PART_BYTES];
    let address = first.part_url(batch, 1, whole.len() as u64).await.unwrap();
    let (status, _) = ask(Method::PUT, &address.unwrap().url, whole).await;
    assert_eq!(status, StatusCode::OK);

    // Somebody else, later: the same upload.
    let second = aws.upload_urls();
    let there = second.parts(batch, true).await.unwrap();
    let there: Vec<_> = there.iter().map(|part| (part.number, part.bytes)).collect();
    assert_eq!(there, [(1, PART_BYTES as u64)]);
    let address = second.part_url(batch, 2, 3).await.unwrap();
    let (status, _) = ask(Method::PUT, &address.unwrap().url, "end").await;
    assert_eq!(status, StatusCode::OK);
    second.put_together(batch).await.unwrap();
    second.put_together(batch).await.unwrap();

    let key = Path::from(keys::upload(batch));
    let stored = aws.objects().get(&key).await.unwrap();
    let stored = stored.bytes().await.unwrap();
    assert_eq!(stored.len(), PART_BYTES + 3);
    assert!(stored.ends_with(b"aaend"));
    assert_eq!(second.parts(batch, false).await.unwrap(), []);
}

#[tokio::test]
async fn an_object_is_downloaded_from_its_presigned_address() {
    let aws = crate::aws(&Stack::create().await);
    let key = Path::from("exports/1.csv");
    aws.objects().put(&key, "rows".into()).await.unwrap();
    let url = aws
        .download_urls()
        .download_url(key.as_ref())
        .await
        .unwrap();
    let (status, body) = ask(Method::GET, &url, "").await;
    assert_eq!((status, body), (StatusCode::OK, Bytes::from("rows")));
}
