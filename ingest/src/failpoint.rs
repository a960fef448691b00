//! Places where a test ends or freezes the process: between two effects that a crash, or a long sleep,
//! may come between.
//!
//! They exist in builds with debug assertions and in those with the feature `failpoints`. In any other
//! build passing one is nothing, and nothing reads the order.

/// Declares the points once, so that no list can forget one.
macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place, named after what comes next or what went before.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// Every point.
            pub const ALL: &'static [Self] = &[$(Self::$point,)*];

            /// How an order names it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

points! {
    /// The store is proved, and nobody's yet.
    BeforeOwner = "before-owner",
    /// What a claim continues was read; its segments and its object are not there.
    BeforeClaim = "before-claim",
    /// The claim is there, and nobody knows.
    AfterClaim = "after-claim",
    /// A worker has sealed what is old of a state, and not encoded the rest.
    MidFreeze = "mid-freeze",
    /// The segments of a checkpoint are there, and it is not.
    AfterSegments = "after-segments",
    /// The checkpoint is not there.
    BeforeCheckpoint = "before-checkpoint",
    /// The checkpoint is there, and neither the lifecycle nor the group knows.
    AfterCheckpoint = "after-checkpoint",
    /// Nothing old is deleted.
    BeforeCollection = "before-collection",
    /// One old checkpoint is deleted of several.
    MidCollection = "mid-collection",
    /// Old checkpoints are deleted, the segments that only those listed are not.
    BeforeSegmentCollection = "before-segment-collection",
    /// A publish is drafted, and its manifest is not there.
    BeforeManifest = "before-manifest",
    /// The manifest is there, and none of its files is.
    AfterManifest = "after-manifest",
    /// A file is about to take its place: on a local disk it is written beside it.
    BeforeReplace = "before-replace",
    /// One file is in its place, of several.
    BetweenFiles = "between-files",
    /// A stall is known, and the chain does not say so.
    BeforeStall = "before-stall",
}

impl Point {
    /// Nothing, unless this build has points: then it ends the process without a word, or freezes it
    /// until somebody sends SIGCONT, if that was ordered for this passage.
    #[inline]
    pub fn pass(self) {
        #[cfg(any(debug_assertions, feature = "failpoints"))]
        order::pass(self);
    }
}

#[cfg(any(debug_assertions, feature = "failpoints"))]
pub use order::arm;

#[cfg(any(debug_assertions, feature = "failpoints"))]
mod order {
    use std::process::abort;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, raise};

    use super::Point;

    /// The one order of this process.
    static ORDER: OnceLock<Order> = OnceLock::new();

    #[derive(Debug)]
    struct Order {
        point: Point,
        /// At which passage, from 1.
        passage: u64,
        passed: AtomicU64,
        freezes: bool,
    }

    /// Takes an order: `POINT:PASSAGE:kill` or `POINT:PASSAGE:freeze`.
    ///
    /// # Panics
    /// When it is none, or not the first.
    pub fn arm(order: &str) {
        let parsed = parse(order).unwrap_or_else(|| panic!("not an order: {order}"));
        ORDER.set(parsed).expect("one order a process");
    }

    fn parse(order: &str) -> Option<Order> {
        let mut words = order.split(':');
        let (point, passage, action) = (words.next()?, words.next()?, words.next()?);
        let point = *Point::ALL.iter().find(|known| known.name() == point)?;
        let freezes = match action {
            "kill" => false,
            "freeze" => true,
            _ => return None,
        };
        let passage = passage.parse().ok()?;
        words.next().is_none().then_some(Order {
            point,
            passage,
            passed: AtomicU64::new(0),
            freezes,
        })
    }

    pub(super) fn pass(point: Point) {
        let Some(order) = ORDER.get().filter(|order| order.point == point) else { return };
        if order.passed.fetch_add(1, Ordering::AcqRel) + 1 != order.passage {
            return;
        }
        eprintln!("failpoint {}", point.name());
        if !order.freezes {
            abort();
        }
        // To this very thread: of a signal to the process another thread may hear first, while this one
        // goes on past the point.
        raise(Signal::SIGSTOP).expect("the process can freeze itself");
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn an_order_names_point_passage_and_action() {
            let order = parse("before-claim:3:freeze").expect("an order");
            assert_eq!((order.point, order.passage, order.freezes), (Point::BeforeClaim, 3, true));
            for not in ["", "before-claim", "before-claim:3", "x:1:kill", "before-claim:x:kill"] {
                assert!(parse(not).is_none(), "{not}");
            }
            assert!(parse("before-claim:1:kill:").is_none());
        }
    }
}
