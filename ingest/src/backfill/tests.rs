//! Backfills of small files into a store in memory.

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use postroad_schemas::codebook::Codebook;
use postroad_schemas::units::Span;
use tempfile::TempDir;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::config::IndicatorsConfig;
use crate::reference::ReferenceSet;

fn event(id: &str) -> String {
    format!(
        "{{\"event_id\":\"{id}\",\"event_type\":\"accepted\",\"product\":\"express\",\
         \"prefecture\":\"210100\",\"occurred_at\":\"2021-06-01T12:00:00+08:00\",\
         \"revenue_fen\":100}}"
    )
}

fn envelope(topic: &str, partition: i32, offset: i64, payload: Option<&str>) -> String {
    // 2021-06-01T12:00:00+08:00
    let ts = 1_622_520_000_000_i64;
    serde_json::json!({
        "topic": topic, "partition": partition, "offset": offset, "tstype": "create", "ts": ts,
        "broker": 0, "key": null, "payload": payload,
    })
    .to_string()
}

fn parcels(offsets: std::ops::Range<i64>) -> Vec<String> {
    offsets.map(|n| envelope("parcel.events", 0, n, Some(&event(&n.to_string())))).collect()
}

/// A folder of files, a store, and what to do with them.
struct Bench {
    folder: TempDir,
    store: Store,
    options: BackfillOptions,
}

impl Bench {
    fn new(format: LineFormat) -> Self {
        let codebook = Codebook::liaoning();
        let options = BackfillOptions {
            files: Vec::new(),
            format,
            contract: None,
            topic: None,
            rules: Rules::with_defaults(&codebook),
            publish: PublishSettings {
                reference: Arc::new(ReferenceSet::liaoning()),
                indicators: IndicatorsConfig::default(),
                grace: Span::hours(1),
                final_after: Span::hours(72),
                retention_days: 90,
            },
            keep_payload: false,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::over(Arc::new(InMemory::new()), "memory".to_owned());
        Self { folder, store, options }
    }

    fn write(&self, name: &str, lines: &[String]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, lines.join("\n")).expect("a file");
        path
    }

    async fn run(&mut self, files: &[&Path]) -> Result<Summary, Failure> {
        self.options.files = files.iter().map(|path| path.to_path_buf()).collect();
        backfill(&self.store, &self.options).await
    }

    async fn check_fails(&mut self, files: &[&Path], exit: Exit, words: &[&str]) {
        let failure = self.run(files).await.expect_err("a failure");
        assert_eq!(failure.exit, exit, "{failure}");
        for word in words {
            assert!(failure.message.contains(word), "{word:?} is not in: {failure}");
        }
        assert!(!failure.message.contains("event_id"), "a payload is shown: {failure}");
    }

    async fn objects(&self) -> Vec<(String, u64)> {
        let listed: Vec<_> =
            self.store.objects().list(None).try_collect().await.expect("a listing");
        listed.into_iter().map(|object| (object.location.to_string(), object.size)).collect()
    }

    async fn checkpoint(&self, id: &ShardId) -> Option<Checkpoint> {
        let found = self.store.newest_checkpoint(id).await.expect("a sound store");
        found.map(|(_, checkpoint)| checkpoint)
    }
}

#[tokio::test]
async fn envelopes_are_folded_published_and_then_change_nothing() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let mut lines = parcels(0..5);
    lines.insert(2, String::new());
    lines.push(envelope("parcel.events", 0, 7, Some(&event("0"))));
    lines.push(envelope("parcel.events", 0, 8, None));
    lines.push(envelope("parcel.events", 0, 9, Some("no JSON")));
    lines.push(envelope("parcel.events", 3, 100, Some(&event("x"))));
    let file = bench.write("a.kcat", &lines);
    let summary = bench.run(&[&file]).await.expect("sound files");
    let expect = Summary {
        applied: 6,
        duplicates: 1,
        rejected: 1,
        ignored: 1,
        skipped: 0,
        before_first: 0,
        publish: Some(1),
    };
    assert_eq!(summary, expect);
    let shard = bench.checkpoint(&ShardId::kafka("parcel.events", 0)).await.expect("a checkpoint");
    assert_eq!((shard.state.ledger.next.get(), shard.state.ledger.gaps), (10, 2));
    assert_eq!(shard.phase, Phase::Running, "`run` may go on from there");
    let other = bench.checkpoint(&ShardId::kafka("parcel.events", 3)).await.expect("a checkpoint");
    assert_eq!(other.state.ledger.first.get(), 100);

    let before = bench.objects().await;
    let again = bench.run(&[&file]).await.expect("sound files");
    assert_eq!(again, Summary { skipped: 9, ..Summary::default() });
    assert_eq!(bench.objects().await, before);
}

