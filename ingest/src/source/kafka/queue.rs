//! Everything here that talks to librdkafka without rdkafka in between, and so all the `unsafe`.
//!
//! rdkafka reads one message at a time; librdkafka's callback read hands over a whole queue in one
//! call. The batch call would be as quick, but loses messages at a rebalance when the ends of
//! partitions are asked for, as they are here (librdkafka #4844).
#![allow(unsafe_code, reason = "the one file that calls librdkafka directly")]

use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Code;

use super::{Signal, TopicPartition};

/// The queue into which the queues of all partitions being read are forwarded.
///
/// It holds the consumer, so that it cannot outlive the client that it belongs to.
pub(super) struct SharedQueue<C: ConsumerContext> {
    data: NonNull<sys::rd_kafka_queue_t>,
    events: NonNull<sys::rd_kafka_queue_t>,
    consumer: Arc<BaseConsumer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread, and the consumer is `Send` and `Sync`.
unsafe impl<C: ConsumerContext> Send for SharedQueue<C> {}

impl<C: ConsumerContext> SharedQueue<C> {
    /// A new, empty queue of this consumer, or nothing if librdkafka has none to give.
    pub(super) fn new(consumer: Arc<BaseConsumer<C>>) -> Option<Self> {
        let client = consumer.client().native_ptr();
        // SAFETY: `client` is alive, since `consumer` owns it. Each call returns null or a reference
        // of its own, given back in `drop`.
        let (data, events) = unsafe {
            let events = NonNull::new(sys::rd_kafka_queue_get_consumer(client))?;
            let data = NonNull::new(sys::rd_kafka_queue_new(client));
            (data, events)
        };
        let Some(data) = data else {
            // SAFETY: `events` is a reference of ours that nobody else has seen.
            unsafe { sys::rd_kafka_queue_destroy(events.as_ptr()) };
            return None;
        };
        Some(Self { data, events, consumer })
    }

    /// Leads the partition's messages here, those already waiting included. May be repeated.
    pub(super) fn forward(&self, tp: &TopicPartition) {
        let Ok(topic) = CString::new(&*tp.topic) else {
            return; // No topic has a zero byte in its name.
        };
        let client = self.consumer.client().native_ptr();
        // SAFETY: `client` and `self.data` are alive as long as `self`; `topic` is a C string for the
        // length of the call. The partition's queue is a reference of ours, given back at once: the
        // forwarding lives in the partition, which keeps its own reference to the target.
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), tp.partition);
            if !queue.is_null() {
                sys::rd_kafka_queue_forward(queue, self.data.as_ptr());
                sys::rd_kafka_queue_destroy(queue);
            }
        }
    }

    /// Whether the consumer's own queue has events waiting. rdkafka's `poll` answers "nothing" after
    /// an event that it consumed itself, so its answer does not tell.
    pub(super) fn has_events(&self) -> bool {
        // SAFETY: the reference taken in `new` is alive until `drop`.
        unsafe { sys::rd_kafka_queue_length(self.events.as_ptr()) > 0 }
    }

    /// Waits up to `wait_ms` milliseconds for messages and shows each to `visit`, in order, until
    /// none is left or `visit` breaks; the rest then stays in the queue.
    pub(super) fn read<F>(&self, wait_ms: i32, mut visit: F)
    where
        F: FnMut(&Message<'_>) -> ControlFlow<()>,
    {
        // SAFETY: the queue is alive as long as `self`, and is one of this client's.
        unsafe { read_queue(self.consumer.client().native_ptr(), self.data, wait_ms, &mut visit) }
    }

    /// The watermarks that the last fetch told, `[low, high)`, if there was one.
    pub(super) fn watermarks(&self, tp: &TopicPartition) -> Option<(i64, i64)> {
        let topic = CString::new(&*tp.topic).ok()?;
        let client = self.consumer.client().native_ptr();
        let (mut low, mut high) = (-1, -1);
        // SAFETY: `client` is alive as long as `self`; `topic`, `low` and `high` outlive the call,
        // which reads librdkafka's memory only and asks no broker.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                client,
                topic.as_ptr(),
                tp.partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && low >= 0 && high >= low).then_some((low, high))
    }
}

