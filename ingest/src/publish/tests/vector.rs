//! What never goes back: a shard's place, the set of shards, the status of a day.

use super::*;

#[tokio::test]
async fn a_shard_that_went_back_stops_the_publishing() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let newest = log.id.prefix().join(Seq::new(1).to_string());
    let removed = desk.bytes(newest.as_ref()).await.expect("a checkpoint");
    desk.inner.delete(&newest).await.expect("deleted");

    let mut publisher = desk.take_over().await;
    let error = publisher.publish(&expected(&[&log]), today()).await.expect_err("it went back");
    let PublishError::WentBack { found: Some((_, 1)), published: (_, 2), .. } = &error else {
        panic!("{error}")
    };
    assert!(error.to_string().contains("parcel.events[0]"), "{error}");
    assert_eq!(error.kind(), Kind::Data);
    assert_eq!(desk.manifests().await.len(), 1);
    desk.check_files().await;

    // Once it is restored, all goes on.
    desk.inner.put(&newest, removed.into()).await.expect("restored");
    assert!(publish(&mut publisher, &[&log]).await.is_none());
    log.express(date(6, 21));
    desk.write(&log).await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    desk.check_files().await;
}

/// The place counts, too: what a decision changes is in an object of the same offset.
#[tokio::test]
async fn a_shard_that_went_back_at_the_same_offset_stops_the_publishing() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    log.released_through = Some(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let newest = log.id.prefix().join(Seq::new(1).to_string());
    desk.inner.delete(&newest).await.expect("deleted");
    let failed = desk.take_over().await.publish(&expected(&[&log]), today()).await;
    assert!(matches!(failed, Err(PublishError::WentBack { .. })), "{failed:?}");
    assert_eq!(desk.manifests().await.len(), 1);
}

#[tokio::test]
async fn a_damaged_checkpoint_that_falls_back_stops_the_publishing_of_a_new_publisher() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    for _ in 0..3 {
        log.express(date(6, 20));
        desk.write(&log).await;
    }
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let newest = log.id.prefix().join(Seq::new(2).to_string());
    let mut bytes = desk.bytes(newest.as_ref()).await.expect("a checkpoint").to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    desk.inner.put(&newest, bytes.into()).await.expect("damaged");
    let failed = desk.take_over().await.publish(&expected(&[&log]), today()).await;
    let error = failed.expect_err("it went back");
    let PublishError::WentBack { found: Some((_, 2)), published: (_, 3), .. } = &error else {
        panic!("{error}")
    };
}

#[tokio::test]
async fn a_shard_that_is_no_longer_expected_stays() {
    let mut desk = Desk::new();
    let (mut here, mut gone) = (Log::new(0), Log::of(ShardId::file("gone.ndjson")));
    here.express(date(6, 20));
    gone.express(date(6, 20));
    gone.phase = Phase::Closed;
    desk.write(&here).await;
    desk.write(&gone).await;
    publish(&mut desk.take_over().await, &[&here, &gone]).await.expect("something new");
    here.express(date(6, 20));
    desk.write(&here).await;
    let made = publish(&mut desk.take_over().await, &[&here]).await.expect("something new");
    assert_eq!(made.manifest.shards.len(), 2);
    let rows = desk.rows(&rollups_of(6)).await;
    let volume = rows.column_by_name("volume").expect("a column").as_primitive::<Int64Type>();
    assert_eq!(volume.values(), &[3]);
    let ledger = desk.rows("tables/ledger/data.parquet").await;
    assert_eq!(texts(&ledger, "topic").len(), 2);
    let state: Vec<_> = texts(&ledger, "state").into_iter().flatten().collect();
    assert_eq!(state, ["running", "closed"]);
}

#[tokio::test]
async fn a_shard_without_a_checkpoint_holds_its_days_open() {
    let mut desk = Desk::new();
    let (mut read, mut missing) = (Log::new(0), Log::new(1));
    read.express(date(6, 10));
    read.express(date(6, 20));
    desk.write(&read).await;
    let mut publisher = desk.take_over().await;
    let made = publish(&mut publisher, &[&read, &missing]).await.expect("something new");
    assert_eq!(made.manifest.complete_through, None);
    assert_eq!(made.manifest.shards[1].seq, None);
    assert_eq!(statuses(&desk, 6).await, [(10, "open".to_owned()), (20, "open".to_owned())]);
    missing.express(date(6, 18));
    desk.write(&missing).await;
    publish(&mut publisher, &[&read, &missing]).await.expect("something new");
    let expect = [(10, "final"), (18, "open"), (20, "open")];
    assert_eq!(statuses(&desk, 6).await, expect.map(|(day, status)| (day, status.to_owned())));
    desk.check_files().await;
}