#[tokio::test]
async fn bare_values_are_a_closed_shard_of_their_file() {
    let mut bench = Bench::new(LineFormat::Ndjson);
    bench.options.contract = Some(Contract::Parcel);
    let file = bench.write("june.ndjson", &[event("a"), String::new(), event("b"), event("a")]);
    let summary = bench.run(&[&file]).await.expect("sound files");
    assert_eq!((summary.applied, summary.duplicates), (2, 1));
    let shard = bench.checkpoint(&ShardId::file("june.ndjson")).await.expect("a checkpoint");
    assert_eq!(shard.phase, Phase::Closed);
    assert_eq!((shard.state.ledger.next.get(), shard.state.ledger.gaps), (4, 1));
    let before = bench.objects().await;
    let again = bench.run(&[&file]).await.expect("sound files");
    assert_eq!(again, Summary { skipped: 3, ..Summary::default() });
    assert_eq!(bench.objects().await, before);
}

#[tokio::test]
async fn a_line_that_is_no_envelope_is_told_by_file_and_line() {
    let mut bench = Bench::new(LineFormat::Kcat);
    for bad in [
        event("x"),
        "no JSON".to_owned(),
        r#"{"topic":"parcel.events","partition":0,"offset":3}"#.to_owned(),
        r#"{"topic":"parcel.events","partition":0,"offset":-3,"payload":null}"#.to_owned(),
        r#"{"topic":"parcel.events","partition":0,"offset":3,"payload":{"event_id":1}}"#.to_owned(),
    ] {
        let mut lines = parcels(0..2);
        lines.extend([String::new(), bad]);
        let file = bench.write("bad.kcat", &lines);
        bench.check_fails(&[&file], Exit::DataErr, &["bad.kcat:4: ", "--input ndjson"]).await;
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_named() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let missing = bench.folder.path().join("missing.kcat");
    bench.check_fails(&[&missing], Exit::NoInput, &["missing.kcat", "cannot be opened"]).await;
    let folder = bench.folder.path().to_owned();
    bench.check_fails(&[&folder], Exit::NoInput, &["cannot be opened"]).await;
}

#[tokio::test]
async fn a_contract_is_implied_or_named() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let mut lines = parcels(0..1);
    lines.push(envelope("orders", 0, 0, Some(&event("x"))));
    let file = bench.write("a.kcat", &lines);
    let words = ["a.kcat:2: ", "`orders`", "--contract parcel"];
    bench.check_fails(&[&file], Exit::Usage, &words).await;
    bench.options.contract = Some(Contract::Parcel);
    assert_eq!(bench.run(&[&file]).await.expect("a contract").applied, 2);

    let mut bench = Bench::new(LineFormat::Ndjson);
    let file = bench.write("a.ndjson", &[event("a")]);
    bench.check_fails(&[&file], Exit::Usage, &["--contract parcel"]).await;
    bench.options.topic = Some("parcel.events".to_owned());
    assert_eq!(bench.run(&[&file]).await.expect("a contract").applied, 1);
}

#[tokio::test]
async fn two_files_of_one_base_name_are_refused_where_names_are_shards() {
    let mut bench = Bench::new(LineFormat::Ndjson);
    bench.options.contract = Some(Contract::Parcel);
    let (a, b) = (bench.write("1/a", &[event("a")]), bench.write("2/a", &[event("b")]));
    bench.check_fails(&[&a, &b], Exit::Usage, &["2/a", "rename one"]).await;
    assert_eq!(bench.objects().await, [], "nothing was begun");
    let mut bench = Bench::new(LineFormat::Kcat);
    let (a, b) = (bench.write("1/a", &parcels(0..1)), bench.write("2/a", &parcels(1..2)));
    assert_eq!(bench.run(&[&a, &b]).await.expect("envelopes say whose they are").applied, 2);
}

