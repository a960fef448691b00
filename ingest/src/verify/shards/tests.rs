//! Where a fold begins.

use postroad_aggregate::ledger::Delivered;
use postroad_aggregate::rules::RulesId;
use postroad_schemas::contract::Contract;
use postroad_schemas::units::{Hour, Offset};

use super::*;
use crate::checkpoint::Standing;

/// A chain of checkpoints, each with its boundary and where its window begins.
fn chain(first: i64, ends: &[(i64, i64)]) -> Vec<Placed> {
    let checkpoint = |(seq, (next, window)): (u64, &(i64, i64))| {
        let mut state =
            ShardState::new(Contract::Parcel, NextOffset::new(first), RulesId::of(b"rules"));
        state.ledger.next = NextOffset::new(*next);
        state.window_hours = [(Hour::new(0), Offset::new(*window))].into();
        let offset = Offset::new(next - 1);
        state.last_delivered = Some(Delivered { offset, timestamp: None, hash: 0 });
        let checkpoint = Standing::new(ShardId::kafka("parcel.events", 0)).with(state);
        (Seq::new(seq), Arc::new(checkpoint))
    };
    (5..).zip(ends).map(checkpoint).collect()
}

#[track_caller]
fn check(low: Option<i64>, expect: Plan) {
    let chain = chain(100, &[(200, 110), (300, 250), (300, 250), (400, 390)]);
    assert_eq!(Plan::of(&chain, low.map(NextOffset::new)), expect);
}

#[test]
fn a_fold_begins_with_nothing_or_with_the_oldest_checkpoint_that_the_log_goes_on_from() {
    check(Some(0), Plan::Fresh);
    check(Some(100), Plan::Fresh);
    check(Some(101), Plan::Anchor(0));
    check(Some(110), Plan::Anchor(0));
    check(Some(111), Plan::Anchor(1));
    check(Some(251), Plan::Anchor(3));
    check(Some(391), Plan::Nothing);
    check(None, Plan::Nothing);
    assert_eq!(Plan::of(&[], Some(NextOffset::new(0))), Plan::Nothing);
}
