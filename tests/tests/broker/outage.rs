//! Brokers that go away and come back.

use postroad_tests::kafka::Cluster;
use postroad_tests::wait::wait_until;

use crate::bed::{Bed, SOON, lines_with, timed};
use crate::produce::{Producer, Stream};

/// What the log says when brokers go and come.
const GONE: &str = "no broker can be reached";
const BACK: &str = "the brokers can be reached";

#[test]
fn an_outage_of_the_brokers_is_said_once_and_costs_nothing() {
    let mut cluster = timed("outage: cluster", Cluster::start);
    let bed = Bed::new(&cluster, "outage", &[("parcel", "parcel", 2)]);
    let topic = bed.topics[0].name.clone();
    Producer::new(&cluster).random(&topic, 0, "parcel", 90, 300);
    let instance = bed.start(&cluster, "early");
    timed("outage: caught up before", || bed.wait_for_oracle(&cluster));
    for round in 1..=2 {
        let stream = Stream::start(&cluster, &topic, "parcel", 2, 90 + round);
        stream.wait_for(200);
        timed("outage: brokers stop", || cluster.stop_broker());
        timed("outage: not ready", || {
            wait_until(SOON, "readiness names the brokers that are gone", || {
                instance.readiness().is_some_and(|(status, body)| {
                    status == 503 && body.lines().any(|line| line.contains(cluster.bootstrap()))
                })
            });
        });
        assert_eq!(instance.process.get("/-/healthy").0, 200, "the process itself works");
        timed("outage: brokers start", || cluster.start_broker());
        timed("outage: ready", || instance.wait_ready());
        stream.wait_for(200);
        stream.finish();
        timed("outage: caught up", || bed.wait_for_oracle(&cluster));
        let log = instance.log();
        let said = usize::try_from(round).expect("a round is small");
        assert_eq!(lines_with(&log, GONE), said, "how often the outage was said:\n{log}");
        assert_eq!(lines_with(&log, BACK), said, "how often its end was said:\n{log}");
    }
    timed("outage: clean stop", || instance.stop());

    cluster.stop_broker();
    let late = bed.start(&cluster, "late");
    timed("outage: started without brokers", || {
        wait_until(SOON, "an instance that starts without brokers is not ready", || {
            late.readiness().is_some_and(|(status, body)| {
                status == 503 && body.lines().any(|line| line.contains(cluster.bootstrap()))
            })
        });
    });
    cluster.start_broker();
    timed("outage: ready after all", || late.wait_ready());
    Producer::new(&cluster).random(&topic, 1, "parcel", 99, 100);
    let expected = bed.wait_for_oracle(&cluster);
    late.stop();
    bed.assert_tables(&expected);
}
