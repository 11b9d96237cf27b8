//! A server on loop-back for as long as a stand-in lives.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Serves until this is dropped.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Serving {
    pub(crate) async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        Self {
            address,
            _task: AbortOnDropHandle::new(tokio::spawn(serve)),
        }
    }
}
