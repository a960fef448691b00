//! The shapes of a province: who weighs how much, what is sent and paid, and when.
//!
//! Figures come from the domain page, where they are marked as assumptions; those that it leaves
//! open (quality by prefecture, weights of parcels, prices at the counter) are set here so that
//! the rates of the whole come out as a manager would expect them. Shares are integers that
//! sum to the total that each table names.

use postroad_aggregate::indicators::pace::{COUNTER_HOURS, PARCEL_HOURS};
use postroad_schemas::units::{BusinessDay, Timestamp, days_in_month};

/// The part of all events that `finance.transactions` carries: a million of five a day.
pub(super) const FINANCE_SHARE: f64 = 0.2;

/// One prefecture, as the simulator sees it.
#[derive(Debug)]
pub(super) struct Prefecture {
    /// GB/T 2260 code.
    pub(super) code: &'static str,
    /// Share of the province's business, per mille.
    pub(super) weight: u32,
    /// Probability that a parcel delivered at the first attempt makes its deadline.
    pub(super) on_time: f64,
    /// Probability that the first attempt fails.
    pub(super) first_failure: f64,
    /// Probability that an e-commerce parcel from here holds farm produce, or that a sale of the
    /// distribution business goes to a farmer: `agri`.
    pub(super) agri: f64,
}

const fn prefecture(
    code: &'static str,
    weight: u32,
    on_time: f64,
    first_failure: f64,
    agri: f64,
) -> Prefecture {
    Prefecture { code, weight, on_time, first_failure, agri }
}

/// The 14 prefectures of Liaoning; the weights sum to 1000.
pub(super) const PREFECTURES: [Prefecture; 14] = [
    prefecture("210100", 380, 0.980, 0.025, 0.0),
    prefecture("210200", 220, 0.978, 0.025, 0.0),
    prefecture("210300", 70, 0.970, 0.030, 0.0),
    prefecture("210400", 25, 0.965, 0.035, 0.0),
    prefecture("210500", 15, 0.960, 0.035, 0.0),
    prefecture("210600", 40, 0.962, 0.035, 0.30),
    prefecture("210700", 50, 0.970, 0.030, 0.20),
    prefecture("210800", 40, 0.968, 0.030, 0.0),
    prefecture("210900", 15, 0.945, 0.045, 0.25),
    prefecture("211000", 20, 0.965, 0.035, 0.0),
    prefecture("211100", 20, 0.970, 0.030, 0.25),
    prefecture("211200", 25, 0.955, 0.040, 0.30),
    prefecture("211300", 30, 0.935, 0.050, 0.35),
    prefecture("211400", 50, 0.950, 0.040, 0.20),
];

/// Position in [`PREFECTURES`] of the province's transit hub, Shenyang.
pub(super) const HUB: usize = 0;

/// A lognormal distribution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lognormal {
    /// Half of the draws lie below.
    pub(super) median: f64,
    /// Standard deviation of the natural logarithm.
    pub(super) sigma: f64,
}

impl Lognormal {
    /// The same distribution of amounts that are this many times as large.
    pub(super) fn scaled(self, factor: f64) -> Self {
        Self { median: self.median * factor, ..self }
    }
}

const fn lognormal(median: f64, sigma: f64) -> Lognormal {
    Lognormal { median, sigma }
}

/// What a parcel of one product costs and weighs.
#[derive(Debug)]
pub(super) struct ParcelProduct {
    /// Code on the wire.
    pub(super) code: &'static str,
    /// Share of acceptances, per cent.
    pub(super) share: u32,
    /// Price in fen.
    pub(super) price_fen: Lognormal,
    /// Weight in grams.
    pub(super) weight_g: Lognormal,
    /// The first two digits of its waybill numbers.
    pub(super) waybill_prefix: u64,
}

/// Position in [`PARCEL_PRODUCTS`] of the e-commerce parcel, the one that may hold farm produce.
pub(super) const ECONOMY: usize = 0;

