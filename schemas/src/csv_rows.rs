//! Rows of a reference file, and everything that may be wrong with them: each fault is told with its
//! file, line, column and remedy, and a file is read to its end.

use std::borrow::Cow;

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

/// How many faults of a set are told; that there are more is told by one more.
pub const FAULTS_MAX: usize = 1_000;

/// The faults of a set, in the order in which they were found: the first of them, however many there are.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: Vec<CsvFault>,
    /// Where the first that is left out would stand, as grave as the worst of them.
    left_out: Option<CsvFault>,
}

impl Faults {
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn push(&mut self, fault: CsvFault) {
        if self.found.len() < FAULTS_MAX {
            return self.found.push(fault);
        }
        let severity = fault.severity;
        let left_out = self.left_out.get_or_insert_with(|| CsvFault {
            column: String::new(),
            problem: "there are more faults from here on; mend those above first".to_owned(),
            ..fault
        });
        if severity == Severity::Unreadable {
            left_out.severity = severity;
        }
    }

    /// All that are told.
    pub(crate) fn into_vec(self) -> Vec<CsvFault> {
        self.found.into_iter().chain(self.left_out).collect()
    }
}

impl Extend<CsvFault> for Faults {
    fn extend<I: IntoIterator<Item = CsvFault>>(&mut self, faults: I) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }
}

/// How much of a value is told in a fault.
const SHOWN_CHARS: usize = 60;

/// A value as a fault tells it: not at any length, and with nothing in it that a terminal obeys.
pub fn shown(value: &str) -> String {
    let mut rest = value.chars();
    let start: String = rest.by_ref().take(SHOWN_CHARS).collect();
    escaped(&start) + if rest.next().is_some() { "…" } else { "" }
}

/// A text with nothing in it that a terminal obeys.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
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

    /// A value as a fault tells it.
    pub(crate) fn shown(&self, column: &str) -> String {
        shown(self.get(column))
    }

    /// The columns that are read and have a control character, which would reach a terminal with a report.
    fn controls(&self) -> impl Iterator<Item = CsvFault> {
        let read = self.header.iter().zip(&self.record).filter(|(name, _)| !is_own(name));
        read.filter_map(|(name, value)| {
            let character = value.trim().chars().find(|character| character.is_control())?;
            let problem = match character {
                '\n' | '\r' => "has a line break; write it in one line".to_owned(),
                _ => format!("has the control character U+{:04X}; delete it", u32::from(character)),
            };
            Some(self.refusal(name, problem))
        })
    }

    pub(crate) fn fault(&self, column: &str, problem: impl Into<String>) -> CsvFault {
        CsvFault {
            file: self.file.to_owned(),
            line: self.line,
            column: shown(column),
            problem: problem.into(),
            severity: Severity::Unreadable,
        }
    }

    /// A fault with which the row can be read all the same.
    pub(crate) fn refusal(&self, column: &str, problem: impl Into<String>) -> CsvFault {
        CsvFault { severity: Severity::Refused, ..self.fault(column, problem) }
    }

    pub(crate) fn text(&self, column: &str, faults: &mut Faults) -> String {
        let value = self.get(column);
        if value.is_empty() {
            faults.push(self.fault(column, "is empty; every row needs it"));
        }
        value.to_owned()
    }

    pub(crate) fn code(&self, column: &str, faults: &mut Faults) -> Option<PrefectureCode> {
        let code = PrefectureCode::parse(self.get(column));
        if code.is_none() {
            let problem =
                format!("`{}` is not a GB/T 2260 code; write six digits", self.shown(column));
            faults.push(self.fault(column, problem));
        }
        code
    }

    /// A date that may be left out.
    pub(crate) fn date(&self, column: &str, faults: &mut Faults) -> Option<BusinessDay> {
        if self.get(column).is_empty() {
            return None;
        }
        self.dated(column, "write YYYY-MM-DD or leave it empty", faults)
    }

    /// A date that every row has.
    pub(crate) fn day(&self, column: &str, faults: &mut Faults) -> Option<BusinessDay> {
        if self.get(column).is_empty() {
            faults.push(self.fault(column, "is empty; write YYYY-MM-DD"));
            return None;
        }
        self.dated(column, "write YYYY-MM-DD", faults)
    }

    fn dated(&self, column: &str, remedy: &str, faults: &mut Faults) -> Option<BusinessDay> {
        let date = parse_date(self.get(column));
        if date.is_none() {
            let problem = format!("`{}` is not a date; {remedy}", self.shown(column));
            faults.push(self.fault(column, problem));
        }
        date
    }
}

