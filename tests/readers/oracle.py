"""What the tables must hold, computed naively from the files alone.

Written from docs/CONTRACT.md, with no look at the product's own code, and as plainly as possible: every rule is
one `if`, every figure a Python integer, every key a string. Slowness is fine; a shared idea with the product is not.
Run it on the files that `postroad backfill` was given; it prints JSON that check_tables.py compares cell by cell.
"""

import argparse
import datetime
import json
import os
import re
import sys
import time
from decimal import Decimal

from naive_json import INTEGER, NotJson, read_document

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MINUTE_US = 60_000_000
SHANGHAI_US = 8 * HOUR_US
VALUE_BYTES_MAX = 1_048_576
DEDUPE_WINDOW_H = 24
LATE_AFTER_H = 1
FINAL_AFTER_H = 72
UNIX_EPOCH_ORDINAL = datetime.date(1970, 1, 1).toordinal()
DAY_2000 = datetime.date(2000, 1, 1).toordinal() - UNIX_EPOCH_ORDINAL

PREFECTURES = {
    "210100": "Shenyang", "210200": "Dalian", "210300": "Anshan", "210400": "Fushun", "210500": "Benxi",
    "210600": "Dandong", "210700": "Jinzhou", "210800": "Yingkou", "210900": "Fuxin", "211000": "Liaoyang",
    "211100": "Panjin", "211200": "Tieling", "211300": "Chaoyang", "211400": "Huludao",
}
LINE_OF = {
    "express": "parcel", "standard": "parcel", "economy": "parcel", "international": "parcel", "logistics": "parcel",
    "savings": "finance", "insurance": "finance", "wealth": "finance", "fund": "finance", "bond": "finance",
    "settlement": "finance", "letter": "basic", "press": "basic", "philately": "basic", "registered": "basic",
    "distribution": "retail", "value_added": "retail",
}
PARCEL_TYPES = ("accepted voided dispatched arrived out_for_delivery delivered delivery_failed returned").split()
FINANCE_TYPES = ("opened deposit withdrawal transfer_in transfer_out purchase redemption premium fee fee_accrual "
                 "sale refund reversal").split()
NEEDS_AMOUNT = "deposit withdrawal transfer_in transfer_out purchase redemption premium".split()
NEEDS_REVENUE = "accepted voided fee fee_accrual sale refund".split()
SHAPES = {
    "parcel": {"event_id": "string", "event_type": "string", "product": "string", "prefecture": "string",
               "occurred_at": "string", "revenue_fen": "int64", "weight_g": "int64", "attempt": "int64",
               "due_at": "string", "agri": "bool"},
    "finance": {"event_id": "string", "txn_type": "string", "product": "string", "prefecture": "string",
                "occurred_at": "string", "accounting_date": "string", "amount_fen": "int64",
                "revenue_fen": "int64", "reverses": "object", "agri": "bool"},
}
CONTRACT_OF_TOPIC = {"parcel.events": "parcel", "finance.transactions": "finance"}
MEASURES = ("volume revenue weight_g scans due delivered on_time failed_attempts returned voided balance turnover "
            "accounts_opened reversals agri_volume agri_revenue events late_events restated_events").split()
MONEY = ("revenue", "balance", "turnover", "agri_revenue")


class NotAnEnvelope(Exception):
    """A line of a kcat file that is not a record; the message names file and line."""


