//! A process dies at each of its writes to the store and of its questions, one after the other.

use postroad_tests::sim::{Crashes, Faults, MANNERS, Manner, Scenario, run};

use crate::{failure, scenarios};

/// Writes and questions that a quiet world has at least.
const EFFECTS_MIN: u64 = 100;
/// Deaths at writes.
const WRITES_MIN: u64 = 90;

fn dying_at(effect: u64, manner: Manner) -> Scenario {
    let faults = Faults { crashes: Crashes::At(effect, manner), ..Faults::default() };
    Scenario { faults, ..scenarios::quiet() }
}

/// Whatever the effect, and whether it was never sent, lands late or has landed: whoever comes next
/// goes on, and the tables are the same in the end.
#[test]
fn a_death_at_every_effect_is_survived() {
    let alive = run(0, &scenarios::quiet(), false);
    assert_eq!(alive.violation, None, "{alive}");
    assert!(alive.effects >= EFFECTS_MIN, "only {} effects", alive.effects);
    let mut writes = 0;
    for effect in 0..alive.effects {
        for manner in MANNERS {
            let scenario = dying_at(effect, manner);
            let report = run(0, &scenario, false);
            let shown = || format!("{manner:?} {effect}: {}", failure(&report, &scenario));
            assert!(report.violation.is_none(), "{}", shown());
            assert_eq!(report.counts.get("crashes"), Some(&1), "{}", shown());
            // Nothing lands of a question, so that there is one manner to die at it.
            if report.counts.contains_key("crashes at a question") {
                break;
            }
            writes += 1;
        }
    }
    assert!(writes >= WRITES_MIN, "only {writes} writes");
}
