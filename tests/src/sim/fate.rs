//! What befalls a world, by lot.

use postroad_ingest::source::kafka::TopicPartition;

use super::odds::Fate;
use super::time::pass;
use super::world::{TOPICS, World};

/// The most partitions that a topic grows to.
const PARTITIONS_MAX: i32 = 4;

impl World<'_> {
    /// Something happens, or nothing.
    pub(super) async fn meet_fate(&mut self) {
        let (fates, weights): (Vec<_>, Vec<_>) = self.fates.iter().copied().unzip();
        if fates.is_empty() {
            return;
        }
        match fates[self.dice.weighted(&weights)] {
            Fate::Calm => {}
            Fate::Kill => self.kill(),
            Fate::Freeze => self.freeze(),
            Fate::Stop => self.stop_one(),
            Fate::Storm => self.storm(),
            Fate::ThrowOut => self.throw_out(),
            Fate::Cut => self.cut_a_log(),
            Fate::Truncate => self.truncate_a_log(),
            Fate::Recreate => self.recreate_a_topic(),
            Fate::AddPartition => self.add_a_partition(),
            Fate::Damage => self.around.witness.damage_a_checkpoint(&self.dice),
            Fate::Fill => self.fill_the_store(),
            Fate::Decide => self.decide().await,
        }
    }

    fn kill(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let process = &self.processes[self.dice.index(self.processes.len())];
        self.around.journal.count("kills");
        self.around.journal.note(format_args!("{} is killed", process.life));
        process.life.end();
    }

    fn freeze(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let life = self.processes[self.dice.index(self.processes.len())].life.clone();
        let time = self.dice.millis(100..25_000);
        self.around.journal.count("freezes");
        self.around.journal.note(format_args!("{life} stands still for {time:?}"));
        life.stand_still();
        if let Some(member) = life.member() {
            self.around.group.suspect(member, life.clone());
        }
        tokio::spawn(async move {
            pass(time).await;
            life.go_on();
        });
    }

    fn stop_one(&mut self) {
        if !self.processes.is_empty() {
            let index = self.dice.index(self.processes.len());
            self.around.journal.note(format_args!("{} is stopped", self.processes[index].life));
            self.processes[index].stop();
        }
    }

    fn storm(&mut self) {
        self.around.journal.count("storms");
        self.around.group.rebalance(true);
    }

    fn throw_out(&mut self) {
        if let Some(member) = self.dice.pick(&self.around.group.members()) {
            self.around.journal.count("members thrown out");
            self.around.group.remove(member, self.dice.millis(1..12_000));
        }
    }

    fn some_partition(&self) -> Option<(TopicPartition, i64, i64)> {
        let tp = self.dice.pick(&self.around.log.partitions())?;
        let (low, high) = self.around.log.range(&tp)?;
        (high > low).then_some((tp, low, high))
    }

    fn cut_a_log(&mut self) {
        let Some((tp, low, high)) = self.some_partition() else { return };
        // Mostly a little; now and then everything, which nobody may have read yet.
        let to = if self.dice.one_in(3) { high } else { (low + 8).min(high) };
        let to = self.dice.number(low..to + 1);
        if self.around.log.cut(&tp, to) {
            self.around.journal.count("logs cut");
            self.around.journal.note(format_args!("{tp} is cut to begin at {to}"));
        }
    }

    fn truncate_a_log(&mut self) {
        let Some((tp, low, high)) = self.some_partition() else { return };
        let from = if self.dice.one_in(3) { low } else { (high - 6).max(low) };
        let at = self.dice.number(from..high);
        self.around.journal.count("logs truncated");
        self.around.journal.note(format_args!("{tp} is truncated at {at}"));
        self.around.log.truncate(&tp, at);
        if self.dice.one_in(2) {
            self.around.log.append(&tp, self.dice.number(1..12), false);
        }
    }

    fn recreate_a_topic(&mut self) {
        let (topic, _) = TOPICS[self.dice.index(TOPICS.len())];
        self.around.journal.count("topics made anew");
        self.around.journal.note(format_args!("{topic} is deleted"));
        self.around.log.delete(topic);
        let (log, group, dice) =
            (self.around.log.clone(), self.around.group.clone(), self.dice.clone());
        let make_anew = move || {
            // Where the world has come to rest meanwhile, it has been made anew already.
            if log.recreate(topic, &dice) {
                for tp in log.partitions().iter().filter(|tp| &*tp.topic == topic) {
                    log.append(tp, dice.number(0..60), false);
                }
                group.rebalance(false);
            }
        };
        if self.dice.one_in(2) {
            // At once: whoever reads it may find nothing but other records where it goes on.
            return make_anew();
        }
        self.around.group.rebalance(false);
        let absent = self.dice.millis(1..6_000);
        tokio::spawn(async move {
            pass(absent).await;
            make_anew();
        });
    }

    fn add_a_partition(&mut self) {
        let (topic, contract) = TOPICS[self.dice.index(TOPICS.len())];
        let count = self.around.log.counts().get(topic).copied().unwrap_or_default();
        if (1..PARTITIONS_MAX).contains(&count) {
            self.around.journal.note(format_args!("{topic} gets partition {count}"));
            self.around.log.add_partition(topic, contract);
            self.around.group.rebalance(false);
        }
    }

    fn fill_the_store(&mut self) {
        let (faulty, time) = (self.faulty.clone(), self.dice.millis(500..15_000));
        self.around.journal.note(format_args!("the store is full for {time:?}"));
        faulty.set_full(true);
        tokio::spawn(async move {
            pass(time).await;
            faulty.set_full(false);
        });
    }
}
