//! Rows of a reference file, and everything that may be wrong with them: each fault is told with its
//! file, line, column and remedy, and a file is read to its end.

use crate::codebook::PrefectureCode;
use crate::time::parse_date;
use crate::units::BusinessDay;

/// Something wrong with a reference file, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {column}: {problem}")]
pub struct CsvFault {
    /// The file's name.
    pub file: String,
    /// Line, counted from 1, the header included.
    pub line: u64,
    /// The column's name; empty where the whole line is at fault.
    pub column: String,
    /// What is wrong and how to mend it.
    pub problem: String,
}

/// One row of a CSV file, with the means to complain about it.
pub(crate) struct Row<'a> {
    file: &'a str,
    header: &'a csv::StringRecord,
    record: csv::StringRecord,
    line: u64,
}

impl Row<'_> {
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
        }
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

/// Calls `each` with every row, after checking that the header has the columns.
pub(crate) fn read_rows(
    file: &str,
    text: &str,
    columns: &[&str],
    faults: &mut Vec<CsvFault>,
    mut each: impl FnMut(&Row<'_>, &mut Vec<CsvFault>),
) {
    let whole = |line, column: &str, problem: String| CsvFault {
        file: file.to_owned(),
        line,
        column: column.to_owned(),
        problem,
    };
    let mut reader =
        csv::ReaderBuilder::new().from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            return faults.push(whole(1, "", format!("the header cannot be read: {error}")));
        }
    };
    let missing: Vec<_> =
        columns.iter().filter(|column| !header.iter().any(|name| name == **column)).collect();
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
