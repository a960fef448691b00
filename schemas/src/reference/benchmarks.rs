//! The rows of `benchmarks.csv`, read.

use std::collections::{BTreeMap, BTreeSet};

use super::numbers::PERCENT;
use super::rows::{Known, line, named, prefecture};
use super::{Benchmark, Level, Measure, Percent, Versus};
use crate::codebook::{CsvFault, PrefectureCode};
use crate::csv_rows::{Columns, Faults, Row, read_rows};

const COLUMNS: Columns<'_> = Columns {
    required: &[
        "versus",
        "level",
        "code",
        "line",
        "measure",
        "period_start",
        "period_end",
        "source",
    ],
    optional: &["province", "growth_pct", "share_pct", "weight", "basis", "published_at"],
};

/// The provinces of the prefectures.
type Provinces = BTreeSet<PrefectureCode>;

pub(super) fn read(text: &str, codebook: Known<'_>, faults: &mut Faults) -> Vec<Benchmark> {
    let mut benchmarks = Vec::new();
    let mut lines = BTreeMap::new();
    let provinces = codebook.map(|codebook| -> Provinces {
        codebook.prefectures().map(|prefecture| prefecture.province_code).collect()
    });
    read_rows("benchmarks.csv", text, COLUMNS, faults, |row, faults| {
        let versus = versus(row, faults);
        let level = named(row, "level", Level::ALL, faults);
        let code = match level {
            Some(Level::Nation) if row.get("code").is_empty() => Some(None),
            Some(Level::Nation) => {
                faults.push(row.fault("code", "the nation has no code; leave it empty"));
                None
            }
            Some(Level::Prefecture) => prefecture(row, codebook, faults).map(Some),
            _ => row.code("code", faults).map(Some),
        };
        let province =
            versus.and_then(|versus| peer_of(row, versus, provinces.as_ref(), faults).ok());
        let line = line(row, faults).ok();
        let measure = named(row, "measure", Measure::ALL, faults);
        let period = row.day("period_start", faults).zip(row.day("period_end", faults));
        if period.is_some_and(|(start, end)| end < start) {
            faults.push(row.fault("period_end", "lies before period_start; write the last day"));
        }
        let percent = measure.and_then(|measure| published(row, measure, faults));
        let weight = weight(row, faults);
        let (basis, source) = (row.get("basis").to_owned(), row.text("source", faults));
        let published_at = row.date("published_at", faults);
        let place = code.zip(province);
        let parts = (versus.zip(level), place.zip(line), measure.zip(period), percent.zip(weight));
        let (
            Some((versus, level)),
            Some(((code, province), line)),
            Some((measure, (period_start, period_end))),
            Some((percent, weight)),
        ) = parts
        else {
            return;
        };
        faults.extend(of_no_place(row, versus, level));
        if let (Some(code), Level::Province) = (code, level) {
            faults.extend(no_province(row, versus, code, provinces.as_ref()));
        }
        let of = (versus, level, code, province, line, measure);
        let key = (of, period_start, period_end, published_at);
        if let Some(above) = lines.insert(key, row.line()) {
            let problem = format!(
                "the same figure stands in line {above}, and neither is the later word; keep one row, or \
                 say when each was published"
            );
            faults.push(row.refusal("published_at", problem));
        }
        benchmarks.push(Benchmark {
            versus,
            level,
            code,
            province,
            line,
            measure,
            period_start,
            period_end,
            percent,
            weight,
            basis,
            published_at,
            source,
        });
    });
    benchmarks
}

/// Why a level is none that anything is held against.
fn of_no_place(row: &Row<'_>, versus: Versus, level: Level) -> Option<CsvFault> {
    let problem = match (versus, level) {
        (Versus::Local, Level::Nation) => {
            "no place's economy is the nation's; write prefecture or province"
        }
        (Versus::Peer, Level::Nation) => "the nation is nobody's peer; write province",
        _ => return None,
    };
    Some(row.refusal("level", problem))
}

