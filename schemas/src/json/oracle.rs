//! The decoder against another parser: `serde_json`, driven by visitors that see duplicates.
//!
//! In what it ignores, `serde_json` neither checks UTF-8 nor limits the nesting; elsewhere its
//! limit is 128. So both are tested beforehand, naively. Like the contract, it lets lone surrogates
//! pass in what it ignores and nowhere else, and takes `-0` for a float.

use std::cell::Cell;
use std::fmt;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};

use super::*;

const COMMON: [&str; 6] =
    ["event_id", "product", "prefecture", "occurred_at", "revenue_fen", "agri"];
const PARCEL: [&str; 4] = ["event_type", "due_at", "weight_g", "attempt"];
const FINANCE: [&str; 4] = ["txn_type", "accounting_date", "amount_fen", "reverses"];

/// What the oracle says of a value that is no event.
#[derive(Debug, PartialEq)]
enum Fault {
    /// It is no JSON, or too deep. A decoder that reads from left to right may have found a wrong
    /// field before it came to that.
    Grammar,
    /// It is JSON, and this is the first thing wrong with its shape.
    Shape(Option<Field>),
}

#[track_caller]
fn check(contract: Contract, value: &[u8]) {
    let found = decode(contract, value);
    match oracle(contract, value) {
        Ok(raw) => assert_eq!(found, Ok(raw), "{}", value.escape_ascii()),
        Err(Fault::Grammar) => {
            let reason = found.map_err(|reject| reject.reason);
            assert_eq!(reason, Err(Reason::Malformed), "{}", value.escape_ascii());
        }
        Err(Fault::Shape(field)) => {
            let expected = Reject { reason: Reason::Malformed, field };
            assert_eq!(found, Err(expected), "{}", value.escape_ascii());
        }
    }
}

fn oracle(contract: Contract, value: &[u8]) -> Result<Raw<'static>, Fault> {
    let is_json = serde_json::from_slice::<IgnoredAny>(value).is_ok();
    if String::from_utf8(value.to_vec()).is_err() || !is_json || depth(value) > 32 {
        return Err(Fault::Grammar);
    }
    let fault = Cell::new(None);
    let record = Record { contract, fault: &fault };
    record
        .deserialize(&mut serde_json::Deserializer::from_slice(value))
        .map_err(|_| Fault::Shape(fault.get()))
}

/// The deepest nesting of brackets outside strings, of a text that is JSON.
fn depth(value: &[u8]) -> usize {
    let (mut level, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in value {
        if is_escaped {
            is_escaped = false;
            continue;
        }
        match byte {
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => level += 1,
            b'}' | b']' if !in_string => level -= 1,
            _ => {}
        }
        deepest = deepest.max(level);
    }
    deepest
}

/// The record's object; `fault` names the field in hand when it gives up.
#[derive(Clone, Copy)]
struct Record<'c> {
    contract: Contract,
    fault: &'c Cell<Option<Field>>,
}

impl<'de> DeserializeSeed<'de> for Record<'_> {
    type Value = Raw<'static>;

    fn deserialize<D: serde::Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Record<'_> {
    type Value = Raw<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let special: &[&str] = match self.contract {
            Contract::Parcel => &PARCEL,
            Contract::Finance => &FINANCE,
        };
        let mut raw = Raw::default();
        let mut given = Vec::new();
        while let Some(key) = members.next_key::<String>()? {
            if !COMMON.contains(&key.as_str()) && !special.contains(&key.as_str()) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let field = Field::ALL.iter().find(|field| field.as_str() == key);
            self.fault.set(field.copied());
            if given.contains(&key) {
                return Err(Error::custom("given twice"));
            }
            read(&key, &mut members, &mut raw)?;
            self.fault.set(None);
            given.push(key);
        }
        Ok(raw)
    }
}

/// Has serde read a known field as the Rust type that admits what the contract admits.
fn read<'de, A: MapAccess<'de>>(
    key: &str,
    members: &mut A,
    raw: &mut Raw<'static>,
) -> Result<(), A::Error> {
    match key {
        "revenue_fen" => raw.revenue_fen = members.next_value()?,
        "amount_fen" => raw.amount_fen = members.next_value()?,
        "weight_g" => raw.weight_g = members.next_value()?,
        "attempt" => raw.attempt = members.next_value()?,
        "agri" => raw.agri = members.next_value()?,
        "reverses" => raw.reverses = members.next_value::<Option<Reverses>>()?.map(|it| it.0),
        _ => {
            let text: Option<Cow<str>> = members.next_value::<Option<String>>()?.map(Cow::Owned);
            let is_id = key == "event_id";
            if is_id && text.as_ref().is_some_and(|id| !(1..=64).contains(&id.len())) {
                return Err(Error::custom("length"));
            }
            let place = match key {
                "event_id" => &mut raw.event_id,
                "event_type" | "txn_type" => &mut raw.kind,
                "product" => &mut raw.product,
                "prefecture" => &mut raw.prefecture,
                "occurred_at" => &mut raw.occurred_at,
                "due_at" => &mut raw.due_at,
                "accounting_date" => &mut raw.accounting_date,
                _ => unreachable!("no string"),
            };
            *place = text;
        }
    }
    Ok(())
}

