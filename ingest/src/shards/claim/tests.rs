//! Claims: over which logs a shard goes on, and what it must not go on from.

use object_store::ObjectStoreExt;
use object_store::path::Path;
use postroad_aggregate::ledger::Delivered;
use postroad_aggregate::seal::Leaving;
use postroad_aggregate::shard::Diverged;
use postroad_schemas::units::Offset;

use super::*;
use crate::checkpoint::StallReason;
use crate::checkpoint::envelope::Epoch;
use crate::decisions::Recorded;

fn id(number: u128) -> TopicId {
    TopicId::new(number).expect("not zero")
}

#[track_caller]
fn check(next: i64, low: i64, high: i64, ids: (Option<u128>, Option<u128>), expect: Option<&str>) {
    let state = ShardState::new(Contract::Parcel, NextOffset::new(next), RulesId::of(b""));
    let mut checkpoint = Standing::new(ShardId::kafka("parcel.events", 0)).with(state);
    checkpoint.topic_id = ids.0.map(id);
    let range = LogRange { low: NextOffset::new(low), high: NextOffset::new(high) };
    let stall = check_continues(&checkpoint, Contract::Parcel, ids.1.map(id), range).err();
    assert_eq!(stall.as_ref().map(|stall| stall.reason().as_str()), expect);
}

#[test]
fn a_shard_goes_on_only_within_its_log() {
    let unknown = (None, None);
    check(5, 5, 5, unknown, None);
    check(5, 0, 9, unknown, None);
    check(5, 6, 9, unknown, Some("retention_overrun"));
    check(5, 0, 4, unknown, Some("truncated"));
}

#[test]
fn a_shard_goes_on_only_in_the_life_of_its_topic() {
    check(5, 0, 9, (Some(1), Some(1)), None);
    check(5, 0, 9, (Some(1), Some(2)), Some("recreated"));
    check(5, 0, 4, (Some(1), Some(2)), Some("recreated"));
    // Checkpoints of older versions, and brokers of older ones, know no ids.
    check(5, 0, 9, (None, Some(2)), None);
    check(5, 0, 9, (Some(1), None), None);
}

/// Retention must not decide what an operator has to: a shard whose log was another one is read
/// again only where the record that shows it is still there.
#[test]
fn a_divergence_is_not_over_because_its_evidence_is_gone() {
    let diverged = Stall::Diverged(Diverged::OtherRecord(Offset::new(3))).phase();
    let check = |phase: Phase, last: Option<i64>, low: i64, expect: Option<&str>| {
        let mut state = ShardState::new(Contract::Parcel, NextOffset::new(5), RulesId::of(b""));
        state.last_delivered =
            last.map(|at| Delivered { offset: Offset::new(at), timestamp: None, hash: 0 });
        let mut checkpoint = Standing::new(ShardId::kafka("parcel.events", 0)).with(state);
        checkpoint.phase = phase;
        let range = LogRange { low: NextOffset::new(low), high: NextOffset::new(9) };
        let stall = check_continues(&checkpoint, Contract::Parcel, None, range).err();
        let reason = stall.as_ref().map(|stall| stall.reason().as_str());
        assert_eq!(reason, expect, "{phase:?}, {last:?}, {low}");
        // The same again writes nothing into the chain.
        assert!(stall.is_none_or(|stall| stall.phase() == phase || low > 5));
    };
    check(diverged, Some(3), 3, None);
    check(diverged, Some(3), 4, Some("diverged"));
    check(diverged, Some(3), 5, Some("diverged"));
    check(diverged, Some(3), 6, Some("retention_overrun"));
    check(diverged, None, 0, Some("diverged"));
    check(Phase::Running, Some(3), 4, None);
    let truncated = Stall::Truncated { next: NextOffset::new(5), high: NextOffset::new(4) };
    check(truncated.phase(), Some(3), 4, None);
}

/// Credentials that have expired leave a shard as it was: only damage is for an operator to look at.
#[test]
fn only_what_is_wrong_with_the_objects_is_a_stall() {
    use object_store::Error;

    use crate::checkpoint::envelope::Damage;

    let key = Path::from("state/0");
    let refused = |source| ChainError::Store { operation: "list", key: key.clone(), source };
    let (path, source) = (key.to_string(), || "the token has expired".into());
    let check = |error: ChainError, is_stall: bool| {
        let said = error.to_string();
        let claim = ClaimError::from(error);
        assert_eq!(matches!(claim, ClaimError::Stalled(_)), is_stall, "{said}");
    };
    check(refused(Error::PermissionDenied { path: path.clone(), source: source() }), false);
    check(refused(Error::Unauthenticated { path: path.clone(), source: source() }), false);
    check(refused(Error::Generic { store: "S3", source: source() }), false);
    let read_only = std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem);
    check(refused(Error::Generic { store: "local", source: read_only.into() }), false);
    check(ChainError::Damaged { key: key.clone(), damage: Damage::Checksum }, true);
    check(ChainError::Newer { key, version: 9 }, true);
}

