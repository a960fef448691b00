//! Benches of Postroad: criterion for the steps of the hot path (`cargo bench`), and the whole road
//! against a raw drain of the same topics (`cargo run --release -p postroad-benches`).
//!
//! Modules stand in the order of a run: a [`workload`] fills a [`broker`], which is emptied by a
//! [`drain`] and by the [`pipeline`] in turn; [`cpu`] says who worked, [`report`] what came of it.

pub mod workload;

pub mod broker;

pub mod drain;
pub mod pipeline;

pub mod cpu;
pub mod report;
