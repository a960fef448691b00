//! Values of both contracts through the whole fold: whatever the bytes, one outcome, an exact account,
//! and the same again when they are read again.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Record, Shard, ShardState};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{NextOffset, Offset, Timestamp};

static RULES: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules::with_defaults(&Codebook::liaoning())));

fuzz_target!(|input: (bool, Option<i64>, Vec<Vec<u8>>)| {
    let (finance, first_ms, values) = input;
    let contract = if finance { Contract::Finance } else { Contract::Parcel };
    let clock = Timestamp::from_micros(1_800_000_000_000_000);
    let fold = || {
        let state = ShardState::new(contract, NextOffset::new(0), RulesId::of(b"fuzz"));
        let mut shard = Shard::resume(state, vec![Arc::clone(&RULES)], IdKey([7; 16]), false);
        for (offset, value) in (0..).zip(&values) {
            let timestamp = first_ms.map(|ms| Timestamp::from_millis(ms.saturating_add(offset)));
            let record = Record { offset: Offset::new(offset), timestamp, value: Some(value) };
            shard.step(&record, clock).expect("a first reading cannot diverge");
        }
        shard.state().clone()
    };
    let state = fold();
    state.check().expect("the account is exact");
    assert_eq!(state.ledger.consumed(), values.len() as u64);
    assert!(state == fold(), "the same log folds into the same state");
});
