//! Publishes over a store in memory: what is written, by whom, and what never goes back.

use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaData;
use postroad_aggregate::event::IdKey;
use postroad_aggregate::rules::{Rules, RulesId};
use postroad_aggregate::shard::{Record, Shard, ShardState};
use postroad_schemas::codebook::Codebook;
use postroad_schemas::contract::Contract;
use postroad_schemas::tables::Table;
use postroad_schemas::units::{BusinessDay, NextOffset, Offset};
use postroad_tests::faulty_store::{Fault, FaultyStore, Op};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Int32Type, Int64Type};

use super::draft::file_key;
use super::*;
use crate::checkpoint::chain::Tip;
use crate::checkpoint::{Phase, Standing, format};
use crate::error::Kind;

mod dead_letters;
mod history;
mod indicators;
mod interleavings;
mod losses;
mod manifests;
mod races;
mod restatements;
mod tables;
mod vector;

const GRACE: Span = Span::hours(1);
const FINAL: Span = Span::hours(72);

fn date(month: u32, day: u32) -> BusinessDay {
    BusinessDay::from_civil(2021, month, day).expect("a date")
}

fn noon(day: BusinessDay) -> Timestamp {
    day.start() + Span::hours(12)
}

/// When the publishes are made, unless a test says otherwise.
fn today() -> Timestamp {
    noon(date(8, 1))
}

/// A shard that is folded from events.
struct Log {
    id: ShardId,
    shard: Shard,
    next: i64,
    phase: Phase,
    caught_up_at: Option<Timestamp>,
    released_through: Option<BusinessDay>,
}

impl Log {
    fn new(partition: i32) -> Self {
        Self::of(ShardId::kafka("parcel.events", partition))
    }

    fn of(id: ShardId) -> Self {
        let rules = Arc::new(Rules::with_defaults(&Codebook::liaoning()));
        let state = ShardState::new(Contract::Parcel, NextOffset::new(0), RulesId::of(b"rules"));
        let shard = Shard::resume(state, vec![rules], IdKey([5; 16]), false);
        let phase = Phase::Running;
        Self { id, shard, next: 0, phase, caught_up_at: None, released_through: None }
    }

    fn take(&mut self, value: Option<&str>, timestamp: Option<Timestamp>) {
        let value = value.map(str::as_bytes);
        let record = Record { offset: Offset::new(self.next), timestamp, value };
        self.shard.step(&record, today()).expect("the log is its own");
        self.next += 1;
    }

    /// An accepted parcel at noon.
    fn accept(&mut self, day: BusinessDay, prefecture: u32, product: &str, revenue_fen: i64) {
        let value = format!(
            r#"{{"event_id":"{}-{}","event_type":"accepted","product":"{product}",
            "prefecture":"{prefecture}","occurred_at":"{day}T12:00:00+08:00",
            "revenue_fen":{revenue_fen},"weight_g":250}}"#,
            self.id, self.next
        );
        self.take(Some(&value), Some(noon(day)));
    }

    fn express(&mut self, day: BusinessDay) {
        self.accept(day, 210_100, "express", 1_200);
    }

    fn reject(&mut self, timestamp: Option<Timestamp>) {
        self.take(Some("no JSON"), timestamp);
    }

    fn checkpoint(&self) -> Checkpoint {
        let mut standing = Standing::new(self.id.clone());
        (standing.phase, standing.caught_up_at) = (self.phase, self.caught_up_at);
        standing.released_through = self.released_through;
        standing.with(self.shard.state().clone())
    }
}

/// A store in memory that fails on demand, and the ends of the chains in it.
struct Desk {
    inner: Arc<dyn ObjectStore>,
    faulty: FaultyStore,
    store: Store,
    tips: BTreeMap<ShardId, Tip>,
    settings: PublishSettings,
}

