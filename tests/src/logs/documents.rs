//! Hand-picked documents around a valid event, each with the reason that CONTRACT's fine print
//! gives.

use serde_json::{Map, Value};

/// A value, and the reason for which it is rejected, if it is.
pub type Document = (Vec<u8>, Option<&'static str>);

const MALFORMED: Option<&str> = Some("malformed");
const AMOUNT: Option<&str> = Some("amount_out_of_range");

/// What an unknown field may hold; those that hold a second member repeat the unknown field.
const JSON_NOTES: [&str; 14] = [
    "1e999999",
    "-1E-999999",
    "-0",
    "-0.0e-0",
    "123456789012345678901234567890",
    r#""\ud800""#,
    r#"{"\udc00":1,"\udc00":1}"#,
    r#"["\udfff\ud83d"]"#,
    "[[],{},null]",
    "\"\u{7f}\u{fffe}\u{10ffff}\"",
    r#""\u0000\b\f\/""#,
    r#"1,"note":2"#,
    r#"{"event_id":1,"event_id":2}"#,
    r#"1,"Event_id":5,"event_id ":[],"event_id\u0000":{}"#,
];

/// What makes the whole record malformed, wherever it stands.
const NO_JSON_NOTES: [&str; 42] = [
    "",
    "01",
    "-",
    "-01",
    "+1",
    ".5",
    "1.",
    "1.e1",
    "1e",
    "1e+",
    "0x1",
    "1_000",
    "NaN",
    "Infinity",
    "-Infinity",
    "nul",
    "nulll",
    "True",
    "undefined",
    "'a'",
    "\"\t\"",
    "\"\u{1f}\"",
    "\"a\nb\"",
    r#""\x""#,
    r#""\u12g4""#,
    r#""\u123""#,
    r#""\u+123""#,
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\":1,}",
    "{1:2}",
    "{\"a\"}",
    "\"",
    "1}",
    "[1}",
    "//\n1",
    "/**/1",
    "\u{a0}1",
    "1,",
    r#"1,"\ud800":1"#,
    r#"1,"\udfff\ud83d":1"#,
];

/// The spellings of an integer field of at most 10^12.
const INTEGERS: [(&str, Option<&str>); 20] = [
    ("0", None),
    ("null", None),
    ("1000000000000", None),
    ("1000000000001", AMOUNT),
    ("-1", AMOUNT),
    ("9223372036854775807", AMOUNT),
    ("-9223372036854775808", AMOUNT),
    ("9223372036854775808", MALFORMED),
    ("-9223372036854775809", MALFORMED),
    ("18446744073709551616", MALFORMED),
    ("-0", MALFORMED),
    ("0.0", MALFORMED),
    ("1e0", MALFORMED),
    ("1E2", MALFORMED),
    ("00", MALFORMED),
    ("\"1\"", MALFORMED),
    ("true", MALFORMED),
    ("[1]", MALFORMED),
    ("{}", MALFORMED),
    ("0,\"revenue_fen\":null", MALFORMED),
];

/// What `reverses` may be on a reversal of a savings product that has an amount and no revenue.
const REVERSALS: [(&str, Option<&str>); 23] = [
    (r#"{"txn_type":"deposit"}"#, None),
    (r#"{"txn\u005ftype":"opened"}"#, None),
    (r#"{"x":1,"x":{"\ud800":"\ud800"},"txn_type":"withdrawal"}"#, None),
    (r#"{"txn_type":"deposit","txn_type":"deposit"}"#, MALFORMED),
    (r#"{"txn_type":null,"txn_type":"deposit"}"#, MALFORMED),
    (r#"{"txn_type":"deposit","\ud800":1}"#, MALFORMED),
    (r#"{"txn_type":"deposit\ud800"}"#, MALFORMED),
    (r#"{"txn_type":1}"#, MALFORMED),
    (r#"{"txn_type":{}}"#, MALFORMED),
    (r#"["deposit"]"#, MALFORMED),
    (r#"[{"txn_type":"deposit"}]"#, MALFORMED),
    (r#""deposit""#, MALFORMED),
    ("true", MALFORMED),
    ("null", Some("missing_field")),
    ("{}", Some("missing_field")),
    (r#"{"txn_type":null}"#, Some("missing_field")),
    (r#"{"Txn_type":"deposit"}"#, Some("missing_field")),
    (r#"{"txn_type":"fee"}"#, Some("missing_field")),
    (r#"{"txn_type":"sale"}"#, Some("missing_field")),
    (r#"{"txn_type":""}"#, Some("invalid_reversal")),
    (r#"{"txn_type":"reversal"}"#, Some("invalid_reversal")),
    (r#"{"txn_type":"accepted"}"#, Some("invalid_reversal")),
    (r#"{"txn_type":"premium"}"#, Some("type_product_mismatch")),
];

/// Not UTF-8: stray bytes, an overlong slash, a surrogate, a code point too high, a sequence cut
/// short.
const NO_UTF8: [&[u8]; 6] =
    [b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9\xa9"];

/// Documents around a valid event, each with the reason that CONTRACT gives, or `None` where it
/// stays valid.
///
/// The event must be valid for the contract, and have no field called `note`. The document with a
/// null revenue is left out where the event has one, because then it may need it.
pub fn hostile_documents(contract: &str, event: &Map<String, Value>) -> Vec<Document> {
    let body = body(event);
    let noted = |note: &str| format!("{{{body},\"note\":{note}}}").into_bytes();
    let mut documents: Vec<Document> = Vec::new();
    documents.extend(JSON_NOTES.iter().map(|note| (noted(note), None)));
    documents.extend(NO_JSON_NOTES.iter().map(|note| (noted(note), MALFORMED)));
    // The record's own object is the first level.
    for (levels, reason) in [(30, None), (31, None), (32, MALFORMED), (1500, MALFORMED)] {
        documents.push((noted(&("[".repeat(levels) + &"]".repeat(levels))), reason));
    }
    for (levels, reason) in [(31, None), (32, MALFORMED), (400, MALFORMED)] {
        let note = format!("{}{{}}{}", "{\"a\":".repeat(levels - 1), "}".repeat(levels - 1));
        documents.push((noted(&note), reason));
    }
    for bytes in NO_UTF8 {
        documents.push((
            [format!("{{{body},\"note\":\"").as_bytes(), bytes, b"\"}"].concat(),
            MALFORMED,
        ));
    }
    let mut unpaid = event.clone();
    let paid = unpaid.remove("revenue_fen").is_some();
    let unpaid = self::body(&unpaid);
    for (revenue, reason) in INTEGERS {
        if !(paid && revenue == "null") {
            documents
                .push((format!("{{{unpaid},\"revenue_fen\":{revenue}}}").into_bytes(), reason));
        }
    }
    documents.extend(around(event));
    documents.extend(without_event());
    if contract == "finance" {
        documents.extend(reversals(event));
    }
    documents
}

/// Reversals with all that `reverses` may be, otherwise as the valid event of the finance contract.
pub(super) fn reversals(event: &Map<String, Value>) -> Vec<Document> {
    let mut reversal = event.clone();
    reversal.remove("reverses");
    reversal.remove("revenue_fen");
    reversal.insert("txn_type".into(), "reversal".into());
    reversal.insert("product".into(), "savings".into());
    reversal.insert("amount_fen".into(), 1.into());
    let body = body(&reversal);
    REVERSALS
        .iter()
        .map(|(reverses, reason)| {
            (format!("{{{body},\"reverses\":{reverses}}}").into_bytes(), *reason)
        })
        .collect()
}

/// The members without their braces.
fn body(event: &Map<String, Value>) -> String {
    let plain = Value::Object(event.clone()).to_string();
    plain[1..plain.len() - 1].to_owned()
}

fn around(event: &Map<String, Value>) -> Vec<Document> {
    let plain = Value::Object(event.clone()).to_string();
    let body = body(event);
    let id = event.get("event_id").cloned().unwrap_or_default();
    let prefecture = |before: &str, written: &str| {
        plain.replacen(
            &format!("\"prefecture\":\"{before}"),
            &format!("\"prefecture\":\"{written}"),
            1,
        )
    };
    [
        (format!(" \t\r\n{plain}\n "), None),
        (format!("\u{feff}{plain}"), MALFORMED),
        (format!("{plain}\u{0}"), MALFORMED),
        (format!("{plain}{plain}"), MALFORMED),
        (format!("{plain},"), MALFORMED),
        (format!("[{plain}]"), MALFORMED),
        (format!("{{{body}"), MALFORMED),
        (format!("{{,{body}}}"), MALFORMED),
        (format!("{{{body},\"event_id\":{id}}}"), MALFORMED),
        (format!("{{{body},\"event_id\":null}}"), MALFORMED),
        (format!("{{{body},\"\\u0065vent_id\":{id}}}"), MALFORMED),
        (plain.replacen("\"event_id\"", "\"event\\u005fid\"", 1), None),
        (prefecture("2", "\\u0032"), None),
        (prefecture("", "\\ud83d"), MALFORMED),
        (prefecture("", "\\udce8\\ud83d"), MALFORMED),
        (prefecture("", "\\ud83d\\ud83d\\udce8"), MALFORMED),
        (prefecture("", "\\ud83d\\udce8"), Some("unknown_prefecture")),
        (prefecture("", "\\ufffd"), Some("unknown_prefecture")),
    ]
    .map(|(document, reason)| (document.into_bytes(), reason))
    .to_vec()
}

fn without_event() -> Vec<Document> {
    [
        ("", MALFORMED),
        (" ", MALFORMED),
        ("null", MALFORMED),
        ("[]", MALFORMED),
        ("\"{}\"", MALFORMED),
        ("[\"a\",\"accepted\",\"express\",\"210100\",\"2021-06-30T00:00:00Z\",1]", MALFORMED),
        ("{}", Some("missing_field")),
        ("{\"note\":{}}", Some("missing_field")),
    ]
    .map(|(document, reason)| (document.as_bytes().to_vec(), reason))
    .to_vec()
}

/// The event followed by as many spaces as make it so many bytes, where it is not longer already.
pub(super) fn padded(event: &Map<String, Value>, bytes: usize) -> Vec<u8> {
    let mut document = Value::Object(event.clone()).to_string();
    while document.len() < bytes {
        document.push(' ');
    }
    document.into_bytes()
}
