//! Which final cell moved, by how much, in which publish: against the manifests and checkpoints that
//! are still there in a test, so that every publish can be made out again from scratch.

use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType};
use postroad_aggregate::measures::MEASURES as COUNT;
use postroad_schemas::tables::MEASURES;

use super::*;
use crate::checkpoint::envelope::Envelope;

/// Day, prefecture and product of a cell.
pub(super) type Place = (i32, String, String);

/// One restatement: the publish, when it was made, the cell, and every measure before and after.
pub(super) type Row = (u64, i64, Place, [i128; COUNT], [i128; COUNT]);

/// The cells that a publish showed, from the checkpoints that its manifest names.
async fn cells_of(desk: &Desk, manifest: &Manifest) -> BTreeMap<Place, [i128; COUNT]> {
    let mut cells: BTreeMap<Place, [i128; COUNT]> = BTreeMap::new();
    for entry in &manifest.shards {
        let Some(seq) = entry.seq.map(Seq::new) else { continue };
        let key = entry.id().prefix().join(seq.to_string());
        let bytes = desk.bytes(key.as_ref()).await.expect("nobody collects here");
        let envelope = Envelope::decode(&bytes, seq).expect("a checkpoint");
        let checkpoint = format::decode(&envelope.payload).expect("a checkpoint");
        for (key, measures) in &checkpoint.state.cells {
            let place = (key.day.days(), key.prefecture.to_string(), key.product.to_string());
            let sums = cells.entry(place).or_insert([0; COUNT]);
            sums.iter_mut().zip(measures.to_array()).for_each(|(sum, more)| *sum += more);
        }
    }
    cells
}

/// What the table has to hold: the difference between each publish and the one before, in the cells
/// of the days that were final in the one before.
async fn due(desk: &Desk) -> Vec<Row> {
    let manifests = desk.manifests().await;
    let mut rows = Vec::new();
    for pair in manifests.windows(2) {
        let [before, after] = pair else { unreachable!("windows of two") };
        let Some(last) = before.final_through else { continue };
        let (was, is) = (cells_of(desk, before).await, cells_of(desk, after).await);
        let places: BTreeSet<_> = was.keys().chain(is.keys()).cloned().collect();
        for place in places {
            let of = |cells: &BTreeMap<Place, _>| cells.get(&place).copied().unwrap_or([0; COUNT]);
            let (then, now) = (of(&was), of(&is));
            if place.0 <= last.days() && then != now {
                let at = after.published_at.as_micros();
                rows.push((after.publish, at, place, then, now));
            }
        }
    }
    rows.sort();
    rows
}

fn number(rows: &RecordBatch, column: &str, row: usize) -> i128 {
    let column = rows.column_by_name(column).expect("a column");
    match column.as_primitive_opt::<Int64Type>() {
        Some(counts) => counts.value(row).into(),
        None => column.as_primitive::<Decimal128Type>().value(row),
    }
}

/// What one file of the table holds, in its order.
fn read(rows: &RecordBatch) -> Vec<Row> {
    let days = rows.column_by_name("business_date").expect("a column").as_primitive::<Date32Type>();
    let times = rows.column_by_name("published_at").expect("a column");
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let (codes, products) = (texts(rows, "prefecture_code"), texts(rows, "product_code"));
    let side = |row, suffix: &str| {
        MEASURES.map(|measure| number(rows, &format!("{measure}{suffix}"), row))
    };
    let row = |row: usize| {
        let code = codes[row].clone().expect("a code");
        let place = (days.value(row), code, products[row].clone().expect("a code"));
        let publish = u64::try_from(number(rows, "publish", row)).expect("a number");
        (publish, times.value(row), place, side(row, "_before"), side(row, "_after"))
    };
    (0..rows.num_rows()).map(row).collect()
}

/// What the whole table holds, having checked the place and the order of every row.
async fn shown(desk: &Desk) -> Vec<Row> {
    let mut all = Vec::new();
    for key in desk.keys().await {
        let Some(month) = draft::month_of(Table::Restatements, &key) else { continue };
        let rows = read(&desk.rows(&key).await);
        assert!(!rows.is_empty(), "{key}");
        assert!(rows.iter().all(|row| BusinessDay::from_days(row.2.0).month_start() == month));
        assert!(rows.is_sorted_by_key(|row| (row.2.clone(), row.0)), "{key} is not sorted");
        all.extend(rows);
    }
    all.sort();
    all
}

/// The table is what the publishes made of it, no more and no less. Returns the number of rows.
#[track_caller]
pub(super) fn check(case: &str, shown: &[Row], due: &[Row]) -> usize {
    let brief = |rows: &[Row]| {
        let brief = rows.iter().map(|(publish, _, place, ..)| format!("{publish}: {place:?}"));
        brief.collect::<Vec<_>>()
    };
    assert_eq!(brief(shown), brief(due), "{case}");
    assert!(shown == due, "{case}: the figures differ");
    due.len()
}

pub(super) async fn check_exact(desk: &Desk, case: &str) -> usize {
    let (shown, due) = (shown(desk).await, due(desk).await);
    check(case, &shown, &due)
}

/// Two shards with days in May and June, all of which but the newest are final.
pub(super) async fn june(desk: &mut Desk) -> [Log; 2] {
    let mut logs = [Log::new(0), Log::new(1)];
    logs[0].accept(date(5, 30), 210_200, "standard", 700);
    for log in &mut logs {
        log.express(date(6, 1));
        log.express(date(6, 20));
        desk.write(log).await;
    }
    logs
}