impl Desk {
    fn new() -> Self {
        let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let faulty = FaultyStore::scripted(Arc::clone(&inner));
        Self {
            store: Store::over(Arc::new(faulty.clone()), "memory".to_owned()),
            inner,
            faulty,
            tips: BTreeMap::new(),
            settings: PublishSettings {
                reference: named(Codebook::LIAONING_CSV),
                indicators: IndicatorsConfig { history_days: 2, ..IndicatorsConfig::default() },
                grace: GRACE,
                final_after: FINAL,
                retention_days: 90,
            },
        }
    }

    /// Adds a checkpoint to its shard's chain.
    async fn put(&mut self, checkpoint: &Checkpoint) {
        let sound = Store::over(Arc::clone(&self.inner), "memory".to_owned());
        let chain = sound.chain(&checkpoint.id);
        let payload = Bytes::from(format::encode(checkpoint));
        let tip = match self.tips.remove(&checkpoint.id) {
            Some(tip) => chain.commit(tip, payload).await.expect("a commit"),
            None => chain.claim(None, payload).await.expect("a sound store").expect("a new chain"),
        };
        self.tips.insert(checkpoint.id.clone(), tip);
    }

    async fn write(&mut self, log: &Log) {
        self.put(&log.checkpoint()).await;
    }

    async fn take_over(&self) -> Publisher {
        Publisher::take_over(self.store.clone(), self.settings.clone()).await.expect("a publisher")
    }

    async fn bytes(&self, key: &str) -> Option<Bytes> {
        let found = self.inner.get(&Path::from(key)).await.ok()?;
        Some(found.bytes().await.expect("its bytes"))
    }

    async fn file(&self, key: &str) -> (ParquetMetaData, RecordBatch) {
        let bytes = self.bytes(key).await.unwrap_or_else(|| panic!("{key} is missing"));
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file");
        let metadata = reader.metadata().as_ref().clone();
        let schema = reader.schema().clone();
        let reader = reader.with_batch_size(1 << 20).build().expect("a reader");
        let batches: Vec<_> = reader.map(|batch| batch.expect("a batch")).collect();
        let rows = arrow::compute::concat_batches(&schema, &batches).expect("one schema");
        (metadata, rows)
    }

    async fn rows(&self, key: &str) -> RecordBatch {
        self.file(key).await.1
    }

    /// Every manifest, ascending.
    async fn manifests(&self) -> Vec<Manifest> {
        let folder = manifest::folder();
        let listed: Vec<_> = self.inner.list(Some(&folder)).try_collect().await.expect("a list");
        let mut manifests = Vec::new();
        for object in listed {
            let content = self.bytes(object.location.as_ref()).await.expect("listed");
            manifests.push(serde_json::from_slice(&content).expect("a manifest"));
        }
        manifests.sort_by_key(|manifest: &Manifest| manifest.publish);
        manifests
    }

    /// The keys of the files that readers would find.
    async fn keys(&self) -> BTreeSet<String> {
        let folder = Path::from("tables");
        let listed: Vec<_> = self.inner.list(Some(&folder)).try_collect().await.expect("a list");
        listed.into_iter().map(|object| object.location.to_string()).collect()
    }

    /// Every file is there, and is what the newest manifest says.
    async fn check_files(&self) {
        let manifests = self.manifests().await;
        let newest = manifests.last().expect("a publish");
        assert_eq!(self.keys().await, newest.files.keys().cloned().collect());
        for (key, entry) in &newest.files {
            let bytes = self.bytes(key).await.expect("listed");
            assert_eq!(file_hash(&bytes), entry.file_hash, "{key}");
            let (metadata, rows) = self.file(key).await;
            assert_eq!(stamp(&metadata), entry.publish.to_string(), "{key}");
            assert_eq!(rows.num_rows() as u64, entry.rows, "{key}");
        }
    }
}