/// Whether a column is somebody's own, which is neither read nor kept.
fn is_own(name: &str) -> bool {
    name.is_empty() || name.starts_with("x_")
}

/// A text that could be read without the columns that are somebody's own; as it is where it has none.
///
/// # Panics
/// Where the text could not be read.
pub fn without_own(text: &str) -> Cow<'_, str> {
    let mut reader = reader(text);
    let header = reader.headers().expect("the header was read").clone();
    if !header.iter().any(is_own) {
        return Cow::Borrowed(text);
    }
    let rows = reader.into_records().map(|row| row.expect("the row was read"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(header.clone()).chain(rows) {
        let read = header.iter().zip(&row).filter(|(name, _)| !is_own(name));
        writer.write_record(read.map(|(_, value)| value)).expect("memory takes it");
    }
    let bytes = writer.into_inner().expect("memory takes it");
    Cow::Owned(String::from_utf8(bytes).expect("its parts are UTF-8"))
}

fn reader(text: &str) -> csv::Reader<&[u8]> {
    let text = text.trim_start_matches('\u{feff}');
    csv::ReaderBuilder::new().trim(csv::Trim::Headers).from_reader(text.as_bytes())
}

impl Columns<'_> {
    /// The columns of a header that are none of these, or stand twice.
    fn unknown<'h>(&self, header: &'h csv::StringRecord) -> Vec<(&'h str, String)> {
        let known: Vec<&str> = self.required.iter().chain(self.optional).copied().collect();
        let mut unknown = Vec::new();
        for (index, name) in header.iter().enumerate() {
            if is_own(name) {
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
    faults: &mut Faults,
    mut each: impl FnMut(&Row<'_>, &mut Faults),
) {
    let whole = |line, column: &str, problem: String| CsvFault {
        file: file.to_owned(),
        line,
        column: shown(column),
        problem,
        severity: Severity::Unreadable,
    };
    let mut reader = reader(text);
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            return faults.push(whole(1, "", format!("the header cannot be read: {error}")));
        }
    };
    let alone = header.get(0).filter(|_| header.len() == 1 && columns.required.len() > 1);
    if let Some(separator) = [';', '\t'].into_iter().find(|c| alone.unwrap_or("").contains(*c)) {
        let separator =
            if separator == '\t' { "tabs".to_owned() } else { format!("`{separator}`") };
        let problem = format!("the columns seem to be separated by {separator}; write commas");
        return faults.push(whole(1, "", problem));
    }
    for (column, problem) in columns.unknown(&header) {
        faults.push(CsvFault { severity: Severity::Refused, ..whole(1, column, problem) });
    }
    let missing = columns.required.iter().filter(|column| !header.iter().any(|n| n == **column));
    let missing: Vec<_> = missing.collect();
    for column in &missing {
        faults.push(whole(1, column, "the column is missing from the header; add it".to_owned()));
    }
    if !missing.is_empty() {
        return;
    }
    for record in reader.into_records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let row = Row { file, header: &header, record, line };
                faults.extend(row.controls());
                each(&row, faults);
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                faults.push(whole(line, "", unreadable(&error)));
            }
        }
    }
}

/// Why a row cannot be read.
fn unreadable(error: &csv::Error) -> String {
    let csv::ErrorKind::UnequalLengths { expected_len, len, .. } = error.kind() else {
        return format!("the row cannot be read: {error}; write it anew");
    };
    let fields = if *len == 1 { "field" } else { "fields" };
    let remedy = if len < expected_len {
        "is a comma missing or a quote open?"
    } else {
        "is a comma too many, or does a text with a comma have no quotes?"
    };
    format!("the row has {len} {fields}, the header has {expected_len}; {remedy}")
}

#[cfg(test)]
mod tests;
