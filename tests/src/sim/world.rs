//! A world: a log, a group, a store and some processes, and what happens to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use postroad_aggregate::rules::Rules;
use postroad_ingest::checkpoint::{Phase, ShardId, StallReason};
use postroad_ingest::config::Config;
use postroad_ingest::decisions::{self, Decision, Recorded, RestartFrom};
use postroad_ingest::error::Exit;
use postroad_ingest::store::Store;
use postroad_schemas::units::{NextOffset, Timestamp};
use tokio::time::Instant;

use super::dice::Dice;
use super::gate::Gates;
use super::group::Group;
use super::journal::Journal;
use super::life::Life;
use super::log::Log;
use super::odds::{ClusterOdds, ConsumerOdds, Crashes, Fate, Knob, Scenario};
use super::process::{Process, Surroundings};
use super::records::BEGIN;
use super::time::pass;
use super::witness::{KnownRules, Witness};
use super::{Report, panicked};
use crate::faulty_store::FaultyStore;
use crate::logs::rules;
use crate::oracle::OracleRules;
use crate::pair::real_rules;

/// The topics with their contracts.
pub(super) const TOPICS: [(&str, &str); 2] =
    [("parcel.events", "parcel"), ("finance.transactions", "finance")];
/// How long everything may take to be well once nothing fails any more.
const RECOVERY: Duration = Duration::from_secs(300);
const DAY_MICROS: i64 = 86_400_000_000;

/// How long an operator waits before deciding the same again.
const PATIENCE: Duration = Duration::from_secs(45);

/// A shard that stands still, and why.
type Stalled = (ShardId, StallReason, Option<(NextOffset, NextOffset)>);

/// A world, its clock at the beginning.
pub(super) struct World<'a> {
    seed: u64,
    pub(super) scenario: &'a Scenario,
    pub(super) around: Surroundings,
    pub(super) faulty: FaultyStore,
    rules: Vec<Arc<Rules>>,
    pub(super) processes: Vec<Process>,
    started: u32,
    /// Whether the process that ended last died, or said that it could not do all that it ought to.
    last_failed: bool,
    decided: HashMap<Stalled, Instant>,
    pub(super) fates: Vec<(Fate, u32)>,
    pub(super) dice: Dice,
    began: Instant,
}

impl<'a> World<'a> {
    pub(super) async fn new(seed: u64, scenario: &'a Scenario, keep_lines: bool) -> Self {
        let dice = |part| Dice::new(seed, part);
        let journal = Journal::new(keep_lines);
        let (parcels, finance) = scenario.partitions;
        let [(first, parcel), (second, transaction)] = TOPICS;
        let log = Log::new(
            seed,
            !dice("log").one_in(4),
            &[(first, parcel, parcels), (second, transaction, finance)],
        );
        let known = addresses(&variants()).await;
        let rules = known.values().map(|(real, _)| Arc::clone(real)).collect();
        let witness = Witness::new(log.clone(), known, dice("nonces"), journal.clone());
        let sound: Arc<dyn ObjectStore> = Arc::new(witness.clone());
        let faults = &scenario.faults;
        let failing = FaultyStore::seeded(sound, seed, faults.store);
        let gates = Gates {
            store: Arc::new(failing.clone()),
            crashes: Knob::new(faults.crashes),
            effects: Knob::new(0),
            dice: dice("gates"),
            journal: journal.clone(),
        };
        let around = Surroundings {
            config: Arc::new(config()),
            is_disk: dice("disk").one_in(2),
            group: Group::new(log.clone(), dice("group"), journal.clone()),
            log,
            gates,
            witness,
            journal,
            dice: dice("processes"),
            cluster_odds: Knob::new(faults.cluster),
            consumer_odds: Knob::new(faults.consumer),
        };
        let is_damage = dice("disaster").one_in(3);
        let fates =
            faults.fates.iter().filter(|(fate, _)| fate.suits(is_damage)).copied().collect();
        Self {
            seed,
            scenario,
            around,
            faulty: failing,
            rules,
            processes: Vec::new(),
            started: 0,
            last_failed: false,
            decided: HashMap::new(),
            fates,
            dice: dice("world"),
            began: Instant::now(),
        }
    }

    /// Lives from the beginning to the end, or to the first broken promise.
    pub(super) async fn live(mut self) -> Report {
        let store = Store::over(self.around.witness.sound(), "the world's".to_owned());
        store.prepare(1).await.expect("a sound store is one");
        self.be_in_trouble().await;
        self.recover().await;
        self.end_well().await;
        if !self.is_over() && self.scenario.ask_the_oracle {
            self.around.witness.ask_the_oracle();
            self.is_over();
        }
        let finished = self.around.journal.finish();
        Report {
            seed: self.seed,
            steps: finished.steps,
            hash: finished.hash,
            violation: self.around.journal.violation(),
            lines: finished.lines,
            effects: self.around.gates.effects.get(),
            counts: finished.counts,
        }
    }