impl Desk {
    /// The history holds the objects that the newest manifest names, whole, and none that neither it
    /// nor the one before it names.
    async fn check_history(&self) {
        let folder = Path::from("history");
        let listed: Vec<_> = self.inner.list(Some(&folder)).try_collect().await.expect("a list");
        let found: BTreeSet<_> = listed.iter().map(|object| object.location.to_string()).collect();
        let mut manifests = self.manifests().await;
        let newest = manifests.pop().expect("a publish");
        let lately = manifests.last().into_iter().chain([&newest]);
        let lately = lately.flat_map(|manifest| manifest.history.values());
        let named: BTreeSet<_> = lately.map(|entry| entry.key.clone()).collect();
        assert!(found.is_subset(&named), "{:?}", found.difference(&named));
        for entry in newest.history.values() {
            let bytes = self.bytes(&entry.key).await.expect("listed");
            assert_eq!(file_hash(&bytes), entry.file_hash, "{}", entry.key);
            assert_eq!(bytes.len() as u64, entry.bytes, "{}", entry.key);
            assert_eq!(self.rows(&entry.key).await.num_rows() as u64, entry.rows, "{}", entry.key);
        }
    }
}

/// The publish that a file says it is of.
fn stamp(metadata: &ParquetMetaData) -> String {
    let pairs = metadata.file_metadata().key_value_metadata().expect("metadata").clone();
    let stamp = pairs.into_iter().find(|pair| pair.key == parquet_file::STAMP);
    stamp.and_then(|stamp| stamp.value).expect("a stamp")
}

fn expected(logs: &[&Log]) -> BTreeSet<ShardId> {
    logs.iter().map(|log| log.id.clone()).collect()
}

async fn publish(publisher: &mut Publisher, logs: &[&Log]) -> Option<Snapshot> {
    publisher.publish(&expected(logs), today()).await.expect("a publish")
}

/// A draft as `publish` makes it, not committed yet.
async fn drafted(publisher: &mut Publisher, logs: &[&Log]) -> Draft {
    publisher.catch_up().await.expect("manifests");
    let ids = publisher.load_vector(&expected(logs)).await.expect("checkpoints");
    publisher.draft(publisher.input(&ids, today())).await.expect("a draft")
}

fn rollups_of(month: u32) -> String {
    file_key(Table::DailyRollups, Some(date(month, 1)))
}

fn texts(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = rows.column_by_name(column).expect("a column").as_string::<i32>();
    column.iter().map(|text| text.map(str::to_owned)).collect()
}

/// The status of each day that a month's file shows.
async fn statuses(desk: &Desk, month: u32) -> Vec<(u32, String)> {
    let rows = desk.rows(&rollups_of(month)).await;
    let days = rows.column_by_name("business_date").expect("a column").as_primitive::<Date32Type>();
    let days = days.values().iter().map(|day| BusinessDay::from_days(*day).civil().2);
    days.zip(texts(&rows, "status").into_iter().flatten()).collect()
}

#[tokio::test]
async fn files_whose_rows_did_not_change_are_left_alone() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(5, 30));
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    let first = publish(&mut publisher, &[&log]).await.expect("something new");
    assert_eq!(first.manifest.publish, 1);
    desk.check_files().await;
    let may = desk.bytes(&rollups_of(5)).await;

    assert!(publish(&mut publisher, &[&log]).await.is_none(), "nothing is new");
    let puts = desk.faulty.calls(Op::Put);
    log.express(date(6, 20));
    desk.write(&log).await;
    let second = publish(&mut publisher, &[&log]).await.expect("something new");
    assert_eq!(second.manifest.publish, 2);
    desk.check_files().await;
    assert_eq!(desk.bytes(&rollups_of(5)).await, may);
    let stamps: BTreeMap<&str, u64> =
        second.manifest.files.iter().map(|(key, entry)| (&**key, entry.publish)).collect();
    let changed = [&*rollups_of(6), "tables/ledger/data.parquet", "tables/publishes/data.parquet"];
    for (key, stamp) in stamps {
        assert_eq!(stamp, 1 + u64::from(changed.contains(&key)), "{key}");
    }
    // The manifest, and three files.
    assert_eq!(desk.faulty.calls(Op::Put) - puts, 1 + changed.len());
}

