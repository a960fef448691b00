//! Documents that are almost events, through the real decoder and the real judge.

use std::sync::Arc;

use postroad_aggregate::event::IdKey;
use postroad_aggregate::shard::{Record, Shard, ShardState};
use postroad_schemas::units::{NextOffset, Offset, Timestamp};
use postroad_tests::logs::{hostile_documents, rules, valid_event};
use postroad_tests::oracle::Verdict;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::pair::{CONTRACTS, contract, real_rules, rules_id, verdict};

/// 2021-06-30T04:00:00Z.
const NOON: Timestamp = Timestamp::from_micros(1_625_025_600_000_000);

#[track_caller]
fn check(name: &str, document: &[u8], expect: Option<&str>) {
    let rules = Arc::new(real_rules(&rules()));
    let state = ShardState::new(contract(name), NextOffset::new(0), rules_id(&rules));
    let mut shard = Shard::resume(state, vec![rules], IdKey([5; 16]), false);
    let record = Record { offset: Offset::new(0), timestamp: Some(NOON), value: Some(document) };
    let step = shard.step(&record, NOON).expect("there is no other log");
    let found = match verdict(step) {
        Verdict::Applied => None,
        Verdict::Rejected { reason, .. } => Some(reason),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(document)),
    };
    assert_eq!(found.as_deref(), expect, "{}", String::from_utf8_lossy(document));
    assert_eq!(shard.state().check(), Ok(()));
}

#[test]
fn hostile_documents_have_the_reasons_that_contract_gives() {
    let mut rng = StdRng::seed_from_u64(6);
    let mut documents = 0;
    for name in CONTRACTS {
        for _ in 0..30 {
            let mut event = valid_event(&mut rng, name, NOON.as_micros());
            event.insert("event_id".into(), "a".into());
            for (document, reason) in hostile_documents(name, &event) {
                check(name, &document, reason);
                documents += 1;
            }
        }
    }
    assert!(documents > 6_000, "only {documents} documents");
}
