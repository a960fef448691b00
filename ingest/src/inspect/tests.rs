//! A store that is whole, and one that is not.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use postroad_aggregate::rules::RulesId;
use postroad_aggregate::shard::ShardState;
use postroad_schemas::contract::Contract;
use postroad_schemas::reject::Reason;

use super::*;
use crate::checkpoint::Standing;

/// A value that must not be shown.
const PAYLOAD: &[u8] = b"a name and a number";

fn checkpoint(id: &ShardId) -> Checkpoint {
    let rules = RulesId::of(b"rules");
    let mut state = ShardState::new(Contract::Parcel, NextOffset::new(3), rules);
    state.ledger.next = NextOffset::new(5);
    state.ledger.rejected = 2;
    for (offset, reason) in [(3, Reason::Malformed), (4, Reason::Future)] {
        state.dead_letters.push(DeadLetter {
            offset: Offset::new(offset),
            timestamp: None,
            judged_at: postroad_schemas::units::Timestamp::from_micros(1_500_000),
            reason,
            field: None,
            payload: Some(PAYLOAD.into()),
        });
    }
    Standing::new(id.clone()).with(state)
}

/// Two shards, of which the second has nothing but a damaged checkpoint, and the first one above a
/// whole one.
async fn store() -> Store {
    let objects = Arc::new(InMemory::new());
    let store = Store::over(Arc::clone(&objects) as Arc<dyn ObjectStore>, "memory".to_owned());
    for partition in [0, 1] {
        let id = ShardId::kafka("parcel.events", partition);
        if partition == 0 {
            let payload = format::encode(&checkpoint(&id)).into();
            store.chain(&id).claim(None, payload).await.expect("a sound store");
        }
        let key = id.prefix().join("00000000000000000001");
        objects.put(&key, b"no checkpoint".to_vec().into()).await.expect("a sound store");
    }
    store
}

/// The values of some columns, row by row.
#[track_caller]
fn check(page: &Page, columns: &[&str], expect: &Value) {
    let json = page.to_json();
    let rows = json.as_array().expect("an array of objects");
    let picked: Vec<Vec<&Value>> =
        rows.iter().map(|row| columns.iter().map(|column| &row[*column]).collect()).collect();
    assert_eq!(json!(picked), *expect);
    let (text, json) = (page.to_text(), json.to_string());
    let secret = std::str::from_utf8(PAYLOAD).expect("a text");
    assert!(!text.contains(secret) && !json.contains(secret), "{text}");
}

#[tokio::test]
async fn what_is_damaged_is_shown_as_damaged() {
    let store = store().await;
    let damage = "1: damaged: it is 13 bytes long, too short to be whole";
    let columns = ["topic", "partition", "seq", "state", "next_offset", "rejected", "damage"];
    check(
        &shards(&store).await.expect("a page"),
        &columns,
        &json!([
            ["parcel.events", 0, 0, "running", 5, 2, [damage]],
            ["parcel.events", "00001", null, "unreadable", null, null, [damage]],
        ]),
    );
    check(
        &checkpoints(&store).await.expect("a page"),
        &["partition", "seq", "link", "state"],
        &json!([[0, 0, "claim", "whole"], [0, 1, null, "damaged"], ["00001", 1, null, "damaged"],]),
    );
    check(
        &ledger(&store).await.expect("a page"),
        &["consumed", "state"],
        &json!([[2, "running"], [null, "unreadable"]]),
    );
}

/// A line of a terminal that is as wide as most; whoever wants more asks for JSON.
#[tokio::test]
async fn shards_fit_a_line_and_json_has_all_of_them() {
    let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
    for (topic, partition) in [("parcel.events", 0), ("finance.transactions", 63)] {
        let id = ShardId::kafka(topic, partition);
        let mut shown = checkpoint(&id);
        shown.phase =
            Phase::Stalled { reason: crate::checkpoint::StallReason::PartitionGone, lost: None };
        shown.topic_id = crate::source::TopicId::new(7);
        shown.state.ledger.applied = 4_321_098_765;
        shown.state.ledger.next = NextOffset::new(4_321_098_770);
        shown.state.watermark =
            Some(postroad_schemas::units::Timestamp::from_micros(1_625_025_600_000_001));
        let payload = format::encode(&shown).into();
        store.chain(&id).claim(None, payload).await.expect("a sound store");
    }
    let page = shards(&store).await.expect("a page");
    let text = page.to_text();
    let width = text.lines().map(|line| line.chars().count()).max();
    assert!(width.is_some_and(|width| width <= 140), "{width:?}:\n{text}");
    for words in ["partition_gone", "4321098770", "2021-06-30T04:00:00.000001Z"] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    let json = page.to_json();
    for column in ["seq", "topic_id", "rules", "window_from", "source"] {
        assert!(json[0].get(column).is_some(), "{column}");
    }
}

#[tokio::test]
async fn dead_letters_are_coordinates_and_can_be_filtered() {
    let store = store().await;
    let columns = ["partition", "offset", "judged_at", "reason"];
    let malformed = json!([0, 3, "1970-01-01T00:00:01.500000Z", "malformed"]);
    let future = json!([0, 4, "1970-01-01T00:00:01.500000Z", "future"]);
    let damaged = json!(["00001", null, null, null]);
    let all = Letters::default();
    let page = dead_letters(&store, &all).await.expect("a page");
    check(&page, &columns, &json!([malformed, future, damaged]));
    for (wanted, expect) in [
        (
            Letters { reason: Some("future".to_owned()), ..Letters::default() },
            json!([future, damaged]),
        ),
        (Letters { partition: Some(1), ..Letters::default() }, json!([damaged])),
        (Letters { topic: Some("parcels".to_owned()), ..Letters::default() }, json!([damaged])),
    ] {
        check(&dead_letters(&store, &wanted).await.expect("a page"), &columns, &expect);
    }
}

#[tokio::test]
async fn a_manifest_is_shown_whatever_it_holds() {
    let store = store().await;
    let failure = manifest(&store, None).await.expect_err("nothing is published");
    assert_eq!(failure.exit, Exit::NoInput);
    let key = manifest::key(7);
    store.create(&key, b"{\"publish\": 7".to_vec().into()).await.expect("a sound store");
    let page = manifest(&store, None).await.expect("a page");
    check(&page, &["publish"], &json!([[7]]));
    assert!(page.to_text().contains("EOF"), "{}", page.to_text());
    let failure = manifest(&store, Some(8)).await.expect_err("there is no such publish");
    assert!(failure.message.contains("no publish 8"), "{failure}");
    let content = br#"{"publish": 9, "complete_through": 18808, "published_at": 1000000,
        "shards": [{"topic": "t", "next_offset": 4, "watermark": 0}], "files": {"a": {"rows": 1}}}"#;
    store.create(&manifest::key(9), content.to_vec().into()).await.expect("a sound store");
    let page = manifest(&store, None).await.expect("a page");
    assert_eq!(page.to_json()["shards"][0]["next_offset"], 4);
    assert!(page.to_json()["damage"].is_string(), "it is shown, and not taken for whole");
    let text = page.to_text();
    for words in ["complete_through         2021-06-30", "1970-01-01T00:00:01Z", "file  ", "a     "]
    {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}
