//! Every sentence of the contract about decoding, accepted side and refused side.

use super::*;

const PARCEL: Contract = Contract::Parcel;
const FINANCE: Contract = Contract::Finance;

/// What [`check`] expects of a value.
#[expect(clippy::large_enum_variant, reason = "one at a time, in tests")]
enum Expect {
    /// Decoded, to exactly these fields.
    Fields(Raw<'static>),
    /// Malformed, and this field shows it.
    Fault(Field),
    /// Malformed as a whole.
    Broken,
}
use Expect::{Broken as BROKEN, Fault, Fields};

#[track_caller]
fn check(contract: Contract, value: impl AsRef<[u8]>, expect: Expect) {
    let expected = match expect {
        Fields(raw) => Ok(raw),
        Fault(field) => Err(Reject::field(Reason::Malformed, field)),
        BROKEN => Err(Reject::whole(Reason::Malformed)),
    };
    let value = value.as_ref();
    assert_eq!(decode(contract, value), expected, "{}", value.escape_ascii());
}

fn none() -> Expect {
    Fields(Raw::default())
}

fn event_id(id: &str) -> Expect {
    Fields(Raw { event_id: text(id), ..Raw::default() })
}

fn product(name: &str) -> Expect {
    Fields(Raw { product: text(name), ..Raw::default() })
}

fn revenue_fen(fen: i64) -> Expect {
    Fields(Raw { revenue_fen: Some(fen), ..Raw::default() })
}

fn reverses(txn_type: Option<&str>) -> Expect {
    let reversed = RawReverses { txn_type: txn_type.and_then(text) };
    Fields(Raw { reverses: Some(reversed), ..Raw::default() })
}

#[expect(clippy::unnecessary_wraps, reason = "every field of `Raw` is optional")]
fn text(text: &str) -> Option<Cow<'static, str>> {
    Some(text.to_owned().into())
}

/// A value of an unknown field.
fn unknown(value: &str) -> String {
    format!(r#"{{"x":{value}}}"#)
}

#[test]
fn a_parcel_event_has_ten_fields() {
    let value = r#"{"event_id":"e-1","event_type":"accepted","product":"express",
        "prefecture":"210100","occurred_at":"2024-08-29T10:00:00+08:00","revenue_fen":1200,
        "weight_g":350,"attempt":2,"due_at":"2024-08-30T10:00:00+08:00","agri":true}"#;
    let raw = Raw {
        event_id: text("e-1"),
        kind: text("accepted"),
        product: text("express"),
        prefecture: text("210100"),
        occurred_at: text("2024-08-29T10:00:00+08:00"),
        due_at: text("2024-08-30T10:00:00+08:00"),
        revenue_fen: Some(1200),
        weight_g: Some(350),
        attempt: Some(2),
        agri: Some(true),
        ..Raw::default()
    };
    check(PARCEL, value, Fields(raw));
}

#[test]
fn a_finance_transaction_has_ten_fields() {
    let value = r#"{"event_id":"e-2","txn_type":"reversal","product":"savings",
        "prefecture":"210200","occurred_at":"2024-08-29T02:00:00Z","accounting_date":"2024-08-28",
        "amount_fen":5000,"revenue_fen":0,"reverses":{"txn_type":"deposit"},"agri":false}"#;
    let raw = Raw {
        event_id: text("e-2"),
        kind: text("reversal"),
        product: text("savings"),
        prefecture: text("210200"),
        occurred_at: text("2024-08-29T02:00:00Z"),
        accounting_date: text("2024-08-28"),
        reverses: Some(RawReverses { txn_type: text("deposit") }),
        revenue_fen: Some(0),
        amount_fen: Some(5000),
        agri: Some(false),
        ..Raw::default()
    };
    check(FINANCE, value, Fields(raw));
}

#[test]
fn a_value_is_one_object() {
    check(PARCEL, "{}", none());
    check(PARCEL, " \t\r\n{ \t\r\n} \t\r\n", none());
    for broken in ["", " ", "null", "true", "1", r#""{}""#, "[]", "[{}]", r#"["e-1","accepted"]"#] {
        check(PARCEL, broken, BROKEN);
    }
    for broken in ["{", "}", "{}x", "{}{}", "{},", "{}\0", "\u{feff}{}", "{}\u{b}", "\u{a0}{}"] {
        check(PARCEL, broken, BROKEN);
    }
}

