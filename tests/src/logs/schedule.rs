//! When the records of a log happen, and which of the interesting cases each of them is.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::documents::{self, hostile_documents};
use super::render::{self, rfc3339, serialise};
use super::{WALL_CLOCK_MICROS, fresh_id, hostile, pick, rules, valid_event};
use crate::oracle::time;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2021-06-25T00:00:00Z: a month's end, and DOMAIN's canonical day, are near.
const BEGIN: i64 = 1_624_579_200 * SECOND;

/// A timestamp in milliseconds, and a value.
type Drawn = (Option<i64>, Option<Vec<u8>>);

/// The producers' common idea of the time, in microseconds, and the ids that they used lately.
pub(super) struct Schedule {
    clock: i64,
    /// Ids with about the shard time at which they were sent, newest last; what the window's edge
    /// is aimed with.
    sent: Vec<(String, i64)>,
    /// Whether this log has a producer whose clock runs years ahead, event times and all: from then
    /// on shard time stands still, which would hide every other case if it happened in each log.
    runaway: bool,
}

impl Schedule {
    pub(super) fn new(rng: &mut StdRng) -> Self {
        Self { clock: BEGIN, sent: Vec::new(), runaway: rng.random_ratio(1, 8) }
    }

    /// The next record's timestamp in milliseconds and its value.
    pub(super) fn record(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        self.advance(rng);
        match rng.random_range(0..100) {
            0..3 => (self.some_timestamp(rng), None),
            3..13 => self.resent(rng, contract),
            13..20 => self.at_window_edge(rng, contract),
            20..30 => self.at_lateness_edge(rng, contract),
            30..37 => self.out_of_order(rng, contract),
            37..43 => self.without_timestamp(rng, contract),
            43..49 => self.at_future_edge(rng, contract),
            49..52 => self.broken_clock(rng, contract),
            52..64 => self.with_one_fault(rng, contract),
            64..72 => self.hostile(rng, contract),
            72..74 => at_the_first_day(rng, contract),
            _ => self.plain(rng, contract),
        }
    }

    fn advance(&mut self, rng: &mut StdRng) {
        let step = match rng.random_range(0..100) {
            0..60 => rng.random_range(0..120_000) * 1000,
            60..75 => 0,
            75..95 => rng.random_range(0..90) * MINUTE,
            95..97 => rng.random_range(1..30) * HOUR,
            // To the very start of an hour, where hours of shard time begin.
            97..99 => HOUR - self.clock.rem_euclid(HOUR),
            _ => DAY,
        };
        self.clock = (self.clock + step).min(WALL_CLOCK_MICROS - 40 * DAY);
    }

    fn plain(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let occurred_at = self.clock - rng.random_range(0..5 * MINUTE);
        let event = valid_event(rng, contract, occurred_at);
        self.send(rng, &event, self.clock)
    }

    /// Serialises an event under a timestamp, and remembers its id.
    fn send(&mut self, rng: &mut StdRng, event: &Map<String, Value>, t: i64) -> Drawn {
        if let Some(Value::String(id)) = event.get("event_id") {
            // Shard time never goes back, and outruns no event by more than a day.
            self.sent.push((id.clone(), t.clamp(self.clock, self.clock + DAY)));
        }
        (Some(t.div_euclid(1000)), Some(serialise(rng, event)))
    }

    fn some_timestamp(&self, rng: &mut StdRng) -> Option<i64> {
        pick(
            rng,
            &[None, Some(-1), Some(i64::MIN), Some(0), Some(i64::MAX), Some(self.clock / 1000)],
        )
    }

    /// An id used lately, in an event that says something else: identity is the id's alone.
    fn resent(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let mut event = valid_event(rng, contract, self.clock);
        if let Some((id, _)) = self.recent(rng) {
            event.insert("event_id".into(), id.into());
        }
        self.send(rng, &event, self.clock)
    }

    fn recent(&self, rng: &mut StdRng) -> Option<(String, i64)> {
        let newest = self.sent.len();
        (newest > 0).then(|| self.sent[newest - 1 - rng.random_range(0..newest.min(60))].clone())
    }

    /// Moves the clock to the hour in which an id leaves the window, or the one before, give or
    /// take a millisecond.
    fn at_window_edge(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let Some((id, sent_at)) = self.recent(rng) else { return self.plain(rng, contract) };
        let window = rules().dedupe_window_h;
        let edge = (sent_at.div_euclid(HOUR) + window + pick(rng, &[0, 1, 1, 2])) * HOUR;
        let target = edge + pick(rng, &[-1000, 0, 0, 1000, 59 * MINUTE]);
        if target < self.clock || target > WALL_CLOCK_MICROS - 40 * DAY {
            return self.resent(rng, contract);
        }
        self.clock = target;
        let mut event = valid_event(rng, contract, target);
        event.insert("event_id".into(), id.into());
        self.send(rng, &event, target)
    }

