//! Checkpoints there and back: arbitrary ones, folded ones, damaged ones, and one from the past.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::Rules;
use postroad_aggregate::shard::{Cells, Record, Shard};
use postroad_schemas::codebook::Codebook;
use postroad_tests::logs;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::segment::{self, Sealed};
use super::*;

fn counts() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(i64::MIN), Just(i64::MAX), any::<i64>(), -100_i64..100]
}

fn sums() -> impl Strategy<Value = i128> {
    prop_oneof![Just(0), Just(i128::MIN), Just(i128::MAX), any::<i128>(), -100_i128..100]
}

fn timestamps() -> impl Strategy<Value = Timestamp> {
    counts().prop_map(Timestamp::from_micros)
}

fn measures() -> impl Strategy<Value = Measures> {
    let row = (proptest::array::uniform19(counts()), proptest::array::uniform5(sums()));
    row.prop_map(|(counts, sums)| {
        let mut row = counts.map(i128::from);
        for (index, sum) in [1, 2, 10, 11, 15].into_iter().zip(sums) {
            row[index] = sum;
        }
        Measures::from_array(&row).expect("counts are counts")
    })
}

fn cells() -> impl Strategy<Value = Cells> {
    let key = (any::<i32>(), 0_u32..1_000_000, select(Product::ALL));
    let key = key.prop_map(|(day, prefecture, product)| CellKey {
        day: BusinessDay::from_days(day),
        prefecture: PrefectureCode::new(prefecture).expect("six digits"),
        product,
    });
    vec((key, measures()), 0..20).prop_map(|cells| cells.into_iter().collect())
}

fn dead_letters() -> impl Strategy<Value = DeadLetter> {
    let place = (counts(), option::of(timestamps()), timestamps());
    let what = (select(Reason::ALL), option::of(select(Field::ALL)));
    let payload = option::of(vec(any::<u8>(), 0..300).prop_map(Vec::into_boxed_slice));
    (place, what, payload).prop_map(|((offset, timestamp, judged_at), (reason, field), payload)| {
        let offset = Offset::new(offset);
        DeadLetter { offset, timestamp, judged_at, reason, field, payload }
    })
}

fn ledgers() -> impl Strategy<Value = Ledger> {
    let terms = proptest::array::uniform6(any::<u64>());
    (counts(), counts(), terms, any::<u128>()).prop_map(|(first, next, terms, digest)| {
        let [applied, duplicates, rejected, ignored, gaps, lost] = terms;
        let (first, next) = (NextOffset::new(first), NextOffset::new(next));
        Ledger { first, next, applied, duplicates, rejected, ignored, gaps, lost, digest }
    })
}

fn states() -> impl Strategy<Value = ShardState> {
    let delivered = (counts(), option::of(timestamps()), any::<u128>());
    let delivered = delivered.prop_map(|(offset, timestamp, hash)| Delivered {
        offset: Offset::new(offset),
        timestamp,
        hash,
    });
    let hours = vec((counts().prop_map(Hour::new), counts().prop_map(Offset::new)), 0..30);
    let rules = (counts().prop_map(NextOffset::new), any::<u128>().prop_map(RulesId::from_u128));
    (
        select(&[Contract::Parcel, Contract::Finance][..]),
        ledgers().boxed(),
        option::of(delivered).boxed(),
        option::of(timestamps()),
        hours,
        vec(rules, 1..4),
        cells(),
        (
            vec(dead_letters(), 0..6),
            vec(segments(), 0..4),
            vec(counts().prop_map(Offset::new), 0..4),
        ),
    )
        .prop_map(
            |(contract, ledger, last_delivered, watermark, hours, rules, cells, letters)| {
                let (dead_letters, sealed, replayed) = letters;
                ShardState {
                    contract,
                    ledger,
                    last_delivered,
                    watermark,
                    window_hours: hours.into(),
                    rules,
                    cells,
                    dead_letters,
                    sealed,
                    replayed,
                }
            },
        )
}

fn segments() -> impl Strategy<Value = Segment> {
    let day = any::<i32>().prop_map(BusinessDay::from_days);
    let part = option::of(day).prop_map(|day| day.map_or(Part::DeadLetters, Part::Cells));
    (part, any::<u64>(), any::<u64>(), any::<u64>(), any::<u128>())
        .prop_map(|(part, epoch, seq, records, hash)| Segment { part, epoch, seq, records, hash })
}