#[tokio::test]
async fn another_contract_than_the_stores_is_refused() {
    let mut bench = Bench::new(LineFormat::Ndjson);
    bench.options.contract = Some(Contract::Parcel);
    let file = bench.write("a", &[event("a")]);
    bench.run(&[&file]).await.expect("sound files");
    bench.options.contract = Some(Contract::Finance);
    let words = ["contract `parcel`, not `finance`", "use a new store"];
    bench.check_fails(&[&file], Exit::DataErr, &words).await;
}

#[tokio::test]
async fn a_file_that_changed_is_refused_and_nothing_written() {
    let mut bench = Bench::new(LineFormat::Ndjson);
    bench.options.contract = Some(Contract::Parcel);
    let file = bench.write("a", &[event("a"), event("b")]);
    bench.run(&[&file]).await.expect("sound files");
    let before = bench.objects().await;
    bench.write("a", &[event("a"), event("c"), event("d")]);
    let words = ["another record stands at offset 1", "use a new store"];
    bench.check_fails(&[&file], Exit::DataErr, &words).await;
    assert_eq!(bench.objects().await, before);
    // One that only grew is gone on with.
    bench.write("a", &[event("a"), event("b"), event("a"), event("d")]);
    let summary = bench.run(&[&file]).await.expect("a file that grew");
    assert_eq!((summary.applied, summary.duplicates, summary.skipped), (1, 1, 2));
}

#[tokio::test]
async fn a_topic_filter_leaves_the_others_alone() {
    let mut bench = Bench::new(LineFormat::Kcat);
    bench.options.topic = Some("parcel.events".to_owned());
    let mut lines = vec![envelope("unheard.of", 0, 0, Some("whatever"))];
    lines.extend(parcels(0..3));
    let file = bench.write("a.kcat", &lines);
    assert_eq!(bench.run(&[&file]).await.expect("sound files").applied, 3);
    assert!(bench.checkpoint(&ShardId::kafka("unheard.of", 0)).await.is_none());
}

#[tokio::test]
async fn the_dedupe_window_is_rebuilt_from_the_files_of_earlier_backfills() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let early = bench.write("early.kcat", &parcels(0..3));
    let middle = bench.write("middle.kcat", &parcels(3..6));
    bench.run(&[&early]).await.expect("sound files");
    bench.run(&[&middle]).await.expect("sound files");
    let late = bench.write(
        "late.kcat",
        &[
            envelope("parcel.events", 0, 6, Some(&event("0"))),
            envelope("parcel.events", 0, 7, Some(&event("5"))),
            envelope("parcel.events", 0, 8, Some(&event("new"))),
        ],
    );
    let summary = bench.run(&[&late]).await.expect("sound files");
    assert_eq!((summary.applied, summary.duplicates, summary.skipped), (1, 2, 0));
}

#[tokio::test]
async fn records_before_the_beginning_of_a_shard_are_told_apart_from_those_accounted_for() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let tail = bench.write("tail.kcat", &parcels(5..9));
    let whole = bench.write("whole.kcat", &parcels(0..9));
    bench.run(&[&tail]).await.expect("a sound file");
    let summary = bench.run(&[&whole]).await.expect("a sound file");
    assert_eq!((summary.before_first, summary.skipped, summary.applied), (5, 4, 0));
}

#[tokio::test]
async fn a_file_that_overlaps_the_one_before_goes_on_from_it() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let first = bench.write("first.kcat", &parcels(0..6));
    let second = bench.write("second.kcat", &parcels(4..9));
    bench.run(&[&first]).await.expect("a sound file");
    let summary = bench.run(&[&second]).await.expect("a sound file");
    assert_eq!((summary.applied, summary.skipped), (3, 2));
}

#[tokio::test]
async fn without_the_earlier_files_nothing_is_guessed() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let early = bench.write("early.kcat", &parcels(0..3));
    bench.run(&[&early]).await.expect("sound files");
    std::fs::remove_file(&early).expect("removed");
    let late = bench.write("late.kcat", &parcels(3..4));
    let before = bench.objects().await;
    let words = ["late.kcat", "parcel.events[0]", "from offset 0", "name the files"];
    bench.check_fails(&[&late], Exit::DataErr, &words).await;
    assert_eq!(bench.objects().await, before);
    // Found again under another name, and named before.
    let moved = bench.write("moved.kcat", &parcels(0..3));
    let summary = bench.run(&[&moved, &late]).await.expect("the files are named");
    assert_eq!((summary.applied, summary.skipped), (1, 3));
}

