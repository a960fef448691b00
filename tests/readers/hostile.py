"""The catalogue of records that a decoder may get wrong: every reject reason and every sentence of the fine print.

An entry is a `Case`: what the contract says of it (a reason, or VALID), a name, and how to make its bytes from the
members of a good event. The label is what the author read in the contract; the oracle decides on its own, and the
unit tests demand that the two agree.
"""

from dataclasses import dataclass
from typing import Callable

VALID = "valid"
MIB = 1_048_576
YEAR_2100_MS = 4_102_444_800_000
INT64_MAX = 2**63 - 1
FINANCE_PAIRS = {
    "savings": "opened deposit withdrawal transfer_in transfer_out fee fee_accrual", "insurance": "premium fee",
    "wealth": "purchase redemption fee", "fund": "purchase redemption fee", "bond": "purchase redemption fee",
    "settlement": "transfer_in transfer_out fee", "letter": "sale refund", "press": "sale refund",
    "philately": "sale refund", "registered": "sale refund", "distribution": "sale refund", "value_added": "sale refund",
}
FINANCE_TYPES = sorted(set(" ".join(FINANCE_PAIRS.values()).split()))


@dataclass
class Case:
    """One entry of the catalogue."""

    label: str
    name: str
    make: Callable  # members of a good event, record time in microseconds → bytes of the value
    ts_ms: int | None = None  # when set, the record's own timestamp
    needs_ts: bool = False  # means something else without a record timestamp
    once: bool = False  # too big to be repeated
    one_line: bool = True  # can stand in a file of bare values
    kcat_only: bool = False  # years that month folders cannot show, when they become the record's time


def render(members):
    """The object of members [(name bytes, raw JSON bytes)]."""
    return b"{" + b",".join(b'"' + name + b'":' + raw for name, raw in members) + b"}"


def put(members, **changes):
    """The members with some replaced or added (raw JSON text; None drops)."""
    changes = {name.encode(): raw for name, raw in changes.items()}
    kept = [(name, raw) for name, raw in members if name not in changes]
    return kept + [(name, raw.encode() if isinstance(raw, str) else raw) for name, raw in changes.items() if raw is not None]


def quoted(text):
    """A JSON string of text that needs no escapes."""
    return '"' + text + '"'


def changed(label, name, _flags=None, **changes):
    """A case that replaces members."""
    return Case(label, name, lambda members, t: render(put(members, **changes)), **(_flags or {}))


def around(label, name, before=b"", after=b"", **flags):
    """A case that puts bytes around the value."""
    return Case(label, name, lambda members, t: before + render(members) + after, **flags)


def extra(label, name, raw, **flags):
    """A case with an unknown member whose raw JSON is given."""
    return Case(label, name, lambda members, t: render(members + [(b"x_extra", raw)]), **flags)


def whole(label, name, value, **flags):
    """A case whose whole value is given."""
    return Case(label, name, lambda members, t: value, **flags)


def padded(size):
    """A maker of values of exactly `size` bytes."""
    def make(members, t):
        value = render(members + [(b"x_pad", b'""')])
        return value.replace(b'"x_pad":""', b'"x_pad":"' + b"p" * (size - len(value)) + b'"')
    return make


def sizes():
    """too_large, and the largest value that is not."""
    return [
        Case("too_large", "one byte over", padded(MIB + 1), once=True),
        whole("too_large", "large garbage", b"[" * (MIB + 1), once=True),
        Case(VALID, "exactly a mebibyte", padded(MIB), once=True),
        Case("too_large", "white space counts", lambda m, t: render(m) + b" " * MIB, once=True),
    ]


