//! What is refused before a consumer begins, and what a batch costs.

use super::*;

#[test]
fn every_property_that_postroad_sets_is_refused() {
    let refused = ["auto.offset.reset", "group.id", "metadata.broker.list", "check.crcs"];
    let mut properties: BTreeMap<String, String> =
        refused.map(|key| (key.to_owned(), "hidden".to_owned())).into();
    properties.insert("sasl.password".to_owned(), "hidden".to_owned());
    properties.insert("topic.metadata.refresh.interval.ms".to_owned(), "-1".to_owned());
    let faults = forbidden_properties(&properties);
    let keys: Vec<&str> = faults.iter().map(|fault| &*fault.key).collect();
    let expected = [
        "auto.offset.reset",
        "check.crcs",
        "group.id",
        "metadata.broker.list",
        "topic.metadata.refresh.interval.ms",
    ];
    assert_eq!(keys, expected);
    let settings = KafkaSettings {
        brokers: "127.0.0.1:1".to_owned(),
        group: "postroad".to_owned(),
        topics: vec![TOPIC.to_owned()],
        properties,
    };
    assert!(!format!("{settings:?}").contains("hidden"));
    let (events, _) = mpsc::unbounded_channel();
    let source = KafkaSource::start(&settings, ByteBudget::new(1), |_: Batch| {}, events);
    let words = source.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(words.contains("`check.crcs`") && !words.contains("hidden"), "{words}");
}

#[test]
fn an_unknown_property_is_named_without_its_value() -> Outcome {
    let broker = Broker::new(1)?;
    let mut settings = broker.settings();
    settings.properties.insert("no.such".to_owned(), "hidden".to_owned());
    let (events, _) = mpsc::unbounded_channel();
    let source = KafkaSource::start(&settings, ByteBudget::new(1), |_: Batch| {}, events);
    let words = source.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(words.contains("`no.such`") && !words.contains("hidden"), "{words}");
    Ok(())
}

#[test]
fn dropping_a_batch_gives_its_bytes_back() {
    let budget = ByteBudget::new(100);
    let mut batch = Batch::new(TopicPartition::new(TOPIC, 0), Generation::new(1));
    batch.push(7, None, Some(&[0; 90]));
    batch.push(9, Some(3), None);
    let batch = batch.charged_to(&budget);
    assert_eq!(budget.used(), 90 + 2 * size_of::<RecordMeta>());
    assert_eq!(budget.available(), 0);
    let offsets: Vec<i64> = batch.iter().map(|(offset, ..)| offset).collect();
    assert_eq!(offsets, [7, 9]);
    drop(batch);
    assert_eq!((budget.used(), budget.available()), (0, 100));
}
