//! Resuming, example by example: what is found again at the place of the last record, and what the
//! window makes of ids that were seen before.

use super::*;
use postroad_schemas::codebook::Codebook;

/// 2021-06-30T04:00:00Z.
const NOON: Timestamp = Timestamp::from_micros(1_625_025_600_000_000);

/// A log of its own making: each record is an acceptance with an id, so many minutes after noon.
#[derive(Clone, Default)]
struct Log(Vec<(i64, Timestamp, Option<Vec<u8>>)>);

impl Log {
    fn event(mut self, offset: i64, id: &str, minutes: u32) -> Self {
        let at = NOON + Span::minutes(minutes);
        let value = format!(
            r#"{{"event_id":"{id}","event_type":"accepted","product":"express","prefecture":"210100","occurred_at":"{at}","revenue_fen":1}}"#
        );
        self.0.push((offset, at, Some(value.into_bytes())));
        self
    }

    fn tombstone(mut self, offset: i64) -> Self {
        self.0.push((offset, NOON, None));
        self
    }

    /// The records at and after an offset.
    fn from(&self, offset: NextOffset) -> impl Iterator<Item = Record<'_>> {
        self.0.iter().filter(move |(at, ..)| *at >= offset.get()).map(|(offset, at, value)| {
            Record { offset: Offset::new(*offset), timestamp: Some(*at), value: value.as_deref() }
        })
    }
}

fn rules(window_h: u32) -> (RulesId, Arc<Rules>) {
    let rules = Rules { dedupe_window_h: window_h, ..Rules::with_defaults(&Codebook::liaoning()) };
    (RulesId::from_u128(window_h.into()), Arc::new(rules))
}

fn begin(window_h: u32) -> Shard {
    let (id, rules) = rules(window_h);
    let state = ShardState::new(Contract::Parcel, NextOffset::new(0), id);
    Shard::resume(state, vec![rules], IdKey([1; 16]), false)
}

/// A shard that goes on from a state, and has not read anything yet.
fn resume(state: &ShardState) -> Shard {
    let contents = state.rules.iter().map(|(_, id)| {
        let hours = u32::try_from(id.get()).expect("the tests' addresses are hours");
        rules(hours).1
    });
    Shard::resume(state.clone(), contents.collect(), IdKey([2; 16]), false)
}

/// Reads a log from where the shard resumes, by a clock that nothing outruns.
fn read(shard: &mut Shard, log: &Log) -> Result<Vec<Step>, Diverged> {
    let from = shard.state().resume_from();
    log.from(from).map(|record| shard.step(&record, NOON + Span::hours(100))).collect()
}

/// A shard that has read a whole log.
fn folded(log: &Log) -> Shard {
    let mut shard = begin(24);
    read(&mut shard, log).expect("it is the first reading");
    shard
}

#[track_caller]
fn check_divergence(log: &Log, expect: Diverged) {
    let before = folded(&Log::default().event(3, "a", 0).event(5, "b", 1)).state().clone();
    let mut shard = resume(&before);
    assert_eq!(read(&mut shard, log), Err(expect));
    assert_eq!(*shard.state(), before, "the state is that of before");
}

#[test]
fn another_record_at_the_last_offset_is_a_divergence() {
    let other = Diverged::OtherRecord(Offset::new(5));
    let first = Log::default().event(3, "a", 0);
    check_divergence(&first.clone().event(5, "x", 1), other);
    check_divergence(&first.clone().tombstone(5), other);
    // The same value under another timestamp is another record, too.
    let mut moved = first.clone().event(5, "b", 1);
    moved.0[1].1 = moved.0[1].1 + Span::minutes(1);
    check_divergence(&moved, other);
    // What lies before the last record is not compared, only fed.
    let mut shard = resume(folded(&first.event(5, "b", 1)).state());
    let steps = read(&mut shard, &Log::default().event(3, "x", 0).event(5, "b", 1));
    assert_eq!(steps, Ok(vec![Step::Skipped; 2]));
    assert_eq!(shard.resumption(), Resumption::Verified);
}

/// The log was cut after its last record, where it had delivered nothing since, and written anew.
#[test]
fn a_record_where_the_log_had_delivered_none_is_a_divergence() {
    let log = Log::default().event(3, "a", 0).event(5, "b", 1);
    let mut shard = folded(&log);
    assert_eq!(shard.end_of_log(NextOffset::new(9)), Ok(3));
    let state = shard.state().clone();
    for appeared in [6, 8] {
        let mut shard = resume(&state);
        let longer = log.clone().event(appeared, "new", 2).event(9, "newer", 2);
        assert_eq!(read(&mut shard, &longer), Err(Diverged::Appeared(Offset::new(appeared))));
        assert_eq!(*shard.state(), state);
    }
    let mut empty = begin(24);
    assert_eq!(empty.end_of_log(NextOffset::new(4)), Ok(4));
    let appeared = Err(Diverged::Appeared(Offset::new(3)));
    let mut shard = resume(empty.state());
    let steps: Result<Vec<_>, _> =
        log.from(NextOffset::new(0)).map(|record| shard.step(&record, NOON)).collect();
    assert_eq!(steps, appeared);
}

