//! The history: what was final, and what was restated, when one of its two copies or both are lost.

use super::restatements::{check_exact, june};
use super::*;
use crate::publish::history::{self, final_cells_place, restatements_place};

/// A store in which a cell of June was restated once, and moves again.
async fn restated(desk: &mut Desk) -> [Log; 2] {
    let mut logs = june(desk).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
    logs[0].express(date(6, 1));
    desk.write(&logs[0]).await;
    publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
    assert_eq!(check_exact(desk, "once").await, 1);
    logs[1].express(date(6, 1));
    desk.write(&logs[1]).await;
    logs
}

/// The object at a place of the newest manifest's history.
async fn object(desk: &Desk, place: &str) -> Path {
    let newest = desk.manifests().await.pop().expect("a publish");
    Path::from(newest.history[place].key.clone())
}

/// Flips a bit in the middle of an object.
async fn damage(desk: &Desk, key: &Path) {
    let mut bytes = desk.bytes(key.as_ref()).await.expect("it is there").to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    desk.inner.put(key, bytes.into()).await.expect("damaged");
}

/// Publishes by a successor, then looks at everything.
async fn publish_by_successor(desk: &Desk, logs: &[Log; 2]) -> Counts {
    let mut successor = desk.take_over().await;
    publish(&mut successor, &[&logs[0], &logs[1]]).await.expect("something new");
    desk.check_files().await;
    successor.inspect_files().await.expect("an inspection");
    publish(&mut successor, &[&logs[0], &logs[1]]).await;
    desk.check_files().await;
    desk.check_history().await;
    successor.take_counts()
}

#[tokio::test]
async fn one_copy_of_what_was_final_is_enough() {
    let places = [final_cells_place(date(6, 1)), restatements_place(date(6, 1))];
    let files = [rollups_of(6), file_key(Table::Restatements, Some(date(6, 1)))];
    for is_deleted in [false, true] {
        for which in 0..4 {
            let mut desk = Desk::new();
            let logs = restated(&mut desk).await;
            let lost = match which {
                0 | 1 => object(&desk, &places[which]).await,
                _ => Path::from(files[which - 2].clone()),
            };
            if is_deleted {
                desk.inner.delete(&lost).await.expect("deleted");
            } else {
                damage(&desk, &lost).await;
            }
            let counts = publish_by_successor(&desk, &logs).await;
            assert_eq!(counts, Counts { restated: 1, unknown: 0 }, "{lost}");
            assert_eq!(check_exact(&desk, lost.as_ref()).await, 2);
        }
    }
}

/// What is gone or damaged, be it by one bit, is made again with the next publish, though nothing in it
/// has changed.
#[tokio::test]
async fn an_object_that_is_gone_or_damaged_is_made_again() {
    for place in [final_cells_place(date(6, 1)), restatements_place(date(6, 1))] {
        for is_deleted in [false, true] {
            let mut desk = Desk::new();
            let mut logs = restated(&mut desk).await;
            let mut publisher = desk.take_over().await;
            publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
            let lost = object(&desk, &place).await;
            if is_deleted {
                desk.inner.delete(&lost).await.expect("deleted");
            } else {
                damage(&desk, &lost).await;
            }
            publisher.inspect_files().await.expect("an inspection");
            logs[0].express(date(6, 20));
            desk.write(&logs[0]).await;
            publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
            desk.check_history().await;
            assert_eq!(check_exact(&desk, lost.as_ref()).await, 2);
        }
    }
}

/// Nothing is guessed: what moved in between stands nowhere, and is counted; after that all is exact.
#[tokio::test]
async fn with_both_copies_lost_it_is_said_and_nothing_is_made_up() {
    let mut desk = Desk::new();
    let mut logs = restated(&mut desk).await;
    let kept = object(&desk, &final_cells_place(date(6, 1))).await;
    damage(&desk, &kept).await;
    damage(&desk, &Path::from(rollups_of(6))).await;
    logs[0].accept(date(5, 30), 210_200, "standard", 5);
    desk.write(&logs[0]).await;
    let counts = publish_by_successor(&desk, &logs).await;
    assert_eq!(counts, Counts { restated: 1, unknown: 1 }, "May is known, June is not");

    logs[0].express(date(6, 1));
    desk.write(&logs[0]).await;
    let counts = publish_by_successor(&desk, &logs).await;
    assert_eq!(counts, Counts { restated: 1, unknown: 0 }, "known again");
    let rows = desk.rows(&file_key(Table::Restatements, Some(date(6, 1)))).await;
    let volumes = |column: &str| {
        let column = rows.column_by_name(column).expect("a column");
        column.as_primitive::<Int64Type>().values().to_vec()
    };
    // From 3 to 4 it went unseen.
    assert_eq!((volumes("volume_before"), volumes("volume_after")), (vec![2, 4], vec![3, 5]));
}

#[tokio::test]
async fn restatements_of_which_both_copies_are_lost_are_said_to_be() {
    let mut desk = Desk::new();
    let logs = restated(&mut desk).await;
    let kept = object(&desk, &restatements_place(date(6, 1))).await;
    desk.inner.delete(&kept).await.expect("deleted");
    damage(&desk, &Path::from(file_key(Table::Restatements, Some(date(6, 1))))).await;
    let counts = publish_by_successor(&desk, &logs).await;
    assert_eq!(counts, Counts { restated: 1, unknown: 1 });
}

