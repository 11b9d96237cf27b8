use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{self, Instant};

/// How long an answer that is allowed to be approximate may stay wrong.
const BOUND: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until the answer is `expected`: for listings and depths, which follow writes with a delay in some adapters.
pub(crate) async fn settles_on<T: PartialEq + Debug>(expected: T, ask: impl AsyncFn() -> T) {
    let deadline = Instant::now() + BOUND;
    loop {
        let answer = ask().await;
        if answer == expected || Instant::now() > deadline {
            assert_eq!(answer, expected);
            return;
        }
        time::sleep(PAUSE).await;
    }
}
