//! What the meeting is told first: how many prefectures lag, on what, and how far they are apart.

use std::collections::{BTreeMap, BTreeSet};

use postroad_schemas::codebook::PrefectureCode;

use super::book::Unit;
use super::growth::minus;
use super::{Comparison, Exact, Indicator, Light};

/// The four commensurates, as comparisons.
pub const COMMENSURATES: [Comparison; 4] =
    [Comparison::Local, Comparison::Industry, Comparison::Peer, Comparison::Plan];

/// Who lags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headline {
    /// The prefectures that lag on one of its indicators, for each of the commensurates.
    pub lagging: BTreeMap<Comparison, BTreeSet<PrefectureCode>>,
    /// Those that lag on any.
    pub laggards: BTreeSet<PrefectureCode>,
}

impl Headline {
    /// Counts over rows of [`evaluate`](super::evaluate).
    pub fn of(rows: &[Indicator]) -> Self {
        let mut headline = Self::default();
        for comparison in COMMENSURATES {
            headline.lagging.insert(comparison, BTreeSet::new());
        }
        for row in rows {
            if let Unit::Prefecture(code) = row.unit
                && matches!(row.light, Some(Light::Red | Light::Yellow))
            {
                headline.lagging.entry(row.comparison).or_default().insert(code);
                headline.laggards.insert(code);
            }
        }
        headline
    }
}

/// The difference between the highest and the lowest own figure, in percentage points; `None` where
/// nothing is known.
pub fn spread<'r>(rows: impl IntoIterator<Item = &'r Indicator>) -> Option<Exact> {
    let own: Vec<Exact> = rows.into_iter().filter_map(|row| row.own).collect();
    minus(*own.iter().max()?, *own.iter().min()?)
}
