//! The only place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use postroad_schemas::units::Timestamp;

/// The wall clock. Decides nothing in a fold, except whether a record's timestamp lies far ahead.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
