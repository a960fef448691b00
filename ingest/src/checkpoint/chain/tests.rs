//! Every rule of the chain, each safety check alone, and a model check of racing writers over many seeds.
//!
//! Removing a check turns these red: C1 `ambiguous_success_is_a_commit`, `another_writers_object_is_a_fence`; C2
//! `a_late_twin_below_a_collected_chain_fences`; C3 `a_store_restored_behind_a_writer_fences`; C4 `a_claim_fences_the_writer_before`;
//! C5 `a_corrupt_newest_falls_back_loudly`.

use std::sync::atomic::{AtomicU64, Ordering};

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use postroad_tests::faulty_store::{Fault, FaultyStore, Op};

use super::*;
use crate::error::Kind;

mod model;

const PREFIX: &str = "state/orders-0";

/// A chain in memory whose store fails on demand.
struct Bench {
    inner: Arc<dyn ObjectStore>,
    faulty: FaultyStore,
    chain: Chain,
}

fn bench() -> Bench {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let faulty = FaultyStore::scripted(Arc::clone(&inner));
    let chain = chain_over(Arc::new(faulty.clone()));
    Bench { inner, faulty, chain }
}

fn chain_over(store: Arc<dyn ObjectStore>) -> Chain {
    let drawn = AtomicU64::new(1);
    let nonces = Arc::new(move || u128::from(drawn.fetch_add(1, Ordering::Relaxed)));
    Chain::new(store, Path::from(PREFIX), nonces, Pace::default())
}

