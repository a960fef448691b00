//! `postroad check`: what a configuration points at, asked without changing it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Fault};
use crate::error::{chain, complain};
use crate::run::prepare::kafka_settings;
use crate::source::kafka::{KafkaQueries, SourceError};
use crate::store::open::Location;
use crate::store::{Owner, Store, StoreError};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Every fault of a valid configuration that shows without asking anybody.
pub fn check_offline(config: &Config) -> Vec<Fault> {
    let tried = kafka_settings(config).try_client();
    tried.err().map(|error| no_client(&error)).into_iter().collect()
}

fn no_client(error: &SourceError) -> Fault {
    let remedy = format!("{}; check these properties, and the files that they name", chain(error));
    fault("kafka.properties", "", remedy)
}

/// Every fault of what a valid configuration points at.
pub async fn check(config: &Config) -> Vec<Fault> {
    let mut faults = check_store(&config.store.location).await;
    let queries = match KafkaQueries::new(&kafka_settings(config)) {
        Ok(queries) => Arc::new(queries),
        Err(error) => {
            faults.push(no_client(&error));
            return faults;
        }
    };
    let brokers = config.kafka.brokers.clone();
    let topics = config.kafka.topics.clone();
    let allow_compacted = config.kafka.allow_compacted;
    let asked = tokio::task::spawn_blocking(move || {
        let mut faults = Vec::new();
        let cluster_id = queries.cluster_id(TIMEOUT).ok();
        for topic in &topics {
            let name = std::slice::from_ref(&topic.name);
            match queries.partition_counts(name, TIMEOUT) {
                Ok(counts) if counts.is_empty() => {
                    let remedy = format!("does not exist on {brokers}; create it");
                    faults.push(fault("kafka.topics", &topic.name, remedy));
                }
                Ok(_) => faults.extend(check_topic(&queries, &topic.name, allow_compacted)),
                Err(error) => {
                    let remedy =
                        format!("{}; check the address and the security settings", chain(&error));
                    faults.push(fault("kafka.brokers", &brokers, remedy));
                    break;
                }
            }
        }
        (faults, cluster_id)
    });
    let (of_brokers, cluster_id) = asked.await.unwrap_or_default();
    faults.extend(of_brokers);
    if let Some(cluster_id) = cluster_id {
        faults.extend(check_owner(config, cluster_id).await);
    }
    faults
}

/// A store that is there already has to be this group's on this cluster.
async fn check_owner(config: &Config, cluster_id: String) -> Option<Fault> {
    let location = &config.store.location;
    let asking = Owner { cluster_id, group: config.kafka.group.clone() };
    let owned = async {
        let store = match Store::open_existing(location).await {
            Ok(Some(store)) => store,
            // `run` writes store.json again.
            Ok(None) | Err(StoreError::Unmarked { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        store.owner().await?.map_or(Ok(()), |owner| owner.check(&asking))
    };
    let error: StoreError = owned.await.err()?;
    Some(fault("store.url", &location.to_string(), chain(&error)))
}

/// Whether a file can be made in a folder, which is tried: what the folder says of itself is not
/// about whoever asks. Nothing of it stays.
fn can_be_written(folder: &Path) -> bool {
    let trial = folder.join(format!(".postroad-check-{:032x}", rand::random::<u128>()));
    File::create_new(&trial).and_then(|_| std::fs::remove_file(&trial)).is_ok()
}

/// A folder has to be there or to be creatable; it is not made here. A bucket has to keep its
/// promises, which is tried under `_tmp/`; nothing of it stays.
async fn check_store(location: &Location) -> Vec<Fault> {
    let name = location.to_string();
    match location {
        Location::Folder(root) => {
            let existing = root.ancestors().find(|path| path.exists());
            let remedy = "is no folder that can be written to; make it, or name another";
            if existing.is_some_and(can_be_written) {
                Vec::new()
            } else {
                vec![fault("store.url", &name, remedy.to_owned())]
            }
        }
        Location::Bucket(_) => {
            let examined = async {
                let store = Store::open(location)?;
                store.prove(rand::random()).await?;
                store.exists().await
            };
            let error = examined.await.err();
            error.map(|error| fault("store.url", &name, chain(&error))).into_iter().collect()
        }
    }
}

/// What a topic's settings mean for exactness. Settings that cannot be asked for are no fault, but
/// said.
fn check_topic(queries: &KafkaQueries, topic: &str, allow_compacted: bool) -> Vec<Fault> {
    let settings = match queries.topic_configs(topic, TIMEOUT) {
        Ok(settings) => settings,
        Err(error) => {
            let error = chain(&error);
            complain(&format!(
                "warning: whether the topic `{topic}` is compacted, and bounds timestamps, could \
                 not be asked: {error}"
            ));
            return Vec::new();
        }
    };
    let mut faults = Vec::new();
    let compacted = settings.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
    if compacted && !allow_compacted {
        let remedy = "has cleanup.policy=compact, which deletes records before they are read; use \
                      another, or set kafka.allow_compacted = true";
        faults.push(fault("kafka.topics", topic, remedy.to_owned()));
    }
    if let Some(warning) = timestamp_warning(&settings) {
        complain(&format!("warning: the topic `{topic}` {warning}"));
    }
    faults
}

/// Brokers can bound a record's timestamp; where they do not, one producer's broken clock reaches
/// the consumer.
pub fn timestamp_warning(settings: &std::collections::BTreeMap<String, String>) -> Option<String> {
    let is = |key: &str, value: &str| settings.get(key).is_some_and(|found| found == value);
    let after = settings.get("message.timestamp.after.max.ms");
    let after = after.and_then(|after| after.parse::<u64>().ok());
    let bounded = settings.is_empty()
        || is("message.timestamp.type", "LogAppendTime")
        || after.is_some_and(|after| after <= 24 * 3_600_000);
    (!bounded).then(|| {
        "bounds no timestamp: set message.timestamp.after.max.ms (an hour is Kafka's default), or \
         message.timestamp.type=LogAppendTime"
            .to_owned()
    })
}

fn fault(key: &str, value: &str, remedy: String) -> Fault {
    Fault { key: key.to_owned(), value: value.to_owned(), remedy }
}
