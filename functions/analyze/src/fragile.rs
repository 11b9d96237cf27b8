//! A process that a row brings down, for tests of what becomes of its chunk. No release build has it: with optimisations and without
//! `debug_assertions`, nothing watches rows.

use std::sync::Arc;

use lambda_support::Environment;
use pipeline::analyze_chunk::RowObserver;

/// Whoever aborts the process once a row is done whose address ends like `ABORT_AFTER_ROW`, if that is set.
#[cfg(debug_assertions)]
pub(crate) fn observer(environment: &mut Environment) -> Option<Arc<dyn RowObserver>> {
    let end = environment.optional("ABORT_AFTER_ROW")?;
    Some(Arc::new(Fragile { end }))
}

#[cfg(not(debug_assertions))]
pub(crate) const fn observer(_: &mut Environment) -> Option<Arc<dyn RowObserver>> {
    None
}

#[cfg(debug_assertions)]
struct Fragile {
    end: String,
}

#[cfg(debug_assertions)]
impl RowObserver for Fragile {
    fn row_done(&self, row: &domain::ResultRow) {
        if row.url.ends_with(&self.end) {
            std::process::abort();
        }
    }
}
