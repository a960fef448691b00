//! What a rollup cell holds, and what each event adds to it.
//!
//! Every measure is an integer and additive, so cells of any number of shards merge by addition in
//! any order, exactly. The table of effects is CONTRACT's, row by row.

use std::ops::AddAssign;

use postroad_schemas::units::{Fen, Grams, Span};

use crate::event::{Event, EventKind, Transaction};
use crate::rules::Rules;

/// The measures of one cell; all start at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measures {
    /// Accepted − voided parcels; transactions and sales.
    pub volume: i64,
    /// Signed revenue.
    pub revenue: Fen,
    /// Accepted − voided weight.
    pub weight: Grams,
    /// Dispatches and arrivals.
    pub scans: i64,
    /// First delivery attempts.
    pub due: i64,
    /// Deliveries.
    pub delivered: i64,
    /// Deliveries by their deadline.
    pub on_time: i64,
    /// Failed delivery attempts.
    pub failed_attempts: i64,
    /// Returns.
    pub returned: i64,
    /// Voided acceptances.
    pub voided: i64,
    /// Net movement of balances.
    pub balance: Fen,
    /// Gross movement.
    pub turnover: Fen,
    /// Accounts opened, less those reversed.
    pub accounts_opened: i64,
    /// Reversals and refunds.
    pub reversals: i64,
    /// The part of `volume` that carries the 惠农 tag.
    pub agri_volume: i64,
    /// The part of `revenue` that carries the 惠农 tag.
    pub agri_revenue: Fen,
    /// Applied events.
    pub events: i64,
    /// Events that came an hour or more after their day (setting `late_after_h`).
    pub late_events: i64,
    /// Events that came when their day was final (setting `final_after_h`).
    pub restated_events: i64,
}

/// The number of measures in a cell.
pub const MEASURES: usize = 19;

impl Measures {
    /// The measures in the order of their declaration, for formats that store them as a row.
    pub fn to_array(&self) -> [i128; MEASURES] {
        [
            self.volume.into(),
            self.revenue.get(),
            self.weight.get(),
            self.scans.into(),
            self.due.into(),
            self.delivered.into(),
            self.on_time.into(),
            self.failed_attempts.into(),
            self.returned.into(),
            self.voided.into(),
            self.balance.get(),
            self.turnover.get(),
            self.accounts_opened.into(),
            self.reversals.into(),
            self.agri_volume.into(),
            self.agri_revenue.get(),
            self.events.into(),
            self.late_events.into(),
            self.restated_events.into(),
        ]
    }

    /// The inverse of [`Self::to_array`]; `None` where a count does not fit 64 bits.
    pub fn from_array(row: &[i128; MEASURES]) -> Option<Self> {
        let count = |index: usize| i64::try_from(row[index]).ok();
        Some(Self {
            volume: count(0)?,
            revenue: Fen::new(row[1]),
            weight: Grams::new(row[2]),
            scans: count(3)?,
            due: count(4)?,
            delivered: count(5)?,
            on_time: count(6)?,
            failed_attempts: count(7)?,
            returned: count(8)?,
            voided: count(9)?,
            balance: Fen::new(row[10]),
            turnover: Fen::new(row[11]),
            accounts_opened: count(12)?,
            reversals: count(13)?,
            agri_volume: count(14)?,
            agri_revenue: Fen::new(row[15]),
            events: count(16)?,
            late_events: count(17)?,
            restated_events: count(18)?,
        })
    }

    /// What an event adds to its cell under these rules.
    pub fn of(event: &Event, rules: &Rules) -> Self {
        let mut measures = Self { events: 1, ..kind_effect(event) };
        if event.agri {
            measures.agri_volume = measures.volume;
            measures.agri_revenue = measures.revenue;
        }
        let day_end = event.cell.day.end();
        measures.late_events =
            (event.recorded_at >= day_end + Span::hours(rules.late_after_h)).into();
        measures.restated_events =
            (event.recorded_at >= day_end + Span::hours(rules.final_after_h)).into();
        measures
    }
}

impl AddAssign<&Measures> for Measures {
    /// Exact: a count is bounded by the number of offsets, and sums are 128 bits wide.
    fn add_assign(&mut self, other: &Measures) {
        self.volume += other.volume;
        self.revenue += other.revenue;
        self.weight += other.weight;
        self.scans += other.scans;
        self.due += other.due;
        self.delivered += other.delivered;
        self.on_time += other.on_time;
        self.failed_attempts += other.failed_attempts;
        self.returned += other.returned;
        self.voided += other.voided;
        self.balance += other.balance;
        self.turnover += other.turnover;
        self.accounts_opened += other.accounts_opened;
        self.reversals += other.reversals;
        self.agri_volume += other.agri_volume;
        self.agri_revenue += other.agri_revenue;
        self.events += other.events;
        self.late_events += other.late_events;
        self.restated_events += other.restated_events;
    }
}

/// The rows of CONTRACT's table of effects, without the common columns.
fn kind_effect(event: &Event) -> Measures {
    let none = Measures::default();
    match event.kind {
        EventKind::Accepted => {
            Measures { volume: 1, revenue: event.revenue, weight: event.weight, ..none }
        }
        EventKind::Voided => Measures {
            volume: -1,
            revenue: -event.revenue,
            weight: -event.weight,
            voided: 1,
            ..none
        },
        EventKind::Scanned => Measures { scans: 1, ..none },
        EventKind::OutForDelivery { first_attempt } => {
            Measures { due: first_attempt.into(), ..none }
        }
        EventKind::Delivered { on_time } => {
            Measures { delivered: 1, on_time: on_time.into(), ..none }
        }
        EventKind::DeliveryFailed => Measures { failed_attempts: 1, ..none },
        EventKind::Returned => Measures { returned: 1, revenue: event.revenue, ..none },
        EventKind::Transaction(transaction) => transaction_effect(transaction, event),
        EventKind::Reversal(reversed) => {
            let effect = transaction_effect(reversed, event);
            Measures {
                balance: -effect.balance,
                revenue: -effect.revenue,
                accounts_opened: -effect.accounts_opened,
                reversals: 1,
                ..none
            }
        }
    }
}

fn transaction_effect(transaction: Transaction, event: &Event) -> Measures {
    let none = Measures::default();
    match transaction {
        Transaction::Opened => Measures { accounts_opened: 1, ..none },
        Transaction::Inflow => Measures {
            balance: event.amount,
            turnover: event.amount,
            volume: 1,
            revenue: event.revenue,
            ..none
        },
        Transaction::Outflow => Measures {
            balance: -event.amount,
            turnover: event.amount,
            volume: 1,
            revenue: event.revenue,
            ..none
        },
        Transaction::Fee => Measures { revenue: event.revenue, ..none },
        Transaction::Sale => {
            Measures { volume: 1, turnover: event.amount, revenue: event.revenue, ..none }
        }
        Transaction::Refund => Measures { revenue: -event.revenue, reversals: 1, ..none },
    }
}

#[cfg(test)]
mod tests;
