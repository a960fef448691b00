//! Reading a log again, without a group.

use std::ops::ControlFlow;

use postroad_schemas::units::NextOffset;

use super::*;

type Read = Result<Vec<i64>, RereadError>;

fn read(reader: &LogReader, partition: i32, from: i64, until: i64) -> Read {
    let mut seen = Vec::new();
    let tp = TopicPartition::new(TOPIC, partition);
    reader.read(&tp, NextOffset::new(from), NextOffset::new(until), |record| {
        assert_eq!(record.value, Some(record.offset.to_string().as_bytes()));
        assert!(record.timestamp.is_some());
        seen.push(record.offset.get());
        ControlFlow::Continue(())
    })?;
    Ok(seen)
}

#[test]
fn exactly_the_range_is_shown_and_again_and_of_another_partition() -> Outcome {
    let broker = Broker::new(2)?;
    broker.produce(0, 0, 3_000)?;
    broker.produce(1, 0, 50)?;
    let reader = LogReader::new(&broker.settings())?;
    for _ in 0..2 {
        assert_eq!(read(&reader, 0, 10, 2_990)?, (10..2_990).collect::<Vec<_>>());
        assert_eq!(read(&reader, 1, 0, 50)?, (0..50).collect::<Vec<_>>(), "up to the end");
    }
    assert_eq!(read(&reader, 0, 7, 7)?, [0; 0]);
    Ok(())
}

#[test]
fn whoever_has_seen_enough_breaks_off() -> Outcome {
    let broker = Broker::new(1)?;
    broker.produce(0, 0, 100)?;
    let reader = LogReader::new(&broker.settings())?;
    let mut seen = 0;
    let tp = TopicPartition::new(TOPIC, 0);
    reader.read(&tp, NextOffset::new(0), NextOffset::new(100), |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    assert_eq!(seen, 3);
    assert_eq!(read(&reader, 0, 0, 100)?.len(), 100);
    Ok(())
}

#[test]
fn an_offset_that_the_log_does_not_hold_is_told() -> Outcome {
    let broker = Broker::new(1)?;
    broker.produce(0, 0, 20)?;
    let reader = LogReader::new(&broker.settings())?;
    let failure = read(&reader, 0, 1_000, 1_001).expect_err("there is nothing");
    assert!(matches!(failure, RereadError::OutOfRange { .. }), "{failure}");
    assert_eq!(read(&reader, 0, 0, 20)?.len(), 20, "the reader goes on");
    Ok(())
}

/// A member of the group reads at the same time, and is neither rebalanced nor robbed of a record.
#[tokio::test]
async fn the_group_does_not_notice() -> Outcome {
    let broker = Broker::new(1)?;
    broker.produce(0, 0, 500)?;
    let mut member = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let (tp, generation) = member.granted().await?;
    member.assign(&tp, generation, 0);
    let reader = LogReader::new(&broker.settings())?;
    let again = tokio::task::spawn_blocking(move || read(&reader, 0, 0, 500));
    assert_eq!(member.read_to_end().await?, ((0..500).collect(), 500));
    assert_eq!(again.await??, (0..500).collect::<Vec<_>>());
    while let Ok(event) = member.events.try_recv() {
        assert!(!matches!(event, SourceEvent::Revoked { .. } | SourceEvent::Signal { .. }));
    }
    member.source.close(PATIENCE)?;
    Ok(())
}