#[tokio::test]
async fn a_days_status_goes_from_open_to_complete_to_final_and_never_back() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    let mut publisher = desk.take_over().await;
    for (day, status) in [(10, "open"), (11, "complete"), (12, "complete"), (14, "final")] {
        log.express(date(6, day));
        desk.write(&log).await;
        publish(&mut publisher, &[&log]).await.expect("something new");
        assert_eq!(statuses(&desk, 6).await[0], (10, status.to_owned()), "on the {day}th");
    }
    let calendar = desk.rows(&file_key(Table::Calendar, Some(date(6, 1)))).await;
    assert_eq!(calendar.num_rows(), 30);
    assert_eq!(texts(&calendar, "status")[9].as_deref(), Some("final"));
    assert_eq!(texts(&calendar, "status")[13].as_deref(), Some("open"));

    // A partition that was added knows nothing yet, and a successor knows only the manifest.
    let mut added = Log::new(1);
    let mut successor = desk.take_over().await;
    let made = publish(&mut successor, &[&log, &added]).await.expect("something new");
    assert_eq!(made.manifest.final_through, Some(date(6, 10)));
    added.express(date(6, 2));
    desk.write(&added).await;
    publish(&mut successor, &[&log, &added]).await.expect("something new");
    let shown = statuses(&desk, 6).await;
    let of = |day: u32| shown.iter().find(|(of, _)| *of == day).map(|(_, status)| &**status);
    assert_eq!((of(2), of(10), of(13)), (Some("final"), Some("final"), None));
    assert_eq!((of(12), of(14)), (Some("complete"), Some("open")));
    desk.check_files().await;
}

#[tokio::test]
async fn an_idle_shard_releases_days_once_it_was_caught_up() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 10));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    assert_eq!(statuses(&desk, 6).await, [(10, "open".to_owned())]);
    log.caught_up_at = Some(date(6, 10).end() + GRACE);
    desk.write(&log).await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    assert_eq!(statuses(&desk, 6).await, [(10, "complete".to_owned())]);
}

#[tokio::test]
async fn a_released_day_is_shown_as_such_until_its_shard_has_passed_it() {
    let mut desk = Desk::new();
    let (mut read, mut stalled) = (Log::new(0), Log::new(1));
    for day in [5, 8, 9, 15, 16, 20] {
        read.express(date(6, day));
    }
    stalled.express(date(6, 9));
    desk.write(&read).await;
    desk.write(&stalled).await;
    let mut publisher = desk.take_over().await;
    let show = async |desk: &Desk| {
        let mut shown = statuses(desk, 6).await;
        shown.dedup();
        shown.into_iter().map(|(day, status)| format!("{day} {status}")).collect::<Vec<_>>()
    };
    publish(&mut publisher, &[&read, &stalled]).await.expect("something new");
    assert_eq!(
        show(&desk).await,
        ["5 final", "8 complete", "9 open", "15 open", "16 open", "20 open"]
    );

    stalled.released_through = Some(date(6, 15));
    desk.write(&stalled).await;
    let made = publish(&mut publisher, &[&read, &stalled]).await.expect("something new");
    assert_eq!(made.manifest.shards[1].released_through, Some(date(6, 15)));
    assert_eq!(made.manifest.complete_without_through, Some(date(6, 15)));
    assert_eq!(made.manifest.complete_through, Some(date(6, 8)));
    let without = [
        "5 final",
        "8 complete",
        "9 complete_without",
        "15 complete_without",
        "16 open",
        "20 open",
    ];
    assert_eq!(show(&desk).await, without);
    let calendar = desk.rows(&file_key(Table::Calendar, Some(date(6, 1)))).await;
    assert_eq!(texts(&calendar, "status")[11].as_deref(), Some("complete_without"));
    let table = desk.rows("tables/publishes/data.parquet").await;
    let through = table.column_by_name("complete_without_through").expect("a column");
    assert_eq!(through.as_primitive::<Date32Type>().value(1), date(6, 15).days());

    // Whoever takes over and sees no release takes none back.
    stalled.released_through = None;
    desk.write(&stalled).await;
    publish(&mut desk.take_over().await, &[&read, &stalled]).await.expect("something new");
    assert_eq!(show(&desk).await, without);

    // The shard reads on: the days that it has passed are complete with it, then final. What it adds
    // to a day that was complete without it is no restatement.
    stalled.express(date(6, 9));
    stalled.express(date(6, 13));
    desk.write(&stalled).await;
    publish(&mut desk.take_over().await, &[&read, &stalled]).await.expect("something new");
    let expect = ["5 final", "8 final", "9 final", "13 complete_without"];
    assert_eq!(show(&desk).await[..4], expect);
    assert!(!desk.keys().await.iter().any(|key| key.contains("restatements")));
    stalled.express(date(6, 20));
    desk.write(&stalled).await;
    publish(&mut desk.take_over().await, &[&read, &stalled]).await.expect("something new");
    let expect = ["9 final", "13 final", "15 final", "16 final", "20 open"];
    assert_eq!(show(&desk).await[2..], expect);
    desk.check_files().await;
}

