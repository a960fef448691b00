//! The rows of each file but `benchmarks.csv`, read.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::numbers::{COUNT, YUAN};
use super::{Balance, Baseline, Curve, CurveKey, Measure, Percent, Plan};
use crate::codebook::{Codebook, Line, PrefectureCode, Product};
use crate::csv_rows::{Columns, Faults, Row, read_rows};
use crate::units::{BusinessDay, Fen};

/// The prefectures that may be named; any where there is none.
pub(super) type Known<'a> = Option<&'a Codebook>;

pub(super) fn plans(text: &str, codebook: Known<'_>, faults: &mut Faults) -> Vec<Plan> {
    let columns = Columns {
        required: &["code", "line", "measure", "year", "amount", "source"],
        optional: &[],
    };
    let mut plans = Vec::new();
    let mut lines = BTreeMap::new();
    read_rows("plans.csv", text, columns, faults, |row, faults| {
        let (code, line) = (prefecture(row, codebook, faults), line(row, faults).ok());
        let measure = additive(row, faults);
        let year = row.get("year").parse().ok().filter(|year| (1900..=9999).contains(year));
        if year.is_none() {
            let problem =
                format!("`{}` is no year; write four digits such as 2026", row.shown("year"));
            faults.push(row.fault("year", problem));
        }
        let amount = measure.and_then(|measure| amount(row, "amount", measure, faults));
        if amount.is_some_and(|amount| amount <= 0) {
            faults.push(row.refusal("amount", "is no plan; write an amount above 0, or no row"));
        }
        let source = row.text("source", faults);
        let (Some(code), Some(line), Some(measure), Some(year), Some(amount)) =
            (code, line, measure, year, amount)
        else {
            return;
        };
        if let Some(above) = lines.insert((code, line, measure, year), row.line()) {
            let problem = format!("the same plan stands in line {above}; keep one row");
            faults.push(row.fault("code", problem));
        }
        plans.push(Plan { code, line, measure, year, amount, source });
    });
    plans
}

pub(super) fn curves(
    text: &str,
    codebook: Known<'_>,
    faults: &mut Faults,
) -> BTreeMap<CurveKey, Curve> {
    let columns = Columns {
        required: &["code", "line", "measure", "date", "share_pct"],
        optional: &["source"],
    };
    let mut curves: BTreeMap<CurveKey, Curve> = BTreeMap::new();
    read_rows("plan_curves.csv", text, columns, faults, |row, faults| {
        let code = if row.get("code").is_empty() {
            Some(None)
        } else {
            prefecture(row, codebook, faults).map(Some)
        };
        let (line, measure) = (line(row, faults).ok(), additive(row, faults));
        let date = row.day("date", faults);
        let share = Percent::parse(row.get("share_pct"));
        let share = share.filter(|share| (Percent::from_millionths(0)..=WHOLE).contains(share));
        if share.is_none() {
            let problem = format!("`{}` is no share; write 0 to 100", row.shown("share_pct"));
            faults.push(row.fault("share_pct", problem));
        }
        let (Some(code), Some(line), Some(measure), Some(date), Some(share)) =
            (code, line, measure, date, share)
        else {
            return;
        };
        let (year, _, _) = date.civil();
        let curve = curves.entry(CurveKey { code, line, measure, year }).or_default();
        let source = row.get("source");
        curve.sources.extend(Some(source).filter(|source| !source.is_empty()).map(str::to_owned));
        let shares = &mut curve.shares;
        let before = shares.range(..date).next_back().filter(|(_, before)| **before > share);
        let after = shares.range(date..).next().filter(|(_, after)| **after < share);
        if let Some((day, other)) = before.or(after) {
            let problem = format!(
                "the curve falls, from or to the {other} of {day}; write cumulative shares, which never do"
            );
            faults.push(row.fault("share_pct", problem));
        }
        if date == year_end(date) && share != WHOLE {
            let problem = "a year's plan is met by its end; write 100 on 31 December, or no row";
            faults.push(row.refusal("share_pct", problem));
        }
        if shares.insert(date, share).is_some() {
            faults.push(row.fault("date", "the day stands twice; keep one row"));
        }
    });
    for Curve { shares, .. } in curves.values_mut() {
        if let Some(last) = shares.keys().next_back().copied() {
            shares.entry(year_end(last)).or_insert(WHOLE);
        }
    }
    curves
}

/// All of a year's plan.
const WHOLE: Percent = Percent::from_millionths(100 * Percent::SCALE);

/// 31 December of a day's year.
fn year_end(day: BusinessDay) -> BusinessDay {
    day.year_start().plus_days(366).year_start().plus_days(-1)
}