#[test]
fn members_follow_the_grammar() {
    check(PARCEL, " { \"x\" : 1 , \"y\" : [ 1 , 2 ] , \"z\" : { } } ", none());
    for broken in [
        r#"{"x"}"#,
        r#"{"x":}"#,
        r#"{"x" 1}"#,
        r#"{"x":1,}"#,
        r#"{,"x":1}"#,
        r#"{"x":1 "y":2}"#,
        r#"{"x":1;"y":2}"#,
        "{x:1}",
        "{'x':1}",
        "{1:1}",
        "{null:1}",
        r#"{"event_id":}"#,
        r#"{"event_id":"e-1}"#,
    ] {
        check(PARCEL, broken, BROKEN);
    }
}

#[test]
fn the_whole_value_is_utf8() {
    check(PARCEL, r#"{"product":"快递🚚","ключ":"é"}"#, product("快递🚚"));
    check(PARCEL, b"{\"product\":\"\xff\"}", BROKEN);
    check(PARCEL, b"{\"x\":\"\xc3\"}", BROKEN);
    check(PARCEL, b"{\"\xc0\xaf\":1}", BROKEN);
    check(PARCEL, b"{\"x\":\"\xed\xa0\x80\"}", BROKEN);
    check(PARCEL, b"{}\x80", BROKEN);
}

#[test]
fn null_is_absent() {
    for field in ["event_id", "event_type", "product", "prefecture", "occurred_at", "due_at"]
        .into_iter()
        .chain(["revenue_fen", "weight_g", "attempt", "agri"])
    {
        check(PARCEL, format!(r#"{{"{field}":null}}"#), none());
    }
    for field in ["txn_type", "accounting_date", "amount_fen", "reverses"] {
        check(FINANCE, format!(r#"{{"{field}":null}}"#), none());
    }
    check(FINANCE, r#"{"reverses":{"txn_type":null}}"#, reverses(None));
    for broken in ["Null", "nul", "nulll", "none", "undefined"] {
        check(PARCEL, format!(r#"{{"agri":{broken}}}"#), BROKEN);
    }
}

#[test]
fn known_fields_are_given_once() {
    check(PARCEL, r#"{"product":"a","product":"a"}"#, Fault(Field::Product));
    check(PARCEL, r#"{"product":"a","product":null}"#, Fault(Field::Product));
    check(PARCEL, r#"{"agri":null,"agri":true}"#, Fault(Field::Agri));
    check(PARCEL, r#"{"agri":null,"agri":null}"#, Fault(Field::Agri));
    check(PARCEL, r#"{"event_id":"a","event\u005fid":"a"}"#, Fault(Field::EventId));
    check(FINANCE, r#"{"txn_type":"fee","txn_type":"fee"}"#, Fault(Field::TxnType));
    check(FINANCE, r#"{"reverses":{},"reverses":{}}"#, Fault(Field::Reverses));
    check(FINANCE, r#"{"reverses":null,"reverses":{}}"#, Fault(Field::Reverses));
    let twice = r#"{"reverses":{"txn_type":"fee","txn_type":"fee"}}"#;
    check(FINANCE, twice, Fault(Field::Reverses));
    let twice = r#"{"reverses":{"txn_type":null,"txn\u005ftype":"fee"}}"#;
    check(FINANCE, twice, Fault(Field::Reverses));
    check(PARCEL, r#"{"x":1,"x":2,"x":{"x":1,"x":1}}"#, none());
    check(FINANCE, r#"{"reverses":{"x":1,"x":1}}"#, reverses(None));
}

#[test]
fn fields_of_the_other_contract_are_unknown() {
    let finance =
        r#"{"txn_type":1,"accounting_date":1,"amount_fen":"1","reverses":"","reverses":[]}"#;
    check(PARCEL, finance, none());
    let parcel = r#"{"event_type":1,"due_at":1,"weight_g":"1","attempt":1.5,"attempt":-0}"#;
    check(FINANCE, parcel, none());
    check(PARCEL, r#"{"Product":1,"product ":1,"produc":1,"":1}"#, none());
}

#[test]
fn keys_are_compared_after_unescaping() {
    check(PARCEL, r#"{"event\u005fid":"e-1"}"#, event_id("e-1"));
    check(PARCEL, r#"{"event\u005Fid":"e-1"}"#, event_id("e-1"));
    check(PARCEL, r#"{"\u0070\u0072\u006f\u0064\u0075\u0063\u0074":1}"#, Fault(Field::Product));
    check(FINANCE, r#"{"reverses":{"txn\u005ftype":"fee"}}"#, reverses(Some("fee")));
    check(PARCEL, r#"{"product\u0000":1}"#, none());
}

#[test]
fn a_wrong_type_names_its_field() {
    for value in ["1", "true", "{}", "[]", r#"["express"]"#, "-0", "1e999"] {
        check(PARCEL, format!(r#"{{"product":{value}}}"#), Fault(Field::Product));
    }
    for value in [r#""1""#, "true", "{}", "[1]"] {
        check(PARCEL, format!(r#"{{"revenue_fen":{value}}}"#), Fault(Field::RevenueFen));
    }
    for value in [r#""true""#, "1", "0", "{}", "[true]"] {
        check(PARCEL, format!(r#"{{"agri":{value}}}"#), Fault(Field::Agri));
    }
    for value in [r#""fee""#, "1", "false", "[]", r#"["fee"]"#, r#"{"txn_type":1}"#] {
        check(FINANCE, format!(r#"{{"reverses":{value}}}"#), Fault(Field::Reverses));
    }
    check(PARCEL, r#"{"event_type":1}"#, Fault(Field::EventType));
    check(FINANCE, r#"{"txn_type":1}"#, Fault(Field::TxnType));
    check(PARCEL, r#"{"due_at":1}"#, Fault(Field::DueAt));
    check(PARCEL, r#"{"weight_g":1,"agri":0,"product":0}"#, Fault(Field::Agri));
    check(PARCEL, r#"{"product":[1,]}"#, BROKEN);
}

#[test]
fn integers_are_int64() {
    for fen in [0, 1, -1, 10, 1_000_000_000_000, i64::MAX, i64::MIN] {
        check(PARCEL, format!(r#"{{"revenue_fen":{fen}}}"#), revenue_fen(fen));
    }
    for wrong in ["-0", "1.0", "0.0", "-0.0", "1e0", "1E2", "1e-1", "0e0", "1.5"]
        .into_iter()
        .chain(["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e400"])
    {
        check(PARCEL, format!(r#"{{"revenue_fen":{wrong}}}"#), Fault(Field::RevenueFen));
    }
    for broken in ["+1", "01", "00", "-01", "-", "--1", "1.", ".5", "1e", "1e+", "0x1", "1_0"]
        .into_iter()
        .chain(["NaN", "Infinity", "-Infinity", "1a", "1.e1", "١"])
    {
        check(PARCEL, format!(r#"{{"revenue_fen":{broken}}}"#), BROKEN);
        check(PARCEL, unknown(broken), BROKEN);
    }
}

#[test]
fn unknown_fields_need_only_be_json() {
    let long = "9".repeat(5_000);
    for number in ["-0", "0", "1e999999", "-1.5E-9", "0.0e+0", long.as_str()] {
        check(PARCEL, unknown(number), none());
    }
    for value in ["true", "false", "null", "[]", "{}", r#"[[],{},"",1,null]"#, r#"{"":{"":[]}}"#] {
        check(PARCEL, unknown(value), none());
        check(FINANCE, format!(r#"{{"reverses":{{"x":{value}}}}}"#), reverses(None));
    }
    for broken in ["tru", "True", "falsE", "truefalse", "[1,]", "[,1]", "[1 2]", "[", "]", "[}"]
        .into_iter()
        .chain([r#"{"a"}"#, r#"{"a":1,}"#, "{1:1}", "{]", r#"["a":1]"#, "// x\n1", "'a'", "[1"])
    {
        check(PARCEL, unknown(broken), BROKEN);
        check(FINANCE, format!(r#"{{"reverses":{{"x":{broken}}}}}"#), BROKEN);
    }
}

#[test]
fn strings_follow_the_grammar_wherever_they_stand() {
    for broken in [r#""\x""#, r#""\u12""#, r#""\u12g4""#, r#""\u+123""#, r#""\U0041""#, r#""\'""#]
        .into_iter()
        .chain(["\"\t\"", "\"\n\"", "\"\0\"", "\"\u{1f}\"", r#""\"#, r#""\""#, r#""a"#])
    {
        check(PARCEL, format!(r#"{{"product":{broken}}}"#), BROKEN);
        check(PARCEL, unknown(broken), BROKEN);
        check(PARCEL, format!("{{{broken}:1}}"), BROKEN);
        check(PARCEL, unknown(&format!("{{{broken}:1}}")), BROKEN);
    }
    check(PARCEL, "{\"product\":\"\u{20}\u{7f}\u{80}\u{2028}\"}", product(" \u{7f}\u{80}\u{2028}"));
}

/// The scanner reads eight bytes at a time: every position in a word must be the same to it.
#[test]
fn special_bytes_are_found_at_every_position() {
    for before in 0..20 {
        for after in 0..20 {
            let (a, b) = ("é".repeat(before), "!".repeat(after));
            check(PARCEL, format!(r#"{{"product":"{a}{b}"}}"#), product(&format!("{a}{b}")));
            let quoted = format!(r#"{a}"{b}"#);
            check(PARCEL, format!(r#"{{"product":"{a}\"{b}"}}"#), product(&quoted));
            for control in ['\0', '\u{1}', '\t', '\u{1f}'] {
                check(PARCEL, format!(r#"{{"product":"{b}{control}{a}"}}"#), BROKEN);
            }
        }
    }
}

#[test]
fn escapes_are_resolved() {
    let escaped = r#"{"product":"\"\\\/\b\f\n\r\t\u0041\u00e9\u5FEB\ud83d\uDE9A\u0000 z"}"#;
    check(PARCEL, escaped, product("\"\\/\u{8}\u{c}\n\r\tAé快🚚\0 z"));
    check(PARCEL, r#"{"product":"\\u0041"}"#, product("\\u0041"));
    check(PARCEL, r#"{"product":"\uffff\ud7ff\ue000"}"#, product("\u{ffff}\u{d7ff}\u{e000}"));
}

#[test]
fn nothing_is_copied_without_an_escape() {
    let raw = decode(PARCEL, br#"{"event_id":"plain","product":"\u0065xpress"}"#).expect("valid");
    assert!(matches!(raw.event_id, Some(Cow::Borrowed("plain"))));
    assert!(matches!(raw.product, Some(Cow::Owned(product)) if product == "express"));
}

#[test]
fn a_lone_surrogate_is_no_string() {
    for lone in [r"\ud800", r"\udfff", r"\ud800x", r"\ud800\n", r"\ud800\ud800", r"\udc00\ud800"]
        .into_iter()
        .chain([r"\ud800\u0041", r"\ud800\\udc00", r"x\uDBFF"])
    {
        check(PARCEL, format!(r#"{{"product":"{lone}"}}"#), Fault(Field::Product));
        check(PARCEL, format!(r#"{{"event_id":"{lone}"}}"#), Fault(Field::EventId));
        check(PARCEL, format!(r#"{{"{lone}":1}}"#), BROKEN);
        check(FINANCE, format!(r#"{{"reverses":{{"{lone}":1}}}}"#), Fault(Field::Reverses));
        let inner = format!(r#"{{"reverses":{{"txn_type":"{lone}"}}}}"#);
        check(FINANCE, &inner, Fault(Field::Reverses));

        check(PARCEL, &inner, none());
        check(PARCEL, unknown(&format!(r#""{lone}""#)), none());
        check(PARCEL, unknown(&format!(r#"[{{"{lone}":"{lone}"}}]"#)), none());
        let ignored = format!(r#"{{"reverses":{{"x":{{"{lone}":"{lone}"}}}}}}"#);
        check(FINANCE, ignored, reverses(None));
    }
}

#[test]
fn an_event_id_has_1_to_64_bytes_of_unescaped_utf8() {
    let value = |id: &str| format!(r#"{{"event_id":"{id}"}}"#);
    let check_id = |written: &str, meant: &str| check(PARCEL, value(written), event_id(meant));
    let check_fault = |written: &str| check(PARCEL, value(written), Fault(Field::EventId));
    check_fault("");
    check_id("a", "a");
    check_id(" ", " ");
    check_id(r"\u0000", "\0");
    check_id(&"a".repeat(64), &"a".repeat(64));
    check_fault(&"a".repeat(65));
    check_id(&r"\u0061".repeat(64), &"a".repeat(64));
    check_fault(&r"\u0061".repeat(65));
    check_id(&"é".repeat(32), &"é".repeat(32));
    check_fault(&format!("{}a", "é".repeat(32)));
    check_id(&r"\ud83d\ude9a".repeat(16), &"🚚".repeat(16));
    check_fault(&format!(r"{}\n", "🚚".repeat(16)));
    check_id("e\u{301}", "e\u{301}");
}

#[test]
fn nesting_ends_at_32_levels() {
    let arrays = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    check(PARCEL, unknown(&arrays(31)), none());
    check(PARCEL, unknown(&arrays(32)), BROKEN);
    check(PARCEL, objects(32), none());
    check(PARCEL, objects(33), BROKEN);
    check(PARCEL, unknown(&format!("[{}]", objects(30))), none());
    check(PARCEL, unknown(&format!("[{}]", objects(31))), BROKEN);
    check(PARCEL, unknown(&format!("[{}1]", "[[]],".repeat(100))), none());
    check(FINANCE, format!(r#"{{"reverses":{{"x":{}}}}}"#, arrays(30)), reverses(None));
    check(FINANCE, format!(r#"{{"reverses":{{"x":{}}}}}"#, arrays(31)), BROKEN);
    check(PARCEL, format!(r#"{{"product":{}}}"#, arrays(31)), Fault(Field::Product));
    check(PARCEL, format!(r#"{{"product":{}}}"#, arrays(32)), BROKEN);
    check(PARCEL, unknown(&format!(r#""{}""#, "[".repeat(100))), none());
    check(PARCEL, unknown(&"[".repeat(1 << 20)), BROKEN);
}
