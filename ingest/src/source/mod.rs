//! Where records come from: partitions of topics ([`kafka`]), or files of values ([`mod@file`]).
//!
//! The loop in [`crate::run`] knows the log by two traits: a [`Consumer`] delivers records, a
//! [`Cluster`] answers questions about the log. In production both are the real client; in the
//! simulation both are a log that fails on purpose.

pub mod cluster;
pub mod file;
pub mod identity;
pub mod kafka;

pub use cluster::{Cluster, Consumer, LogRange, TopicId};