#[tokio::test]
async fn a_publisher_that_takes_over_leaves_what_is_whole_alone() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let mut successor = desk.take_over().await;
    assert_eq!(successor.newest().map(|newest| newest.publish), Some(1));
    assert!(publish(&mut successor, &[&log]).await.is_none());
}

/// Reference data with these prefectures, and nothing to hold figures against.
fn named(prefectures: &str) -> Arc<ReferenceSet> {
    let files = [("prefectures.csv".to_owned(), prefectures.to_owned())].into();
    Arc::new(ReferenceSet::from_files(files).expect("sound"))
}

/// The built-in prefectures, one under another name.
fn renamed() -> Arc<ReferenceSet> {
    named(&Codebook::LIAONING_CSV.replace("Shenyang", "Mukden"))
}

#[tokio::test]
async fn names_that_changed_are_published_though_no_shard_moved() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    desk.settings.reference = renamed();
    let published = publish(&mut desk.take_over().await, &[&log]).await.expect("new names");
    assert_eq!(published.manifest.publish, 2);
    let rows = desk.rows(&rollups_of(6)).await;
    assert_eq!(texts(&rows, "prefecture_name"), [Some("Mukden".to_owned())]);
    desk.check_files().await;
}

/// A publisher that goes on looks at cells, not at rows: so it has to know when rows change without.
#[tokio::test]
async fn names_that_changed_are_published_by_a_publisher_that_goes_on() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(5, 30));
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    publisher.set_reference(renamed());
    publish(&mut publisher, &[&log]).await.expect("new names");
    for month in [5, 6] {
        let rows = desk.rows(&rollups_of(month)).await;
        assert_eq!(texts(&rows, "prefecture_name"), [Some("Mukden".to_owned())]);
    }
    desk.check_files().await;
}

/// Another version may have written the same cells with other columns.
#[tokio::test]
async fn a_month_that_another_program_wrote_is_compared_by_its_rows() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(5, 20));
    log.express(date(6, 20));
    desk.write(&log).await;
    publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    let mut other = desk.manifests().await.remove(0);
    let may = other.files.get_mut(&rollups_of(5)).expect("a file");
    may.rows_hash = format!("{:032x}", 1);
    desk.inner.put(&manifest::key(1), other.encode().into()).await.expect("written");

    log.express(date(6, 20));
    desk.write(&log).await;
    let made = publish(&mut desk.take_over().await, &[&log]).await.expect("something new");
    assert_eq!(made.manifest.files[&rollups_of(5)].publish, 2);
    desk.check_files().await;
}

#[tokio::test]
async fn a_crash_between_manifest_and_files_is_made_good_by_whoever_comes_next() {
    for successor in [false, true] {
        let mut desk = Desk::new();
        let mut log = Log::new(0);
        log.express(date(6, 20));
        desk.write(&log).await;
        let mut publisher = desk.take_over().await;
        publish(&mut publisher, &[&log]).await.expect("something new");
        log.express(date(6, 21));
        desk.write(&log).await;
        // The manifest lands, though the answer says otherwise; the first file does not.
        desk.faulty.fail_next(Op::Put, Fault::ExistsAfter);
        desk.faulty.fail_next(Op::Put, Fault::Full);
        let failed = publisher.publish(&expected(&[&log]), today()).await;
        assert!(matches!(failed, Err(PublishError::Store(_))), "{failed:?}");
        assert_eq!(desk.manifests().await.len(), 2);
        assert_eq!(desk.rows(&rollups_of(6)).await.num_rows(), 1, "readers see the one before");
        if successor {
            publisher = desk.take_over().await;
        }
        let mended = publish(&mut publisher, &[&log]).await.expect("files to be mended");
        assert_eq!(mended.manifest.publish, 3);
        assert_eq!(desk.rows(&rollups_of(6)).await.num_rows(), 2);
        desk.check_files().await;
        assert!(publish(&mut publisher, &[&log]).await.is_none(), "once is enough");
    }
}

