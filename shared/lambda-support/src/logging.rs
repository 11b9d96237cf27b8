//! Log lines: one JSON object each. The platform adds the time of its own to every line, so they carry none.

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

/// Sends every event of this process to standard output, from the level that `AWS_LAMBDA_LOG_LEVEL` names (`INFO` when it names none).
pub fn start() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|name| level_of(&name))
        .unwrap_or(LevelFilter::INFO);
    // A second subscriber in one process can only be a test's: it keeps the first.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .without_time()
        .with_current_span(true)
        .with_span_list(false)
        .with_max_level(level)
        .try_init();
}

/// Lambda's names of levels.
fn level_of(name: &str) -> Option<LevelFilter> {
    if name.eq_ignore_ascii_case("fatal") {
        return Some(LevelFilter::from_level(Level::ERROR));
    }
    name.parse().ok()
}

/// An error and what caused it, in one line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_names_of_levels_are_known() {
        assert_eq!(level_of("FATAL"), Some(LevelFilter::ERROR));
        assert_eq!(level_of("DEBUG"), Some(LevelFilter::DEBUG));
        assert_eq!(level_of("LOUD"), None);
    }
}