/// The commensurate of a row: any but the plan, whose rows stand elsewhere.
fn versus(row: &Row<'_>, faults: &mut Faults) -> Option<Versus> {
    if row.get("versus") == Versus::Plan.as_str() {
        faults.push(row.fault("versus", "a plan stands in plans.csv; move the row there"));
        return None;
    }
    named(row, "versus", &[Versus::Local, Versus::Industry, Versus::Peer], faults)
}

/// Why nothing is held against a row of a province because of its code, if so. Peers are provinces that
/// the codebook need not have.
fn no_province(
    row: &Row<'_>,
    versus: Versus,
    code: PrefectureCode,
    provinces: Option<&Provinces>,
) -> Option<CsvFault> {
    let provinces = provinces?;
    let is_known = provinces.contains(&code);
    let problem = if versus != Versus::Peer && !is_known {
        format!("{code} is no province_code of prefectures.csv; correct it, or the level")
    } else if versus == Versus::Peer && !is_known && !code.get().is_multiple_of(10_000) {
        format!("{code} is no province; write a code that ends in 0000")
    } else if versus == Versus::Peer
        && is_known
        && provinces.len() == 1
        && row.get("province").is_empty()
    {
        format!("{code} is the only province here, and no province is its own peer; name another")
    } else {
        return None;
    };
    Some(row.refusal("code", problem))
}

/// Of which province a row is a peer; `None` for every one.
fn peer_of(
    row: &Row<'_>,
    versus: Versus,
    provinces: Option<&Provinces>,
    faults: &mut Faults,
) -> Result<Option<PrefectureCode>, ()> {
    if row.get("province").is_empty() {
        return Ok(None);
    }
    if versus != Versus::Peer {
        let problem = format!("says whose peer a row is; leave it empty where versus is {versus}");
        faults.push(row.fault("province", problem));
        return Err(());
    }
    let province = row.code("province", faults).ok_or(())?;
    if provinces.is_some_and(|provinces| !provinces.contains(&province)) {
        let problem = format!("{province} is no province_code of prefectures.csv; correct it");
        faults.push(row.fault("province", problem));
    } else if row.get("code") == row.get("province") {
        faults.push(row.fault("province", "no province is its own peer; name another, or none"));
    }
    Ok(Some(province))
}

/// What was published: `share_pct` of the balance share, `growth_pct` of all else.
fn published(row: &Row<'_>, measure: Measure, faults: &mut Faults) -> Option<Percent> {
    let (column, other) = match measure {
        Measure::Share => ("share_pct", "growth_pct"),
        _ => ("growth_pct", "share_pct"),
    };
    if !row.get(other).is_empty() {
        let problem = format!("of the measure {measure} the {column} is given; leave this empty");
        faults.push(row.fault(other, problem));
        return None;
    }
    let percent = Percent::parse(row.get(column));
    let whole = Percent::from_millionths(100 * Percent::SCALE);
    let Some(found) = percent else {
        faults.push(row.fault(column, PERCENT.complaint(row.get(column))));
        return None;
    };
    if measure == Measure::Share && !(Percent::from_millionths(0)..=whole).contains(&found) {
        faults.push(row.refusal(column, format!("{found} is no share; write 0 to 100")));
    } else if measure != Measure::Share && found.millionths() < -whole.millionths() {
        let problem =
            format!("{found} is no growth, since nothing falls below 0; write -100 or more");
        faults.push(row.refusal(column, problem));
    }
    percent
}

/// How much a row counts in a mean with its like; 1 unless given.
fn weight(row: &Row<'_>, faults: &mut Faults) -> Option<i64> {
    let value = row.get("weight");
    if value.is_empty() {
        return Some(1);
    }
    let weight = value.parse().ok().filter(|weight| (1..=1_000_000_000).contains(weight));
    if weight.is_none() {
        let value = row.shown("weight");
        let problem = format!("`{value}` is no weight; write a whole number from 1 to 1000000000");
        faults.push(row.fault("weight", problem));
    }
    weight
}

#[cfg(test)]
mod tests;
