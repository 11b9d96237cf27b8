//! Faults drawn from a seed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use domain::ports::Ids;
use domain::{BatchId, BatchStatus};
use parking_lot::Mutex;

use super::{Fault, Script};

/// Turns of others that a late call waits for, at most.
const MAX_LATE: u32 = 40;

/// What goes wrong under one seed, in all processes together.
///
/// What happens at a call follows from the seed, the name of the call and how many of that name there were before. So a fault stays
/// where it is when other calls come or go.
#[derive(Debug)]
pub struct Chaos {
    seed: u64,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: HashMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
    moves: Vec<(BatchId, BatchStatus)>,
}

impl Chaos {
    /// Chaos of this seed.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            seed,
            seen: Mutex::default(),
        })
    }

    /// The script of a process in which one of so many calls goes wrong; 0 for none.
    pub fn script(self: &Arc<Self>, one_of: u32) -> Arc<dyn Script> {
        Arc::new(Scripted {
            chaos: Arc::clone(self),
            one_of,
        })
    }

    /// How often a batch moved to a state.
    pub fn moves(&self, batch: BatchId, to: BatchStatus) -> usize {
        let seen = self.seen.lock();
        let moves = seen.moves.iter();
        moves.filter(|moved| **moved == (batch, to)).count()
    }

    /// Calls so far whose name begins like this.
    pub fn calls(&self, beginning: &str) -> u64 {
        let seen = self.seen.lock();
        let calls = seen.calls.iter();
        let named = calls.filter(|(name, _)| name.starts_with(beginning));
        named.map(|(_, count)| count).sum()
    }

    /// What went wrong so far, by kind.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        self.seen.lock().faults.clone()
    }

    fn draw(&self, call: &str, one_of: u32) -> Option<Fault> {
        let mut seen = self.seen.lock();
        let count = seen.calls.entry(call.to_owned()).or_default();
        *count += 1;
        if one_of == 0 {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, call, *count).hash(&mut hasher);
        let mut random = fastrand::Rng::with_seed(hasher.finish());
        if random.u32(..one_of) > 0 {
            return None;
        }
        let fault = any_of(call, &mut random);
        *seen.faults.entry(kind(fault)).or_default() += 1;
        Some(fault)
    }
}

/// A fault that this call can have.
fn any_of(call: &str, random: &mut fastrand::Rng) -> Fault {
    if call.starts_with("queue send") && random.u32(..4) == 0 {
        return Fault::HalfAccepted;
    }
    if call.starts_with("objects get") && random.u32(..3) == 0 {
        // A store that answers "not there" for what it has taken is none that this works over: S3 reads what was written.
        return Fault::BodyBreaks;
    }
    match random.u32(..10) {
        0 | 1 => Fault::CrashBefore,
        2 | 3 => Fault::CrashAfter,
        4 | 5 => Fault::AnswerLost,
        6 => Fault::Refused,
        7 => Fault::Throttled,
        8 => Fault::Twice,
        _ => Fault::Late(random.u32(1..=MAX_LATE)),
    }
}

const fn kind(fault: Fault) -> &'static str {
    match fault {
        Fault::Refused => "refused",
        Fault::Throttled => "throttled",
        Fault::AnswerLost => "answer lost",
        Fault::Twice => "twice",
        Fault::Late(_) => "late",
        Fault::CrashBefore => "crash before",
        Fault::CrashAfter => "crash after",
        Fault::HalfAccepted => "half accepted",
        Fault::NotThereYet => "not there yet",
        Fault::BodyBreaks => "body breaks",
    }
}

struct Scripted {
    chaos: Arc<Chaos>,
    one_of: u32,
}

impl Script for Scripted {
    fn fault_of(&self, call: &str) -> Option<Fault> {
        self.chaos.draw(call, self.one_of)
    }

    fn moved(&self, batch: BatchId, to: BatchStatus) {
        self.chaos.seen.lock().moves.push((batch, to));
    }
}

/// Identities that follow from a seed.
#[derive(Debug)]
pub struct SeededIds(Mutex<fastrand::Rng>);

impl SeededIds {
    /// The identities of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Ids for SeededIds {
    fn batch_id(&self) -> BatchId {
        BatchId::new(ulid::Ulid::from(self.0.lock().u128(..)))
    }
}
