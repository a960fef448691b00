//! The pure comparison: two states of a shard, and what differs between them by name.

use std::collections::BTreeMap;
use std::fmt;

use postroad_aggregate::event::CellKey;
use postroad_aggregate::ledger::{DeadLetter, Delivered};
use postroad_aggregate::measures::Measures;
use postroad_aggregate::rules::RulesId;
use postroad_aggregate::shard::ShardState;
use postroad_schemas::tables::MEASURES;
use postroad_schemas::units::{NextOffset, Timestamp};
use serde::Serialize;

/// One thing that is not as it ought to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The table, the manifest, or the checkpoint.
    pub place: String,
    /// What within it: a row's key, a cell, an offset, a file. May be empty.
    pub key: String,
    /// The column, or what else of it differs.
    pub column: String,
    /// What is there.
    pub found: String,
    /// What ought to be.
    pub expected: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, column, found, expected } = self;
        let space = if key.is_empty() { "" } else { " " };
        write!(f, "{place}{space}{key}: {column} is {found}, expected {expected}")
    }
}

/// Collects the differences of one place.
pub(super) struct Differences<'a> {
    place: &'a str,
    found: Vec<Difference>,
}

impl<'a> Differences<'a> {
    pub(super) fn at(place: &'a str) -> Self {
        Self { place, found: Vec::new() }
    }

    /// Notes a difference, if the two texts differ.
    pub(super) fn check(
        &mut self,
        key: &str,
        column: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let (found, expected) = (found.into(), expected.into());
        if found != expected {
            self.found.push(Difference {
                place: self.place.to_owned(),
                key: key.to_owned(),
                column: column.to_owned(),
                found,
                expected,
            });
        }
    }

    /// Notes that what a key names is on one side only.
    pub(super) fn check_presence(&mut self, key: &str, what: &str, is_found: bool) {
        let (found, expected) = if is_found { ("there", "none") } else { ("missing", "there") };
        self.check(key, what, found, expected);
    }

    pub(super) fn into_vec(self) -> Vec<Difference> {
        self.found
    }
}

/// Compares what a checkpoint holds, segments included, with what the log makes of the same range.
/// Rules from the boundary on have judged nothing yet, and are left out.
pub fn compare_states(place: &str, found: &ShardState, expected: &ShardState) -> Vec<Difference> {
    let mut differences = Differences::at(place);
    compare_ledgers(&mut differences, found, expected);
    compare_positions(&mut differences, found, expected);
    if found.cells != expected.cells {
        compare_cells(&mut differences, &found.cells, &expected.cells);
    }
    compare_dead_letters(&mut differences, &found.dead_letters, &expected.dead_letters);
    for (one, other, is_found) in [(found, expected, true), (expected, found, false)] {
        for offset in one.replayed.iter().filter(|offset| !other.replayed.contains(offset)) {
            let key = format!("dead letter at offset {offset}");
            differences.check_presence(&key, "replay", is_found);
        }
    }
    differences.into_vec()
}

fn compare_ledgers(differences: &mut Differences<'_>, found: &ShardState, expected: &ShardState) {
    let (found, expected) = (&found.ledger, &expected.ledger);
    for (column, found, expected) in
        [("first_offset", found.first, expected.first), ("next_offset", found.next, expected.next)]
    {
        differences.check("ledger", column, found.to_string(), expected.to_string());
    }
    for (column, found, expected) in [
        ("applied", found.applied, expected.applied),
        ("duplicates", found.duplicates, expected.duplicates),
        ("rejected", found.rejected, expected.rejected),
        ("ignored", found.ignored, expected.ignored),
        ("gaps", found.gaps, expected.gaps),
        ("lost", found.lost, expected.lost),
    ] {
        differences.check("ledger", column, found.to_string(), expected.to_string());
    }
    let digest = |digest: u128| format!("{digest:032x}");
    differences.check("ledger", "digest", digest(found.digest), digest(expected.digest));
}

