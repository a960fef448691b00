//! Rules in the store: each set once, under the hash of its content, and kept in memory once read.

use std::sync::{Arc, PoisonError};

use object_store::path::Path;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::ShardState;

use super::error::unreadable;
use super::{Store, StoreError, from_json, to_json};

impl Store {
    /// Stores rules under the hash of their content.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn put_rules(&self, rules: &Rules) -> Result<RulesId, StoreError> {
        let content = to_json(rules);
        let id = RulesId::of(&content);
        let key = rules_key(id);
        if !self.create(&key, content).await? {
            let fault = "its content is not what its name says; restore it from a copy of the store, \
                         or remove it: then it is written again";
            return Err(unreadable(&key, fault));
        }
        self.remember(id, Arc::new(rules.clone()));
        Ok(id)
    }

    /// The content of every set of rules that a state lists, in its order.
    ///
    /// # Errors
    /// Where one is missing or is not what its address says.
    pub async fn rules_of(&self, state: &ShardState) -> Result<Vec<Arc<Rules>>, StoreError> {
        let mut rules = Vec::with_capacity(state.rules.len());
        for (_, id) in &state.rules {
            rules.push(self.rules(*id).await?);
        }
        Ok(rules)
    }

    async fn rules(&self, id: RulesId) -> Result<Arc<Rules>, StoreError> {
        let known = self.rules.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(rules) = known {
            return Ok(rules);
        }
        let key = rules_key(id);
        let mut content = self.get(&key).await?;
        if RulesId::of(&content) != id {
            // A damaged answer is not yet a damaged object.
            content = self.get(&key).await?;
        }
        if RulesId::of(&content) != id {
            return Err(unreadable(&key, "its content is not what its name says"));
        }
        let rules = Arc::new(from_json(&key, &content)?);
        self.remember(id, Arc::clone(&rules));
        Ok(rules)
    }

    fn remember(&self, id: RulesId, rules: Arc<Rules>) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).insert(id, rules);
    }
}

fn rules_key(id: RulesId) -> Path {
    Path::from("rules").join(format!("{id}.json"))
}
