//! What a worker makes of each message, without its thread.

use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Shard, ShardState};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::BusinessDay;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::checkpoint::segments::Unsealed;
use crate::checkpoint::{ShardId, Standing};
use crate::store::Store;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use postroad_aggregate::seal::Part;

const GENERATION: Generation = Generation::new(4);
const PLACE: (Epoch, Seq) = (Epoch::new(2), Seq::new(9));
const SILENCE: &str = "nothing was said";

fn tp() -> TopicPartition {
    TopicPartition::new("parcel.events", 0)
}

fn day(day: u32) -> BusinessDay {
    BusinessDay::from_civil(2021, 6, day).expect("a date")
}

fn noon() -> Timestamp {
    day(1).start() + Span::hours(12)
}

fn claimed(state: ShardState) -> Box<ClaimedShard> {
    let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
    Box::new(ClaimedShard {
        standing: Standing::new(ShardId::kafka("parcel.events", 0)),
        resume_from: state.resume_from(),
        fold: Shard::resume(state, vec![rules], IdKey([1; 16]), false),
        window_lost: 0,
    })
}

fn new_state() -> ShardState {
    ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b"rules"))
}

fn event(id: i64) -> String {
    format!(
        r#"{{"event_id":"{id}","event_type":"accepted","product":"express","prefecture":"210100",
        "occurred_at":"2021-06-01T12:00:00+08:00","revenue_fen":100}}"#
    )
}

/// A batch of one event for each offset.
fn batch(generation: Generation, offsets: &[i64], delivered_total: u64) -> Batch {
    let mut batch = Batch::new(tp(), generation);
    for offset in offsets {
        let ms = noon().as_micros() / 1_000;
        batch.push(*offset, Some(ms), Some(event(*offset).as_bytes()));
    }
    batch.delivered_total = delivered_total;
    batch
}

struct Bench {
    worker: Worker,
    said: UnboundedReceiver<FromWorker>,
}

impl Bench {
    fn new(state: ShardState) -> Self {
        Self::of(claimed(state), false)
    }

    fn of(claimed: Box<ClaimedShard>, allow_compacted: bool) -> Self {
        let (events, said) = unbounded_channel();
        let context = WorkerContext {
            events,
            metrics: Metrics::new(),
            status: Status::default(),
            grace: Span::hours(1),
            open_days: 45,
            allow_compacted,
            clock: Clock::of(|| day(1).end()),
        };
        let mut worker = Worker::new(context);
        worker.load(tp(), GENERATION, claimed);
        Self { worker, said }
    }

    fn progress(&self) -> Option<Progress> {
        self.worker.context.status.view().progress.get(&tp()).copied()
    }

    fn next_offset(&self) -> Option<i64> {
        self.progress().map(|progress| progress.next_offset)
    }

    /// What a freeze answers, if anything: that nothing is new, or how far the frozen state is.
    fn freeze(&mut self) -> Result<Option<i64>, &'static str> {
        self.worker.freeze(tp(), GENERATION, PLACE);
        match self.said.try_recv() {
            Ok(FromWorker::Shard(_, GENERATION, Event::Frozen(frozen))) => {
                Ok(frozen.map(|frozen| {
                    let checkpoint = format::decode(&frozen.payload).expect("its own bytes");
                    assert_eq!(checkpoint.state.ledger.next, frozen.next_offset);
                    frozen.next_offset.get()
                }))
            }
            Ok(_) => panic!("something else was said"),
            Err(_) => Err(SILENCE),
        }
    }
}

#[test]
fn a_batch_of_another_life_is_dropped() {
    let mut bench = Bench::new(new_state());
    bench.worker.fold(&batch(Generation::new(3), &[0, 1], 2));
    bench.worker.fold(&batch(Generation::new(5), &[0, 1], 2));
    assert_eq!(bench.next_offset(), Some(0));
    bench.worker.fold(&batch(GENERATION, &[0, 1], 2));
    assert_eq!(bench.next_offset(), Some(2));
    assert!(bench.said.try_recv().is_err());
}

#[test]
fn what_was_frozen_and_not_written_is_frozen_again() {
    let mut bench = Bench::new(new_state());
    bench.worker.fold(&batch(GENERATION, &[0, 1], 2));
    assert_eq!(bench.freeze(), Ok(Some(2)));
    bench.worker.thaw(&tp(), Generation::new(3));
    assert_eq!(bench.freeze(), Ok(None), "another life was thawed");
    bench.worker.thaw(&tp(), GENERATION);
    assert_eq!(bench.freeze(), Ok(Some(2)));
}

/// A batch of one event on each of these days, in their order.
fn days(offsets_from: i64, days: &[BusinessDay]) -> Batch {
    let mut batch = Batch::new(tp(), GENERATION);
    for (offset, day) in (offsets_from..).zip(days) {
        let at = day.start() + Span::hours(12);
        let value = event(offset).replace("2021-06-01", &day.to_string());
        batch.push(offset, Some(at.as_micros() / 1_000), Some(value.as_bytes()));
    }
    batch.delivered_total = u64::try_from(offsets_from).expect("small") + days.len() as u64;
    batch
}

