//! The table `indicators`: as of which days, when it is evaluated anew, and what is frozen.

use arrow::datatypes::Float64Type;

use super::*;

/// Growth of Shenyang's economy in the first five months, in per cent.
fn economy(percent: &str) -> Arc<ReferenceSet> {
    let benchmarks = format!(
        "versus,level,code,line,measure,period_start,period_end,growth_pct,source\n\
         local,prefecture,210100,,revenue,2021-01-01,2021-05-31,{percent},synthetic\n"
    );
    let files = [("benchmarks.csv".to_owned(), benchmarks)].into();
    Arc::new(ReferenceSet::from_files(files).expect("sound"))
}

/// Shenyang's express: 10.00 yuan in 2020 and 11.00 in 2021, so 10 per cent; the log ends at noon of a day.
fn grown(until: BusinessDay) -> Log {
    let mut log = Log::new(0);
    let before = BusinessDay::from_civil(2020, 3, 1).expect("a date");
    log.accept(before, 210_100, "express", 1_000);
    log.accept(date(3, 1), 210_100, "express", 1_100);
    log.accept(until, 210_200, "express", 1);
    log
}

fn indicators_of(month: u32) -> String {
    file_key(Table::Indicators, Some(date(month, 1)))
}

/// As of each day: Shenyang's growth, benchmark and light against its economy, in total, and the version of
/// the reference data.
async fn local(desk: &Desk, month: u32) -> Vec<(BusinessDay, f64, f64, String, String)> {
    let rows = desk.rows(&indicators_of(month)).await;
    let days = rows.column_by_name("as_of_date").expect("a column");
    let days = days.as_primitive::<Date32Type>().clone();
    let number = |name: &str| {
        rows.column_by_name(name).expect("a column").as_primitive::<Float64Type>().clone()
    };
    let (own, benchmark) = (number("own_growth"), number("benchmark"));
    let [codes, lines, comparisons, lights, versions] =
        ["prefecture_code", "line_code", "comparison", "light", "reference_version"]
            .map(|name| texts(&rows, name));
    let is_meant = |row: &usize| {
        codes[*row].as_deref() == Some("210100")
            && lines[*row].is_none()
            && comparisons[*row].as_deref() == Some("local")
    };
    let row = |row: usize| {
        let text = |texts: &[Option<String>]| texts[row].clone().unwrap_or_default();
        let day = BusinessDay::from_days(days.value(row));
        (day, own.value(row), benchmark.value(row), text(&lights), text(&versions))
    };
    (0..rows.num_rows()).filter(is_meant).map(row).collect()
}

fn days(rows: &[(BusinessDay, f64, f64, String, String)]) -> Vec<BusinessDay> {
    rows.iter().map(|(day, ..)| *day).collect()
}

/// An incomplete day makes nobody lag: it is in no as-of day, however little it holds.
#[tokio::test]
async fn indicators_are_as_of_complete_days_only() {
    let mut desk = Desk::new();
    desk.settings.reference = economy("8.5");
    let log = grown(date(6, 20));
    desk.write(&log).await;
    let made = publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let rows = local(&desk, 6).await;
    assert_eq!(days(&rows), [date(6, 18), date(6, 19)], "the 20th is open; two days of history");
    let version = desk.settings.reference.version.clone();
    assert_eq!(rows[1], (date(6, 19), 10.0, 8.5, "green".to_owned(), version));
    assert_eq!(made.evaluation.expect("evaluated").as_of, date(6, 19));
    desk.check_files().await;
}

/// A log in which nothing comes any more goes on completing days; they tell nothing, and make nobody lag.
#[tokio::test]
async fn days_that_the_log_has_not_reached_are_not_told() {
    let mut desk = Desk::new();
    let mut log = grown(date(6, 20));
    log.caught_up_at = Some(noon(date(7, 10)));
    desk.write(&log).await;
    let made = publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    assert_eq!(made.manifest.complete_through, Some(date(7, 9)));
    assert_eq!(made.evaluation.expect("evaluated").as_of, date(6, 20));
    assert_eq!(days(&local(&desk, 6).await), [date(6, 19), date(6, 20)]);
    assert!(!desk.keys().await.contains(&indicators_of(7)));
}