class Rejected(Exception):
    """The first reason, in the order of the contract, that holds for a record."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


# ---- From bytes to fields -------------------------------------------------------------------------------------

def typed(kind, value):
    """The Python value of a known field; a wrong type is malformed, null is None (an absent field)."""
    found, content = value
    if found == "null":
        return None
    if kind == "string":
        if found != "string" or content[1]:
            raise Rejected("malformed")
        return content[0].decode("utf-8")
    if kind == "bool":
        if found != "bool":
            raise Rejected("malformed")
        return content
    if kind == "int64":
        if found != "number" or not INTEGER.fullmatch(content) or content == b"-0" or len(content) > 20:
            raise Rejected("malformed")
        number = int(content)
        if not -2**63 <= number < 2**63:
            raise Rejected("malformed")
        return number
    if found != "object":
        raise Rejected("malformed")
    return known_fields(content, {"txn_type": "string"})


def known_fields(members, shape):
    """The known fields of an object's members; anything else is dropped."""
    fields, seen = {}, set()
    for name, lone, value in members:
        if lone:
            raise Rejected("malformed")
        key = name.decode("utf-8")
        if key not in shape:
            continue
        if key in seen:
            raise Rejected("malformed")
        seen.add(key)
        fields[key] = typed(shape[key], value)
    return {key: value for key, value in fields.items() if value is not None}


def decode(value, contract):
    """The fields of one record's value, or Rejected as too_large or malformed."""
    if len(value) > VALUE_BYTES_MAX:
        raise Rejected("too_large")
    try:
        value.decode("utf-8")
        kind, members = read_document(value, 32)
    except (UnicodeDecodeError, NotJson):
        raise Rejected("malformed") from None
    if kind != "object":
        raise Rejected("malformed")
    fields = known_fields(members, SHAPES[contract])
    if "event_id" in fields and not 1 <= len(fields["event_id"].encode("utf-8")) <= 64:
        raise Rejected("malformed")
    return fields


# ---- Times ----------------------------------------------------------------------------------------------------

STAMP = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
                   r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))")
DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")