/// A life of a topic that has ended stays merged beside the next one, for ever.
#[tokio::test]
async fn a_closed_incarnation_stays_merged_beside_the_next_one() {
    let mut desk = Desk::new();
    let mut ended = Log::new(0);
    ended.express(date(6, 19));
    ended.phase = Phase::Closed;
    let next = ShardId { incarnation: 1, ..ended.id.clone() };
    let mut next = Log::of(next);
    desk.write(&ended).await;
    publish(&mut desk.take_over().await, &[&ended]).await.expect("something new");
    for round in 1..=2 {
        next.express(date(6, 19));
        desk.write(&next).await;
        // Kafka tells of the partition, not of its lives.
        let made = publish(&mut desk.take_over().await, &[&ended]).await.expect("something new");
        let lives: Vec<_> = made.manifest.shards.iter().map(|entry| entry.incarnation).collect();
        assert_eq!(lives, [0, 1]);
        let rows = desk.rows(&rollups_of(6)).await;
        let volume = rows.column_by_name("volume").expect("a column");
        assert_eq!(volume.as_primitive::<Int64Type>().values(), &[1 + round]);
    }
    let ledger = desk.rows("tables/ledger/data.parquet").await;
    let state: Vec<_> = texts(&ledger, "state").into_iter().flatten().collect();
    assert_eq!(state, ["closed", "running"]);
}

/// A distant store must not make a publish last as long as the sum of its answers.
#[tokio::test]
async fn shards_and_manifests_are_asked_for_together() {
    let mut desk = Desk::new();
    let mut logs: Vec<_> = (0..8).map(Log::new).collect();
    let mut publisher = desk.take_over().await;
    for number in 1..=8 {
        for log in &mut logs {
            log.express(date(6, number));
            desk.write(log).await;
        }
        publish(&mut publisher, &logs.iter().collect::<Vec<_>>()).await.expect("something new");
    }
    // Held: the first manifest, after the listing of all.
    let (store, settings) = (desk.store.clone(), desk.settings.clone());
    let made =
        calls_while_held(
            &desk,
            1,
            async move { Publisher::take_over(store, settings).await.map(drop) },
        );
    assert!(made.await > 8, "one passed, and eight at once");
    for log in &mut logs {
        log.express(date(6, 9));
        desk.write(log).await;
    }
    // Held: the first shard, after the listing of manifests.
    let shards = expected(&logs.iter().collect::<Vec<_>>());
    let made =
        calls_while_held(
            &desk,
            1,
            async move { publisher.publish(&shards, today()).await.map(drop) },
        );
    assert!(made.await > 8, "one passed, and eight at once");
}

/// How many calls are made while the one after `passed` is not answered.
async fn calls_while_held(
    desk: &Desk,
    passed: usize,
    work: impl Future<Output = Result<(), PublishError>> + Send + 'static,
) -> usize {
    desk.faulty.hold_after(passed);
    let before = desk.faulty.calls_of_all();
    let task = tokio::spawn(work);
    desk.faulty.held().await;
    let made = desk.faulty.calls_of_all() - before;
    desk.faulty.release();
    task.await.expect("it does not panic").expect("a sound store");
    made
}