def shapes():
    """Values that are not one object of JSON."""
    cases = [whole("malformed", "bare " + raw, raw.encode()) for raw in (
        "null", "true", "1", '"text"', "[]", "{", "}", "{,}", '{"event_id"}', '{"event_id" "x"}', "{'event_id':'x'}",
        '{event_id:"x"}', '["id","accepted","express","210100","2021-07-03T00:00:00Z",1]', "NaN", "\\u007b}", '{"a":1,}',
        '{"a":1 "b":2}', '{"a":[1,]}', '{"a":[1 2]}', '{"a":}', '{"":}', '{"a":1}}', '{"a":1},', '{"a":"', '{"a":"\\', '{1:2}')]
    cases += [
        whole("malformed", "empty", b"", one_line=False), whole("malformed", "blank", b" \t\r\n", one_line=False),
        Case("malformed", "array of records", lambda m, t: b"[" + render(m) + b"]"),
        Case("malformed", "truncated", lambda m, t: render(m)[:-1]),
        Case("malformed", "truncated in the middle", lambda m, t: render(m)[:40]),
        Case("malformed", "twice", lambda m, t: render(m) * 2),
        Case("malformed", "trailing comma", lambda m, t: render(m)[:-1] + b",}"),
        Case("malformed", "comment", lambda m, t: b"{/**/" + render(m)[1:]),
        Case("malformed", "single quotes", lambda m, t: render(m).replace(b'"', b"'")),
        Case("malformed", "utf-16", lambda m, t: render(m).decode().encode("utf-16-le"), one_line=False),
        around("malformed", "byte-order mark", before=b"\xef\xbb\xbf"),
        whole("missing_field", "no members", b"{}"), whole("missing_field", "unknown only", b'{"a":1}'),
    ]
    for tail in (b"x", b"\0", b",", b"]", b"\x0c", b"\x0b", b"\xc2\xa0", b"\xe2\x80\xa8", b"\xff", b"\x1a", b"null"):
        cases.append(around("malformed", f"trailing {tail!r}", after=tail))
    for head in (b"\x0c", b"\0", b"\xc2\xa0", b"\x1e", b"#"):
        cases.append(around("malformed", f"leading {head!r}", before=head))
    cases += [around(VALID, "white space around", b" \t ", b" \t "), around(VALID, "carriage return behind", after=b"\r"),
              around(VALID, "lines around", b"\r\n", b"\n\n", one_line=False)]
    return cases


def strings():
    """UTF-8, escapes and surrogates."""
    cases = []
    for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe6\xb2", b"\x80", b"\xf8\x88\x80\x80\x80"):
        cases.append(extra("malformed", f"bytes {bad!r} in an unknown field", b'"' + bad + b'"'))
        cases.append(changed("malformed", f"bytes {bad!r} in event_id", event_id=b'"id-' + bad + b'"'))
        cases.append(Case("malformed", f"bytes {bad!r} in a name", lambda m, t, bad=bad: render(m + [(bad, b"1")])))
    for raw in (b'"\x00"', b'"\x1f"', b'"\t"', b'"\r"', b'"\\x41"', b'"\\u12"', b'"\\u00zz"', b'"\\\'"', b'"\\U0041"', b'"\\'
                b'u+123"', b'"\\0"', b'"\\a"', b'"\\ud800\\u00zz"'):
        cases.append(extra("malformed", f"string {raw!r}", raw))
    cases.append(extra("malformed", "newline in a string", b'"a\nb"', one_line=False))
    for lone in ("\\ud800", "\\udc00", "\\ud800x", "\\udc00\\ud800", "\\ud800\\u0041", "\\uDBFF\\uDBFF"):
        cases.append(changed("malformed", "lone " + lone + " in event_id", event_id=quoted("id" + lone)))
        cases.append(changed("malformed", "lone " + lone + " in occurred_at", occurred_at=quoted(lone)))
        cases.append(Case("malformed", "lone " + lone + " in a name", lambda m, t, k=lone.encode(): render(m + [(k, b"1")])))
        cases.append(extra(VALID, "lone " + lone + " in an unknown value", quoted(lone).encode()))
    cases += [
        extra(VALID, "delete is no control character", b'"\x7f"'), extra(VALID, "all escapes", b'"\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000"'),
        extra(VALID, "a pair of surrogates", b'"\\ud83d\\ude00\xf0\x9f\x98\x80"'),
        extra(VALID, "noncharacters", "\"\uffff\ufdd0\U0010ffff\ufeff\"".encode()),
        Case(VALID, "escaped names", lambda m, t: render(m).replace(b'"event_id"', b'"event\\u005fid"')),
        Case(VALID, "escaped value", lambda m, t: render(m).replace(b'"2', b'"\\u0032')),
        Case(VALID, "members in reverse", lambda m, t: render(m[::-1])),
        Case(VALID, "white space everywhere", lambda m, t: b"{ " + b" ,\t".join(b'"%s" :\r%s' % p for p in m) + b" }"),
    ]
    return cases


def numbers():
    """The grammar of numbers in unknown fields, and int64 in the known ones."""
    cases = [extra("malformed", "number " + raw, raw.encode()) for raw in (
        "01", "+1", ".5", "1.", "1e", "1e+", "-", "--1", "0x10", "1_000", "NaN", "Infinity", "-Infinity", "nan", "1,2", "-01",
        "1.e5", "１", "True", "TRUE", "None", "undefined", "nul", "truefalse", "'a'")]
    cases += [extra(VALID, "number " + raw[:20], raw.encode()) for raw in (
        "-0", "0", "1e999999", "-1E-999999", "0.1e+5", "9" * 400, "-0.0", "123456789012345678901234567890.5", "0e0")]
    return cases