    fn is_over(&self) -> bool {
        if let Some(panic) = panicked() {
            self.around.journal.violated(&panic);
        }
        self.around.journal.violation().is_some()
    }

    async fn be_in_trouble(&mut self) {
        while self.began.elapsed() < self.scenario.trouble && !self.is_over() {
            self.reap().await;
            if self.processes.len() < self.scenario.processes && self.dice.one_in(3) {
                self.start_process();
            }
            self.write_records();
            self.meet_fate().await;
            pass(self.dice.millis(20..400)).await;
        }
    }

    /// Nothing fails any more. Within some time everything must be as it ought to be.
    async fn recover(&mut self) {
        self.around.journal.note(format_args!("nothing fails any more"));
        // A death at one certain effect may still come: until the very end.
        if let Crashes::PerMille(_) = self.around.gates.crashes.get() {
            self.around.gates.crashes.set(Crashes::Never);
        }
        self.around.cluster_odds.set(ClusterOdds::default());
        self.around.consumer_odds.set(ConsumerOdds::default());
        self.processes.iter().for_each(|process| process.life.go_on());
        for (topic, _) in TOPICS {
            self.around.log.recreate(topic, &self.dice);
        }
        self.around.log.settle();
        self.write_over_damage();
        self.around.group.rebalance(false);
        self.faulty.heal();
        self.faulty.land_late_writes().await;
        self.come_to_rest().await;
    }

    /// Whoever reads a shard to its end knows nothing of damage to what it has written, and writes
    /// nothing until something new comes: each log gets one more record.
    fn write_over_damage(&self) {
        if self.fates.iter().any(|(fate, _)| *fate == Fate::Damage) {
            for tp in self.around.log.partitions() {
                self.around.log.append(&tp, 1, false);
            }
        }
    }

    async fn come_to_rest(&mut self) {
        let calm_at = Instant::now();
        while !self.is_over() {
            self.reap().await;
            if self.processes.is_empty() {
                self.start_process();
            }
            self.decide().await;
            let Some(unfinished) = self.around.witness.unfinished(&self.around.log) else { return };
            if calm_at.elapsed() > RECOVERY {
                self.around.journal.violated(&format!("it does not recover: {unfinished}"));
                return;
            }
            pass(Duration::from_millis(500)).await;
        }
    }

    /// What an operator decides about the shards that stand still.
    pub(super) async fn decide(&mut self) {
        let around = &self.around;
        let lived = i64::try_from(self.began.elapsed().as_micros()).expect("a short run");
        for tp in around.log.partitions() {
            let Some((id, next, Phase::Stalled { reason, lost })) = around.witness.phase(&tp)
            else {
                continue;
            };
            let decision = match (reason, lost) {
                (StallReason::RetentionOverrun, Some((from, to))) => {
                    Decision::AcceptLoss { from: from.get(), to: to.get() }
                }
                (StallReason::Truncated | StallReason::Diverged | StallReason::Recreated, _) => {
                    let from = RestartFrom::Earliest;
                    Decision::Restart { from, next_offset: next.get(), stalled_by: reason }
                }
                _ => continue,
            };
            // Again after a while: it may have met a shard that seemed to run.
            let stalled = (id.clone(), reason, lost);
            if self.decided.get(&stalled).is_none_or(|at| at.elapsed() > PATIENCE) {
                self.decided.insert(stalled, Instant::now());
                around.journal.count("decisions");
                around.journal.note(format_args!("an operator decides about {id}: {decision:?}"));
                let reason = "simulated".to_owned();
                let decided_at = Timestamp::from_micros(BEGIN + lived);
                let recorded = Recorded { decision, reason, decided_at };
                let store = Store::over(around.witness.sound(), "the operator's".to_owned());
                decisions::record(&store, &id, &recorded).await.expect("a sound store");
            }
        }
    }

    /// Every process stops properly, at last one that has everything, and leaves all as it ought to be.
    /// One that dies, or says that it failed, leaves the rest to the next: it may have waited for a call
    /// that is never answered, which outlasts the time that a stop may take.
    async fn end_well(&mut self) {
        self.processes.iter_mut().skip(1).for_each(Process::stop);
        self.wait_for_processes(1).await;
        loop {
            self.come_to_rest().await;
            self.processes.iter_mut().for_each(Process::stop);
            self.wait_for_processes(0).await;
            if self.is_over() || !self.last_failed {
                break;
            }
        }
        let unfinished = self.around.witness.unfinished(&self.around.log);
        if let Some(unfinished) = unfinished.filter(|_| !self.is_over()) {
            self.around.journal.violated(&format!("after the last stop: {unfinished}"));
        }
    }

