//! Infrastructure faults of the use cases. A bad row is never one.

use domain::ports::PortError;

/// What a use case returns.
pub type PipelineResult<T> = Result<T, PipelineError>;

/// The work could not be done now, or not at all. A message that met one stays in its queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The store or a queue failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The object store failed.
    #[error("object {key} could not be {operation}")]
    Object {
        /// `read`, `written`, `listed` or `removed`.
        operation: &'static str,
        /// The object's key.
        key: String,
        /// The object store's own error.
        #[source]
        source: object_store::Error,
    },
    /// An object of ours does not hold what it should.
    #[error("object {key} is damaged: {reason}")]
    CorruptObject {
        /// The object's key.
        key: String,
        /// What was wrong with it.
        reason: String,
    },
    /// A message of ours does not hold what it should.
    #[error("the message is not one of the {queue} queue")]
    MalformedMessage {
        /// The queue it lay in.
        queue: domain::ports::Queue,
        /// The parser's own error.
        #[source]
        source: serde_json::Error,
    },
    /// The local disk failed.
    #[error("scratch space could not be used")]
    Scratch(#[source] std::io::Error),
    /// Duplicates could not be found.
    #[error(transparent)]
    Duplicates(#[from] duplicates::DuplicatesError),
    /// Some messages were not accepted after every attempt.
    #[error("{unsent} of the messages for the {queue} queue were not accepted")]
    Unsent {
        /// The queue they were for.
        queue: domain::ports::Queue,
        /// How many.
        unsent: usize,
    },
    /// A task of ours ended by panicking.
    #[error("a worker task panicked")]
    Panicked(#[source] tokio::task::JoinError),
}

impl PipelineError {
    /// Whether the same work may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Port(error) => error.is_retryable(),
            Self::Object { source, .. } => !matches!(source, object_store::Error::NotFound { .. }),
            Self::Duplicates(error) => error.is_retryable(),
            Self::Scratch(_) | Self::Unsent { .. } => true,
            Self::CorruptObject { .. } | Self::MalformedMessage { .. } | Self::Panicked(_) => false,
        }
    }
}
