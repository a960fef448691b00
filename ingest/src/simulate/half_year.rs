//! A half-year meeting's findings, planted: two years of events, the second of which shows in every
//! prefecture exactly the growth that is written here, and the reference data that it is held against.
//!
//! The findings are those that the product grew out of: six prefectures of fourteen do not match their
//! local economy, thirteen have a lagging indicator, parcels grow more slowly than the industry in volume
//! and in revenue, premium express is far behind, and the balance share shrinks in most places. They are
//! planted as totals: each is spread over the days of the period so that its sum is exact to the fen
//! and the piece. Nothing is random.

use std::fmt::Write;
use std::path::Path;

use postroad_schemas::contract::Contract;
use postroad_schemas::reference::yuan;
use postroad_schemas::units::{BusinessDay, Fen, Timestamp};
use serde_json::{Value, json};

use super::province::Simulated;
use super::topic_of;
use crate::error::{Exit, Failure};

/// What is planted in a prefecture: growth of the year to date, in per mille, unless it says otherwise.
struct City {
    code: &'static str,
    /// Part of the province's business, per mille.
    weight: i64,
    /// Growth of the local economy.
    economy: i64,
    /// Revenue and volume of premium express.
    express: (i64, i64),
    /// Revenue and volume of all other parcels.
    others: (i64, i64),
    /// Revenue of agency finance.
    finance: i64,
    /// The savings balance, by the as-of day.
    balance: i64,
    /// Attainment of the plan less what it expects, in per mille of the plan.
    attained: i64,
}

const fn city(
    code: &'static str,
    (weight, economy): (i64, i64),
    express: (i64, i64),
    others: (i64, i64),
    (finance, balance, attained): (i64, i64, i64),
) -> City {
    City { code, weight, economy, express, others, finance, balance, attained }
}

/// The first lags nowhere. The last six do not match their local economy: three of them in finance alone,
/// one in finance and in total, two in parcels and in total.
const CITIES: [City; 14] = [
    city("210200", (220, 104), (280, 460), (320, 480), (120, 70, 12)),
    city("210100", (380, 98), (-20, 10), (280, 440), (110, 46, 4)),
    city("210300", (70, 96), (40, 60), (250, 410), (105, 44, 6)),
    city("210600", (40, 88), (-60, -30), (260, 420), (98, 49, 2)),
    city("210700", (50, 91), (20, 30), (240, 400), (100, 55, 8)),
    city("210800", (40, 86), (60, 80), (220, 390), (95, 40, 3)),
    city("211100", (20, 94), (90, 110), (270, 430), (109, 56, 9)),
    city("211400", (50, 90), (-30, 0), (230, 380), (102, 45, 5)),
    city("210400", (25, 79), (-120, -80), (200, 350), (40, 38, -30)),
    city("210500", (15, 81), (10, 20), (190, 360), (55, 41, -10)),
    city("210900", (15, 72), (-150, -110), (120, 300), (80, 43, -30)),
    city("211000", (20, 83), (-40, -10), (180, 340), (60, 39, -10)),
    city("211200", (25, 89), (-80, -60), (150, 330), (95, 42, -30)),
    city("211300", (30, 84), (30, 40), (210, 370), (70, 47, 2)),
];

/// Growth of the industry, of all banks' deposits and of the peers, in per mille.
const INDUSTRY: (i64, i64) = (266, 458);
const MARKET: i64 = 52;
const PEERS: [(&str, &str, i64); 4] = [
    ("total", "revenue", 82),
    ("parcel", "revenue", 140),
    ("parcel", "volume", 260),
    ("finance", "revenue", 62),
];