#[tokio::test]
async fn a_final_cell_that_moves_is_tabled_with_both_sides() {
    let mut desk = Desk::new();
    let mut logs = june(&mut desk).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
    assert_eq!(shown(&desk).await, [], "nothing was final before");

    // A cell that was there, one that was not, one of another month, and one that is not final.
    logs[0].express(date(6, 1));
    logs[0].accept(date(6, 3), 210_100, "logistics", 99);
    logs[1].accept(date(5, 30), 210_200, "standard", 1);
    logs[1].express(date(6, 20));
    for log in &logs {
        desk.write(log).await;
    }
    let later = today() + Span::minutes(7);
    let all = expected(&[&logs[0], &logs[1]]);
    publisher.publish(&all, later).await.expect("a publish").expect("something new");
    assert_eq!(check_exact(&desk, "three cells moved").await, 3);
    assert_eq!(publisher.take_counts(), Counts { restated: 3, unknown: 0 });
    let june = desk.rows(&file_key(Table::Restatements, Some(date(6, 1)))).await;
    let pairs = |measure: &str| {
        let pair =
            |row| ["_before", "_after"].map(|s| number(&june, &format!("{measure}{s}"), row));
        [pair(0), pair(1)]
    };
    assert_eq!(texts(&june, "product_code"), ["express", "logistics"].map(|p| Some(p.to_owned())));
    assert_eq!(pairs("volume"), [[2, 3], [0, 1]]);
    assert_eq!(pairs("revenue_yuan"), [[2_400, 3_600], [0, 99]]);
    assert_eq!(pairs("weight_g"), [[500, 750], [0, 250]]);
    assert_eq!(pairs("due"), [[0, 0], [0, 0]], "the cell is shown whole");
    assert_eq!(read(&june)[0].1, later.as_micros());

    // The next publish goes on from there, and leaves May alone.
    let may = desk.bytes(&file_key(Table::Restatements, Some(date(5, 1)))).await;
    logs[1].express(date(6, 1));
    desk.write(&logs[1]).await;
    publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
    assert_eq!(check_exact(&desk, "one more").await, 4);
    assert_eq!(desk.bytes(&file_key(Table::Restatements, Some(date(5, 1)))).await, may);
    assert_eq!(publisher.take_counts(), Counts { restated: 1, unknown: 0 });
    desk.check_files().await;
    desk.check_history().await;
}

/// The log was read again, from an older checkpoint and under other rules: what was accepted then is
/// rejected now, and another record is accepted.
#[tokio::test]
async fn a_final_cell_that_is_gone_is_tabled_with_zeros() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.accept(date(5, 30), 210_200, "standard", 700);
    log.express(date(6, 1));
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");

    let mut again = Log::new(0);
    again.reject(Some(noon(date(5, 30))));
    again.accept(date(6, 1), 210_200, "express", 5);
    again.express(date(6, 20));
    again.express(date(6, 20));
    desk.write(&again).await;
    publish(&mut publisher, &[&again]).await.expect("something new");
    assert_eq!(check_exact(&desk, "two are gone and one is new").await, 3);
    assert_eq!(publisher.take_counts(), Counts { restated: 3, unknown: 0 });
    desk.check_files().await;
    desk.check_history().await;
}

#[tokio::test]
async fn a_day_that_becomes_final_or_is_only_complete_is_not_restated() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    let mut publisher = desk.take_over().await;
    for day in [10, 11, 12] {
        log.express(date(6, 10));
        log.express(date(6, day));
        desk.write(&log).await;
        publish(&mut publisher, &[&log]).await.expect("something new");
    }
    // The publish that makes the day final may still move it: nobody was told that it was final.
    log.express(date(6, 10));
    log.express(date(6, 14));
    desk.write(&log).await;
    let made = publish(&mut publisher, &[&log]).await.expect("something new");
    assert_eq!(made.manifest.final_through, Some(date(6, 10)));
    assert_eq!(check_exact(&desk, "final for the first time").await, 0);
    log.express(date(6, 10));
    desk.write(&log).await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    assert_eq!(check_exact(&desk, "moved since").await, 1);
}

/// Whoever takes over knows what was final from the history, whatever has become of the checkpoints
/// and the files since.
#[tokio::test]
async fn a_successor_knows_what_was_final() {
    let mut desk = Desk::new();
    let mut logs = june(&mut desk).await;
    publish(&mut desk.take_over().await, &[&logs[0], &logs[1]]).await.expect("something new");
    for round in 0..3 {
        logs[0].express(date(6, 1));
        logs[round % 2].accept(date(5, 30), 210_200, "standard", 5);
        for log in &logs {
            desk.write(log).await;
        }
        // The files of the tables are gone, too.
        for key in desk.keys().await {
            desk.inner.delete(&Path::from(key)).await.expect("deleted");
        }
        let mut successor = desk.take_over().await;
        publish(&mut successor, &[&logs[0], &logs[1]]).await.expect("something new");
        check_exact(&desk, "by a successor").await;
        assert_eq!(successor.take_counts(), Counts { restated: 2, unknown: 0 });
        desk.check_files().await;
        desk.check_history().await;
    }
}
