//! Reading a log again: by a consumer of its own that belongs to no group, joins nothing and commits
//! nothing, so that whoever looks over the pipeline's shoulder never gets in its way.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use postroad_aggregate::shard::Record;
use postroad_schemas::units::{NextOffset, Offset, Timestamp};
use rdkafka::consumer::BaseConsumer;

use super::queue::{Content, LoneQueue, Message};
use super::settings::QueryContext;
use super::{KafkaSettings, Signal, SourceError, TopicPartition};

/// How long brokers may be silent. librdkafka connects again by itself meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// How long one look at the queue waits for messages.
const WAIT_MS: i32 = 100;

/// Why a partition could not be read again.
#[derive(Debug, thiserror::Error)]
pub enum RereadError {
    /// Retention has deleted the offset in the meantime.
    #[error("{tp}: the log does not hold offset {offset} any more")]
    OutOfRange {
        /// The partition.
        tp: TopicPartition,
        /// The offset that was to be read next.
        offset: NextOffset,
    },
    /// The brokers deliver nothing.
    #[error(
        "{tp}: no broker has delivered anything from offset {offset} on for {} s; check the \
         brokers, and run this again",
        SILENCE_MAX.as_secs()
    )]
    Silent {
        /// The partition.
        tp: TopicPartition,
        /// The offset that was to be read next.
        offset: NextOffset,
    },
    /// librdkafka refuses, or reports an error that trying again does not mend.
    #[error("{tp}: reading from offset {offset} failed: {signal}")]
    Failed {
        /// The partition.
        tp: TopicPartition,
        /// The offset that was to be read next.
        offset: NextOffset,
        /// Why.
        signal: Signal,
    },
}

/// Reads partitions, one at a time. It blocks: for blocking tasks only.
pub struct LogReader {
    consumer: Arc<BaseConsumer<QueryContext>>,
}

impl LogReader {
    /// A reader. Whether a broker answers is not known yet.
    ///
    /// # Errors
    /// If a property is refused or the client cannot be created.
    pub fn new(settings: &KafkaSettings) -> Result<Self, SourceError> {
        Ok(Self { consumer: Arc::new(settings.lone_consumer()?) })
    }

    /// Shows every record of `[from, until)` in order. Once this returns, all that the log delivers
    /// of that range was shown, unless `visit` broke off. `until` must not lie beyond the log's end.
    ///
    /// # Errors
    /// Where the log does not hold `from`, or nobody delivers it.
    pub fn read(
        &self,
        tp: &TopicPartition,
        from: NextOffset,
        until: NextOffset,
        mut visit: impl FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<(), RereadError> {
        if from >= until {
            return Ok(());
        }
        let queue = LoneQueue::start(Arc::clone(&self.consumer), tp, from.get());
        let refused = || Signal::Other("librdkafka refuses to read it".to_owned());
        let queue = queue.ok_or_else(|| failed(tp, from, refused()))?;
        let mut pass = Pass { next: from, until, done: false, signal: None };
        let mut heard_at = Instant::now();
        while !pass.done {
            let before = pass.next;
            queue.read(WAIT_MS, |message| pass.take(message, &mut visit));
            if let Some(signal) = pass.signal {
                return Err(failed(tp, pass.next, signal));
            }
            if pass.next > before {
                heard_at = Instant::now();
            } else if heard_at.elapsed() > SILENCE_MAX {
                return Err(RereadError::Silent { tp: tp.clone(), offset: pass.next });
            }
            // What librdkafka has to say besides.
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                tracing::debug!(%error, "the client that reads a log again reports an error");
            }
        }
        Ok(())
    }
}

fn failed(tp: &TopicPartition, offset: NextOffset, signal: Signal) -> RereadError {
    let tp = tp.clone();
    match signal {
        Signal::OutOfRange => RereadError::OutOfRange { tp, offset },
        signal => RereadError::Failed { tp, offset, signal },
    }
}

/// How far one reading has come.
struct Pass {
    next: NextOffset,
    until: NextOffset,
    done: bool,
    signal: Option<Signal>,
}

impl Pass {
    fn take(
        &mut self,
        message: &Message<'_>,
        visit: &mut impl FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match message.content() {
            Content::Record(timestamp_ms, value) => {
                let offset = Offset::new(message.offset());
                if self.next.is_past(offset) {
                    self.signal = Some(Signal::OutOfOrder);
                } else if NextOffset::from(offset) >= self.until {
                    self.done = true;
                } else {
                    self.next = offset.next();
                    let timestamp = timestamp_ms.map(Timestamp::from_millis);
                    let flow = visit(&Record { offset, timestamp, value });
                    self.done = flow.is_break() || self.next >= self.until;
                }
            }
            // It carries the next offset expected; an earlier one is that of a leader who lags.
            Content::End => self.done = NextOffset::new(message.offset()) >= self.until,
            Content::Failed(signal) => self.signal = Some(signal),
        }
        if self.done || self.signal.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
