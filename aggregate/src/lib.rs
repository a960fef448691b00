//! The pure core of Postroad: one record in, one outcome out, and a state that is a function of
//! the log.
//!
//! A record meets the modules in this order. Its value is decoded by `postroad_schemas`;
//! [`validate`] judges it under the [`rules`] in force at its offset and turns it into an
//! [`event::Event`], or into a reject; [`dedupe`] recognises ids that the shard has seen;
//! [`measures`] says what the event adds; [`shard`] applies it and keeps the [`ledger`]; what is old
//! leaves it to be sealed ([`seal`]), and operators have a say by [`decision`], for which [`replay`] works out
//! what rejected records would count for. [`merge`] adds shards up
//! and [`days`] says which days are complete; of those [`indicators`] say who grows more slowly than it ought to.
//!
//! Nothing here knows tokio, Kafka, files, clocks or the environment: time and randomness are
//! arguments. A test reads the manifest and proves it.

pub mod days;
pub mod decision;
pub mod dedupe;
pub mod event;
pub mod indicators;
pub mod invariants;
pub mod ledger;
pub mod measures;
pub mod merge;
pub mod replay;
pub mod rules;
pub mod seal;
pub mod shard;
pub mod validate;
