//! The Prometheus text format, as far as a scrape of Postroad goes.

use std::collections::BTreeMap;

/// The samples of one scrape, by metric name and labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(BTreeMap<(String, BTreeMap<String, String>), f64>);

impl Metrics {
    /// Reads the text format 0.0.4; timestamps and comments are left out.
    ///
    /// # Panics
    /// When a line is not of that format, or a series is there twice.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) =
                parse_sample(line).unwrap_or_else(|| panic!("not a sample: {line}"));
            let before = samples.insert(series, value);
            assert!(before.is_none(), "a series is there twice: {line}");
        }
        Self(samples)
    }

    /// The value of the one series with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.matching(name, labels)
            .find(|(all, _)| all.len() == labels.len())
            .map(|(_, value)| value)
    }

    /// The sum over the series of `name` that carry these labels, among others; 0 when there is
    /// none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|(_, value)| value).sum()
    }

    /// The series of `name` that carry these labels, among others.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = (&'a BTreeMap<String, String>, f64)> {
        self.0
            .iter()
            .filter(move |((n, all), _)| {
                n == name && labels.iter().all(|(k, v)| all.get(*k).is_some_and(|x| x == v))
            })
            .map(|((_, all), value)| (all, *value))
    }
}

type Series = (String, BTreeMap<String, String>);

/// `name{label="value",…} number [timestamp]`; a value may hold any character, with `\\`, `\"` and
/// `\n` escaped.
fn parse_sample(line: &str) -> Option<(Series, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, quoted) = rest.split_once("=\"")?;
            let (value, after) = parse_label_value(quoted)?;
            labels.insert(label.to_owned(), value);
            rest = after;
        }
    }
    // Rust reads `+Inf` and `NaN` as Prometheus writes them.
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(((name.to_owned(), labels), value))
}

/// The text up to the closing quote, unescaped, and what follows that quote.
fn parse_label_value(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_what_delimits_them() {
        let metrics = Metrics::parse(
            "# TYPE a counter\n\
             a{x=\"1\",y=\"q\\\"}, \\\\ \\n=\"} 7\na{x=\"1\",y=\"z\",} 5 1700000000000\nb +Inf\n",
        );
        assert_eq!(metrics.value("a", &[("y", "q\"}, \\ \n="), ("x", "1")]), Some(7.0));
        assert_eq!(metrics.value("a", &[("x", "1")]), None);
        assert!((metrics.sum("a", &[("x", "1")]) - 12.0).abs() < f64::EPSILON);
        assert_eq!(metrics.value("b", &[]), Some(f64::INFINITY));
    }
}
