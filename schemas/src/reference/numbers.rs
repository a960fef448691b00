//! Decimals of reference files as integers, and what is wrong with those that are none.

use crate::csv_rows::shown;

/// How a column writes its numbers: digits, of which some may stand behind a point, and a sign before them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimals {
    /// The most digits before the point.
    whole: usize,
    /// The most digits behind the point.
    part: usize,
}

/// Per cent, in millionths.
pub(super) const PERCENT: Decimals = Decimals { whole: 9, part: 6 };
/// Yuan, in fen.
pub(super) const YUAN: Decimals = Decimals { whole: 13, part: 2 };
/// Pieces.
pub(super) const COUNT: Decimals = Decimals { whole: 18, part: 0 };

impl Decimals {
    /// A number in units of its last decimal; `None` for anything else.
    pub(super) fn parse(self, text: &str) -> Option<i64> {
        let (sign, whole, part) = digits(text)?;
        if whole.len() > self.whole || part.len() > self.part {
            return None;
        }
        let digits = format!("{whole}{part:0<decimals$}", decimals = self.part);
        Some(sign * digits.parse::<i64>().ok()?)
    }

    /// What is wrong with a text that is no number of this kind.
    pub(super) fn complaint(self, text: &str) -> String {
        let form = match self.part {
            0 => "write a whole number".to_owned(),
            part => format!("write a decimal of at most {part} decimals"),
        };
        if text.is_empty() {
            return format!("is empty; {form}");
        }
        let value = shown(text);
        match digits(text) {
            None => format!("`{value}` is no number; {form}"),
            Some((_, _, part)) if part.len() > self.part => {
                format!("`{value}` has too many decimals; {form}")
            }
            Some(_) => {
                let whole = self.whole;
                format!("`{value}` is out of range; write at most {whole} digits before the point")
            }
        }
    }
}

/// The sign of a number, and the digits before its point and behind it.
fn digits(text: &str) -> Option<(i64, &str, &str)> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match unsigned.split_once('.') {
        Some((whole, part)) => {
            (are_digits(whole) && are_digits(part)).then_some((sign, whole, part))
        }
        None => are_digits(unsigned).then_some((sign, unsigned, "")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(decimals: Decimals, text: &str, expect: Result<i64, &str>) {
        let found = decimals.parse(text).ok_or_else(|| decimals.complaint(text));
        assert_eq!(found, expect.map_err(str::to_owned));
    }

    #[test]
    fn what_is_wrong_with_a_number_is_told() {
        check(PERCENT, "+5.6", Ok(5_600_000));
        check(YUAN, "+5.6", Ok(560));
        check(COUNT, "+56", Ok(56));
        let six = "write a decimal of at most 6 decimals";
        let many = format!("`12.1234567` has too many decimals; {six}");
        check(PERCENT, "12.1234567", Err(&many));
        check(PERCENT, "5.6%", Err(&format!("`5.6%` is no number; {six}")));
        check(PERCENT, "", Err(&format!("is empty; {six}")));
        let range = "`1000000000` is out of range; write at most 9 digits before the point";
        check(PERCENT, "1000000000", Err(range));
        check(COUNT, "1.5", Err("`1.5` has too many decimals; write a whole number"));
        let long = format!("`{}…` is no number; write a whole number", "x".repeat(60));
        check(COUNT, &"x".repeat(1_000_000), Err(&long));
    }
}
