//! Rows of a reference file, and everything that may be wrong with them: each fault is told with its
//! file, line, column and remedy, and a file is read to its end.

use crate::codebook::PrefectureCode;
use crate::time::parse_date;
use crate::units::BusinessDay;

/// Something wrong with a reference file, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {}{problem}", prefix(.column))]
pub struct CsvFault {
    /// The file's name.
    pub file: String,
    /// Line, counted from 1, the header included.
    pub line: u64,
    /// The column's name; empty where the whole line is at fault.
    pub column: String,
    /// What is wrong and how to mend it.
    pub problem: String,
    /// Whether the file can be read all the same.
    pub severity: Severity,
}

/// A column before what is wrong with it; nothing of a whole line.
fn prefix(column: &str) -> String {
    if column.is_empty() { String::new() } else { format!("{column}: ") }
}

/// What a fault keeps a program from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// From reading the file.
    Unreadable,
    /// From taking it for what anybody meant. What the store has kept since before this was looked at
    /// is read as it was then.
    Refused,
}

impl CsvFault {
    /// What was read, unless there are faults.
    pub(crate) fn none_of<T>(read: (T, Vec<Self>)) -> Result<T, Vec<Self>> {
        if read.1.is_empty() { Ok(read.0) } else { Err(read.1) }
    }

    /// What was read, unless it could not be.
    pub(crate) fn readable<T>((read, mut faults): (T, Vec<Self>)) -> Result<T, Vec<Self>> {
        faults.retain(|fault| fault.severity == Severity::Unreadable);
        Self::none_of((read, faults))
    }
}

/// The columns of a file. Those of other names are faults, except where the name begins with `x_`, or
/// is empty, as spreadsheets leave it.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    /// Those that every file has.
    pub(crate) required: &'a [&'a str],
    /// Those that it may have.
    pub(crate) optional: &'a [&'a str],
}

/// One row of a CSV file, with the means to complain about it.
pub(crate) struct Row<'a> {
    file: &'a str,
    header: &'a csv::StringRecord,
    record: csv::StringRecord,
    line: u64,
}

impl Row<'_> {
    /// The row's line, counted from 1, the header included.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    pub(crate) fn get(&self, column: &str) -> &str {
        let index = self.header.iter().position(|name| name == column);
        index.and_then(|i| self.record.get(i)).unwrap_or("").trim()
    }

    pub(crate) fn fault(&self, column: &str, problem: impl Into<String>) -> CsvFault {
        CsvFault {
            file: self.file.to_owned(),
            line: self.line,
            column: column.to_owned(),
            problem: problem.into(),
            severity: Severity::Unreadable,
        }
    }

    /// A fault with which the row can be read all the same.
    pub(crate) fn refusal(&self, column: &str, problem: impl Into<String>) -> CsvFault {
        CsvFault { severity: Severity::Refused, ..self.fault(column, problem) }
    }

    pub(crate) fn text(&self, column: &str, faults: &mut Vec<CsvFault>) -> String {
        let value = self.get(column);
        if value.is_empty() {
            faults.push(self.fault(column, "is empty; every row needs it"));
        }
        value.to_owned()
    }

    pub(crate) fn code(&self, column: &str, faults: &mut Vec<CsvFault>) -> Option<PrefectureCode> {
        let value = self.get(column);
        let code = PrefectureCode::parse(value);
        if code.is_none() {
            faults.push(
                self.fault(column, format!("`{value}` is not a GB/T 2260 code; write six digits")),
            );
        }
        code
    }

    pub(crate) fn date(&self, column: &str, faults: &mut Vec<CsvFault>) -> Option<BusinessDay> {
        let value = self.get(column);
        let date = parse_date(value);
        if date.is_none() && !value.is_empty() {
            faults.push(self.fault(
                column,
                format!("`{value}` is not a date; write YYYY-MM-DD or leave it empty"),
            ));
        }
        date
    }
}

impl Columns<'_> {
    /// The columns of a header that are none of these, or stand twice.
    fn unknown<'h>(&self, header: &'h csv::StringRecord) -> Vec<(&'h str, String)> {
        let known: Vec<&str> = self.required.iter().chain(self.optional).copied().collect();
        let mut unknown = Vec::new();
        for (index, name) in header.iter().enumerate() {
            if name.is_empty() || name.starts_with("x_") {
                continue;
            }
            if !known.contains(&name) {
                let problem = format!(
                    "is no column of this file; write one of {}, or begin the name with x_ to have it \
                     passed over",
                    known.join(", ")
                );
                unknown.push((name, problem));
            } else if header.iter().take(index).any(|before| before == name) {
                unknown.push((name, "the column stands twice; keep one".to_owned()));
            }
        }
        unknown
    }
}

/// Calls `each` with every row, after checking that the header has the columns and no others.
pub(crate) fn read_rows(
    file: &str,
    text: &str,
    columns: Columns<'_>,
    faults: &mut Vec<CsvFault>,
    mut each: impl FnMut(&Row<'_>, &mut Vec<CsvFault>),
) {
    let whole = |line, column: &str, problem: String| CsvFault {
        file: file.to_owned(),
        line,
        column: column.to_owned(),
        problem,
        severity: Severity::Unreadable,
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            return faults.push(whole(1, "", format!("the header cannot be read: {error}")));
        }
    };
    for (column, problem) in columns.unknown(&header) {
        faults.push(CsvFault { severity: Severity::Refused, ..whole(1, column, problem) });
    }
    let missing = columns.required.iter().filter(|column| !header.iter().any(|n| n == **column));
    let missing: Vec<_> = missing.collect();
    for column in &missing {
        faults.push(whole(1, column, "the column is missing from the header".to_owned()));
    }
    if !missing.is_empty() {
        return;
    }
    for record in reader.into_records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                each(&Row { file, header: &header, record, line }, faults);
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                faults.push(whole(line, "", format!("the row cannot be read: {error}")));
            }
        }
    }
}