fn payload(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Takes over and continues with whatever was found.
async fn claim(chain: &Chain) -> Tip {
    let same = async |found: Option<&Newest>| {
        Ok::<_, ChainError>(
            found.map_or_else(|| payload("genesis"), |newest| newest.payload.clone()),
        )
    };
    chain.take_over(same).await.expect("a claim").0
}

async fn newest(chain: &Chain) -> Newest {
    chain.newest().await.expect("a sound store").expect("an object")
}

async fn commit(chain: &Chain, tip: Tip, text: &str) -> Tip {
    chain.commit(tip, payload(text)).await.expect("a commit")
}

/// The places that are taken.
async fn places(chain: &Chain) -> Vec<u64> {
    chain.list(None).await.expect("a listing").into_iter().map(Seq::get).collect()
}

impl Bench {
    async fn overwrite(&self, seq: u64, bytes: impl Into<Bytes>) {
        let key = self.chain.key(Seq::new(seq));
        self.inner.put(&key, bytes.into().into()).await.expect("an overwrite");
    }

    async fn stored(&self, seq: u64) -> Bytes {
        let key = self.chain.key(Seq::new(seq));
        self.inner.get(&key).await.expect("an object").bytes().await.expect("its bytes")
    }

    async fn flip_a_bit(&self, seq: u64) {
        let mut bytes = self.stored(seq).await.to_vec();
        let last = bytes.len() - 17;
        bytes[last] ^= 1;
        self.overwrite(seq, bytes).await;
    }

    /// Commits once with `faults` in store, and expects it to be acknowledged and readable.
    #[track_caller]
    fn check_commits_through(faults: &[(Op, Fault)]) -> impl Future<Output = ()> {
        let bench = bench();
        async move {
            let tip = claim(&bench.chain).await;
            for &(op, fault) in faults {
                bench.faulty.fail_next(op, fault);
            }
            let tip = bench.chain.commit(tip, payload("one")).await;
            let tip = tip.unwrap_or_else(|error| panic!("{faults:?}: {error}"));
            bench.faulty.land_late_writes().await;
            let tip = commit(&bench.chain, tip, "two").await;
            assert_eq!((tip.seq(), tip.epoch()), (Seq::new(2), Epoch::FIRST));
            assert_eq!(newest(&bench.chain).await.payload, payload("two"));
        }
    }
}

#[track_caller]
fn check_fenced(outcome: Result<Tip, CommitError>, expect: Fence) {
    let error = outcome.expect_err("the writer must be fenced");
    assert_eq!(error.kind(), Kind::Fenced);
    let CommitError::Fenced { fence, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(fence, expect);
}

#[track_caller]
fn unresolved(outcome: Result<Tip, CommitError>) -> Pending {
    match outcome {
        Err(CommitError::Unresolved { pending, .. }) => *pending,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_empty_chain_is_claimed_and_extended() {
    let Bench { chain, .. } = bench();
    assert!(chain.newest().await.expect("a listing").is_none());
    let tip = claim(&chain).await;
    assert_eq!((tip.seq(), tip.epoch()), (Seq::FIRST, Epoch::FIRST));
    let tip = commit(&chain, tip, "one").await;
    let found = newest(&chain).await;
    assert_eq!((found.seq, found.epoch, found.nonce), (tip.seq, tip.epoch, tip.nonce));
    assert_eq!((found.payload, found.skipped), (payload("one"), vec![]));
    assert_eq!(chain.newest_after(Seq::FIRST).await.expect("a listing"), Some(tip.seq));
    assert_eq!(chain.newest_after(tip.seq).await.expect("a listing"), None);
}

#[tokio::test]
async fn a_chain_lives_on_a_local_disk() {
    let root = tempfile::tempdir().expect("a scratch directory");
    let local = LocalFileSystem::new_with_prefix(root.path()).expect("a store").with_fsync(true);
    let chain = chain_over(Arc::new(local));
    let old = claim(&chain).await;
    let mut tip = claim(&chain).await;
    check_fenced(chain.commit(old, payload("old")).await, Fence::Taken);
    for text in ["one", "two", "three"] {
        tip = commit(&chain, tip, text).await;
    }
    assert_eq!(chain.collect(&tip, 2).await.deleted, 3);
    assert_eq!(newest(&chain).await.payload, payload("three"));
    assert_eq!(places(&chain).await, [3, 4]);
}

#[tokio::test]
async fn foreign_names_are_no_objects_of_the_chain() {
    let Bench { chain, inner, .. } = bench();
    for name in
        ["5", "+0000000000000000005", "00000000000000000005.tmp", "sub/00000000000000000005"]
    {
        let key = Path::from(format!("{PREFIX}/{name}"));
        inner.put(&key, "x".into()).await.expect("a put");
    }
    assert!(chain.newest().await.expect("a listing").is_none());
}

// C1: ambiguity.

#[tokio::test(start_paused = true)]
async fn ambiguous_success_is_a_commit() {
    Bench::check_commits_through(&[(Op::Put, Fault::ExistsAfter)]).await;
    Bench::check_commits_through(&[(Op::Put, Fault::After)]).await;
    Bench::check_commits_through(&[(Op::Put, Fault::After), (Op::Get, Fault::Before)]).await;
}

#[tokio::test(start_paused = true)]
async fn failures_without_effect_are_tried_again() {
    for fault in [Fault::Before, Fault::Conflict, Fault::Full, Fault::Denied, Fault::Hang] {
        Bench::check_commits_through(&[(Op::Put, fault); 2]).await;
    }
    Bench::check_commits_through(&[(Op::List, Fault::Before), (Op::List, Fault::Hang)]).await;
    Bench::check_commits_through(&[(Op::Get, Fault::Before), (Op::Get, Fault::Hang)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_put_that_lands_late_is_a_commit() {
    for calls in [1, 2, 3, 4, 100] {
        Bench::check_commits_through(&[(Op::Put, Fault::Late(calls))]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_writers_object_is_a_fence() {
    let Bench { chain, faulty, .. } = bench();
    let old = claim(&chain).await;
    claim(&chain).await;
    faulty.fail_next(Op::Put, Fault::Before);
    check_fenced(chain.commit(old, payload("old")).await, Fence::Taken);
}

/// Two writers may well want to write the very same state: the nonce tells whose object it is.
#[tokio::test]
async fn the_same_payload_of_another_writer_is_a_fence() {
    let Bench { chain, .. } = bench();
    let tip = claim(&chain).await;
    let twin = Tip { ..tip };
    commit(&chain, tip, "same").await;
    check_fenced(chain.commit(twin, payload("same")).await, Fence::Taken);
}

#[tokio::test(start_paused = true)]
async fn an_unresolved_commit_goes_on_with_the_same_bytes() {
    let Bench { chain, faulty, .. } = bench();
    let tip = claim(&chain).await;
    let tries = Pace::default().tries as usize;
    for _ in 0..tries {
        faulty.fail_next(Op::Put, Fault::Before);
    }
    let puts = faulty.calls(Op::Put);
    let pending = unresolved(chain.commit(tip, payload("one")).await);
    assert_eq!(faulty.calls(Op::Put) - puts, tries);
    assert_eq!(places(&chain).await, [0]);
    let bytes = pending.bytes.clone();
    let tip = chain.resume(pending).await.expect("the store is well again");
    assert_eq!(
        bytes,
        Bench { inner: Arc::new(faulty.clone()), faulty, chain: chain.clone() }.stored(1).await
    );
    assert_eq!(tip.seq(), Seq::new(1));
}

#[tokio::test(start_paused = true)]
async fn an_unresolved_commit_is_fenced_by_a_claim_and_cannot_land_any_more() {
    let Bench { chain, faulty, .. } = bench();
    let tip = claim(&chain).await;
    for _ in 0..Pace::default().tries {
        faulty.fail_next(Op::Put, Fault::Late(1000));
    }
    let pending = unresolved(chain.commit(tip, payload("old")).await);
    let new = claim(&chain).await;
    faulty.land_late_writes().await;
    check_fenced(chain.resume(pending).await, Fence::Taken);
    commit(&chain, new, "new").await;
}

#[tokio::test(start_paused = true)]
async fn patience_ends_at_the_deadline_even_if_the_store_hangs() {
    let Bench { chain, faulty, .. } = bench();
    let tip = claim(&chain).await;
    for _ in 0..10 {
        faulty.fail_next(Op::Put, Fault::Hang);
        faulty.fail_next(Op::Get, Fault::Hang);
    }
    let begun = Instant::now();
    let error = chain.commit(tip, payload("one")).await.expect_err("no answer ever");
    assert!(begun.elapsed() <= Pace::default().deadline, "{:?}", begun.elapsed());
    assert_eq!(error.kind(), Kind::Retry);
}

// C2 and C3: old writers above and below collected places.

/// The trap: a first old writer leaves a stray object where one was collected; a second old writer goes on above the stray.
#[tokio::test]
async fn a_second_old_writer_above_a_stray_object_is_fenced() {
    let Bench { chain, .. } = bench();
    let first = claim(&chain).await;
    let second = claim(&chain).await;
    let mut tip = claim(&chain).await;
    for text in ["one", "two", "three", "four"] {
        tip = commit(&chain, tip, text).await;
    }
    chain.collect(&tip, 2).await;
    assert_eq!(places(&chain).await, [5, 6]);
    check_fenced(chain.commit(first, payload("stray")).await, Fence::Overtaken { newest: tip.seq });
    assert_eq!(places(&chain).await, [1, 5, 6]);
    check_fenced(chain.commit(second, payload("lost")).await, Fence::Overtaken { newest: tip.seq });
    assert_eq!(newest(&chain).await.payload, payload("four"));
    commit(&chain, tip, "five").await;
}

/// Worse than a stray of another: the place before holds the right nonce, because a create that timed out, and was
/// put again with success, landed once more after its object had been collected.
#[tokio::test(start_paused = true)]
async fn a_late_twin_below_a_collected_chain_fences() {
    let Bench { chain, faulty, .. } = bench();
    let tip = claim(&chain).await;
    faulty.fail_next(Op::Put, Fault::Late(1000));
    let old = commit(&chain, tip, "one").await;
    let mut tip = claim(&chain).await;
    for text in ["two", "three", "four"] {
        tip = commit(&chain, tip, text).await;
    }
    chain.collect(&tip, 2).await;
    faulty.land_late_writes().await;
    assert_eq!(places(&chain).await, [1, 4, 5]);
    check_fenced(chain.commit(old, payload("lost")).await, Fence::Overtaken { newest: tip.seq });
    assert_eq!(newest(&chain).await.payload, payload("four"));
}

#[tokio::test]
async fn a_claim_that_slept_through_a_collection_is_lost() {
    let Bench { chain, .. } = bench();
    let mut tip = claim(&chain).await;
    let found = newest(&chain).await;
    for text in ["one", "two", "three"] {
        tip = commit(&chain, tip, text).await;
    }
    chain.collect(&tip, 2).await;
    let claimed = chain.claim(Some(&found), found.payload.clone()).await.expect("a sound store");
    assert_eq!(claimed, None);
    assert_eq!(claim(&chain).await.seq(), Seq::new(4));
}

/// An operator restored an old copy while a writer ran, and another writer went on from it to just below the first one's place.
#[tokio::test]
async fn a_store_restored_behind_a_writer_fences() {
    let bench = bench();
    let Bench { chain, inner, .. } = &bench;
    let tip = claim(chain).await;
    let old = commit(chain, tip, "one").await;
    inner.delete(&chain.key(old.seq())).await.expect("the copy is older");
    let new = claim(chain).await;
    assert_eq!(new.seq(), old.seq());
    check_fenced(chain.commit(old, payload("lost")).await, Fence::Replaced);
}

#[tokio::test]
async fn a_store_emptied_behind_a_writer_fences() {
    let Bench { chain, inner, .. } = bench();
    let tip = claim(&chain).await;
    inner.delete(&chain.key(tip.seq())).await.expect("a delete");
    check_fenced(chain.commit(tip, payload("lost")).await, Fence::Removed);
}

// C4: claims.

#[tokio::test]
async fn a_claim_fences_the_writer_before() {
    let Bench { chain, .. } = bench();
    let tip = claim(&chain).await;
    let old = commit(&chain, tip, "one").await;
    let new = claim(&chain).await;
    assert_eq!((new.seq(), new.epoch()), (Seq::new(2), Epoch::new(2)));
    check_fenced(chain.commit(old, payload("old")).await, Fence::Taken);
    assert_eq!(newest(&chain).await.payload, payload("one"));
    commit(&chain, new, "new").await;
}

#[tokio::test]
async fn a_claimer_that_was_too_slow_reads_again() {
    let Bench { chain, .. } = bench();
    let mut writer = Some(claim(&chain).await);
    let mut seen = Vec::new();
    let (tip, found) = chain
        .take_over(async |found: Option<&Newest>| {
            let found = found.expect("an object").payload.clone();
            seen.push(found.clone());
            if let Some(tip) = writer.take() {
                commit(&chain, tip, "meanwhile").await;
            }
            Ok::<_, ChainError>(found)
        })
        .await
        .expect("a claim");
    assert_eq!(seen, [payload("genesis"), payload("meanwhile")]);
    assert_eq!((tip.seq(), found.expect("an object").seq), (Seq::new(2), Seq::new(1)));
    assert_eq!(newest(&chain).await.payload, payload("meanwhile"));
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_claim_is_settled_like_a_commit() {
    for fault in [
        Fault::Before,
        Fault::After,
        Fault::ExistsAfter,
        Fault::Conflict,
        Fault::Late(3),
        Fault::Hang,
    ] {
        let Bench { chain, faulty, .. } = bench();
        faulty.fail_next(Op::Put, fault);
        let tip = claim(&chain).await;
        assert_eq!((tip.seq(), tip.epoch()), (Seq::FIRST, Epoch::FIRST), "{fault:?}");
        commit(&chain, tip, "one").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_can_run_as_a_task() {
    let Bench { chain, .. } = bench();
    let tip = tokio::spawn(async move { claim(&chain).await }).await.expect("no panic");
    assert_eq!(tip.seq(), Seq::FIRST);
}

// C5: damage, and formats of the future.

#[tokio::test]
async fn a_corrupt_newest_falls_back_loudly() {
    let bench = bench();
    let chain = &bench.chain;
    let tip = claim(chain).await;
    let tip = commit(chain, tip, "one").await;
    let old = commit(chain, tip, "two").await;
    bench.flip_a_bit(2).await;
    let found = newest(chain).await;
    assert_eq!((found.seq, &found.payload), (Seq::new(1), &payload("one")));
    assert_eq!(found.skipped, [Corrupt { seq: Seq::new(2), why: Damage::Checksum }]);
    let new = claim(chain).await;
    assert_eq!(
        (new.seq(), new.epoch()),
        (Seq::new(3), Epoch::new(3)),
        "the damaged one may have been epoch 2"
    );
    check_fenced(chain.commit(old, payload("old")).await, Fence::Taken);
    commit(chain, new, "new").await;
}

/// Whoever takes the newest objects away by hand must not have their places used again: publishes have
/// named them.
#[tokio::test]
async fn a_claim_goes_above_what_is_known_to_have_been_there() {
    let bench = bench();
    let chain = &bench.chain;
    claim(chain).await;
    let found = newest(chain).await.above_lost(Seq::FIRST);
    assert_eq!(found.skipped, [], "it is there");
    let found = found.above_lost(Seq::new(7));
    assert_eq!(found.skipped, [Corrupt { seq: Seq::new(7), why: Damage::Gone }]);
    let new = chain.claim(Some(&found), payload("new")).await.expect("the store works");
    let new = new.expect("nobody was faster");
    assert_eq!((new.seq(), new.epoch()), (Seq::new(8), Epoch::new(3)), "it may have been epoch 2");
    commit(chain, new, "newer").await;
}

#[tokio::test]
async fn an_object_under_another_name_is_passed_over() {
    let bench = bench();
    claim(&bench.chain).await;
    bench.overwrite(1, bench.stored(0).await).await;
    let found = newest(&bench.chain).await;
    assert_eq!(
        found.skipped,
        [Corrupt { seq: Seq::new(1), why: Damage::Misplaced { says: Seq::FIRST } }]
    );
}

#[tokio::test]
async fn a_damaged_answer_is_not_a_damaged_object() {
    let Bench { chain, faulty, .. } = bench();
    claim(&chain).await;
    faulty.fail_next(Op::Get, Fault::Corrupt);
    assert_eq!(newest(&chain).await.skipped, []);
}

#[tokio::test]
async fn a_chain_of_damaged_objects_is_not_begun_anew() {
    let bench = bench();
    claim(&bench.chain).await;
    bench.overwrite(0, "").await;
    let error = bench.chain.newest().await.expect_err("nothing is whole");
    assert_eq!(error.kind(), Kind::Data);
    assert!(
        matches!(error, ChainError::AllDamaged { count: 1, damage: Damage::Short { len: 0 }, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_newer_format_is_refused_and_never_passed_over() {
    let bench = bench();
    let old = claim(&bench.chain).await;
    let mut newer = bench.stored(0).await.to_vec();
    newer.truncate(newer.len() - 16);
    newer[4] = 2;
    newer[8] = 1;
    let checksum = xxhash_rust::xxh3::xxh3_128(&newer);
    newer.extend(checksum.to_le_bytes());
    bench.overwrite(1, newer.clone()).await;
    let error = bench.chain.newest().await.expect_err("it is not ours to read");
    assert!(matches!(error, ChainError::Newer { version: 2, .. }), "{error}");
    assert_eq!(error.kind(), Kind::Config);
    check_fenced(bench.chain.commit(old, payload("old")).await, Fence::Taken);
    assert_eq!(bench.stored(1).await, newer);
}

// Collection.

#[tokio::test]
async fn collection_keeps_at_least_two() {
    let Bench { chain, .. } = bench();
    let mut tip = claim(&chain).await;
    for text in ["one", "two", "three", "four"] {
        tip = commit(&chain, tip, text).await;
    }
    assert_eq!(chain.collect(&tip, 4).await.deleted, 1);
    assert_eq!(places(&chain).await, [1, 2, 3, 4]);
    assert_eq!(chain.collect(&tip, 0).await.deleted, 2);
    assert_eq!(places(&chain).await, [3, 4]);
    assert_eq!(chain.collect(&tip, 2).await.deleted, 0);
}

#[tokio::test(start_paused = true)]
async fn collection_goes_upwards_and_stops_at_a_failure() {
    for fault in [Fault::Before, Fault::After, Fault::Late(1), Fault::Denied, Fault::Hang] {
        let Bench { chain, faulty, .. } = bench();
        let mut tip = claim(&chain).await;
        for text in ["one", "two", "three"] {
            tip = commit(&chain, tip, text).await;
        }
        faulty.fail_next(Op::Delete, fault);
        let collected = chain.collect(&tip, 2).await;
        assert_eq!(collected.deleted, 0);
        assert!(collected.stopped.is_some());
        assert!(places(&chain).await.ends_with(&[1, 2, 3]), "{fault:?}");
        assert!(chain.collect(&tip, 2).await.stopped.is_none());
        assert_eq!(places(&chain).await, [2, 3]);
    }
}

#[tokio::test]
async fn an_old_writers_collection_deletes_nothing_above_its_own() {
    let Bench { chain, .. } = bench();
    let tip = claim(&chain).await;
    let old = commit(&chain, tip, "one").await;
    let mut tip = claim(&chain).await;
    for text in ["two", "three"] {
        tip = commit(&chain, tip, text).await;
    }
    assert_eq!(chain.collect(&old, 2).await.deleted, 0);
    assert_eq!(places(&chain).await, [0, 1, 2, 3, 4]);
    assert_eq!(tip.seq(), Seq::new(4));
}

#[tokio::test]
async fn messages_name_operation_and_key_and_no_payload() {
    let Bench { chain, faulty, .. } = bench();
    faulty.fail_next(Op::List, Fault::Denied);
    let error = chain.newest().await.expect_err("denied");
    assert_eq!(error.to_string(), format!("could not list {PREFIX}"));
    assert_eq!(error.kind(), Kind::Config);
    let tip = claim(&chain).await;
    claim(&chain).await;
    let error = chain.commit(tip, payload("secret")).await.expect_err("fenced");
    let expect =
        format!("could not commit {PREFIX}/00000000000000000001: another writer took its place");
    assert_eq!(error.to_string(), expect);
    assert!(!format!("{:?}", newest(&chain).await).contains("genesis"));
}