fn compare_positions(differences: &mut Differences<'_>, found: &ShardState, expected: &ShardState) {
    let last = |state: &ShardState| match state.last_delivered {
        Some(Delivered { offset, timestamp, .. }) => format!("{offset} of {}", instant(timestamp)),
        None => "none".to_owned(),
    };
    differences.check("position", "last_delivered", last(found), last(expected));
    let hash = |state: &ShardState| state.last_delivered.map(|last| last.hash);
    if hash(found) != hash(expected) {
        differences.check("position", "hash of last_delivered", "another value's", "the record's");
    }
    let watermarks = (instant(found.watermark), instant(expected.watermark));
    differences.check("position", "watermark", watermarks.0, watermarks.1);
    let hours = |state: &ShardState| -> BTreeMap<i64, String> {
        state.window_hours.iter().map(|(hour, at)| (hour.get(), at.to_string())).collect()
    };
    compare_texts(differences, "window hour", &hours(found), &hours(expected));
    let rules = |state: &ShardState| rules_below(&state.rules, state.ledger.next);
    compare_texts(differences, "rules from offset", &rules(found), &rules(expected));
}

/// Which rules judged records below `next`, by the offset from which they did.
fn rules_below(rules: &[(NextOffset, RulesId)], next: NextOffset) -> BTreeMap<i64, String> {
    let below = rules.iter().take_while(|(from, _)| *from < next);
    below.map(|(from, id)| (from.get(), id.to_string())).collect()
}

fn compare_texts(
    differences: &mut Differences<'_>,
    what: &str,
    found: &BTreeMap<i64, String>,
    expected: &BTreeMap<i64, String>,
) {
    for (key, found, expected) in sides(found.iter(), expected.iter()) {
        let text = |side: Option<&String>| side.map_or("none", String::as_str).to_owned();
        differences.check("position", &format!("{what} {key}"), text(found), text(expected));
    }
}

/// Compares cells, measure by measure: as in the published table, but in fen.
pub(super) fn compare_cells<'a>(
    differences: &mut Differences<'_>,
    found: impl IntoIterator<Item = (&'a CellKey, &'a Measures)>,
    expected: impl IntoIterator<Item = (&'a CellKey, &'a Measures)>,
) {
    for (key, found, expected) in sides(found.into_iter(), expected.into_iter()) {
        let CellKey { day, prefecture, product } = key;
        let key = format!("{day} {prefecture} {product}");
        match (found, expected) {
            (Some(found), Some(expected)) => {
                let values = found.to_array().into_iter().zip(expected.to_array());
                for (column, (found, expected)) in MEASURES.iter().zip(values) {
                    let name = column.replace("_yuan", "_fen");
                    differences.check(&key, &name, found.to_string(), expected.to_string());
                }
            }
            (found, _) => differences.check_presence(&key, "cell", found.is_some()),
        }
    }
}

fn compare_dead_letters(
    differences: &mut Differences<'_>,
    found: &[DeadLetter],
    expected: &[DeadLetter],
) {
    if found == expected {
        return;
    }
    let by_offset = |letters: &'_ [DeadLetter]| -> BTreeMap<i64, DeadLetter> {
        letters.iter().map(|letter| (letter.offset.get(), letter.clone())).collect()
    };
    let (found, expected) = (by_offset(found), by_offset(expected));
    for (offset, found, expected) in sides(found.iter(), expected.iter()) {
        let key = format!("dead letter at offset {offset}");
        let (Some(found), Some(expected)) = (found, expected) else {
            differences.check_presence(&key, "dead letter", found.is_some());
            continue;
        };
        differences.check(&key, "reason", found.reason.as_str(), expected.reason.as_str());
        let field = |letter: &DeadLetter| letter.field.map_or("none", |field| field.as_str());
        differences.check(&key, "field", field(found), field(expected));
        let times = (instant(found.timestamp), instant(expected.timestamp));
        differences.check(&key, "record_timestamp", times.0, times.1);
        // Whether values are kept is a setting, and not the log's to say.
        if found.payload.is_some() && found.payload != expected.payload {
            differences.check(&key, "payload", "another value", "the record's");
        }
    }
}

/// To the microsecond, since nothing that differs may look the same.
fn instant(at: Option<Timestamp>) -> String {
    at.map_or("none".to_owned(), |at| format!("{at} ({} µs)", at.as_micros()))
}

/// Both sides of every key, in order.
pub(super) fn sides<'a, K: Ord + 'a, V: 'a>(
    found: impl Iterator<Item = (&'a K, &'a V)>,
    expected: impl Iterator<Item = (&'a K, &'a V)>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let mut sides: BTreeMap<&K, (Option<&V>, Option<&V>)> = BTreeMap::new();
    for (key, value) in found {
        sides.entry(key).or_default().0 = Some(value);
    }
    for (key, value) in expected {
        sides.entry(key).or_default().1 = Some(value);
    }
    sides.into_iter().map(|(key, (found, expected))| (key, found, expected))
}
