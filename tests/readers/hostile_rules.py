"""The second half of the catalogue: records that decode, and that the rules of the domain refuse or just allow."""

import datetime

from hostile import (FINANCE_PAIRS, FINANCE_TYPES, INT64_MAX, VALID, YEAR_2100_MS, Case, changed, depth, identities, numbers,
                     put, quoted, render, shapes, sizes, strings, types)

EPOCH = datetime.datetime(1970, 1, 1)
MINUTE_US = 60_000_000
BAD_STAMPS = [
    "", " ", "now", "2021-07-03", "2021-07-03T00:00:00", "2021-07-03T00:00Z", "2021-07-03T24:00:00Z", "2021-07-03T23:59:60Z",
    "2021-06-30T23:59:60Z", "2021-07-03T00:60:00Z", "2021-07-03T25:00:00Z", "2021-02-29T00:00:00Z", "2021-06-31T00:00:00Z",
    "1900-02-29T00:00:00Z", "2021-13-01T00:00:00Z", "2021-00-01T00:00:00Z", "2021-07-00T00:00:00Z", "2021-07-32T00:00:00Z",
    "2021-7-03T00:00:00Z", "2021-07-03T0:00:00Z", "2021-07-03T00:00:00.Z", "2021-07-03T00:00:00,5Z", "2021-07-03T00:00:00+8:00",
    "2021-07-03T00:00:00+0800", "2021-07-03T00:00:00+08", "2021-07-03T00:00:00+24:00", "2021-07-03T00:00:00+08:60",
    "2021-07-03T00:00:00\u221208:00", "2021-07-03T00:00:00 Z", "2021-07-03  00:00:00Z", "2021-07-03_00:00:00Z",
    "2021-07-03T00:00:00Z ", " 2021-07-03T00:00:00Z", "2021-07-03T00:00:00ZZ", "2021-07-03T00:00:00UTC", "20210703T000000Z",
    "+2021-07-03T00:00:00Z", "-2021-07-03T00:00:00Z", "12021-07-03T00:00:00Z", "２０２１-07-03T00:00:00Z", "2021/07/03T00:00:00Z",
    "2021-07-03T00:00:00.5", "2021-07-03T00:00:00.5.5Z", "2021-07-03T00:00:00+08:00Z", "2021-W26-6T00:00:00Z", "1625270400",
    "2021-07-03T00:00:00Z\\u0000", "2021-07-03T00:00:00Z\\n", "2021-07-03\\t00:00:00Z", "2021-07-03T00.00.00Z",
    "2021-07-03T-1:00:00Z", "2021-07-03T00:00:00.\u0661Z", "2021-07-03T00:00:00+", "2021-07-03T00:00:00.123456789",
    "2021-07-03T00:00:00[Asia/Shanghai]", "2021-07-03T00:00:00+08:00[Asia/Shanghai]", "0000-00-00T00:00:00Z", "2021-07-03TZ"]
BAD_DATES = ["", "2021-6-30", "20210630", "2021-02-29", "2021-13-01", "2021-00-10", "2021-06-31", "2021-07-03 ", " 2021-07-03",
             "2021-07-03T00:00:00Z", "２０２１-07-03", "2021/07/03", "21-07-03", "02021-07-03", "2021-07-3", "2021-07-00", "-021-07-03",
             "+021-07-03", "2021-07-0\u0663", "2021-07-03\\u0000", "2021-185", "null", "1900-02-29", "2021-07-03\\n", "1e10-01-01"]


def stamp(us, offset_minutes=480, digits="", letter="T"):
    """A timestamp of the contract, to the microsecond, shown at an offset; `digits` are written behind the sixth."""
    local = EPOCH + datetime.timedelta(microseconds=us + offset_minutes * MINUTE_US)
    sign, rest = ("-" if offset_minutes < 0 else "+"), divmod(abs(offset_minutes), 60)
    return f"{local:%Y-%m-%d}{letter}{local:%H:%M:%S}.{local.microsecond:06d}{digits}{sign}{rest[0]:02d}:{rest[1]:02d}"


def day_of(us, days=0):
    """The date in UTC+08:00 of an instant, some days on."""
    return f"{EPOCH + datetime.timedelta(microseconds=us + 480 * MINUTE_US, days=days):%Y-%m-%d}"


def dynamic(label, name, changes, **flags):
    """A case whose replaced members depend on the record's time."""
    return Case(label, name, lambda members, t: render(put(members, **changes(t))), **flags)


def at(us, **style):
    """The raw JSON of a timestamp."""
    return quoted(stamp(us, **style))


