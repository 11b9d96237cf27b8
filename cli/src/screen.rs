//! What a person sees: progress while it runs, a report at the end.

pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod report;

use std::io::{self, ErrorKind, Write};

/// Writes data to standard output. A reader that went away, as `head` does, has what it wanted.
pub(crate) fn print_data(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}
