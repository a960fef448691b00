//! The dedupe window of a shard, read again from the files of earlier backfills.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use postroad_schemas::units::{Offset, Timestamp};

use super::{Backfill, file_failure};
use crate::checkpoint::ShardId;
use crate::error::{Exit, Failure};
use crate::source::file::Lines;

impl Backfill<'_> {
    /// Reads again, from the files of earlier backfills, what a shard's dedupe window is made of.
    pub(super) fn rebuild_window(
        &mut self,
        id: &ShardId,
        first: Offset,
        clock: Timestamp,
    ) -> Result<(), Failure> {
        let state = self.shards[id].fold.state();
        let (from, next) = (state.resume_from(), state.ledger.next);
        if from >= first.into() {
            return Ok(());
        }
        let holding = self.inputs.iter().filter_map(|input| {
            input.first_within(id, from, next).map(|first| (first, input.path.clone()))
        });
        let in_order_of_offsets: BTreeSet<(i64, PathBuf)> = holding.collect();
        for (_, file) in &in_order_of_offsets {
            let Ok(mut lines) = Lines::open(file) else { continue };
            while lines.next_line().map_err(|e| file_failure(&e))?.is_some() {
                let envelope = lines.envelope().map_err(|error| file_failure(&error))?;
                let offset = Offset::new(envelope.offset);
                let is_of_shard =
                    *envelope.topic == *id.topic && envelope.partition == id.partition;
                if is_of_shard && next.is_past(offset) {
                    self.step(id, file, &envelope.record(), clock)?;
                    self.summary.skipped = self.summary.skipped.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// Refuses a new record while the window of which it may repeat something is not whole.
    pub(super) fn refuse_partial_window(
        &self,
        id: &ShardId,
        path: &Path,
        offset: Offset,
    ) -> Result<(), Failure> {
        let shard = &self.shards[id];
        if !shard.lacks_window(offset) {
            return Ok(());
        }
        let state = shard.fold.state();
        let (from, next) = (state.resume_from(), state.ledger.next);
        let message = format!(
            "{}: {id}: the store holds offsets up to {next}, and to tell repeated events the \
             records from offset {from} on are needed again; name the files that hold them, too, \
             before this one",
            path.display(),
        );
        Err(Failure::new(Exit::DataErr, message))
    }
}
