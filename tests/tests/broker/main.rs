//! Postroad as its users run it: the real binary against a real Apache Kafka, and a real S3 server.
//! Run it by `cargo test -p postroad-tests --features broker --test broker`; it needs Java 17 or
//! newer, and Maven and Go the first time.
//!
//! Every test has its own topics, group and store, and most share one cluster, which goes away with
//! the process. What was published is judged by the naive oracle, which reads the same log by a
//! consumer of its own.

#![expect(clippy::cast_precision_loss, reason = "metrics are doubles, and counts here are small")]
#![expect(clippy::float_cmp, reason = "metrics that are counts are whole numbers")]

mod bed;
mod bucket;
mod decisions;
mod disk;
mod failpoints;
mod fences;
mod files;
mod fold;
mod group;
mod outage;
mod produce;
mod records;
mod soak;
mod stalls;
mod three_brokers;
mod unclean;
mod verify;
