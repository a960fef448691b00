//! A world of random events: tasks that answer late, a group that gives and takes, a poll thread
//! that signals. Whatever happens, a shard writes one thing at a time, and only while it is running.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const PARTITIONS: i32 = 2;

/// Something that will be answered some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// A claim that has seen so many decisions.
    Claim {
        seen: u32,
    },
    ClaimLater {
        number: u64,
    },
    Freeze,
    Put {
        resumed: bool,
    },
    Unassign,
}

/// What the poll thread and the worker know of a shard.
#[derive(Debug, Default, Clone, Copy)]
struct Shadow {
    /// The life that the lifecycle was told of last, while the group gives us the partition.
    life: Option<u64>,
    /// Whether its worker has it.
    loaded: bool,
    /// How often somebody has decided about it.
    decided: u32,
    /// How many decisions the claim had seen that it was loaded by.
    seen: u32,
}

struct World {
    forge: Forge,
    shards: Lifecycle,
    shadows: BTreeMap<TopicPartition, Shadow>,
    tasks: Vec<(TopicPartition, u64, Task)>,
    lives: u64,
    commits: usize,
}

impl World {
    fn new() -> Self {
        let tps = (0..PARTITIONS).map(|partition| TopicPartition::new("parcels", partition));
        Self {
            forge: Forge::new(),
            shards: Lifecycle::default(),
            shadows: tps.map(|tp| (tp, Shadow::default())).collect(),
            tasks: Vec::new(),
            lives: 0,
            commits: 0,
        }
    }

    /// One random move; `choice` says what, `detail` how.
    fn act(&mut self, choice: u8, detail: u8) {
        let partition = i32::from(detail) % PARTITIONS;
        let tp = TopicPartition::new("parcels", partition);
        match choice % 12 {
            0 => self.group(&tp),
            1 => self.poll_thread_signals(&tp),
            2 => self.worker_diverges(&tp),
            4 if (detail / 2).is_multiple_of(2) => self.operator_decides(&tp),
            3 | 4 => self.freeze_all(),
            _ => self.answer(usize::from(choice / 12), detail / 2),
        }
    }

    /// The group gives what it had not given, and takes what it had.
    fn group(&mut self, tp: &TopicPartition) {
        match self.shadows[tp].life {
            None => {
                self.lives += 1;
                self.shadow(tp).life = Some(self.lives);
                self.step(tp, self.lives, Event::Granted);
            }
            Some(life) => {
                self.step(tp, life, Event::Revoked);
                self.shadow(tp).life = None;
            }
        }
    }

    fn poll_thread_signals(&mut self, tp: &TopicPartition) {
        if let Shadow { life: Some(life), loaded: true, .. } = self.shadows[tp] {
            self.signal(tp, life, Signal::OutOfRange);
        }
    }

    fn signal(&mut self, tp: &TopicPartition, life: u64, signal: Signal) {
        self.lives += 1;
        let next = self.lives;
        self.step(tp, life, Event::Signal { next: Generation::new(next), signal });
        self.shadow(tp).life = Some(next);
        for task in self.tasks.iter().filter(|(of, of_life, _)| of == tp && *of_life == next) {
            assert!(matches!(task.2, Task::Claim { .. } | Task::ClaimLater { .. }));
        }
    }

    fn worker_diverges(&mut self, tp: &TopicPartition) {
        if let Shadow { life: Some(life), loaded: true, .. } = self.shadows[tp] {
            self.shadow(tp).loaded = false;
            self.step(tp, life, diverged());
        }
    }

    fn operator_decides(&mut self, tp: &TopicPartition) {
        self.shadow(tp).decided += 1;
        if let Some(life) = self.shadows[tp].life {
            self.step(tp, life, Event::Decided);
        }
    }

    fn freeze_all(&mut self) {
        let idle = self.shadows.iter().filter_map(|(tp, shadow)| {
            let life = shadow.life.filter(|_| shadow.loaded)?;
            (!self.is_writing(tp, life)).then_some((tp.clone(), Generation::new(life)))
        });
        let idle: Vec<_> = idle.collect();
        let frozen = self.shards.freeze_all();
        let tasks: Vec<_> = frozen.into_iter().map(|(tp, life, _)| (tp, life)).collect();
        assert_eq!(tasks, idle, "exactly the idle ones are frozen");
        let tasks = tasks.into_iter().map(|(tp, life)| (tp, life.get(), Task::Freeze));
        self.tasks.extend(tasks);
    }

    fn is_writing(&self, tp: &TopicPartition, life: u64) -> bool {
        let writes = |task: &Task| matches!(task, Task::Freeze | Task::Put { .. });
        self.tasks.iter().any(|(of, at, task)| of == tp && *at == life && writes(task))
    }

