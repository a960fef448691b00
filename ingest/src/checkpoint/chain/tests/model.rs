//! Several writers, a store that fails in every way, many seeds.
//!
//! The payload of every commit is the list of the commits that it builds on, and itself. So the acknowledged commits
//! form one chain if each is a prefix of the next, and none is lost if all are prefixes of what is newest in the end.

use std::sync::Mutex;

use postroad_tests::faulty_store::Odds;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const SEEDS: u64 = 300;
const WRITERS: u64 = 3;
const STEPS: u32 = 25;

const ODDS: Odds = Odds {
    before: 30,
    after: 40,
    exists_after: 40,
    late: 60,
    late_calls_max: 60,
    conflict: 30,
    full: 10,
    // A damaged newest object loses what it held, by design; that has tests of its own.
    corrupt: 0,
    hang: 10,
    latency_ms_max: 5,
    slow: 0,
    slow_ms_max: 0,
};

/// What the world was told, in the order of telling.
type Acknowledged = Arc<Mutex<Vec<Bytes>>>;

struct Writer {
    chain: Chain,
    rng: StdRng,
    acknowledged: Acknowledged,
    commits: u64,
    name: u64,
}

impl Writer {
    /// Claims, commits, sleeps, is fenced, begins again.
    async fn run(mut self) {
        let mut held: Option<(Tip, Bytes)> = None;
        for _ in 0..STEPS {
            self.nap().await;
            held = match held {
                None => self.claim().await,
                Some((tip, state)) => self.extend(tip, state).await,
            };
            if let Some((tip, _)) = &held
                && self.rng.random_ratio(1, 3)
            {
                self.chain.collect(tip, 2).await;
            }
        }
    }

    async fn claim(&mut self) -> Option<(Tip, Bytes)> {
        let continued = async |found: Option<&Newest>| {
            Ok::<_, ChainError>(found.map_or_else(Bytes::new, |newest| newest.payload.clone()))
        };
        let (tip, found) = self.chain.take_over(continued).await.ok()?;
        Some((tip, found.map_or_else(Bytes::new, |newest| newest.payload)))
    }

    async fn extend(&mut self, tip: Tip, state: Bytes) -> Option<(Tip, Bytes)> {
        self.commits += 1;
        let state = Bytes::from(
            [&state[..], &self.name.to_le_bytes(), &self.commits.to_le_bytes()].concat(),
        );
        let mut outcome = self.chain.commit(tip, state.clone()).await;
        while let Err(CommitError::Unresolved { pending, .. }) = outcome {
            if self.rng.random_ratio(1, 4) {
                return None;
            }
            self.nap().await;
            outcome = self.chain.resume(*pending).await;
        }
        let tip = outcome.ok()?;
        self.acknowledged.lock().expect("no panic").push(state.clone());
        Some((tip, state))
    }

    /// Mostly short; sometimes so long that others claim, commit and collect.
    async fn nap(&mut self) {
        let ms_max = if self.rng.random_ratio(1, 6) { 3000 } else { 10 };
        sleep(Duration::from_millis(self.rng.random_range(0..ms_max))).await;
    }
}

fn nonces(seed: u64) -> Nonces {
    let rng = Mutex::new(StdRng::seed_from_u64(seed));
    Arc::new(move || rng.lock().expect("no panic").random())
}

fn check_lineage(seed: u64, moment: &str, acknowledged: &Acknowledged, newest: &Bytes) {
    let mut acknowledged = acknowledged.lock().expect("no panic").clone();
    acknowledged.sort_by_key(Bytes::len);
    acknowledged.push(newest.clone());
    for pair in acknowledged.windows(2) {
        assert!(
            pair[1].starts_with(&pair[0]),
            "seed {seed}, {moment}: an acknowledged commit is lost"
        );
    }
}

/// Runs one world, and returns how many commits it acknowledged and how high its chain grew.
async fn simulate(seed: u64) -> (usize, u64) {
    let faulty = FaultyStore::seeded(Arc::new(InMemory::new()), seed, ODDS);
    let store: Arc<dyn ObjectStore> = Arc::new(faulty.clone());
    let pace = Pace {
        call: Duration::from_millis(200),
        deadline: Duration::from_secs(1),
        tries: 4,
        ..Pace::default()
    };
    let chain = Chain::new(store, Path::from(PREFIX), nonces(seed), pace);
    let acknowledged = Acknowledged::default();
    let writers = (0..WRITERS).map(|name| {
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(WRITERS).wrapping_add(name));
        let (chain, acknowledged) = (chain.clone(), Arc::clone(&acknowledged));
        tokio::spawn(Writer { chain, rng, acknowledged, commits: 0, name }.run())
    });
    for writer in futures::future::join_all(writers).await {
        writer.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    faulty.heal();
    let before = newest(&chain).await;
    check_lineage(seed, "at the end", &acknowledged, &before.payload);
    faulty.land_late_writes().await;
    let after = newest(&chain).await;
    check_lineage(seed, "after late writes", &acknowledged, &after.payload);
    let acknowledged = acknowledged.lock().expect("no panic").len();
    (acknowledged, after.seq.get())
}

#[test]
fn acknowledged_commits_form_one_chain_and_none_is_lost() {
    let (mut acknowledged, mut height) = (0, 0);
    for seed in 0..SEEDS {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let world = runtime.expect("a runtime").block_on(simulate(seed));
        acknowledged += world.0;
        height += world.1;
    }
    assert!(
        acknowledged as u64 > SEEDS * 5,
        "the worlds were too hostile to prove anything: {acknowledged}"
    );
    assert!(height > SEEDS * 10, "the chains were too short to be collected: {height}");
}
