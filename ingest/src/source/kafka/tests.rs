//! The source through the real client against librdkafka's mock cluster.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::{Instant, timeout};

use super::*;

const TOPIC: &str = "parcels";
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome = Result<(), Box<dyn Error>>;

/// A mock cluster with one topic.
struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Broker {
    fn new(partitions: i32) -> Result<Self, Box<dyn Error>> {
        let cluster = MockCluster::new(1)?;
        cluster.create_topic(TOPIC, partitions, 1)?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer = config.set("linger.ms", "1").create()?;
        Ok(Self { cluster, producer })
    }

    /// Produces records whose values are their offsets, `[from, next)`.
    fn produce(&self, partition: i32, from: i64, next: i64) -> Outcome {
        self.send(partition, from, next)?;
        self.producer.flush(PATIENCE)?;
        Ok(())
    }

    fn send(&self, partition: i32, from: i64, next: i64) -> Outcome {
        for offset in from..next {
            let value = offset.to_string();
            let record = BaseRecord::<(), str>::to(TOPIC).partition(partition);
            let sent = self.producer.send(record.payload(&value));
            sent.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    fn settings(&self) -> KafkaSettings {
        let properties = [
            ("session.timeout.ms", "4000"),
            ("heartbeat.interval.ms", "100"),
            ("reconnect.backoff.max.ms", "200"),
        ];
        KafkaSettings {
            brokers: self.cluster.bootstrap_servers(),
            group: "postroad-test".to_owned(),
            topics: vec![TOPIC.to_owned()],
            properties: properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }
}

/// A source whose events and batches a test waits for.
struct Member {
    source: KafkaSource,
    events: UnboundedReceiver<SourceEvent>,
    batches: UnboundedReceiver<Batch>,
}

impl Member {
    fn join(broker: &Broker, budget: &ByteBudget) -> Result<Self, SourceError> {
        let (told, events) = mpsc::unbounded_channel();
        let (delivered, batches) = mpsc::unbounded_channel();
        let sink = move |batch: Batch| drop(delivered.send(batch));
        let source = KafkaSource::start(&broker.settings(), budget.clone(), sink, told)?;
        Ok(Self { source, events, batches })
    }

    async fn event(&mut self) -> Result<SourceEvent, Box<dyn Error>> {
        let event = timeout(PATIENCE, self.events.recv()).await?;
        event.ok_or_else(|| "the poll thread has ended".into())
    }

    async fn batch(&mut self) -> Result<Batch, Box<dyn Error>> {
        let batch = timeout(PATIENCE, self.batches.recv()).await?;
        batch.ok_or_else(|| "the poll thread has ended".into())
    }

    async fn granted(&mut self) -> Result<(TopicPartition, Generation), Box<dyn Error>> {
        loop {
            if let SourceEvent::Granted { tp, generation } = self.event().await? {
                return Ok((tp, generation));
            }
        }
    }

    fn assign(&self, tp: &TopicPartition, generation: Generation, offset: i64) {
        self.source.command(Command::Assign { tp: tp.clone(), generation, offset });
    }

    /// Reads the offsets up to an end of partition: what came, and the end.
    async fn read_to_end(&mut self) -> Result<(Vec<i64>, i64), Box<dyn Error>> {
        let mut offsets = Vec::new();
        loop {
            let batch = self.batch().await?;
            for (offset, timestamp_ms, value) in batch.iter() {
                assert_eq!(value, Some(offset.to_string().as_bytes()));
                assert!(timestamp_ms.is_some());
                offsets.push(offset);
            }
            assert_eq!(batch.delivered_total, offsets.len() as u64);
            if let Some(end) = batch.end {
                return Ok((offsets, end));
            }
        }
    }
}

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

/// The next offset after a batch that must begin at `next` and have no holes.
fn follow(next: i64, batch: &Batch) -> Result<i64, String> {
    let after = batch.iter().try_fold(next, |next, (offset, _, value)| {
        let written = value.and_then(|value| std::str::from_utf8(value).ok());
        if offset == next && written == Some(&*offset.to_string()) {
            Ok(next + 1)
        } else {
            Err(format!("{offset} came where {next} was expected"))
        }
    })?;
    match batch.end {
        Some(end) if end != after => Err(format!("the end came at {end}, not at {after}")),
        _ => Ok(after),
    }
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
    broker.cluster.broker_down(-1)?;
    while states.is_empty() {
        states.extend(brokers_of(member.event().await?));
    }
    broker.cluster.broker_up(-1)?;
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

/// What the checkpoints would know, and what every member saw, in a storm of rebalances.
#[derive(Default)]
struct Chain {
    /// By partition: who may write, and the next offset.
    shards: HashMap<TopicPartition, (Option<Owner>, i64)>,
    applied: i64,
    lives: usize,
    cut: usize,
}

type Owner = (usize, Generation);

/// One member of the storm: answers claims late, follows every life, applies what its claims allow.
struct StormMember {
    number: usize,
    member: Member,
    chain: Arc<Mutex<Chain>>,
    rng: u64,
    claims: Vec<(Instant, TopicPartition, Generation)>,
    lives: HashMap<TopicPartition, Life>,
}

/// A life of an assignment as its reader sees it.
struct Life {
    generation: Generation,
    assigned: i64,
    next: i64,
}

impl StormMember {
    fn join(
        number: usize,
        broker: &Broker,
        chain: &Arc<Mutex<Chain>>,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            number,
            member: Member::join(broker, &ByteBudget::new(100_000))?,
            chain: Arc::clone(chain),
            rng: 0x9E37_79B9_7F4A_7C15 ^ number as u64,
            claims: Vec::new(),
            lives: HashMap::new(),
        })
    }

    /// From 0 to 2 s: a claim's latency, by xorshift, so that a failure can be run again.
    fn latency(&mut self) -> Duration {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        Duration::from_millis(self.rng % 2_000)
    }

    /// Handles what comes until `deadline`, or for ever.
    async fn step(&mut self) -> Outcome {
        let claim = self.claims.iter().map(|(at, ..)| *at).min();
        let claim = claim.unwrap_or_else(|| Instant::now() + PATIENCE);
        tokio::select! {
            Some(event) = self.member.events.recv() => self.on_event(event),
            Some(batch) = self.member.batches.recv() => self.on_batch(&batch),
            () = tokio::time::sleep_until(claim) => { self.answer_claims(); Ok(()) }
        }?;
        while let Ok(event) = self.member.events.try_recv() {
            self.on_event(event)?;
        }
        while let Ok(batch) = self.member.batches.try_recv() {
            self.on_batch(&batch)?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: SourceEvent) -> Outcome {
        match event {
            SourceEvent::Granted { tp, generation } => {
                let at = Instant::now() + self.latency();
                self.claims.push((at, tp, generation));
            }
            SourceEvent::Revoked { tp, generation } => {
                if let Some(life) = self.lives.remove(&tp) {
                    assert_eq!(life.generation, generation);
                    let mut chain = self.chain.lock().map_err(|_| "poisoned")?;
                    chain.cut += usize::from(life.next > life.assigned);
                }
            }
            SourceEvent::Rebalanced | SourceEvent::Brokers(_) | SourceEvent::Trouble { .. } => {}
            other => return Err(format!("unexpected: {other:?}").into()),
        }
        Ok(())
    }

    /// Claims, even if the partition has gone meanwhile: the source must drop such an answer.
    fn answer_claims(&mut self) {
        let now = Instant::now();
        let (due, later) = self.claims.drain(..).partition(|(at, ..)| *at <= now);
        self.claims = later;
        let due: Vec<(Instant, TopicPartition, Generation)> = due;
        for (_, tp, generation) in due {
            let mut chain = self.chain.lock().expect("no test thread panics holding it");
            chain.lives += 1;
            let shard = chain.shards.entry(tp.clone()).or_default();
            shard.0 = Some((self.number, generation));
            let (assigned, next) = (shard.1, shard.1);
            self.member.assign(&tp, generation, assigned);
            let life = Life { generation, assigned, next };
            self.lives.insert(tp, life);
        }
    }

    fn on_batch(&mut self, batch: &Batch) -> Outcome {
        let Some(life) = self.lives.get_mut(&batch.tp) else {
            return Ok(());
        };
        if life.generation != batch.generation {
            return Ok(());
        }
        let after = follow(life.next, batch)?;
        assert_eq!(batch.delivered_total, (after - life.assigned).cast_unsigned());
        let mut chain = self.chain.lock().map_err(|_| "poisoned")?;
        let owner = Some((self.number, life.generation));
        let shard = chain.shards.entry(batch.tp.clone()).or_default();
        if shard.0 == owner {
            assert_eq!(shard.1, life.next);
            shard.1 = after;
            chain.applied += after - life.next;
        }
        life.next = after;
        Ok(())
    }
}

/// Records that keep coming while members come and go.
struct Traffic<'a> {
    broker: &'a Broker,
    produced: i64,
    ticks: tokio::time::Interval,
}

impl Traffic<'_> {
    const PARTITIONS: i32 = 8;

    fn produce_until(&mut self, next: i64) -> Outcome {
        for partition in 0..Self::PARTITIONS {
            self.broker.send(partition, self.produced, next)?;
        }
        self.broker.producer.poll(Duration::ZERO);
        self.produced = next;
        Ok(())
    }

    /// A record a partition every forty milliseconds, until there are `limit` of each: slow enough
    /// to last a turn.
    async fn flow(&mut self, limit: i64) -> Outcome {
        if self.produced >= limit {
            return std::future::pending().await;
        }
        self.ticks.tick().await;
        self.produce_until((self.produced + 1).min(limit))
    }
}

/// Lets the members and the traffic go on until `done`.
async fn go_on(
    members: &mut [&mut StormMember],
    traffic: &mut Traffic<'_>,
    limit: i64,
    mut done: impl FnMut(&[&mut StormMember]) -> bool,
) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !done(members) {
        let steps = members.iter_mut().map(|member| Box::pin(member.step()));
        let mut steps: Vec<_> = steps.collect();
        let any = std::future::poll_fn(|context| {
            let ready = steps.iter_mut().find_map(|step| {
                match std::future::Future::poll(step.as_mut(), context) {
                    std::task::Poll::Ready(outcome) => Some(outcome),
                    std::task::Poll::Pending => None,
                }
            });
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        });
        tokio::select! {
            outcome = any => outcome?,
            outcome = traffic.flow(limit) => outcome?,
            () = tokio::time::sleep_until(deadline) => return Err("the group stands still".into()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_record_is_applied_once_while_members_come_and_go() -> Outcome {
    const EACH: i64 = 2_500;
    const TURNS: usize = 4;
    let broker = Broker::new(Traffic::PARTITIONS)?;
    let mut traffic = Traffic {
        broker: &broker,
        produced: 0,
        ticks: tokio::time::interval(Duration::from_millis(40)),
    };
    let chain = Arc::new(Mutex::new(Chain::default()));
    let applied = || chain.lock().map(|chain| chain.applied).unwrap_or_default();
    let mut first = StormMember::join(0, &broker, &chain)?;
    for turn in 1..=TURNS {
        let limit = EACH * i64::try_from(turn)? / 4;
        let all = 8;
        go_on(&mut [&mut first], &mut traffic, limit, |members| members[0].lives.len() == all)
            .await?;
        let mut other = StormMember::join(turn, &broker, &chain)?;
        // Odd turns: the other leaves while its claims are under way; even ones: once it has read.
        let members = &mut [&mut first, &mut other];
        go_on(members, &mut traffic, limit, |members| {
            let mut lives = members[1].lives.values();
            !members[1].claims.is_empty() && turn % 2 == 1
                || lives.any(|life| life.next > life.assigned)
        })
        .await?;
        let leaving = tokio::task::spawn_blocking(|| other.member.source.close(PATIENCE));
        let members = &mut [&mut first];
        go_on(members, &mut traffic, limit, |_| leaving.is_finished()).await?;
        leaving.await??;
        traffic.produce_until(limit)?;
    }
    let all = i64::from(Traffic::PARTITIONS) * EACH;
    go_on(&mut [&mut first], &mut traffic, EACH, |_| applied() == all).await?;
    first.member.source.close(PATIENCE)?;
    let chain = chain.lock().map_err(|_| "poisoned")?;
    assert!(chain.shards.values().all(|(_, next)| *next == EACH));
    assert!(chain.cut > 0, "no life ended while it was read");
    eprintln!("{} lives, {} of them cut while reading", chain.lives, chain.cut);
    Ok(())
}

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
