//! Accepts connections and runs HTTP/1.1 on them, until an answer outside HTTP is due.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, oneshot};

use super::loads;
use super::raw::RawAnswer;
use super::routes::Site;

/// Connections waiting to be accepted: a client may open a thousand at once.
const BACKLOG: u32 = 4096;
const MAX_CONNECTIONS: usize = 8192;
/// Pause after a failed accept, which usually means that no file descriptor is left.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// Serves until `stopped` resolves, reporting the bound address first. Dropping the run time ends every connection.
pub(super) fn run(
    site: Arc<Site>,
    port: u16,
    further_hosts: u16,
    stopped: oneshot::Receiver<()>,
    report: &SyncSender<io::Result<SocketAddr>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return send(report, Err(error)),
    };
    runtime.block_on(async move {
        let (address, listeners) = match listen_on_all(port, further_hosts) {
            Ok(bound) => bound,
            Err(error) => return send(report, Err(error)),
        };
        send(report, Ok(address));
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        for listener in listeners {
            tokio::spawn(accept(listener, Arc::clone(&site), Arc::clone(&slots)));
        }
        let _ = stopped.await;
    });
}

fn send(report: &SyncSender<io::Result<SocketAddr>>, bound: io::Result<SocketAddr>) {
    // The receiver waits for exactly this message.
    let _ = report.send(bound);
}

/// Listens on 127.0.0.1 and, on the port taken there, on the addresses after it.
fn listen_on_all(port: u16, further_hosts: u16) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let first = listen(Ipv4Addr::LOCALHOST, port)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for host in 1..=further_hosts {
        listeners.push(listen(loads::address(host), address.port())?);
    }
    Ok((address, listeners))
}

fn listen(address: Ipv4Addr, port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((address, port)))?;
    socket.listen(BACKLOG)
}

async fn accept(listener: TcpListener, site: Arc<Site>, slots: Arc<Semaphore>) {
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_RETRY).await;
            continue;
        };
        let site = Arc::clone(&site);
        tokio::spawn(async move {
            // What goes wrong with a client is the client's to report.
            let _ = serve(stream, site).await;
            drop(slot);
        });
    }
}

/// Serves a connection. A service error makes hyper stop without writing; the socket is then taken back for the raw answer.
async fn serve(stream: TcpStream, site: Arc<Site>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let IpAddr::V4(address) = stream.local_addr()?.ip() else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        Box::pin(async move { site.answer(address, &request).await })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let Err(error) = poll_fn(|context| connection.poll_without_shutdown(context)).await else {
        return Ok(());
    };
    let Some(answer) = error
        .source()
        .and_then(|source| source.downcast_ref::<RawAnswer>())
    else {
        return Ok(());
    };
    answer.send(connection.into_parts().io.into_inner()).await
}