/// Parcels of the province in the base year, and fen of each line, of which premium express makes the
/// given part of the parcels'.
const PARCELS: i64 = 30_000;
const EXPRESS_VOLUME: i64 = 140;
const EXPRESS_REVENUE: i64 = 350;
const PARCEL_FEN: i64 = 55_000_000;
const FINANCE_FEN: i64 = 35_000_000;
const BASIC_FEN: i64 = 4_000_000;
const RETAIL_FEN: i64 = 6_000_000;
const OTHER_LINES: i64 = 95;
/// Yuan of the province's savings at the year's start, and their part of the market in per mille.
const SAVINGS_YUAN: i64 = 2_000_000_000;
const SHARE: i64 = 51;
/// What the plan expects by the as-of day, in per mille of the year.
const EXPECTED: [(&str, i64); 4] =
    [("parcel", 455), ("finance", 560), ("basic", 500), ("retail", 500)];

/// Events that add nothing to volume, revenue and balances.
const SIGNS_OF_LIFE: [(Contract, &str, &str); 2] =
    [(Contract::Parcel, "dispatched", "express"), (Contract::Finance, "opened", "savings")];

/// The days of the year to date, and of the year before.
struct Years {
    through: BusinessDay,
}

impl Years {
    /// This year's days or those of the year before: the first one, and how many.
    fn days(&self, is_base: bool) -> (BusinessDay, i64) {
        let last = if is_base { self.through.year_before() } else { self.through };
        let first = last.year_start();
        (first, i64::from(last.days() - first.days()) + 1)
    }
}

/// A figure that has grown by so many per mille.
fn grown(base: i64, per_mille: i64) -> i64 {
    base * (1_000 + per_mille) / 1_000
}

/// The part of a total that the `index`th of `count` has: parts are whole and sum to the total.
fn part(total: i64, index: i64, count: i64) -> i64 {
    total * (index + 1) / count - total * index / count
}

/// A product's events over a period: so many, that make so many fen.
struct Flow {
    contract: Contract,
    kind: &'static str,
    product: &'static str,
    events: i64,
    revenue: i64,
    amount: i64,
}

impl City {
    fn of(&self, whole: i64) -> i64 {
        whole * self.weight / 1_000
    }

