//! The identity of a topic, which rdkafka does not show: asked of librdkafka directly.
#![allow(unsafe_code, reason = "calls librdkafka directly, as the queue does")]

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use crate::source::TopicId;

/// The brokers' id of a topic, or librdkafka's reason why there is none. `Ok(None)` means that the
/// brokers are too old to give topics an id.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<TopicId>, RDKafkaErrorCode> {
    let Ok(name) = CString::new(topic) else { return Err(RDKafkaErrorCode::InvalidTopic) };
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let rk = client.native_ptr();
    let mut names = [name.as_ptr()];
    // SAFETY: `rk` is alive, since `client` owns it. Each `new` returns a reference of ours, or null,
    // which is not used; each is given back below, the queue after the event that came from it.
    // The names are copied by `of_topic_names`; the request copies collection and options.
    unsafe {
        let queue = Owned::new(sys::rd_kafka_queue_new(rk), sys::rd_kafka_queue_destroy)?;
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let topics = Owned::new(topics, sys::rd_kafka_TopicCollection_destroy)?;
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = sys::rd_kafka_AdminOptions_new(rk, operation);
        let options = Owned::new(options, sys::rd_kafka_AdminOptions_destroy)?;
        let (reason, len) = (ptr::null_mut(), 0);
        sys::rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, reason, len);
        sys::rd_kafka_DescribeTopics(rk, topics.get(), options.get(), queue.get());
        let event = sys::rd_kafka_queue_poll(queue.get(), timeout_ms);
        let Ok(event) = Owned::new(event, sys::rd_kafka_event_destroy) else {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        };
        read(event.get())
    }
}

/// Reads the answer for the one topic that was asked for.
///
/// # Safety
/// `event` is an event of librdkafka's that lives for the length of the call.
unsafe fn read(event: *mut sys::rd_kafka_event_t) -> Result<Option<TopicId>, RDKafkaErrorCode> {
    // SAFETY: `event` is alive, and what is read from it lives as long as it does. A pointer that
    // librdkafka may leave null is tested before it is followed.
    unsafe {
        check(sys::rd_kafka_event_error(event))?;
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() || count != 1 {
            return Err(RDKafkaErrorCode::BadMessage);
        }
        let topic = *topics;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            check(sys::rd_kafka_error_code(error))?;
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return Ok(None);
        }
        let high = sys::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
        let low = sys::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
        Ok(TopicId::new(u128::from(high) << 64 | u128::from(low)))
    }
}

fn check(code: sys::rd_kafka_resp_err_t) -> Result<(), RDKafkaErrorCode> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(code),
    }
}

/// A reference of ours to something of librdkafka's, given back when dropped.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `pointer` is null, or a reference of ours that `destroy` gives back.
    unsafe fn new(
        pointer: *mut T,
        destroy: unsafe extern "C" fn(*mut T),
    ) -> Result<Self, RDKafkaErrorCode> {
        let pointer = NonNull::new(pointer).ok_or(RDKafkaErrorCode::Fail)?;
        Ok(Self { pointer, destroy })
    }

    fn get(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` was given a reference of ours, and nobody else gives it back.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}