def parcel_rules():
    """Presence, codes and amounts of parcel events."""
    cases = [changed("missing_field", f"{f} {gone}", **{f: gone}) for gone in (None, "null")
             for f in ("event_id", "event_type", "product", "prefecture", "occurred_at", "revenue_fen")]
    cases += [
        changed("missing_field", "voided without revenue", event_type='"voided"', revenue_fen=None),
        changed("missing_field", "before unknown_type", event_type='"posted"', product=None),
        changed("missing_field", "before everything", prefecture=None, event_type='"x"', product='"x"', occurred_at='"x"', weight_g="-1"),
        changed("unknown_type", "before unknown_product", event_type='"deposit"', product='"savings"', revenue_fen=None),
        changed("unknown_type", "needs nothing", event_type='"posted"', revenue_fen=None),
        changed("unknown_product", "before unknown_prefecture", product='"x"', prefecture='"x"', occurred_at='"x"'),
        changed(VALID, "revenue on a scan is ignored", event_type='"arrived"', revenue_fen="10"),
        changed("invalid_time", "due_at on a scan", event_type='"arrived"', due_at='"soon"'),
        changed("amount_out_of_range", "weight on a scan", event_type='"arrived"', weight_g="-1"),
        changed("amount_out_of_range", "attempt on an acceptance", attempt="0"),
        changed("amount_out_of_range", "attempt -5", event_type='"out_for_delivery"', attempt="-5"),
        changed("amount_out_of_range", "attempt lowest", attempt=str(-2**63)), changed(VALID, "attempt highest", attempt=str(INT64_MAX)),
        changed("amount_out_of_range", "weight 1e9+1", weight_g=str(10**9 + 1)), changed(VALID, "weight 1e9", weight_g=str(10**9)),
        changed("amount_out_of_range", "weight highest", weight_g=str(INT64_MAX)),
        changed(VALID, "second attempt is not due", event_type='"out_for_delivery"', attempt="2"),
        changed(VALID, "attempt absent is the first", event_type='"out_for_delivery"', attempt=None),
        changed(VALID, "voided, largest", event_type='"voided"', revenue_fen=str(10**12), weight_g=str(10**9), agri="true"),
        changed(VALID, "returned with agri", event_type='"returned"', revenue_fen="700", agri="true"),
        changed(VALID, "returned without revenue", event_type='"returned"', revenue_fen=None),
        changed(VALID, "delivered without due_at", event_type='"delivered"', due_at=None),
    ]
    cases += [changed("unknown_type", "type " + k, event_type=quoted(k)) for k in ("", "Accepted", "accepted ", "deposit", "VOIDED", "accept\\u0000")]
    cases += [changed("unknown_product", "product " + k, product=quoted(k)) for k in ("", "EXPRESS", "savings", "letter", "total", "express ", "parcel")]
    cases += [changed("invalid_time", "due_at " + k, due_at=quoted(k)) for k in BAD_STAMPS]
    for lag, due in ((0, ""), (0, "9"), (1, ""), (-1, "")):
        cases.append(dynamic(VALID, f"delivered {lag} us after due, {due}", lambda t, lag=lag, due=due: {
            "event_type": '"delivered"', "occurred_at": at(t - 5 + lag, digits="9", offset_minutes=-719),
            "due_at": at(t - 5, digits=due, offset_minutes=330, letter=" ")}))
    old = "1999-12-31T15:59:59.999999999Z"
    cases += [changed("date_out_of_range", "last moment of 1999", occurred_at=quoted(old)),
              changed("date_out_of_range", "1999, before the amounts", occurred_at=quoted(old), weight_g="-1"),
              changed(VALID, "first moment of 2000", occurred_at='"1999-12-31T16:00:00z"'),
              changed(VALID, "due_at in year 0", due_at='"0000-02-29t23:59:59.1+23:59"'),
              changed(VALID, "due_at at the end", event_type='"delivered"', due_at='"9999-12-31 23:59:59-23:59"')]
    return cases


