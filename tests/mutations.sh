#!/usr/bin/env bash
# Removes one safety mechanism after the other, each in a copy of this tree, and sees to it that the
# test that is named for it fails. docs/EXACTLY_ONCE.md has the same list as a table.
#
#   tests/mutations.sh          all of them
#   tests/mutations.sh fence    those whose name contains "fence"
#
# An edit that no longer applies, or that does not compile, is a failure, too; and so is a test that
# fails without any edit. POSTROAD_SIM_SEEDS says how many worlds may take part.
set -euo pipefail

cd "$(dirname "$0")/.."
only=${1:-}
target=${CARGO_TARGET_DIR:-$HOME/.cache/postroad/target}
tree=$target/mutations
log=$target/mutations.log
seeds=${POSTROAD_SIM_SEEDS:-1200}
# Longer than any test that is named here takes.
limit=900s
failures=0
count=0
declare -A green

# The copy is made anew. Its sources are touched, or cargo would take what it built of an earlier edit
# for what it is to build now.
rm -rf "$tree"
mkdir -p "$tree"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory "$tree"
find "$tree" -name '*.rs' -exec touch {} +

# Says what went wrong.
fail() {
    printf 'FAILED  %s\n        (its output: %s)\n' "$1" "$log"
    failures=$((failures + 1))
}

# Runs cargo in the copy on one suite: `sim`, or a package and the name of one of its tests.
suite() {
    local do=$1 test=$2
    local words
    case $test in
        sim) words=(-p postroad-tests --test sim hostile_worlds) ;;
        fold:*) words=(-p postroad-tests --test fold "${test#*:}") ;;
        *) words=(-p "postroad-${test%%:*}" --lib "${test#*:}") ;;
    esac
    if [[ $do == build ]]; then words+=(--no-run); fi
    # Cargo keeps what it builds with a wrapper apart, except for dependencies from elsewhere: otherwise
    # it would take what it built of the copy for what is in this tree.
    (cd "$tree" && RUSTC_WORKSPACE_WRAPPER=$(command -v env) CARGO_TARGET_DIR=$target \
        POSTROAD_SIM_SEEDS=$seeds timeout "$limit" cargo test --quiet "${words[@]}") >"$log" 2>&1
}

# mutation NAME FILE OLD NEW TEST...: with OLD, which must be there once, replaced by NEW, each TEST fails.
mutation() {
    local name=$1 file=$2 old=$3 new=$4 before after test
    shift 4
    [[ $name == *"$only"* ]] || return 0
    count=$((count + 1))
    for test in "$@"; do
        if [[ -z ${green[$test]:-} ]]; then
            if ! suite run "$test" || ! grep -q ' [1-9][0-9]* passed' "$log"; then
                fail "$test fails, or is not there, without any edit"
                return 0
            fi
            green[$test]=yes
        fi
    done
    before=$(<"$file")
    after=${before/"$old"/"$new"}
    if [[ $after == "$before" || ${after/"$old"/} != "$after" && $new != *"$old"* ]]; then
        fail "$name: the edit does not apply to $file"
        return 0
    fi
    printf '%s\n' "$after" >"$tree/$file"
    for test in "$@"; do
        local began=$SECONDS
        if ! suite build "$test"; then
            fail "$name: the edit does not compile"
        elif suite run "$test"; then
            fail "$name: $test does not notice"
        elif ! grep -q 'test result: FAILED' "$log"; then
            fail "$name: $test did not come to an end"
        else
            printf 'red     %-68s %s (%s s)\n' "$name" "$test" $((SECONDS - began))
        fi
    done
    cp "$file" "$tree/$file"
}

chain=ingest/src/checkpoint/chain.rs
claim=ingest/src/shards/claim.rs
publish=ingest/src/publish/mod.rs
vector=ingest/src/publish/vector.rs
shard=aggregate/src/shard.rs
worker=ingest/src/shards/worker.rs

mutation 'the claim: nothing is written' $chain \
    'let (epoch, seq) = self.place_of_claim(found)?;' \
    'if let Some(Newest { seq, epoch, nonce, .. }) = found {
            return Ok(Some(Tip { seq: *seq, epoch: *epoch, nonce: *nonce }));
        }
        let (epoch, seq) = self.place_of_claim(found)?;' \
    sim ingest:a_claim_fences_the_writer_before

mutation 'the read-back: whatever is there is ours' $chain \
    'Some(bytes) if bytes == pending.bytes => {}' \
    'Some(bytes) if bytes.len() > 1 => {}' \
    sim

mutation 'the read-back: whatever is there is another'"'"'s' $chain \
    'Some(bytes) if bytes == pending.bytes => {}' \
    'Some(bytes) if bytes.is_empty() => {}' \
    ingest:ambiguous_success_is_a_commit

mutation 'the fence above: a higher object does not matter' $chain \
    'above?.map(|newest| Fence::Overtaken { newest })' \
    'above?.map(|newest| Fence::Overtaken { newest }).filter(|_| false)' \
    ingest:a_late_twin_below_a_collected_chain_fences

mutation 'the fence below: the object before may be another' $chain \
    'Some(_) => Some(Fence::Replaced),' \
    'Some(_) => None,' \
    ingest:a_store_restored_behind_a_writer_fences

mutation 'the checksum: not compared' ingest/src/checkpoint/envelope.rs \
    'if xxh3_128(&bytes[..body_len]) != u128::from_le_bytes(field(bytes, body_len)) {' \
    'if xxh3_128(&bytes[..body_len]) == 0 {' \
    sim ingest:a_corrupt_newest_falls_back_loudly

