//! Two instances that both believe to be the publisher.

use postroad_tests::faulty_store::Odds;

use super::restatements::check_exact;
use super::*;

#[tokio::test]
async fn one_of_two_publishers_wins_each_number() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let (mut first, mut second) = (desk.take_over().await, desk.take_over().await);
    let early = drafted(&mut first, &[&log]).await;
    log.express(date(6, 20));
    desk.write(&log).await;
    let late = drafted(&mut second, &[&log]).await;
    assert_eq!((early.manifest.publish, late.manifest.publish), (1, 1));
    second.commit(late).await.expect("the number is free");
    let files = desk.bytes(&rollups_of(6)).await;
    let error = first.commit(early).await.expect_err("the number is taken");
    assert!(matches!(error, PublishError::Superseded(1)), "{error}");
    assert_eq!(error.kind(), Kind::Retry);
    assert_eq!(desk.bytes(&rollups_of(6)).await, files, "the loser has touched no file");
    desk.check_files().await;
    // The loser's next try goes on from there.
    assert!(publish(&mut first, &[&log]).await.is_none());
    log.express(date(6, 20));
    desk.write(&log).await;
    let published = publish(&mut first, &[&log]).await.expect("something new");
    assert_eq!(published.manifest.publish, 2);
    desk.check_files().await;
}

#[tokio::test]
async fn a_publisher_that_slept_after_its_manifest_replaces_no_file() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut sleeper = desk.take_over().await;
    let slept = drafted(&mut sleeper, &[&log]).await;
    desk.store.create(&manifest::key(1), slept.manifest.encode()).await.expect("created");

    log.express(date(6, 20));
    desk.write(&log).await;
    let mut successor = desk.take_over().await;
    let published = publish(&mut successor, &[&log]).await.expect("something new");
    assert_eq!(published.manifest.publish, 2);
    desk.check_files().await;

    let puts = desk.faulty.calls(Op::Put);
    let error = sleeper.commit(slept).await.expect_err("it is too late");
    assert!(matches!(error, PublishError::Superseded(2)), "{error}");
    // The reference data and the manifest are its own, found again; but no file follows.
    assert_eq!(desk.faulty.calls(Op::Put) - puts, 2);
    desk.check_files().await;
}

/// Somebody has cleaned up, and taken what the lights were held against for rubbish.
#[tokio::test]
async fn reference_data_that_were_deleted_come_back_with_the_next_publisher() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let version = desk.settings.reference.version.clone();
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    for moves in [false, true] {
        let key = Path::from(format!("references/{version}.json"));
        desk.inner.delete(&key).await.expect("it was there");
        let mut successor = desk.take_over().await;
        if moves {
            log.express(date(6, 20));
            desk.write(&log).await;
        }
        assert_eq!(publish(&mut successor, &[&log]).await.is_some(), moves);
        let kept = desk.store.reference(&version).await.expect("a sound store");
        assert_eq!(kept.as_ref(), Some(&*desk.settings.reference), "it moves: {moves}");
        let puts = desk.faulty.calls(Op::Put);
        assert!(publish(&mut successor, &[&log]).await.is_none());
        assert_eq!(desk.faulty.calls(Op::Put), puts, "it is put once");
    }
}

#[tokio::test]
async fn a_file_that_an_old_publisher_replaced_late_does_no_lasting_harm() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut old = desk.take_over().await;
    let slept = drafted(&mut old, &[&log]).await;
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    // Asleep between the look at the manifests and the rename, as it can be on a local disk.
    for (key, bytes) in slept.files {
        desk.inner.put(&Path::from(key), bytes.into()).await.expect("replaced");
    }
    let volume = async |desk: &Desk| {
        let rows = desk.rows(&rollups_of(6)).await;
        rows.column_by_name("volume").expect("a column").as_primitive::<Int64Type>().value(0)
    };
    assert_eq!(volume(&desk).await, 1, "readers see the past");
    publisher.inspect_files().await.expect("an inspection");
    publish(&mut publisher, &[&log]).await.expect("files to be mended");
    assert_eq!(volume(&desk).await, 2);
    desk.check_files().await;
}

