//! The folder of the reference data, looked at beside the publisher's loop: a folder that does not answer
//! must not keep anybody from publishing.

use std::collections::BTreeSet;
use std::time::Duration;

use postroad_aggregate::merge::Rollup;
use postroad_schemas::codebook::PrefectureCode;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::error;

use crate::config::Fault;
use crate::offload::offload;
use crate::reference::{ReferenceSet, ReferenceSource, Reread};

/// How often the folder of the reference data is looked at.
pub(super) const REFERENCE_CHECK: Duration = Duration::from_millis(500);
/// How long the folder may take to answer before that is said.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many faults, or prefectures, one event of the log names.
const NAMED_MAX: usize = 20;

/// What came of a look at the folder.
#[derive(Debug)]
pub(super) enum Looked {
    /// It answered: nothing new, a new set, or faults.
    Answered(Option<Reread>),
    /// It has not answered in time. No other look begins before it does.
    Late,
}

/// Looks at the folder, at most once at a time.
pub(super) struct ReferenceReader {
    source: ReferenceSource,
    look: Option<Look>,
}

/// A look under way.
struct Look {
    answer: JoinHandle<Option<(ReferenceSource, Option<Reread>)>>,
    /// Until when it may take; `None` once it was late.
    deadline: Option<Instant>,
}

impl ReferenceReader {
    pub(super) fn new(source: ReferenceSource) -> Self {
        Self { source, look: None }
    }

    /// Where reference data come from, as of the last look that was answered.
    pub(super) fn source(&self) -> &ReferenceSource {
        &self.source
    }

    /// Whether a look has not been answered yet.
    pub(super) fn is_busy(&self) -> bool {
        self.look.is_some()
    }

    /// Begins a look, unless one is under way.
    pub(super) fn begin<F>(&mut self, read: F)
    where
        F: FnOnce(&mut ReferenceSource) -> Option<Reread> + Send + 'static,
    {
        if self.is_busy() {
            return;
        }
        let mut source = self.source.clone();
        let answer = tokio::spawn(async move {
            let outcome = offload(move || {
                let outcome = read(&mut source);
                (source, outcome)
            });
            outcome.await.ok()
        });
        self.look = Some(Look { answer, deadline: Some(Instant::now() + PATIENCE) });
    }

    /// Waits for the look under way, for ever where there is none. Nothing is lost where the wait is
    /// given up.
    pub(super) async fn looked(&mut self) -> Looked {
        let Some(Look { answer, deadline }) = &mut self.look else {
            return std::future::pending().await;
        };
        let is_late = async {
            match *deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answer => {
                self.look = None;
                let Ok(Some((source, outcome))) = answer else { return Looked::Answered(None) };
                self.source = source;
                Looked::Answered(outcome)
            }
            () = is_late => {
                *deadline = None;
                Looked::Late
            }
        }
    }
}

/// Says what is wrong with a folder: the first faults one by one, of the others how many.
pub(crate) fn say_faults(faults: &[Fault], consequence: &str) {
    for fault in faults.iter().take(NAMED_MAX) {
        error!(%fault, "{consequence}");
    }
    let others = faults.len().saturating_sub(NAMED_MAX);
    if others > 0 {
        error!(others, "there are more faults; `postroad check` lists all");
    }
}

/// Prefectures that have figures and no row in a codebook, so that no province's sum holds them; the first
/// of them by code, and how many they are.
pub(super) fn orphans(rollup: &Rollup, set: &ReferenceSet) -> Option<(String, usize)> {
    let known = set.provinces();
    let all: BTreeSet<PrefectureCode> = rollup.cells().map(|(cell, _)| cell.prefecture).collect();
    let orphans: Vec<String> =
        all.iter().filter(|code| !known.contains_key(code)).map(ToString::to_string).collect();
    let first = orphans[..orphans.len().min(NAMED_MAX)].join(" ");
    (!orphans.is_empty()).then_some((first, orphans.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// As a mount that hangs: the look is answered when the test says so.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_hangs_is_told_once_and_holds_up_nothing() {
        let mut reader = ReferenceReader::new(ReferenceSource::fixed(ReferenceSet::liaoning()));
        let (answer, hang) = mpsc::channel::<()>();
        reader.begin(move |_| {
            let _ = hang.recv();
            Some(Ok(()))
        });
        let deadline = reader.look.as_mut().and_then(|look| look.deadline.as_mut());
        *deadline.expect("a deadline") = Instant::now();
        assert!(matches!(reader.looked().await, Looked::Late));
        // Nobody else begins to read meanwhile, and it is said once.
        let (began, begins) = mpsc::channel();
        reader.begin(move |_| {
            let _ = began.send(());
            None
        });
        assert!(begins.recv().is_err(), "a second reader");
        let again = tokio::time::timeout(Duration::from_millis(50), reader.looked()).await;
        assert!(again.is_err(), "{again:?}");
        answer.send(()).expect("it hangs still");
        assert!(matches!(reader.looked().await, Looked::Answered(Some(Ok(())))));
        assert!(!reader.is_busy());
    }
}
