//! What has to be true before an instance reads its first record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postroad_aggregate::event::IdKey;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::check::timestamp_warning;
use crate::config::{Config, Start};
use crate::error::{Exit, Failure, chain};
use crate::failpoint::Point;
use crate::shards::claim::{ClaimContext, Complaints};
use crate::source::kafka::{
    KafkaCluster, KafkaQueries, KafkaSettings, QUERY_TIMEOUT, QueryError, TopicPartition,
};
use crate::status::Status;
use crate::store::{Owner, Store, StoreError};

/// What the ids of librdkafka's mock clusters begin with: they never answer a question for a topic's
/// id, and would be waited for before each checkpoint.
pub(crate) const MOCK_CLUSTER: &str = "mockCluster";
/// How long to wait before asking again.
const RETRY: Duration = Duration::from_secs(2);

/// What an instance starts from.
pub(super) struct Prepared {
    pub(super) claims: ClaimContext,
    pub(super) settings: KafkaSettings,
    /// The number of partitions of each topic.
    pub(super) partitions: BTreeMap<String, i32>,
    pub(super) owner: Owner,
}

/// Opens the store, asks the brokers, and refuses what cannot work.
pub(super) async fn prepare(config: &Config, status: &Status) -> Result<Prepared, Failure> {
    let store = Store::open(&config.store.location).map_err(|error| store_failure(&error))?;
    store.prepare(rand::random()).await.map_err(|error| store_failure(&error))?;
    let settings = kafka_settings(config);
    let queries =
        KafkaQueries::new(&settings).map_err(|error| Failure::from_error(Exit::Config, &error))?;
    let queries = Arc::new(queries);
    let (cluster_id, partitions) = ask_brokers(config, &queries, status).await?;
    Point::BeforeOwner.pass();
    let owner = Owner { cluster_id, group: config.kafka.group.clone() };
    refuse_what_lost_its_owner(&store, &owner, &partitions).await?;
    store.belong_to(&owner).await.map_err(|error| store_failure(&error))?;
    check_topics(config, &queries).await?;
    fix_starts(config, &store, &queries, &partitions).await?;
    let rules_id = store.put_rules(&config.rules).await.map_err(|error| store_failure(&error))?;
    let topics = config.kafka.topics.iter();
    let claims = ClaimContext {
        store: store.clone(),
        cluster: Arc::new(KafkaCluster::new(queries, !owner.cluster_id.starts_with(MOCK_CLUSTER))),
        rules: (rules_id, Arc::new(config.rules.clone())),
        id_key: IdKey(rand::random()),
        keep_payload: config.dead_letters.keep_payload,
        topics: Arc::new(
            topics.map(|topic| (topic.name.clone(), (topic.contract, topic.start))).collect(),
        ),
        complaints: Complaints::default(),
    };
    info!(store = store.name(), group = %owner.group, cluster = %owner.cluster_id, "prepared");
    Ok(Prepared { claims, settings, partitions, owner })
}

/// Without `owner.json` any group could adopt what another has written.
async fn refuse_what_lost_its_owner(
    store: &Store,
    owner: &Owner,
    partitions: &BTreeMap<String, i32>,
) -> Result<(), Failure> {
    if store.owner().await.map_err(|error| store_failure(&error))?.is_some() {
        return Ok(());
    }
    let found = store.written_by_run(partitions).await;
    let found = found.map_err(|error| Failure::from_error(Exit::of(error.kind()), &error))?;
    let Some(shard) = found else { return Ok(()) };
    let message = format!(
        "the store {} holds checkpoints that some group's `run` wrote ({shard} among them), but its \
         owner.json is gone; restore it from a copy of the store, or, if they are this group's, write \
         it: {{\"cluster_id\": \"{}\", \"group\": \"{}\"}}",
        store.name(),
        owner.cluster_id,
        owner.group
    );
    Err(Failure::new(Exit::Config, message))
}

/// The consumer's settings.
pub fn kafka_settings(config: &Config) -> KafkaSettings {
    KafkaSettings {
        brokers: config.kafka.brokers.clone(),
        group: config.kafka.group.clone(),
        topics: config.kafka.topics.iter().map(|topic| topic.name.clone()).collect(),
        properties: config.kafka.properties.clone(),
    }
}

fn store_failure(error: &StoreError) -> Failure {
    Failure::from_error(error.exit(), error)
}

/// Asks for the cluster's identity and the topics' partitions, until some broker answers.
async fn ask_brokers(
    config: &Config,
    queries: &Arc<KafkaQueries>,
    status: &Status,
) -> Result<(String, BTreeMap<String, i32>), Failure> {
    let topics: Vec<String> = config.kafka.topics.iter().map(|topic| topic.name.clone()).collect();
    let mut complained = false;
    loop {
        let queries = Arc::clone(queries);
        let topics = topics.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let cluster = queries.cluster_id(QUERY_TIMEOUT)?;
            let partitions = queries.partition_counts(&topics, QUERY_TIMEOUT)?;
            Ok::<_, QueryError>((cluster, partitions))
        });
        let answer = answer.await.map_err(|error| {
            Failure::new(Exit::Software, format!("asking the brokers failed: {error}"))
        })?;
        match answer {
            Ok((cluster, partitions)) => {
                status.update(|view| view.brokers_down = None);
                return refuse_unknown_topics(config, &partitions).map(|()| (cluster, partitions));
            }
            Err(error) => {
                let error = chain(&error);
                if !complained {
                    warn!(brokers = %config.kafka.brokers, %error, "no broker answers; trying again until one does");
                    complained = true;
                }
                let reason = format!("{}: {error}", config.kafka.brokers);
                status.update(|view| view.brokers_down = Some(reason));
                sleep(RETRY).await;
            }
        }
    }
}

