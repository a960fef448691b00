//! The readers of a store's JSON objects: nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroad_aggregate::rules::Rules;
use postroad_ingest::decisions::Recorded;
use postroad_ingest::publish::manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        let _ = manifest.shard_ids().count();
        let again = serde_json::to_vec(&manifest).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<Manifest>(&again).expect("and read"), manifest);
    }
    let _ = serde_json::from_slice::<Recorded>(bytes);
    let _ = serde_json::from_slice::<Rules>(bytes);
});
