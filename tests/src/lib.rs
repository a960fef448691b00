//! What Postroad's suites are made of: a naive oracle and random logs to judge the fold by, a
//! store and a proxy that fail on purpose, and drivers of real brokers, of a real S3 server and of
//! the real binary.

pub mod faulty_store;
pub mod kafka;
pub mod logs;
pub mod mock;
pub mod oracle;
pub mod pair;
pub mod process;
pub mod proxy;
pub mod s3;
pub mod sim;
mod station;
pub mod tables;
pub mod tmpfs;
pub mod wait;