/// A put that is held up on its way to the store, as by a publisher that was stopped for minutes.
#[tokio::test]
async fn a_late_replacement_changes_nothing_where_the_store_has_conditions() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut old = desk.take_over().await;
    publish(&mut old, &[&log]).await.expect("something new");
    log.express(date(6, 20));
    desk.write(&log).await;
    let slept = drafted(&mut old, &[&log]).await;
    desk.store.create(&manifest::key(2), slept.manifest.encode()).await.expect("created");
    // The file is looked at, no newer publish is found, and the put comes too late.
    let (key, bytes) = slept.files.into_iter().next().expect("a file");
    desk.faulty.fail_next(Op::Put, Fault::Late(u32::MAX));
    old.replace(&key, &bytes, 2).await.expect_err("no answer");

    let mut successor = desk.take_over().await;
    let published = publish(&mut successor, &[&log]).await.expect("files to be mended");
    assert_eq!(published.manifest.publish, 3);
    desk.check_files().await;
    desk.faulty.land_late_writes().await;
    desk.check_files().await;
}

/// A newer publish that is made between the two questions that come before a put: had the file been
/// looked at last, the put would meet the newer one's e-tag.
#[tokio::test]
async fn a_publisher_that_is_overtaken_between_its_questions_replaces_nothing() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut old = desk.take_over().await;
    publish(&mut old, &[&log]).await.expect("something new");
    let key = Path::from(rollups_of(6));
    // Both land before the second call that follows them.
    for (calls, key) in [(3, manifest::key(2)), (2, key.clone())] {
        desk.faulty.fail_next(Op::Put, Fault::Late(calls));
        let newer = Bytes::from_static(b"newer").into();
        desk.faulty.put(&key, newer).await.expect_err("the answer is lost");
    }
    let error = old.replace(key.as_ref(), &Bytes::from_static(b"older"), 1).await;
    let error = error.expect_err("it was overtaken");
    assert!(matches!(error, PublishError::Superseded(2)), "{error}");
    assert_eq!(desk.bytes(key.as_ref()).await.as_deref(), Some(&b"newer"[..]));
}

/// Whoever replaced the file while it was looked at may have made a newer publish; if not, the file
/// is looked at again.
#[tokio::test]
async fn a_file_that_was_changed_meanwhile_is_looked_at_again() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    let key = Path::from(rollups_of(6));
    desk.inner.put(&key, Bytes::from_static(b"not ours").into()).await.expect("written");
    for _ in 1..REPLACE_TRIES {
        desk.faulty.fail_next(Op::Put, Fault::Conflict);
    }
    publisher.replace(key.as_ref(), &Bytes::from_static(b"ours"), 1).await.expect("at last");
    assert_eq!(desk.bytes(key.as_ref()).await.as_deref(), Some(&b"ours"[..]));
    for _ in 0..REPLACE_TRIES {
        desk.faulty.fail_next(Op::Put, Fault::Conflict);
    }
    let contended = publisher.replace(key.as_ref(), &Bytes::from_static(b"again"), 1).await;
    let error = contended.expect_err("never");
    assert!(matches!(error, PublishError::Contended { .. }), "{error}");
    assert_eq!(error.kind(), Kind::Retry);

    publish(&mut publisher, &[&log]).await.expect("something new");
    desk.faulty.fail_next(Op::Put, Fault::Conflict);
    desk.store.create(&manifest::key(2), Bytes::new()).await.expect("created");
    let error = publisher.replace(key.as_ref(), &Bytes::new(), 1).await.expect_err("it is old");
    assert!(matches!(error, PublishError::Superseded(2)), "{error}");
}

