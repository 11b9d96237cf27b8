//! The data folder: everything a process keeps, for one process at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::ports::{
    AccessStore, BatchStore, CacheStore, KeyStore, MonitoringStore, PortError, SystemClock,
    WorkQueue,
};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use crate::{Database, SqliteQueue, SqliteStore};

/// Why a data folder cannot be used. Every message names the folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataFolderError {
    /// Another process works on it.
    #[error("the data folder {} is in use by another imgsweep process", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be created, or its lock file cannot be opened or locked.
    #[error("the data folder {} cannot be opened", folder.display())]
    Io {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Its state file cannot be used; the kind says whether that may pass.
    #[error("the state file of the data folder {} cannot be opened", folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// The database's error.
        #[source]
        source: PortError,
    },
    /// Its object folder cannot be used.
    #[error("the object folder of the data folder {} cannot be opened", folder.display())]
    Objects {
        /// The folder.
        folder: PathBuf,
        /// The object store's error.
        #[source]
        source: object_store::Error,
    },
}

/// A folder with `state.sqlite`, `objects/` and `lock`, held by this process until this value and every port it handed
/// out are dropped. The system frees the lock of a process that was killed.
pub struct DataFolder {
    path: PathBuf,
    database: Database,
    store: Arc<SqliteStore>,
    queue: Arc<SqliteQueue>,
    objects: Arc<LocalFileSystem>,
}

impl DataFolder {
    /// Takes the folder at `path` for this process, and creates what is missing of it. Blocks.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataFolderError> {
        let path = path.as_ref().to_path_buf();
        let io_error = |source| DataFolderError::Io {
            folder: path.clone(),
            source,
        };

        fs::create_dir_all(&path).map_err(io_error)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(io_error)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DataFolderError::InUse {
                folder: path.clone(),
            },
            TryLockError::Error(source) => io_error(source),
        })?;

        let object_folder = path.join("objects");
        fs::create_dir_all(&object_folder).map_err(io_error)?;
        let objects = LocalFileSystem::new_with_prefix(&object_folder)
            .map_err(|source| DataFolderError::Objects {
                folder: path.clone(),
                source,
            })?
            .with_automatic_cleanup(true)
            // A result must not be lost to a power cut that its commit survived.
            .with_fsync(true);

        let database =
            Database::open_locked(&path.join("state.sqlite"), Some(lock)).map_err(|source| {
                DataFolderError::State {
                    folder: path.clone(),
                    source,
                }
            })?;
        Ok(Self {
            store: Arc::new(SqliteStore::new(database.clone())),
            queue: Arc::new(SqliteQueue::new(database.clone(), Arc::new(SystemClock))),
            objects: Arc::new(objects),
            database,
            path,
        })
    }

    /// Opens the folder at `path` beside the process that works on it, to read what is there. Nothing is created. Blocks.
    ///
    /// Who writes through it competes with that process: only use ports that read.
    pub fn open_beside(path: impl AsRef<Path>) -> Result<Self, DataFolderError> {
        let path = path.as_ref().to_path_buf();
        let objects = LocalFileSystem::new_with_prefix(path.join("objects")).map_err(|source| {
            DataFolderError::Objects {
                folder: path.clone(),
                source,
            }
        })?;
        let state = path.join("state.sqlite");
        fs::metadata(&state).map_err(|source| DataFolderError::Io {
            folder: path.clone(),
            source,
        })?;
        let database = Database::open(&state).map_err(|source| DataFolderError::State {
            folder: path.clone(),
            source,
        })?;
        Ok(Self {
            store: Arc::new(SqliteStore::new(database.clone())),
            queue: Arc::new(SqliteQueue::new(database.clone(), Arc::new(SystemClock))),
            objects: Arc::new(objects),
            database,
            path,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database below [`DataFolder::store`] and [`DataFolder::queue`].
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Batches, shards and indicators.
    pub fn store(&self) -> Arc<dyn BatchStore> {
        Arc::clone(&self.store) as _
    }

    /// Who may ask.
    pub fn access(&self) -> Arc<dyn AccessStore> {
        Arc::clone(&self.store) as _
    }

    /// What operators see.
    pub fn monitoring(&self) -> Arc<dyn MonitoringStore> {
        Arc::clone(&self.store) as _
    }

    /// What is known of the keys of vision providers.
    pub fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::clone(&self.store) as _
    }

    /// Answers worth keeping.
    pub fn cache(&self) -> Arc<dyn CacheStore> {
        Arc::clone(&self.store) as _
    }

    /// The work queues. All callers get the same one, so that a send wakes every waiting receive.
    pub fn queue(&self) -> Arc<dyn WorkQueue> {
        Arc::clone(&self.queue) as _
    }

    /// Lists, chunks, results and reports, below `objects/`.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects) as _
    }
}
