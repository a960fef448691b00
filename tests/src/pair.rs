//! The fold and the oracle in the same terms.
#![expect(clippy::missing_panics_doc, reason = "a harness panics where a test is wrong")]

use std::collections::{BTreeMap, BTreeSet};

use crate::oracle::{OracleCell, OracleKey, OracleRecord, OracleRules, OracleShard, Verdict};
use postroad_aggregate::event::CellKey;
use postroad_aggregate::ledger::{DeadLetter, Outcome};
use postroad_aggregate::measures::Measures;
use postroad_aggregate::rules::{DECODER_VERSION, Rules, RulesId};
use postroad_aggregate::shard::{Record, ShardState, Step};
use postroad_schemas::codebook::PrefectureCode;
use postroad_schemas::contract::Contract;
use postroad_schemas::reject::{Reason, Reject};
use postroad_schemas::time::parse_timestamp;
use postroad_schemas::units::{Offset, Timestamp};
use serde_json::Value;

/// Both contracts, by the names that the oracle knows them by.
pub const CONTRACTS: [&str; 2] = ["parcel", "finance"];

/// The contract of a name.
pub fn contract(name: &str) -> Contract {
    name.parse().expect("it is one of the two")
}

/// The same rules, as the fold takes them.
pub fn real_rules(rules: &OracleRules) -> Rules {
    let hours = |hours: i64| u32::try_from(hours).expect("a setting in hours is small");
    Rules {
        decoder_version: DECODER_VERSION,
        prefectures: rules
            .prefectures
            .iter()
            .map(|code| PrefectureCode::parse(code).expect("a code of six digits"))
            .collect(),
        dedupe_window_h: hours(rules.dedupe_window_h),
        late_after_h: hours(rules.late_after_h),
        final_after_h: hours(rules.final_after_h),
        value_bytes_max: rules.value_bytes_max as u64,
    }
}

/// The address of rules: of their serialisation, as in the store.
pub fn rules_id(rules: &Rules) -> RulesId {
    RulesId::of(&serde_json::to_vec(rules).expect("rules are plain data"))
}

/// The record as the source hands it over: a negative timestamp is none.
pub fn real_record(record: &OracleRecord) -> Record<'_> {
    Record {
        offset: Offset::new(record.offset),
        timestamp: record.timestamp_ms.filter(|ms| *ms >= 0).map(Timestamp::from_millis),
        value: record.value.as_deref(),
    }
}

/// What a broker can hold of a random log: one record an offset. (The logs also have records that
/// come again, sometimes with another value.)
pub fn once_each(log: Vec<OracleRecord>) -> Vec<OracleRecord> {
    let mut seen = BTreeSet::new();
    log.into_iter().filter(|record| seen.insert(record.offset)).collect()
}

/// What the fold did, as the oracle says it.
pub fn verdict(step: Step) -> Verdict {
    match step {
        Step::Skipped => Verdict::Skipped,
        Step::Consumed { outcome, .. } => match outcome {
            Outcome::Applied => Verdict::Applied,
            Outcome::Duplicate => Verdict::Duplicate,
            Outcome::Ignored => Verdict::Ignored,
            Outcome::Rejected(Reject { reason, field }) => Verdict::Rejected {
                reason: reason.as_str().to_owned(),
                field: field.map(|field| field.as_str().to_owned()),
            },
        },
    }
}

/// The verdict in what CONTRACT fixes. It does not say which field of a malformed value is at
/// fault, nor in which order missing fields are named; for parcels both sides chose the table's.
pub fn agreed(name: &str, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Rejected { reason, field } => {
            let free = match reason.as_str() {
                "malformed" => true,
                "missing_field" => name == "finance",
                _ => false,
            };
            Verdict::Rejected { reason, field: field.filter(|_| !free) }
        }
        other => other,
    }
}

fn oracle_key(key: &CellKey) -> OracleKey {
    (key.day.to_string(), key.prefecture.to_string(), key.product.as_str().to_owned())
}

