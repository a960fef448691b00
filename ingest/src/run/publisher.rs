//! The publisher's task: publishes while this instance owns partition 0 of the first topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::PrefectureCode;
use postroad_schemas::units::Span;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::Shown;
use super::reference::{Looked, REFERENCE_CHECK, ReferenceReader, orphans, say_faults};
use crate::checkpoint::ShardId;
use crate::clock::{Clock, now};
use crate::config::Config;
use crate::error::chain;
use crate::publish::{PublishError, PublishSettings, Publisher};
use crate::reference::ReferenceSource;
use crate::store::Store;

/// How often every file is compared with the manifest.
const INSPECTION: Duration = Duration::from_secs(60);

/// The number of partitions of each topic.
pub(super) type Partitions = BTreeMap<String, i32>;

/// What this instance owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Role {
    /// Whether it is the publisher.
    pub(super) publishes: bool,
    /// Its shards, which a publish holds even if the brokers have not told of them yet.
    pub(super) shards: BTreeSet<ShardId>,
}

/// The running task, and the means to steer it.
pub(super) struct PublisherTask {
    role: watch::Sender<Role>,
    /// What Kafka says of the topics.
    partitions: watch::Sender<Partitions>,
    finish: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl PublisherTask {
    pub(super) fn start(
        config: &Config,
        clock: &Clock,
        store: &Store,
        partitions: Partitions,
        shown: &Shown,
    ) -> Self {
        let settings = PublishSettings {
            reference: Arc::clone(config.reference.set()),
            indicators: config.indicators,
            grace: config.days.grace,
            final_after: Span::hours(config.rules.final_after_h),
            retention_days: config.dead_letters.retention_days,
        };
        let (role, role_seen) = watch::channel(Role::default());
        let (partitions, partitions_seen) = watch::channel(partitions);
        let (finish, finishing) = oneshot::channel();
        shown.metrics.use_reference(&settings.reference.version);
        shown.metrics.reference_reloaded.set((!config.reference.stands_in()).into());
        if !config.reference.stands_in() {
            shown.metrics.reference_last_success.set(now().as_seconds_f64());
        }
        let work = Work {
            store: store.clone(),
            clock: clock.clone(),
            settings,
            role: role_seen,
            partitions: partitions_seen,
            shown: shown.clone(),
            reference: ReferenceReader::new(config.reference.clone()),
            is_reference_sound: !config.reference.stands_in(),
            prefectures: config.rules.prefectures.iter().copied().collect(),
            publisher: None,
            looked_for_orphans: None,
            inspected: Instant::now(),
        };
        let task = tokio::spawn(work.run(config.publish.interval, finishing));
        Self { role, partitions, finish: Some(finish), task }
    }

    /// Tells the task what this instance owns.
    pub(super) fn set_role(&self, role: Role) {
        self.role.send_if_modified(|before| {
            let changed = *before != role;
            *before = role;
            changed
        });
    }

    /// Where to tell the task how many partitions the topics have.
    pub(super) fn partitions(&self) -> watch::Sender<Partitions> {
        self.partitions.clone()
    }

    /// Makes the last publish, and ends.
    pub(super) async fn finish(&mut self) {
        if let Some(finish) = self.finish.take() {
            let _ = finish.send(());
            if let Err(error) = (&mut self.task).await {
                error!(%error, "the publisher ended badly");
            }
        }
    }
}

struct Work {
    store: Store,
    clock: Clock,
    settings: PublishSettings,
    role: watch::Receiver<Role>,
    partitions: watch::Receiver<Partitions>,
    shown: Shown,
    reference: ReferenceReader,
    /// Whether the set in use is what the folder held at the last look that was answered.
    is_reference_sound: bool,
    /// The prefectures by which records are judged.
    prefectures: BTreeSet<PrefectureCode>,
    publisher: Option<Publisher>,
    /// The version of the reference data under which prefectures without a row were last looked for.
    looked_for_orphans: Option<String>,
    inspected: Instant,
}

impl Work {
    async fn run(mut self, every: Duration, mut finishing: oneshot::Receiver<()>) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(REFERENCE_CHECK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let source = self.reference.source();
        let (asked, has_folder) = (source.asked(), source.has_folder());
        loop {
            let is_free = !self.reference.is_busy();
            tokio::select! {
                biased;
                _ = tick.tick() => self.turn().await,
                () = asked.notified(), if is_free => self.reference.begin(ReferenceSource::reload),
                _ = look.tick(), if has_folder && is_free => {
                    self.reference.begin(ReferenceSource::look_again);
                }
                looked = self.reference.looked() => self.looked(looked).await,
                changed = self.role.changed() => match changed {
                    Ok(()) => self.turn().await,
                    Err(_) => return,
                },
                _ = &mut finishing => return self.turn().await,
            }
        }
    }