    /// A task answers, be it of this life or of one that has ended.
    fn answer(&mut self, which: usize, how: u8) {
        if self.tasks.is_empty() {
            return;
        }
        let (tp, life, task) = self.tasks.remove(which % self.tasks.len());
        let event = match (task, how % 3) {
            (Task::ClaimLater { number }, _) => {
                if self.shards.begin_claim(&tp, Generation::new(life), number) {
                    self.begin_claim(&tp, life);
                }
                return;
            }
            (Task::Claim { seen }, 0 | 1) => {
                if self.shadows[&tp].life == Some(life) {
                    self.shadow(&tp).seen = seen;
                }
                Event::Claimed(Box::new(self.forge.claimed()))
            }
            (Task::Claim { .. }, _) if how.is_multiple_of(2) => {
                Event::ClaimFailed("no answer".to_owned())
            }
            (Task::Claim { .. }, _) => Event::ClaimStalled(stall()),
            (Task::Freeze, how) => {
                let shadow = self.shadows[&tp];
                // A worker that no longer has this life does not answer.
                if shadow.life != Some(life) || !shadow.loaded {
                    return;
                }
                if how == 0 { Event::Frozen(None) } else { frozen(i64::from(how)) }
            }
            (Task::Put { .. }, 0) => Event::Committed(self.forge.tip()),
            (Task::Put { .. }, 1) => Event::Fenced("another".to_owned()),
            (Task::Put { .. }, _) => Event::Unresolved {
                pending: Box::new(self.forge.pending()),
                error: "no answer".to_owned(),
            },
            (Task::Unassign, _) => {
                if self.shadows[&tp].life == Some(life) {
                    self.signal(&tp, life, Signal::Requested);
                }
                return;
            }
        };
        self.step(&tp, life, event);
    }

    /// A claim lists the decisions early, and answers late.
    fn begin_claim(&mut self, tp: &TopicPartition, life: u64) {
        let seen = self.shadows[tp].decided;
        self.tasks.push((tp.clone(), life, Task::Claim { seen }));
    }

    /// Tells the lifecycle, and begins what it asks for.
    fn step(&mut self, tp: &TopicPartition, life: u64, event: Event) {
        let before: Vec<_> = self.phases();
        let stale = self.shadows[tp].life != Some(life);
        let next = match &event {
            Event::Signal { next, .. } => next.get(),
            _ => life,
        };
        let effects = self.shards.step(tp, Generation::new(life), event);
        if stale {
            assert!(effects.is_empty(), "a stale answer had effects: {effects:?}");
            assert_eq!(self.phases(), before);
        }
        for effect in effects {
            let task = match effect {
                Effect::Claim => {
                    self.begin_claim(tp, next);
                    continue;
                }
                Effect::ClaimLater { number, after } => {
                    assert!(after <= STALLED_RETRY);
                    Task::ClaimLater { number }
                }
                Effect::Commit { .. } => {
                    assert!(self.shadows[tp].loaded, "a put of a shard that is not running");
                    self.commits += 1;
                    Task::Put { resumed: false }
                }
                Effect::Resume { .. } => Task::Put { resumed: true },
                Effect::Unassign => Task::Unassign,
                Effect::RecordStall(_) => {
                    assert!(!self.shadows[tp].loaded, "a stall of a shard that is still loaded");
                    continue;
                }
                Effect::Load(_) => {
                    self.shadow(tp).loaded = true;
                    continue;
                }
                Effect::Drop => {
                    self.shadow(tp).loaded = false;
                    continue;
                }
                Effect::CommitGroupOffset(_) | Effect::Thaw => continue,
            };
            self.tasks.push((tp.clone(), next, task));
        }
    }

    fn phases(&self) -> Vec<(TopicPartition, ShardPhase)> {
        self.shards.phases().map(|(tp, phase)| (tp.clone(), phase)).collect()
    }

    fn shadow(&mut self, tp: &TopicPartition) -> &mut Shadow {
        self.shadows.get_mut(tp).expect("every partition has one")
    }

    fn check(&self) {
        let (mut settled, mut failing) = (true, false);
        for (tp, shadow) in &self.shadows {
            let phase = self.shards.phases().find(|(of, _)| *of == tp).map(|(_, phase)| phase);
            assert_eq!(phase.is_some(), shadow.life.is_some());
            let running = matches!(phase, Some(ShardPhase::Running { .. }));
            assert_eq!(running, shadow.loaded, "a worker has what runs, and nothing else");
            assert!(!running || shadow.seen == shadow.decided, "a decision was forgotten");
            let Some(life) = shadow.life else { continue };
            let of_life = |kind: fn(&Task) -> bool| {
                let tasks = self.tasks.iter();
                tasks.filter(|(of, at, task)| of == tp && *at == life && kind(task)).count()
            };
            assert!(of_life(|task| matches!(task, Task::Put { .. })) <= 1, "two puts in flight");
            let claims = of_life(|task| matches!(task, Task::Claim { .. }));
            assert!(claims <= usize::from(!running), "two claims in flight, or one of what runs");
            let to_come =
                of_life(|task| matches!(task, Task::ClaimLater { .. } | Task::Unassign)) + claims;
            let loading = matches!(phase, Some(ShardPhase::Loading { .. }));
            assert!(!loading || to_come > 0, "nothing would ever load it");
            settled &= !(running && self.is_writing(tp, life));
            failing |= running && of_life(|task| *task == Task::Put { resumed: true }) > 0;
        }
        assert_eq!(self.shards.is_settled(), settled);
        assert_eq!(self.shards.is_store_failing(), failing);
    }
}

proptest! {
    #[test]
    fn a_shard_writes_one_thing_at_a_time(
        moves in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..200),
    ) {
        let mut world = World::new();
        for (choice, detail) in moves {
            world.act(choice, detail);
            world.check();
        }
    }
}

/// The world above would prove nothing if it hardly ever wrote.
#[test]
fn the_random_world_does_write() {
    let mut world = World::new();
    let mut state = 1_u32;
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, _, detail, choice] = state.to_le_bytes();
        world.act(choice, detail);
        world.check();
    }
    assert!(world.commits > 300, "{} puts", world.commits);
}
