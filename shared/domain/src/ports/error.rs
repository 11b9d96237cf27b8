//! Infrastructure faults. A bad row, URL, host or image is never one.

use std::error::Error;

/// The result of asking a port.
pub type PortResult<T> = Result<T, PortError>;

/// What went wrong, as far as the caller may act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortErrorKind {
    /// Asked too fast; later it will do.
    Throttled,
    /// Not there, locked or out of reach for now.
    Unavailable,
    /// No answer in time: it may have been done or not.
    TimedOut,
    /// No space left.
    StorageFull,
    /// What is stored is not what was expected.
    Corrupt,
    /// Refused for what was asked; the same question will be refused again.
    Rejected,
}

/// An infrastructure fault, with the operation that met it.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {kind:?}")]
pub struct PortError {
    /// What the caller may act on.
    pub kind: PortErrorKind,
    /// What was asked, such as `commit part`.
    pub operation: &'static str,
    /// The adapter's own error.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl PortError {
    /// A fault with the adapter's own error as its source.
    pub fn new(
        kind: PortErrorKind,
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            operation,
            source: Some(source.into()),
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        match self.kind {
            PortErrorKind::Throttled
            | PortErrorKind::Unavailable
            | PortErrorKind::TimedOut
            | PortErrorKind::StorageFull => true,
            PortErrorKind::Corrupt | PortErrorKind::Rejected => false,
        }
    }
}
