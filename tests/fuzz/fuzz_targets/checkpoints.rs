//! The readers of a store's binary objects: nothing panics, and what can be read is written again to the
//! same meaning.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use postroad_ingest::checkpoint::envelope::{Envelope, Seq};
use postroad_ingest::checkpoint::format::{self, segment};

fuzz_target!(|input: (u64, Vec<u8>)| {
    let (seq, bytes) = input;
    if let Ok(checkpoint) = format::decode(&bytes) {
        let again = format::encode(&checkpoint);
        assert_eq!(format::decode(&again), Ok(checkpoint));
    }
    let _ = segment::decode(&bytes);
    let bytes = Bytes::from(bytes);
    if let Ok(envelope) = Envelope::decode(&bytes, Seq::new(seq)) {
        assert_eq!(envelope.encode(), bytes);
    }
});
