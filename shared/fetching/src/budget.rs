//! One allowance of memory for all bodies together.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

const UNIT: u64 = 1024;

/// Bounds the bytes of all bodies that are being read or waiting to be looked at.
///
/// Bodies grow while they hold what they have, so that all could end up waiting for each other. One of them at a time may
/// therefore exceed the budget: it never waits, so it ends, and gives back what it held. The bound is the budget and one body.
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    overdraft: Arc<Mutex<()>>,
}

/// A body's share; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    reserved: u64,
    permit: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedMutexGuard<()>>,
}

impl Reservation {
    /// Gives back what it has beyond `bytes`.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let units = bytes.div_ceil(UNIT);
        let Some(permit) = &mut self.permit else {
            return;
        };
        let surplus = permit.num_permits().saturating_sub(units as usize);
        drop(permit.split(surplus));
        self.reserved = self.reserved.min(units);
    }
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
        Self {
            units: Arc::new(Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))),
            overdraft: Arc::default(),
        }
    }

    /// Waits until `reservation` covers `bytes`.
    pub(crate) async fn grow(&self, reservation: &mut Reservation, bytes: u64) {
        let units = bytes.div_ceil(UNIT);
        if reservation.overdraft.is_some() || units <= reservation.reserved {
            return;
        }
        let missing = u32::try_from(units - reservation.reserved).unwrap_or(u32::MAX);
        let permit = tokio::select! {
            biased;
            Ok(permit) = Arc::clone(&self.units).acquire_many_owned(missing) => permit,
            guard = Arc::clone(&self.overdraft).lock_owned() => {
                reservation.overdraft = Some(guard);
                return;
            }
        };
        reservation.reserved = units;
        match &mut reservation.permit {
            Some(held) => held.merge(permit),
            empty => *empty = Some(permit),
        }
    }

    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.units.available_permits() as u64 * UNIT
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_a_dropped_reservation_held_is_free_again() {
        let budget = Budget::new(64 * UNIT);
        let mut reservation = Reservation::default();
        budget.grow(&mut reservation, 10 * UNIT).await;
        budget.grow(&mut reservation, 10 * UNIT + 1).await;
        budget.grow(&mut reservation, 3).await;
        assert_eq!(budget.free_bytes(), 53 * UNIT);
        drop(reservation);
        assert_eq!(budget.free_bytes(), 64 * UNIT);
    }

    #[tokio::test]
    async fn what_turned_out_not_to_be_needed_is_free_at_once() {
        let budget = Budget::new(64 * UNIT);
        let mut reservation = Reservation::default();
        budget.grow(&mut reservation, 40 * UNIT).await;
        reservation.shrink(3 * UNIT);
        assert_eq!(budget.free_bytes(), 61 * UNIT);
        budget.grow(&mut reservation, 5 * UNIT).await;
        assert_eq!(budget.free_bytes(), 59 * UNIT);
        drop(reservation);
        assert_eq!(budget.free_bytes(), 64 * UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_together_exceed_the_budget_all_end() {
        let budget = Arc::new(Budget::new(10 * UNIT));
        let mut bodies = Vec::new();
        for _ in 0..20 {
            let budget = Arc::clone(&budget);
            bodies.push(tokio::spawn(async move {
                let mut reservation = Reservation::default();
                for size in 1..=15 {
                    budget.grow(&mut reservation, size * UNIT).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }));
        }
        let all = futures::future::join_all(bodies);
        tokio::time::timeout(Duration::from_secs(60), all)
            .await
            .unwrap();
        assert_eq!(budget.free_bytes(), 10 * UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_body_at_a_time_exceeds_the_budget() {
        let budget = Budget::new(UNIT);
        let (mut first, mut second) = (Reservation::default(), Reservation::default());
        budget.grow(&mut first, 100 * UNIT).await;
        let waits =
            tokio::time::timeout(Duration::from_secs(1), budget.grow(&mut second, 2 * UNIT)).await;
        assert!(waits.is_err());
        drop(first);
        budget.grow(&mut second, 2 * UNIT).await;
    }
}