/// Brokers that have one topic, of one id and with logs of one range; without a range, they are not to
/// be asked.
struct Brokers(Option<LogRange>);

#[async_trait::async_trait]
impl Cluster for Brokers {
    async fn log_range(&self, tp: &TopicPartition) -> Result<LogRange, QueryError> {
        self.0.ok_or_else(|| QueryError::Unknown(tp.to_string()))
    }

    async fn partition_counts(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, i32>, QueryError> {
        Err(QueryError::Unknown(topics.join(", ")))
    }

    async fn topic_id(&self, topic: &str) -> Result<Option<TopicId>, QueryError> {
        self.0.map(|_| Some(id(1))).ok_or_else(|| QueryError::Unknown(topic.to_owned()))
    }
}

const TOPIC: &str = "parcel.events";

/// Claims in a store in memory, whose rules are stored; the log holds `[0, high)`.
async fn claims(high: Option<i64>) -> ClaimContext {
    let objects = Arc::new(object_store::memory::InMemory::new());
    let store = Store::over(objects, "memory".to_owned());
    let rules = Rules::with_defaults(&postroad_schemas::codebook::Codebook::liaoning());
    let rules_id = store.put_rules(&rules).await.expect("a sound store");
    let range = |high| LogRange { low: NextOffset::new(0), high: NextOffset::new(high) };
    let topics = BTreeMap::from([(TOPIC.to_owned(), (Contract::Parcel, Start::Earliest))]);
    ClaimContext {
        store,
        cluster: Arc::new(Brokers(high.map(range))),
        rules: (rules_id, Arc::new(rules)),
        id_key: IdKey([0; 16]),
        keep_payload: false,
        topics: Arc::new(topics),
        complaints: Complaints::default(),
    }
}

/// A shard that was read up to offset 5.
fn read_to_5(claims: &ClaimContext, id: &ShardId, phase: Phase) -> Checkpoint {
    let state = ShardState::new(Contract::Parcel, NextOffset::new(5), claims.rules.0);
    let mut checkpoint = Standing::new(id.clone()).with(state);
    checkpoint.phase = phase;
    checkpoint
}

/// Claims a life, so that its newest checkpoint is this one.
async fn put(store: &Store, checkpoint: &Checkpoint) {
    let chain = store.chain(&checkpoint.id);
    let newest = chain.newest().await.expect("a sound store");
    let payload = Bytes::from(format::encode(checkpoint));
    let claimed = chain.claim(newest.as_ref(), payload).await.expect("a sound store");
    claimed.expect("a chain of our own");
}

/// How a life stands, by its newest checkpoint.
async fn stands(store: &Store, id: &ShardId) -> Option<(Phase, i64)> {
    let newest = store.newest_checkpoint(id).await.expect("a sound store");
    newest.map(|(_, checkpoint)| (checkpoint.phase, checkpoint.state.ledger.next.get()))
}

/// Claims the partition of [`TOPIC`], which has to stall.
async fn stall(claims: &ClaimContext) -> Stall {
    match claims.claim(TopicPartition::new(TOPIC, 0)).await {
        Err(ClaimError::Stalled(stall)) => stall,
        other => panic!("it is not stalled: {other:?}"),
    }
}

/// A claim that came late may have closed the life that its owner knows to be another log's, and
/// somebody may be reading the next: the owner learns of it, and the next is left alone.
#[tokio::test]
async fn a_divergence_is_of_one_life_and_over_with_it() {
    let claims = claims(None).await;
    let store = &claims.store;
    let stall = Stall::Diverged(Diverged::OtherRecord(Offset::new(3)));
    let put = async |id: &ShardId, phase| put(store, &read_to_5(&claims, id, phase)).await;
    let life = ShardId::kafka(TOPIC, 0);
    assert!(!claims.record_divergence(&life, &stall).await, "nothing was written yet");
    put(&life, Phase::Running).await;
    assert!(!claims.record_divergence(&life, &stall).await);
    assert_eq!(stands(store, &life).await, Some((stall.phase(), 5)));
    put(&life, Phase::Closed).await;
    let next = life.next_incarnation();
    put(&next, Phase::Running).await;
    assert!(claims.record_divergence(&life, &stall).await, "it is over");
    assert_eq!(stands(store, &life).await, Some((Phase::Closed, 5)));
    assert_eq!(stands(store, &next).await, Some((Phase::Running, 5)));
}

/// What would be read from the log's end on is not what the operator named.
#[tokio::test]
async fn an_offset_that_an_operator_named_is_not_bent_to_the_logs_end() {
    let claims = claims(Some(9)).await;
    let life = ShardId::kafka(TOPIC, 0);
    let reason = StallReason::Truncated;
    put(&claims.store, &read_to_5(&claims, &life, Phase::Stalled { reason, lost: None })).await;
    let from = RestartFrom::Offset(99);
    let decision = Decision::Restart { from, next_offset: 5, stalled_by: reason };
    record(&claims.store, &life, decision).await;
    let truncated = Stall::Truncated { next: NextOffset::new(99), high: NextOffset::new(9) };
    assert_eq!(stall(&claims).await, truncated);
    assert_eq!(stands(&claims.store, &life).await, Some((Phase::Closed, 5)));
    let next = life.next_incarnation();
    assert_eq!(stands(&claims.store, &next).await, Some((truncated.phase(), 99)));
}

async fn record(store: &Store, id: &ShardId, decision: Decision) {
    let decided_at = postroad_schemas::units::Timestamp::from_micros(0);
    let recorded = Recorded { decision, reason: String::new(), decided_at };
    decisions::record(store, id, &recorded).await.expect("a sound store");
}

/// Whoever goes on without its old days shows figures that lack them.
#[tokio::test]
async fn a_shard_whose_segments_are_gone_is_not_claimed() {
    let claims = claims(Some(9)).await;
    let life = ShardId::kafka(TOPIC, 0);
    let mut checkpoint = read_to_5(&claims, &life, Phase::Running);
    let day = postroad_schemas::units::BusinessDay::from_days(18_779);
    let leaving = Leaving { cells: BTreeMap::from([(day, BTreeMap::new())]), ..Leaving::default() };
    let sealed = segments::seal(&leaving, (Epoch::FIRST, Seq::FIRST));
    checkpoint.state.sealed = sealed.iter().map(|encoded| encoded.segment).collect();
    put(&claims.store, &checkpoint).await;
    let key = segments::key(&life, &sealed[0].segment);
    let Stall::Unreadable(why) = stall(&claims).await else { panic!("another stall") };
    assert!(why.starts_with("1 of the segments") && why.contains(key.as_ref()), "{why}");
    let unreadable = Phase::Stalled { reason: StallReason::Unreadable, lost: None };
    assert_eq!(stands(&claims.store, &life).await, Some((unreadable, 5)));
    // Once they are back, it goes on by itself.
    segments::put(&claims.store, &life, &sealed).await.expect("a sound store");
    let claimed = claims.claim(TopicPartition::new(TOPIC, 0)).await.expect("it is whole");
    assert_eq!(claimed.shard.fold.state().sealed, checkpoint.state.sealed);
}

/// What is read again would be judged by other rules than before; and to try for ever mends nothing.
#[tokio::test]
async fn a_shard_whose_rules_are_damaged_or_gone_is_stalled_and_says_which() {
    let sound = claims(Some(9)).await;
    let life = ShardId::kafka(TOPIC, 0);
    put(&sound.store, &read_to_5(&sound, &life, Phase::Running)).await;
    let key = Path::from(format!("rules/{}.json", sound.rules.0));
    let objects = Arc::clone(sound.store.objects());
    let whole = sound.store.get(&key).await.expect("it is there");
    // Another process, which knows other rules by heart and not these.
    let claims = || {
        let mut claims = sound.clone();
        claims.store = Store::over(Arc::clone(&objects), "memory".to_owned());
        claims
    };
    let mut damaged = whole.to_vec();
    damaged[3] ^= 1;
    objects.put(&key, damaged.into()).await.expect("a sound store");
    let unreadable = Phase::Stalled { reason: StallReason::Unreadable, lost: None };
    for what in ["is not what its name says", "not found"] {
        let Stall::Unreadable(why) = stall(&claims()).await else { panic!("another stall") };
        for words in [key.as_ref(), what, "restore the object"] {
            assert!(why.contains(words), "{words:?} is not in {why:?}");
        }
        assert_eq!(stands(&sound.store, &life).await, Some((unreadable, 5)));
        let _ = objects.delete(&key).await;
    }
    objects.put(&key, whole.into()).await.expect("a sound store");
    claims().claim(TopicPartition::new(TOPIC, 0)).await.expect("it is whole");
    assert_eq!(stands(&sound.store, &life).await, Some((Phase::Running, 5)));
}

/// A stalled shard is claimed again and again.
#[tokio::test]
async fn a_decision_that_does_not_fit_is_said_once() {
    let claims = claims(Some(9)).await;
    let life = ShardId::kafka(TOPIC, 0);
    put(&claims.store, &read_to_5(&claims, &life, Phase::Running)).await;
    record(&claims.store, &life, Decision::AcceptLoss { from: 2, to: 4 }).await;
    let log = Log::default();
    let said = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || said.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    for _ in 0..3 {
        claims.claim(TopicPartition::new(TOPIC, 0)).await.expect("it goes on");
    }
    let text = log.text();
    assert_eq!(text.matches("does not fit").count(), 1, "{text}");
    assert!(text.contains("gives up offsets from 2 on"), "{text}");
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("nobody panicked")).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
