//! Sums of days that are over: from the first day of a period to the last complete day, and over the same
//! elapsed days of the year before. One divided by the other, less 1, is the growth that `indicators` has.

use std::collections::BTreeMap;

use postroad_aggregate::indicators::period::Period;
use postroad_schemas::units::BusinessDay;

use super::Gauges;
use super::figures::{Figures, Sums, Table, count, with_zeros};

/// Adds the gauges. Both sums have the same cells, 0 where one has nothing, so that a division of sums
/// of them lacks nobody. A baseline is absent where a part of it is missing, or of the period that it is for.
pub(super) fn add(
    gauges: &Gauges,
    table: &Table<'_>,
    as_of: BusinessDay,
) -> prometheus::Result<()> {
    for period in [Period::Mtd, Period::Qtd, Period::Ytd] {
        let Some(range) = period.range(as_of) else { continue };
        let before = period.year_before(range);
        let is_known = table.has_base(range, before);
        let now = table.sums(range);
        let baseline = if is_known { table.sums(before) } else { BTreeMap::new() };
        let days = format!("from the period's first day to the last complete day ({period})");
        show(gauges, period, "", &days, &with_zeros(&baseline, &now))?;
        if is_known {
            let days = "of the same elapsed days a year before the last complete day";
            show(gauges, period, "_baseline", days, &with_zeros(&now, &baseline))?;
        }
    }
    Ok(())
}

fn show(
    gauges: &Gauges,
    period: Period,
    suffix: &str,
    days: &str,
    sums: &Sums,
) -> prometheus::Result<()> {
    let gauge = |measure: &str, what: &str| {
        let name = format!("postroad_complete_{period}_{measure}{suffix}");
        gauges.labelled(&name, &format!("{what} {days}."), &["prefecture", "line", "product"])
    };
    let volume = gauge("volume", "Accepted volume")?;
    let revenue = gauge("revenue_yuan", "Revenue")?;
    for ((prefecture, product), figures) in sums {
        let labels = [&*prefecture.to_string(), product.line().as_str(), product.as_str()];
        volume.with_label_values(&labels).set(count(figures.volume));
        revenue.with_label_values(&labels).set(Figures::revenue_yuan(figures));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
