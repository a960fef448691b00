//! Two instances of one group on one store, in this process.

use std::time::Duration;

use postroad_ingest::config::Config;
use postroad_ingest::run::{Shown, run};
use postroad_ingest::shards::lifecycle::ShardPhase;
use postroad_tests::logs::random_log;
use postroad_tests::mock::{Mock, PATIENCE, Site, config, ledger_reached};
use postroad_tests::process::free_port;
use postroad_tests::wait::wait_until;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{FINANCE, PARCELS};

/// An instance, what it shows, and how to stop it.
struct Instance {
    shown: Shown,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), postroad_ingest::error::Failure>>,
}

impl Instance {
    fn start(runtime: &Runtime, mock: &Mock, site: &Site) -> Self {
        let topics = [PARCELS, FINANCE];
        let text = config(&mock.brokers(), "pair", &site.store(), free_port(), &topics);
        let config = Config::parse(&text, std::iter::empty()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let shown = Shown::default();
        let stopped = async move {
            let _ = stopped.await;
        };
        let task = runtime.spawn(run(config, shown.clone(), stopped));
        Self { shown, stop: Some(stop), task }
    }

    fn running(&self) -> usize {
        let view = self.shown.status.view();
        view.phases.values().filter(|phase| matches!(phase, ShardPhase::Running { .. })).count()
    }

    fn stop(mut self, runtime: &Runtime) {
        self.stop.take().unwrap().send(()).unwrap();
        runtime.block_on(self.task).unwrap().unwrap();
    }
}

#[test]
fn shards_move_between_instances_and_are_accounted_for_once() {
    let mock = Mock::start(&[(PARCELS, 4), (FINANCE, 4)]);
    let site = Site::new(&mock.brokers(), "pair", &[PARCELS, FINANCE]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let part = |seed: u64| {
        for partition in 0..4_u8 {
            let seed = seed * 10 + u64::from(partition);
            let partition = i32::from(partition);
            mock.produce_all((PARCELS, partition), &random_log(seed, "parcel", 150));
            mock.produce_all((FINANCE, partition), &random_log(seed, "finance", 150));
        }
    };
    part(11);
    let first = Instance::start(&runtime, &mock, &site);
    wait_until(PATIENCE, "the first instance has every shard", || first.running() == 8);
    let second = Instance::start(&runtime, &mock, &site);
    part(12);
    wait_until(PATIENCE, "each instance has shards, and together all", || {
        second.running() >= 2 && first.running() >= 2 && first.running() + second.running() == 8
    });
    part(13);
    let publishers = || first.shown.metrics.publisher.get() + second.shown.metrics.publisher.get();
    wait_until(PATIENCE, "one of them publishes", || publishers() == 1);
    site.assert_published(&mock.judge());
    // Stopped in the middle of records, whichever of them it has.
    part(14);
    first.stop(&runtime);
    wait_until(PATIENCE, "the other takes over", || second.running() == 8);
    part(15);
    site.assert_published(&mock.judge());
    assert_eq!(second.shown.metrics.publisher.get(), 1);
    second.stop(&runtime);
    assert!(ledger_reached(&site.store(), &mock.judge()));
    runtime.shutdown_timeout(Duration::from_secs(5));
}