    async fn wait_for_processes(&mut self, left: usize) {
        let stopped_at = Instant::now();
        while !self.is_over() && self.processes.len() > left {
            self.reap().await;
            if stopped_at.elapsed() > RECOVERY {
                self.around.journal.violated("a process does not stop");
            }
            pass(Duration::from_millis(100)).await;
        }
    }

    fn start_process(&mut self) {
        self.started += 1;
        let lived = i64::try_from(self.began.elapsed().as_micros()).expect("a short run");
        let clock = Timestamp::from_micros(BEGIN + 20 * DAY_MICROS + lived + self.skew_micros());
        let life = Life::new(self.started, clock);
        let variants = if self.scenario.faults.mixed_rules { self.rules.len() } else { 1 };
        let rules = Arc::clone(&self.rules[self.dice.index(variants)]);
        self.processes.push(Process::start(&self.around, life, rules));
    }

    /// How wrong the clock of a process is.
    fn skew_micros(&self) -> i64 {
        if !self.scenario.faults.skewed_clocks {
            return 0;
        }
        match self.dice.index(6) {
            0..3 => 0,
            3 => self.dice.number(-30..30) * 60_000_000,
            4 => self.dice.number(1..9) * 365 * DAY_MICROS,
            // Behind by weeks: records seem to come from the day after tomorrow.
            _ => self.dice.number(-400..-15) * DAY_MICROS,
        }
    }

    /// Buries the processes that have ended.
    async fn reap(&mut self) {
        let mut index = 0;
        while index < self.processes.len() {
            let process = &mut self.processes[index];
            let Some(ended) = process.ended().await else {
                index += 1;
                continue;
            };
            let (life, stopping) = (process.life.clone(), process.is_stopping());
            self.processes.remove(index);
            self.last_failed = !matches!(ended, Some(Ok(())));
            if let Some(member) = life.member() {
                self.around.group.bury(member);
            }
            match ended {
                None => self.around.journal.note(format_args!("{life} is dead")),
                Some(Ok(())) if stopping => {
                    self.around.journal.note(format_args!("{life} stopped"));
                }
                Some(Ok(())) => self.around.journal.violated(&format!("{life} ended unasked")),
                Some(Err(failure)) if failure.exit == Exit::Software => {
                    self.around.journal.violated(&format!("{life} is broken: {failure}"));
                }
                Some(Err(failure)) => {
                    self.around.journal.note(format_args!("{life} failed: {failure}"));
                }
            }
        }
    }

    fn write_records(&self) {
        let turns = self.scenario.trouble.as_millis() / 200;
        let each = self.scenario.records * 2 / i64::try_from(turns).expect("a short run").max(1);
        let tp = self.dice.pick(&self.around.log.partitions());
        if let Some(tp) = tp {
            let count = self.dice.number(0..each.max(1) + 1);
            self.around.log.append(&tp, count, self.dice.one_in(10));
        }
    }
}

/// Rules that processes may be configured with; they differ in what decides about duplicates, too.
fn variants() -> [OracleRules; 3] {
    let mut narrow = OracleRules { dedupe_window_h: 1, value_bytes_max: 420, ..rules() };
    narrow.prefectures.remove("211300");
    [
        OracleRules { dedupe_window_h: 3, ..rules() },
        narrow,
        OracleRules { dedupe_window_h: 8, late_after_h: 0, ..rules() },
    ]
}

/// The rules by the addresses that a store gives them.
async fn addresses(rules: &[OracleRules]) -> KnownRules {
    let elsewhere = Store::over(Arc::new(InMemory::new()), "nobody's".to_owned());
    let mut found = KnownRules::new();
    for rules in rules {
        let real = Arc::new(real_rules(rules));
        let id = elsewhere.put_rules(&real).await.expect("a sound store is one");
        found.insert(id, (real, rules.clone()));
    }
    found
}

fn config() -> Config {
    let text = r#"
        kafka.brokers = "simulated:9092"
        kafka.topics = [{ name = "parcel.events" }, { name = "finance.transactions" }]
        store.url = "file:///simulated"
        checkpoint = { interval_ms = 1000, keep = 2 }
        publish.interval_ms = 4000
        days.open_days = 1
        indicators.history_days = 5
        dead_letters.retention_days = 36500
    "#;
    Config::parse(text, std::iter::empty()).expect("it is valid")
}
