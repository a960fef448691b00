//! The I/O shell of Postroad: what stands between the pure core and Kafka, a disk and people.
//!
//! Modules stand in the order in which a record meets them: a [`source`] delivers it, a worker of
//! [`shards`] folds it, [`checkpoint`] keeps the state in the [`store`], [`publish`] makes tables of
//! it. [`run`] is the loop that joins them; [`metrics`], [`business`] and [`http`] show it. The rest
//! is commands.

pub mod config;
pub mod reference;

pub mod source;

pub mod shards;

pub mod checkpoint;
pub mod decisions;
pub mod store;

pub mod publish;

pub mod run;

pub mod business;
pub mod http;
pub mod metrics;
pub mod status;

pub mod backfill;
pub mod check;
pub mod cli;
pub mod dead_letters;
pub mod decide;
pub mod demo;
pub mod inspect;
pub mod report;
pub mod simulate;
pub mod verify;

pub mod clock;
pub mod error;
pub mod failpoint;
pub mod offload;
