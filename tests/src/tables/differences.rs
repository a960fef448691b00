//! How the tables differ from the oracle, said for people.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::LazyLock;

use super::{DeadLetterRow, LedgerRow, OracleShards, Shard, Tables};
use crate::oracle::{OracleCell, OracleKey, OracleShard, time};

/// Every measure of a cell with its name.
pub type Measures = [(&'static str, i128); 19];

/// The cells of all shards, added up.
pub fn merged(shards: &OracleShards) -> BTreeMap<OracleKey, Measures> {
    let mut sums: BTreeMap<OracleKey, Measures> = BTreeMap::new();
    for (key, cell) in shards.values().flat_map(|shard| &shard.cells) {
        let sum = sums.entry(key.clone()).or_insert_with(|| OracleCell::default().measures());
        for (sum, measure) in sum.iter_mut().zip(cell.measures()) {
            sum.1 += measure.1;
        }
    }
    sums
}

impl Tables {
    /// Every way in which the tables differ from the oracle, one a line: ledger, terms of it that do
    /// not add up, cells, dead letters, totals of the newest publish.
    pub fn differences(&self, shards: &OracleShards) -> Vec<String> {
        let mut found = self.differing_accounts(shards);
        found.extend(self.differing_cells(shards));
        found.extend(self.differing_dead_letters(shards));
        found.extend(self.differing_publishes(shards));
        found
    }

    /// Every cell that differs from the sum over the shards.
    pub fn differing_cells(&self, shards: &OracleShards) -> Vec<String> {
        let mut found = Vec::new();
        let expected = merged(shards);
        let keys: BTreeSet<&OracleKey> = expected.keys().chain(self.rollups.keys()).collect();
        for key in keys {
            match (expected.get(key), self.rollups.get(key)) {
                (Some(_), None) => found.push(format!("{key:?}: the row is missing")),
                (None, Some(_)) => found.push(format!("{key:?}: the row ought not to be there")),
                (Some(expected), Some(cell)) => {
                    let pairs = expected.iter().copied().zip(cell.measures());
                    found.extend(pairs.filter(|(expected, found)| expected != found).map(
                        |((name, expected), (_, found))| {
                            format!("{key:?}: {name} is {found}, expected {expected}")
                        },
                    ));
                }
                (None, None) => {}
            }
        }
        found
    }

    /// Every row of the ledger that differs, or whose terms do not add up.
    pub fn differing_accounts(&self, shards: &OracleShards) -> Vec<String> {
        let mut found = Vec::new();
        let keys: BTreeSet<&Shard> = shards.keys().chain(self.ledger.keys()).collect();
        for key in keys {
            match (shards.get(key), self.ledger.get(key)) {
                (Some(_), None) => found.push(format!("ledger {key:?}: the row is missing")),
                (None, _) => found.push(format!("ledger {key:?}: nobody knows of this shard")),
                (Some(expected), Some(row)) => {
                    if let Some(fault) = row.unbalanced() {
                        found.push(format!("ledger {key:?}: {fault}"));
                    }
                    found.extend(row.differing(expected).into_iter().map(
                        |(name, found, expected)| {
                            format!("ledger {key:?}: {name} is {found}, expected {expected}")
                        },
                    ));
                }
            }
        }
        found
    }

    /// Every dead letter that is missing, or ought not to be there. The field is left out, because
    /// CONTRACT does not fix it.
    pub fn differing_dead_letters(&self, shards: &OracleShards) -> Vec<String> {
        let mut expected = Vec::new();
        for ((topic, partition), shard) in shards {
            for (offset, at, reason, _) in &shard.rejects {
                let at = at.filter(|at| is_tabled(*at));
                expected.push((topic.clone(), *partition, *offset, at, reason.clone()));
            }
        }
        expected.sort();
        let mut rows: Vec<_> = self.dead_letters.iter().map(DeadLetterRow::comparable).collect();
        rows.sort();
        // As lists, not as sets: a letter that is there twice is a difference.
        let mut found = Vec::new();
        for (what, some, others) in
            [("is missing", &expected, &rows), ("ought not to be there", &rows, &expected)]
        {
            let mut left: BTreeMap<_, i64> = BTreeMap::new();
            for other in others {
                *left.entry(other).or_default() += 1;
            }
            for letter in some {
                let count = left.entry(letter).or_default();
                *count -= 1;
                if *count < 0 {
                    found.push(format!("dead letter {letter:?} {what}"));
                }
            }
        }
        found
    }

    fn differing_publishes(&self, shards: &OracleShards) -> Vec<String> {
        let mut found = Vec::new();
        for pair in self.publishes.windows(2) {
            if pair[1].publish != pair[0].publish + 1 {
                found.push(format!("publish {} follows {}", pair[1].publish, pair[0].publish));
            }
            if pair[1].consumed < pair[0].consumed || pair[1].shards < pair[0].shards {
                found.push(format!("publish {} went back", pair[1].publish));
            }
        }
        let consumed: i64 = shards.values().map(|shard| shard.consumed).sum();
        let rejected: i64 = shards.values().map(|shard| shard.rejected).sum();
        let cells = merged(shards).len();
        match self.publishes.last() {
            None => found.push("publishes: nothing was published".to_owned()),
            Some(last) => {
                let totals = (last.consumed, last.rejected, usize::try_from(last.cells));
                if totals != (consumed, rejected, Ok(cells)) {
                    found.push(format!(
                        "publishes: the last is {last:?}, expected {consumed} consumed, \
                         {rejected} rejected, {cells} cells"
                    ));
                }
            }
        }
        found
    }
}

impl DeadLetterRow {
    fn comparable(&self) -> (String, i32, i64, Option<i64>, String) {
        let (topic, reason) = (self.topic.clone(), self.reason.clone());
        (topic, self.partition, self.offset, self.timestamp_micros, reason)
    }
}

impl LedgerRow {
    /// Which identity of promise P1 does not hold, if any.
    pub fn unbalanced(&self) -> Option<String> {
        let judged = self.applied + self.duplicates + self.rejected + self.ignored;
        if self.consumed != judged {
            return Some(format!("{} were consumed, {judged} judged", self.consumed));
        }
        let accounted = self.consumed + self.gaps + self.lost;
        let range = self.next_offset - self.first_offset;
        (accounted != range).then(|| format!("{accounted} of {range} offsets are accounted for"))
    }

    fn differing(&self, expected: &OracleShard) -> Vec<(&'static str, String, String)> {
        let numbers = [
            ("first_offset", self.first_offset, expected.first_offset),
            ("next_offset", self.next_offset, expected.next_offset),
            ("consumed", self.consumed, expected.consumed),
            ("applied", self.applied, expected.applied),
            ("duplicates", self.duplicates, expected.duplicates),
            ("rejected", self.rejected, expected.rejected),
            ("ignored", self.ignored, expected.ignored),
            ("gaps", self.gaps, expected.gaps),
            ("lost", self.lost, expected.lost),
        ];
        let mut found: Vec<_> = numbers
            .into_iter()
            .filter(|(_, found, expected)| found != expected)
            .map(|(name, found, expected)| (name, found.to_string(), expected.to_string()))
            .collect();
        if self.watermark_micros != expected.watermark_micros {
            let (found_at, at) = (self.watermark_micros, expected.watermark_micros);
            found.push(("watermark", format!("{found_at:?}"), format!("{at:?}")));
        }
        if self.source != "kafka" {
            found.push(("source", self.source.clone(), "kafka".to_owned()));
        }
        found
    }
}

/// Whether a reader can show the year, in UTC+08:00, of an instant in microseconds.
fn is_tabled(micros: i64) -> bool {
    // Counted day by day, and therefore once.
    static TABLED: LazyLock<Range<i128>> = LazyLock::new(|| {
        let first = time::china_day_end(time::day_number(0, 1, 1)) - time::DAY;
        first..time::china_day_end(time::day_number(9999, 12, 31))
    });
    TABLED.contains(&i128::from(micros))
}
