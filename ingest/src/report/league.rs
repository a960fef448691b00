//! The tables of a report, in words.

use postroad_aggregate::indicators::book::Scope;
use postroad_aggregate::indicators::headline::COMMENSURATES;
use postroad_aggregate::indicators::period::Period;
use postroad_aggregate::indicators::{Light, Why};
use postroad_schemas::codebook::Line;
use postroad_schemas::reference::Measure;
use postroad_schemas::units::BusinessDay;

use super::document::{Cell, Column, Table};
use super::figures::Money;
use super::model::{Prefecture, Province, Report, Unknown};
use super::rows::Row;
use super::words::{Language, Phrase};

/// What stands where there is nothing.
const NOTHING: &str = "–";

/// The province's figures: a row for each business, a value and its growth for each period.
pub(super) fn figures(report: &Report, province: &Province, language: Language) -> Table {
    let mut columns = vec![Column::words(language.say(Phrase::Business))];
    for period in &report.periods {
        let period = language.period(*period, report.as_of);
        columns.push(Column::numbers(period));
        columns.push(Column::numbers(language.fill(Phrase::Growth, &[period])).joined());
    }
    let mut business: Vec<(_, _)> = Vec::new();
    for row in &province.figures {
        if !business.contains(&(row.scope(), row.measure)) {
            business.push((row.scope(), row.measure));
        }
    }
    let rows = business.into_iter().map(|(scope, measure)| {
        let mut what = language.indicator(scope, measure);
        if measure == Measure::Share {
            what = language.fill(Phrase::ShareFigure, &[&what]);
        }
        let mut cells: Vec<Cell> = vec![language.opening(&what).into()];
        for period in &report.periods {
            let is_it =
                |row: &&Row| (row.scope(), row.measure, row.period) == (scope, measure, *period);
            let row = province.figures.iter().find(is_it);
            cells.push(value(row, language).into());
            cells.push(change(row, language).into());
        }
        cells
    });
    Table { rows: rows.collect(), columns, keys: 1 }
}

fn change(row: Option<&Row>, language: Language) -> String {
    let told = row.filter(|row| !lacks_base(row));
    told.map_or_else(|| NOTHING.to_owned(), |row| language.growth_of(row))
}

/// Whether a growth is unknown because the data begin after its base does, of which one note tells for all.
fn lacks_base(row: &Row) -> bool {
    row.own_growth.is_none() && row.why == Some(Why::BaseIncomplete)
}

fn value(row: Option<&Row>, language: Language) -> String {
    row.and_then(|row| language.value(row)).unwrap_or_else(|| NOTHING.to_owned())
}

/// Every prefecture by rank: revenue and growth for each period, the balance share where any is known,
/// then the four worst gaps.
pub(super) fn league(report: &Report, province: &Province, language: Language) -> Table {
    let figures = || province.prefectures.iter().flat_map(|prefecture| &prefecture.figures);
    let mut columns = vec![
        Column::numbers(language.say(Phrase::Rank)),
        Column::words(language.say(Phrase::Prefecture)),
        Column::numbers(language.say(Phrase::Move)),
    ];
    // Each column in the unit of its largest figure.
    let unit = |period: Period| {
        let figures = figures().filter(|row| row.period == period).filter_map(|row| row.value);
        (period, Money::of(language, figures.fold(0.0, f64::max)))
    };
    let periods: Vec<(Period, Money)> = report.periods.iter().copied().map(unit).collect();
    for (period, money) in &periods {
        let period = language.period(*period, report.as_of);
        let amount = language.fill(Phrase::Amount, &[period, money.name]);
        columns.push(Column::numbers(amount));
        columns.push(Column::numbers(language.fill(Phrase::Growth, &[period])).joined());
    }
    let has_shares = province.prefectures.iter().any(|prefecture| prefecture.share.is_some());
    if has_shares {
        let scope = Scope::Line(Line::Finance);
        let share = language.measure(scope, Measure::Share);
        columns.push(Column::numbers(language.opening(share)));
        columns.push(Column::numbers(language.say(Phrase::ShareChange)).joined());
    }
    columns.extend(COMMENSURATES.iter().map(|versus| {
        let title = language.fill(Phrase::WorstGap, &[language.comparison(*versus)]);
        let column = Column::words(language.opening(&title));
        if *versus == COMMENSURATES[0] { column.cut() } else { column.joined() }
    }));
    let rows = province.prefectures.iter().map(|prefecture| {
        let mut cells: Vec<Cell> = vec![
            prefecture.rank.map_or_else(|| NOTHING.to_owned(), |rank| rank.to_string()).into(),
            language.name(prefecture).into(),
            moved(prefecture.rank_change).into(),
        ];
        for (period, money) in &periods {
            let row = prefecture.figures.iter().find(|row| row.period == *period);
            let shown = row.and_then(|row| row.value).map(|yuan| money.shown(yuan));
            cells.push(shown.unwrap_or_else(|| NOTHING.to_owned()).into());
            cells.push(change(row, language).into());
        }
        if has_shares {
            let row = prefecture.share.as_ref();
            cells.push(value(row, language).into());
            cells.push(change(row, language).into());
        }
        cells.extend(COMMENSURATES.iter().map(|versus| {
            let row = prefecture.worst.get(versus.as_str());
            row.map_or_else(|| Cell::from(NOTHING), |row| worst(report, row, language))
        }));
        cells
    });
    Table { rows: rows.collect(), columns, keys: 2 }
}

