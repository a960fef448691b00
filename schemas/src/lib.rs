//! The vocabulary of Postroad: what an event may say, in which units, about which places and
//! products, and what the published tables look like.
//!
//! Modules stand in the order in which a record meets them: its value is decoded ([`json`]) into a
//! [`contract::Raw`], whose terms are [`units`], the [`calendar`] and [`codebook`] entries; what cannot be used
//! becomes a [`reject::Reject`]; what could be used ends as rows of [`tables`]. What figures are held
//! against is [`mod@reference`] data.
//!
//! This crate knows nothing of Kafka, files, clocks or the environment.

pub mod calendar;
pub mod codebook;
pub mod contract;
mod csv_rows;
pub mod json;
pub mod reference;
pub mod reject;
pub mod tables;
pub mod time;
pub mod units;
