//! What happens to single nodes of a cluster. Nodes count from 0.

use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;

use super::{Cluster, PROBE, REQUEST, START};
use crate::process::Signal;
use crate::wait::{holds_within, wait_until};

/// Partitions of `__consumer_offsets`, as the harness configures them.
pub(super) const GROUP_PARTITIONS: i32 = 4;

impl Cluster {
    /// Stops a node cleanly: it hands its partitions over first.
    pub fn stop_node(&mut self, node: usize) {
        self.nodes[node].stop();
    }

    /// Ends a node by SIGKILL.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].signal(Signal::Kill);
    }

    /// Sends a signal to a node, if it runs: a frozen one keeps its connections and is silent.
    pub fn signal_node(&mut self, node: usize, signal: Signal) {
        self.nodes[node].signal(signal);
    }

    /// Starts a node, or lets it go on where it is frozen, without waiting for anything.
    pub fn start_node(&mut self, node: usize) {
        self.nodes[node].start();
    }

    /// The node that leads a partition, if any does.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<usize> {
        leader(&self.admin, topic, partition)
    }

    /// Waits until one of these nodes leads a partition, and says which.
    ///
    /// # Panics
    /// When none does in time.
    #[track_caller]
    pub fn wait_for_leader(&self, topic: &str, partition: i32, among: &[usize]) -> usize {
        let mut found = None;
        wait_until(START, &format!("{topic}/{partition} is led by one of {among:?}"), || {
            found = self.leader(topic, partition).filter(|leader| among.contains(leader));
            found.is_some()
        });
        found.expect("it was waited for")
    }

    /// The node that coordinates a group: the leader of the group's partition of
    /// `__consumer_offsets`.
    ///
    /// # Panics
    /// When nobody does, because no group was ever there.
    pub fn coordinator(&self, group: &str) -> usize {
        let partition = group_partition(group);
        let mut found = None;
        let _ = holds_within(REQUEST, || {
            found = self.leader("__consumer_offsets", partition);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("nobody coordinates group {group}"))
    }
}

fn leader(admin: &AdminClient<DefaultClientContext>, topic: &str, partition: i32) -> Option<usize> {
    let metadata = admin.inner().fetch_metadata(Some(topic), PROBE).ok()?;
    let partitions = metadata.topics().first()?.partitions();
    let leader = partitions.iter().find(|found| found.id() == partition)?.leader();
    // Brokers count from 1; none is -1.
    usize::try_from(leader).ok()?.checked_sub(1)
}

/// The partition of `__consumer_offsets` that holds a group.
fn group_partition(group: &str) -> i32 {
    (java_hash(group) & i32::MAX) % GROUP_PARTITIONS
}

/// Java's `String.hashCode`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_hashed_as_java_does() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(group_partition("hello"), 2);
    }
}
