//! What every call of the admin client needs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use rdkafka::admin::{AdminOptions, TopicResult};
use rdkafka::error::KafkaError;

use super::REQUEST;

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST))
}

#[track_caller]
pub(super) fn expect_done(operation: &str, results: Result<Vec<TopicResult>, KafkaError>) {
    for result in results.unwrap_or_else(|error| panic!("cannot {operation} a topic: {error}")) {
        if let Err((topic, code)) = result {
            panic!("cannot {operation} topic {topic}: {code}");
        }
    }
}

/// Runs a future of the admin client, which has its own thread and needs no runtime.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
