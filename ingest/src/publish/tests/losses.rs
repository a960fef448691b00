//! A damaged or half-made store never takes back what was published, and is cleared up.

use super::*;

#[tokio::test]
async fn a_shard_whose_only_checkpoint_was_published_and_lost_stops_the_publishing() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let only = log.id.prefix().join(Seq::new(0).to_string());
    desk.inner.delete(&only).await.expect("deleted");
    let failed = desk.take_over().await.publish(&expected(&[&log]), today()).await;
    assert!(matches!(failed, Err(PublishError::WentBack { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_claim_above_a_damaged_checkpoint_does_not_take_rows_back() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let before = log.checkpoint();
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let newest = log.id.prefix().join(Seq::new(1).to_string());
    desk.inner.put(&newest, Bytes::from_static(b"damaged").into()).await.expect("damaged");
    let chain = desk.store.chain(&log.id);
    let found = chain.newest().await.expect("a chain");
    let payload = Bytes::from(format::encode(&before));
    chain.claim(found.as_ref(), payload).await.expect("a store").expect("a claim");
    let failed = desk.take_over().await.publish(&expected(&[&log]), today()).await;
    assert!(matches!(failed, Err(PublishError::WentBack { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_crash_before_the_deletion_leaves_no_file_behind_for_ever() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.reject(Some(noon(date(1, 1))));
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    log.express(date(6, 20));
    desk.write(&log).await;
    // Each replacement deletes its scratch file; the last deletion is that of the dead letters.
    let later = today() + Span::hours(24 * 200);
    desk.faulty.fail_next(Op::Put, Fault::ExistsAfter);
    desk.faulty.fail_next(Op::Put, Fault::Full);
    publisher.publish(&expected(&[&log]), later).await.expect_err("a crash");
    let mut publisher = desk.take_over().await;
    publisher.publish(&expected(&[&log]), later).await.expect("a publish");
    desk.check_files().await;
}

#[tokio::test]
async fn dead_letters_expire_though_nothing_else_happens() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.reject(Some(noon(date(1, 1))));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    let later = today() + Span::hours(24 * 200);
    publisher.publish(&expected(&[&log]), later).await.expect("a publish");
    assert!(desk.keys().await.iter().all(|key| !key.contains("dead_letters")));
}

/// A chain that was lost and begun anew, where retention had cut the log, soon has more checkpoints
/// and higher offsets than were published, and less in its cells.
#[tokio::test]
async fn a_chain_begun_anew_does_not_replace_what_was_published() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let only = log.id.prefix().join(Seq::new(0).to_string());
    desk.inner.delete(&only).await.expect("deleted");
    desk.tips.clear();
    for _ in 0..3 {
        log.express(date(6, 20));
    }
    let mut anew = log.checkpoint();
    anew.state.ledger.first = NextOffset::new(1);
    desk.put(&anew).await;
    desk.put(&anew).await;
    let failed = desk.take_over().await.publish(&expected(&[&log]), today()).await;
    assert!(matches!(failed, Err(PublishError::WentBack { .. })), "{failed:?}");
}

/// What a claim asks before it begins a chain: whether the shard was published.
#[tokio::test]
async fn a_shard_that_was_published_is_known_by_the_newest_manifest() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    let known = async |desk: &Desk, id| {
        published_entry(&desk.store, id)
            .await
            .expect("a sound store")
            .map(|entry| entry.next_offset)
    };
    assert_eq!(known(&desk, &log.id).await, None);
    desk.write(&log).await;
    let waiting = Log::new(1);
    publish(&mut desk.take_over().await, &[&log, &waiting]).await.expect("something new");
    assert_eq!(known(&desk, &log.id).await, Some(Some(1)));
    assert_eq!(known(&desk, &waiting.id).await, None, "it was waited for, not published");
}
