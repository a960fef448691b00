//! Questions that an instance asks again and again while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::warn;

/// One question: asked once at a time. That there is no answer is said once, until there is one.
#[derive(Debug, Default)]
pub(super) struct Question {
    asking: AtomicBool,
    failing: AtomicBool,
}

/// What an instance asks.
#[derive(Debug, Default)]
pub(super) struct Questions {
    pub(super) log_ends: Arc<Question>,
    pub(super) partitions: Arc<Question>,
    pub(super) decisions: Arc<Question>,
    pub(super) divergences: Arc<Question>,
    pub(super) owner: Arc<Question>,
}

impl Question {
    /// Asks as a task, unless the question before is still unanswered. `unknown` is what is not known
    /// while there is no answer.
    pub(super) fn ask(
        self: &Arc<Self>,
        unknown: &'static str,
        question: impl Future<Output = Result<(), String>> + Send + 'static,
    ) {
        if self.asking.swap(true, Ordering::AcqRel) {
            return;
        }
        let asked = Arc::clone(self);
        tokio::spawn(async move {
            let answer = question.await;
            let is_news = asked.is_news(&answer);
            if let Some(error) = answer.err().filter(|_| is_news) {
                warn!(%error, "{unknown}; asking again until there is an answer");
            }
            asked.asking.store(false, Ordering::Release);
        });
    }

    /// Whether an outcome is to be said: the first failure after a success.
    fn is_news(&self, answer: &Result<(), String>) -> bool {
        !self.failing.swap(answer.is_err(), Ordering::AcqRel) && answer.is_err()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Notify;

    use super::*;

    #[test]
    fn a_failure_is_said_once_until_there_is_an_answer() {
        let question = Question::default();
        let (failed, answered) = (Err("no answer".to_owned()), Ok(()));
        let told = [&answered, &failed, &failed, &failed, &answered, &failed, &failed];
        let news = told.map(|answer| question.is_news(answer));
        assert_eq!(news, [false, true, false, false, false, true, false]);
    }

    #[tokio::test]
    async fn a_question_is_asked_once_at_a_time() {
        let question = Arc::new(Question::default());
        let (asked, go_on) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let ask = || {
            let (asked, go_on) = (Arc::clone(&asked), Arc::clone(&go_on));
            question.ask("nothing is known", async move {
                asked.fetch_add(1, Ordering::AcqRel);
                go_on.notified().await;
                Ok(())
            });
        };
        for round in 1..=2 {
            ask();
            ask();
            tokio::task::yield_now().await;
            ask();
            assert_eq!(asked.load(Ordering::Acquire), round);
            go_on.notify_one();
            while question.asking.load(Ordering::Acquire) {
                tokio::task::yield_now().await;
            }
        }
    }
}
