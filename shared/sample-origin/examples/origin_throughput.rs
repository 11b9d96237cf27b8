//! Prints how many small requests a second the host answers over kept-alive connections:
//! `cargo run --profile demo -p sample-origin --example origin_throughput`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use sample_origin::{Corpus, Origin};

const CONNECTIONS: usize = 16;
const REQUESTS_PER_CONNECTION: usize = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let origin = Origin::start(Arc::new(Corpus::generate(1, 20)))?;
    let address = origin.addr();
    let started = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(thread::spawn(move || -> io::Result<()> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            let mut buffer = [0; 4096];
            for _ in 0..REQUESTS_PER_CONNECTION {
                stream.write_all(b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
                // The whole answer is far below one segment.
                if stream.read(&mut buffer)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Ok(())
        }));
    }
    for client in clients {
        client.join().map_err(|_| "a client thread panicked")??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = origin.requests() as f64 / seconds;
    writeln!(
        io::stdout(),
        "{} requests in {seconds:.2} s: {rate:.0} a second",
        origin.requests()
    )?;
    Ok(())
}
