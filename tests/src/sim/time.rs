//! Virtual time. The clock of a simulation is paused and jumps to the next thing that is due.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Lets simulated time pass: not a wait for anything.
pub(super) async fn pass(time: Duration) {
    if !time.is_zero() {
        sleep_until(Instant::now() + time).await;
    }
}
