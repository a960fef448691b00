//! The bytes of a manifest: versions, and damage.

use postroad_aggregate::indicators::Settings;

use super::*;
use crate::publish::history;
use crate::publish::indicators::IndicatorsEntry;
use crate::publish::manifest::{HistoryEntry, MANIFEST_FORMAT};

/// The manifest of the golden file of version 1, as this program reads it.
fn golden() -> Manifest {
    let text = include_str!("../../../tests/golden/manifest-v1.json");
    Manifest::decode(text.as_bytes()).expect("version 1")
}

#[test]
fn manifests_of_version_1_are_read() {
    let read = golden();
    let [running, missing, closed] = &read.shards[..] else { panic!("three shards") };
    assert_eq!((read.format, read.publish), (1, 7));
    assert_eq!(
        (running.seq, running.first_offset, running.next_offset),
        (Some(12), Some(3), Some(9_000))
    );
    assert_eq!((missing.seq, missing.closed), (None, false));
    assert_eq!((closed.id(), closed.closed), (ShardId::file("june.ndjson"), true));
    assert_eq!((read.totals.consumed, read.dead_letters), (9_085, 20));
    assert_eq!(read.horizon().final_through, Some(date(5, 29)));
    assert_eq!(read.horizon().complete_without_through, None);
    assert!(read.history.is_empty());
}

/// What the golden file of version 2 says.
fn golden_2() -> Manifest {
    let mut manifest = golden();
    manifest.format = 2;
    manifest.complete_without_through = Some(date(6, 2));
    manifest.shards[0].released_through = Some(date(6, 2));
    let entry = HistoryEntry {
        key: history::key("history/final_cells/business_month=2021-05-01", 7, 9),
        bytes: 1_234,
        rows: 56,
        file_hash: format!("{:032x}", 3),
    };
    manifest.history.insert("history/final_cells/business_month=2021-05-01".to_owned(), entry);
    manifest
}

#[test]
fn manifests_of_version_2_are_read() {
    let golden = include_bytes!("../../../tests/golden/manifest-v2.json");
    assert_eq!(Manifest::decode(golden), Ok(golden_2()));
}

#[test]
fn the_bytes_of_version_3_have_not_changed() {
    let mut manifest = golden_2();
    manifest.format = MANIFEST_FORMAT;
    manifest.indicators = Some(IndicatorsEntry {
        told_from: Some(date(5, 1)),
        frozen_through: Some(date(5, 29)),
        behind: true,
        settings: Settings { data_from: Some(date(1, 1)), ..Settings::default() },
    });
    let golden = include_bytes!("../../../tests/golden/manifest-v3.json");
    assert!(manifest.encode() == golden[..], "{}", String::from_utf8_lossy(&manifest.encode()));
    assert_eq!(Manifest::decode(golden), Ok(manifest));
}

#[test]
fn a_manifest_with_any_bit_flipped_is_not_believed() {
    let mut manifest = golden();
    manifest.format = MANIFEST_FORMAT;
    let content = manifest.encode();
    assert_eq!(Manifest::decode(&content), Ok(manifest));
    for bit in 0..content.len() * 8 {
        let mut damaged = content.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        Manifest::decode(&damaged).expect_err("a flipped bit");
    }
    for length in 0..content.len() {
        Manifest::decode(&content[..length]).expect_err("a cut manifest");
    }
}

#[tokio::test]
async fn a_damaged_answer_is_asked_for_again_and_a_damaged_manifest_stops_the_publishing() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    desk.faulty.fail_next(Op::Get, Fault::Corrupt);
    let mut publisher = desk.take_over().await;
    assert!(publish(&mut publisher, &[&log]).await.is_none(), "the second answer was whole");

    let whole = desk.bytes(manifest::key(1).as_ref()).await.expect("a manifest");
    let damaged = String::from_utf8(whole.to_vec()).expect("text").replace("210100", "210101");
    let damaged = damaged.replacen("\"next_offset\":1", "\"next_offset\":0", 1);
    desk.inner.put(&manifest::key(1), damaged.into()).await.expect("damaged");
    let refused = Publisher::take_over(desk.store.clone(), desk.settings.clone()).await;
    let error = refused.expect_err("a damaged manifest");
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains(manifest::key(1).as_ref()), "{error}");
    let asked = published_entry(&desk.store, &log.id).await;
    asked.expect_err("whoever asks what was published must know");
}

#[tokio::test]
async fn a_manifest_of_a_newer_program_is_refused() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let mut newer = desk.manifests().await.remove(0);
    (newer.format, newer.publish) = (MANIFEST_FORMAT + 1, 2);
    desk.inner.put(&manifest::key(2), newer.encode().into()).await.expect("written");
    let refused = Publisher::take_over(desk.store.clone(), desk.settings.clone()).await;
    let error = refused.expect_err("a newer format");
    assert_eq!(error.kind(), Kind::Config);
    assert!(matches!(error, PublishError::Newer { found: 4, .. }), "{error}");
}
