//! Finds duplicates among rows on standard input, for `tests/duplicates/compare.py`. In, tab-separated: SHA-256, pHash, entropy,
//! contrast. Out, for every row that belongs to a group: its number, `exact`, `near` or `first`, and the number of the group's first.
//!
//! `cargo run --release -p duplicates --example find_in_rows -- [--distance D] [--mirrored | --turned]`

use std::error::Error;
use std::io::{self, BufRead, Write};

use duplicates::{Duplicate, Finder, Image, Orientation, Settings};

fn main() -> Result<(), Box<dyn Error>> {
    let mut settings = Settings::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--distance" => {
                settings.max_distance = arguments.next().unwrap_or_default().parse()?;
            }
            "--mirrored" => settings.orientation = Orientation::Mirrored,
            "--turned" => settings.orientation = Orientation::Turned,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let scratch = tempfile::tempdir()?;
    let mut finder = Finder::new(settings, scratch.path())?;
    for (row, line) in io::stdin().lock().lines().enumerate() {
        finder.add(&parse(row as u64, &line?)?)?;
    }
    let mut output = io::stdout().lock();
    for finding in finder.finish()? {
        let finding = finding?;
        let Some(group) = finding.group else {
            continue;
        };
        let relation = match finding.duplicate {
            Some(Duplicate::Exact(_)) => "exact",
            Some(Duplicate::Near(_)) => "near",
            None => "first",
        };
        writeln!(output, "{}\t{relation}\t{}", finding.row, group.row)?;
    }
    Ok(())
}

fn parse(row: u64, line: &str) -> Result<Image, Box<dyn Error>> {
    let mut fields = line.split('\t');
    let mut next = || fields.next().ok_or("a row has four fields");
    let digits = next()?;
    let mut sha256 = [0; 32];
    for (byte, position) in sha256.iter_mut().zip((0..).step_by(2)) {
        let pair = digits.get(position..position + 2).ok_or("64 digits")?;
        *byte = u8::from_str_radix(pair, 16)?;
    }
    Ok(Image {
        row,
        sha256,
        phash: Some(next()?.parse()?),
        entropy: Some(next()?.parse()?),
        contrast: Some(next()?.parse()?),
        host: 0,
        pixels: 0,
        bytes: 0,
    })
}
