//! What is said of brokers that cannot be reached: once, and a reminder every so often, whereas librdkafka
//! has a line for every connection that it tries.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tracing::warn;

use crate::source::kafka::log_of_librdkafka;

/// How often an outage is said again while it lasts.
const REMINDER: Duration = Duration::from_secs(60);

/// The producer's context.
pub(super) struct Outages {
    brokers: String,
    said: Mutex<Reminder>,
}

impl Outages {
    pub(super) fn of(brokers: &str) -> Self {
        Self { brokers: brokers.to_owned(), said: Mutex::default() }
    }
}

impl ClientContext for Outages {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_of_librdkafka(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let all_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if all_down && said.is_due(Instant::now()) {
            let brokers = &self.brokers;
            warn!(%brokers, reason, "no broker can be reached; trying again until one can");
        } else {
            tracing::debug!(%error, reason, "the producer has a difficulty");
        }
    }
}

impl ProducerContext for Outages {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {}
}

/// When something was said last.
#[derive(Default)]
struct Reminder(Option<Instant>);

impl Reminder {
    /// Whether it is to be said now.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.0.is_none_or(|last| now.duration_since(last) >= REMINDER);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_and_then_every_so_often() {
        let (mut reminder, began) = (Reminder::default(), Instant::now());
        let seconds = [0, 1, 59, 60, 61, 119, 120, 500];
        let due = seconds.map(|after| reminder.is_due(began + Duration::from_secs(after)));
        assert_eq!(due, [true, false, false, true, false, false, true, true]);
    }
}