def depth():
    """Nesting: the record's own object is level 1."""
    def nested(levels):
        return b"[" * levels + b"]" * levels

    def objects(levels):
        return b'{"a":' * levels + b"1" + b"}" * levels
    cases = [extra(VALID, "32 levels", nested(31)), extra("malformed", "33 levels", nested(32)),
             extra(VALID, "32 levels of objects", objects(31)), extra("malformed", "33 levels of objects", objects(32)),
             extra("malformed", "33 mixed levels", b'[{"a":' * 16 + b"1" + b"}]" * 16),
             extra(VALID, "brackets in a string", b'"' + b"[" * 100 + b'"'), extra(VALID, "wide", b"[" + b"[],{}," * 50 + b"1]"),
             extra("malformed", "very deep", nested(20_000), once=True), whole("malformed", "open brackets", b'{"a":' * 50_000, once=True)]
    return cases


def types(contract):
    """Wrong JSON types, known fields twice, nulls."""
    text = ["event_id", "product", "prefecture", "occurred_at"]
    text += ["event_type", "due_at"] if contract == "parcel" else ["txn_type", "accounting_date"]
    whole_numbers = ["revenue_fen"] + (["weight_g", "attempt"] if contract == "parcel" else ["amount_fen"])
    cases = []
    for field in text:
        cases += [changed("malformed", f"{field} {raw}", **{field: raw}) for raw in ("1", "true", "[]", "{}", '["a"]', "1.5")]
    for field in whole_numbers:
        cases += [changed("malformed", f"{field} {raw}", **{field: raw}) for raw in (
            '"100"', "1.0", "1e2", "1E0", "-0", "0.0", "true", "[1]", "{}", str(2**63), str(-2**63 - 1), "9" * 60, '""', "-0.0", "10e-1")]
    cases += [changed("malformed", f"agri {raw}", agri=raw) for raw in ("0", "1", '"true"', "[]", "{}", '""')]
    for field in text + whole_numbers + ["agri"]:
        raw = {"agri": b"true", "due_at": b'"2021-07-05T00:00:00Z"', "accounting_date": b'"2021-07-05"'}.get(field, b"1")

        def twice(members, t, key=field.encode(), raw=raw):
            members = members if key in dict(members) else members + [(key, raw)]
            return render(members + [(key, dict(members)[key])])
        cases.append(Case("malformed", field + " twice", twice))
    cases += [
        Case("malformed", "null, then a value", lambda m, t: render(put(m, agri="null") + [(b"agri", b"true")])),
        Case("malformed", "twice through an escape", lambda m, t: render(m + [(b"event\\u005fid", b'"other"')])),
        Case(VALID, "unknown names twice", lambda m, t: render(m + [(b"x", b"1"), (b"x", b"{}"), (b"", b"1"), (b"", b"2")])),
        changed(VALID, "optional nulls", agri="null", **({"due_at": "null", "weight_g": "null", "attempt": "null"}
                                                        if contract == "parcel" else {"accounting_date": "null", "reverses": "null"})),
        changed("malformed", "event_id empty", event_id='""'), changed("malformed", "event_id of 65", event_id=quoted("i" * 65)),
        changed("malformed", "event_id of 66 bytes in 22 characters", event_id=quoted("驿" * 22)),
        changed("malformed", "event_id of 65 escapes", event_id=quoted("\\u0041" * 65)),
        changed("malformed", "event_id of 68 bytes in 17 pairs", event_id=quoted("\\ud83d\\ude00" * 17)),
        changed(VALID, "event_id of 64", event_id=quoted("i" * 64)),
        changed(VALID, "event_id of 64 escapes", event_id=quoted("\\u0042" * 64)),
        changed(VALID, "event_id of 63 bytes in 21 characters", event_id=quoted("驿" * 21)),
        changed(VALID, "event_id of one zero byte", event_id='"\\u0000"'),
    ]
    other = {"amount_fen": '"x"', "reverses": "7", "accounting_date": "[]", "txn_type": "null"} if contract == "parcel" else {
        "weight_g": "-1", "attempt": '"zero"', "due_at": '"never"', "event_type": "{}"}
    cases.append(changed(VALID, "fields of the other contract", **other))
    return cases


def identities():
    """Ids that differ in their bytes only, and one that is written in two ways."""
    names = ["caf\u00e9-identity", "cafe\u0301-identity", "CAFE-identity", "cafe-identity", " cafe-identity", "cafe-identity ",
             "6f9619ff-8b86-d011-b42d-00c04fc964ff", "6F9619FF-8B86-D011-B42D-00C04FC964FF", "6f9619ff8b86d011b42d00c04fc964ff",
             "{6f9619ff-8b86-d011-b42d-00c04fc964ff}", "cafe\\u002didentity", "caf\\u00e9-identity", "cafe-identity\\u0000",
             "\ufeffcafe-identity", "6f9619ff-8b86-d011-b42d-00c04fc964fF", "00000000-0000-0000-0000-000000000000"]
    return [changed(VALID, "id " + name, event_id=quoted(name)) for name in names]