fn checkpoints() -> impl Strategy<Value = Checkpoint> {
    let id = (any::<bool>(), ".{0,20}", any::<i32>(), any::<i32>());
    let id = id.prop_map(|(kafka, topic, partition, incarnation)| ShardId {
        source: if kafka { Source::Kafka } else { Source::File },
        topic: topic.into(),
        partition,
        incarnation,
    });
    let boundary = || counts().prop_map(NextOffset::new);
    let decisions = (boundary(), boundary(), any::<u128>().prop_map(DecisionId));
    let decisions = decisions.prop_map(|(at, to, id)| Adopted { id, at, to });
    let stalled = (select(StallReason::ALL), option::of((boundary(), boundary())));
    let phase = prop_oneof![
        Just(Phase::Running),
        Just(Phase::Closed),
        stalled.prop_map(|(reason, lost)| Phase::Stalled { reason, lost }),
    ];
    let newer =
        (option::of(any::<u128>()), option::of(any::<i32>().prop_map(BusinessDay::from_days)));
    // Boxed, because a strategy of all of it would not fit the stack of a test.
    let states = states().boxed();
    (id, phase.boxed(), option::of(timestamps()), vec(decisions, 0..3), newer, states).prop_map(
        |(id, phase, caught_up_at, decisions, (topic_id, released_through), state)| Checkpoint {
            id,
            phase,
            topic_id: topic_id.and_then(TopicId::new),
            caught_up_at,
            window_cut: decisions.first().map(|adopted| adopted.at),
            released_through,
            decisions,
            state,
        },
    )
}

/// The same checkpoint with cells in a map of another history, and so of another order.
fn reordered(checkpoint: &Checkpoint) -> Checkpoint {
    let mut cells: Vec<_> = checkpoint.state.cells.iter().map(|(key, m)| (*key, *m)).collect();
    cells.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(*key));
    let mut other = checkpoint.clone();
    other.state.cells = Cells::default();
    other.state.cells.reserve(10_000);
    other.state.cells.extend(cells);
    other
}