mutation 'the boundary of collection: one checkpoint is left' $chain \
    'keep.max(2)' \
    'keep.min(1)' \
    sim

mutation 'the boundary of collection: segments of older checkpoints go' ingest/src/checkpoint/segments.rs \
    'unlisted.remove(&key(id, segment));' \
    'let _ = segment;' \
    ingest:what_a_retained_checkpoint_lists_is_not_collected

mutation 'the divergence: the last record is not compared' $shard \
    'if identify(record) != last {' \
    'if identify(record).offset != last.offset {' \
    sim aggregate:another_record_at_the_last_offset_is_a_divergence

mutation 'the divergence: the last record may be gone' $worker \
    'claimed.fold.require_last_record();' \
    'let _ = &claimed;' \
    ingest:a_last_record_gone_from_the_midst_of_the_log_is_told

mutation 'the life of the topic: not confirmed before a put' ingest/src/run/writer.rs \
    'Confirmation::Another => return Event::Recreated,' \
    'Confirmation::Another => {}' \
    sim ingest:what_may_be_of_another_topic_is_not_put

mutation 'the bounds of the log: what retention took is not missed' ingest/src/shards/claim/checks.rs \
    'if next < low {' \
    'if next < low && state.ledger.next > high {' \
    sim ingest:a_shard_goes_on_only_within_its_log

mutation 'the vector: a place may go back' $vector \
    'if seq < entry.seq || next' \
    'if next' \
    ingest:a_shard_that_went_back_at_the_same_offset_stops_the_publishing

mutation 'the vector: an offset may go back' $vector \
    ' || next < entry.next_offset || is_another' \
    ' || is_another' \
    ingest:a_claim_above_a_damaged_checkpoint_does_not_take_rows_back

mutation 'the vector: a chain may begin anew' $vector \
    ' || is_another {' \
    ' || (is_another && first.is_none()) {' \
    ingest:a_chain_begun_anew_does_not_replace_what_was_published

mutation 'the rules list: everything is read again under the newest rules' $claim \
    'let rules = self.store.rules_of(&checkpoint.state).await?;' \
    'let rules = vec![Arc::clone(&self.rules.1); checkpoint.state.rules.len()];' \
    sim

mutation 'the dedupe window: not rebuilt' $claim \
    'let wanted = fold.state().resume_from();' \
    'let wanted = fold.state().ledger.next;' \
    sim

mutation 'the dedupe window: what is read again does not feed it' $shard \
    'self.window.observe(event.id, hour, rules.dedupe_window_h);' \
    'let _ = (event.id, hour);' \
    sim fold:a_log_interrupted_at_every_offset_folds_the_same

mutation 'the generation: late batches are folded' $worker \
    'if owned.generation != batch.generation {' \
    'if owned.generation > batch.generation && batch.records.is_empty() {' \
    sim

mutation 'the generation: stale events have an effect' ingest/src/shards/lifecycle.rs \
    'self.shards.get_mut(tp).filter(|owned| owned.generation == generation)' \
    'self.shards.get_mut(tp).filter(|owned| owned.generation >= generation)' \
    ingest:what_another_generation_says_has_no_effect

mutation 'the count: what was delivered need not be judged' $worker \
    '("the number taken by the fold", self.taken.into()),' \
    '("the number taken by the fold", batch.delivered_total.into()),' \
    ingest:counts_that_differ_end_the_process

mutation 'the publish: two manifests of one number' $publish \
    'if !self.store.create(&key, manifest.encode()).await? {' \
    'if !self.store.create(&key, manifest.encode()).await? && files.is_empty() {' \
    ingest:one_of_two_publishers_wins_each_number

mutation 'the publish: who was superseded goes on' $publish \
    '            self.stop_if_superseded(publish).await?;
            if self.store.replace' \
    '            if self.store.replace' \
    ingest:a_publisher_that_slept_after_its_manifest_replaces_no_file

mutation 'the publish: files are not read back' $publish \
    'if self.store.get(&Path::from(key.as_str())).await? == bytes {' \
    'if !self.store.get(&Path::from(key.as_str())).await?.is_empty() {' \
    ingest:a_file_is_read_back_after_it_was_replaced

mutation 'the publish: an inspection finds no file that differs' ingest/src/publish/inspection.rs \
    'if !self.is_whole(key, &entry.file_hash).await? {' \
    'if !self.is_whole(key, &entry.file_hash).await? && key.is_empty() {' \
    ingest:a_crash_between_manifest_and_files_is_made_good_by_whoever_comes_next

mutation 'the freezing: days that are final are evaluated again' ingest/src/publish/indicators.rs \
    'frozen_through.map_or(first, |frozen| first.max(frozen.plus_days(1)))' \
    'frozen_through.map_or(first, |_| first)' \
    ingest:days_that_are_final_are_frozen_with_their_reference_data

mutation 'the reload: a set that is bad takes the place of the one before' \
    ingest/src/reference/source.rs \
    'self.set = Arc::new(ReferenceSet::load(dir)?);' \
    'let read = ReferenceSet::load(dir);
        self.set = Arc::new(read.clone().unwrap_or_else(|_| ReferenceSet::liaoning()));
        read?;' \
    ingest:a_folder_is_read_again_once_it_has_changed_and_come_to_rest

rm -rf "$tree"
printf '%s mechanisms, %s failures, %s s\n' "$count" "$failures" "$SECONDS"
[[ $failures == 0 && $count != 0 ]]
