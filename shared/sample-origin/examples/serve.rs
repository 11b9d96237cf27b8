//! Serves a corpus until the standard input ends, so that a client's processor time can be measured apart from the host's:
//! `cargo run --profile demo -p sample-origin --example serve -- 2000 bench 8090 > urls.csv`.
//!
//! Prints the URL of every image, one a line.

use std::io::{self, Read, Write};
use std::sync::Arc;

use sample_origin::{Corpus, Origin, OriginOptions, Profile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(300), |count| count.parse())?;
    let profile = if arguments.next().as_deref() == Some("bench") {
        Profile::Bench
    } else {
        Profile::Demo
    };
    let port = arguments.next().map_or(Ok(0), |port| port.parse())?;

    let corpus = Arc::new(Corpus::generate_profile(profile, 1, count));
    let origin = Origin::start_with(
        Arc::clone(&corpus),
        OriginOptions {
            port,
            ..OriginOptions::default()
        },
    )?;
    let mut out = io::stdout().lock();
    for sample in &corpus.images {
        writeln!(out, "{}/image/{}", origin.base_url(), sample.name)?;
    }
    out.flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
