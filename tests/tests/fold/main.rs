//! The pure core against CONTRACT: a fold is the oracle's, however often it is interrupted.
//!
//! [`postroad_tests::pair`] puts both sides of every comparison next to each other and [`script`] drives a shard
//! through interruptions and changes of rules. Every failure names the seed of its log.

mod against_oracle;
mod boundaries;
mod cases;
mod contract;
mod days;
mod documents;
mod merge;
mod refold;
mod resume;
mod rules;
mod script;

use postroad_tests::pair;