def day_number(year, month, day):
    """Days since 1970-01-01 in the Gregorian calendar, from year 0 on, or None when there is no such day."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]:
        return None
    past = year - 1
    ordinal = past * 365 + past // 4 - past // 100 + past // 400 + sum(lengths[:month - 1]) + day
    return ordinal - UNIX_EPOCH_ORDINAL


def parse_stamp(text):
    """Microseconds since the epoch, or None when the text is not a timestamp of the contract."""
    match = STAMP.fullmatch(text)
    if not match:
        return None
    day = day_number(int(match[1]), int(match[2]), int(match[3]))
    hour, minute, second = int(match[4]), int(match[5]), int(match[6])
    if day is None or hour > 23 or minute > 59 or second > 59:
        return None
    offset = 0
    if match[8]:
        if int(match[9]) > 23 or int(match[10]) > 59:
            return None
        offset = (int(match[9]) * 60 + int(match[10])) * (1 if match[8] == "+" else -1)
    micros = int(((match[7] or "") + "000000")[:6])
    return day * DAY_US + hour * HOUR_US + (minute - offset) * MINUTE_US + second * 1_000_000 + micros


def parse_date(text):
    """Days since the epoch, or None when the text is not a date of exactly ten ASCII characters."""
    match = DATE.fullmatch(text)
    return day_number(int(match[1]), int(match[2]), int(match[3])) if match else None


def local_day(at_us):
    """The day in UTC+08:00 on which an instant lies."""
    return (at_us + SHANGHAI_US) // DAY_US


def date_text(day):
    """The day as YYYY-MM-DD."""
    return datetime.date.fromordinal(day + UNIX_EPOCH_ORDINAL).isoformat()


# ---- Judging one record ---------------------------------------------------------------------------------------

def is_pair(txn_type, product):
    """Whether a finance type may go with a product."""
    if LINE_OF[product] in ("basic", "retail"):
        return txn_type in ("sale", "refund")
    return txn_type in {
        "savings": ("opened", "deposit", "withdrawal", "transfer_in", "transfer_out", "fee", "fee_accrual"),
        "insurance": ("premium", "fee"),
        "wealth": ("purchase", "redemption", "fee"),
        "fund": ("purchase", "redemption", "fee"),
        "bond": ("purchase", "redemption", "fee"),
        "settlement": ("transfer_in", "transfer_out", "fee"),
    }[product]


def check_presence(fields, contract):
    """missing_field: what is always required, then what the type or the type being reversed requires."""
    type_name = "event_type" if contract == "parcel" else "txn_type"
    for name in ("event_id", type_name, "product", "prefecture", "occurred_at"):
        if name not in fields:
            raise Rejected("missing_field")
    kind = fields[type_name]
    if contract == "finance" and kind == "reversal":
        if "txn_type" not in fields.get("reverses", {}):
            raise Rejected("missing_field")
        kind = fields["reverses"]["txn_type"]
    known = PARCEL_TYPES if contract == "parcel" else FINANCE_TYPES
    if kind in known and kind in NEEDS_REVENUE and "revenue_fen" not in fields:
        raise Rejected("missing_field")
    if kind in known and kind in NEEDS_AMOUNT and "amount_fen" not in fields:
        raise Rejected("missing_field")


def check_codes(fields, contract):
    """unknown_type to unknown_prefecture."""
    kind = fields["event_type" if contract == "parcel" else "txn_type"]
    product = fields["product"]
    if kind not in (PARCEL_TYPES if contract == "parcel" else FINANCE_TYPES):
        raise Rejected("unknown_type")
    if product not in LINE_OF or (LINE_OF[product] == "parcel") != (contract == "parcel"):
        raise Rejected("unknown_product")
    if contract == "finance":
        if kind == "reversal":
            kind = fields["reverses"]["txn_type"]
            if kind not in FINANCE_TYPES or kind == "reversal":
                raise Rejected("invalid_reversal")
        if not is_pair(kind, product):
            raise Rejected("type_product_mismatch")
    if fields["prefecture"] not in PREFECTURES:
        raise Rejected("unknown_prefecture")


def check_times(fields, contract, t):
    """invalid_time to date_out_of_range; returns (occurred_at, due_at or None, business day, t)."""
    occurred = parse_stamp(fields["occurred_at"])
    due = parse_stamp(fields["due_at"]) if "due_at" in fields else None
    booked = parse_date(fields["accounting_date"]) if "accounting_date" in fields else None
    if occurred is None or ("due_at" in fields and due is None) or ("accounting_date" in fields and booked is None):
        raise Rejected("invalid_time")
    if t is None:
        t = occurred
    if occurred > t + 10 * MINUTE_US:
        raise Rejected("future")
    day = local_day(occurred)
    if booked is not None:
        if abs(booked - day) > 31:
            raise Rejected("date_out_of_range")
        day = booked
    if day < DAY_2000:
        raise Rejected("date_out_of_range")
    return occurred, due, day, t


def check_amounts(fields):
    """amount_out_of_range, whether or not the type uses the field."""
    for name, top in (("revenue_fen", 10**12), ("amount_fen", 10**12), ("weight_g", 10**9)):
        if not 0 <= fields.get(name, 0) <= top:
            raise Rejected("amount_out_of_range")
    if fields.get("attempt", 1) < 1:
        raise Rejected("amount_out_of_range")


def judge(fields, contract, t, wall_clock):
    """Every check after decoding; returns (occurred_at, due_at, business day, t)."""
    check_presence(fields, contract)
    check_codes(fields, contract)
    times = check_times(fields, contract, t)
    check_amounts(fields)
    if times[3] > wall_clock + DAY_US:
        raise Rejected("clock_ahead")
    return times


# ---- Effects --------------------------------------------------------------------------------------------------

def parcel_effect(fields, occurred, due):
    """What a parcel event adds, measure by measure."""
    kind, revenue, weight = fields["event_type"], fields.get("revenue_fen", 0), fields.get("weight_g", 0)
    if kind == "accepted":
        return {"volume": 1, "revenue": revenue, "weight_g": weight}
    if kind == "voided":
        return {"volume": -1, "revenue": -revenue, "weight_g": -weight, "voided": 1}
    if kind in ("dispatched", "arrived"):
        return {"scans": 1}
    if kind == "out_for_delivery":
        return {"due": 1} if fields.get("attempt", 1) == 1 else {}
    if kind == "delivered":
        return {"delivered": 1, "on_time": 1} if due is not None and occurred <= due else {"delivered": 1}
    if kind == "delivery_failed":
        return {"failed_attempts": 1}
    return {"returned": 1, "revenue": revenue}


def finance_effect(fields, kind):
    """What a finance event of this kind adds, measure by measure."""
    amount, revenue = fields.get("amount_fen", 0), fields.get("revenue_fen", 0)
    if kind == "opened":
        return {"accounts_opened": 1}
    if kind in ("deposit", "transfer_in", "purchase", "premium"):
        return {"balance": amount, "turnover": amount, "volume": 1, "revenue": revenue}
    if kind in ("withdrawal", "transfer_out", "redemption"):
        return {"balance": -amount, "turnover": amount, "volume": 1, "revenue": revenue}
    if kind in ("fee", "fee_accrual"):
        return {"revenue": revenue}
    if kind == "sale":
        return {"volume": 1, "turnover": amount, "revenue": revenue}
    if kind == "refund":
        return {"revenue": -revenue, "reversals": 1}
    undone = finance_effect(fields, fields["reverses"]["txn_type"])
    effect = {name: -undone.get(name, 0) for name in ("balance", "revenue", "accounts_opened")}
    effect["reversals"] = 1
    return effect


def apply_event(cells, fields, contract, times):
    """Adds one applied event to its cell."""
    occurred, due, day, t = times
    effect = parcel_effect(fields, occurred, due) if contract == "parcel" else finance_effect(fields, fields["txn_type"])
    effect["events"] = 1
    if fields.get("agri", False):
        effect["agri_volume"] = effect.get("volume", 0)
        effect["agri_revenue"] = effect.get("revenue", 0)
    end_of_day = (day + 1) * DAY_US - SHANGHAI_US
    effect["late_events"] = 1 if t >= end_of_day + LATE_AFTER_H * HOUR_US else 0
    effect["restated_events"] = 1 if t >= end_of_day + FINAL_AFTER_H * HOUR_US else 0
    key = "|".join((date_text(day), fields["prefecture"], fields["product"]))
    cell = cells.setdefault(key, {name: 0 for name in MEASURES})
    for name, amount in effect.items():
        cell[name] += amount


# ---- Files ----------------------------------------------------------------------------------------------------

def kcat_records(paths):
    """(source, topic, partition, offset, t or None, value or None, contract) of every envelope, in file order."""
    for path in paths:
        with open(path, "rb") as file:
            for number, line in enumerate(file.read().split(b"\n"), 1):
                if line:
                    yield envelope(line, f"{path}:{number}")


def envelope(line, where):
    """One line of `kcat -J`; unescaping keeps the bytes of the payload as they are."""
    try:
        kind, members = read_document(line, 1000)
        fields = {name.decode(): value for name, _, value in members} if kind == "object" else {}
        topic = fields["topic"][1][0].decode()
        partition, offset = int(fields["partition"][1]), int(fields["offset"][1])
        ts = int(fields["ts"][1]) if "ts" in fields else -1
        kind, content = fields["payload"]
        if kind not in ("null", "string"):
            raise ValueError("payload")
        payload = content[0] if kind == "string" else None
    except (NotJson, KeyError, ValueError, TypeError) as error:
        raise NotAnEnvelope(f"{where}: {error}") from None
    return "kafka", topic, partition, offset, (ts * 1000 if ts >= 0 else None), payload, CONTRACT_OF_TOPIC[topic]


def ndjson_records(paths, contract):
    """The same of bare values, one a line; each file is a shard and the line number, from 0, is the offset."""
    for path in paths:
        with open(path, "rb") as file:
            for number, line in enumerate(file.read().split(b"\n")):
                if line.strip(b" \t\r\n"):
                    yield "file", os.path.basename(path), 0, number, None, line, contract


# ---- The fold -------------------------------------------------------------------------------------------------

def new_shard(offset):
    """A shard before its first record."""
    return {"first_offset": offset, "next_offset": offset, "consumed": 0, "applied": 0, "duplicates": 0,
            "rejected": 0, "ignored": 0, "watermark": None, "last_seen": {}}


def take_record(shard, cells, value, contract, t, wall_clock):
    """One record's way through a shard; returns (reason, t) when it is rejected, else None."""
    shard["consumed"] += 1
    if value is None:
        shard["ignored"] += 1
        return None
    fields = {}
    try:
        fields = decode(value, contract)
        times = judge(fields, contract, t, wall_clock)
    except Rejected as rejected:
        shard["rejected"] += 1
        if t is None and "occurred_at" in fields:
            t = parse_stamp(fields["occurred_at"])
        return rejected.reason, t
    now = min(times[3], times[0] + DAY_US)
    if shard["watermark"] is not None:
        now = max(now, shard["watermark"])
    hour, event_id = now // HOUR_US, fields["event_id"]
    seen = shard["last_seen"].get(event_id)
    if seen is not None and hour - seen <= DEDUPE_WINDOW_H:
        shard["duplicates"] += 1
    else:
        shard["applied"] += 1
        apply_event(cells, fields, contract, times)
    shard["watermark"] = now
    shard["last_seen"][event_id] = hour
    return None


