//! What a batch has spent on labels, kept in one row that every process adds to.
//!
//! It is added up as calls end, not as parts are committed, so that a batch stops when its money is gone. Calls that are under way at that
//! moment are still paid: the bound may be passed by a block of calls for every process at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::BatchId;
use domain::keys::budget_pool;
use domain::ports::{KeyRow, KeyStore, PortResult};

const ATTEMPTS: u32 = 16;

/// The spending of a batch.
pub(super) struct Spending {
    keys: Arc<dyn KeyStore>,
    row: String,
    /// A partition of its own, which goes with the batch.
    pool: String,
    /// `None` for no bound: then nothing is written down either.
    budget: Option<u64>,
    spent: AtomicU64,
}

impl Spending {
    pub(super) async fn of(
        keys: &Arc<dyn KeyStore>,
        batch: BatchId,
        budget: Option<u64>,
    ) -> PortResult<Self> {
        let spending = Self {
            keys: Arc::clone(keys),
            row: batch.to_string(),
            pool: budget_pool(batch),
            budget,
            spent: AtomicU64::new(0),
        };
        if budget.is_some() {
            let (_, spent) = spending.read().await?;
            spending.spent.store(spent, Ordering::SeqCst);
        }
        Ok(spending)
    }

    /// Whether nothing more may be spent, as far as is known here.
    pub(super) fn is_used_up(&self) -> bool {
        self.budget
            .is_some_and(|budget| self.spent.load(Ordering::SeqCst) >= budget)
    }

    /// Adds what calls cost.
    pub(super) async fn add(&self, micro_usd: u64) -> PortResult<()> {
        if self.budget.is_none() || micro_usd == 0 {
            return Ok(());
        }
        for _ in 0..ATTEMPTS {
            let (version, spent) = self.read().await?;
            let row = KeyRow {
                key: self.row.clone(),
                version,
                state: (spent + micro_usd).to_string(),
            };
            if self.keys.put_key_row(&self.pool, &row).await? {
                self.spent.store(spent + micro_usd, Ordering::SeqCst);
                return Ok(());
            }
        }
        // So many others spend at the same time that one of them will see it.
        self.spent.fetch_add(micro_usd, Ordering::SeqCst);
        tracing::warn!(batch = self.row, micro_usd, "spending not written down");
        Ok(())
    }

    async fn read(&self) -> PortResult<(u64, u64)> {
        let rows = self.keys.key_rows(&self.pool).await?;
        let row = rows.into_iter().find(|row| row.key == self.row);
        Ok(row.map_or((0, 0), |row| (row.version, row.state.parse().unwrap_or(0))))
    }
}