/// Places gained or lost.
fn moved(places: Option<i32>) -> String {
    match places {
        None => NOTHING.to_owned(),
        Some(0) => "=".to_owned(),
        Some(places) if places > 0 => format!("↑{places}"),
        Some(places) => format!("↓{}", places.unsigned_abs()),
    }
}

/// A light, the gap, and which indicator has it over which period; of what is unknown the reason, and no
/// number.
fn worst(report: &Report, row: &Row, language: Language) -> Cell {
    let light = row.light.unwrap_or(Light::Unknown);
    let lit = language.lit(light);
    let text = match (row.gap_pp, row.why) {
        (Some(gap), _) => {
            let indicator = language.brief(row.scope(), row.measure);
            let told = format!("{lit} {} {indicator}", report.gap(gap, row.light));
            match period(row, report.as_of, language) {
                Some(period) => language.fill(Phrase::OfPeriod, &[&told, &period]),
                None => told,
            }
        }
        (None, Some(Why::BaseIncomplete)) => NOTHING.to_owned(),
        (None, Some(why)) => format!("{lit}: {}", language.why(why)),
        (None, None) => lit,
    };
    Cell { text, light: Some(light) }
}

/// What lags, prefecture by prefecture in the order of the league; `None` where nothing does.
pub(super) fn lagging(report: &Report, province: &Province, language: Language) -> Option<Table> {
    let say = |phrase| language.say(phrase);
    let columns = vec![
        Column::words(say(Phrase::Prefecture)),
        Column::words(say(Phrase::Light)),
        Column::words(say(Phrase::Against)),
        Column::words(say(Phrase::Indicator)),
        Column::numbers(say(Phrase::Own)),
        Column::numbers(say(Phrase::Benchmark)),
        Column::numbers(say(Phrase::Gap)),
        Column::words(say(Phrase::Source)),
    ];
    let of = |prefecture: &Prefecture| -> Vec<Vec<Cell>> {
        let cells = |row: &Row| {
            let light = row.light.unwrap_or(Light::Unknown);
            let held = |number: Option<f64>| {
                number.map_or_else(|| NOTHING.to_owned(), |number| language.held(row, number))
            };
            let gap = row.gap_pp.map_or_else(String::new, |gap| report.gap(gap, row.light));
            vec![
                language.name(prefecture).into(),
                Cell { text: language.lit(light), light: Some(light) },
                language.comparison(row.comparison).into(),
                language.indicator(row.scope(), row.measure).into(),
                held(row.own_growth).into(),
                held(row.benchmark).into(),
                gap.into(),
                source(row, report.as_of, language).into(),
            ]
        };
        prefecture.lagging.iter().map(cells).collect()
    };
    let rows: Vec<Vec<Cell>> = province.prefectures.iter().flat_map(of).collect();
    (!rows.is_empty()).then_some(Table { columns, keys: 1, rows })
}