#[test]
fn a_log_that_ends_below_is_a_divergence() {
    let (end, next) = (NextOffset::new(5), NextOffset::new(6));
    let before = folded(&Log::default().event(3, "a", 0).event(5, "b", 1)).state().clone();
    let mut shard = resume(&before);
    assert_eq!(shard.end_of_log(end), Err(Diverged::EndsBefore { end, next }));
    assert_eq!(*shard.state(), before);
    assert_eq!(shard.resumption(), Resumption::Pending);
    assert_eq!(shard.end_of_log(next), Ok(0));
    assert_eq!(shard.end_of_log(NextOffset::new(9)), Ok(3));
    assert_eq!((shard.state().ledger.gaps, shard.state().ledger.next.get()), (7, 9));
    assert_eq!(
        shard.end_of_log(next),
        Err(Diverged::EndsBefore { end: next, next: NextOffset::new(9) })
    );
}

#[test]
fn a_compacted_last_record_is_unverified() {
    let state = folded(&Log::default().event(3, "a", 0).event(5, "b", 1)).state().clone();
    let compacted = Log::default().event(3, "a", 0).event(7, "c", 2);
    let mut shard = resume(&state);
    assert_eq!(shard.resumption(), Resumption::Pending);
    let steps = read(&mut shard, &compacted).expect("a missing record is no divergence");
    assert_eq!(steps[0], Step::Skipped);
    assert_eq!(steps[1], Step::Consumed { outcome: Outcome::Applied, gap: 1 });
    assert_eq!(shard.resumption(), Resumption::Unverified);
    assert!(!shard.is_window_whole());
    let mut shard = resume(&state);
    assert_eq!(shard.end_of_log(NextOffset::new(6)), Ok(0));
    assert_eq!(shard.resumption(), Resumption::Unverified);
}

#[test]
fn a_last_record_gone_from_a_log_that_is_not_compacted_is_a_divergence() {
    let state = folded(&Log::default().event(3, "a", 0).event(5, "b", 1)).state().clone();
    let gone = Err(Diverged::Gone(Offset::new(5)));
    let mut shard = resume(&state);
    shard.require_last_record();
    assert_eq!(read(&mut shard, &Log::default().event(3, "a", 0).event(7, "c", 2)), gone);
    assert_eq!(*shard.state(), state);
    let mut shard = resume(&state);
    shard.require_last_record();
    assert_eq!(shard.end_of_log(NextOffset::new(6)).map(|_| Vec::new()), gone);
    let mut shard = resume(&state);
    shard.require_last_record();
    let whole = Log::default().event(3, "a", 0).event(5, "b", 1).event(7, "c", 2);
    assert_eq!(read(&mut shard, &whole).map(|steps| steps.len()), Ok(3));
}

#[test]
fn a_shard_without_a_record_has_none_to_find_again() {
    let shard = begin(24);
    assert_eq!(shard.resumption(), Resumption::Verified);
    assert!(shard.is_window_whole());
    assert_eq!(shard.state().resume_from(), NextOffset::new(0));
}

/// Where the broker no longer has the window's beginning, the window is not whole; everything else
/// goes on.
#[test]
fn a_window_whose_beginning_is_gone_is_not_whole() {
    let log = Log::default().event(3, "a", 0).event(5, "b", 61);
    let mut shard = resume(folded(&log).state());
    let kept = Log(log.0[1..].to_vec());
    assert_eq!(read(&mut shard, &kept), Ok(vec![Step::Skipped]));
    assert_eq!(shard.resumption(), Resumption::Verified);
    assert!(!shard.is_window_whole());
    let mut shard = resume(folded(&log).state());
    assert_eq!(read(&mut shard, &log), Ok(vec![Step::Skipped; 2]));
    assert!(shard.is_window_whole());
}

#[test]
fn ids_are_remembered_across_a_resumption() {
    let log = Log::default().event(0, "a", 0).event(1, "b", 61).tombstone(2);
    let again = log.clone().event(3, "a", 120).event(4, "c", 121).event(5, "a", 122);
    let mut shard = resume(folded(&log).state());
    let steps = read(&mut shard, &again).expect("the log only goes on");
    let outcomes = [Outcome::Duplicate, Outcome::Applied, Outcome::Duplicate];
    let consumed = outcomes.map(|outcome| Step::Consumed { outcome, gap: 0 });
    assert_eq!(steps[3..], consumed);
    assert_eq!(shard.state(), folded(&again).state());
}

