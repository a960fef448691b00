//! How a stop may end, and what is said of it.

use std::time::Duration;

use tracing::info;

use crate::error::{Exit, Failure};
use crate::source::kafka::TopicPartition;

/// How long a stop may take until the last checkpoints and the last publish are made.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(25);
/// How long the consumer may take to leave its group.
pub(super) const CLOSE_DEADLINE: Duration = Duration::from_secs(15);

/// How a stop ended whose puts were all answered: `unwritten` are the shards whose last checkpoint the
/// brokers did not confirm.
pub(super) fn ending(
    unwritten: &[&TopicPartition],
    published: bool,
    left: bool,
) -> Result<(), Failure> {
    let mut faults = Vec::new();
    if !unwritten.is_empty() {
        let shards: Vec<_> = unwritten.iter().map(ToString::to_string).collect();
        faults.push(format!(
            "the last checkpoints of {} were not written, since the brokers did not say that their \
             topics are still those that were read; what they lack is read again at the next start",
            shards.join(", ")
        ));
    }
    if !published {
        faults.push(format!(
            "the last publish was not made within {} s; the next one holds what it lacks",
            STOP_GRACE.as_secs()
        ));
    }
    if !left {
        faults.push(format!(
            "the consumer did not leave its group within {} s; {}",
            CLOSE_DEADLINE.as_secs(),
            if unwritten.is_empty() {
                "every checkpoint is written, so nothing is lost"
            } else {
                "the group gives its partitions to others once its session is over"
            }
        ));
    }
    if faults.is_empty() {
        info!("stopped");
        return Ok(());
    }
    Err(Failure::new(Exit::TempFail, faults.join(". ")))
}

/// The checkpoints took too long.
pub(super) fn too_slow() -> Failure {
    Failure::new(
        Exit::TempFail,
        format!(
            "the last checkpoints were not written within {} s; what they lack is read again at \
             the next start",
            STOP_GRACE.as_secs()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unwritten: &[i32], published: bool, left: bool, expect: &[&str]) {
        let of = |partition: &i32| TopicPartition::new("parcel.events", *partition);
        let unwritten: Vec<_> = unwritten.iter().map(of).collect();
        let shards: Vec<_> = unwritten.iter().collect();
        let failure = ending(&shards, published, left).err();
        assert_eq!(failure.is_some(), !expect.is_empty());
        let Some(Failure { exit, message }) = failure else { return };
        assert_eq!(exit, Exit::TempFail);
        for part in expect {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(message.contains("every checkpoint is written"), unwritten.is_empty() && !left);
    }

    /// Only what is true is said of the checkpoints, and only a stop that wrote them all succeeds.
    #[test]
    fn a_stop_succeeds_only_if_every_last_checkpoint_was_written() {
        check(&[], true, true, &[]);
        check(&[3, 5], true, true, &["of parcel.events[3], parcel.events[5] were not written"]);
        check(&[], false, true, &["the last publish was not made"]);
        check(&[], true, false, &["every checkpoint is written, so nothing is lost"]);
        check(
            &[3],
            false,
            false,
            &["parcel.events[3] were not written", "the last publish", "did not leave its group"],
        );
    }
}
