//! Whether a topic still is the one that was read.
//!
//! A topic that is deleted and made anew under a running consumer looks as if nothing had happened once
//! it is as long as the one before. So no checkpoint is written before the brokers have said, *later*
//! than its state was frozen, that the topic is still the same: what was frozen had been fetched before
//! that, and a topic's id never comes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::{Cluster, TopicId};

/// What the brokers say of a topic that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// It is the same.
    Same,
    /// It was made anew.
    Another,
    /// They did not answer.
    Unknown(String),
}

/// Asks for the identity of topics, once for all shards that were frozen together.
#[derive(Clone)]
pub struct TopicIdentities {
    cluster: Arc<dyn Cluster>,
    answers: Arc<Mutex<HashMap<Arc<str>, Arc<Slot>>>>,
}

/// The last answer for one topic, and when it was asked for; locked while it is being asked for.
type Slot = tokio::sync::Mutex<Option<(Instant, Option<TopicId>)>>;

impl TopicIdentities {
    /// Asks this cluster.
    pub fn new(cluster: Arc<dyn Cluster>) -> Self {
        Self { cluster, answers: Arc::default() }
    }

    /// Whether a topic is still the one with this id, by an answer to a question that was asked at or
    /// after `since`.
    pub async fn confirm(&self, topic: &Arc<str>, id: TopicId, since: Instant) -> Confirmation {
        let slot = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(answers.entry(Arc::clone(topic)).or_default())
        };
        let mut answer = slot.lock().await;
        let found = match *answer {
            Some((asked_at, found)) if asked_at >= since => found,
            _ => {
                let asked_at = Instant::now();
                match self.cluster.topic_id(topic).await {
                    Ok(found) => {
                        *answer = Some((asked_at, found));
                        found
                    }
                    Err(error) => return Confirmation::Unknown(crate::error::chain(&error)),
                }
            }
        };
        match found {
            Some(found) if found == id => Confirmation::Same,
            Some(_) => Confirmation::Another,
            None => Confirmation::Unknown("they tell no topic's id any more".to_owned()),
        }
    }
}