impl<C: ConsumerContext> Drop for SharedQueue<C> {
    fn drop(&mut self) {
        // SAFETY: both references were taken in `new` and are used nowhere after this; the client is
        // still alive, since the field `consumer` is dropped after this body. Messages waiting in
        // our queue are purged, and those that come later are thrown away by librdkafka.
        unsafe {
            sys::rd_kafka_queue_destroy(self.data.as_ptr());
            sys::rd_kafka_queue_destroy(self.events.as_ptr());
        }
    }
}

/// One partition that is read without a group, from an offset on, until this is dropped. Its messages
/// have a queue of their own from the start, so nothing has to be forwarded.
pub(super) struct LoneQueue<C: ConsumerContext> {
    data: NonNull<sys::rd_kafka_queue_t>,
    topic: NonNull<sys::rd_kafka_topic_t>,
    partition: i32,
    consumer: Arc<BaseConsumer<C>>,
}

impl<C: ConsumerContext> LoneQueue<C> {
    /// Begins to read at `offset`, 0 or more, by a consumer without a group; nothing if librdkafka
    /// refuses.
    pub(super) fn start(
        consumer: Arc<BaseConsumer<C>>,
        tp: &TopicPartition,
        offset: i64,
    ) -> Option<Self> {
        let name = CString::new(&*tp.topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: `client` is alive, since `consumer` owns it, and `name` is a C string for the length
        // of the call. The topic is a reference of ours, given back below or in `drop`.
        let topic = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic)?;
        // SAFETY: as above; the queue is ours, too.
        let data = NonNull::new(unsafe { sys::rd_kafka_queue_new(client) });
        // SAFETY: topic and queue are alive, and belong to one client.
        let started = data.is_some_and(|data| unsafe {
            let queue = data.as_ptr();
            offset >= 0
                && sys::rd_kafka_consume_start_queue(topic.as_ptr(), tp.partition, offset, queue)
                    == 0
        });
        match data {
            Some(data) if started => Some(Self { data, topic, partition: tp.partition, consumer }),
            data => {
                // SAFETY: both are references of ours that nobody else has seen.
                unsafe {
                    if let Some(data) = data {
                        sys::rd_kafka_queue_destroy(data.as_ptr());
                    }
                    sys::rd_kafka_topic_destroy(topic.as_ptr());
                }
                None
            }
        }
    }