def finance_rules():
    """Presence, pairs, reversals and dates of finance events."""
    cases = [changed("missing_field", f"{f} {gone}", **{f: gone}) for gone in (None, "null")
             for f in ("event_id", "txn_type", "product", "prefecture", "occurred_at", "amount_fen")]
    amounts = {"deposit": "savings", "withdrawal": "savings", "transfer_in": "settlement", "transfer_out": "settlement",
               "purchase": "fund", "redemption": "bond", "premium": "insurance"}
    revenues = {"fee": "wealth", "fee_accrual": "savings", "sale": "press", "refund": "distribution"}
    for field, needs in (("amount_fen", amounts), ("revenue_fen", revenues)):
        for kind, product in needs.items():
            spare = {"amount_fen": "1", "revenue_fen": "1", field: None}
            cases.append(changed("missing_field", f"{kind} without {field}", txn_type=quoted(kind), product=quoted(product), **spare))
            cases.append(changed("missing_field", f"reversal of {kind} without {field}", txn_type='"reversal"', product=quoted(product),
                                 reverses=f'{{"txn_type":"{kind}"}}', **spare))
    for raw in (None, "null", "{}", '{"txn_type":null}', '{"other":1}', '{"TXN_TYPE":"deposit"}'):
        cases.append(changed("missing_field", f"reverses {raw}", txn_type='"reversal"', reverses=raw))
    for raw in ("1", '"deposit"', "[]", "true", '["deposit"]', '{"txn_type":1}', '{"txn_type":["deposit"]}', '{"txn_type":{}}',
                '{"txn_type":"deposit","txn_type":"deposit"}', '{"txn_type":"\\ud800"}', '{"txn_type":true}'):
        cases.append(changed("malformed", f"reverses {raw}", txn_type='"reversal"', reverses=raw))
        cases.append(changed("malformed", f"unused reverses {raw}", reverses=raw))
    for raw in ("{}", '{"txn_type":"nonsense"}', '{"txn_type":"reversal"}', '{"txn_type":null}', '{"x":[1,{"txn_type":2}],"x":"\\udc00"}'):
        cases.append(changed(VALID, f"harmless reverses {raw}", reverses=raw))
    for kind in ("", "reversal", "Deposit", "accepted", "nonsense"):
        cases.append(changed("invalid_reversal", "of " + kind, txn_type='"reversal"', reverses=f'{{"txn_type":"{kind}"}}'))
        cases.append(changed("unknown_product", "before a reversal of " + kind, txn_type='"reversal"', product='"express"',
                             reverses=f'{{"txn_type":"{kind}"}}'))
        cases.append(changed("invalid_reversal", "before place and time of " + kind, txn_type='"reversal"', prefecture='"x"', occurred_at='"x"',
                             product='"letter"', reverses=f'{{"txn_type":"{kind}"}}'))
    for product, allowed in FINANCE_PAIRS.items():
        for kind in FINANCE_TYPES:
            label = VALID if kind in allowed.split() else "type_product_mismatch"
            both = {"product": quoted(product), "amount_fen": "12345", "revenue_fen": "678"}
            cases.append(changed(label, f"{kind} of {product}", txn_type=quoted(kind), **both))
            cases.append(changed(label, f"reversal of {kind} of {product}", txn_type='"reversal"', agri="true",
                                 reverses=f'{{"why":["x"],"txn_type":"{kind}"}}', **both))
    cases += [changed("unknown_type", "type " + k, txn_type=quoted(k)) for k in ("", "Deposit", "accepted", "transfer", "reversal ")]
    cases += [changed("unknown_product", "product " + k, product=quoted(k)) for k in ("", "express", "SAVINGS", "finance", "letters")]
    cases += [changed("invalid_time", "accounting_date " + k, accounting_date=quoted(k)) for k in BAD_DATES]
    cases += [
        changed("missing_field", "before unknown_product", txn_type='"reversal"', reverses='{"txn_type":"deposit"}', amount_fen=None, product='"x"'),
        changed("type_product_mismatch", "before unknown_prefecture", product='"bond"', prefecture='"x"'),
        dynamic("invalid_time", "a date that is wrong, before the future", lambda t: {"occurred_at": at(t + 10**12), "accounting_date": '"x"'}),
        dynamic("date_out_of_range", "32 days on", lambda t: {"occurred_at": at(t - 5), "accounting_date": quoted(day_of(t - 5, 32))}),
        dynamic("date_out_of_range", "32 days ago", lambda t: {"occurred_at": at(t - 5), "accounting_date": quoted(day_of(t - 5, -32))}),
        dynamic(VALID, "31 days on", lambda t: {"occurred_at": at(t - 5), "accounting_date": quoted(day_of(t - 5, 31))}),
        dynamic(VALID, "31 days ago", lambda t: {"occurred_at": at(t - 5, offset_minutes=-600), "accounting_date": quoted(day_of(t - 5, -31))}),
        changed("date_out_of_range", "1999", occurred_at='"2000-01-05T00:00:00Z"', accounting_date='"1999-12-31"', amount_fen="-1"),
        changed(VALID, "booked in 2000, occurred in 1999", occurred_at='"1999-12-02T00:00:00Z"', accounting_date='"2000-01-01"'),
        changed("date_out_of_range", "year 0", {"kcat_only": True}, accounting_date='"0000-02-29"'),
        dynamic("future", "before the date range", lambda t: {"occurred_at": at(t + 3 * 10**9), "accounting_date": '"2001-01-01"'}, needs_ts=True),
        changed("amount_out_of_range", "amount on opened", txn_type='"opened"', amount_fen="-1"),
        changed("amount_out_of_range", "amount 1e12+1", amount_fen=str(10**12 + 1)), changed(VALID, "amount 1e12", amount_fen=str(10**12)),
        changed(VALID, "a reversal of 1e12", txn_type='"reversal"', reverses='{"txn_type":"withdrawal"}', amount_fen=str(10**12)),
        changed("amount_out_of_range", "amount lowest", amount_fen=str(-2**63)), changed(VALID, "amount 0", amount_fen="0"),
    ]
    return cases


