use async_trait::async_trait;
use domain::ports::{PortError, PortErrorKind, PortResult, Scaler};
use parking_lot::Mutex;

/// A platform that allows what it is told to, and remembers.
#[derive(Debug)]
pub struct ManualScaler {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    allowed: u64,
    told: Vec<u64>,
    fault: Option<PortErrorKind>,
}

impl ManualScaler {
    /// One that allows so many workers at once.
    pub const fn allowing(workers: u64) -> Self {
        Self {
            kept: Mutex::new(Kept {
                allowed: workers,
                told: Vec::new(),
                fault: None,
            }),
        }
    }

    /// Everything that it was told, in order.
    pub fn told(&self) -> Vec<u64> {
        self.kept.lock().told.clone()
    }

    /// Somebody else sets it.
    pub fn set(&self, workers: u64) {
        self.kept.lock().allowed = workers;
    }

    /// From now on every call fails like this; with `None` none does.
    pub fn fail(&self, kind: Option<PortErrorKind>) {
        self.kept.lock().fault = kind;
    }
}

impl Kept {
    fn check(&self) -> PortResult<()> {
        match self.fault {
            Some(kind) => Err(PortError::new(kind, "scale", "as the test has it")),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Scaler for ManualScaler {
    async fn allowed(&self) -> PortResult<u64> {
        let kept = self.kept.lock();
        kept.check().map(|()| kept.allowed)
    }

    async fn allow(&self, workers: u64) -> PortResult<()> {
        let mut kept = self.kept.lock();
        kept.check()?;
        kept.told.push(workers);
        kept.allowed = workers;
        Ok(())
    }
}
