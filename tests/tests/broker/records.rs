//! What stands in a log, and what does not: values of every kind, transactions that are open or come
//! to nothing, and records that compaction took away.

use std::collections::BTreeSet;

use postroad_tests::kafka::{Cluster, Record};
use postroad_tests::logs::{hostile_documents, valid_event};
use postroad_tests::oracle::OracleRecord;
use postroad_tests::tables::OracleShards;
use postroad_tests::wait::wait_until;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::bed::{ANY_TIME, Bed, SOON, Topic, lines_with, shared_cluster, timed};
use crate::produce::Producer;

/// 2021-06-30T12:00:00+08:00, in milliseconds.
const NOON_MS: i64 = 1_625_025_600_000;
/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

/// A parcel accepted at noon.
fn parcel(id: &str) -> Value {
    json!({
        "event_id": id,
        "event_type": "accepted",
        "product": "express",
        "prefecture": "210100",
        "occurred_at": "2021-06-30T12:00:00+08:00",
        "revenue_fen": 1200,
    })
}

fn with(id: &str, field: &str, value: Value) -> Vec<u8> {
    let mut event = parcel(id);
    event[field] = value;
    event.to_string().into_bytes()
}

/// The text of a parcel whose revenue is this number.
fn revenue(id: &str, number: &str) -> Vec<u8> {
    parcel(id).to_string().replace("1200", number).into_bytes()
}

fn at(ms: Option<i64>, value: Vec<u8>) -> (Option<i64>, Option<Vec<u8>>) {
    (ms, Some(value))
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(Value::Null, |inner, _| json!([inner]))
}

/// A timestamp, a value, and what becomes of them.
type Case = (Option<i64>, Option<Vec<u8>>, &'static str);

/// Records that come to a real log sooner or later, each with what becomes of it where values may
/// be as large as `value_bytes_max`.
fn hard_cases(large: &[u8], value_bytes_max: usize) -> Vec<Case> {
    let noon = Some(NOON_MS);
    let mut bytes = parcel("bytes").to_string().into_bytes();
    bytes[15] = 0xff;
    let fits = if large.len() <= value_bytes_max { "applied" } else { "too_large" };
    let deep: String = "[".repeat(100_000);
    let cases = [
        (at(noon, parcel("plain").to_string().into_bytes()), "applied"),
        (at(noon, large.to_vec()), fits),
        (at(noon, bytes), "malformed"),
        (at(noon, Vec::new()), "malformed"),
        (at(noon, vec![0]), "malformed"),
        (at(noon, with("deep", "x", nested(31))), "applied"),
        (at(noon, with("deeper", "x", nested(32))), "malformed"),
        (
            at(noon, deep.into_bytes()),
            if value_bytes_max < 100_000 { "too_large" } else { "malformed" },
        ),
        (at(noon, revenue("i64", "9223372036854775807")), "amount_out_of_range"),
        (at(noon, revenue("i64+1", "9223372036854775808")), "malformed"),
        (at(noon, revenue("1e400", "1e400")), "malformed"),
        (at(noon, revenue("minus", "-1")), "amount_out_of_range"),
        ((noon, None), "ignored"),
        (at(noon, parcel("plain").to_string().into_bytes()), "duplicate"),
        (
            at(Some(1), with("1970", "occurred_at", json!("1970-01-01T00:00:00Z"))),
            "date_out_of_range",
        ),
        (at(Some(1), parcel("early").to_string().into_bytes()), "future"),
        (at(Some(LAST_MS), parcel("9999").to_string().into_bytes()), "clock_ahead"),
        (at(noon, with("9999", "occurred_at", json!("9999-12-31T23:59:59Z"))), "future"),
        (at(None, parcel("no time").to_string().into_bytes()), "applied"),
        (
            at(None, with("no time, 9999", "occurred_at", json!("9999-12-31T23:59:59Z"))),
            "clock_ahead",
        ),
        (at(noon, parcel("no time").to_string().into_bytes()), "duplicate"),
        (at(noon, parcel("last").to_string().into_bytes()), "applied"),
    ];
    cases.into_iter().map(|((ms, value), fate)| (ms, value, fate)).collect()
}

#[test]
fn values_of_every_kind_are_judged_and_none_stops_the_shard() {
    let cluster = shared_cluster();
    let small = Bed::new(cluster, "values", &[("parcel", "parcel", 1)]);
    let mut large = Bed::of("values-large", small.topics.clone());
    large.value_bytes_max = 16 << 20;
    let topic = small.topics[0].name.clone();
    // A parcel like another, but for a field of ten megabytes that means nothing.
    let giant = with("giant", "photo", "x".repeat(10_000_000).into());
    let producer = Producer::new(cluster);
    for (timestamp_ms, value, _) in hard_cases(&giant, 0) {
        producer.send(&topic, 0, &OracleRecord { offset: 0, timestamp_ms, value });
        producer.flush();
    }
    let Value::Object(base) = parcel("hostile") else { unreachable!("it is an object") };
    for (document, _) in hostile_documents("parcel", &base) {
        let (timestamp_ms, value) = (Some(NOON_MS), Some(document));
        producer.send(&topic, 0, &OracleRecord { offset: 0, timestamp_ms, value });
    }
    producer.flush();
    for bed in [small, large] {
        let instance = bed.start(cluster, "only");
        let expected = timed("values: caught up", || bed.wait_for_oracle(cluster));
        let cases = hard_cases(&giant, bed.value_bytes_max);
        let fates = fates(&expected[&(topic.clone(), 0)].rejects, cases.len());
        for ((_, _, fate), found) in cases.iter().zip(fates) {
            assert!(found.as_deref().is_none_or(|found| found == *fate), "{fate}, not {found:?}");
            let unjudged = matches!(*fate, "applied" | "duplicate" | "ignored");
            assert_eq!(found.is_none(), unjudged, "{fate}");
        }
        instance.stop();
        bed.assert_tables(&expected);
    }
}

/// Why each of the first records was rejected, if it was.
fn fates(
    rejects: &[(i64, Option<i64>, String, Option<String>)],
    count: usize,
) -> Vec<Option<String>> {
    (0..count)
        .map(|offset| {
            let at = |reject: &&(i64, _, _, _)| usize::try_from(reject.0) == Ok(offset);
            rejects.iter().find(at).map(|(_, _, reason, _)| reason.clone())
        })
        .collect()
}

/// Valid events, no two of one id.
fn events(count: usize, seed: u64) -> Vec<OracleRecord> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|offset| {
            let mut event = valid_event(&mut rng, "parcel", NOON_MS * 1000);
            event["event_id"] = format!("{seed}-{offset}").into();
            OracleRecord {
                offset: i64::try_from(offset).expect("a short log"),
                timestamp_ms: Some(NOON_MS),
                value: Some(Value::Object(event).to_string().into_bytes()),
            }
        })
        .collect()
}