/// How fine a benchmark is, whose word it is, and of which period where that is an earlier one.
fn source(row: &Row, as_of: BusinessDay, language: Language) -> String {
    let level = row.benchmark_level.map(|level| language.level(level).to_owned());
    let parts = level.into_iter().chain(row.source.clone()).chain(period(row, as_of, language));
    parts.collect::<Vec<_>>().join(language.clause())
}

/// The period of an indicator of a year to date, where that is not the year up to the as-of day: growth
/// is held against a benchmark over the benchmark's own period.
pub(super) fn period(row: &Row, as_of: BusinessDay, language: Language) -> Option<String> {
    let (start, end) = (row.period_start, row.period_end);
    if start != end.year_start() {
        let ends = [start, end].map(|day| day.to_string());
        return Some(language.fill(Phrase::FromUntil, &ends.each_ref().map(String::as_str)));
    }
    (end != as_of).then(|| language.fill(Phrase::Until, &[&end.to_string()]))
}

/// What is not known; `None` where all is.
pub(super) fn unknown(province: &Province, language: Language) -> Option<Table> {
    let say = |phrase| Column::words(language.say(phrase));
    let columns =
        [Phrase::Against, Phrase::Indicator, Phrase::Why, Phrase::Whose].map(say).to_vec();
    let rows = province.unknown.iter().map(|unknown| -> Vec<Cell> {
        vec![
            language.comparison(unknown.comparison).into(),
            language.indicator(unknown.scope(), unknown.measure).into(),
            unknown.why.map_or(NOTHING, |why| language.why(why)).into(),
            whose(province, unknown, language).into(),
        ]
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    (!rows.is_empty()).then_some(Table { columns, keys: 2, rows })
}

/// Of whom something is not known.
pub(super) fn whose(province: &Province, unknown: &Unknown, language: Language) -> String {
    let name = |code: &String| {
        let found = province.prefectures.iter().find(|found| found.code.to_string() == *code);
        found.map_or_else(|| code.clone(), |found| language.name(found).to_owned())
    };
    let codes = &unknown.prefecture_codes;
    let names = if codes.len() == province.prefectures.len() {
        language.fill(Phrase::AllOf, &[&codes.len().to_string()])
    } else {
        codes.iter().map(name).collect::<Vec<_>>().join(language.comma())
    };
    match (unknown.province, names.is_empty()) {
        (false, _) => names,
        (true, true) => language.say(Phrase::TheProvince).to_owned(),
        (true, false) => language.fill(Phrase::AndProvince, &[&names]),
    }
}

/// Whether a rate that is shown is above 100 %.
pub(super) fn exceeds_all(province: &Province) -> bool {
    let mut rates = province.prefectures.iter().flat_map(|prefecture| &prefecture.service);
    rates.any(|row| row.value.is_some_and(|rate| rate > 100.0))
}

/// Delivered and on-time rates of every prefecture; `None` where nothing was due.
pub(super) fn service(report: &Report, province: &Province, language: Language) -> Option<Table> {
    province.prefectures.iter().flat_map(|prefecture| &prefecture.service).next()?;
    let rates = [Measure::DeliveredRate, Measure::OnTimeRate];
    let rates: Vec<(Measure, Period)> = rates
        .into_iter()
        .flat_map(|rate| report.periods.iter().map(move |period| (rate, *period)))
        .collect();
    let mut columns = vec![Column::words(language.say(Phrase::Prefecture))];
    columns.extend(rates.iter().map(|(rate, period)| {
        let scope = Scope::Total;
        let space = if language == Language::Zh { "" } else { " " };
        let title = [language.measure(scope, *rate), space, language.period(*period, report.as_of)]
            .concat();
        Column::numbers(language.opening(&title))
    }));
    let rows = province.prefectures.iter().map(|prefecture| {
        let mut cells: Vec<Cell> = vec![language.name(prefecture).into()];
        cells.extend(rates.iter().map(|(rate, period)| {
            let mut rows = prefecture.service.iter();
            let row = rows.find(|row| (row.measure, row.period) == (*rate, *period));
            Cell::from(value(row, language))
        }));
        cells
    });
    Some(Table { rows: rows.collect(), columns, keys: 1 })
}
