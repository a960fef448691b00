//! Starting although the folder of the reference data is faulty: with the set of the newest publish, which
//! the store keeps. Whoever runs goes on with that set, and so may whoever starts.
//!
//! Its prefectures become part of the rules. Those must not change because a file is faulty, so the set is
//! used only where they are the ones by which the shards judge already.

use std::collections::BTreeSet;

use postroad_schemas::codebook::PrefectureCode;

use crate::checkpoint::Source;
use crate::config::{Config, Fault, WithoutReference};
use crate::error::{Exit, Failure, chain};
use crate::publish::manifest::{self, Manifest, ShardEntry};
use crate::reference::ReferenceSet;
use crate::store::Store;
use crate::store::open::Location;

use super::reference::say_faults;

/// What the newest publish was made with; `None` where there is no publish.
///
/// # Errors
/// Where the store cannot be read, or does not keep the set.
pub async fn published_reference(
    location: &Location,
) -> Result<Option<(Store, Manifest, ReferenceSet)>, Failure> {
    let opened = Store::open_existing(location).await;
    let opened = opened.map_err(|error| Failure::from_error(error.exit(), &error))?;
    let Some(store) = opened else { return Ok(None) };
    let newest = manifest::newest(&store).await;
    let newest = newest.map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
    let Some(newest) = newest else { return Ok(None) };
    let set = store.reference(&newest.reference).await;
    let set = set.map_err(|error| Failure::from_error(error.exit(), &error))?;
    let set = set.ok_or_else(|| {
        let message = format!(
            "the store does not keep the reference data {} of publish {}",
            newest.reference, newest.publish
        );
        Failure::new(Exit::DataErr, message)
    })?;
    Ok(Some((store, newest, set)))
}

/// Completes a configuration whose folder of reference data is faulty, so that an instance can start.
///
/// # Errors
/// Where nothing has been published, or records are judged by other prefectures than those of the newest
/// publish.
pub async fn stand_in(without: WithoutReference) -> Result<Config, Failure> {
    let refuse = |exit, why: &str| {
        let why = format!("{why}; correct the files of `reference.dir`");
        let why = Fault { key: String::new(), value: String::new(), remedy: why };
        let faults = without.faults().iter().chain([&why]);
        let lines: Vec<String> = faults.map(ToString::to_string).collect();
        Failure::new(exit, lines.join("\npostroad: "))
    };
    let (store, newest, set) = match published_reference(without.location()).await {
        Ok(Some(found)) => found,
        Ok(None) => return Err(refuse(Exit::Config, "nothing was published that could stand in")),
        Err(failure) => return Err(refuse(failure.exit, &failure.message)),
    };
    let prefectures = set.provinces().into_keys().collect();
    if let Err(failure) = refuse_other_rules(&store, &newest, &prefectures).await {
        return Err(refuse(failure.exit, &failure.message));
    }
    let consequence = "the folder of the reference data is faulty";
    say_faults(without.faults(), consequence);
    tracing::error!(
        publish = newest.publish,
        version = %set.version,
        "starting with the reference data of the last publish until the folder is mended"
    );
    Ok(without.with(set))
}

/// Every shard that reads from Kafka has to judge by these prefectures already.
async fn refuse_other_rules(
    store: &Store,
    newest: &Manifest,
    prefectures: &BTreeSet<PrefectureCode>,
) -> Result<(), Failure> {
    let live = newest.shards.iter().filter(|entry| entry.seq.is_some() && !entry.closed);
    for id in live.map(ShardEntry::id).filter(|id| id.source == Source::Kafka) {
        let unreadable = |why: String| {
            let message = format!("by which rules {id} is read cannot be told: {why}");
            Failure::new(Exit::DataErr, message)
        };
        let found = store.newest_checkpoint(&id).await;
        let found = found.map_err(|error| unreadable(chain(&error)))?;
        let Some((_, checkpoint)) = found else { continue };
        let rules = store.rules_of(&checkpoint.state).await;
        let rules = rules.map_err(|error| unreadable(chain(&error)))?;
        let is_same = rules.last().is_some_and(|rules| rules.prefectures.iter().eq(prefectures));
        if !is_same {
            let message = format!(
                "the reference data of publish {} have other prefectures than those by which records \
                 of {id} are judged, so they cannot stand in",
                newest.publish
            );
            return Err(Failure::new(Exit::Config, message));
        }
    }
    Ok(())
}