/// The parcel line; the shares sum to 100.
pub(super) const PARCEL_PRODUCTS: [ParcelProduct; 5] = [
    ParcelProduct {
        code: "economy",
        share: 78,
        price_fen: lognormal(450.0, 0.4),
        weight_g: lognormal(800.0, 0.8),
        waybill_prefix: 98,
    },
    ParcelProduct {
        code: "express",
        share: 14,
        price_fen: lognormal(1_800.0, 0.5),
        weight_g: lognormal(500.0, 0.8),
        waybill_prefix: 11,
    },
    ParcelProduct {
        code: "standard",
        share: 5,
        price_fen: lognormal(900.0, 0.5),
        weight_g: lognormal(1_000.0, 0.8),
        waybill_prefix: 12,
    },
    ParcelProduct {
        code: "international",
        share: 1,
        price_fen: lognormal(8_000.0, 0.7),
        weight_g: lognormal(700.0, 0.7),
        waybill_prefix: 33,
    },
    ParcelProduct {
        code: "logistics",
        share: 2,
        price_fen: lognormal(6_000.0, 0.7),
        weight_g: lognormal(15_000.0, 0.7),
        waybill_prefix: 55,
    },
];

/// Kinds of business at the finance counter (and on the telephone).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Business {
    /// Money paid in.
    Deposit,
    /// Money taken out.
    Withdrawal,
    /// One leg of a transfer.
    Transfer,
    /// Wealth management products.
    Wealth,
    /// Funds.
    Fund,
    /// A new account.
    Opened,
    /// An insurance premium.
    Insurance,
    /// Treasury bonds.
    Bond,
    /// A fee by itself.
    Fee,
    /// A sale of the basic or retail line.
    Sale,
}

/// The finance mix, per mille. The last two are the domain page's "other".
pub(super) const FINANCE_MIX: [(Business, u32); 10] = [
    (Business::Deposit, 300),
    (Business::Withdrawal, 280),
    (Business::Transfer, 300),
    (Business::Wealth, 40),
    (Business::Fund, 30),
    (Business::Opened, 10),
    (Business::Insurance, 5),
    (Business::Bond, 5),
    (Business::Fee, 10),
    (Business::Sale, 20),
];

/// Deposits, withdrawals and transfers, in fen.
pub(super) const DEPOSIT_FEN: Lognormal = lognormal(300_000.0, 1.5);
/// Purchases of wealth management products, in fen.
pub(super) const WEALTH_FEN: Lognormal = lognormal(5_000_000.0, 0.8);
/// Purchases of funds, in fen.
pub(super) const FUND_FEN: Lognormal = lognormal(500_000.0, 1.0);
/// Bonds, in units of 100 yuan.
pub(super) const BOND_HUNDREDS: Lognormal = lognormal(200.0, 0.8);
/// Insurance premiums, in units of 1000 yuan.
pub(super) const PREMIUM_THOUSANDS: Lognormal = lognormal(20.0, 0.7);
/// Fees, in fen.
pub(super) const FEE_FEN: Lognormal = lognormal(500.0, 0.8);
/// What the savings of the whole province earn in a day, in fen: some ten million yuan.
pub(super) const ACCRUAL_FEN: Lognormal = lognormal(1_000_000_000.0, 0.02);

/// A product sold at the counter of the basic or retail line.
#[derive(Debug)]
pub(super) struct Goods {
    /// Code on the wire.
    pub(super) code: &'static str,
    /// Share of sales, per cent.
    pub(super) share: u32,
    /// Price in fen.
    pub(super) price_fen: Lognormal,
    /// The part of the price that is revenue, per mille: all of a stamp, the margin of a bag of rice.
    pub(super) revenue_permille: i64,
    /// Whether farmers are its customers, so that `agri` applies.
    pub(super) rural: bool,
}

const fn goods(
    code: &'static str,
    share: u32,
    price_fen: Lognormal,
    revenue_permille: i64,
    rural: bool,
) -> Goods {
    Goods { code, share, price_fen, revenue_permille, rural }
}

/// The basic and retail lines; the shares sum to 100.
pub(super) const GOODS: [Goods; 6] = [
    goods("letter", 25, lognormal(500.0, 0.8), 1_000, false),
    goods("press", 20, lognormal(12_000.0, 0.6), 300, false),
    goods("philately", 15, lognormal(9_000.0, 0.9), 1_000, false),
    goods("registered", 10, lognormal(1_200.0, 0.5), 1_000, false),
    goods("distribution", 20, lognormal(15_000.0, 0.8), 150, true),
    goods("value_added", 10, lognormal(3_000.0, 0.7), 200, false),
];

