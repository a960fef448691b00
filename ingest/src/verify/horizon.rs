//! Which days a publish may call complete and final: what the clocks of the shards that it shows allow,
//! and never less than the publish before.

use postroad_aggregate::days::{Horizon, ShardClock};

use super::pinned::Pinned;
use crate::publish::PublishSettings;
use crate::publish::manifest::ShardEntry;

/// The horizon of a publish, worked out again; `None` where a checkpoint that it shows, or the publish
/// before it, is not kept any more.
pub(super) fn horizon_of(pinned: &Pinned, settings: &PublishSettings) -> Option<Horizon> {
    let manifest = &pinned.manifest;
    let before = match manifest.publish {
        1 => Horizon::default(),
        publish => {
            pinned.before.iter().rev().find(|before| before.publish + 1 == publish)?.horizon()
        }
    };
    let clock = |entry: &ShardEntry| match entry.seq {
        None => Some(ShardClock::UNKNOWN),
        Some(_) => pinned.checkpoints.get(&entry.id()).map(|(_, shown)| shown.clock()),
    };
    let clocks: Option<Vec<ShardClock>> = manifest.shards.iter().map(clock).collect();
    Some(before.advanced_to(Horizon::of(&clocks?, settings.grace, settings.final_after)))
}
