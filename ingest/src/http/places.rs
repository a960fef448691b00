//! The places of the server: so many connections at a time, and none is kept by who says nothing.
//!
//! While every place is taken, whoever comes next gets the place of the client that has been silent the
//! longest: it has sent no request yet, or none since its last answer. A client whose request is being
//! answered keeps its place.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// So long a client may be silent although others wait. A request's head comes with the connection,
/// so this is much for a network that serves scrapes.
pub(super) const SILENCE_MAX: Duration = Duration::from_millis(250);

/// All the places.
pub(super) struct Places {
    count_max: usize,
    taken: Mutex<Vec<Arc<Client>>>,
    /// One has gone, or is silent from now on. The server alone waits for it.
    changed: Notify,
}

/// Whoever has a place.
struct Client {
    /// Since when it is silent; `None` while it is answered, and once it was asked to go.
    silent_since: Mutex<Option<Instant>>,
    asked_to_go: Notify,
}

/// A place, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    client: Arc<Client>,
}

impl Places {
    pub(super) fn new(count_max: usize) -> Arc<Self> {
        let (taken, changed) = (Mutex::new(Vec::with_capacity(count_max)), Notify::new());
        Arc::new(Self { count_max, taken, changed })
    }

    /// A place for a client that has just come.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let longest = {
                let mut taken = lock(&self.taken);
                if taken.len() < self.count_max {
                    let silent_since = Mutex::new(Some(Instant::now()));
                    let client = Arc::new(Client { silent_since, asked_to_go: Notify::new() });
                    taken.push(Arc::clone(&client));
                    return Place { places: Arc::clone(self), client };
                }
                let silent = taken.iter().filter_map(|client| {
                    lock(&client.silent_since).map(|since| (since, Arc::clone(client)))
                });
                silent.min_by_key(|(since, _)| *since)
            };
            let Some((since, client)) = longest else {
                self.changed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(since + SILENCE_MAX) => client.ask_to_go(since),
            }
        }
    }
}

impl Client {
    /// Unless it has said something in the meantime.
    fn ask_to_go(&self, since: Instant) {
        let mut silent_since = lock(&self.silent_since);
        if *silent_since == Some(since) {
            *silent_since = None;
            self.asked_to_go.notify_one();
        }
    }
}

impl Place {
    /// Answers a request; meanwhile the client keeps its place.
    pub(super) async fn answer<T>(&self, answer: impl Future<Output = T>) -> T {
        *lock(&self.client.silent_since) = None;
        let answer = answer.await;
        *lock(&self.client.silent_since) = Some(Instant::now());
        self.places.changed.notify_one();
        answer
    }

    /// Returns once another needs the place.
    pub(super) async fn lost(&self) {
        self.client.asked_to_go.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places.taken).retain(|client| !Arc::ptr_eq(client, &self.client));
        self.places.changed.notify_one();
    }
}

/// Nothing that is held here can be left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
