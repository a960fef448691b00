//! A publisher that is stopped before any of its calls to the store, for good or for minutes, while
//! another takes over and publishes.

use super::races::check_line;
use super::restatements::{check_exact, june};
use super::*;

/// What becomes of the publisher that is stopped.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Its process is killed.
    Dies,
    /// It goes on, once the other one has made so many publishes.
    Wakes(u32),
}

/// A store, its shards, and the publisher that takes over.
struct World {
    desk: Desk,
    logs: [Log; 2],
    /// The day that is being read.
    newest: u32,
    /// The status of every day that any publish has shown, by how far it had come.
    statuses: BTreeMap<BusinessDay, usize>,
    restated: u64,
}

impl World {
    /// A store in which June was published, with dead letters that are about to expire.
    async fn new() -> Self {
        let mut desk = Desk::new();
        let mut logs = june(&mut desk).await;
        logs[1].reject(Some(noon(date(1, 1))));
        desk.write(&logs[1]).await;
        Self { desk, logs, newest: 20, statuses: BTreeMap::new(), restated: 0 }
    }

    fn all(&self) -> BTreeSet<ShardId> {
        self.logs.iter().map(|log| log.id.clone()).collect()
    }

    /// A day goes by, and with it come parcels of days that were final.
    async fn go_on(&mut self) {
        self.newest += 1;
        let late = date(6, self.newest - 8);
        for log in &mut self.logs {
            log.express(date(6, self.newest));
            log.express(late);
        }
        self.logs[0].accept(date(5, 30), 210_200, "standard", 5);
        for log in &self.logs {
            self.desk.write(log).await;
        }
    }

    /// A publisher of another process, which nothing stops.
    async fn take_over(&self) -> Publisher {
        let sound = Store::over(Arc::clone(&self.desk.inner), "memory".to_owned());
        Publisher::take_over(sound, self.desk.settings.clone()).await.expect("a publisher")
    }

    /// Publishes half a year later, so that dead letters have expired.
    async fn publish(&mut self, publisher: &mut Publisher) {
        let later = today() + Span::hours(24 * 200);
        publisher.publish(&self.all(), later).await.expect("nobody is in the way");
        self.restated += publisher.take_counts().restated;
        self.check_statuses().await;
    }

    /// No day shows less than it has shown before.
    async fn check_statuses(&mut self) {
        const ORDER: [&str; 4] = ["open", "complete_without", "complete", "final"];
        for month in [5, 6] {
            let rows = self.desk.rows(&file_key(Table::Calendar, Some(date(month, 1)))).await;
            for (day, status) in (0..).zip(texts(&rows, "status")) {
                let status = status.and_then(|shown| ORDER.iter().position(|s| *s == shown));
                let status = status.expect("one of four");
                let before = self.statuses.entry(date(month, 1).plus_days(day)).or_insert(status);
                assert!(*before <= status, "{month}, {day}: {} again", ORDER[status]);
                *before = status;
            }
        }
    }
}

/// Runs one world in which a publisher is stopped before its call number `place`. Returns whether it
/// made that many calls.
async fn run(place: usize, fate: Fate, has_published: bool) -> bool {
    let case = format!("stopped before call {place}, {fate:?}, has published: {has_published}");
    let mut world = World::new().await;
    let mut stopped = world.desk.take_over().await;
    // It knows what was final from its own last publish, or has taken over and has to learn it.
    if has_published {
        publish(&mut stopped, &[&world.logs[0], &world.logs[1]]).await.expect("something new");
    } else {
        let mut first = world.take_over().await;
        publish(&mut first, &[&world.logs[0], &world.logs[1]]).await.expect("something new");
        stopped = world.desk.take_over().await;
    }
    world.go_on().await;
    world.desk.faulty.hold_after(place);
    let (all, later) = (world.all(), today() + Span::hours(24 * 200));
    let mut task = tokio::spawn(async move {
        let outcome = stopped.publish(&all, later).await;
        (stopped, outcome)
    });
    let is_held = tokio::select! {
        () = world.desk.faulty.held() => true,
        _ = &mut task => false,
    };
    if !is_held {
        return false;
    }
    if matches!(fate, Fate::Dies) {
        task.abort();
    }
    let mut other = world.take_over().await;
    let publishes = if let Fate::Wakes(publishes) = fate { publishes } else { 1 };
    for _ in 0..publishes {
        world.go_on().await;
        world.publish(&mut other).await;
    }
    let is_woken = matches!(fate, Fate::Wakes(_));
    if is_woken {
        world.desk.faulty.release();
        let (mut woken, _) = task.await.expect("it does not panic");
        // It does not know yet that it is the publisher no longer.
        let _ = woken.publish(&world.all(), today() + Span::hours(24 * 200)).await;
        world.restated += woken.take_counts().restated;
    }
    other.inspect_files().await.expect("an inspection");
    world.go_on().await;
    world.publish(&mut other).await;
    other.inspect_files().await.expect("an inspection");

    world.desk.check_files().await;
    world.desk.check_history().await;
    let manifests = world.desk.manifests().await;
    check_line(&case, &manifests);
    let rows = check_exact(&world.desk, &case).await;
    assert!(rows >= 5, "{case}: too little was restated to prove anything: {rows}");
    if is_woken {
        assert_eq!(world.restated, rows as u64, "{case}: counted");
    }
    true
}

/// Stops a publisher before each of its calls in turn.
async fn run_all(fate: Fate, has_published: bool) {
    let mut place = 0;
    while run(place, fate, has_published).await {
        place += 1;
    }
    assert!(place > 30, "a publish makes more calls than {place}");
}

#[tokio::test]
async fn killed_before_any_call_it_leaves_nothing_that_its_successor_does_not_make_good() {
    run_all(Fate::Dies, false).await;
}

#[tokio::test]
async fn stopped_before_any_call_and_woken_it_does_no_lasting_harm() {
    run_all(Fate::Wakes(1), true).await;
}

#[tokio::test]
async fn woken_after_minutes_in_which_others_have_published_it_does_no_lasting_harm() {
    run_all(Fate::Wakes(3), false).await;
}