    /// Publishes with reference data that were read again, at once where they are others. A set with a
    /// fault is not used: the one in use stays.
    async fn looked(&mut self, looked: Looked) {
        let metrics = &self.shown.metrics;
        match looked {
            Looked::Answered(None) => {
                metrics.reference_reloaded.set(self.is_reference_sound.into());
            }
            Looked::Answered(Some(Ok(()))) => {
                self.is_reference_sound = true;
                metrics.reference_reloaded.set(1);
                metrics.reference_last_success.set(now().as_seconds_f64());
                let set = Arc::clone(self.reference.source().set());
                metrics.use_reference(&set.version);
                self.shown.status.update(|view| view.reference_fault = None);
                info!(version = %set.version, "the reference data were read again");
                let known = self.prefectures.iter();
                if !known.eq(set.provinces().keys()) {
                    warn!(
                        "other prefectures are known now; records are judged by them from the next start on"
                    );
                }
                self.settings.reference = Arc::clone(&set);
                if let Some(publisher) = &mut self.publisher {
                    publisher.set_reference(set);
                }
                self.turn().await;
            }
            Looked::Answered(Some(Err(faults))) => {
                self.is_reference_sound = false;
                metrics.reference_reloaded.set(0);
                let consequence = "the reference data are not used; those read before stay in use";
                say_faults(&faults, consequence);
                let first = faults.first().map(ToString::to_string);
                self.shown.status.update(|view| view.reference_fault = first);
            }
            Looked::Late => {
                metrics.reference_reloaded.set(0);
                error!(
                    "the folder of the reference data does not answer; those read before stay in use \
                     until it does"
                );
            }
        }
    }

    /// Publishes once if this instance is the publisher; else leaves the role.
    async fn turn(&mut self) {
        let is_publisher = self.role.borrow_and_update().publishes;
        self.shown.metrics.publisher.set(is_publisher.into());
        if !is_publisher {
            if self.publisher.take().is_some() {
                info!("no longer the publisher");
            }
            return self.shown.status.update(|view| {
                view.snapshot = None;
                view.publish_failing = None;
            });
        }
        let started = std::time::Instant::now();
        match self.publish().await {
            Ok(()) => {
                self.shown.metrics.publish_duration.observe(started.elapsed().as_secs_f64());
                self.shown.metrics.publish_last_success.set(now().as_seconds_f64());
                self.shown.status.update(|view| view.publish_failing = None);
            }
            Err(error) => self.complain(&error),
        }
    }

    async fn publish(&mut self) -> Result<(), PublishError> {
        let mut publisher = if let Some(publisher) = self.publisher.take() {
            publisher
        } else {
            info!("this instance is the publisher");
            self.looked_for_orphans = None;
            let publisher = Publisher::take_over(self.store.clone(), self.settings.clone()).await?;
            self.say_other_reference(publisher.newest().map(|newest| &*newest.reference));
            publisher
        };
        let outcome = self.publish_with(&mut publisher).await;
        self.publisher = Some(publisher);
        outcome
    }

    async fn publish_with(&mut self, publisher: &mut Publisher) -> Result<(), PublishError> {
        if self.inspected.elapsed() >= INSPECTION {
            publisher.inspect_files().await?;
            self.inspected = Instant::now();
        }
        let expected: BTreeSet<ShardId> = {
            let partitions = self.partitions.borrow();
            let shards = |(topic, count): (&String, &i32)| {
                let topic: Arc<str> = topic.as_str().into();
                (0..*count).map(move |partition| ShardId::kafka(Arc::clone(&topic), partition))
            };
            let owned = self.role.borrow().shards.clone();
            partitions.iter().flat_map(shards).chain(owned).collect()
        };
        let made = publisher.publish(&expected, self.clock.now()).await;
        let counts = publisher.take_counts();
        self.shown.metrics.restatements.inc_by(counts.restated);
        self.shown.metrics.restatements_unknown.inc_by(counts.unknown);
        let made = made?;
        let outcome = if made.is_some() { "committed" } else { "unchanged" };
        self.shown.metrics.count_publish(outcome);
        let is_shown = self.shown.status.view().snapshot.is_some();
        let made = match made {
            None if !is_shown => publisher.snapshot().await?,
            made => made,
        };
        if let Some(made) = made {
            self.say_orphans(&made.rollup);
            self.shown.status.update(|view| view.snapshot = Some(made));
        }
        Ok(())
    }

    /// Says that the last publish was made with other reference data: names and lights change with this
    /// instance, and where the folders of two instances differ they change at each take-over.
    fn say_other_reference(&self, published: Option<&str>) {
        let version = &*self.settings.reference.version;
        if let Some(published) = published.filter(|published| *published != version) {
            warn!(
                published,
                version,
                "the last publish was made with other reference data than this instance has; unless \
                 they were changed in between, compare `reference.dir` of the instances"
            );
        }
    }

    /// Says once for each set which prefectures have figures and are in no province any more.
    fn say_orphans(&mut self, rollup: &Rollup) {
        let set = &self.settings.reference;
        if self.looked_for_orphans.as_ref() == Some(&set.version) {
            return;
        }
        self.looked_for_orphans = Some(set.version.clone());
        if let Some((prefectures, count)) = orphans(rollup, set) {
            warn!(
                %prefectures,
                count,
                "prefectures have figures and no row in prefectures.csv; no province holds them, nor do \
                 the indicators"
            );
        }
    }

    /// Says why nothing could be published, once for each reason.
    fn complain(&self, error: &PublishError) {
        let reason = chain(error);
        let superseded = matches!(error, PublishError::Superseded(_));
        self.shown.metrics.count_publish(if superseded { "superseded" } else { "failed" });
        if !superseded {
            self.shown.metrics.count_store_error("publish");
        }
        self.shown.status.update(|view| {
            if view.publish_failing.as_ref() == Some(&reason) {
                return;
            }
            if superseded {
                warn!(%reason, "nothing was published; trying again");
            } else {
                error!(%reason, "nothing was published; trying again");
            }
            view.publish_failing = Some(reason);
        });
    }
}
