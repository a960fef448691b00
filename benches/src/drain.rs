//! The floor: reads every record out of librdkafka and does nothing with it.
#![allow(unsafe_code, reason = "the floor is librdkafka without rdkafka in between")]

use std::ffi::{CString, c_void};
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use crate::broker::{BrokerError, Held};
use crate::cpu::{DRAIN_THREAD, Snapshot};
use crate::report::Run;

/// No record for so long means that the drain has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a drain reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Road {
    /// One shared queue of all partitions, many records a call: the least that librdkafka costs.
    Queue,
    /// `BaseConsumer::poll`, one record a call: the road of most programs.
    Poll,
}

/// Reads everything that the broker holds, from the first record on, by a thread of its own.
///
/// # Errors
/// Where records cannot be read.
///
/// # Panics
/// If the thread does.
pub fn drain(held: &Held, road: Road) -> Result<Run, BrokerError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(DRAIN_THREAD.to_owned());
        let drain = thread.spawn_scoped(scope, || read_all(held, road));
        let drain = drain.map_err(|error| BrokerError::new(error.to_string()))?;
        drain.join().expect("a drain does not panic")
    })
}

fn read_all(held: &Held, road: Road) -> Result<Run, BrokerError> {
    let consumer = consumer(held)?;
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in held.topics {
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Offset(0))?;
        }
    }
    let queue = (road == Road::Queue).then(|| SharedQueue::new(&consumer));
    if let Some(queue) = &queue {
        queue.forward(&list);
    }
    consumer.assign(&list)?;
    if let Some(queue) = &queue {
        queue.forward(&list);
    }
    let mut tally = Tally::default();
    let mut first = None;
    let mut progressed = Instant::now();
    while tally.records < held.records {
        let before = tally.records;
        match &queue {
            Some(queue) => queue.read(&mut tally),
            None => poll_some(&consumer, &mut tally)?,
        }
        if tally.records > before {
            progressed = Instant::now();
            first.get_or_insert_with(|| (progressed, tally.records, Snapshot::take()));
        } else if progressed.elapsed() > PATIENCE {
            return Err(BrokerError::new("the drain gets no more records"));
        }
    }
    let (began, skipped, cpu) =
        first.ok_or_else(|| BrokerError::new("there is nothing to drain"))?;
    let wall = began.elapsed();
    let cpu = Snapshot::take().since(&cpu);
    Ok(Run { records: tally.records - skipped, wall, cpu, settled: None })
}

/// The consumer of the pipeline, as far as reading goes.
fn consumer(held: &Held) -> Result<BaseConsumer, BrokerError> {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", &held.brokers)
        .set("group.id", "drain")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "20")
        .create()?;
    Ok(consumer)
}

fn poll_some(consumer: &BaseConsumer, tally: &mut Tally) -> Result<(), BrokerError> {
    for _ in 0..1_000 {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { return Ok(()) };
        let message = message?;
        tally.take(rdkafka::Message::payload(&message).map_or(0, <[u8]>::len));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    records: u64,
    /// So that the value's length is looked at, and nothing optimised away.
    bytes: u64,
}

impl Tally {
    fn take(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
    }
}

/// A queue of librdkafka's into which partitions are led.
struct SharedQueue<'a> {
    raw: *mut sys::rd_kafka_queue_t,
    consumer: &'a BaseConsumer,
}

impl<'a> SharedQueue<'a> {
    fn new(consumer: &'a BaseConsumer) -> Self {
        // SAFETY: the client lives as long as the borrowed consumer.
        let raw = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self { raw, consumer }
    }

    fn forward(&self, list: &TopicPartitionList) {
        let client = self.consumer.client().native_ptr();
        for element in list.elements() {
            let topic = CString::new(element.topic()).expect("no topic has a zero byte");
            // SAFETY: client and queue live as long as `self`, `topic` for the length of the call;
            // the reference to the partition's queue is given back at once.
            unsafe {
                let queue =
                    sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), element.partition());
                if !queue.is_null() {
                    sys::rd_kafka_queue_forward(queue, self.raw);
                    sys::rd_kafka_queue_destroy(queue);
                }
            }
        }
    }

    /// Reads until the queue is empty, and serves the consumer's events.
    fn read(&self, tally: &mut Tally) {
        // SAFETY: the queue lives as long as `self`; the callback runs on this thread during this
        // call only, with our pointer to `tally`.
        unsafe {
            let tally = ptr::from_mut(tally).cast();
            sys::rd_kafka_consume_callback_queue(self.raw, 100, Some(on_message), tally);
        }
        if let Some(Ok(message)) = self.consumer.poll(Duration::ZERO) {
            tally.take(rdkafka::Message::payload(&message).map_or(0, <[u8]>::len));
        }
    }
}

impl Drop for SharedQueue<'_> {
    fn drop(&mut self) {
        // SAFETY: taken in `new`, used nowhere after this; the client is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.raw) };
    }
}

unsafe extern "C" fn on_message(message: *mut sys::rd_kafka_message_t, tally: *mut c_void) {
    // SAFETY: librdkafka passes a live message, and the pointer that `read` gave it.
    let (message, tally) = unsafe { (&*message, &mut *tally.cast::<Tally>()) };
    if message.err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        tally.take(message.len);
    }
}
