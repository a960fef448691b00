//! A report in words: titles, lists and tables, the same for every form in which it is written down.

use postroad_aggregate::indicators::headline::COMMENSURATES;
use postroad_aggregate::indicators::{Comparison, Light, Why};
use postroad_schemas::units::BusinessDay;

use super::headline::{Express, Headline, Spread};
use super::model::{Prefecture, Province, Report};
use super::rows::Row;
use super::words::{Language, Phrase, symbol};
use super::{Origin, Span, league};

/// A report in one language.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The language that it is in.
    pub language: Language,
    /// What it is called.
    pub title: String,
    /// A section for each province.
    pub sections: Vec<Section>,
    /// What the word for notes is.
    pub notes_title: &'static str,
    /// What has to be known to read it.
    pub notes: Vec<String>,
}

/// What is said of a province.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The province.
    pub title: String,
    /// Part by part.
    pub parts: Vec<Part>,
}

/// A part with its own heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// What it is about.
    pub title: &'static str,
    /// What it says.
    pub block: Block,
    /// What has to be known to read just this part.
    pub note: Option<&'static str>,
}

/// What a part says.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Some sentences, the first of which matters most.
    List(Vec<Cell>),
    /// Rows and columns.
    Table(Table),
}

/// Rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Names, and whether what stands below is a number.
    pub columns: Vec<Column>,
    /// How many of the first columns say what a row is about.
    pub keys: usize,
    /// As many cells each as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub title: String,
    /// Whether its cells are aligned to the right.
    pub is_number: bool,
    /// Whether it is of little use without the column before.
    pub is_joined: bool,
    /// Whether a page begins another table with it, which has the keys again.
    pub is_cut: bool,
}

impl Column {
    /// A column of words.
    pub fn words(title: impl Into<String>) -> Self {
        Self { title: title.into(), is_number: false, is_joined: false, is_cut: false }
    }

    /// A column of numbers.
    pub fn numbers(title: impl Into<String>) -> Self {
        Self { is_number: true, ..Self::words(title) }
    }

    /// The same column, beside the one before.
    pub fn joined(self) -> Self {
        Self { is_joined: true, ..self }
    }

    /// The same column, with which a page begins another table.
    pub fn cut(self) -> Self {
        Self { is_cut: true, ..self }
    }
}

/// A text, and the light that it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// With the light as a sign and a word.
    pub text: String,
    /// For a colour beside them.
    pub light: Option<Light>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), light: None }
    }
}

impl Language {
    /// A light as a sign and a word.
    pub fn lit(self, light: Light) -> String {
        format!("{} {}", symbol(light), self.light(light))
    }

    /// What a prefecture is called.
    pub fn name(self, prefecture: &Prefecture) -> &str {
        match self {
            Self::En => &prefecture.name,
            Self::Zh => &prefecture.name_zh,
        }
    }
}

impl Document {
    /// Puts a report into words.
    pub fn of(report: &Report, language: Language) -> Self {
        let title = match report.period {
            Span::Day => Phrase::DailyTitle,
            Span::Month => Phrase::MonthlyTitle,
        };
        Self {
            language,
            title: language.fill(title, &[&report.as_of.to_string()]),
            sections: report.provinces.iter().map(|of| section(report, of, language)).collect(),
            notes_title: language.say(Phrase::Notes),
            notes: notes(report, language),
        }
    }
}

fn section(report: &Report, province: &Province, language: Language) -> Section {
    let part = |title, block| Part { title: language.say(title), block, note: None };
    let mut parts = vec![
        part(Phrase::Headline, Block::List(headline(report, province, language))),
        part(Phrase::Figures, Block::Table(league::figures(report, province, language))),
        part(Phrase::League, Block::Table(league::league(report, province, language))),
        part(
            Phrase::LaggingIndicators,
            league::lagging(report, province, language)
                .map_or_else(|| sentence(language, Phrase::NoneLags), Block::Table),
        ),
    ];
    if let Some(table) = league::unknown(province, language) {
        parts.push(part(Phrase::UnknownLights, Block::Table(table)));
    }
    let service = league::service(report, province, language);
    let none = || sentence(language, Phrase::NoService);
    let explained = league::exceeds_all(province).then(|| language.say(Phrase::AboveAll));
    parts.push(Part {
        note: explained,
        ..part(Phrase::Service, service.map_or_else(none, Block::Table))
    });
    let title = match language {
        Language::En => province.name.clone(),
        Language::Zh => province.name_zh.clone(),
    };
    Section { title, parts }
}