fn folded(seed: u64, contract: Contract, records: usize, keep_payload: bool) -> Checkpoint {
    let log = logs::random_log(seed, contract.as_str(), records);
    let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
    let first = NextOffset::new(log.first().map_or(0, |record| record.offset));
    let state = ShardState::new(contract, first, RulesId::of(b"rules"));
    let mut shard = Shard::resume(state, vec![rules], IdKey([3; 16]), keep_payload);
    let clock = Timestamp::from_micros(logs::WALL_CLOCK_MICROS);
    for record in &log {
        let timestamp = record.timestamp_ms.filter(|ms| *ms >= 0).map(Timestamp::from_millis);
        let value = record.value.as_deref();
        let record = Record { offset: Offset::new(record.offset), timestamp, value };
        shard.step(&record, clock).expect("the log is its own");
    }
    Standing::new(ShardId::kafka("parcel.events", 3)).with(shard.state().clone())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(checkpoint in checkpoints()) {
        let bytes = encode(&checkpoint);
        prop_assert_eq!(decode(&bytes), Ok(checkpoint));
    }

    #[test]
    fn equal_checkpoints_give_equal_bytes_whatever_the_order_of_their_maps(
        checkpoint in checkpoints(),
    ) {
        let bytes = encode(&checkpoint);
        prop_assert!(encode(&reordered(&checkpoint)) == bytes);
        let again = decode(&bytes).expect("just encoded");
        prop_assert!(encode(&again) == bytes);
    }

    #[test]
    fn whatever_the_bytes_nothing_panics(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        let behind_a_sound_version = [&[1], bytes.as_slice()].concat();
        let _ = decode(&behind_a_sound_version);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_a_log_folds_into_comes_back(
        seed: u64, finance: bool, records in 0_usize..150, keep_payload: bool,
    ) {
        let contract = if finance { Contract::Finance } else { Contract::Parcel };
        let checkpoint = folded(seed, contract, records, keep_payload);
        let bytes = encode(&checkpoint);
        prop_assert!(encode(&reordered(&checkpoint)) == bytes);
        prop_assert_eq!(decode(&bytes), Ok(checkpoint));
    }
}

/// A checkpoint in which no field has its default, and every list an item or two.
fn sample() -> Checkpoint {
    let row: [i128; MEASURES] =
        std::array::from_fn(|index| i128::try_from(index).expect("small") * 7 - 50);
    let mut extreme = row;
    (extreme[1], extreme[2], extreme[10]) = (i128::MIN, i128::MAX, -(1 << 90));
    let cell = |day, prefecture, product| CellKey {
        day: BusinessDay::from_civil(2021, 6, day).expect("a date"),
        prefecture: PrefectureCode::new(prefecture).expect("six digits"),
        product,
    };
    let measures = |row| Measures::from_array(row).expect("counts fit");
    let letter = |offset, timestamp, field, payload: Option<&[u8]>| DeadLetter {
        offset: Offset::new(offset),
        timestamp,
        judged_at: Timestamp::from_micros(1_623_000_000_000_003),
        reason: Reason::AmountOutOfRange,
        field,
        payload: payload.map(Box::from),
    };
    Checkpoint {
        id: ShardId {
            source: Source::Kafka,
            topic: "驿道.events".into(),
            partition: 11,
            incarnation: 2,
        },
        phase: Phase::Stalled {
            reason: StallReason::RetentionOverrun,
            lost: Some((NextOffset::new(170), NextOffset::new(180))),
        },
        topic_id: TopicId::new(0x1234_5678),
        caught_up_at: Some(Timestamp::from_micros(1_623_000_000_000_001)),
        window_cut: Some(NextOffset::new(20)),
        released_through: BusinessDay::from_civil(2021, 6, 5),
        decisions: vec![adopted(u128::MAX, 40, 47), adopted(1, 90, 90)],
        state: ShardState {
            contract: Contract::Finance,
            ledger: Ledger {
                first: NextOffset::new(17),
                next: NextOffset::new(170),
                applied: 100,
                duplicates: 20,
                rejected: 2,
                ignored: 1,
                gaps: 23,
                lost: 7,
                digest: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            },
            last_delivered: Some(Delivered {
                offset: Offset::new(169),
                timestamp: Some(Timestamp::from_micros(1_623_000_000_000_000)),
                hash: 0xfedc_ba98_7654_3210_7766_5544_3322_1100,
            }),
            watermark: Some(Timestamp::from_micros(1_622_999_999_999_999)),
            window_hours: [
                (Hour::new(450_832), Offset::new(150)),
                (Hour::new(450_833), Offset::new(160)),
            ]
            .into(),
            rules: vec![
                (NextOffset::new(17), RulesId::from_u128(5)),
                (NextOffset::new(90), RulesId::from_u128(u128::MAX - 5)),
            ],
            cells: [
                (cell(7, 210_100, Product::Express), measures(&row)),
                (cell(6, 211_400, Product::ValueAdded), measures(&extreme)),
                (cell(6, 999_999, Product::Savings), Measures::default()),
            ]
            .into_iter()
            .collect(),
            dead_letters: vec![
                letter(20, Some(Timestamp::from_micros(-1)), Some(Field::ALL[0]), Some(b"\xff{}")),
                letter(21, None, None, None),
            ],
            sealed: vec![
                Segment {
                    part: Part::Cells(BusinessDay::from_civil(2021, 4, 1).expect("a date")),
                    epoch: 3,
                    seq: 40,
                    records: 12,
                    hash: u128::MAX - 1,
                },
                Segment { part: Part::DeadLetters, epoch: 4, seq: 41, records: 1, hash: 9 },
            ],
            replayed: vec![Offset::new(21)],
        },
    }
}

fn adopted(id: u128, at: i64, to: i64) -> Adopted {
    Adopted { id: DecisionId(id), at: NextOffset::new(at), to: NextOffset::new(to) }
}

/// What version 1 could say of the sample: neither topic ids, nor segments, nor what a decision did.
fn sample_of_version_1() -> Checkpoint {
    let mut sample = sample();
    sample.phase = Phase::Closed;
    (sample.topic_id, sample.released_through) = (None, None);
    sample.decisions = vec![adopted(u128::MAX, 40, 40), adopted(1, 90, 90)];
    (sample.state.sealed, sample.state.replayed) = (Vec::new(), Vec::new());
    sample
}

/// Checkpoints that the first version wrote are read by every later one.
#[test]
fn a_checkpoint_of_version_1_is_read() {
    let golden = include_bytes!("../../../tests/golden/checkpoint-v1.bin");
    assert_eq!(decode(golden), Ok(sample_of_version_1()));
}

/// The file was written by [`encode`] from [`sample`]. Where the second assertion alone fails, the
/// program writes other bytes than it did: if that is meant (a product, reason or field was added,
/// or the version raised), keep this file, assert only that it is read, and add another for the
/// bytes of today.
#[test]
fn a_checkpoint_of_version_2_is_read_and_written_as_ever() {
    let golden = include_bytes!("../../../tests/golden/checkpoint-v2.bin");
    assert_eq!(decode(golden), Ok(sample()));
    assert!(encode(&sample()) == golden, "the bytes of a checkpoint have changed");
}

/// As for checkpoints: what was sealed once is read for ever.
#[test]
fn segments_of_version_1_are_read_and_written_as_ever() {
    let state = sample().state;
    let cells: BTreeMap<_, _> = state.cells.iter().map(|(key, row)| (*key, *row)).collect();
    let golden = include_bytes!("../../../tests/golden/segment-cells-v1.bin");
    let sealed = Sealed::Cells(cells.iter().map(|(key, row)| (*key, *row)).collect());
    assert_eq!(segment::decode(golden), Ok(sealed));
    assert!(segment::encode_cells(&cells) == golden, "the bytes of a segment have changed");
    let golden = include_bytes!("../../../tests/golden/segment-dead-letters-v1.bin");
    assert_eq!(segment::decode(golden), Ok(Sealed::DeadLetters(state.dead_letters.clone())));
    let bytes = segment::encode_dead_letters(&state.dead_letters);
    assert!(bytes == golden, "the bytes of a segment have changed");
    for length in 0..bytes.len() {
        assert!(segment::decode(&bytes[..length]).is_err(), "the first {length} bytes were enough");
    }
}

#[test]
fn a_newer_version_is_refused_by_its_number() {
    let mut bytes = encode(&sample());
    assert_eq!(u64::from(bytes[0]), FORMAT_VERSION, "one byte of version");
    bytes[0] += 1;
    assert_eq!(decode(&bytes), Err(FormatError::Newer(FORMAT_VERSION + 1)));
    // Whatever else a newer program writes behind it.
    assert_eq!(decode(&[0xff, 0x7f]), Err(FormatError::Newer(0x3fff)));
    assert_eq!(decode(&[]), Err(FormatError::Unreadable("version")));
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    let bytes = encode(&sample());
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "the first {length} bytes were enough");
    }
    assert_eq!(decode(&[&bytes[..], &[0]].concat()), Err(FormatError::Unreadable("end")));
}