struct Reverses(RawReverses<'static>);

impl<'de> serde::Deserialize<'de> for Reverses {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Reverses;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Reverses, A::Error> {
                let mut given = Vec::<Option<String>>::new();
                while let Some(key) = members.next_key::<String>()? {
                    if key == "txn_type" {
                        given.push(members.next_value()?);
                    } else {
                        members.next_value::<IgnoredAny>()?;
                    }
                }
                if given.len() > 1 {
                    return Err(Error::custom("given twice"));
                }
                let txn_type = given.pop().flatten().map(Cow::Owned);
                Ok(Reverses(RawReverses { txn_type }))
            }
        }
        input.deserialize_map(Members)
    }
}

const VALID: [(Contract, &str); 2] = [
    (
        Contract::Parcel,
        r#"{"event_id":"0f8fad5b-d9cb-469f-a165-70867728950e","event_type":"accepted",
        "product":"expr\u0065ss","prefecture":"210100","occurred_at":"2024-08-29T10:00:00+08:00",
        "revenue_fen":1200,"weight_g":-35,"attempt":2,"due_at":null,"agri":true,
        "客户":{"tier":[1,2.5e-3,-0],"\ud83d\ude9a":"快"},"y":"\ud800"}"#,
    ),
    (
        Contract::Finance,
        r#"{"event_id":"e-2","txn_type":"reversal","product":"sav\tings","prefecture":"210200",
        "occurred_at":"2024-08-29T02:00:00Z","accounting_date":"2024-08-28","amount_fen":10,
        "revenue_fen":0,"reverses":{"x":[{}],"txn_type":"deposit"},"agri":false}"#,
    ),
];

/// Every truncation and every byte removed, and every byte that matters to a parser put before or
/// in place of every other.
#[test]
fn every_single_fault_in_a_valid_value_is_judged_alike() {
    let bytes = b"\"\\{}[]:,.-+eEu0159dtfn \n\0\x1f\x7f\x80\xbf\xc3\xed\xff";
    for (contract, valid) in VALID {
        let valid = valid.as_bytes();
        check(contract, valid);
        assert!(decode(contract, valid).is_ok());
        for at in 0..valid.len() {
            check(contract, &valid[..at]);
            check(contract, &[&valid[..at], &valid[at + 1..]].concat());
            for &byte in bytes {
                check(contract, &[&valid[..at], &[byte], &valid[at + 1..]].concat());
                check(contract, &[&valid[..at], &[byte], &valid[at..]].concat());
            }
        }
    }
}

fn contract() -> impl Strategy<Value = Contract> {
    select(vec![Contract::Parcel, Contract::Finance])
}

fn literal(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    select(texts).prop_map(str::to_owned).boxed()
}

/// The inside of a string, sometimes one that is broken.
fn characters() -> BoxedStrategy<String> {
    let piece = prop_oneof![
        6 => "[ -!#-\\[\\]-~]{0,12}",
        2 => "[快é🚚\u{7f}\u{2028}]{0,3}",
        2 => "\\\\u[0-9a-fA-F]{4}",
        2 => literal(&[r"\n", r"\\", r#"\""#, r"\/", r"\u0000", r"\ud83d\ude9a"]),
        1 => literal(&[r"\ud800", r"\udc00", r"\ud83d\n", r"\ud83dA", r"\ud83d\u0041"]),
        1 => prop_oneof![9 => Just(String::new()), 1 => literal(&["\t", r"\x", r"\u00g0", "\0"])],
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat()).boxed()
}

fn number() -> BoxedStrategy<String> {
    prop_oneof![
        4 => any::<i64>().prop_map(|number| number.to_string()),
        4 => "-?(0|[1-9][0-9]{0,3})",
        2 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][-+]?[0-9]{1,3})?",
        1 => literal(&["9223372036854775807", "9223372036854775808", "-9223372036854775808",
            "-9223372036854775809", "1e999", "-0", "01", "-", "1.", "+1", "NaN"]),
    ]
    .boxed()
}

