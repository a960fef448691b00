//! Where records come from: partitions of topics ([`kafka`]), or files of values ([`mod@file`]).

pub mod file;
pub mod kafka;
