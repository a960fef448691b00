//! Waiting for a condition instead of for an amount of time.
//!
//! No suite sleeps: it names what it waits for and how long that may take. The only pause of the
//! harness is in here.

use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks at a condition: short against anything that is waited for, long against
/// the cost of a look.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks at `condition` until it holds.
///
/// # Panics
/// When it does not hold within `deadline`; the message says `what` was waited for.
#[track_caller]
pub fn wait_until(deadline: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(deadline, condition), "waited {deadline:?} in vain: {what}");
}

/// Looks at `condition` until it holds, and says whether it did within `deadline`. It is looked at
/// once at least, and once more when the time is over.
#[must_use]
pub fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        let last = Instant::now() >= end;
        if condition() {
            return true;
        }
        if last {
            return false;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_looked_at_even_without_time() {
        assert!(holds_within(Duration::ZERO, || true));
        assert!(!holds_within(Duration::ZERO, || false));
    }

    #[test]
    fn waiting_ends_when_the_condition_holds() {
        let mut looks = 0;
        wait_until(Duration::from_secs(60), "three looks", || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    #[should_panic(expected = "in vain: the impossible")]
    fn a_missed_deadline_names_the_condition() {
        wait_until(Duration::ZERO, "the impossible", || false);
    }
}
