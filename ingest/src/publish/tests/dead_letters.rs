//! Dead letters: by month of the record, for as long as they are kept.

use super::*;

fn letters_of(month: Option<BusinessDay>) -> String {
    let partition =
        month.map_or("__HIVE_DEFAULT_PARTITION__".to_owned(), |month| month.to_string());
    format!("tables/dead_letters/business_month={partition}/data.parquet")
}

fn offsets(rows: &RecordBatch) -> Vec<(i32, i64)> {
    let partition = rows.column_by_name("partition").expect("a column");
    let offset = rows.column_by_name("offset").expect("a column");
    let partitions = partition.as_primitive::<Int32Type>().values().iter().copied();
    partitions.zip(offset.as_primitive::<Int64Type>().values().iter().copied()).collect()
}

#[tokio::test]
async fn they_stand_by_month_of_the_record_and_without_one_apart() {
    let mut desk = Desk::new();
    let (mut first, mut second) = (Log::new(0), Log::new(1));
    second.reject(Some(noon(date(5, 31))));
    first.reject(Some(date(6, 1).start()));
    first.reject(Some(date(5, 31).end() - Span::minutes(1)));
    first.reject(None);
    // A clock so broken that no reader could show its year.
    first.reject(Some(Timestamp::from_micros(i64::MAX)));
    first.express(date(6, 1));
    desk.write(&first).await;
    desk.write(&second).await;
    publish(&mut desk.take_over().await, &[&first, &second]).await.expect("something new");
    desk.check_files().await;

    let may = desk.rows(&letters_of(Some(date(5, 1)))).await;
    assert_eq!(offsets(&may), [(0, 1), (1, 0)]);
    let june = desk.rows(&letters_of(Some(date(6, 1)))).await;
    assert_eq!(offsets(&june), [(0, 0)]);
    let unknown = desk.rows(&letters_of(None)).await;
    assert_eq!(offsets(&unknown), [(0, 2), (0, 3)]);
    assert_eq!(unknown.column_by_name("record_timestamp").expect("a column").null_count(), 2);
    for rows in [&may, &june, &unknown] {
        assert!(texts(rows, "reason").iter().all(|reason| reason.as_deref() == Some("malformed")));
        let payload = rows.column_by_name("payload").expect("a column");
        assert_eq!(payload.null_count(), rows.num_rows(), "nobody asked for payloads");
    }
}

#[tokio::test]
async fn they_are_kept_by_when_they_were_judged_and_then_forgotten_file_and_all() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    // Years old, but read today.
    log.reject(Some(noon(BusinessDay::from_civil(2015, 1, 1).expect("a date"))));
    log.express(date(6, 20));
    desk.write(&log).await;
    let key = letters_of(BusinessDay::from_civil(2015, 1, 1));
    let mut publisher = desk.take_over().await;
    let kept = Span::hours(90 * 24);
    let last_moment = today() + kept;
    publisher.publish(&expected(&[&log]), last_moment).await.expect("a publish").expect("new");
    assert_eq!(desk.rows(&key).await.num_rows(), 1);

    log.express(date(6, 20));
    desk.write(&log).await;
    let too_late = Timestamp::from_micros(last_moment.as_micros() + 1);
    publisher.publish(&expected(&[&log]), too_late).await.expect("a publish").expect("new");
    assert_eq!(desk.bytes(&key).await, None);
    desk.check_files().await;
    let ledger = desk.rows("tables/ledger/data.parquet").await;
    let rejected = ledger.column_by_name("rejected").expect("a column");
    assert_eq!(rejected.as_primitive::<Int64Type>().values(), &[1], "it is still accounted for");
}

#[tokio::test]
async fn payloads_stand_where_the_operator_keeps_them() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
    log.shard = Shard::resume(log.shard.state().clone(), vec![rules], IdKey([5; 16]), true);
    log.reject(Some(noon(date(6, 1))));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let rows = desk.rows(&letters_of(Some(date(6, 1)))).await;
    let payload = rows.column_by_name("payload").expect("a column").as_binary::<i32>();
    assert_eq!(payload.value(0), b"no JSON");
}