/// An inspection that failed is made up for, whatever else goes on.
#[tokio::test]
async fn files_of_another_publisher_are_looked_at_until_that_succeeds() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let (mut publisher, mut other) = (desk.take_over().await, desk.take_over().await);
    let made = drafted(&mut other, &[&log]).await;
    desk.store.create(&manifest::key(1), made.manifest.encode()).await.expect("and it ended");
    publisher.catch_up().await.expect("a manifest");
    desk.faulty.fail_next(Op::Get, Fault::Before);
    publisher.publish(&expected(&[&log]), today()).await.expect_err("a file could not be read");
    publish(&mut publisher, &[&log]).await.expect("files to be mended");
    desk.check_files().await;
}

#[tokio::test]
async fn a_file_that_is_missing_or_damaged_is_written_again() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(5, 30));
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    publish(&mut publisher, &[&log]).await.expect("something new");
    let (lost, cut) = (Path::from(rollups_of(5)), Path::from(rollups_of(6)));
    desk.inner.delete(&lost).await.expect("deleted");
    let bytes = desk.bytes(cut.as_ref()).await.expect("a file");
    desk.inner.put(&cut, bytes.slice(..bytes.len() - 1).into()).await.expect("overwritten");
    assert!(publish(&mut publisher, &[&log]).await.is_none(), "nobody has looked");
    publisher.inspect_files().await.expect("an inspection");
    let mended = publish(&mut publisher, &[&log]).await.expect("files to be mended");
    desk.check_files().await;
    let rewritten = mended.manifest.files.iter().filter(|(_, entry)| entry.publish == 2);
    let rewritten: Vec<_> = rewritten.map(|(key, _)| &**key).collect();
    assert_eq!(rewritten, [lost.as_ref(), cut.as_ref(), "tables/publishes/data.parquet"]);
}

/// A file that is read back as something else does not keep the others from being replaced, and the
/// next publish writes it again.
#[tokio::test]
async fn a_file_is_read_back_after_it_was_replaced() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    let made = drafted(&mut publisher, &[&log]).await;
    desk.faulty.fail_next(Op::Get, Fault::Corrupt);
    let error = publisher.commit(made).await.expect_err("it was read back as something else");
    assert_eq!(error.kind(), Kind::Retry);
    let PublishError::NotAsWritten { key } = error else { panic!("{error}") };
    assert_eq!(key, rollups_of(6));
    desk.check_files().await;

    let mended = publish(&mut publisher, &[&log]).await.expect("a file to be mended");
    let written = mended.manifest.files.iter().filter(|(_, entry)| entry.publish == 2);
    let written: Vec<_> = written.map(|(key, _)| &**key).collect();
    assert_eq!(written, [&*key, "tables/publishes/data.parquet"]);
    desk.check_files().await;
    assert!(publish(&mut publisher, &[&log]).await.is_none(), "once is enough");
}

/// A put whose answer was lost is settled by reading, and the publish goes on.
#[tokio::test]
async fn a_manifest_whose_answer_was_lost_is_found_again() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    desk.faulty.fail_next(Op::Put, Fault::After);
    let made = publish(&mut publisher, &[&log]).await.expect("something new");
    assert_eq!(made.manifest.publish, 1);
    desk.check_files().await;
}

/// One that lands after it was given up is a publish like another's: it is found by listing.
#[tokio::test]
async fn a_manifest_that_lands_late_is_made_good_by_the_next_publish() {
    let mut desk = Desk::new();
    let mut log = Log::new(0);
    log.express(date(6, 20));
    desk.write(&log).await;
    let mut publisher = desk.take_over().await;
    desk.faulty.fail_next(Op::Put, Fault::Late(2));
    publisher.publish(&expected(&[&log]), today()).await.expect_err("no answer");
    assert!(desk.manifests().await.is_empty());
    for _ in 0..2 {
        let _ = publisher.publish(&expected(&[&log]), today()).await;
    }
    desk.check_files().await;
}