/// Two publishers at once, growing shards with late records, and a store that fails by lot: whatever
/// happens, manifests are numbered without gaps, nothing in them goes back, every final cell that
/// moved is tabled once, and one inspection makes the files good.
#[tokio::test(start_paused = true)]
async fn whoever_publishes_the_manifests_form_one_line_and_restatements_are_exact() {
    const SEEDS: u64 = 25;
    const ODDS: Odds = Odds {
        before: 15,
        after: 20,
        exists_after: 30,
        late: 20,
        late_calls_max: 40,
        conflict: 10,
        full: 10,
        corrupt: 0,
        hang: 0,
        latency_ms_max: 3,
        slow: 0,
        slow_ms_max: 0,
    };
    let (mut published, mut restated) = (0, 0);
    for seed in 0..SEEDS {
        let mut desk = Desk::new();
        desk.faulty = FaultyStore::seeded(Arc::clone(&desk.inner), seed, ODDS);
        desk.store = Store::over(Arc::new(desk.faulty.clone()), "memory".to_owned());
        let mut logs = [Log::new(0), Log::new(1), Log::new(2)];
        let all: BTreeSet<_> = logs.iter().map(|log| log.id.clone()).collect();
        let mut publishers = [None, None];
        for step in 0_u64..30 {
            let lot =
                xxhash_rust::xxh3::xxh3_64(&[seed.to_le_bytes(), step.to_le_bytes()].concat());
            let lot = usize::try_from(lot % 10_000).expect("small");
            let log = &mut logs[lot % 3];
            log.express(date(6, 1 + u32::try_from(step / 2).expect("small")));
            if lot % 5 < 2 {
                log.express(date(6, 1 + u32::try_from(lot % 5).expect("small")));
            }
            if lot % 7 == 0 {
                log.reject(Some(noon(date(6, 1))));
            }
            desk.write(log).await;
            let [first, second] = &mut publishers;
            let turns = [lot % 3 != 1, lot % 3 != 2];
            tokio::join!(
                turn(&desk, first, &all, turns[0], lot % 11 == 0),
                turn(&desk, second, &all, turns[1], lot % 13 == 0),
            );
        }
        desk.faulty.heal();
        desk.faulty.land_late_writes().await;
        let mut last = desk.take_over().await;
        let all: Vec<_> = logs.iter().collect();
        publish(&mut last, &all).await;
        last.inspect_files().await.expect("an inspection");
        desk.check_files().await;
        desk.check_history().await;
        let manifests = desk.manifests().await;
        let case = format!("seed {seed}");
        check_line(&case, &manifests);
        published += manifests.len();
        restated += check_exact(&desk, &case).await;
    }
    assert!(published as u64 > SEEDS * 8, "too little was published: {published}");
    assert!(restated as u64 > SEEDS * 4, "too little was restated: {restated}");
}

/// Publishes, or takes over first; whatever fails is tried again at the next turn. One that dies has
/// done all of this in vain, or none of it.
async fn turn(
    desk: &Desk,
    place: &mut Option<Publisher>,
    all: &BTreeSet<ShardId>,
    has_turn: bool,
    dies: bool,
) {
    if !has_turn {
        return;
    }
    if place.is_none() {
        *place = Publisher::take_over(desk.store.clone(), desk.settings.clone()).await.ok();
    }
    if let Some(publisher) = place {
        let _ = publisher.publish(all, today()).await;
        assert_eq!(publisher.take_counts().unknown, 0);
    }
    if dies {
        *place = None;
    }
}

/// Publishes are numbered without gaps, and nothing in them goes back.
pub(super) fn check_line(case: &str, manifests: &[Manifest]) {
    for (index, found) in manifests.iter().enumerate() {
        assert_eq!(found.publish, index as u64 + 1, "{case}");
    }
    for pair in manifests.windows(2) {
        let [before, after] = pair else { unreachable!("windows of two") };
        assert!(before.complete_without_through <= after.complete_without_through, "{case}");
        assert!(before.complete_through <= after.complete_through, "{case}");
        assert!(before.final_through <= after.final_through, "{case}");
        for entry in &before.shards {
            let later = after.shards.iter().find(|later| later.id() == entry.id());
            let later = later.unwrap_or_else(|| panic!("{case}: a shard was lost"));
            assert!(entry.seq <= later.seq, "{case}");
            assert!(entry.next_offset <= later.next_offset, "{case}");
        }
    }
}