pub(super) fn balances(
    text: &str,
    codebook: Known<'_>,
    faults: &mut Faults,
) -> BTreeMap<PrefectureCode, BTreeMap<BusinessDay, Balance>> {
    let columns =
        Columns { required: &["code", "date", "own_yuan", "market_yuan", "source"], optional: &[] };
    let mut balances: BTreeMap<PrefectureCode, BTreeMap<BusinessDay, Balance>> = BTreeMap::new();
    read_rows("balances.csv", text, columns, faults, |row, faults| {
        let (code, date) = (prefecture(row, codebook, faults), row.day("date", faults));
        let own = amount(row, "own_yuan", Measure::Revenue, faults);
        let market = amount(row, "market_yuan", Measure::Revenue, faults);
        if market.is_some_and(|market| market <= 0 || own.is_some_and(|own| own > market)) {
            let problem = "must be above 0 and no less than own_yuan, which is a part of it";
            faults.push(row.fault("market_yuan", problem));
        }
        let source = row.text("source", faults);
        let (Some(code), Some(date), Some(own), Some(market)) = (code, date, own, market) else {
            return;
        };
        let balance = Balance { own: fen(own), market: fen(market), source };
        if balances.entry(code).or_default().insert(date, balance).is_some() {
            faults.push(row.fault("date", "the day stands twice; keep one row"));
        }
    });
    balances
}

pub(super) fn baselines(
    text: &str,
    codebook: Known<'_>,
    faults: &mut Faults,
) -> BTreeMap<(BusinessDay, PrefectureCode, Product), Baseline> {
    let columns = Columns {
        required: &["date", "code", "product", "volume", "revenue_yuan", "balance_yuan"],
        optional: &["source"],
    };
    let mut baselines = BTreeMap::new();
    read_rows("baselines.csv", text, columns, faults, |row, faults| {
        let (date, code) = (row.day("date", faults), prefecture(row, codebook, faults));
        let product = Product::from_code(row.get("product"));
        if product.is_none() {
            faults.push(row.fault("product", Product::unknown(&row.shown("product"))));
        }
        let volume = amount(row, "volume", Measure::Volume, faults);
        let revenue = amount(row, "revenue_yuan", Measure::Revenue, faults);
        let balance = amount(row, "balance_yuan", Measure::Revenue, faults);
        let (Some(date), Some(code), Some(product)) = (date, code, product) else { return };
        let (Some(volume), Some(revenue), Some(balance)) = (volume, revenue, balance) else {
            return;
        };
        let baseline = Baseline { volume, revenue: fen(revenue), balance: fen(balance) };
        match baselines.entry((date, code, product)) {
            Entry::Vacant(entry) => drop(entry.insert(baseline)),
            Entry::Occupied(_) => {
                faults.push(row.fault("date", "the cell stands twice; keep one row"));
            }
        }
    });
    baselines
}

/// A prefecture of the codebook.
pub(super) fn prefecture(
    row: &Row<'_>,
    codebook: Known<'_>,
    faults: &mut Faults,
) -> Option<PrefectureCode> {
    let code = row.code("code", faults)?;
    if codebook.is_some_and(|codebook| codebook.prefecture(code).is_none()) {
        let problem = format!("{code} is not in prefectures.csv; add it there, or correct it");
        faults.push(row.fault("code", problem));
    }
    Some(code)
}

/// One of a closed set of names.
pub(super) fn named<T: Copy + ToString>(
    row: &Row<'_>,
    column: &str,
    all: &[T],
    faults: &mut Faults,
) -> Option<T> {
    let found = all.iter().find(|name| name.to_string() == row.get(column)).copied();
    if found.is_none() {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        let problem = format!("`{}` is not known; write one of {names}", row.shown(column));
        faults.push(row.fault(column, problem));
    }
    found
}

/// A line, or `None` for all of them, which `total` and an empty field say.
pub(super) fn line(row: &Row<'_>, faults: &mut Faults) -> Result<Option<Line>, ()> {
    match row.get("line") {
        "" | "total" => Ok(None),
        _ => named(row, "line", Line::ALL, faults).map(Some).ok_or(()),
    }
}

/// Revenue or volume: what plans are made of.
fn additive(row: &Row<'_>, faults: &mut Faults) -> Option<Measure> {
    named(row, "measure", &[Measure::Revenue, Measure::Volume], faults)
}

/// Yuan as fen, or a count.
fn amount(row: &Row<'_>, column: &str, measure: Measure, faults: &mut Faults) -> Option<i64> {
    let decimals = if measure == Measure::Volume { COUNT } else { YUAN };
    let amount = decimals.parse(row.get(column));
    if amount.is_none() {
        faults.push(row.fault(column, decimals.complaint(row.get(column))));
    }
    amount
}

fn fen(amount: i64) -> Fen {
    Fen::new(amount.into())
}
