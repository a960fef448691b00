//! `postroad report`: the daily report (日报) and the monthly report (月报), which show a province's post
//! branch which prefectures lag.
//!
//! Nothing is decided here. What lags, and who is ahead of whom, was decided exactly when the indicators were
//! evaluated, and a report reads lights and ranks from the table `indicators`, or evaluates the day in the
//! same way where the table does not have it. It counts them; what it reckons from the table's doubles, the
//! points between two growths, is shown and decides nothing. In the order of a report's way: `load` takes rows from the store, [`model`] and
//! [`headline`] put them in the order in which they are told, [`document`] puts that into [`words`] and
//! [`figures`], and [`table`], [`markdown`] and [`html`] write it down. The JSON is the model itself.

pub mod document;
pub mod figures;
pub mod headline;
pub mod html;
mod league;
mod load;
pub mod markdown;
pub mod model;
pub mod rows;
pub mod table;
pub mod words;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Why};
use postroad_schemas::closed_names;
use postroad_schemas::units::BusinessDay;

use self::load::Loaded;
use self::model::Report;
use self::rows::Row;
use crate::error::Failure;
use crate::reference::ReferenceSet;
use crate::store::Store;

closed_names! {
    /// What a report is of.
    Span {
        /// 日报: the day, the month and the year to date.
        Day = "day",
        /// 月报: the month, the quarter, the half-year and the year to date.
        Month = "month",
    }
}

closed_names! {
    /// Who evaluated the indicators of a report.
    Origin {
        /// The publisher: they stand in the table `indicators`.
        Published = "published",
        /// This command, from the table `daily_rollups`.
        Evaluated = "evaluated",
    }
}

impl Span {
    /// The periods that it shows; of the half-years the one that the day is in.
    fn periods(self, as_of: BusinessDay) -> Vec<Period> {
        let half = if Period::H2.range(as_of).is_some() { Period::H2 } else { Period::H1 };
        match self {
            Self::Day => vec![Period::Day, Period::Mtd, Period::Ytd],
            Self::Month => vec![Period::Mtd, Period::Qtd, half, Period::Ytd],
        }
    }
}

/// Which report.
#[derive(Debug)]
pub struct ReportOptions {
    /// As of which day; the last complete one unless given.
    pub date: Option<BusinessDay>,
    /// Daily or monthly.
    pub span: Span,
    /// Reference data to evaluate with, whatever has been published.
    pub reference: Option<Given>,
}

/// Reference data of whoever asks.
#[derive(Debug)]
pub struct Given {
    /// Where they come from.
    pub folder: PathBuf,
    /// What they say.
    pub set: ReferenceSet,
}

/// Makes the report from the newest publish of a store, and reads nothing else.
///
/// # Errors
/// Where the store fails or holds nothing that can be reported, and for a day that is not complete.
pub async fn report(store: &Store, options: ReportOptions) -> Result<Report, Failure> {
    let loaded = load::load(store, options.date, options.reference).await?;
    Ok(of(&loaded, options.span))
}

fn of(loaded: &Loaded, span: Span) -> Report {
    let Loaded { manifest, as_of, rows, version, origin, reference, first_day, unlisted } = loaded;
    let is_synthetic = |row: &Row| row.source.as_deref().is_some_and(is_synthetic);
    let periods = span.periods(*as_of);
    let settings = manifest.indicators.map(|entry| entry.settings).unwrap_or_default();
    Report {
        as_of: *as_of,
        period: span,
        status: manifest.horizon().status(*as_of).as_str(),
        publish: manifest.publish,
        origin: *origin,
        reference_version: version.clone(),
        red_below_pp: figures::double(settings.red_below),
        behind: *origin == Origin::Published
            && manifest.indicators.is_some_and(|entry| entry.behind),
        first_day: *first_day,
        base_incomplete: rows.iter().any(lacks_base),
        synthetic: rows.iter().any(is_synthetic),
        unlisted_codes: unlisted.iter().map(ToString::to_string).collect(),
        provinces: model::provinces(rows, &reference.codebook, &periods),
        periods,
    }
}

/// Whether a growth that is shown is unknown because the data begin after its base does.
fn lacks_base(row: &Row) -> bool {
    let is_shown = row.comparison == Comparison::Yoy || row.light.is_some();
    is_shown && row.why == Some(Why::BaseIncomplete)
}

/// Whether nobody has published a figure: among the sources that its mean is of is one that says so.
fn is_synthetic(source: &str) -> bool {
    source.split("; ").any(|part| part.trim() == "synthetic")
}
