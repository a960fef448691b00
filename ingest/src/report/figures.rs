//! Figures as people read them. Rounding is for display only: whatever lags says so, however little.

use postroad_aggregate::indicators::growth::{is_percent, to_f64};
use postroad_aggregate::indicators::{Comparison, Exact, Light, Why};
use postroad_schemas::codebook::Line;
use postroad_schemas::reference::{Measure, Percent};

use super::rows::Row;
use super::words::{Language, Phrase};

/// Decimals that are tried before a gap is shown as it stands.
const DECIMALS_MAX: usize = 15;

/// A number with so many decimals, and never a negative nothing.
fn rounded(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if is_zero(digits) => digits.to_owned(),
        _ => text,
    }
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|byte| matches!(byte, b'0' | b'.'))
}

/// A number with its sign.
fn signed(number: f64, decimals: usize) -> String {
    let text = rounded(number, decimals);
    if text.starts_with('-') || is_zero(&text) { text } else { format!("+{text}") }
}

/// Percentage points with their sign: `+7.6`.
pub fn points(number: f64) -> String {
    signed(number, 1)
}

/// A gap in percentage points. It has as many decimals as it takes for a lagging one to be seen, `-0.0001`,
/// and for one beside the threshold of red to be on its own side of it: `-2.003` is red, `-1.998` is not.
pub fn gap(gap_pp: f64, light: Option<Light>, red_below_pp: f64) -> String {
    let is_lagging = matches!(light, Some(Light::Red | Light::Yellow));
    let side = |number: f64| number.partial_cmp(&red_below_pp);
    let is_told = |text: &String| {
        let is_beside = text.parse().is_ok_and(|shown| side(shown) == side(gap_pp));
        is_beside && (!is_lagging || text.starts_with('-'))
    };
    let told = (1..=DECIMALS_MAX).map(|decimals| signed(gap_pp, decimals)).find(is_told);
    told.unwrap_or_else(|| format!("{gap_pp:e}"))
}

/// A percentage as the double nearest to it, which is that of a gap as large.
pub fn double(percent: Percent) -> f64 {
    to_f64(Exact::new(percent.millionths().into(), Percent::SCALE.into()))
}

impl Language {
    /// Per cent: `45.8 %`.
    pub fn percent(self, number: f64) -> String {
        self.of_hundred(&rounded(number, 1))
    }

    /// Growth in per cent: `+45.8 %`.
    pub fn growth(self, number: f64) -> String {
        self.of_hundred(&signed(number, 1))
    }

    fn of_hundred(self, digits: &str) -> String {
        match self {
            Self::En => format!("{digits} %"),
            Self::Zh => format!("{digits}%"),
        }
    }

    /// The value of a row in its unit.
    pub fn value(self, row: &Row) -> Option<String> {
        let value = row.value?;
        Some(match row.measure {
            Measure::Volume => self.count(value, row.line_code),
            Measure::Revenue | Measure::Balance => self.money(value),
            Measure::Yield => match self {
                Self::En => format!("{} yuan", rounded(value, 2)),
                Self::Zh => format!("{} 元/件", rounded(value, 2)),
            },
            _ => self.percent(value),
        })
    }

    /// Growth of a row, or of a percentage its change; else why it is not known.
    pub fn growth_of(self, row: &Row) -> String {
        // The own figure of a share is the share itself; its change since the year began is the gap.
        let change = if row.measure == Measure::Share { row.gap_pp } else { row.own_growth };
        match (change, row.why) {
            (Some(points), _) if is_percent(row.measure) => match self {
                Self::En => format!("{} pp", self::points(points)),
                Self::Zh => format!("{} 个百分点", self::points(points)),
            },
            (Some(growth), _) => self.growth(growth),
            (None, Some(why)) => self.why(why).to_owned(),
            (None, None) => "–".to_owned(),
        }
    }

    /// The same within a sentence.
    pub fn growth_told(self, row: &Row) -> String {
        match row.own_growth {
            Some(_) => self.growth_of(row),
            // The notes say why, once.
            None if row.why == Some(Why::BaseIncomplete) => self.light(Light::Unknown).to_owned(),
            None => self.fill(Phrase::UnknownFor, &[&self.growth_of(row)]),
        }
    }

    /// An own figure beside its benchmark: growth has a sign, attainment and shares have none.
    pub fn held(self, row: &Row, number: f64) -> String {
        let is_part = row.comparison == Comparison::Plan || row.measure == Measure::Share;
        if is_part { self.percent(number) } else { self.growth(number) }
    }

    /// Yuan in the unit that fits the figure.
    pub fn money(self, yuan: f64) -> String {
        Money::of(self, yuan).with_unit(yuan)
    }

    /// Pieces or transactions.
    fn count(self, number: f64, line: Option<Line>) -> String {
        let unit = if line == Some(Line::Parcel) { "件" } else { "笔" };
        match self {
            Self::En => thousands(&rounded(number, 0)),
            Self::Zh if number.abs() >= 1e4 => {
                format!("{} 万{unit}", thousands(&rounded(number / 1e4, 2)))
            }
            Self::Zh => format!("{} {unit}", thousands(&rounded(number, 0))),
        }
    }
}

/// A unit of money.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Money {
    yuan: f64,
    decimals: usize,
    /// What it is called.
    pub name: &'static str,
}

impl Money {
    /// The unit in which a figure of this size is read.
    pub fn of(language: Language, yuan: f64) -> Self {
        let unit = |yuan, decimals, name| Self { yuan, decimals, name };
        match (language, yuan.abs()) {
            (Language::En, size) if size < 1e7 => unit(1.0, 0, "yuan"),
            (Language::En, size) if size < 1e10 => unit(1e6, 2, "million yuan"),
            (Language::En, _) => unit(1e9, 2, "billion yuan"),
            (Language::Zh, size) if size < 1e4 => unit(1.0, 0, "元"),
            (Language::Zh, size) if size < 1e8 => unit(1e4, 2, "万元"),
            (Language::Zh, _) => unit(1e8, 2, "亿元"),
        }
    }

    /// Yuan in this unit, without its name.
    pub fn shown(self, yuan: f64) -> String {
        thousands(&rounded(yuan / self.yuan, self.decimals))
    }

    fn with_unit(self, yuan: f64) -> String {
        format!("{} {}", self.shown(yuan), self.name)
    }
}

/// With a comma after every three digits.
fn thousands(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if !part.is_empty() {
        text.push('.');
        text.push_str(part);
    }
    text
}
