//! Shards in motion: who owns one, how it is loaded, folded and checkpointed.
//!
//! ```text
//!              Granted            Claimed
//!   unowned ────────────▶ loading ──────────────────────▶ running
//!                          │  ▲ ▲                          │  │
//!             cannot go on │  │ └──────────────────────────┘  │ Diverged
//!                          │  │  Signal, Fenced, Recreated,   │
//!                          ▼  │  Decided                      │
//!                         stalled ◀──────────────────────────┘
//! ```
//!
//! What is stalled is loaded by a claim that succeeds, or that fails for another reason, and by a
//! decision. `Revoked` leads from everywhere to unowned.
//!
//! | state | reads | writes | left by |
//! |---|---|---|---|
//! | unowned | no | no | a grant |
//! | loading | no | one claim at a time, once the log still holds what is needed | the claim's answer, a revocation |
//! | running | yes | checkpoints, one at a time | a revocation, a fence, a topic made anew, a signal, a decision, a divergence |
//! | stalled | no | that it is, once | a revocation, a decision; a claim that does not stall, tried again now and then. Not by itself where this instance found the divergence: reading is what finds it, so only a decision or another owner claims it |
//!
//! Three kinds of thread take part. The *poll thread* ([`crate::source::kafka`]) owns the consumer.
//! *Workers* ([`worker`]) own the shards. The *loop* in [`crate::run`] owns the [`lifecycle`], a
//! plain state machine that says what to do next; claims and puts run as tasks and answer it by
//! message. A decision that is made while a claim is under way has one more follow it, since a claim
//! lists the decisions early. Whatever reaches a shard carries the generation of its assignment, and what is stale is
//! dropped.

pub mod claim;
pub mod lifecycle;
pub mod stall;
pub mod worker;