fn member(key: BoxedStrategy<String>, value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let blank = literal(&["", "", "", " ", "\n\t", "\r"]);
    (key, blank.clone(), value, blank)
        .prop_map(|(key, before, value, after)| {
            format!(r#"{before}"{key}"{after}:{before}{value}"#)
        })
        .boxed()
}

fn object(member: BoxedStrategy<String>, size: usize) -> BoxedStrategy<String> {
    prop::collection::vec(member, 0..=size)
        .prop_map(|members| format!("{{{}}}", members.join(",")))
        .boxed()
}

/// Any value, nested a little, or to about the limit.
fn value() -> BoxedStrategy<String> {
    let text = characters().prop_map(|text| format!(r#""{text}""#));
    let scalar = prop_oneof![text, number(), literal(&["null", "true", "false", "null"])];
    let nested = scalar.prop_recursive(3, 12, 4, |inner| {
        let array = prop::collection::vec(inner.clone(), 0..4)
            .prop_map(|items| format!("[{}]", items.join(" ,")));
        prop_oneof![array, object(member(characters(), inner.boxed()), 3)]
    });
    let deep = (26..36_usize, any::<bool>(), nested.clone()).prop_map(|(levels, arrays, core)| {
        let (open, close) = if arrays { ("[", "]") } else { (r#"{"a":"#, "}") };
        format!("{}{core}{}", open.repeat(levels), close.repeat(levels))
    });
    prop_oneof![30 => nested, 1 => deep].boxed()
}

/// A member of a record, more often right than wrong.
fn field() -> BoxedStrategy<String> {
    let texts = literal(&[
        "event_id",
        "product",
        "prefecture",
        "occurred_at",
        "event_type",
        "due_at",
        "txn_type",
        "accounting_date",
        r"event\u005fid",
        r"\u0070roduct",
    ]);
    let integers = literal(&["revenue_fen", "weight_g", "attempt", "amount_fen"]);
    let names = prop_oneof![texts.clone(), integers.clone(), literal(&["agri", "reverses"])];
    let text = prop_oneof![
        4 => "\"[ -!#-\\[\\]-~]{1,70}\"",
        4 => characters().prop_map(|text| format!(r#""{text}""#)),
        1 => Just("null".to_owned()),
    ];
    let reversed = object(
        prop_oneof![
            member(literal(&["txn_type", r"txn\u005ftype"]), text.clone().boxed()),
            member(characters(), value()),
        ]
        .boxed(),
        2,
    );
    prop_oneof![
        8 => member(texts, text.boxed()),
        5 => member(integers, number()),
        2 => member(literal(&["agri"]), literal(&["true", "false", "null"])),
        2 => member(literal(&["reverses"]), reversed),
        1 => member(names.boxed(), value()),
        3 => member(characters(), value()),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_records_are_judged_alike(contract in contract(), value in object(field(), 4)) {
        check(contract, value.as_bytes());
    }

    #[test]
    fn mutated_records_are_judged_alike(
        contract in contract(),
        value in object(field(), 5),
        faults in prop::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 1..3),
    ) {
        let mut value = value.into_bytes();
        for (at, byte, kind) in faults {
            let at = at.index(value.len() + 1);
            match kind {
                0 => value.insert(at, byte),
                1 => value.truncate(at),
                _ if at == value.len() => value.push(byte),
                2 => value[at] = byte,
                _ => value[at] ^= 1 << (byte % 8),
            }
        }
        check(contract, &value);
    }

    #[test]
    fn flipped_bits_are_judged_alike(
        (contract, valid) in select(&VALID),
        flips in prop::collection::vec((any::<Index>(), 0..8_u8), 1..4),
    ) {
        let mut value = valid.as_bytes().to_vec();
        for (at, bit) in flips {
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
        }
        check(contract, &value);
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(
        contract in contract(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        near in "[\\[\\]{}:,\"\\\\u0-9eE.\\-+a-f \ntrulsé]{0,60}",
    ) {
        check(contract, &bytes);
        check(contract, near.as_bytes());
        check(contract, format!(r#"{{"product":{near}"#).as_bytes());
    }
}

/// The generator is worth something only if it makes records of both kinds.
#[test]
fn generated_records_are_neither_all_good_nor_all_bad() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let records = object(field(), 4);
    let good = (0..400)
        .filter(|_| {
            let tree = records.new_tree(&mut runner).expect("a strategy without filters");
            decode(Contract::Parcel, tree.current().as_bytes()).is_ok()
        })
        .count();
    assert!((100..300).contains(&good), "{good} of 400 decode");
}