/// Measure by measure, by name: the order of a row is not trusted here.
pub fn oracle_cell(cell: &Measures) -> OracleCell {
    OracleCell {
        volume: cell.volume.into(),
        revenue_fen: cell.revenue.get(),
        weight_g: cell.weight.get(),
        scans: cell.scans.into(),
        due: cell.due.into(),
        delivered: cell.delivered.into(),
        on_time: cell.on_time.into(),
        failed_attempts: cell.failed_attempts.into(),
        returned: cell.returned.into(),
        voided: cell.voided.into(),
        balance_fen: cell.balance.get(),
        turnover_fen: cell.turnover.get(),
        accounts_opened: cell.accounts_opened.into(),
        reversals: cell.reversals.into(),
        agri_volume: cell.agri_volume.into(),
        agri_revenue_fen: cell.agri_revenue.get(),
        events: cell.events.into(),
        late_events: cell.late_events.into(),
        restated_events: cell.restated_events.into(),
    }
}

/// Cells as the oracle keeps them.
pub fn oracle_cells<'a>(
    cells: impl IntoIterator<Item = (&'a CellKey, &'a Measures)>,
) -> BTreeMap<OracleKey, OracleCell> {
    cells.into_iter().map(|(key, cell)| (oracle_key(key), oracle_cell(cell))).collect()
}

/// Compares all that the oracle knows of a shard, and checks the shard's own invariants.
#[track_caller]
pub fn assert_same(state: &ShardState, oracle: &OracleShard, log: &[OracleRecord], case: &str) {
    state.check().unwrap_or_else(|violation| panic!("{case}: {violation}"));
    assert_eq!(oracle_cells(&state.cells), oracle.cells, "{case}: cells");
    let ledger = &state.ledger;
    let ours = [ledger.applied, ledger.duplicates, ledger.rejected, ledger.ignored, ledger.gaps];
    let theirs = [oracle.applied, oracle.duplicates, oracle.rejected, oracle.ignored, oracle.gaps];
    assert_eq!(ours.map(|n| i64::try_from(n).ok()), theirs.map(Some), "{case}: ledger");
    assert_eq!(i64::try_from(ledger.consumed()).ok(), Some(oracle.consumed), "{case}: consumed");
    assert_eq!(ledger.lost, 0, "{case}: lost");
    assert_eq!(
        (ledger.first.get(), ledger.next.get()),
        (oracle.first_offset, oracle.next_offset),
        "{case}: boundaries"
    );
    let watermark = state.watermark.map(Timestamp::as_micros);
    assert_eq!(watermark, oracle.watermark_micros, "{case}: watermark");
    assert_same_rejects(&state.dead_letters, oracle, log, case);
}

#[track_caller]
fn assert_same_rejects(
    letters: &[DeadLetter],
    oracle: &OracleShard,
    log: &[OracleRecord],
    case: &str,
) {
    assert_eq!(letters.len(), oracle.rejects.len(), "{case}: dead letters");
    // Of the records at one offset it is the first that was judged.
    let mut records: BTreeMap<i64, &OracleRecord> = BTreeMap::new();
    for record in log {
        records.entry(record.offset).or_insert(record);
    }
    for (letter, (offset, micros, reason, _)) in letters.iter().zip(&oracle.rejects) {
        assert_eq!(letter.offset.get(), *offset, "{case}");
        assert_eq!(letter.reason.as_str(), reason, "{case}: offset {offset}");
        let expected = letter_time(records[offset], *micros, letter.reason);
        assert_eq!(letter.timestamp, expected, "{case}: offset {offset}");
        assert_eq!(letter.payload, None, "{case}: offset {offset}");
    }
}

/// The timestamp of a dead letter: the record's, or where it has none the one that its value claims
/// in a readable `occurred_at`. One beyond 64 bits of microseconds is kept as the last there is.
fn letter_time(record: &OracleRecord, micros: Option<i64>, reason: Reason) -> Option<Timestamp> {
    if let Some(micros) = micros {
        return Some(Timestamp::from_micros(micros));
    }
    if record.timestamp_ms.is_some_and(|ms| ms >= 0) {
        return Some(Timestamp::from_micros(i64::MAX));
    }
    if matches!(reason, Reason::TooLarge | Reason::Malformed) {
        return None;
    }
    let value: Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
    parse_timestamp(value.get("occurred_at")?.as_str()?)
}