#[test]
fn an_open_transaction_holds_back_what_follows_and_an_aborted_end_is_gaps() {
    let cluster = shared_cluster();
    let bed = Bed::new(cluster, "open", &[("parcel", "parcel", 2)]);
    let topic = bed.topics[0].name.clone();
    let (plain, first) = (Producer::new(cluster), Producer::transactional(cluster, "open-1"));
    let second = Producer::transactional(cluster, "open-2");
    plain.random(&topic, 0, "parcel", 400, 100);
    first.begin(&topic, 0, &events(20, 401));
    plain.random(&topic, 0, "parcel", 402, 100);
    second.transaction(&topic, 0, &events(20, 403), true);
    plain.random(&topic, 1, "parcel", 404, 100);
    let instance = bed.start(cluster, "only");
    let held = timed("open: read up to the open transaction", || bed.wait_for_oracle(cluster));
    assert_eq!(held[&(topic.clone(), 0)].next_offset, 100, "what follows is held back");
    assert_eq!(held[&(topic.clone(), 1)].consumed, 100, "the other partition is not");
    instance.wait_ready();

    // A restart between what is open and what has ended around it changes nothing.
    instance.kill();
    let instance = bed.start(cluster, "only");
    second.begin(&topic, 0, &events(20, 405));
    first.end(true);
    let held = timed("open: read up to the next one", || bed.wait_for_oracle(cluster));
    assert_eq!(held[&(topic.clone(), 0)].next_offset, 241, "a marker, and the next one is open");
    second.end(false);
    first.transaction(&topic, 1, &events(20, 406), false);
    let whole = timed("open: aborted to its end", || bed.wait_for_oracle(cluster));
    let gaps = |partition| whole[&(topic.clone(), partition)].gaps;
    assert_eq!((gaps(0), gaps(1)), (23, 21), "three markers, and what was aborted");
    instance.stop();
    bed.assert_tables(&whole);

    // It goes on behind a log whose end nobody was delivered.
    let instance = bed.start(cluster, "only");
    plain.random(&topic, 0, "parcel", 407, 50);
    plain.random(&topic, 1, "parcel", 408, 50);
    let whole = timed("open: goes on", || bed.wait_for_oracle(cluster));
    instance.stop();
    bed.assert_tables(&whole);
}