/// Hours that have left the window are let go, so that resuming begins at the oldest that counts.
#[test]
fn the_window_begins_with_the_oldest_hour_that_counts() {
    let mut shard = begin(1);
    let log =
        Log::default().event(0, "a", 0).event(4, "b", 59).event(5, "c", 60).event(7, "d", 180);
    let begins = [Some(0), Some(0), Some(0), Some(7)];
    for (record, begin) in log.from(NextOffset::new(0)).zip(begins) {
        shard.step(&record, NOON).expect("it is the first reading");
        assert_eq!(shard.state().window_begin().map(Offset::get), begin);
        assert_eq!(shard.state().check(), Ok(()));
    }
}

/// A record that was ahead of the clock left no id, and leaves none when it is read again, although
/// by then it is ahead of nothing.
#[test]
fn a_record_that_was_ahead_of_the_clock_stays_so() {
    let log = Log::default().event(0, "a", 0).event(1, "x", 1).event(2, "b", 0);
    let mut shard = begin(24);
    let early = NOON - Span::hours(24);
    for record in log.from(NextOffset::new(0)) {
        shard.step(&record, early).expect("it is the first reading");
    }
    assert_eq!(shard.state().ledger.rejected, 1);
    let mut shard = resume(shard.state());
    let steps = read(&mut shard, &log.event(3, "x", 2)).expect("the log only goes on");
    assert_eq!(steps.last(), Some(&Step::Consumed { outcome: Outcome::Applied, gap: 0 }));
}

/// The same rules again, or others that are taken back before a record comes, change nothing.
#[test]
fn only_rules_that_judge_a_record_are_listed() {
    let listed = |shard: &Shard| {
        let rules = &shard.state().rules;
        rules.iter().map(|(from, id)| (from.get(), id.get())).collect::<Vec<_>>()
    };
    let adopt = |shard: &mut Shard, window_h: u32| {
        let (id, rules) = rules(window_h);
        shard.adopt(id, rules);
    };
    let mut shard = begin(24);
    adopt(&mut shard, 24);
    assert_eq!(listed(&shard), [(0, 24)]);
    adopt(&mut shard, 1);
    assert_eq!(listed(&shard), [(0, 1)]);
    adopt(&mut shard, 24);
    read(&mut shard, &Log::default().event(0, "a", 0)).expect("it is the first reading");
    adopt(&mut shard, 24);
    assert_eq!(listed(&shard), [(0, 24)]);
    let before = shard.state().clone();
    adopt(&mut shard, 1);
    assert_eq!(listed(&shard), [(0, 24), (1, 1)]);
    adopt(&mut shard, 24);
    assert_eq!(*shard.state(), before);
    adopt(&mut shard, 5);
    assert_eq!(listed(&shard), [(0, 24), (1, 5)]);
}

/// Rules that were adopted at the very beginning of an empty log and taken back there must not make
/// the shard believe that its window was fed under later ones.
#[test]
fn rules_taken_back_before_the_first_record_do_not_hide_a_crossing() {
    let mut shard = begin(1);
    assert_eq!(shard.end_of_log(NextOffset::new(10)), Ok(10));
    let (id, wide) = rules(24);
    shard.adopt(id, wide);
    let mut shard = resume(shard.state());
    let (id, narrow) = rules(1);
    shard.adopt(id, narrow);
    // So few ids leave the window that they are not swept out of memory.
    let log = Log::default().event(10, "a", 0).event(11, "x", 60).event(12, "y", 61);
    let log = log.event(13, "b", 120);
    for record in log.from(NextOffset::new(10)) {
        shard.step(&record, NOON).expect("it is the first reading");
    }
    let (id, wide) = rules(24);
    shard.adopt(id, wide);
    let log = log.event(14, "a", 121);
    let mut resumed = resume(shard.state());
    read(&mut resumed, &log).expect("it is the same log");
    for record in log.from(shard.state().ledger.next).collect::<Vec<_>>() {
        shard.step(&record, NOON + Span::hours(100)).expect("it is the same log");
    }
    assert_eq!(shard.state(), resumed.state());
    assert_eq!(shard.state().ledger.applied, 5);
}

/// The payload of a dead letter is kept where the operator chose to, except that of a value which is
/// too large to keep.
#[test]
fn payloads_are_kept_only_on_request() {
    let (id, content) = rules(24);
    let limit = usize::try_from(content.value_bytes_max).expect("a mebibyte");
    let large = vec![b' '; limit + 1];
    for keep in [false, true] {
        let state = ShardState::new(Contract::Parcel, NextOffset::new(0), id);
        let mut shard = Shard::resume(state, vec![Arc::clone(&content)], IdKey([1; 16]), keep);
        for (offset, value) in [&b"{}"[..], &large].into_iter().enumerate() {
            let offset = Offset::new(i64::try_from(offset).expect("there are two"));
            let record = Record { offset, timestamp: None, value: Some(value) };
            shard.step(&record, NOON).expect("it is the first reading");
        }
        let kept: Vec<_> =
            shard.state().dead_letters.iter().map(|letter| letter.payload.as_deref()).collect();
        assert_eq!(kept, [keep.then_some(&b"{}"[..]), None]);
    }
}
