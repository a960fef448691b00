//! Shards in motion: who owns one, how it is loaded, folded and checkpointed.
//!
//! ```text
//!              Granted            Claimed                Revoked, Fenced
//!   unowned ────────────▶ loading ────────▶ running ──────────────────────▶ unowned
//!                          │  ▲                │
//!             cannot go on │  │ Signal         │ Diverged
//!                          ▼  │                ▼
//!                         stalled ◀────────────┘
//! ```
//!
//! | state | reads | writes | left by |
//! |---|---|---|---|
//! | unowned | no | no | a grant |
//! | loading | no | one claim, once the log still holds what is needed | the claim's answer, a revocation |
//! | running | yes | checkpoints, one at a time | a revocation, a fence, a signal, a divergence |
//! | stalled | no | that it is, once | a revocation; a claim that succeeds after all, tried again now and then |
//!
//! Three kinds of thread take part. The *poll thread* ([`crate::source::kafka`]) owns the consumer.
//! *Workers* ([`worker`]) own the shards. The *loop* in [`crate::run`] owns the [`lifecycle`], a
//! plain state machine that says what to do next; claims and puts run as tasks and answer it by
//! message. Whatever reaches a shard carries the generation of its assignment, and what is stale is
//! dropped.

pub mod claim;
pub mod lifecycle;
pub mod stall;
pub mod worker;
