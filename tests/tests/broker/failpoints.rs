//! Ends at every place between two effects: a process that dies there, and one that goes on from what
//! it left.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use postroad_ingest::failpoint::Point;
use postroad_tests::logs::random_log;
use postroad_tests::oracle::OracleRecord;
use postroad_tests::tables::{Tables, strays};
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, Instance, SOON, shared_cluster, timed};
use crate::produce::Producer;
use crate::stalls::wait_for_stall;

/// The signal by which a process ends itself at a point.
const SIGABRT: i32 = 6;

/// At which passage of a point the process ends: not at the first where more come, so that something
/// of the same kind has been done before.
fn passage(point: Point) -> u32 {
    match point {
        Point::BeforeOwner
        | Point::AfterSegments
        | Point::BeforeCollection
        | Point::BeforeSegmentCollection
        | Point::BeforeStall => 1,
        Point::MidFreeze | Point::BeforeCheckpoint | Point::AfterCheckpoint => 5,
        _ => 2,
    }
}

/// Feeds two partitions, a record to each at a time, for ever.
struct Feed {
    producer: Producer,
    topic: String,
    log: Vec<OracleRecord>,
    sent: usize,
}

impl Feed {
    fn step(&mut self) {
        for partition in 0..2 {
            let record = &self.log[self.sent % self.log.len()];
            self.producer.send(&self.topic, partition, record);
            self.sent += 1;
        }
        self.producer.flush();
    }
}

/// Feeds until the instance has ended itself at the point.
fn wait_for_end(instance: &mut Instance, feed: &mut Feed, point: Point) {
    let mut status = None;
    wait_until(SOON, &format!("the process ends at {}", point.name()), || {
        feed.step();
        status = instance.process.exited();
        status.is_some()
    });
    let status = status.expect("it has ended");
    let log = instance.log();
    assert_eq!(status.signal(), Some(SIGABRT), "{}: {status}; its log:\n{log}", point.name());
    let word = format!("failpoint {}", point.name());
    assert!(log.lines().any(|line| line == word), "{word} was not said:\n{log}");
}

#[test]
fn a_process_that_dies_at_any_point_leaves_what_another_goes_on_from() {
    let cluster = shared_cluster();
    let mut bed = Bed::new(cluster, "points", &[("parcel", "parcel", 2), ("lost", "parcel", 1)]);
    // Whoever takes over does so soon; what is old is sealed, and collected, soon.
    bed.properties.insert("session.timeout.ms", "1000".to_owned());
    bed.properties.insert("heartbeat.interval.ms", "300".to_owned());
    bed.checkpoint_ms = 100;
    bed.publish_ms = 100;
    bed.keep = 2;
    bed.open_days = 1;
    let topics = bed.topics.clone();
    let [parcel, lost] = &*topics else { unreachable!("two topics were asked for") };
    let producer = Producer::new(cluster);
    producer.random(&lost.name, 0, "parcel", 500, 50);
    let log = random_log(501, "parcel", 4_000);
    let mut feed = Feed { producer, topic: parcel.name.clone(), log, sent: 0 };
    for point in Point::ALL.iter().filter(|point| **point != Point::BeforeStall) {
        let order = format!("{}:{}:kill", point.name(), passage(*point));
        timed(&order, || {
            if *point == Point::BeforeSegmentCollection {
                // Something has to be there that no checkpoint lists.
                let mut doomed = bed.start_armed(cluster, "only", "after-segments:1:kill");
                wait_for_end(&mut doomed, &mut feed, Point::AfterSegments);
            }
            let mut doomed = bed.start_armed(cluster, "only", &order);
            wait_for_end(&mut doomed, &mut feed, *point);
            // What readers have now is whole, whatever it is of.
            assert_eq!(strays(&bed.store), Vec::<PathBuf>::new(), "{order}");
            let tables = Tables::read(&bed.store).expect("the tables can be read");
            for (shard, row) in &tables.ledger {
                assert_eq!(row.unbalanced(), None, "{order}: {shard:?}");
            }
            let heir = bed.start(cluster, "only");
            let expected = bed.wait_for_oracle(cluster);
            heir.stop();
            bed.assert_tables(&expected);
        });
    }
    let before = bed.expected(cluster);
    feed.producer.random(&lost.name, 0, "parcel", 502, 50);
    cluster.delete_records(&lost.name, 0, 80);
    let mut doomed = bed.start_armed(cluster, "only", "before-stall:1:kill");
    wait_for_end(&mut doomed, &mut feed, Point::BeforeStall);
    bed.properties.insert("session.timeout.ms", "10000".to_owned());
    let heir = bed.start(cluster, "heir");
    timed("before-stall: said", || {
        wait_for_stall(&heir, (&lost.name, 0), "retention_overrun");
    });
    let mut expected = bed.expected(cluster);
    let key = (lost.name.clone(), 0);
    expected.insert(key.clone(), before[&key].clone());
    bed.wait_for(&expected);
    heir.stop();
    bed.assert_tables(&expected);
}
