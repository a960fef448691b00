//! Who lags, on the screen: a league table with a light for each of the four commensurates.

use std::collections::BTreeSet;

use postroad_aggregate::indicators::book::{Scope, Unit};
use postroad_aggregate::indicators::growth::to_f64;
use postroad_aggregate::indicators::headline::{COMMENSURATES, Headline};
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Comparison, Indicator, Light};
use postroad_schemas::codebook::{Codebook, Prefecture};
use postroad_schemas::reference::{Measure, Percent};
use postroad_schemas::units::BusinessDay;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table};

use super::{QUIET, block, right};
use crate::publish::indicators::Evaluation;
use crate::report::figures::{double, gap};

/// The lights of every prefecture as of the last complete day.
#[derive(Debug)]
pub(super) struct Lights {
    as_of: BusinessDay,
    /// Prefectures that lag on each of the commensurates, in their order, and on any.
    lagging: [usize; COMMENSURATES.len()],
    laggards: usize,
    /// By rank.
    prefectures: Vec<Standing>,
    /// Below which gap a light is red, in percentage points.
    red_below_pp: f64,
}

/// How one prefecture stands.
#[derive(Debug)]
struct Standing {
    rank: Option<u32>,
    name: String,
    /// Growth of its revenue over the year to date, in per cent.
    growth: Option<f64>,
    /// The light that is furthest behind of each commensurate, and its gap in percentage points.
    worst: [Option<(Light, f64)>; COMMENSURATES.len()],
}

impl Lights {
    /// `None` before any light is known: growth needs a year before, and a benchmark.
    pub(super) fn new(
        evaluation: &Evaluation,
        codebook: &Codebook,
        red_below: Percent,
    ) -> Option<Self> {
        let rows = &evaluation.rows;
        rows.iter().find(|row| is_known(row))?;
        let headline = Headline::of(rows);
        let standing = |prefecture| Standing::new(prefecture, rows);
        let mut prefectures: Vec<Standing> = codebook.prefectures().map(standing).collect();
        prefectures.sort_by_key(|standing| standing.rank.unwrap_or(u32::MAX));
        let lagging = |versus| headline.lagging.get(&versus).map_or(0, BTreeSet::len);
        Some(Self {
            as_of: evaluation.as_of,
            lagging: COMMENSURATES.map(lagging),
            laggards: headline.laggards.len(),
            prefectures,
            red_below_pp: double(red_below),
        })
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let header = ["", "prefecture", "growth YTD", "economy", "industry", "peers", "plan"];
        let header = Row::new(header.map(|title| match title {
            "" | "prefecture" => Cell::from(title),
            title => right(title.to_owned()),
        }));
        let rows = self.prefectures.iter().map(|standing| standing.row(self.red_below_pp));
        let all = self.prefectures.len();
        let counts = self.lagging.map(|lagging| right(format!("{lagging} of {all}")));
        let foot = [Cell::from(""), Cell::from("lagging"), Cell::from("")];
        let foot = Row::new(foot.into_iter().chain(counts));
        let mut widths = vec![Constraint::Length(3), Constraint::Fill(1), Constraint::Length(10)];
        widths.extend(COMMENSURATES.map(|_| Constraint::Length(9)));
        let table = Table::new(rows.chain([foot]), widths).header(header.style(QUIET));
        let title = format!(
            "who lags · {} · {} of {all} with a lagging indicator",
            self.as_of, self.laggards
        );
        frame.render_widget(table.block(block(&title)), area);
    }

    /// The counts in one line.
    pub(super) fn line(&self) -> String {
        let counts = COMMENSURATES.iter().zip(self.lagging);
        let counts = counts.map(|(versus, lagging)| format!("{} {lagging}", versus.as_str()));
        let counts: Vec<String> = counts.collect();
        let all = self.prefectures.len();
        format!("lagging of {all}: {}, any {}", counts.join(", "), self.laggards)
    }
}

impl Standing {
    fn new(prefecture: &Prefecture, rows: &[Indicator]) -> Self {
        let own: Vec<&Indicator> =
            rows.iter().filter(|row| row.unit == Unit::Prefecture(prefecture.code)).collect();
        let total = own.iter().find(|row| {
            (row.scope, row.measure, row.period, row.comparison)
                == (Scope::Total, Measure::Revenue, Period::Ytd, Comparison::Yoy)
        });
        let worst = |versus| {
            let held = own.iter().filter(|row| row.comparison == versus);
            let known = held.filter_map(|row| Some((row.light?, to_f64(row.gap?))));
            known.min_by(|a, b| a.1.total_cmp(&b.1))
        };
        Self {
            rank: total.and_then(|row| row.rank),
            name: format!("{} {}", prefecture.name_zh, prefecture.name),
            growth: total.and_then(|row| row.own).map(to_f64),
            worst: COMMENSURATES.map(worst),
        }
    }

    fn row(&self, red_below_pp: f64) -> Row<'static> {
        let rank = self.rank.map_or_else(String::new, |rank| rank.to_string());
        let growth = self.growth.map_or_else(|| "–".to_owned(), |growth| format!("{growth:+.1} %"));
        let lights = self.worst.map(|worst| {
            let (text, color) = match worst {
                None => ("–".to_owned(), QUIET),
                Some((light, gap_pp)) => {
                    (format!("● {}", gap(gap_pp, Some(light), red_below_pp)), color(light))
                }
            };
            Cell::from(Line::from(text).right_aligned()).style(Style::new().fg(color))
        });
        let cells = [right(rank).style(QUIET), Cell::from(self.name.clone()), right(growth)];
        Row::new(cells.into_iter().chain(lights))
    }
}

fn is_known(row: &Indicator) -> bool {
    matches!(row.light, Some(Light::Green | Light::Yellow | Light::Red))
}

fn color(light: Light) -> Color {
    match light {
        Light::Green => Color::Green,
        Light::Yellow => Color::Yellow,
        Light::Red => Color::Red,
        Light::Unknown => QUIET,
    }
}
