//! What a shard is read again from: Kafka, the files of a backfill, or the one and then the other.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use postroad_aggregate::shard::Record;
use postroad_schemas::units::{NextOffset, Offset};

use crate::checkpoint::{Checkpoint, Phase, ShardId, Source};
use crate::source::TopicId;
use crate::source::file::{FileError, Lines};
use crate::source::kafka::{LogReader, RereadError, TopicPartition};

/// Why a log could not be read again.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Kafka does not deliver.
    #[error(transparent)]
    Kafka(#[from] RereadError),
    /// A file cannot be read, or is not what it was.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The partition of a shard, as far as Kafka still holds it.
#[derive(Clone)]
pub(super) struct Partition {
    pub(super) reader: Arc<LogReader>,
    /// The first offset that is kept.
    pub(super) low: NextOffset,
    /// The end: everything below is delivered, or never will be.
    pub(super) high: NextOffset,
    /// Which life of the topic it is; `None` where brokers give no id.
    pub(super) topic_id: Option<TopicId>,
}

/// The log of one shard.
pub(super) struct Log {
    pub(super) id: ShardId,
    /// Files of a backfill in the order of their offsets, read before Kafka.
    pub(super) files: Vec<PathBuf>,
    /// The lowest offset in the files, and the boundary after the highest.
    pub(super) files_hold: Option<(NextOffset, NextOffset)>,
    pub(super) kafka: Option<Partition>,
}

impl Log {
    /// The part of it that is the log of this checkpoint's shard; or why none is.
    pub(super) fn of(self, newest: &Checkpoint) -> Result<Self, String> {
        let Checkpoint { id, phase, topic_id: was, state, .. } = newest;
        if *phase == Phase::Closed && id.source == Source::Kafka {
            return Err("it was closed by a decision, and its log is not read again".to_owned());
        }
        let is = self.kafka.as_ref().and_then(|partition| partition.topic_id);
        if let (Some(was), Some(is)) = (was, is)
            && *was != is
        {
            return Err(format!("the topic was made anew: it was {was}, it is {is}"));
        }
        Ok(self.for_range(state.ledger.first, state.ledger.next))
    }

    /// Keeps of files and Kafka what is needed for the offsets `[first, next)`: Kafka alone where it
    /// still holds all of them, the files and then Kafka where those leave no hole, else Kafka alone.
    fn for_range(mut self, first: NextOffset, next: NextOffset) -> Self {
        let (Some(kafka), Some((from, end))) = (&self.kafka, self.files_hold) else { return self };
        let joined = from <= first && (kafka.low <= end || end >= next);
        if kafka.low <= first || !joined {
            self.files.clear();
            self.files_hold = None;
        } else if kafka.low > end {
            self.kafka = None;
        }
        self
    }

    /// The first offset that can be read again; `None` where nothing can.
    pub(super) fn low(&self) -> Option<NextOffset> {
        let kafka = self.kafka.as_ref().map(|partition| partition.low);
        self.files_hold.map(|(first, _)| first).or(kafka)
    }

    /// Shows every record of `[from, until)` in order, until `visit` breaks off. Returns the boundary
    /// that was reached: `until`, or where the log ends before it.
    pub(super) fn read(
        &self,
        from: NextOffset,
        until: NextOffset,
        visit: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<NextOffset, LogError> {
        let mut next = from;
        let files_end = self.kafka.as_ref().map_or(until, |partition| partition.low.min(until));
        for file in &self.files {
            if next < files_end && self.read_file(file, &mut next, files_end, visit)?.is_break() {
                return Ok(next);
            }
        }
        let Some(Partition { reader, low, high, .. }) = &self.kafka else { return Ok(next) };
        let tp = TopicPartition::new(Arc::clone(&self.id.topic), self.id.partition);
        let until = until.min(*high);
        reader.read(&tp, next.max(*low), until, visit)?;
        Ok(until.max(next))
    }

    fn read_file(
        &self,
        file: &Path,
        next: &mut NextOffset,
        until: NextOffset,
        visit: &mut dyn FnMut(&Record<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        let mut lines = Lines::open(file)?;
        let mut show = |record: &Record<'_>| {
            if next.is_past(record.offset) || NextOffset::from(record.offset) >= until {
                return ControlFlow::Continue(());
            }
            *next = record.offset.next();
            visit(record)
        };
        loop {
            let Some((line, value, _)) = lines.next_line()? else {
                return Ok(ControlFlow::Continue(()));
            };
            let flow = match self.id.source {
                Source::File => {
                    let offset = Offset::new(i64::try_from(line).unwrap_or(i64::MAX));
                    show(&Record { offset, timestamp: None, value: Some(value) })
                }
                Source::Kafka => {
                    let envelope = lines.envelope()?;
                    if *envelope.topic != *self.id.topic || envelope.partition != self.id.partition
                    {
                        continue;
                    }
                    show(&envelope.record())
                }
            };
            if flow.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::run::prepare::kafka_settings;

    const MINIMAL: &str = "[kafka]\nbrokers = \"127.0.0.1:9\"\n[[kafka.topics]]\n\
        name = \"parcel.events\"\n[store]\nurl = \"file:///store\"\n";

    fn log(files: Option<(i64, i64)>, kafka: Option<(i64, i64)>) -> Log {
        let config = Config::parse(MINIMAL, std::iter::empty()).expect("it is valid");
        let reader = || Arc::new(LogReader::new(&kafka_settings(&config)).expect("a client"));
        Log {
            id: ShardId::kafka("parcel.events", 0),
            files: files.iter().map(|_| PathBuf::from("file")).collect(),
            files_hold: files.map(|(from, to)| (NextOffset::new(from), NextOffset::new(to))),
            kafka: kafka.map(|(low, high)| Partition {
                reader: reader(),
                low: NextOffset::new(low),
                high: NextOffset::new(high),
                topic_id: None,
            }),
        }
    }

    /// What is read for the offsets `[10, 50)`: whether files, whether Kafka, and from where on.
    #[track_caller]
    fn check(
        files: Option<(i64, i64)>,
        kafka: Option<(i64, i64)>,
        expect: (bool, bool, Option<i64>),
    ) {
        let log = log(files, kafka).for_range(NextOffset::new(10), NextOffset::new(50));
        let found = (!log.files.is_empty(), log.kafka.is_some(), log.low().map(NextOffset::get));
        assert_eq!(found, expect);
    }

    #[test]
    fn files_stand_in_for_what_kafka_has_lost_where_no_hole_is_left() {
        check(None, None, (false, false, None));
        check(None, Some((0, 60)), (false, true, Some(0)));
        check(Some((10, 50)), None, (true, false, Some(10)));
        check(Some((10, 50)), Some((10, 60)), (false, true, Some(10)));
        check(Some((10, 30)), Some((20, 60)), (true, true, Some(10)));
        check(Some((10, 30)), Some((30, 60)), (true, true, Some(10)));
        check(Some((10, 30)), Some((31, 60)), (false, true, Some(31)));
        check(Some((10, 50)), Some((55, 60)), (true, false, Some(10)));
        check(Some((11, 50)), Some((12, 60)), (false, true, Some(12)));
    }

    #[test]
    fn files_are_read_in_order_and_each_record_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let line = |offset: i64, partition: i32| {
            format!(
                "{{\"topic\":\"parcel.events\",\"partition\":{partition},\"offset\":{offset},\
                 \"ts\":1,\"payload\":\"x\"}}\n"
            )
        };
        let write = |name: &str, offsets: std::ops::Range<i64>| {
            let path = folder.path().join(name);
            let lines: String = offsets.flat_map(|n| [line(n, 0), line(n, 1)]).collect();
            std::fs::write(&path, lines).expect("a file");
            path
        };
        let mut log = log(Some((10, 30)), None);
        log.files = vec![write("a", 10..20), write("b", 15..30)];
        let mut seen = Vec::new();
        let mut read = |from, until| {
            let (from, until) = (NextOffset::new(from), NextOffset::new(until));
            let reached = log.read(from, until, &mut |record| {
                seen.push(record.offset.get());
                ControlFlow::Continue(())
            });
            (reached.expect("sound files").get(), std::mem::take(&mut seen))
        };
        assert_eq!(read(10, 30), (30, (10..30).collect()));
        assert_eq!(read(12, 25), (25, (12..25).collect()));
        assert_eq!(read(12, 40), (30, (12..30).collect()), "it ends before");
    }
}