/// Days that are old leave the state for segments, late records open them again, and what a reader
/// adds up is as if nothing had ever been sealed.
#[tokio::test]
async fn old_days_are_sealed_and_late_records_open_them_again() {
    let mut bench = Bench::new(new_state());
    let (old, today) = (day(1).plus_days(-100), day(1));
    bench.worker.context.clock = Clock::of(|| day(9).end());
    let mut sealed = Vec::new();
    let mut freeze = |bench: &mut Bench| {
        bench.worker.freeze(tp(), GENERATION, PLACE);
        let Ok(FromWorker::Shard(_, _, Event::Frozen(Some(frozen)))) = bench.said.try_recv() else {
            panic!("a state was to be frozen")
        };
        sealed.extend(frozen.segments.clone());
        assert_eq!(frozen.listed.len(), sealed.len(), "every segment is listed");
        format::decode(&frozen.payload).expect("its own bytes").state
    };
    bench.worker.fold(&days(0, &[old, old.plus_days(31), today]));
    let state = freeze(&mut bench);
    assert_eq!((state.cells.len(), state.sealed.len()), (1, 2), "one segment for each month");
    bench.worker.fold(&days(3, &[old, old, today]));
    let state = freeze(&mut bench);
    assert_eq!((state.cells.len(), state.sealed.len()), (2, 2), "the old day is open again");
    bench.worker.fold(&days(6, &[today.plus_days(1)]));
    let state = freeze(&mut bench);
    assert_eq!((state.cells.len(), state.sealed.len()), (2, 3), "and sealed on the next day");
    state.check().expect("what was sealed still counts");
    assert!(state.sealed.iter().all(|segment| segment.part != Part::DeadLetters));

    let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
    let id = ShardId::kafka("parcel.events", 0);
    // What lies there already is the same, or it is damaged and must not be listed.
    let first = segments::key(&id, &sealed[0].segment);
    store.create(&first, b"rotten".as_slice().into()).await.expect("memory takes it");
    let error = segments::put(&store, &id, &sealed).await.expect_err("not what its name says");
    assert!(error.to_string().contains("it is damaged"), "{error}");
    store.objects().delete(&first).await.expect("memory");
    for _ in 0..2 {
        segments::put(&store, &id, &sealed).await.expect("memory takes them");
    }
    let mut unsealed = Unsealed::default();
    unsealed.update(&store, &id, &state.sealed).await.expect("they can be read");
    let whole = unsealed.whole(&state);
    whole.check().expect("as if nothing had been sealed");
    let on = |day| -> i64 {
        let cells = whole.cells.iter().filter(|(key, _)| key.day == day);
        cells.map(|(_, cell)| cell.volume).sum()
    };
    assert_eq!([on(old), on(today), on(today.plus_days(1))], [3, 2, 1]);
}

/// A flood of records that cannot be used does not fill the memory, whether one was usable before or
/// none ever was.
#[test]
fn many_dead_letters_are_sealed_whatever_the_day() {
    for usable in [1, 0] {
        let mut bench = Bench::new(new_state());
        if usable > 0 {
            bench.worker.fold(&batch(GENERATION, &[0], 1));
            assert_eq!(bench.freeze(), Ok(Some(1)));
        }
        let mut flood = Batch::new(tp(), GENERATION);
        for offset in usable..usable + 10_001 {
            flood.push(offset, None, Some(b"no JSON"));
        }
        flood.delivered_total = usable.unsigned_abs() + 10_001;
        bench.worker.fold(&flood);
        assert_eq!(bench.freeze(), Ok(Some(usable + 10_001)));
        let state = bench.worker.shards[&tp()].claimed.fold.state();
        assert_eq!((state.dead_letters.len(), state.sealed[0].records), (0, 10_001));
    }
}

#[test]
fn a_state_is_frozen_only_where_it_changed() {
    let mut bench = Bench::new(new_state());
    assert_eq!(bench.freeze(), Ok(None));
    bench.worker.fold(&batch(GENERATION, &[0, 1], 2));
    assert_eq!(bench.freeze(), Ok(Some(2)));
    assert_eq!(bench.freeze(), Ok(None));
    bench.worker.fold(&batch(GENERATION, &[2], 3));
    assert_eq!(bench.freeze(), Ok(Some(3)));
    bench.worker.freeze(tp(), Generation::new(3), PLACE);
    assert!(bench.said.try_recv().is_err(), "another life is not answered for");
    bench.worker.drop_shard(&tp());
    assert_eq!(bench.freeze(), Err(SILENCE));
}

