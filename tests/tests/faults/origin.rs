//! A host that answers another way every time it is asked for the same image.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use parking_lot::Mutex;

/// Images that are not the same.
const IMAGES: u8 = 5;
/// A GIF of one pixel.
const IMAGE: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

/// Requests so far, by path.
type Asked = Arc<Mutex<HashMap<String, u64>>>;

/// Where it is: on a thread of its own, one for all storms of this process.
static ADDRESS: LazyLock<String> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let router = Router::new().fallback(answer).with_state(Asked::default());
            axum::serve(listener, router).await.unwrap();
        });
    });
    format!("http://{}", receiver.recv().unwrap())
});

/// The address of an image; another one for every seed and row.
pub(crate) fn url(seed: u64, row: u64) -> String {
    format!("{}/{seed}/{row}.gif", *ADDRESS)
}

/// What comes depends on the path and on how often it was asked for, and on nothing else.
async fn answer(State(asked): State<Asked>, uri: Uri) -> Response {
    let nth = {
        let mut asked = asked.lock();
        let count = asked.entry(uri.path().to_owned()).or_default();
        *count += 1;
        *count
    };
    let mut hasher = DefaultHasher::new();
    (uri.path(), nth).hash(&mut hasher);
    match hasher.finish() % 8 {
        0..=3 => ([(CONTENT_TYPE, "image/gif")], image(uri.path())).into_response(),
        4 => StatusCode::NOT_FOUND.into_response(),
        5 => StatusCode::FORBIDDEN.into_response(),
        6 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        _ => ([(CONTENT_TYPE, "text/plain")], "no image").into_response(),
    }
}

/// The same picture for every path, in one of a few colours.
fn image(path: &str) -> Vec<u8> {
    let mut image = IMAGE.to_vec();
    let sum = path.bytes().fold(0, u8::wrapping_add);
    // Red of the first colour.
    image[13] = sum % IMAGES;
    image
}
