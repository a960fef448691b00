//! The figures behind the screen, computed from what was published.

use std::collections::BTreeMap;
use std::time::Duration;

use postroad_schemas::codebook::Codebook;
use postroad_schemas::units::{BusinessDay, Fen, Timestamp};

use super::lights::Lights;
use crate::business::as_of;
use crate::metrics::state_label;
use crate::status::View;

/// Everything that one frame shows.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) as_of: Option<BusinessDay>,
    pub(super) watermark: Option<Timestamp>,
    pub(super) prefectures: Vec<PrefectureLine>,
    pub(super) total: Figures,
    pub(super) days: Vec<DayLine>,
    pub(super) judged: u64,
    pub(super) applied: i64,
    pub(super) duplicates: i64,
    pub(super) rejected: i64,
    /// Records judged, by the ledgers of the publish.
    pub(super) consumed: u64,
    /// Offsets below the boundaries of the publish.
    pub(super) offsets: u64,
    pub(super) lag: i64,
    pub(super) shards: String,
    pub(super) publish: u64,
    pub(super) published_ago: Duration,
    pub(super) rate: f64,
    /// What is wrong with the reference data, if anything is.
    pub(super) reference_fault: Option<String>,
    /// `None` before any light is known.
    pub(super) lights: Option<Lights>,
}

/// One row of the table of prefectures.
#[derive(Debug)]
pub(super) struct PrefectureLine {
    pub(super) code: String,
    pub(super) name: String,
    pub(super) figures: Figures,
    /// Part of the province's revenue over the week, 0 to 1.
    pub(super) share: f64,
}

/// Volume and revenue of today, and revenue of the last seven days.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Figures {
    pub(super) volume_today: i64,
    pub(super) revenue_today: Fen,
    pub(super) revenue_week: Fen,
}

/// One day.
#[derive(Debug)]
pub(super) struct DayLine {
    pub(super) day: BusinessDay,
    pub(super) status: &'static str,
    pub(super) volume: i64,
    /// Its volume as a part of the largest day's, 0 to 1.
    pub(super) part: f64,
}

impl Board {
    pub(super) fn new(view: &View, codebook: &Codebook) -> Self {
        let mut board = Self {
            watermark: view.progress.values().filter_map(|progress| progress.watermark).max(),
            judged: view.progress.values().map(|p| p.next_offset.unsigned_abs()).sum(),
            lag: view.progress.keys().filter_map(|tp| view.lag(tp)).sum(),
            shards: shards(view),
            reference_fault: view.reference_fault.clone(),
            ..Self::default()
        };
        board.add_snapshot(view, codebook);
        board
    }

    fn add_snapshot(&mut self, view: &View, codebook: &Codebook) {
        let Some(snapshot) = &view.snapshot else { return };
        let manifest = &snapshot.manifest;
        self.publish = manifest.publish;
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.applied = count(manifest.totals.applied);
        self.duplicates = count(manifest.totals.duplicates);
        self.rejected = count(manifest.totals.rejected);
        self.consumed = manifest.totals.consumed;
        let boundaries = manifest.shards.iter().filter_map(|shard| shard.next_offset);
        self.offsets = boundaries.map(i64::unsigned_abs).sum();
        self.as_of = as_of(snapshot).map(Timestamp::business_day);
        let evaluation = snapshot.evaluation.as_deref();
        let settings = manifest.indicators.map(|entry| entry.settings).unwrap_or_default();
        self.lights =
            evaluation.and_then(|evaluation| Lights::new(evaluation, codebook, settings.red_below));
        let Some(today) = self.as_of else { return };

        let mut prefectures = BTreeMap::new();
        let mut days: BTreeMap<BusinessDay, i64> = BTreeMap::new();
        for (key, measures) in snapshot.rollup.days(today.plus_days(-6), today.plus_days(1)) {
            let figures: &mut Figures = prefectures.entry(key.prefecture).or_default();
            for sum in [figures, &mut self.total] {
                sum.revenue_week += measures.revenue;
                if key.day == today {
                    sum.volume_today += measures.volume;
                    sum.revenue_today += measures.revenue;
                }
            }
            *days.entry(key.day).or_default() += measures.volume;
        }
        let week = to_f64(self.total.revenue_week.get()).max(1.0);
        self.prefectures = codebook
            .prefectures()
            .map(|prefecture| {
                let figures = prefectures.get(&prefecture.code).copied().unwrap_or_default();
                PrefectureLine {
                    code: prefecture.code.to_string(),
                    name: format!("{} {}", prefecture.name_zh, prefecture.name),
                    share: to_f64(figures.revenue_week.get()) / week,
                    figures,
                }
            })
            .collect();
        let largest = to_f64(days.values().copied().max().unwrap_or(1).max(1).into());
        let horizon = manifest.horizon();
        self.days = days
            .into_iter()
            .map(|(day, volume)| DayLine {
                day,
                status: horizon.status(day).as_str(),
                volume,
                part: to_f64(volume.into()) / largest,
            })
            .collect();
    }

    /// Whether every offset below the boundaries of the publish is accounted for. The demo's logs
    /// begin at 0 and have no gaps, so the two figures are counted by different means.
    pub(super) fn account(&self) -> String {
        let mark = if self.offsets == self.consumed { "✓" } else { "✗" };
        format!("{mark} {} of {}", grouped_u(self.consumed), grouped_u(self.offsets))
    }

    /// The account in one line, where there is no room for the panels.
    pub(super) fn summary(&self) -> String {
        format!(
            " applied {} · duplicates {} · rejected {} · lag {} · {}",
            self.applied,
            self.duplicates,
            self.rejected,
            self.lag,
            self.account()
        )
    }

    /// The figures of a moment in one line.
    pub(super) fn line(&self) -> String {
        let lights =
            self.lights.as_ref().map_or_else(String::new, |lights| format!("; {}", lights.line()));
        format!(
            "publish {}: {} applied, {} duplicates, {} rejected, {} records/s, lag {}; {} volume \
             {}, revenue {} yuan{lights}",
            self.publish,
            self.applied,
            self.duplicates,
            self.rejected,
            grouped(self.rate.round()),
            self.lag,
            self.as_of.map_or_else(|| "no day yet".to_owned(), |day| day.to_string()),
            self.total.volume_today,
            yuan(self.total.revenue_today),
        )
    }
}

fn shards(view: &View) -> String {
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    for (tp, phase) in &view.phases {
        *states.entry(state_label(phase, view.progress.get(tp))).or_default() += 1;
    }
    let parts: Vec<String> =
        states.into_iter().map(|(state, count)| format!("{count} {state}")).collect();
    if parts.is_empty() { "joining the group".to_owned() } else { parts.join(", ") }
}

#[expect(clippy::cast_precision_loss, reason = "figures that are shown")]
fn to_f64(number: i128) -> f64 {
    number as f64
}

fn grouped_u(number: u64) -> String {
    grouped(to_f64(number.into()))
}

/// A whole number with thousands separated.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0.0 { format!("-{grouped}") } else { grouped }
}

/// Money in yuan with thousands separated.
pub(super) fn yuan(fen: Fen) -> String {
    grouped((to_f64(fen.get()) / 100.0).round())
}