/// The envelope's checksum is the guard against such bytes; here they only must do no harm.
#[test]
fn no_flipped_bit_panics_and_no_false_length_takes_memory() {
    let mut bytes = encode(&folded(7, Contract::Parcel, 60, true));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            let _ = decode(&bytes);
            bytes[place] ^= 1 << bit;
        }
    }
    let bytes = encode(&sample());
    for place in 0..bytes.len() {
        // 2^62 − 1 in place of whatever number begins here: as a length it is more than there is.
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
        let _ = decode(&[&bytes[..place], &huge, &bytes[place + 1..]].concat());
    }
}

#[test]
fn a_name_that_this_program_does_not_know_is_refused() {
    let bytes = encode(&sample());
    let name = Product::Express.as_str().as_bytes();
    let place = bytes.windows(name.len()).position(|window| window == name).expect("in the table");
    let mut other = bytes.clone();
    other[place] = b'?';
    assert_eq!(decode(&other), Err(FormatError::Unreadable("table of names")));
}

#[test]
fn a_state_without_rules_cannot_be_gone_on_from() {
    let mut checkpoint = sample();
    checkpoint.state.rules.clear();
    assert_eq!(decode(&encode(&checkpoint)), Err(FormatError::Unreadable("position")));
}

/// P5: neither ids nor values are in the bytes unless the operator keeps those of dead letters.
#[test]
fn no_id_and_no_value_is_in_a_checkpoint() {
    let holds = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    let keeping = encode(&folded(7, Contract::Parcel, 400, true));
    let bytes = encode(&folded(7, Contract::Parcel, 400, false));
    for field in [&b"event_id"[..], b"occurred_at\""] {
        let name = [b"\"", field].concat();
        assert!(holds(&keeping, &name), "the log has no reject to be kept");
        assert!(!holds(&bytes, &name));
    }
    for id in logs::ID_POOL.iter().filter(|id| id.len() > 20) {
        assert!(!holds(&bytes, id.as_bytes()), "{id}");
    }
}
