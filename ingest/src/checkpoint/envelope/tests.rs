//! The wire format, byte for byte, and everything that must not be taken for it.

use super::*;

const CLAIM: &[&str] = &[
    "5052434b",
    "0100",
    "0100",
    "0000000000000000",
    "0100000000000000",
    "100f0e0d0c0b0a090807060504030201",
    "00000000000000000000000000000000",
    "0000000000000000",
    "c757cc6ad58370a46ac28545beb56049",
];
const COMMIT: &[&str] = &[
    "5052434b",
    "0100",
    "0200",
    "0201000000000000",
    "0700000000000000",
    "aa000000000000000000000000000000",
    "bb000000000000000000000000000000",
    "0500000000000000",
    "7374617465",
    "5542042c3e41ed65922711cbcfad1b23",
];

fn claim() -> Envelope {
    Envelope {
        link: Link::Claim,
        seq: Seq::FIRST,
        epoch: Epoch::FIRST,
        nonce: Nonce::new(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        predecessor: None,
        payload: Bytes::new(),
    }
}

fn commit() -> Envelope {
    Envelope {
        link: Link::Commit,
        seq: Seq::new(258),
        epoch: Epoch::new(7),
        nonce: Nonce::new(0xaa),
        predecessor: Some(Nonce::new(0xbb)),
        payload: Bytes::from_static(b"state"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// `bytes` with `change` made to the body, and a checksum that agrees.
fn resealed(envelope: &Envelope, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut body = envelope.encode().to_vec();
    body.truncate(body.len() - CHECKSUM_LEN);
    change(&mut body);
    let checksum = xxh3_128(&body);
    body.extend(checksum.to_le_bytes());
    Bytes::from(body)
}

#[track_caller]
fn check_golden(envelope: &Envelope, expect: &[&str]) {
    let bytes = envelope.encode();
    assert_eq!(hex(&bytes), expect.concat());
    assert_eq!(Envelope::decode(&bytes, envelope.seq).as_ref(), Ok(envelope));
    assert_eq!(peek_nonce(&bytes[..HEADER_LEN]), Some(envelope.nonce));
}

#[track_caller]
fn check_refused(bytes: &Bytes, expect: Unreadable) {
    assert_eq!(Envelope::decode(bytes, commit().seq), Err(expect));
}

#[test]
fn the_format_is_what_it_was() {
    check_golden(&claim(), CLAIM);
    check_golden(&commit(), COMMIT);
}

#[test]
fn every_truncation_is_damage() {
    let whole = commit().encode();
    for len in 0..whole.len() {
        let why =
            if len < HEADER_LEN + CHECKSUM_LEN { Damage::Short { len } } else { Damage::Checksum };
        check_refused(&whole.slice(..len), Unreadable::Damaged(why));
    }
}

#[test]
fn every_flipped_bit_is_damage_even_in_the_version() {
    let whole = commit().encode();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let why = if bit < 32 { Damage::Magic } else { Damage::Checksum };
        check_refused(&Bytes::from(bytes), Unreadable::Damaged(why));
    }
}

#[test]
fn a_trailing_byte_is_damage() {
    let mut bytes = commit().encode().to_vec();
    bytes.push(0);
    check_refused(&Bytes::from(bytes), Unreadable::Damaged(Damage::Checksum));
}

#[test]
fn a_newer_version_is_told_apart_whatever_else_it_changed() {
    let newer = resealed(&commit(), |body| {
        body[4] = 2;
        body[6] = 0xff;
        body.extend(b"a field of the future");
    });
    check_refused(&newer, Unreadable::Newer { version: 2 });
}

#[test]
fn a_header_without_meaning_is_damage() {
    let damage = Unreadable::Damaged(Damage::Header);
    check_refused(&resealed(&commit(), |body| body[4] = 0), damage);
    check_refused(&resealed(&commit(), |body| body[6] = 3), damage);
    check_refused(&resealed(&commit(), |body| body[7] = 1), damage);
    check_refused(&resealed(&commit(), |body| body[24..40].fill(0)), damage);
    check_refused(&resealed(&commit(), |body| body[56] += 1), damage);
}

#[test]
fn an_object_under_another_name_is_damage() {
    let says = Seq::new(259);
    let misplaced = Envelope { seq: says, ..commit() };
    check_refused(&misplaced.encode(), Unreadable::Damaged(Damage::Misplaced { says }));
}

#[test]
fn a_peek_needs_a_whole_header() {
    let bytes = commit().encode();
    assert_eq!(peek_nonce(&bytes[..HEADER_LEN - 1]), None);
    assert_eq!(peek_nonce(&[0; HEADER_LEN]), None);
}

#[test]
fn names_sort_as_numbers_do() {
    assert_eq!(Seq::new(42).to_string(), "00000000000000000042");
    assert_eq!(Seq::new(u64::MAX).to_string(), u64::MAX.to_string());
}

#[test]
fn no_payload_in_debug_output() {
    assert!(!format!("{:?}", commit()).contains("state"));
}