def compute(records, wall_clock=None):
    """The three tables that the records make."""
    wall_clock = int(time.time() * 1_000_000) if wall_clock is None else wall_clock
    shards, cells, dead = {}, {}, []
    for source, topic, partition, offset, t, value, contract in records:
        key = (source, topic, partition)
        if key not in shards:
            shards[key] = new_shard(offset)
        shard = shards[key]
        if offset < shard["next_offset"]:
            continue
        shard["next_offset"] = offset + 1
        verdict = take_record(shard, cells, value, contract, t, wall_clock)
        if verdict:
            dead.append({"topic": topic, "partition": partition, "incarnation": 0, "offset": offset,
                         "record_timestamp": verdict[1], "reason": verdict[0]})
    return {"daily_rollups": rollup_rows(cells), "ledger": ledger_rows(shards), "dead_letters": dead}


def rollup_rows(cells):
    """One row for each cell, sorted by day, prefecture and product; money as the text of yuan."""
    rows = []
    for key in sorted(cells):
        day, prefecture, product = key.split("|")
        row = {"business_date": day, "prefecture_code": prefecture, "prefecture_name": PREFECTURES[prefecture],
               "province_code": "210000", "line_code": LINE_OF[product], "product_code": product}
        for name, amount in cells[key].items():
            row[name + "_yuan" if name in MONEY else name] = str(Decimal(amount).scaleb(-2)) if name in MONEY else amount
        rows.append(row)
    return rows


def ledger_rows(shards):
    """One row for each shard."""
    rows = []
    for (source, topic, partition), shard in sorted(shards.items()):
        row = {"source": source, "topic": topic, "partition": partition, "incarnation": 0, "lost": 0}
        for name in ("first_offset", "next_offset", "consumed", "applied", "duplicates", "rejected", "ignored", "watermark"):
            row[name] = shard[name]
        row["gaps"] = shard["next_offset"] - shard["first_offset"] - shard["consumed"]
        rows.append(row)
    return rows


def main():
    """Prints the expected tables of the files as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--input", choices=("kcat", "ndjson"), default="kcat")
    parser.add_argument("--contract", choices=("parcel", "finance"))
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    if args.input == "ndjson" and not args.contract:
        parser.error("--input ndjson needs --contract")
    records = kcat_records(args.files) if args.input == "kcat" else ndjson_records(args.files, args.contract)
    json.dump(compute(records), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
