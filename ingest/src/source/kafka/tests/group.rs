//! The group and the brokers: what is given and taken, and what cannot be reached.

use super::*;

#[tokio::test]
async fn a_revocation_before_any_claim_does_not_hold_the_group_up() -> Outcome {
    let broker = Broker::new(2)?;
    let mut first = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let mut lives = HashMap::from([first.granted().await?]);
    lives.extend([first.granted().await?]);
    let mut second = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let (tp, generation) = second.granted().await?;
    let revoked = SourceEvent::Revoked { tp: tp.clone(), generation: lives[&tp] };
    while first.event().await? != revoked {}
    // The first still claims it, too late: nobody reads it but the second.
    broker.produce(tp.partition, 0, 5)?;
    first.assign(&tp, lives[&tp], 0);
    second.assign(&tp, generation, 0);
    assert_eq!(second.read_to_end().await?, ((0..5).collect(), 5));
    first.source.close(PATIENCE)?;
    assert!(first.batches.recv().await.is_none());
    Ok(())
}

#[tokio::test]
async fn brokers_that_go_and_come_back_are_told_once_each() -> Outcome {
    let broker = Broker::new(1)?;
    broker.produce(0, 0, 10)?;
    let mut member = Member::join(&broker, &ByteBudget::new(1 << 20))?;
    let (tp, generation) = member.granted().await?;
    member.assign(&tp, generation, 0);
    assert_eq!(member.read_to_end().await?.1, 10);
    let mut states = Vec::new();
    broker.cluster(|cluster| cluster.broker_down(-1))?;
    while states.is_empty() {
        states.extend(brokers_of(member.event().await?));
    }
    broker.cluster(|cluster| cluster.broker_up(-1))?;
    while states.len() < 2 {
        states.extend(brokers_of(member.event().await?));
    }
    assert!(matches!(&states[0], BrokerState::AllDown { error } if !error.is_empty()));
    assert_eq!(states[1], BrokerState::Up);
    Ok(())
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_told() -> Outcome {
    let broker = Broker::new(1)?;
    let mut settings = broker.settings();
    settings.topics.push("nowhere".to_owned());
    let (told, mut events) = mpsc::unbounded_channel();
    let budget = ByteBudget::new(1 << 20);
    let source = KafkaSource::start(&settings, budget, |_: Batch| {}, told)?;
    loop {
        let event = timeout(PATIENCE, events.recv()).await?;
        if let Some(SourceEvent::Trouble { error }) = event {
            assert!(error.contains("nowhere"), "{error}");
            break;
        }
    }
    source.close(PATIENCE)?;
    Ok(())
}

fn brokers_of(event: SourceEvent) -> Option<BrokerState> {
    match event {
        SourceEvent::Brokers(state) => Some(state),
        _ => None,
    }
}

#[tokio::test]
async fn queries_answer_without_a_group() -> Outcome {
    let broker = Broker::new(3)?;
    broker.produce(1, 0, 7)?;
    let queries = KafkaQueries::new(&broker.settings())?;
    let answers = tokio::task::spawn_blocking(move || {
        let topics = [TOPIC.to_owned(), "nowhere".to_owned()];
        let counts = queries.partition_counts(&topics, PATIENCE);
        let marks = queries.watermarks(&TopicPartition::new(TOPIC, 1), PATIENCE);
        let missing = queries.watermarks(&TopicPartition::new(TOPIC, 9), PATIENCE);
        let id = queries.cluster_id(PATIENCE);
        // The mock cluster has no such answer, nor says so.
        let configs = queries.topic_configs(TOPIC, Duration::from_millis(100));
        (counts, marks, missing, id, configs)
    });
    let (counts, marks, missing, id, configs) = answers.await?;
    assert_eq!(counts?, BTreeMap::from([(TOPIC.to_owned(), 3)]));
    assert_eq!(marks?, (0, 7));
    assert!(matches!(missing, Err(QueryError::Unknown(_))), "{missing:?}");
    assert!(!id?.is_empty());
    assert!(configs.is_err(), "{configs:?}");
    Ok(())
}