fn sentence(language: Language, phrase: Phrase) -> Block {
    Block::List(vec![language.say(phrase).into()])
}

/// What the meeting is told first.
fn headline(report: &Report, province: &Province, language: Language) -> Vec<Cell> {
    let headline = &province.headline;
    let whole = headline.prefectures.to_string();
    let count = |versus: Comparison| {
        headline.lagging.get(versus.as_str()).copied().unwrap_or_default().to_string()
    };
    let laggards = headline.laggards.to_string();
    let unknown =
        |versus: Comparison| headline.unknown.get(versus.as_str()).copied().unwrap_or_default();
    let local = count(Comparison::Local);
    let behind = match unknown(Comparison::Local) {
        0 => language.fill(Phrase::Behind, &[&local, &whole, &laggards]),
        all if all == headline.prefectures => {
            language.fill(Phrase::BehindUnknown, &[&whole, &laggards])
        }
        some => {
            let parts = [&*local, &*whole, &*laggards, &*some.to_string()];
            language.fill(Phrase::BehindSomeUnknown, &parts)
        }
    };
    let mut said: Vec<Cell> = vec![behind.into()];
    for versus in COMMENSURATES {
        let parts = [language.commensurate(versus), &*count(versus), &*whole];
        let lagging = language.fill(Phrase::Lagging, &parts);
        said.push(match unknown(versus) {
            0 => lagging.into(),
            some => language.fill(Phrase::LaggingUnknown, &[&lagging, &some.to_string()]).into(),
        });
    }
    if let Some(row) = &headline.revenue {
        let parts = [language.value(row).unwrap_or_default(), language.growth_told(row)];
        said.push(language.fill(Phrase::Revenue, &[&parts[0], &parts[1]]).into());
    }
    said.extend(headline.industry.iter().map(|row| against_industry(report, row, language)));
    if let Some(spread) = &headline.spread {
        let parts = apart(spread, province, language);
        said.push(language.fill(Phrase::Spread, &parts.each_ref().map(String::as_str)).into());
    }
    said.extend(headline.express.iter().map(|of| express(of, province, language).into()));
    said.extend(structure(headline, language).into_iter().map(Cell::from));
    said
}

/// How the province's parcels grow beside the industry's, over the period of the industry's figure.
fn against_industry(report: &Report, row: &Row, language: Language) -> Cell {
    let what = language.indicator(row.scope(), row.measure);
    let Some((own, (benchmark, gap))) = row.own_growth.zip(row.benchmark.zip(row.gap_pp)) else {
        let why = row.why.map_or("", |why| language.why(why));
        let unknown = language.fill(Phrase::UnknownFor, &[why]);
        let stands = [symbol(Light::Unknown), " ", &unknown].concat();
        let text = language.fill(Phrase::IndustryUnknown, &[&what, &stands]);
        return Cell { text, light: row.light };
    };
    let light = row.light.map(|light| language.lit(light)).unwrap_or_default();
    let stands = language.fill(Phrase::GapOf, &[&light, &report.gap(gap, row.light)]);
    let period = league::period(row, report.as_of, language);
    let period = period.as_deref().unwrap_or_else(|| language.say(Phrase::YearToDate));
    let parts = [&*what, &*language.growth(own), &*language.growth(benchmark), &*stands, period];
    Cell { text: language.fill(Phrase::Industry, &parts), light: row.light }
}

/// How far apart prefectures are, and which ones are at the ends.
fn apart(spread: &Spread, province: &Province, language: Language) -> [String; 5] {
    let name = |code| {
        let found = province.prefectures.iter().find(|prefecture| prefecture.code == code);
        found.map_or_else(|| code.to_string(), |found| language.name(found).to_owned())
    };
    [
        language.percent(spread.spread_pp).trim_end_matches(['%', ' ']).to_owned(),
        name(spread.highest_code),
        language.growth(spread.highest),
        name(spread.lowest_code),
        language.growth(spread.lowest),
    ]
}