#[tokio::test]
async fn files_out_of_order_are_refused_before_anything_is_folded() {
    let mut bench = Bench::new(LineFormat::Kcat);
    let first = bench.write("p-1", &parcels(0..3));
    let tenth = bench.write("p-10", &parcels(6..9));
    let second = bench.write("p-2", &parcels(3..6));
    let words = ["p-2: it begins at offset 3", "parcel.events[0]", "p-10, which begins at 6"];
    bench.check_fails(&[&first, &tenth, &second], Exit::Usage, &words).await;
    assert!(bench.checkpoint(&ShardId::kafka("parcel.events", 0)).await.is_none());
    let summary = bench.run(&[&first, &second, &tenth]).await.expect("in order");
    assert_eq!((summary.applied, summary.skipped), (9, 0));
}

/// The first envelopes do not show every order: a file may hold several partitions.
#[tokio::test]
async fn a_record_that_a_file_before_jumped_over_is_not_called_accounted_for() {
    let other = || envelope("parcel.events", 1, 0, None);
    let mut bench = Bench::new(LineFormat::Kcat);
    let first = bench.write("a", &parcels(0..3));
    let third = bench.write("c", &[vec![other()], parcels(6..9)].concat());
    let second = bench.write("b", &parcels(3..6));
    let words = ["offset 3 lies in [3, 6)", "NOT COUNTED", "parcel.events[0]"];
    bench.check_fails(&[&first, &third, &second], Exit::DataErr, &words).await;
    assert!(bench.checkpoint(&ShardId::kafka("parcel.events", 0)).await.is_none());
    // A day later the store knows of the jump, and neither it nor the files change.
    bench.run(&[&first, &third]).await.expect("nothing tells that a file is missing");
    let before = bench.objects().await;
    bench.check_fails(&[&second], Exit::DataErr, &words).await;
    bench.run(&[&first, &third]).await.expect("all of it is accounted for");
    assert_eq!(bench.objects().await, before);
}

/// What a run that was refused had noted is no word on what a later one counts.
#[tokio::test]
async fn a_jump_that_was_never_checkpointed_refuses_nothing() {
    let other = || envelope("parcel.events", 1, 0, None);
    let mut bench = Bench::new(LineFormat::Kcat);
    let first = bench.write("a", &parcels(0..3));
    let third = bench.write("c", &[vec![other()], parcels(6..9)].concat());
    let second = bench.write("b", &parcels(3..6));
    bench.check_fails(&[&first, &third, &second], Exit::DataErr, &["NOT COUNTED"]).await;
    let in_order = [&*first, &*second, &*third];
    let summary = bench.run(&in_order).await.expect("in order");
    assert_eq!((summary.applied, summary.ignored, summary.skipped), (9, 1, 0));
    let summary = bench.run(&in_order).await.expect("all of it is accounted for");
    assert_eq!((summary.applied, summary.skipped), (0, 10));
}

#[tokio::test]
async fn what_is_no_file_of_records_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    for format in [LineFormat::Kcat, LineFormat::Ndjson] {
        let mut bench = Bench::new(format);
        bench.options.contract = Some(Contract::Parcel);
        let zipped = bench.folder.path().join("a.gz");
        std::fs::write(&zipped, b"\x1f\x8b\x08\0").expect("a file");
        bench.check_fails(&[&zipped], Exit::DataErr, &["a.gz is compressed", "zcat"]).await;
        let name = std::ffi::OsString::from_vec(b"\xd6\xd0.json".to_vec());
        let foreign = bench.folder.path().join(name);
        std::fs::write(&foreign, "").expect("a file");
        bench.check_fails(&[&foreign], Exit::Usage, &["not UTF-8", "rename it"]).await;
        let endless = Path::new("/dev/zero");
        bench.check_fails(&[endless], Exit::DataErr, &["/dev/zero:1: the line has more"]).await;
    }
    let mut bench = Bench::new(LineFormat::Kcat);
    bench.options.contract = Some(Contract::Parcel);
    for topic in ["", "..", "a/b", "\u{1b}[31m"] {
        let file = bench.write("topic", &[envelope(topic, 0, 0, None)]);
        bench.check_fails(&[&file], Exit::DataErr, &["topic:1: this is no envelope"]).await;
    }
}
