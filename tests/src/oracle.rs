//! The naive oracle: what CONTRACT says about one shard, written for the eye and not for the clock.
//!
//! It shares no line and no idea with the implementation that it judges: JSON is read character by
//! character into a value that keeps repetitions, dates are found by counting days, keys are
//! strings, sums are `i128`, and the dedupe window is a list that is read from its end. Its cost
//! grows with the square of the log: thousands of records, not millions. Where the two disagree,
//! CONTRACT decides who is wrong.

mod json;
mod judge;
#[cfg(test)]
mod tests;
pub(crate) mod time;

use std::collections::{BTreeMap, BTreeSet};

use judge::Valid;

/// The settings and codes that a verdict depends on.
#[derive(Debug, Clone)]
pub struct OracleRules {
    /// The codes of the known prefectures.
    pub prefectures: BTreeSet<String>,
    /// How far apart two shard hours may be for the later of two equal ids to be a duplicate;
    /// inclusive.
    pub dedupe_window_h: i64,
    /// Hours after the end of the business day from which a record counts as late.
    pub late_after_h: i64,
    /// Hours after the end of the business day from which a record counts as restating.
    pub final_after_h: i64,
    /// The longest acceptable value, in bytes; inclusive.
    pub value_bytes_max: usize,
}

/// A Kafka record, as far as a fold can see it.
#[derive(Debug, Clone, PartialEq)]
pub struct OracleRecord {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp in milliseconds since the epoch; negative means absent, too.
    pub timestamp_ms: Option<i64>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It changed a cell.
    Applied,
    /// It was valid, but its id is within the window.
    Duplicate,
    /// It was not valid.
    Rejected {
        /// One of CONTRACT's reasons.
        reason: String,
        /// The known field at fault, where one is; CONTRACT does not fix it, so compare it apart
        /// from the reason.
        field: Option<String>,
    },
    /// It was a tombstone.
    Ignored,
    /// Its offset was below `next_offset`: it was not even counted.
    Skipped,
}

/// A rejected record: offset, its own timestamp in microseconds (`None` where it has none, or one
/// beyond an `i64`), the reason, and the field at fault.
pub type OracleReject = (i64, Option<i64>, String, Option<String>);

/// A cell's key: `YYYY-MM-DD`, prefecture code, product code.
pub type OracleKey = (String, String, String);