/// A store of before there was a history: the files of the tables say what was final.
#[tokio::test]
async fn a_store_of_the_first_format_is_taken_over_without_a_gap() {
    let mut desk = Desk::new();
    let mut logs = june(&mut desk).await;
    publish(&mut desk.take_over().await, &[&logs[0], &logs[1]]).await.expect("something new");
    let mut first = desk.manifests().await.remove(0);
    for entry in std::mem::take(&mut first.history).into_values() {
        desk.inner.delete(&Path::from(entry.key)).await.expect("deleted");
    }
    (first.format, first.complete_without_through) = (1, None);
    let content = serde_json::to_vec(&first).expect("a manifest");
    desk.inner.put(&manifest::key(1), content.into()).await.expect("written");

    logs[0].express(date(6, 1));
    desk.write(&logs[0]).await;
    let counts = publish_by_successor(&desk, &logs).await;
    assert_eq!(counts, Counts { restated: 1, unknown: 0 });
    assert_eq!(check_exact(&desk, "after the upgrade").await, 1);
    assert_eq!(desk.manifests().await.pop().map(|newest| newest.format), Some(3));
}

/// What the loser of a race has created is deleted, but not before the race is decided: another
/// publisher's manifest may be about to name it.
#[tokio::test]
async fn only_what_no_manifest_can_name_any_more_is_deleted() {
    let mut desk = Desk::new();
    let logs = restated(&mut desk).await;
    let place = restatements_place(date(6, 1));
    let made_for = |publish| Path::from(history::key(&place, publish, 7));
    for publish in 1..=4 {
        desk.inner.put(&made_for(publish), "rows".into()).await.expect("written");
    }
    let mut publisher = desk.take_over().await;
    let kept = async |desk: &Desk| {
        let mut kept = Vec::new();
        for publish in 1..=4 {
            if desk.bytes(made_for(publish).as_ref()).await.is_some() {
                kept.push(publish);
            }
        }
        kept
    };
    assert_eq!(kept(&desk).await, [3, 4], "publish 2 is the newest");
    publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("publish 3");
    publisher.inspect_files().await.expect("an inspection");
    assert_eq!(kept(&desk).await, [4]);
    assert_eq!(check_exact(&desk, "beside others' objects").await, 2);
}

/// A manifest that is damaged stops the publishing. Moved away, its publish is made again.
#[tokio::test]
async fn a_publish_whose_manifest_was_lost_is_made_again_with_all_its_restatements() {
    let mut desk = Desk::new();
    let mut logs = restated(&mut desk).await;
    let mut publisher = desk.take_over().await;
    for _ in 0..3 {
        logs[0].accept(date(5, 30), 210_200, "standard", 5);
        desk.write(&logs[0]).await;
        publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
        desk.check_history().await;
    }
    let restated = check_exact(&desk, "before").await;
    publisher.inspect_files().await.expect("an inspection");
    let newest = manifest::key(desk.manifests().await.len() as u64);
    damage(&desk, &newest).await;
    let failed = Publisher::take_over(desk.store.clone(), desk.settings.clone()).await;
    failed.expect_err("it is not believed");

    desk.inner.delete(&newest).await.expect("moved away");
    let counts = publish_by_successor(&desk, &logs).await;
    assert_eq!(counts, Counts { restated: 1, unknown: 0 });
    assert_eq!(check_exact(&desk, "after").await, restated);
}

#[tokio::test]
async fn an_old_object_that_cannot_be_deleted_stops_nobody() {
    let mut desk = Desk::new();
    let logs = restated(&mut desk).await;
    let stray = Path::from(history::key(&restatements_place(date(6, 1)), 1, 7));
    desk.inner.put(&stray, "rows".into()).await.expect("written");
    desk.faulty.fail_next(Op::Delete, Fault::Denied);
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
    assert!(desk.bytes(stray.as_ref()).await.is_some());
    publisher.inspect_files().await.expect("an inspection");
    desk.check_history().await;
}

/// An object that was not written as it ought to be is found out before a manifest names it.
#[tokio::test]
async fn an_object_is_read_back_before_a_manifest_names_it() {
    let mut desk = Desk::new();
    let logs = june(&mut desk).await;
    let mut publisher = desk.take_over().await;
    let made = drafted(&mut publisher, &[&logs[0], &logs[1]]).await;
    assert_eq!(made.objects.len(), 2, "cells of May and June");
    desk.faulty.fail_next(Op::Get, Fault::Corrupt);
    let error = publisher.commit(made).await.expect_err("it was read back as something else");
    let PublishError::NotAsWritten { key } = &error else { panic!("{error}") };
    assert!(key.starts_with("history/"), "{key}");
    assert_eq!(error.kind(), Kind::Retry);
    assert!(desk.manifests().await.is_empty() && desk.keys().await.is_empty());

    publish(&mut publisher, &[&logs[0], &logs[1]]).await.expect("something new");
    publisher.inspect_files().await.expect("an inspection");
    desk.check_history().await;
}