    /// A timestamp exactly where lateness or restatement begins, or a millisecond before.
    fn at_lateness_edge(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let t = self.clock.div_euclid(1000) * 1000;
        let rules = rules();
        let hours = pick(rng, &[rules.late_after_h, rules.final_after_h, 0]);
        // The latest end of a day that lies so many hours back; t then moves onto the edge itself.
        let day = time::china_day(i128::from(t - hours * HOUR)) - 1;
        let end =
            i64::try_from(time::china_day_end(day)).expect("the log's days are this century's");
        let t = end + hours * HOUR + pick(rng, &[0, 0, -1000, 1000]);
        let occurred_at = end - pick(rng, &[1, 1, SECOND, HOUR]);
        let mut event = valid_event(rng, contract, occurred_at);
        if contract == "finance" && rng.random_ratio(1, 3) {
            // The accounting date decides, not the time: an event of the next morning in the books
            // of the day before.
            let after = end + pick(rng, &[0, 1, MINUTE]);
            event.insert("occurred_at".into(), rfc3339(rng, after).into());
            event.insert("accounting_date".into(), render::china_date(end, -1).into());
        }
        self.send(rng, &event, t)
    }

    fn out_of_order(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let back = pick(rng, &[MINUTE, HOUR, 25 * HOUR, 4 * DAY, 40 * DAY]);
        let t = self.clock - rng.random_range(0..back);
        let occurred_at = if rng.random() { t } else { t - rng.random_range(0..back) };
        let event = valid_event(rng, contract, occurred_at);
        self.send(rng, &event, t)
    }

    fn without_timestamp(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let ahead = pick(rng, &[0, 0, -HOUR, -3 * DAY, 30 * MINUTE, DAY]);
        let event = valid_event(rng, contract, self.clock + ahead);
        let (_, value) = self.send(rng, &event, self.clock);
        // The last of these is a timestamp, and the event is then decades ahead of it.
        (pick(rng, &[None, None, Some(-1), Some(i64::MIN), Some(0)]), value)
    }

    /// `occurred_at` exactly ten minutes after the timestamp, or a microsecond more or less.
    fn at_future_edge(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let t = self.clock.div_euclid(1000) * 1000;
        let ahead = 10 * MINUTE + pick(rng, &[0, 0, 1, -1, SECOND]);
        let event = valid_event(rng, contract, t + ahead);
        self.send(rng, &event, t)
    }

    /// Timestamps far ahead of the events, of the other producers, and of the consumer.
    fn broken_clock(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let limit = WALL_CLOCK_MICROS + DAY;
        let t = match rng.random_range(0..8) {
            0 => limit,
            1 => limit + 1000,
            2 => i64::MAX / 1000 * 1000,
            3 => self.clock + 400 * DAY,
            4 => self.clock + DAY + pick(rng, &[0, 1000, -1000]),
            5 if self.runaway => {
                let event = valid_event(rng, contract, limit);
                return self.send(rng, &event, limit);
            }
            6 => {
                // Without a timestamp it is the event that claims to come from after the consumer's
                // tomorrow.
                let claimed = limit + pick(rng, &[1, 400 * DAY]);
                let event = valid_event(rng, contract, claimed);
                return (None, Some(serialise(rng, &event)));
            }
            _ => {
                let event = valid_event(rng, contract, self.clock);
                return (Some(i64::MAX), Some(serialise(rng, &event)));
            }
        };
        let t = if rng.random_ratio(1, 2) && t < limit { t.min(WALL_CLOCK_MICROS) } else { t };
        let event = valid_event(rng, contract, self.clock);
        self.send(rng, &event, t)
    }

    /// A valid event with one or two of its fields spoilt: every reason that a value alone can
    /// have.
    fn with_one_fault(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let mut event = valid_event(rng, contract, self.clock);
        hostile::spoil(rng, contract, &mut event, self.clock);
        if rng.random_ratio(1, 6) {
            hostile::spoil(rng, contract, &mut event, self.clock);
        }
        if rng.random_ratio(1, 3) {
            // A rejected record must leave no id behind, so it shares its id with a valid one.
            if let Some((id, _)) = self.recent(rng) {
                event.entry("event_id").and_modify(|old| *old = id.into());
            }
        }
        self.send(rng, &event, self.clock)
    }

    fn hostile(&mut self, rng: &mut StdRng, contract: &str) -> Drawn {
        let mut event = valid_event(rng, contract, self.clock);
        if rng.random() {
            event.insert("event_id".into(), fresh_id(rng).into());
        }
        let t = Some(self.clock / 1000);
        match rng.random_range(0..10) {
            0..5 => {
                let documents = if contract == "finance" && rng.random_ratio(1, 3) {
                    documents::reversals(&event)
                } else {
                    hostile_documents(contract, &event)
                };
                (t, Some(pick(rng, &documents).0))
            }
            5 => (
                t,
                Some(documents::padded(
                    &event,
                    rules().value_bytes_max + rng.random_range(0..3) - 1,
                )),
            ),
            _ => {
                let mut bytes = serialise(rng, &event);
                hostile::mutate(rng, &mut bytes);
                (t, Some(bytes))
            }
        }
    }
}

/// Around 2000-01-01 at UTC+08:00, before which there are no business days.
fn at_the_first_day(rng: &mut StdRng, contract: &str) -> Drawn {
    let begin = i64::try_from(time::china_day_end(time::day_number(1999, 12, 31)))
        .expect("it is near the epoch");
    let occurred_at = begin + pick(rng, &[-1, 0, 0, -31 * DAY, -31 * DAY - 1, DAY]);
    let mut event = valid_event(rng, contract, occurred_at);
    if contract == "finance" {
        event.insert(
            "accounting_date".into(),
            pick(rng, &[json!("1999-12-31"), json!("2000-01-01"), Value::Null]),
        );
    }
    (Some(occurred_at.div_euclid(1000) + 1), Some(serialise(rng, &event)))
}