    /// Revenue of each line in fen, this year's or the base year's.
    fn revenue(&self, is_base: bool) -> [(&'static str, i64); 4] {
        let parcels = self.parcels(is_base);
        let rise = |base, per_mille| if is_base { base } else { grown(base, per_mille) };
        [
            ("parcel", parcels.iter().map(|(_, _, revenue)| revenue).sum()),
            ("finance", rise(self.of(FINANCE_FEN), self.finance)),
            ("basic", rise(self.of(BASIC_FEN), OTHER_LINES)),
            ("retail", rise(self.of(RETAIL_FEN), OTHER_LINES)),
        ]
    }

    /// Volume and revenue of the parcels.
    fn parcels(&self, is_base: bool) -> [(&'static str, i64, i64); 2] {
        let (volume, revenue) = (self.of(PARCELS), self.of(PARCEL_FEN));
        let express = (volume * EXPRESS_VOLUME / 1_000, revenue * EXPRESS_REVENUE / 1_000);
        let others = (volume - express.0, revenue - express.1);
        let risen = |(volume, revenue): (i64, i64), (of_revenue, of_volume): (i64, i64)| {
            if is_base {
                (volume, revenue)
            } else {
                (grown(volume, of_volume), grown(revenue, of_revenue))
            }
        };
        let (express, others) = (risen(express, self.express), risen(others, self.others));
        [("express", express.0, express.1), ("economy", others.0, others.1)]
    }

    fn flows(&self, is_base: bool, days: i64) -> Vec<Flow> {
        let parcel = |(product, events, revenue)| {
            let contract = Contract::Parcel;
            Flow { contract, kind: "accepted", product, events, revenue, amount: 0 }
        };
        let mut flows: Vec<Flow> = self.parcels(is_base).into_iter().map(parcel).collect();
        let [_, (_, finance), (_, basic), (_, retail)] = self.revenue(is_base);
        let deposits = finance * 650 / 1_000;
        let mut add = |kind, product, revenue, amount| {
            let contract = Contract::Finance;
            flows.push(Flow { contract, kind, product, events: days, revenue, amount });
        };
        add("fee_accrual", "savings", deposits, 0);
        add("purchase", "wealth", finance - deposits, self.of(SAVINGS_YUAN) * 10);
        add("sale", "letter", basic, 0);
        add("sale", "distribution", retail, 0);
        let moved = self.of(SAVINGS_YUAN) * 100 * self.balance / 1_000;
        add("deposit", "savings", 0, if is_base { moved } else { moved * 2 });
        if !is_base {
            add("withdrawal", "savings", 0, moved);
        }
        flows
    }

    /// The events of one day of a period, in the order of their times.
    fn day(
        &self,
        is_base: bool,
        first: BusinessDay,
        days: i64,
        index: i64,
        out: &mut Vec<Simulated>,
    ) {
        let day = first.plus_days(i32::try_from(index).unwrap_or_default());
        for flow in self.flows(is_base, days) {
            let before = flow.events * index / days;
            for number in before..flow.events * (index + 1) / days {
                let (revenue, amount) = (
                    part(flow.revenue, number, flow.events),
                    part(flow.amount, number, flow.events),
                );
                let id = format!(
                    "{}-{}-{}-{}-{number}",
                    day.civil().0,
                    self.code,
                    flow.product,
                    flow.kind
                );
                let at =
                    day.start().as_micros() + (9 * 3_600 + (number * 131) % 32_400) * 1_000_000;
                out.push(event(&flow, self.code, &id, Timestamp::from_micros(at), revenue, amount));
            }
        }
    }
}

fn event(flow: &Flow, code: &str, id: &str, at: Timestamp, revenue: i64, amount: i64) -> Simulated {
    let kind = match flow.contract {
        Contract::Parcel => "event_type",
        Contract::Finance => "txn_type",
    };
    let mut value = json!({
        "event_id": id, kind: flow.kind, "product": flow.product, "prefecture": code,
        "occurred_at": at.to_string(), "revenue_fen": revenue,
    });
    if let (Value::Object(fields), true) = (&mut value, amount > 0) {
        fields.insert("amount_fen".to_owned(), amount.into());
    }
    Simulated {
        contract: flow.contract,
        key: code.as_bytes().to_vec(),
        timestamp_ms: at.as_micros() / 1_000,
        value: Some(value.to_string().into_bytes()),
    }
}

/// Every event through a day, day by day, and then some of the next one's first hours that add nothing
/// but tell the time, so that the day is complete.
pub(crate) fn events(through: BusinessDay) -> impl Iterator<Item = Simulated> {
    let years = Years { through };
    let of_years = [true, false].into_iter().flat_map(move |is_base| {
        let (first, days) = years.days(is_base);
        (0..days).flat_map(move |index| {
            let mut events = Vec::new();
            for city in &CITIES {
                city.day(is_base, first, days, index, &mut events);
            }
            events.sort_by_key(|event| event.timestamp_ms);
            events
        })
    });
    of_years.chain(the_morning_after(through))
}

/// A sign of life of now: of each city in turn a parcel that is scanned, then an account that is opened.
pub(crate) fn sign_of_life(number: u64, at_ms: i64) -> Simulated {
    let number = usize::try_from(number).unwrap_or_default();
    let city = &CITIES[number % CITIES.len()];
    let (contract, kind, product) = SIGNS_OF_LIFE[number / CITIES.len() % SIGNS_OF_LIFE.len()];
    let flow = Flow { contract, kind, product, events: 1, revenue: 0, amount: 0 };
    event(&flow, city.code, &format!("life-{number}-{at_ms}"), Timestamp::from_millis(at_ms), 0, 0)
}

fn the_morning_after(through: BusinessDay) -> impl Iterator<Item = Simulated> {
    let at = Timestamp::from_micros(through.end().as_micros() + 3_700 * 1_000_000);
    CITIES.iter().flat_map(move |city| {
        SIGNS_OF_LIFE.map(|(contract, kind, product)| {
            let flow = Flow { contract, kind, product, events: 1, revenue: 0, amount: 0 };
            let id = format!("{through}-{}-{}", city.code, topic_of(contract));
            event(&flow, city.code, &id, at, 0, 0)
        })
    })
}

/// Writes the reference data that the findings are held against into a folder.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn write_reference(dir: &Path, through: BusinessDay) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(Exit::CantCreate, format!("{} cannot be written: {error}", path.display()))
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, &error))?;
    for (name, text) in [
        ("benchmarks.csv", benchmarks(through)),
        ("plans.csv", plans(through)),
        ("plan_curves.csv", plan_curves(through)),
        ("balances.csv", balances(through)),
    ] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