fn refuse_unknown_topics(
    config: &Config,
    partitions: &BTreeMap<String, i32>,
) -> Result<(), Failure> {
    let unknown: Vec<String> = config
        .kafka
        .topics
        .iter()
        .filter(|topic| !partitions.contains_key(&topic.name))
        .map(|topic| format!("`{}`", topic.name))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let message = format!(
        "kafka.topics: {} cannot be found on {}; create what is missing, or check the spelling and \
         the permission to describe",
        unknown.join(", "),
        config.kafka.brokers
    );
    Err(Failure::new(Exit::Config, message))
}

/// A compacted topic forgets records that were not read yet: refused, unless the operator insists.
async fn check_topics(config: &Config, queries: &Arc<KafkaQueries>) -> Result<(), Failure> {
    if config.kafka.allow_compacted {
        return Ok(());
    }
    for topic in &config.kafka.topics {
        let queries = Arc::clone(queries);
        let name = topic.name.clone();
        let asked =
            tokio::task::spawn_blocking(move || queries.topic_configs(&name, QUERY_TIMEOUT));
        // A broker that does not tell its settings, or does not let us ask, is no fault.
        let Ok(Ok(configs)) = asked.await else { continue };
        if let Some(warning) = timestamp_warning(&configs) {
            warn!(topic = %topic.name, "the topic {warning}");
        }
        let compacted =
            configs.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
        if compacted {
            let message = format!(
                "the topic `{}` has cleanup.policy=compact, which deletes records before they are \
                 read; use a topic with cleanup.policy=delete, or set kafka.allow_compacted = true",
                topic.name
            );
            return Err(Failure::new(Exit::Config, message));
        }
    }
    Ok(())
}

/// Fixes where the partitions of topics with `start = "latest"` begin, all at one moment.
async fn fix_starts(
    config: &Config,
    store: &Store,
    queries: &Arc<KafkaQueries>,
    partitions: &BTreeMap<String, i32>,
) -> Result<(), Failure> {
    let latest = config.kafka.topics.iter().filter(|topic| topic.start == Start::Latest);
    for topic in latest {
        let failure = |error: StoreError| store_failure(&error);
        if store.starts(&topic.name).await.map_err(failure)?.is_some() {
            continue;
        }
        let count = partitions.get(&topic.name).copied().unwrap_or_default();
        let queries = Arc::clone(queries);
        let name: Arc<str> = topic.name.as_str().into();
        let asked = tokio::task::spawn_blocking(move || {
            let end = |partition| {
                let tp = TopicPartition { topic: Arc::clone(&name), partition };
                queries.watermarks(&tp, QUERY_TIMEOUT).map(|(_, high)| (partition, high))
            };
            (0..count).map(end).collect::<Result<BTreeMap<i32, i64>, QueryError>>()
        });
        let ends = asked
            .await
            .map_err(|error| Failure::new(Exit::Software, error.to_string()))?
            .map_err(|error| Failure::new(Exit::TempFail, chain(&error)))?;
        store.fix_starts(&topic.name, ends).await.map_err(failure)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use postroad_aggregate::rules::RulesId;
    use postroad_aggregate::shard::ShardState;
    use postroad_schemas::contract::Contract;
    use postroad_schemas::units::NextOffset;

    use super::*;
    use crate::checkpoint::{ShardId, Standing, format};
    use crate::source::TopicId;

    #[tokio::test]
    async fn a_store_that_a_run_has_written_and_that_lost_its_owner_is_refused() {
        let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
        let owner = Owner { cluster_id: "cluster".to_owned(), group: "ours".to_owned() };
        let partitions = BTreeMap::from([("parcel.events".to_owned(), 1)]);
        let refused = async || refuse_what_lost_its_owner(&store, &owner, &partitions).await.err();
        assert!(refused().await.is_none(), "a new store is anybody's");
        let id = ShardId::kafka("parcel.events", 0);
        let state = ShardState::new(Contract::Parcel, NextOffset::new(5), RulesId::of(b""));
        let mut checkpoint = Standing::new(id.clone()).with(state);
        checkpoint.topic_id = TopicId::new(7);
        let payload = format::encode(&checkpoint).into();
        store.chain(&id).claim(None, payload).await.expect("a sound store");
        let failure = refused().await.expect("whose it is cannot be told");
        assert_eq!(failure.exit, Exit::Config);
        let words = ["parcel.events[0]", r#"write it: {"cluster_id": "cluster", "group": "ours"}"#];
        assert!(words.iter().all(|word| failure.message.contains(word)), "{failure}");
        store.belong_to(&owner).await.expect("a sound store");
        assert!(refused().await.is_none(), "it says whose it is");
    }
}