/// A topic that is compacted soon: whatever lies before the segment in use.
fn create_compacted(cluster: &Cluster, name: &str) {
    let mut config: Vec<(&str, &str)> =
        ANY_TIME.into_iter().filter(|(key, _)| *key != "segment.ms").collect();
    config.extend([
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.001"),
    ]);
    cluster.create_topic_with(name, 1, &config);
}

/// Sends events over ten keys, all at one moment, so that they share a segment with nothing before
/// them. Compaction may take whatever is older.
fn send_segment(cluster: &Cluster, topic: &str, number: i64, count: usize) {
    let producer = Producer::new(cluster);
    for (at, mut record) in events(count, 410 + number.unsigned_abs()).into_iter().enumerate() {
        record.timestamp_ms = Some(NOON_MS + number * 5_000);
        producer.send_keyed(topic, &format!("key-{}", at % 10), &record);
    }
    producer.flush();
}

/// Waits until nothing is left before the newest segment but one record a key, if that.
fn wait_for_compaction(cluster: &Cluster, topic: &str, newest: i64) -> Vec<Record> {
    let mut records = Vec::new();
    wait_until(SOON, "older records are compacted", || {
        records = cluster.dump(topic);
        let old =
            records.iter().filter(|record| record.timestamp_ms < Some(NOON_MS + newest * 5_000));
        let keys: BTreeSet<_> = old.clone().map(|record| record.key.clone()).collect();
        old.count() <= keys.len()
    });
    records
}

#[test]
fn a_compacted_topic_is_refused_unless_allowed_and_its_holes_are_gaps() {
    let cluster = shared_cluster();
    let topic = Topic { name: "compacted.parcel".into(), contract: "parcel", start: "earliest" };
    create_compacted(cluster, &topic.name);
    let mut bed = Bed::of("compacted", vec![topic.clone()]).undisturbed();
    send_segment(cluster, &topic.name, 0, 200);
    send_segment(cluster, &topic.name, 1, 50);
    let known =
        timed("compacted: before it is read", || wait_for_compaction(cluster, &topic.name, 1));
    let mut refused = bed.start(cluster, "refused");
    let status = refused.process.wait(SOON);
    assert_eq!(status.code(), Some(78), "{}", refused.log());
    assert_eq!(lines_with(&refused.log(), "cleanup.policy=compact"), 1, "{}", refused.log());

    bed.allow_compacted = true;
    let fold = |known: &[Record]| {
        let shard = bed.fold("parcel", 0, known, 0);
        OracleShards::from([((topic.name.clone(), 0), shard)])
    };
    let instance = bed.start(cluster, "only");
    let expected = fold(&known);
    assert!(expected[&(topic.name.clone(), 0)].gaps > 150, "{expected:?}");
    timed("compacted: caught up", || bed.wait_for(&expected));
    instance.stop();
    bed.assert_tables(&expected);

    // The last record that was read is compacted away while nobody reads.
    let read = 250;
    send_segment(cluster, &topic.name, 2, 50);
    send_segment(cluster, &topic.name, 3, 5);
    let now =
        timed("compacted: behind what was read", || wait_for_compaction(cluster, &topic.name, 3));
    assert!(now.iter().all(|record| record.offset != read - 1), "it is gone");
    let known: Vec<Record> =
        known.into_iter().chain(now.into_iter().filter(|record| record.offset >= read)).collect();
    let instance = bed.start(cluster, "only");
    let expected = fold(&known);
    timed("compacted: goes on", || bed.wait_for(&expected));
    let said = "whether the log is still the same could not be checked";
    assert_eq!(lines_with(&instance.log(), said), 1, "{}", instance.log());
    instance.stop();
    bed.assert_tables(&expected);
}
