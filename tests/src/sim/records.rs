//! What producers write: valid events of a few days, repeated ids, and now and then something that
//! nobody can use. Dense enough that short windows open and close within some dozens of records, with a
//! day or two left out now and then, so that old days are sealed, and close enough in time that all of it
//! is in two or three months.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::dice::mix;
use crate::logs::{pick, serialise, valid_event};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
/// When the first records are written, in microseconds since the epoch: 2021-06-29T00:00:00Z, with the
/// end of a month near.
pub(super) const BEGIN: i64 = 1_624_924_800_000_000;

/// Writes the records of one partition.
pub(super) struct Producer {
    rng: StdRng,
    contract: &'static str,
    clock: i64,
    /// Ids of the last events, to be repeated.
    sent: Vec<String>,
}

impl Producer {
    pub(super) fn new(seed: u64, contract: &'static str, partition: i32) -> Self {
        let rng = StdRng::seed_from_u64(mix(&(seed, contract, partition)));
        Self { rng, contract, clock: BEGIN, sent: Vec::new() }
    }

    /// The next record's timestamp in milliseconds and its value.
    pub(super) fn next(&mut self) -> (Option<i64>, Option<Vec<u8>>) {
        let rng = &mut self.rng;
        self.clock += match rng.random_range(0..20) {
            0 if rng.random_ratio(4, 5) => 24 * HOUR + rng.random_range(0..24 * HOUR),
            0 => HOUR + rng.random_range(0..3 * HOUR),
            1..8 => 0,
            _ => rng.random_range(0..30 * MINUTE),
        };
        let at = self.clock - rng.random_range(0..10 * MINUTE);
        let timestamp = (!rng.random_ratio(1, 30)).then(|| self.clock.div_euclid(1000));
        if rng.random_ratio(1, 25) {
            return (timestamp, None);
        }
        let mut event = valid_event(rng, self.contract, at);
        if !rng.random_ratio(1, 20) {
            event.remove("accounting_date");
        }
        if rng.random_ratio(1, 3) && !self.sent.is_empty() {
            let newest = self.sent.len();
            let repeated = self.sent[newest - 1 - rng.random_range(0..newest.min(12))].clone();
            event.insert("event_id".into(), repeated.into());
        } else if let Some(id) = event["event_id"].as_str() {
            self.sent.push(id.to_owned());
        }
        if rng.random_ratio(1, 20) {
            let (field, value) = pick(
                rng,
                &[("prefecture", "999999"), ("occurred_at", "yesterday"), ("product", "pigeon")],
            );
            event.insert(field.into(), value.into());
        }
        let mut value = serialise(rng, &event);
        if rng.random_ratio(1, 40) {
            value.truncate(rng.random_range(0..value.len()));
        }
        (timestamp, Some(value))
    }
}
