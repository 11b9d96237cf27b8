//! The least that fetching a list can cost on this machine: GET over kept-alive connections on blocking sockets, every body
//! read and dropped. No look-up, no checks, no redirects, no deadlines.
//!
//! `fetch-limit LIST [CONNECTIONS]`, where every URL of LIST is plain HTTP and has the same literal address. Prints one JSON object;
//! ends with 1 when a single answer is anything but a 200 with a declared length.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, anyhow, bail, ensure};

/// Enough that the server is never idle on loop-back, few enough that threads do not get in each other's way.
const DEFAULT_CONNECTIONS: usize = 16;
/// A body is read in pieces of this many bytes at most.
const BUFFER_BYTES: usize = 256 * 1024;
const MAX_HEAD_BYTES: usize = 16 * 1024;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let list = arguments
        .next()
        .context("usage: fetch-limit LIST [CONNECTIONS]")?;
    let connections = arguments
        .next()
        .map_or(Ok(DEFAULT_CONNECTIONS), |count| count.parse())?;
    let list = std::fs::read_to_string(&list).with_context(|| list.clone())?;
    let (address, paths) = paths_of_one_host(&list)?;

    let next = AtomicUsize::new(0);
    let bytes = thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| fetch_until_none_is_left(address, &paths, &next)))
            .collect();
        let mut bytes = 0;
        for worker in workers {
            bytes += worker.join().map_err(|_| anyhow!("a worker panicked"))??;
        }
        anyhow::Ok(bytes)
    })?;
    println!("{{\"urls\": {}, \"bytes\": {bytes}}}", paths.len());
    Ok(())
}

fn paths_of_one_host(list: &str) -> anyhow::Result<(SocketAddr, Vec<&str>)> {
    let mut paths = Vec::new();
    let mut host = None;
    for url in list.lines() {
        let after_scheme = url
            .strip_prefix("http://")
            .with_context(|| format!("{url} is not plain HTTP"))?;
        let slash = after_scheme
            .find('/')
            .with_context(|| format!("{url} has no path"))?;
        let (authority, path) = after_scheme.split_at(slash);
        let first = *host.get_or_insert(authority);
        ensure!(authority == first, "{url} is not on {first}");
        paths.push(path);
    }
    let address = host.context("the list is empty")?.parse()?;
    Ok((address, paths))
}

fn fetch_until_none_is_left(
    address: SocketAddr,
    paths: &[&str],
    next: &AtomicUsize,
) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes = 0;
    while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        bytes += drop_answer(&mut stream, &mut buffer).with_context(|| (*path).to_owned())?;
    }
    Ok(bytes)
}

/// Reads one answer to its end and returns the length of its body.
fn drop_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<u64> {
    let mut filled = 0;
    let head_end = loop {
        let read = stream.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the connection ended before the body");
        filled += read;
        if let Some(end) = end_of_head(&buffer[..filled]) {
            break end;
        }
        ensure!(filled < MAX_HEAD_BYTES, "the header fields have no end");
    };
    let head = std::str::from_utf8(&buffer[..head_end])?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "answered {:?}",
        head.lines().next()
    );
    let length = content_length(head)?;
    let mut left = length
        .checked_sub((filled - head_end) as u64)
        .context("more came than was declared")?;
    while left > 0 {
        let wanted = buffer.len().min(left as usize);
        let read = stream.read(&mut buffer[..wanted])?;
        ensure!(read > 0, "the connection ended within the body");
        left -= read as u64;
    }
    Ok(length)
}

fn end_of_head(received: &[u8]) -> Option<usize> {
    let empty_line = b"\r\n\r\n";
    let start = received
        .windows(empty_line.len())
        .position(|window| window == empty_line)?;
    Some(start + empty_line.len())
}

fn content_length(head: &str) -> anyhow::Result<u64> {
    for line in head.lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            return Ok(value.trim().parse()?);
        }
    }
    bail!("the answer has no Content-Length");
}
