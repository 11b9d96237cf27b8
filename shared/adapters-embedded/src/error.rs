//! What SQLite and JSON say, in the words of the ports.

use domain::ports::{PortError, PortErrorKind};
use rusqlite::ErrorCode;

/// What a piece of work on the database can fail with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// SQLite's own error.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A stored document is not what it should be.
    #[error("a stored document cannot be read")]
    Document(#[from] serde_json::Error),
    /// The port's contract refuses the call.
    #[error("{0}")]
    Rejected(String),
}

impl Fault {
    /// The port's error for this fault of `operation`.
    pub(crate) fn into_port_error(self, operation: &'static str) -> PortError {
        let kind = match &self {
            Self::Sqlite(error) => sqlite_kind(error),
            Self::Document(_) => PortErrorKind::Corrupt,
            Self::Rejected(_) => PortErrorKind::Rejected,
        };
        PortError::new(kind, operation, self)
    }
}

/// Result codes: <https://www.sqlite.org/rescode.html>.
fn sqlite_kind(error: &rusqlite::Error) -> PortErrorKind {
    use rusqlite::Error;

    match error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => PortErrorKind::StorageFull,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => PortErrorKind::Corrupt,
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationAborted
            | ErrorCode::OperationInterrupted => PortErrorKind::Unavailable,
            _ => PortErrorKind::Rejected,
        },
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => PortErrorKind::Corrupt,
        _ => PortErrorKind::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn result_codes_keep_whether_a_retry_helps() {
        let kind = |code| {
            let failure = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            Fault::from(failure).into_port_error("test").kind
        };
        for (code, expected) in [
            (ffi::SQLITE_BUSY, PortErrorKind::Unavailable),
            (ffi::SQLITE_BUSY_SNAPSHOT, PortErrorKind::Unavailable),
            (ffi::SQLITE_LOCKED, PortErrorKind::Unavailable),
            (ffi::SQLITE_IOERR_WRITE, PortErrorKind::Unavailable),
            (ffi::SQLITE_READONLY, PortErrorKind::Unavailable),
            (ffi::SQLITE_FULL, PortErrorKind::StorageFull),
            (ffi::SQLITE_CORRUPT, PortErrorKind::Corrupt),
            (ffi::SQLITE_NOTADB, PortErrorKind::Corrupt),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, PortErrorKind::Rejected),
            (ffi::SQLITE_TOOBIG, PortErrorKind::Rejected),
        ] {
            assert_eq!(kind(code), expected, "result code {code}");
        }
    }

    #[test]
    fn an_unreadable_document_is_corrupt_and_keeps_its_cause() {
        let error = serde_json::from_str::<u8>("{").unwrap_err();
        let fault = Fault::from(error).into_port_error("read batch");
        assert_eq!(fault.kind, PortErrorKind::Corrupt);
        assert!(fault.source.is_some());
    }
}
