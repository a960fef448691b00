//! What is recorded besides the log and decides what a fold makes of it: rules, decisions, and when
//! dead letters were judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use postroad_aggregate::decision::{DecisionId, Replay};
use postroad_aggregate::event::IdKey;
use postroad_aggregate::replay::{Proposal, Proposed};
use postroad_aggregate::rules::Rules;
use postroad_aggregate::shard::{Record, ShardState};
use postroad_schemas::contract::Contract;
use postroad_schemas::units::NextOffset;

use super::compare::{Difference, Differences, compare_cells};
use super::refold::{Beginning, Change, What};
use super::store_failure;
use crate::checkpoint::{Adopted, Checkpoint, ShardId};
use crate::decisions::{self, Decision};
use crate::error::{Failure, Kind, chain};
use crate::store::Store;

/// What is recorded of one shard.
pub(super) struct Recorded {
    /// Its newest checkpoint, with nothing of it sealed.
    newest: Checkpoint,
    /// The content behind the rules that it lists.
    rules: Vec<Arc<Rules>>,
    /// What the decisions that it lists say, as far as they concern the fold.
    decisions: Vec<(Adopted, Option<Replay>)>,
}

impl Recorded {
    /// Reads what the newest checkpoint lists. What is missing or damaged is a difference; `None` where
    /// that are rules, without which nothing can be judged again.
    pub(super) async fn read(
        store: &Store,
        newest: Checkpoint,
        differences: &mut Vec<Difference>,
    ) -> Result<Option<Self>, Failure> {
        let id = &newest.id;
        let Some(rules) = rules_of(store, id, &newest.state, differences).await? else {
            return Ok(None);
        };
        let found = decisions::survey(store, id).await.map_err(|error| store_failure(&error))?;
        let mut made: BTreeMap<DecisionId, Decision> = BTreeMap::new();
        for found in found {
            match found {
                Ok(found) => drop(made.insert(found.id, found.recorded.decision)),
                Err(error) => note(differences, "decisions", id, "a decision", &error.to_string()),
            }
        }
        let mut decisions = Vec::new();
        for adopted in &newest.decisions {
            let replay = match made.get(&adopted.id) {
                None => {
                    let decision = format!("decision {:032x}", adopted.id.0);
                    let found = "adopted, and not in the store";
                    note(differences, "decisions", id, &decision, found);
                    None
                }
                Some(Decision::Replay(record)) => record.replay(),
                Some(_) => None,
            };
            decisions.push((*adopted, replay));
        }
        Ok(Some(Self { newest, rules, decisions }))
    }

    /// A refold from nothing, where the shard began and under the rules that held there.
    pub(super) fn fresh(&self) -> Beginning {
        let state = &self.newest.state;
        let first = state.ledger.first;
        let held = state.rules.iter().rposition(|(from, _)| *from <= first).unwrap_or_default();
        let anchor = ShardState::new(state.contract, first, state.rules[held].1);
        self.begin(anchor, vec![Arc::clone(&self.rules[held])], &[])
    }

    /// A refold from the state of an older checkpoint, nothing of it sealed, with the content of the
    /// rules and the decisions that it lists.
    pub(super) fn begin(
        &self,
        anchor: ShardState,
        rules: Vec<Arc<Rules>>,
        adopted: &[Adopted],
    ) -> Beginning {
        let letters = &self.newest.state.dead_letters;
        Beginning {
            changes: self.changes(anchor.ledger.next, adopted),
            judged: letters.iter().map(|letter| (letter.offset, letter.judged_at)).collect(),
            keep_payload: letters.iter().any(|letter| letter.payload.is_some()),
            anchor,
            rules,
        }
    }