/// Declares the cell's measures once, so that no sum can forget one.
macro_rules! cell {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The sums of one business day, prefecture and product; too wide to overflow.
        #[derive(Default, PartialEq, Eq, PartialOrd, Ord, Debug, Clone)]
        pub struct OracleCell {
            $($(#[$doc])* pub $name: i128,)*
        }

        impl OracleCell {
            /// Every measure with its name, in CONTRACT's order of columns.
            pub fn measures(&self) -> [(&'static str, i128); 19] {
                [$((stringify!($name), self.$name),)*]
            }

            fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

cell! {
    /// Billed acceptances less voided ones, or transactions.
    volume,
    /// Signed revenue, in fen.
    revenue_fen,
    /// Accepted weight less voided weight, in grams.
    weight_g,
    /// Dispatches and arrivals.
    scans,
    /// First delivery attempts.
    due,
    /// Deliveries.
    delivered,
    /// Deliveries not after their deadline.
    on_time,
    /// Failed deliveries.
    failed_attempts,
    /// Returns.
    returned,
    /// Voided acceptances.
    voided,
    /// Net movement of balances, in fen.
    balance_fen,
    /// Gross movement, in fen.
    turnover_fen,
    /// Accounts opened less those whose opening was reversed.
    accounts_opened,
    /// Reversals and refunds.
    reversals,
    /// The part of `volume` that is tagged `agri`.
    agri_volume,
    /// The part of `revenue_fen` that is tagged `agri`, in fen.
    agri_revenue_fen,
    /// Applied events.
    events,
    /// Events whose record came `late_after_h` or more after the end of the day.
    late_events,
    /// Events whose record came `final_after_h` or more after the end of the day.
    restated_events,
}

/// One shard's state after some prefix of its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OracleShard {
    /// The sums.
    pub cells: BTreeMap<OracleKey, OracleCell>,
    /// Where the log was first read.
    pub first_offset: i64,
    /// The first offset not yet read.
    pub next_offset: i64,
    /// Records judged, of whatever verdict.
    pub consumed: i64,
    /// Records that changed a cell.
    pub applied: i64,
    /// Valid records whose id was within the window.
    pub duplicates: i64,
    /// Records that were not valid.
    pub rejected: i64,
    /// Tombstones.
    pub ignored: i64,
    /// Offsets from `first_offset` to `next_offset` at which no record came.
    pub gaps: i64,
    /// Offsets that an operator gave up; the fold leaves them to whoever knows of the decision.
    pub lost: i64,
    /// Shard time, in microseconds since the epoch; `None` before the first valid record.
    pub watermark_micros: Option<i64>,
    /// Every rejected record, in order of offsets.
    pub rejects: Vec<OracleReject>,
    contract: String,
    /// Each sighting of an id with its shard hour, oldest first; never pruned.
    sightings: Vec<(String, i64)>,
}

impl OracleShard {
    /// An empty shard that begins at `first_offset`.
    ///
    /// # Panics
    /// When the contract is neither `parcel` nor `finance`.
    pub fn new(contract: &str, first_offset: i64) -> Self {
        assert!(matches!(contract, "parcel" | "finance"), "there is no contract {contract:?}");
        Self {
            cells: BTreeMap::new(),
            first_offset,
            next_offset: first_offset,
            consumed: 0,
            applied: 0,
            duplicates: 0,
            rejected: 0,
            ignored: 0,
            gaps: 0,
            lost: 0,
            watermark_micros: None,
            rejects: Vec::new(),
            contract: contract.to_owned(),
            sightings: Vec::new(),
        }
    }

    /// Takes the next record of the log, judged at `wall_clock_micros` of the consumer's own clock.
    pub fn step(
        &mut self,
        rules: &OracleRules,
        record: &OracleRecord,
        wall_clock_micros: i64,
    ) -> Verdict {
        if record.offset < self.next_offset {
            return Verdict::Skipped;
        }
        self.gaps += record.offset - self.next_offset;
        self.next_offset = record.offset + 1;
        self.consumed += 1;
        let Some(value) = &record.value else {
            self.ignored += 1;
            return Verdict::Ignored;
        };
        let judged = judge::judge(&self.contract, rules, record, value).and_then(|event| {
            // The one judgement that is not about the record: only an otherwise valid one comes as
            // far as this.
            let ahead = event.t - i128::from(wall_clock_micros);
            if ahead > 24 * time::HOUR { Err(("clock_ahead", None)) } else { Ok(event) }
        });
        match judged {
            Ok(event) => self.take(rules, &event),
            Err((reason, field)) => {
                let (reason, field) = (reason.to_owned(), field.map(str::to_owned));
                self.rejected += 1;
                self.rejects.push((
                    record.offset,
                    timestamp_micros(record),
                    reason.clone(),
                    field.clone(),
                ));
                Verdict::Rejected { reason, field }
            }
        }
    }

    fn take(&mut self, rules: &OracleRules, event: &Valid) -> Verdict {
        let bounded = event.t.min(event.occurred_at + 24 * time::HOUR);
        let now = self.watermark_micros.map_or(bounded, |before| bounded.max(i128::from(before)));
        let now = i64::try_from(now)
            .expect("a day after a time with a four-digit year is far from overflow");
        let hour = i128::from(now).div_euclid(time::HOUR);
        let hour = i64::try_from(hour).expect("hours are fewer than microseconds");

        let last_seen =
            self.sightings.iter().rev().find(|(id, _)| *id == event.event_id).map(|(_, at)| *at);
        self.watermark_micros = Some(now);
        self.sightings.push((event.event_id.clone(), hour));
        if last_seen.is_some_and(|at| hour - at <= rules.dedupe_window_h) {
            self.duplicates += 1;
            return Verdict::Duplicate;
        }
        let key =
            (time::date_text(event.business_day), event.prefecture.clone(), event.product.clone());
        self.cells.entry(key).or_default().add(&contribution(rules, event));
        self.applied += 1;
        Verdict::Applied
    }
}

fn timestamp_micros(record: &OracleRecord) -> Option<i64> {
    record.timestamp_ms.filter(|ms| *ms >= 0)?.checked_mul(1000)
}

/// Everything that one applied event adds to its cell.
fn contribution(rules: &OracleRules, event: &Valid) -> OracleCell {
    let mut cell = if event.event_type == "reversal" {
        let undone = effect(&event.reversed_type, event);
        OracleCell {
            balance_fen: -undone.balance_fen,
            revenue_fen: -undone.revenue_fen,
            accounts_opened: -undone.accounts_opened,
            reversals: 1,
            ..OracleCell::default()
        }
    } else {
        effect(&event.event_type, event)
    };
    if event.agri {
        cell.agri_volume = cell.volume;
        cell.agri_revenue_fen = cell.revenue_fen;
    }
    let day_end = time::china_day_end(event.business_day);
    cell.events = 1;
    cell.late_events = i128::from(event.t >= day_end + i128::from(rules.late_after_h) * time::HOUR);
    cell.restated_events =
        i128::from(event.t >= day_end + i128::from(rules.final_after_h) * time::HOUR);
    cell
}

/// The effects table, one row after the other.
fn effect(event_type: &str, event: &Valid) -> OracleCell {
    let (a, r, w) =
        (i128::from(event.amount_fen), i128::from(event.revenue_fen), i128::from(event.weight_g));
    let zero = OracleCell::default();
    match event_type {
        "accepted" => OracleCell { volume: 1, revenue_fen: r, weight_g: w, ..zero },
        "voided" => OracleCell { volume: -1, revenue_fen: -r, weight_g: -w, voided: 1, ..zero },
        "dispatched" | "arrived" => OracleCell { scans: 1, ..zero },
        "out_for_delivery" => OracleCell { due: i128::from(event.attempt == 1), ..zero },
        "delivered" => {
            let on_time = event.due_at.is_some_and(|due_at| event.occurred_at <= due_at);
            OracleCell { delivered: 1, on_time: i128::from(on_time), ..zero }
        }
        "delivery_failed" => OracleCell { failed_attempts: 1, ..zero },
        "returned" => OracleCell { returned: 1, revenue_fen: r, ..zero },
        "opened" => OracleCell { accounts_opened: 1, ..zero },
        "deposit" | "transfer_in" | "purchase" | "premium" => {
            OracleCell { balance_fen: a, turnover_fen: a, volume: 1, revenue_fen: r, ..zero }
        }
        "withdrawal" | "transfer_out" | "redemption" => {
            OracleCell { balance_fen: -a, turnover_fen: a, volume: 1, revenue_fen: r, ..zero }
        }
        "fee" | "fee_accrual" => OracleCell { revenue_fen: r, ..zero },
        "sale" => OracleCell { volume: 1, turnover_fen: a, revenue_fen: r, ..zero },
        "refund" => OracleCell { revenue_fen: -r, reversals: 1, ..zero },
        other => unreachable!("{other:?} was judged to be a known type"),
    }
}
