//! The simulation: thousands of seeds, each a world in which things go wrong for a while and must come
//! right afterwards.
//!
//! A seed decides everything, so a failure names the one command that shows it again:
//! `POSTROAD_SIM_SEED=… cargo test -p postroad-tests --test sim -- replay --nocapture`.

mod crashes;
mod scenarios;
mod worlds;

use postroad_tests::sim::{Report, Scenario, run};

/// Lines of a trace that a failure shows; the replay shows all of them.
const SHOWN: usize = 60;

/// What a world that broke a promise leaves for whoever looks at it.
fn failure(report: &Report, scenario: &Scenario) -> String {
    let again = run(report.seed, scenario, true);
    let shown = again.lines.len().saturating_sub(SHOWN);
    format!("{}\n{report}", again.lines[shown..].join("\n"))
}

/// What was broken in a world, and the command that shows it again.
fn replay_it(report: &Report) -> String {
    let (seed, violation) = (report.seed, report.violation.as_deref().unwrap_or("nothing"));
    format!(
        "{violation}\n    POSTROAD_SIM_SEED={seed} cargo test -p postroad-tests --test sim -- replay --nocapture"
    )
}