fn percent(per_mille: i64) -> String {
    let sign = if per_mille < 0 { "-" } else { "" };
    format!("{sign}{}.{}", per_mille.abs() / 10, per_mille.abs() % 10)
}

/// The ends of the months of a day's year before it, and the day: growth is spread evenly, so that each
/// of them shows much the same.
fn published(through: BusinessDay) -> impl Iterator<Item = BusinessDay> {
    let starts = (1..12).map(move |month| {
        let january = through.year_start();
        january.plus_days(month * 31).month_start()
    });
    let ends = starts.map(|start| start.plus_days(-1)).take_while(move |end| *end < through);
    ends.chain([through])
}

fn benchmarks(through: BusinessDay) -> String {
    let mut text =
        "versus,level,code,line,measure,period_start,period_end,growth_pct,basis,source\n"
            .to_owned();
    let mut row = |versus: &str, place: &str, of: &str, per_mille: i64| {
        let (start, growth) = (through.year_start(), percent(per_mille));
        for end in published(through) {
            let _ = writeln!(
                text,
                "{versus},{place},{of},{start},{end},{growth},current prices,synthetic"
            );
        }
    };
    row("industry", "nation,", "parcel,volume", INDUSTRY.1);
    row("industry", "nation,", "parcel,revenue", INDUSTRY.0);
    for city in &CITIES {
        row("local", &format!("prefecture,{}", city.code), ",revenue", city.economy);
    }
    for (line, measure, growth) in PEERS {
        for (code, apart) in [("220000", 6), ("230000", -6)] {
            let of = format!("{line},{measure}");
            row("peer", &format!("province,{code}"), &of, growth + apart);
        }
    }
    text
}

/// Plans of which the year to date is as much as is expected, and `attained` more or less.
fn plans(through: BusinessDay) -> String {
    let mut text = "code,line,measure,year,amount,source\n".to_owned();
    let (year, _, _) = through.civil();
    for city in &CITIES {
        let mut total = 0;
        for ((line, revenue), (_, expected)) in city.revenue(false).into_iter().zip(EXPECTED) {
            let fen = revenue * 1_000 / (expected + city.attained);
            total += fen;
            let _ = writeln!(
                text,
                "{},{line},revenue,{year},{},synthetic",
                city.code,
                yuan(Fen::new(fen.into()))
            );
        }
        let _ = writeln!(
            text,
            "{},total,revenue,{year},{},synthetic",
            city.code,
            yuan(Fen::new(total.into()))
        );
    }
    text
}

fn plan_curves(through: BusinessDay) -> String {
    let mut text = "code,line,measure,date,share_pct,source\n".to_owned();
    for (line, expected) in EXPECTED.into_iter().chain([("total", 493)]) {
        let _ = writeln!(text, ",{line},revenue,{through},{},synthetic", percent(expected));
    }
    text
}

/// Balances at the year's start, and the market at the as-of day.
fn balances(through: BusinessDay) -> String {
    let mut text = "code,date,own_yuan,market_yuan,source\n".to_owned();
    let year_end = through.year_start().plus_days(-1);
    for city in &CITIES {
        let own = city.of(SAVINGS_YUAN);
        let market = own * 1_000 / SHARE;
        let _ = writeln!(text, "{},{year_end},{own},{market},synthetic", city.code);
        let (own, market) = (grown(own, city.balance), grown(market, MARKET));
        let _ = writeln!(text, "{},{through},{own},{market},synthetic", city.code);
    }
    text
}
