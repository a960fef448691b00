//! A deterministic simulation: real instances over a log, a group and a store that fail on purpose, on
//! virtual time and on one thread. A seed decides everything, so a failure can be looked at again.
//!
//! What is real: `run::Instance` with its lifecycle, claims, workers, chains and publisher. What is
//! simulated, each in a file of its name: the `log`, the `group`, the poll thread (`consumer`), the
//! brokers' answers (`cluster`), the store ([`crate::faulty_store`] behind one `gate` a process), clocks
//! and death (`life`). The `witness` sees every effect that lands and checks it against the promises.

mod cluster;
mod consumer;
mod dice;
mod fate;
mod gate;
mod group;
mod journal;
mod life;
mod log;
mod odds;
mod process;
mod records;
mod time;
mod witness;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic;
use std::sync::Once;

pub use self::odds::*;
use self::world::World;

/// What became of a world.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed that decided it.
    pub seed: u64,
    /// Effects on the store, answers of the brokers, events and deliveries.
    pub steps: u64,
    /// A hash of all that happened, in order.
    pub hash: u64,
    /// The promise that was broken first, if any was.
    pub violation: Option<String>,
    /// All that happened, if it was to be kept.
    pub lines: Vec<String>,
    /// Effects on the store and questions to it, at each of which a process can crash.
    pub effects: u64,
    /// How often what happened, for those who want to know whether a world was hostile at all.
    pub counts: BTreeMap<&'static str, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {}: {} steps, hash {:016x}", self.seed, self.steps, self.hash)?;
        match &self.violation {
            Some(violation) => write!(f, ": {violation}"),
            None => write!(f, ", all well"),
        }
    }
}

/// Runs the world of a seed, on this thread.
///
/// # Panics
/// Where there is no runtime to be had.
pub fn run(seed: u64, scenario: &Scenario, keep_lines: bool) -> Report {
    listen_for_panics();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    IN_WORLD.set(true);
    PANIC.take();
    let report =
        runtime.block_on(async { World::new(seed, scenario, keep_lines).await.live().await });
    drop(runtime);
    IN_WORLD.set(false);
    report
}

thread_local! {
    static IN_WORLD: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A task that panics takes nobody with it: the hook notes it for the world that it was part of.
fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IN_WORLD.get() {
                PANIC.set(Some(format!("a panic: {info}")));
            } else {
                before(info);
            }
        }));
    });
}

fn panicked() -> Option<String> {
    PANIC.take()
}
