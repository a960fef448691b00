//! `postroad report`, as it is typed.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{config_failure, date, open_store, print, wants_colour};
use crate::error::{Exit, Failure};
use crate::reference::ReferenceSet;
use crate::report::document::Document;
use crate::report::words::Language;
use crate::report::{self, Given, ReportOptions, Span, html, markdown, table};

/// Show which prefectures lag, as of a day that is complete: the daily or the monthly report.
///
/// Reads the newest publish of a store and writes nothing there. docs/REPORT.md describes what it says.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// The store: a folder, or a URL.
    #[arg(long, value_name = "DIR_OR_URL")]
    store: String,
    /// As of which day; the last complete one unless given.
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
    /// Daily (day, month and year to date) or monthly (month, quarter, half-year and year to date).
    #[arg(long, value_enum, default_value_t = Period::Day)]
    period: Period,
    /// How it is written down.
    #[arg(long, value_enum, default_value_t = Form::Table)]
    format: Form,
    /// The language; JSON is the same in both.
    #[arg(long, value_enum, default_value_t = Tongue::En)]
    language: Tongue,
    /// A folder with reference data to evaluate the day with; what was published otherwise.
    #[arg(long, value_name = "DIR")]
    reference: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Period {
    /// 日报
    Day,
    /// 月报
    Month,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a terminal.
    Table,
    /// GitHub's Markdown.
    Markdown,
    /// One page that needs nothing else.
    Html,
    /// For machines; numbers are not rounded.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tongue {
    /// English.
    En,
    /// Chinese.
    Zh,
}

/// Makes the report and writes it to standard output.
pub(super) async fn run(args: ReportArgs) -> Result<(), Failure> {
    let date = args.date.as_deref().map(|text| date("--date", text)).transpose()?;
    let given = |folder: PathBuf| {
        let set = ReferenceSet::load(&folder).map_err(|faults| config_failure(&faults))?;
        Ok::<_, Failure>(Given { folder, set })
    };
    let reference = args.reference.map(given).transpose()?;
    let span = match args.period {
        Period::Day => Span::Day,
        Period::Month => Span::Month,
    };
    let language = match args.language {
        Tongue::En => Language::En,
        Tongue::Zh => Language::Zh,
    };
    let store = open_store(&args.store).await?;
    let report = report::report(&store, ReportOptions { date, span, reference }).await?;
    let document = Document::of(&report, language);
    print(&match args.format {
        Form::Table => table::render(&document, wants_colour()),
        Form::Markdown => markdown::render(&document),
        Form::Html => html::render(&document),
        Form::Json => {
            let json = serde_json::to_string_pretty(&report);
            json.map_err(|error| Failure::new(Exit::Software, format!("the report: {error}")))?
                + "\n"
        }
    })
}
