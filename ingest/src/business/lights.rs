//! Who lags, as of the last complete day.

use std::collections::{BTreeMap, BTreeSet};

use postroad_aggregate::indicators::book::{Scope, Unit};
use postroad_aggregate::indicators::growth::to_f64;
use postroad_aggregate::indicators::headline::{COMMENSURATES, Headline, spread};
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Indicator, Light, Why};
use postroad_schemas::codebook::{Line, PrefectureCode};
use postroad_schemas::reference::Measure;
use prometheus::GaugeVec;

use super::Gauges;
use crate::publish::indicators::Evaluation;
use crate::reference::ReferenceSet;

pub(super) fn add(
    gauges: &Gauges,
    evaluation: &Evaluation,
    reference: &ReferenceSet,
) -> prometheus::Result<()> {
    let end = evaluation.as_of.end().as_seconds_f64();
    let help = "The end of the last complete day, which the indicators are as of.";
    gauges.one("postroad_indicators_as_of_timestamp_seconds", help, end)?;
    lights(gauges, &evaluation.rows)?;
    headline(gauges, &evaluation.rows)?;
    plans(gauges, &evaluation.rows)?;
    ranks(gauges, &evaluation.rows)?;
    spreads(gauges, &evaluation.rows, reference)
}

/// The line of a row in labels; `None` of a product's, which no gauge shows.
fn line_label(row: &Indicator) -> Option<&'static str> {
    match row.scope {
        Scope::Total => Some("total"),
        Scope::Line(line) => Some(line.as_str()),
        Scope::Product(_) => None,
    }
}

/// The gauges of a kind of place: its own figure, how far that is from its benchmark, and the light.
struct Held {
    own: GaugeVec,
    gap: GaugeVec,
    light: GaugeVec,
}

impl Held {
    fn new(gauges: &Gauges, place: &str, prefix: &str) -> prometheus::Result<Self> {
        let labels = [place, "line", "measure", "versus"];
        let make = |name: &str, help: &str| {
            let help = format!("{help}, of a {place}; absent when unknown.");
            gauges.labelled(&format!("postroad_{prefix}{name}"), &help, &labels)
        };
        let own = "Growth over the benchmark's period, attainment, or share, in per cent";
        Ok(Self {
            own: make("own_growth_percent", own)?,
            gap: make("gap_percentage_points", "Own figure less its benchmark")?,
            light: make("light", "0 green, 1 yellow, 2 red")?,
        })
    }
}

fn lights(gauges: &Gauges, rows: &[Indicator]) -> prometheus::Result<()> {
    let of_prefecture = Held::new(gauges, "prefecture", "")?;
    let of_province = Held::new(gauges, "province", "province_")?;
    for row in rows {
        let (Some(line), Some(light)) = (line_label(row), row.light) else { continue };
        let (code, of) = match row.unit {
            Unit::Prefecture(code) => (code.to_string(), &of_prefecture),
            Unit::Province(code) => (code.to_string(), &of_province),
        };
        let labels = [&*code, line, row.measure.as_str(), row.comparison.as_str()];
        let light = match light {
            Light::Green => Some(0.0),
            Light::Yellow => Some(1.0),
            Light::Red => Some(2.0),
            Light::Unknown => None,
        };
        let figures = [(&of.own, row.own.map(to_f64)), (&of.gap, row.gap.map(to_f64))];
        for (gauge, value) in figures.into_iter().chain([(&of.light, light)]) {
            if let Some(value) = value {
                gauge.with_label_values(&labels).set(value);
            }
        }
    }
    Ok(())
}

fn headline(gauges: &Gauges, rows: &[Indicator]) -> prometheus::Result<()> {
    let headline = Headline::of(rows);
    let number =
        |set: &BTreeSet<PrefectureCode>| f64::from(u32::try_from(set.len()).unwrap_or(u32::MAX));
    let help =
        "Prefectures that lag on an indicator of the commensurate; absent where none is known.";
    let gauge = gauges.labelled("postroad_lagging_prefectures", help, &["versus"])?;
    for (comparison, prefectures) in &headline.lagging {
        if headline.known.contains(comparison) {
            gauge.with_label_values(&[comparison.as_str()]).set(number(prefectures));
        }
    }
    if !headline.known.is_empty() {
        let help = "Prefectures that lag on any indicator; absent where no light is known.";
        gauges.one("postroad_laggards", help, number(&headline.laggards))?;
    }
    let help = "Lights of prefectures that are unknown, and why.";
    let gauge = gauges.labelled("postroad_unknown_lights", help, &["versus", "why"])?;
    for versus in COMMENSURATES {
        for why in Why::ALL {
            let unknown = rows.iter().filter(|row| {
                matches!(row.unit, Unit::Prefecture(_))
                    && (row.comparison, row.light) == (versus, Some(Light::Unknown))
                    && row.why == Some(*why)
            });
            let unknown = f64::from(u32::try_from(unknown.count()).unwrap_or(u32::MAX));
            gauge.with_label_values(&[versus.as_str(), why.as_str()]).set(unknown);
        }
    }
    Ok(())
}