def common_rules():
    """Places, times, clocks and amounts that both contracts share."""
    cases = [changed("unknown_prefecture", "prefecture " + k, prefecture=quoted(k)) for k in (
        "", "210001", "21010", "2101000", "210000", "110000", "999999", "２１０１００", " 210100", "210100 ", "Shenyang", "沈阳市", "211500")]
    cases += [changed("invalid_time", "occurred_at " + k, occurred_at=quoted(k)) for k in BAD_STAMPS]
    cases += [
        changed("unknown_prefecture", "before invalid_time", prefecture='"x"', occurred_at='"x"'),
        changed("invalid_time", "a bad time, before the amounts", occurred_at='"x"', revenue_fen="-1"),
        changed("amount_out_of_range", "revenue -1", revenue_fen="-1"), changed(VALID, "revenue 0", revenue_fen="0"),
        changed("amount_out_of_range", "revenue 1e12+1", revenue_fen=str(10**12 + 1)), changed(VALID, "revenue 1e12", revenue_fen=str(10**12)),
        changed("amount_out_of_range", "revenue highest", revenue_fen=str(INT64_MAX)),
        changed("amount_out_of_range", "revenue lowest", revenue_fen=str(-2**63)),
        changed("amount_out_of_range", "before a clock ahead", {"ts_ms": YEAR_2100_MS, "needs_ts": True}, revenue_fen="-1"),
        changed("clock_ahead", "the record's clock in 2100", {"ts_ms": YEAR_2100_MS, "needs_ts": True}),
        dynamic("clock_ahead", "both clocks in 2100", lambda t: {"occurred_at": '"2100-01-01T00:10:00Z"'}, ts_ms=YEAR_2100_MS),
        dynamic("future", "the record's clock at the epoch", lambda t: {}, ts_ms=0, needs_ts=True),
        changed("future", "last moment of 9999", {"needs_ts": True}, occurred_at='"9999-12-31T23:59:59.999999-23:59"'),
        changed("date_out_of_range", "first moment of year 0", {"kcat_only": True}, occurred_at='"0000-01-01T00:00:00+23:59"'),
        changed("date_out_of_range", "1970", occurred_at='"1970-01-01T00:00:00Z"'),
        changed("date_out_of_range", "before 1970", occurred_at='"1969-12-31T23:59:59.999999Z"'),
    ]
    july_ms = 1_625_068_800_000  # 2021-07-01 in UTC+08:00
    cases += [changed("unknown_prefecture", f"dead letter of {month}", {"ts_ms": ts, "needs_ts": True}, prefecture='"x"')
              for month, ts in (("June", july_ms - 1), ("July", july_ms), ("January 1970", 0))]
    for ahead, digits, label in ((0, "", VALID), (0, "999", VALID), (1, "", "future"), (10**6, "", "future"), (-1, "9", VALID)):
        cases.append(dynamic(label, f"10 minutes and {ahead} us ahead, {digits}", lambda t, ahead=ahead, digits=digits: {
            "occurred_at": at(t + 10 * MINUTE_US + ahead, digits=digits)}, needs_ts=True))
    cases.append(dynamic("future", "the future, before the amounts", lambda t: {"occurred_at": at(t + 10**9), "revenue_fen": "-1"}, needs_ts=True))
    for offset in (0, 1439, -1439, 480, -480, 1, 330):
        for letter in "Tt ":
            cases.append(dynamic(VALID, f"offset {offset} {letter}", lambda t, o=offset, c=letter: {
                "occurred_at": at(t - 7, offset_minutes=o, letter=c)}))
    for digits in ("1", "000001", "9" * 40):
        cases.append(dynamic(VALID, "fraction +" + digits, lambda t, d=digits: {"occurred_at": at(t - 7, digits=d)}))
    for text in ("2021-06-30T15:59:59.9Z", "2021-06-30T16:00:00z", "2021-06-30T15:59:59.999999999-00:00", "2021-07-01T00:00:00+08:00",
                 "2004-02-29T12:00:00Z", "2000-02-29 12:00:00z", "2020-12-31T23:59:59+07:59"):
        cases.append(changed(VALID, "time " + text, occurred_at=quoted(text)))
    return cases


def catalogue(contract):
    """Every case for one contract's topic."""
    rules = parcel_rules() if contract == "parcel" else finance_rules()
    return sizes() + shapes() + strings() + numbers() + depth() + types(contract) + identities() + rules + common_rules()