/// An idle shard is checkpointed again when its clock releases a day, so that the publisher learns.
#[test]
fn an_idle_shard_is_frozen_again_when_it_releases_a_day() {
    let mut bench = Bench::new(new_state());
    let mut last = batch(GENERATION, &[0], 1);
    last.end = Some(1);
    bench.worker.fold(&last);
    assert_eq!(bench.freeze(), Ok(Some(1)));
    let end = NextOffset::new(1);
    let still_open = day(1).end() + Span::minutes(59);
    bench.worker.log_end(&tp(), end, still_open);
    assert_eq!(bench.freeze(), Ok(None));
    bench.worker.log_end(&tp(), end, day(1).end() + Span::hours(1));
    assert_eq!(bench.freeze(), Ok(Some(1)));
    assert_eq!(bench.freeze(), Ok(None));
}

/// That nothing more is there can only be said of a shard that has read everything there was.
#[test]
fn a_shard_that_lags_is_not_caught_up() {
    let mut bench = Bench::new(new_state());
    bench.worker.fold(&batch(GENERATION, &[0], 1));
    let caught_up_at = |bench: &Bench| bench.progress().and_then(|progress| progress.caught_up_at);
    // The end of the log was not reached, as far as the poll thread knows.
    bench.worker.log_end(&tp(), NextOffset::new(1), day(9).end());
    assert_eq!(caught_up_at(&bench), None);
    let mut last = batch(GENERATION, &[], 1);
    last.end = Some(1);
    bench.worker.fold(&last);
    // An end that was delivered may have waited in a queue; only the brokers' answer counts.
    assert_eq!(caught_up_at(&bench), None);
    // Something has come since.
    bench.worker.log_end(&tp(), NextOffset::new(2), day(9).end());
    assert_eq!(caught_up_at(&bench), None);
    bench.worker.log_end(&tp(), NextOffset::new(1), day(9).end());
    assert_eq!(caught_up_at(&bench), Some(day(9).end()));
}

#[test]
fn the_end_of_a_partition_closes_the_gap_before_it() {
    let mut bench = Bench::new(new_state());
    let mut last = batch(GENERATION, &[0, 3], 2);
    last.end = Some(7);
    bench.worker.fold(&last);
    let progress = bench.progress().expect("it is loaded");
    assert_eq!((progress.next_offset, progress.gaps, progress.at_end), (7, 5, true));
    assert_eq!(progress.caught_up_at, None);
    bench.worker.fold(&batch(GENERATION, &[7], 3));
    assert_eq!(bench.progress().map(|progress| progress.at_end), Some(false));
}

#[test]
fn another_record_at_a_known_place_is_told_and_the_shard_forgotten() {
    let mut first = Bench::new(new_state());
    first.worker.fold(&batch(GENERATION, &[0, 1], 2));
    let state = first.worker.shards[&tp()].claimed.fold.state().clone();
    let mut bench = Bench::new(state);
    let mut other = batch(GENERATION, &[0], 2);
    other.push(1, Some(noon().as_micros() / 1_000), Some(event(77).as_bytes()));
    bench.worker.fold(&other);
    let said = bench.said.try_recv();
    assert!(matches!(said, Ok(FromWorker::Shard(_, GENERATION, Event::Diverged(_)))));
    assert!(bench.progress().is_none());
    bench.worker.fold(&batch(GENERATION, &[2], 3));
    assert_eq!(bench.freeze(), Err(SILENCE), "it writes no more");
}

/// What was written around the place of the last record hides that the log is another one, unless
/// that record had to be there: above the log's beginning, in a log that is not compacted.
#[test]
fn a_last_record_gone_from_the_midst_of_the_log_is_told() {
    let mut first = Bench::new(new_state());
    first.worker.fold(&batch(GENERATION, &[0, 1], 2));
    let state = first.worker.shards[&tp()].claimed.fold.state().clone();
    let is_told = |low: i64, allow_compacted| {
        let mut claimed = claimed(state.clone());
        claimed.resume_from = NextOffset::new(low);
        let mut bench = Bench::of(claimed, allow_compacted);
        bench.worker.fold(&batch(GENERATION, &[2], 1));
        matches!(bench.said.try_recv(), Ok(FromWorker::Shard(_, _, Event::Diverged(_))))
    };
    assert!(is_told(0, false) && is_told(1, false));
    assert!(!is_told(2, false), "retention took it");
    assert!(!is_told(0, true), "compaction may have taken it");
}

/// Promise P1: what the poll thread delivered and what the fold took are counted apart.
#[test]
fn counts_that_differ_end_the_process() {
    let mut bench = Bench::new(new_state());
    bench.worker.fold(&batch(GENERATION, &[0, 1], 2));
    assert!(bench.said.try_recv().is_err());
    bench.worker.fold(&batch(GENERATION, &[2], 4));
    let said = bench.said.try_recv();
    let Ok(FromWorker::Broken(_, violation)) = said else { panic!("nobody noticed") };
    assert_eq!(violation.invariant, Invariant::ConsumedIsJudged);
}