fn express(express: &Express, province: &Province, language: Language) -> String {
    let measure = language.measure(express.parcel.scope(), express.measure);
    let told = |row: &Row| language.growth_told(row);
    let (own, all) = (told(&express.express), told(&express.parcel));
    let said = language.fill(Phrase::Express, &[measure, &own, &all]);
    let Some(spread) = &express.spread else { return said };
    let [apart, rest @ ..] = apart(spread, province, language);
    let [highest, of_highest, lowest, of_lowest] = rest.each_ref().map(String::as_str);
    let parts = [&*said, &*apart, highest, of_highest, lowest, of_lowest];
    language.fill(Phrase::ExpressSpread, &parts)
}

/// Where the income comes from.
fn structure(headline: &Headline, language: Language) -> Vec<String> {
    let changed = |row: &Row| (language.value(row).unwrap_or_default(), language.growth_told(row));
    let mut said = Vec::new();
    if let Some((value, change)) = headline.fee_mix.as_ref().map(changed) {
        said.push(language.fill(Phrase::FeeMix, &[&value, &change]));
    }
    let parts = headline.structure.iter().map(|row| {
        let (value, change) = match row.own_growth {
            Some(_) => changed(row),
            None => (changed(row).0, language.light(Light::Unknown).to_owned()),
        };
        language.fill(Phrase::StructurePart, &[language.scope(row.scope()), &value, &change])
    });
    let parts: Vec<String> = parts.collect();
    if !parts.is_empty() {
        said.push(language.fill(Phrase::Structure, &[&parts.join(language.clause())]));
    }
    if let Some((value, change)) = headline.concentration.as_ref().map(changed) {
        said.push(language.fill(Phrase::Concentration, &[&value, &change]));
    }
    said
}

/// What has to be known to read the report.
fn notes(report: &Report, language: Language) -> Vec<String> {
    let day = |day: BusinessDay| day.to_string();
    let status = match report.status {
        "final" => Phrase::Final,
        _ => Phrase::Complete,
    };
    let parts = [&*day(report.as_of), language.say(status), &*report.publish.to_string()];
    let mut notes = vec![
        language.fill(Phrase::AsOf, &parts),
        language.fill(Phrase::Reference, &[&report.reference_version]),
    ];
    if report.origin == Origin::Evaluated {
        notes.push(language.say(Phrase::Evaluated).to_owned());
    }
    if report.behind {
        notes.push(language.say(Phrase::Moved).to_owned());
    }
    if report.synthetic {
        notes.push(language.say(Phrase::Synthetic).to_owned());
    }
    if report.base_incomplete {
        notes.push(language.fill(Phrase::FirstDay, &[&day(report.first_day)]));
    }
    if !report.unlisted_codes.is_empty() {
        let codes = report.unlisted_codes.join(language.comma());
        notes.push(language.fill(Phrase::Unlisted, &[&codes]));
    }
    let missing = missing(report, language);
    if !missing.is_empty() {
        notes.push(language.fill(Phrase::MissingBenchmarks, &[&missing.join(language.pause())]));
    }
    notes.push(language.say(Phrase::GapRule).to_owned());
    notes.push(language.say(Phrase::Rounding).to_owned());
    notes
}

/// The benchmarks that somebody has to supply, and for whom.
fn missing(report: &Report, language: Language) -> Vec<String> {
    let mut missing = Vec::new();
    for province in &report.provinces {
        let is_missing = |why| matches!(why, Some(Why::BenchmarkMissing | Why::BenchmarkStale));
        for unknown in province.unknown.iter().filter(|unknown| is_missing(unknown.why)) {
            let what = language.indicator(unknown.scope(), unknown.measure);
            let whose = league::whose(province, unknown, language);
            let parts = [language.comparison(unknown.comparison), &*what, &*whose];
            missing.push(language.fill(Phrase::Missing, &parts));
        }
    }
    missing
}