/// What the plan expects by the as-of day, and for the year. A plan for a total that has none for its
/// lines is not shown here, since these are summed over lines.
fn plans(gauges: &Gauges, rows: &[Indicator]) -> prometheus::Result<()> {
    let pair = |measure: &str, what: &str| {
        let labels = ["prefecture", "line"];
        let help = format!("{what} that the plan expects from 1 January to the last complete day.");
        let ytd = gauges.labelled(&format!("postroad_ytd_plan_{measure}"), &help, &labels)?;
        let help = format!("{what} that is planned for the year.");
        let annual = gauges.labelled(&format!("postroad_annual_plan_{measure}"), &help, &labels)?;
        Ok::<_, prometheus::Error>((ytd, annual))
    };
    let (revenue, volume) = (pair("revenue_yuan", "Revenue")?, pair("volume", "Volume")?);
    for row in rows.iter().filter(|row| row.comparison == Comparison::Plan) {
        let (Unit::Prefecture(code), Scope::Line(line)) = (row.unit, row.scope) else { continue };
        let ((ytd, annual), unit) = match row.measure {
            Measure::Revenue => (&revenue, 100.0),
            _ => (&volume, 1.0),
        };
        let Some(planned) = row.base.map(|planned| to_f64(planned) / unit) else { continue };
        let labels = [&*code.to_string(), line.as_str()];
        annual.with_label_values(&labels).set(planned);
        if let Some(expected) = row.benchmark {
            ytd.with_label_values(&labels).set(planned * to_f64(expected) / 100.0);
        }
    }
    Ok(())
}

/// Whether a row is the growth of a year to date that prefectures are ranked by.
fn is_ranked(row: &Indicator) -> bool {
    (row.period, row.comparison) == (Period::Ytd, Comparison::Yoy)
        && matches!(row.measure, Measure::Revenue | Measure::Volume)
}

fn ranks(gauges: &Gauges, rows: &[Indicator]) -> prometheus::Result<()> {
    let labels = ["prefecture", "line", "measure"];
    let help =
        "Place among the prefectures of the province by growth of the year to date; 1 is best.";
    let rank_gauge = gauges.labelled("postroad_rank", help, &labels)?;
    let help = "Places gained since the end of the month before.";
    let change_gauge = gauges.labelled("postroad_rank_change", help, &labels)?;
    let help = "Parcel volume of the last complete day against the mean day of the year to date.";
    let peak_gauge = gauges.labelled("postroad_peak_ratio", help, &["prefecture"])?;
    for row in rows {
        let (Unit::Prefecture(code), Some(line)) = (row.unit, line_label(row)) else { continue };
        let code = code.to_string();
        if is_ranked(row) {
            let labels = [&*code, line, row.measure.as_str()];
            if let Some(rank) = row.rank {
                rank_gauge.with_label_values(&labels).set(f64::from(rank));
            }
            if let Some(change) = row.rank_change {
                change_gauge.with_label_values(&labels).set(f64::from(change));
            }
        }
        let is_day = (row.period, row.comparison) == (Period::Day, Comparison::Peak);
        if is_day
            && row.scope == Scope::Line(Line::Parcel)
            && let Some(above) = row.own
        {
            peak_gauge.with_label_values(&[&*code]).set(1.0 + to_f64(above) / 100.0);
        }
    }
    Ok(())
}

/// How far the prefectures of a province are apart.
fn spreads(
    gauges: &Gauges,
    rows: &[Indicator],
    reference: &ReferenceSet,
) -> prometheus::Result<()> {
    let help = "Highest less lowest growth of the year to date of the province's prefectures.";
    let labels = ["province", "line", "measure"];
    let gauge = gauges.labelled("postroad_growth_spread_percentage_points", help, &labels)?;
    let mut contests: BTreeMap<_, Vec<&Indicator>> = BTreeMap::new();
    for row in rows.iter().filter(|row| is_ranked(row)) {
        let (Unit::Prefecture(code), Some(line)) = (row.unit, line_label(row)) else { continue };
        if let Some(prefecture) = reference.codebook.prefecture(code) {
            let contest = (prefecture.province_code, line, row.measure.as_str());
            contests.entry(contest).or_default().push(row);
        }
    }
    for ((province, line, measure), contest) in contests {
        if let Some(spread) = spread(contest) {
            gauge.with_label_values(&[&*province.to_string(), line, measure]).set(to_f64(spread));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