    /// As [`SharedQueue::read`].
    pub(super) fn read<F>(&self, wait_ms: i32, mut visit: F)
    where
        F: FnMut(&Message<'_>) -> ControlFlow<()>,
    {
        // SAFETY: the queue is alive as long as `self`, and is one of this client's.
        unsafe { read_queue(self.consumer.client().native_ptr(), self.data, wait_ms, &mut visit) }
    }
}

impl<C: ConsumerContext> Drop for LoneQueue<C> {
    fn drop(&mut self) {
        // SAFETY: both references were taken in `start` and are used nowhere after this; the client is
        // still alive, since the field `consumer` is dropped after this body. The stop waits for
        // librdkafka's own thread, which asks no broker.
        unsafe {
            sys::rd_kafka_consume_stop(self.topic.as_ptr(), self.partition);
            sys::rd_kafka_queue_destroy(self.data.as_ptr());
            sys::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}

struct Reader<'a, F> {
    client: *mut sys::rd_kafka_t,
    visit: &'a mut F,
}

/// Waits for messages and shows each to `visit`, until none is left or `visit` breaks.
///
/// # Safety
/// The client must be alive during the call, and `queue` one of its queues.
unsafe fn read_queue<F>(
    client: *mut sys::rd_kafka_t,
    queue: NonNull<sys::rd_kafka_queue_t>,
    wait_ms: i32,
    visit: &mut F,
) where
    F: FnMut(&Message<'_>) -> ControlFlow<()>,
{
    let mut reader = Reader { client, visit };
    // SAFETY: the caller keeps client and queue alive. The callback is called on this thread during
    // this call only, with our pointer to `reader`, which outlives the call and which nothing else
    // touches meanwhile.
    unsafe {
        sys::rd_kafka_consume_callback_queue(
            queue.as_ptr(),
            wait_ms,
            Some(on_message::<F>),
            ptr::from_mut(&mut reader).cast(),
        );
    }
}

unsafe extern "C" fn on_message<F>(message: *mut sys::rd_kafka_message_t, opaque: *mut c_void)
where
    F: FnMut(&Message<'_>) -> ControlFlow<()>,
{
    // SAFETY: `read_queue` passes a pointer to a `Reader<F>` of the same `F` that nothing else touches
    // during the call, and librdkafka a message that lives until this function returns.
    let (reader, message) =
        unsafe { (&mut *opaque.cast::<Reader<'_, F>>(), Message::new(message)) };
    // A panic must not run through librdkafka's frames, whose locks would stay taken.
    let flow = catch_unwind(AssertUnwindSafe(|| (reader.visit)(&message)));
    match flow {
        Ok(ControlFlow::Continue(())) => {}
        // SAFETY: we are within a callback of this client, where alone this call is allowed.
        Ok(ControlFlow::Break(())) => unsafe { sys::rd_kafka_yield(reader.client) },
        Err(_) => std::process::abort(),
    }
}

/// A message of librdkafka's for the length of a callback.
pub(super) struct Message<'a> {
    raw: NonNull<sys::rd_kafka_message_t>,
    lifetime: PhantomData<&'a sys::rd_kafka_message_t>,
}

/// What a message is.
pub(super) enum Content<'a> {
    /// A record: its timestamp in milliseconds and its value.
    Record(Option<i64>, Option<&'a [u8]>),
    /// The end of the partition; the message's offset is the next one expected.
    End,
    /// Reading the partition failed.
    Failed(Signal),
}

/// Tells the topics of messages apart without comparing names. Only for comparing, and only while
/// the topic's partition stays assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TopicHandle(usize);

impl<'a> Message<'a> {
    /// # Safety
    /// `raw` must point to a message that lives, unchanged, for `'a`.
    unsafe fn new(raw: *mut sys::rd_kafka_message_t) -> Self {
        Self {
            raw: NonNull::new(raw).expect("librdkafka never calls back without a message"),
            lifetime: PhantomData,
        }
    }

    fn get(&self) -> &'a sys::rd_kafka_message_t {
        // SAFETY: `new` was promised that the message lives for `'a`.
        unsafe { self.raw.as_ref() }
    }

    pub(super) fn partition(&self) -> i32 {
        self.get().partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.get().offset
    }

    pub(super) fn topic_handle(&self) -> TopicHandle {
        TopicHandle(self.get().rkt.addr())
    }

    /// The topic's name, empty if the message has none.
    pub(super) fn topic(&self) -> &'a [u8] {
        let topic = self.get().rkt;
        if topic.is_null() {
            return b"";
        }
        // SAFETY: the message holds its topic for `'a`, and the topic its name.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) }.to_bytes()
    }

    pub(super) fn content(&self) -> Content<'a> {
        match self.get().err {
            Code::RD_KAFKA_RESP_ERR_NO_ERROR => {
                Content::Record(self.timestamp_ms(), self.payload())
            }
            Code::RD_KAFKA_RESP_ERR__PARTITION_EOF => Content::End,
            code => Content::Failed(self.signal(code)),
        }
    }

    fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives for `'a`, and `kind` outlives the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.raw.as_ptr(), &raw mut kind) };
        let absent = kind == sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (!absent && millis >= 0).then_some(millis)
    }

    /// A record's value, an error's words.
    fn payload(&self) -> Option<&'a [u8]> {
        let message = self.get();
        if message.payload.is_null() {
            return None;
        }
        // SAFETY: a payload that is not null has `len` bytes that live as long as the message.
        Some(unsafe { std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len) })
    }

    fn signal(&self, code: Code) -> Signal {
        match code {
            // Truncation comes under the same code; only the words tell it.
            Code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET => {
                let cut = describe(Code::RD_KAFKA_RESP_ERR__LOG_TRUNCATION);
                let words = self.payload().unwrap_or_default();
                if words.windows(cut.len()).any(|part| part == cut) {
                    Signal::Truncated
                } else {
                    Signal::OutOfRange
                }
            }
            Code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => Signal::OutOfRange,
            Code::RD_KAFKA_RESP_ERR__LOG_TRUNCATION => Signal::Truncated,
            Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID
            | Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
            | Code::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION => Signal::UnknownTopic,
            code => {
                // SAFETY: librdkafka gives a C string, static or, for a code that it does not know,
                // this thread's until the next such call; it is copied at once.
                let name = unsafe { CStr::from_ptr(sys::rd_kafka_err2name(code)) };
                Signal::Other(name.to_string_lossy().into_owned())
            }
        }
    }
}

fn describe(code: Code) -> &'static [u8] {
    // SAFETY: librdkafka's descriptions of codes that it knows are static strings.
    unsafe { CStr::from_ptr(sys::rd_kafka_err2str(code)) }.to_bytes()
}