/// Parcels from Monday to Sunday, against the mean day.
const PARCEL_WEEK: [f64; 7] = [1.05, 1.04, 1.03, 1.02, 1.01, 0.95, 0.90];
/// Counter finance from Monday to Sunday, against the mean day.
const COUNTER_WEEK: [f64; 7] = [1.15, 1.15, 1.15, 1.15, 1.15, 0.75, 0.50];
/// Parcels from January to December, per cent of the year.
const PARCEL_MONTHS: [f64; 12] = [7.8, 4.3, 8.1, 7.8, 8.5, 9.0, 8.2, 8.3, 9.0, 9.1, 10.3, 9.6];

/// How busy an instant is against the mean hour of a year: 1.0 is the mean, 0.0 the dead of night.
///
/// Parcels and finance are weighed as [`FINANCE_SHARE`] has them. A caller that wants a trickle at
/// night adds a floor of its own.
pub(super) fn intensity(at: Timestamp) -> f64 {
    let day = at.business_day();
    let hour = hour_of_day(at, day);
    let weekday = weekday(day);
    let parcels = f64::from(PARCEL_HOURS[hour]) * PARCEL_WEEK[weekday] * month_factor(day);
    let counter = f64::from(COUNTER_HOURS[hour]) * COUNTER_WEEK[weekday];
    (parcels * (1.0 - FINANCE_SHARE) + counter * FINANCE_SHARE) * 24.0 / 100.0
}

fn hour_of_day(at: Timestamp, day: BusinessDay) -> usize {
    let micros = at.as_micros().saturating_sub(day.start().as_micros());
    usize::try_from(micros / 3_600_000_000).map_or(0, |hour| hour.min(23))
}

/// 0 is Monday; 1970-01-01 was a Thursday.
fn weekday(day: BusinessDay) -> usize {
    usize::try_from((i64::from(day.days()) + 3).rem_euclid(7))
        .expect("a remainder of seven is small")
}

/// A day of this month against the mean day of its year.
fn month_factor(day: BusinessDay) -> f64 {
    let (year, month, _) = day.civil();
    let year = i32::try_from(year).unwrap_or(2000);
    let year_days = 337 + days_in_month(year, 2);
    let share = PARCEL_MONTHS[month as usize - 1] / 100.0;
    share * f64::from(year_days) / f64::from(days_in_month(year, month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_what_they_claim() {
        assert_eq!(PREFECTURES.iter().map(|p| p.weight).sum::<u32>(), 1000);
        assert_eq!(PARCEL_PRODUCTS.iter().map(|p| p.share).sum::<u32>(), 100);
        assert_eq!(FINANCE_MIX.iter().map(|(_, share)| share).sum::<u32>(), 1000);
        assert_eq!(GOODS.iter().map(|g| g.share).sum::<u32>(), 100);
        assert!((PARCEL_MONTHS.iter().sum::<f64>() - 100.0).abs() < 1e-9);
        for table in [PARCEL_WEEK, COUNTER_WEEK] {
            assert!((table.iter().sum::<f64>() - 7.0).abs() < 1e-9);
        }
    }

    #[test]
    fn intensity_has_mean_one_over_a_year() {
        let start = BusinessDay::from_civil(2024, 1, 1).expect("a date").start().as_micros();
        let hours = 366 * 24;
        let sum: f64 = (0..hours)
            .map(|hour| intensity(Timestamp::from_micros(start + hour * 3_600_000_000)))
            .sum();
        let mean = sum / 8_784.0;
        assert!((mean - 1.0).abs() < 0.005, "mean {mean}");
    }

    #[test]
    fn intensity_follows_the_local_clock() {
        let day = BusinessDay::from_civil(2021, 11, 11).expect("a date");
        let at = |hour: i64| {
            intensity(Timestamp::from_micros(day.start().as_micros() + hour * 3_600_000_000))
        };
        assert_eq!(weekday(day), 3, "a Thursday");
        let parcels = 0.09 * 24.0 * 1.02 * 0.103 * 365.0 / 30.0 * 0.8;
        assert!((at(17) - (parcels + 0.02 * 24.0 * 1.15 * 0.2)).abs() < 1e-9);
        assert!(at(3).abs() < 1e-9);
    }
}