/// What a final day was held against stays, whatever is published later; what is not final follows.
#[tokio::test]
async fn days_that_are_final_are_frozen_with_their_reference_data() {
    let mut desk = Desk::new();
    desk.settings.reference = economy("8.5");
    let mut log = grown(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    let first = desk.settings.reference.version.clone();

    // By noon of the 22nd the 18th is final.
    log.accept(date(6, 22), 210_200, "express", 1);
    desk.write(&log).await;
    let made = publish(&mut publisher, &[&log]).await.expect("something new");
    let frozen_through = |manifest: &Manifest| manifest.indicators.and_then(|i| i.frozen_through);
    assert_eq!(frozen_through(&made.manifest), Some(date(6, 18)));
    assert_eq!(days(&local(&desk, 6).await), (18..=21).map(|d| date(6, d)).collect::<Vec<_>>());

    for successor in [false, true] {
        desk.settings.reference = economy(if successor { "13" } else { "12.5" });
        if successor {
            publisher = desk.take_over().await;
        }
        publisher.set_reference(Arc::clone(&desk.settings.reference));
        let made = publish(&mut publisher, &[&log]).await.expect("other reference data");
        assert_eq!(frozen_through(&made.manifest), Some(date(6, 18)));
        let rows = local(&desk, 6).await;
        let version = desk.settings.reference.version.clone();
        assert_eq!(rows[0], (date(6, 18), 10.0, 8.5, "green".to_owned(), first.clone()));
        for (day, (found, _, _, light, used)) in (19..=21).zip(&rows[1..]) {
            assert_eq!((*found, &**light, used), (date(6, day), "red", &version));
        }
        let kept = desk.store.reference(&version).await.expect("a sound store");
        assert_eq!(kept.as_ref(), Some(&*desk.settings.reference));
        publisher.inspect_files().await.expect("an inspection");
        desk.check_files().await;
        desk.check_history().await;
    }
}

/// A frozen day whose file is damaged comes back from the history, and the other way round.
#[tokio::test]
async fn frozen_days_have_two_copies() {
    let mut desk = Desk::new();
    desk.settings.reference = economy("8.5");
    let log = grown(date(6, 24));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    desk.settings.reference = economy("12.5");
    publish(&mut desk.take_over().await, &[&log]).await.expect("other reference data");
    let before = local(&desk, 6).await;
    assert_eq!(before.len(), 2);
    let place = crate::publish::history::indicators_place(date(6, 1));
    for is_file in [true, false] {
        let manifest = desk.manifests().await.pop().expect("a publish");
        let key = match manifest.history.get(&place) {
            Some(kept) if !is_file => kept.key.clone(),
            _ => indicators_of(6),
        };
        desk.inner.delete(&Path::from(key)).await.expect("deleted");
        publish(&mut desk.take_over().await, &[&log]).await.expect("something to mend");
        assert_eq!(local(&desk, 6).await, before, "file: {is_file}");
        desk.check_files().await;
    }
}

/// A frozen day is never evaluated again, so a column that is added later is null in its rows.
#[tokio::test]
async fn frozen_days_of_an_earlier_release_get_the_columns_that_were_added_since() {
    let mut desk = Desk::new();
    desk.settings.reference = economy("8.5");
    let log = grown(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let file = desk.bytes(&indicators_of(6)).await.expect("a file");
    let today = Table::Indicators.schema();
    let added = today.index_of("rank_change").expect("a column");
    let earlier: Vec<usize> = (0..today.fields().len()).filter(|index| *index != added).collect();
    let earlier_schema = Arc::new(today.project(&earlier).expect("a schema"));
    let mut groups = Vec::new();
    for group in parquet_file::groups(&file).expect("a file") {
        let day = parquet_file::splice(&today, &[group], 1).expect("a day").bytes;
        let day = parquet_file::decode(day).expect("a table").project(&earlier).expect("a batch");
        let day = parquet_file::encode(&day, 1).expect("encoded");
        groups.extend(parquet_file::groups(&day).expect("a file"));
    }
    assert_eq!(groups.len(), 2, "two days");
    let earlier_file = parquet_file::splice(&earlier_schema, &groups, 1).expect("a file").bytes;

    let frozen = Some((&earlier_file, date(6, 19)));
    let month = crate::publish::indicators::month(frozen, &[], None, 2).expect("it fits");
    let (found, expected) = (parquet_file::decode(month.file.bytes), parquet_file::decode(file));
    let (found, expected) = (found.expect("a table"), expected.expect("a table"));
    assert_eq!(found.schema().fields(), today.fields());
    let rest = |batch: &RecordBatch| batch.project(&earlier).expect("a batch").columns().to_vec();
    assert_eq!(rest(&found), rest(&expected), "every other figure is as it was");
    assert_eq!(found.column(added).null_count(), found.num_rows());

    let newer = [parquet_file::groups(&month.frozen.map_or(earlier_file, |kept| kept.bytes))]
        .into_iter()
        .flat_map(|groups| groups.expect("a file"))
        .collect::<Vec<_>>();
    let narrow = Arc::new(earlier_schema.project(&[0, 1]).expect("a schema"));
    let error = parquet_file::splice(&narrow, &newer, 3).expect_err("a column would be lost");
    assert!(error.to_string().contains("period_end is of a newer release"), "{error}");
}

/// A month of which neither copy is left has no file any more, not an empty one, and the next months go on.
#[tokio::test]
async fn frozen_days_of_which_both_copies_are_lost_leave_no_file() {
    let mut desk = Desk::new();
    desk.settings.reference = economy("8.5");
    let mut log = grown(date(7, 2));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    log.accept(date(7, 6), 210_200, "express", 1);
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let place = crate::publish::history::indicators_place(date(6, 1));
    let manifest = desk.manifests().await.pop().expect("a publish");
    for key in [indicators_of(6), manifest.history[&place].key.clone()] {
        desk.inner.delete(&Path::from(key)).await.expect("deleted");
    }
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something to mend");
    assert_eq!(publisher.take_counts().unknown, 1);
    for _ in 0..2 {
        let manifest = desk.manifests().await.pop().expect("a publish");
        assert!(!manifest.files.contains_key(&indicators_of(6)), "no file without rows");
        assert!(!manifest.history.contains_key(&place));
        assert!(manifest.files.contains_key(&indicators_of(7)));
        desk.check_files().await;
        log.accept(date(7, 7), 210_200, "express", 1);
        desk.write(&log).await;
        publish(&mut publisher, &[&log]).await.expect("something new");
    }
}

/// Late events move figures of complete days: they are told within the interval, not at each publish,
/// and the manifest says so meanwhile. Events of the open day move nothing.
#[tokio::test]
async fn late_events_are_evaluated_within_the_interval() {
    let mut desk = Desk::new();
    desk.settings.reference = economy("8.5");
    let mut log = grown(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    let own = async |desk: &Desk| local(desk, 6).await.pop().map(|(_, own, ..)| own);
    assert_eq!(own(&desk).await, Some(10.0));
    log.accept(date(6, 20), 210_100, "express", 9);
    desk.write(&log).await;
    let made = publish(&mut publisher, &[&log]).await.expect("today");
    let behind = |manifest: &Manifest| manifest.indicators.is_some_and(|entry| entry.behind);
    assert!(!behind(&made.manifest), "today is no part of it");

    log.accept(date(5, 1), 210_100, "express", 100);
    desk.write(&log).await;
    let made = publish(&mut publisher, &[&log]).await.expect("a late event");
    assert!(behind(&made.manifest));
    assert_eq!(own(&desk).await, Some(10.0));
    assert!(publish(&mut publisher, &[&log]).await.is_none(), "not yet");
    let later = today() + Span::seconds(10);
    let made = publisher.publish(&expected(&[&log]), later).await.expect("a publish");
    assert!(!behind(&made.expect("it is due").manifest));
    assert_eq!(own(&desk).await, Some(20.0));
}
