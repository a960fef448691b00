//! A province that never was: an endless stream of the records that Liaoning's post offices might
//! produce.
//!
//! The stream is a function of its seed and of the instants at which it is asked: no clock, no
//! I/O, nothing of Kafka. Whoever calls decides how fast time passes ([`Province::intensity`] says
//! how fast it would).

pub(super) mod dice;
mod finance;
mod parcels;
#[cfg(test)]
mod tests;
mod value;

use postroad_schemas::contract::Contract;
use postroad_schemas::units::Timestamp;

use self::dice::Dice;
use self::finance::Counters;
use self::parcels::Parcels;
use super::faults::{self, Faults};
use super::shapes;

/// An event happens up to this long before its record, in milliseconds.
const DELAY_MS_MAX: i64 = 2_000;

/// What kind of province.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProvinceOptions {
    /// Equal seeds, asked at equal instants, give equal bytes (within one version of `rand`).
    pub seed: u64,
    /// Whether producers misbehave: duplicates, late and broken records, tombstones, reversals.
    pub faults: bool,
    /// The part of all events on the finance topic, 0 to 1.
    pub finance_share: f64,
    /// How many events there are for each of the real province's; scales what savings accrue.
    pub scale: f64,
}

impl Default for ProvinceOptions {
    fn default() -> Self {
        Self { seed: 0, faults: true, finance_share: shapes::FINANCE_SHARE, scale: 1.0 }
    }
}

/// One record, ready to be produced to the topic of its contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// Which topic it belongs on.
    pub contract: Contract,
    /// The same for all records of one parcel, one account, or one prefecture's accruals.
    pub key: Vec<u8>,
    /// The event as JSON; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The record's timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

/// The generator.
#[derive(Debug)]
pub struct Province {
    options: ProvinceOptions,
    dice: Dice,
    parcels: Parcels,
    counters: Counters,
    faults: Faults,
}

impl Province {
    /// A province in the middle of its work: parcels are on their way at every stage, so the first
    /// events of some belong to acceptances before the stream began.
    pub fn new(options: ProvinceOptions) -> Self {
        let mut dice = Dice::new(options.seed);
        let parcels = Parcels::new(&mut dice);
        let counters = Counters::new(options.scale);
        Self { options, dice, parcels, counters, faults: Faults::default() }
    }

    /// The next record, produced at `now_ms` milliseconds since the epoch (years 1970 to 9999).
    ///
    /// The event happened up to two seconds earlier; with faults, sometimes hours or days earlier.
    /// `now_ms` need not advance between calls, and the mix of events does not depend on it, save
    /// that with every new business day the savings accruals of the day before come due.
    pub fn next(&mut self, now_ms: i64) -> Simulated {
        if self.options.faults
            && let Some(faulty) = self.faults.strike(&mut self.dice, now_ms)
        {
            return faulty;
        }
        let record = self.good(now_ms);
        if self.options.faults {
            self.faults.remember(&record);
        }
        record
    }

    /// Events per hour at an instant, against the mean hour of a year (1.0), by the hourly, weekly
    /// and monthly shapes of business in UTC+08:00. It is 0.0 from two to six at night.
    pub fn intensity(at_ms: i64) -> f64 {
        shapes::intensity(Timestamp::from_millis(at_ms))
    }

    /// A record that can be used, if perhaps a late one.
    fn good(&mut self, now_ms: i64) -> Simulated {
        let dice = &mut self.dice;
        let finance = dice.chance(self.options.finance_share);
        let delay_ms = dice.between(0, DELAY_MS_MAX);
        let (late_ms, reversals) = if self.options.faults {
            (Faults::lateness_ms(dice), faults::REVERSALS)
        } else {
            (0, 0.0)
        };
        let (contract, (key, value)) = if finance {
            (Contract::Finance, self.counters.next(dice, now_ms - delay_ms, late_ms, reversals))
        } else {
            (Contract::Parcel, self.parcels.next(dice, now_ms, delay_ms, late_ms))
        };
        Simulated { contract, key, value: Some(value), timestamp_ms: now_ms }
    }
}
