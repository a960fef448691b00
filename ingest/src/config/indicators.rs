//! Who lags, and what it is held against: the sections `[reference]` and `[indicators]`.

use postroad_aggregate::indicators::Settings;
use postroad_schemas::reference::Percent;
use postroad_schemas::time::parse_date;
use postroad_schemas::units::Span;

use super::Fault;
use super::section::Section;
use crate::reference::{ReferenceSet, ReferenceSource};

/// The section `[indicators]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndicatorsConfig {
    /// What decides a light.
    pub settings: Settings,
    /// As of how many days up to the last complete one indicators are told by the first publish that does.
    pub history_days: u32,
    /// The shortest time after which figures that late events moved are evaluated anew.
    pub interval: Span,
}

impl Default for IndicatorsConfig {
    fn default() -> Self {
        let interval = Span::seconds(10);
        Self { settings: Settings::default(), history_days: 45, interval }
    }
}

/// Where reference data come from, and what is wrong with their folder; in a faulty folder's place the
/// built-in set stands in.
pub(super) fn read_reference(
    mut section: Section,
    faults: &mut Vec<Fault>,
) -> Option<(ReferenceSource, Vec<Fault>)> {
    let remedy = "write the path of a folder with reference data";
    let dir = section.take("dir", Some(String::new()), remedy, faults, |value| {
        value.as_str().filter(|dir| !dir.is_empty()).map(str::to_owned)
    });
    section.finish(faults);
    let dir = dir?;
    if dir.is_empty() {
        return Some((ReferenceSource::fixed(ReferenceSet::liaoning()), Vec::new()));
    }
    Some(ReferenceSource::folder_or(dir.into(), ReferenceSet::liaoning))
}

pub(super) fn read_indicators(
    mut section: Section,
    faults: &mut Vec<Fault>,
) -> Option<IndicatorsConfig> {
    let defaults = IndicatorsConfig::default();
    let remedy = "write percentage points below 0, such as -2.0";
    let red = Some(defaults.settings.red_below);
    let red_below = section.take("red_below_pp", red, remedy, faults, |value| {
        let percent = Percent::parse(&value.to_string())?;
        (percent.millionths() < 0).then_some(percent)
    });
    let stale = defaults.settings.stale_after_days;
    let stale_after_days = section.number("stale_after_days", stale, 1..=36_500, faults);
    let history_days = section.number("history_days", defaults.history_days, 1..=36_500, faults);
    let interval_ms = section.number("interval_ms", 10_000_u32, 0..=86_400_000, faults);
    let remedy = "write a date such as \"2021-01-01\"";
    let data_from = section.take("data_from", Some(None), remedy, faults, |value| {
        // TOML has dates of its own.
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        parse_date(&text).map(Some)
    });
    section.finish(faults);
    Some(IndicatorsConfig {
        settings: Settings {
            red_below: red_below?,
            stale_after_days: stale_after_days?,
            data_from: data_from?,
        },
        history_days: history_days?,
        interval: Span::millis(interval_ms?),
    })
}