    /// Rules and decisions from a boundary on, except those that were adopted already. Where both were
    /// adopted at one boundary the rules come first: a loss moves the boundary on.
    fn changes(&self, begin: NextOffset, before: &[Adopted]) -> Vec<Change> {
        let listed = self.newest.state.rules.iter().zip(&self.rules);
        let since = self.newest.state.rules.partition_point(|(from, _)| *from <= begin);
        let rules = listed.skip(since.saturating_sub(1)).map(|((from, id), rules)| Change {
            at: begin.max(*from),
            what: What::Rules(*id, Arc::clone(rules)),
        });
        let is_new = |(adopted, _): &&(Adopted, Option<Replay>)| {
            !before.iter().any(|before| before.id == adopted.id)
        };
        let decided = self.decisions.iter().filter(is_new).filter_map(|(adopted, replay)| {
            let Adopted { id, at, to } = *adopted;
            let what = match replay {
                Some(replay) => What::Replayed(replay.clone(), id),
                None => (at < to).then_some(What::Lost(to, id))?,
            };
            Some(Change { at, what })
        });
        let mut changes: Vec<Change> = rules.chain(decided).collect();
        changes.sort_by_key(|change| change.at);
        changes
    }

    /// What the replays that the newest checkpoint lists ought to add, to be worked out from the log
    /// once more, under whichever of the shard's rules accept all of a replay.
    pub(super) fn replays(&self, configured: &Arc<Rules>, id_key: IdKey) -> Vec<ReplayCheck> {
        let mut candidates: Vec<Arc<Rules>> = self.rules.iter().rev().map(Arc::clone).collect();
        candidates.insert(0, Arc::clone(configured));
        let contract = self.newest.state.contract;
        let replays = self.decisions.iter().filter_map(|(adopted, replay)| {
            Some(ReplayCheck::new(adopted.id, replay.clone()?, contract, &candidates, id_key))
        });
        replays.collect()
    }
}

/// The content of the rules that a state lists; `None` where one is missing or damaged, which is a
/// difference.
pub(super) async fn rules_of(
    store: &Store,
    id: &ShardId,
    state: &ShardState,
    differences: &mut Vec<Difference>,
) -> Result<Option<Vec<Arc<Rules>>>, Failure> {
    match store.rules_of(state).await {
        Ok(rules) => Ok(Some(rules)),
        Err(error) if error.kind() == Kind::Data || error.is_not_found() => {
            note(differences, "rules", id, "object", &chain(&error));
            Ok(None)
        }
        Err(error) => Err(store_failure(&error)),
    }
}

fn note(differences: &mut Vec<Difference>, place: &str, id: &ShardId, column: &str, found: &str) {
    let mut of_shard = Differences::at(place);
    of_shard.check(&id.to_string(), column, found, "whole");
    differences.extend(of_shard.into_vec());
}

/// A replay whose effect is worked out once more.
pub(super) struct ReplayCheck {
    id: DecisionId,
    replay: Replay,
    /// One for each set of rules that may accept its records.
    proposals: Vec<Proposal>,
}

impl ReplayCheck {
    fn new(
        id: DecisionId,
        replay: Replay,
        contract: Contract,
        candidates: &[Arc<Rules>],
        id_key: IdKey,
    ) -> Self {
        let wanted: BTreeSet<_> = replay.applied.iter().copied().collect();
        let propose =
            |rules: &Arc<Rules>| Proposal::new(contract, Arc::clone(rules), id_key, wanted.clone());
        Self { id, proposals: candidates.iter().map(propose).collect(), replay }
    }

    pub(super) fn take(&mut self, record: &Record<'_>) {
        for proposal in &mut self.proposals {
            proposal.find(record);
        }
    }

    /// What differs, if the log still held all that was replayed.
    pub(super) fn finish(self) -> Vec<Difference> {
        let key = format!("{:032x}", self.id.0);
        let place = format!("decision {key}");
        let mut differences = Differences::at(&place);
        let mut proposed = self.proposals.into_iter().map(Proposal::finish).peekable();
        if proposed.peek().is_none_or(|proposed| !proposed.missing.is_empty()) {
            return Vec::new();
        }
        let accepted = proposed.find(|proposed| proposed.rejected.is_empty());
        if let Some(Proposed { replay, .. }) = accepted {
            let cells = |replay: &Replay| replay.cells.iter().copied().collect::<BTreeMap<_, _>>();
            compare_cells(&mut differences, &cells(&self.replay), &cells(&replay));
        } else {
            let expected = "records that some rules of the shard accept";
            differences.check("", "applied", "records that none accepts", expected);
        }
        differences.into_vec()
    }
}
