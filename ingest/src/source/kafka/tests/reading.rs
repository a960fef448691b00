//! Reading partitions: where it begins, ends, stops and begins anew.

use super::*;

#[tokio::test]
async fn a_partition_is_read_from_the_assigned_offset_to_its_end() -> Outcome {
    let broker = Broker::new(1)?;
    broker.produce(0, 0, 500)?;
    let mut member = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let (tp, generation) = member.granted().await?;
    assert_eq!(tp.to_string(), "parcels[0]");
    // A claim of another life says 400; were it obeyed, the right one would find the place taken.
    member.assign(&tp, Generation::new(generation.get() + 1), 400);
    member.assign(&tp, generation, 10);
    assert_eq!(member.read_to_end().await?, ((10..500).collect(), 500));

    let watermarks = member.source.watermarks();
    let deadline = Instant::now() + PATIENCE;
    while watermarks.snapshot().get(&tp) != Some(&(0, 500)) {
        assert!(Instant::now() < deadline, "no watermarks were told");
        tokio::task::yield_now().await;
    }
    let commands = member.source.commands();
    commands.send(Command::CommitGroupOffsets(vec![(tp.clone(), 500)]));
    member.source.close(PATIENCE)?;
    let mut last = None;
    while let Some(event) = member.events.recv().await {
        last = Some(event);
    }
    assert_eq!(last, Some(SourceEvent::Revoked { tp, generation }));
    commands.send(Command::Close);
    Ok(())
}

#[tokio::test]
async fn tombstones_have_no_value_and_empty_values_are_empty() -> Outcome {
    let broker = Broker::new(1)?;
    let record = BaseRecord::<str, [u8]>::to(TOPIC).partition(0);
    let sent = broker.producer.send(record.key("gone"));
    sent.map_err(|(error, _)| error)?;
    let record = BaseRecord::<str, [u8]>::to(TOPIC).partition(0);
    let sent = broker.producer.send(record.payload(&[]).timestamp(1_234));
    sent.map_err(|(error, _)| error)?;
    broker.producer.flush(PATIENCE)?;
    let mut member = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let (tp, generation) = member.granted().await?;
    member.assign(&tp, generation, 0);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let batch = member.batch().await?;
        seen.extend(batch.iter().map(|(_, at, value)| (at, value.map(<[u8]>::len))));
    }
    assert_eq!(seen[0].1, None);
    assert_eq!(seen[1], (Some(1_234), Some(0)));
    Ok(())
}

#[tokio::test]
async fn an_offset_out_of_range_ends_the_life_and_the_next_may_be_assigned() -> Outcome {
    let broker = Broker::new(1)?;
    broker.produce(0, 0, 20)?;
    let mut member = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let (tp, mut generation) = member.granted().await?;
    for (offset, reason) in [(1_000, Signal::OutOfRange), (-1, Signal::OutOfRange)] {
        member.assign(&tp, generation, offset);
        generation = expect_signal(&mut member, generation, &reason).await?;
    }
    let (ended, tp_again) = (generation, tp.clone());
    member.source.command(Command::Unassign { tp: tp_again, generation });
    generation = expect_signal(&mut member, generation, &Signal::Requested).await?;
    member.assign(&tp, ended, 15);
    member.assign(&tp, generation, 5);
    assert_eq!(member.read_to_end().await?, ((5..20).collect(), 20));

    // Back to an offset already read: the same partition, a new life, the forwarding set anew.
    member.source.command(Command::Unassign { tp: tp.clone(), generation });
    generation = expect_signal(&mut member, generation, &Signal::Requested).await?;
    member.assign(&tp, generation, 0);
    assert_eq!(member.read_to_end().await?, ((0..20).collect(), 20));
    Ok(())
}

async fn expect_signal(
    member: &mut Member,
    ended: Generation,
    reason: &Signal,
) -> Result<Generation, Box<dyn Error>> {
    loop {
        if let SourceEvent::Signal { generation, next, signal, .. } = member.event().await? {
            assert_eq!((generation, &signal), (ended, reason));
            assert!(next > generation);
            return Ok(next);
        }
    }
}

#[tokio::test]
async fn a_partition_stopped_and_started_at_once_is_read_from_its_new_offset() -> Outcome {
    let broker = Broker::new(1)?;
    broker.produce(0, 0, 30)?;
    let mut member = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let (tp, mut generation) = member.granted().await?;
    member.assign(&tp, generation, 0);
    for life in 1..=10 {
        // The next life's number is known beforehand, so that nothing lies between stop and start:
        // librdkafka stops a partition, and clears its forwarding, some time after the call.
        member.source.command(Command::Unassign { tp: tp.clone(), generation });
        generation = Generation::new(generation.get() + 1);
        member.assign(&tp, generation, life);
        let mut next = life;
        while next < 30 {
            let batch = member.batch().await?;
            if batch.generation == generation {
                next = follow(next, &batch)?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_spent_budget_stops_data_but_not_events() -> Outcome {
    let broker = Broker::new(2)?;
    for partition in 0..2 {
        broker.produce(partition, 0, 5_000)?;
    }
    let budget = ByteBudget::new(10_000);
    let mut member = Member::join(&broker, &budget)?;
    let mut lives = HashMap::new();
    for _ in 0..2 {
        let (tp, generation) = member.granted().await?;
        member.assign(&tp, generation, 0);
        lives.insert(tp, generation);
    }
    let mut held = Vec::new();
    while budget.available() > 0 {
        held.push(member.batch().await?);
    }
    // One partition goes to another member: events are served although no data are.
    let other = Member::join(&broker, &ByteBudget::new(10_000))?;
    let (tp, generation) = loop {
        if let SourceEvent::Revoked { tp, generation } = member.event().await? {
            break (tp, generation);
        }
    };
    assert_eq!(lives.remove(&tp), Some(generation));
    while let Ok(batch) = member.batches.try_recv() {
        held.push(batch);
    }
    let one_record = size_of::<RecordMeta>() + "4999".len();
    assert!(budget.used() <= budget.limit() + one_record);
    assert_eq!(budget.used(), held.iter().map(Batch::bytes).sum::<usize>());

    // What was held is given back, and the rest of the kept partition comes.
    let kept: Vec<_> = lives.into_values().collect();
    let mut next = held.iter().filter(|batch| batch.generation == kept[0]);
    let mut next = next.try_fold(0, follow)?;
    held.clear();
    while next < 5_000 {
        let batch = member.batch().await?;
        if batch.generation == kept[0] {
            next = follow(next, &batch)?;
        }
    }
    other.source.close(PATIENCE)?;
    Ok(())
}
