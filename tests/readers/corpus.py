"""Writes seeded event files that try to catch a fold out, as `kcat -J` prints them or as bare values.

The same seed gives the same records in every layout: one file, several files, the partitions in another order (within a
partition the order never changes). The figures they must lead to are the oracle's business, not this program's.
"""

import argparse
import heapq
import json
import os
import random
import re
import uuid

from hostile import FINANCE_PAIRS, VALID, put, render
from hostile_rules import at, catalogue, day_of

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
START_US = 1_625_270_400_000_000  # 2021-07-03T00:00:00Z; the canonical cases lie just before it
SPAN_US = 45 * DAY_US
CANONICAL_PREFECTURE = "210900"  # no other valid record names it
PREFECTURES = "210100 210200 210300 210400 210500 210600 210700 210800 211000 211100 211200 211300 211400".split()
PARTITIONS = {  # partition → first offset; the last of parcel.events never gets a valid record
    "parcel.events": {0: 17, 1: 1000, 2: 5_000_000_000_000, 3: 1, 7: 99},
    "finance.transactions": {0: 420, 1: 2_147_483_640, 5: 3},
}
BARREN = ("parcel.events", 7)
PRIVATE = ["王小明 13800138000", "SF-WAYBILL-7781", "ID 210102199001011234"]  # in payloads; must be in no file of a store
ESCAPE = re.compile(rb'["\\\x00-\x1f]')
SHORT_ESCAPES = {b'"': b'\\"', b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t", b"\b": b"\\b", b"\f": b"\\f"}
PARCEL_WEIGHTS = {"accepted": 30, "voided": 3, "dispatched": 15, "arrived": 15, "out_for_delivery": 14, "delivered": 14,
                  "delivery_failed": 4, "returned": 3}


class Shard:
    """What the generator keeps for one partition while it writes it."""

    def __init__(self, topic, partition, offset, rng):
        self.topic, self.partition, self.offset, self.rng = topic, partition, offset, rng
        self.contract = "parcel" if topic == "parcel.events" else "finance"
        self.cursor = START_US + rng.randrange(3_600_000) * 1000
        self.clock = 0  # a guess at shard time, to aim at the edges of the window
        self.records, self.recent, self.resends, self.ids = [], [], [], []

    def add(self, value, ts_ms, label=None, event_id=None):
        """Appends a record at the next offset; sometimes after a gap."""
        rng = self.rng
        if self.records and rng.random() < 0.01:
            self.offset += rng.choice((1, 1, 2, 7, 1000))
        self.records.append({"topic": self.topic, "partition": self.partition, "offset": self.offset, "ts": ts_ms,
                             "value": value, "label": label, "style": rng.random()})
        self.offset += 1
        if event_id:
            self.ids.append(event_id)

    def fresh_id(self):
        """A new event id: a UUID as a rule."""
        drawn = uuid.UUID(int=self.rng.getrandbits(128), version=4)
        kind = self.rng.random()
        if kind < 0.8:
            return str(drawn)
        return "evt-" + drawn.hex if kind < 0.9 else ("驿-" + drawn.hex if kind < 0.95 else str(drawn).upper())

    def step(self, mean_us):
        """Moves the partition's clock on; it stays within whole milliseconds."""
        self.cursor = (self.cursor + int(self.rng.expovariate(1 / mean_us)) + 1000) // 1000 * 1000


def money(rng, top=500_000):
    """A plausible sum in fen; rarely the largest or the smallest."""
    draw = rng.random()
    return 10**12 if draw < 0.001 else (0 if draw < 0.01 else rng.randrange(1, top))


def event(shard, event_id, occurred_us):
    """The members of a good event."""
    rng = shard.rng
    style = {"offset_minutes": rng.choice((480, 480, 0, -300, 1439)), "letter": rng.choice("TTTt "),
             "digits": rng.choice(("", "", "9", "000"))}
    members = [(b"event_id", json.dumps(event_id, ensure_ascii=rng.random() < 0.5).encode()),
               (b"prefecture", b'"%s"' % rng.choice(PREFECTURES).encode()), (b"occurred_at", at(occurred_us, **style).encode())]
    change = {"agri": rng.choice(("true", "false"))} if rng.random() < 0.2 else {}
    if shard.contract == "parcel":
        kind = rng.choices(list(PARCEL_WEIGHTS), PARCEL_WEIGHTS.values())[0]
        change |= {"event_type": f'"{kind}"', "product": f'"{rng.choice("express standard economy international logistics".split())}"'}
        if kind in ("accepted", "voided", "returned") or rng.random() < 0.1:
            change |= {"revenue_fen": str(money(rng)), "weight_g": str(10**9 if rng.random() < 0.001 else rng.randrange(30_000))}
        if kind == "out_for_delivery" and rng.random() < 0.7:
            change["attempt"] = str(rng.randrange(1, 4))
        if kind == "delivered" or rng.random() < 0.1:
            change["due_at"] = at(occurred_us + rng.choice((0, -1, 1, HOUR_US, -HOUR_US, DAY_US))) if rng.random() < 0.9 else "null"
    else:
        product = rng.choice(list(FINANCE_PAIRS))
        kind = rng.choice(FINANCE_PAIRS[product].split())
        change |= {"product": f'"{product}"', "amount_fen": str(money(rng, 50_000_000)), "revenue_fen": str(money(rng))}
        change["txn_type"] = f'"{kind}"'
        if rng.random() < 0.15:
            change |= {"txn_type": '"reversal"', "reverses": f'{{"txn_type":"{kind}"}}'}
        if rng.random() < 0.2:
            change["accounting_date"] = f'"{day_of(occurred_us, rng.choice((0, 0, 1, -1, 2, -31, 31)))}"'
    if rng.random() < 0.2:
        change["note"] = json.dumps(rng.choice(PRIVATE), ensure_ascii=rng.random() < 0.5)
    return put(members, **change)


def note_valid(shard, event_id, value, t, occurred):
    """Follows shard time, remembers the id and may schedule a record of the same id for an edge of the window."""
    shard.clock = max(shard.clock, min(t, occurred + DAY_US))
    shard.recent = (shard.recent + [(event_id, value)])[-40:]
    if shard.rng.random() < 0.06:
        hours = shard.rng.choice((1, 23, 24, 24, 25, 25, 26, 49))
        heapq.heappush(shard.resends, (shard.clock // HOUR_US + hours, event_id, value))


def good(shard, occurred=None, t=None):
    """One valid record; by default it occurred a little before its timestamp."""
    t = shard.cursor if t is None else t
    lag = shard.rng.choice((5, 30, 3600, -500)) if shard.rng.random() < 0.95 else shard.rng.randrange(80 * 3600)
    occurred = t - lag * shard.rng.randrange(1_000_000) if occurred is None else occurred
    event_id = shard.fresh_id()
    value = render(event(shard, event_id, occurred))
    shard.add(value, t // 1000, event_id=event_id)
    note_valid(shard, event_id, value, t, occurred)


def resend(shard):
    """The same id again: at an edge of the window when one is due, else soon after; its content may differ."""
    hour = shard.clock // HOUR_US
    while shard.resends and shard.resends[0][0] < hour:
        heapq.heappop(shard.resends)
    if shard.resends and shard.resends[0][0] == hour:
        _, event_id, value = heapq.heappop(shard.resends)
    elif shard.recent:
        event_id, value = shard.rng.choice(shard.recent)
    else:
        return good(shard)
    if shard.rng.random() < 0.4:
        value = render(event(shard, event_id, shard.cursor - 1))
    shard.add(value, shard.cursor // 1000)
    return note_valid(shard, event_id, value, shard.cursor, shard.cursor - 1)


def boundary(shard):
    """Late, restated and future by a hair; the end of a business day; a window that begins with a rejected record."""
    rng, end_of_day = shard.rng, (shard.cursor + 8 * HOUR_US) // DAY_US * DAY_US - 8 * HOUR_US
    kind = rng.randrange(5)
    if kind == 0:
        good(shard, end_of_day - rng.choice((1, 1000, HOUR_US)), end_of_day + HOUR_US + rng.choice((-1000, 0, 1000)))
    elif kind == 1:
        good(shard, end_of_day - rng.choice((1, 1000, HOUR_US)), end_of_day + 72 * HOUR_US + rng.choice((-1000, 0, 1000)))
    elif kind == 2:
        good(shard, shard.cursor + 600_000_000 - rng.choice((0, 1)))
    elif kind == 3:
        good(shard, end_of_day + rng.choice((0, -1)), end_of_day + rng.choice((0, 2000)))
    else:
        event_id = shard.fresh_id()
        members = event(shard, event_id, shard.cursor)
        shard.add(render(put(members, prefecture='"000000"')), shard.cursor // 1000, "unknown_prefecture", event_id)
        for _ in range(2):
            shard.add(render(members), shard.cursor // 1000)


def without_time(shard):
    """A record without a timestamp: t is its own time, to the microsecond; booked a day or four earlier it is late or not."""
    rng, ts = shard.rng, shard.rng.choice((None, None, -1, -1000))
    midnight = (shard.cursor + 8 * HOUR_US) // DAY_US * DAY_US - 8 * HOUR_US
    occurred, days = rng.choice(((shard.cursor + rng.randrange(1000), 0), (midnight + HOUR_US, -1), (midnight + HOUR_US - 1, -1),
                                 (midnight, -4), (midnight - 1, -3), (midnight - 1, 0)))
    event_id = shard.fresh_id()
    members = event(shard, event_id, occurred)
    if shard.contract == "finance":
        members = put(members, accounting_date=f'"{day_of(occurred, days)}"')
    shard.add(render(members), ts, event_id=event_id)
    shard.clock = max(shard.clock, occurred)


def astray(shard):
    """Clocks that run ahead or behind: of the record, of the producer, of both."""
    rng = shard.rng
    kind, ahead = rng.randrange(4), rng.randrange(1, 5 * 24) * HOUR_US
    if kind == 0:
        good(shard, shard.cursor - rng.randrange(HOUR_US), shard.cursor + 100 * ahead)
    elif kind == 1:
        good(shard, shard.cursor - rng.randrange(100 * DAY_US), shard.cursor)
    elif kind == 2:
        good(shard, t=shard.cursor - ahead)
    else:
        good(shard, t=shard.cursor + ahead // 8)


def nasty(shard, case):
    """One case of the catalogue, on a fresh event."""
    rng, event_id = shard.rng, shard.fresh_id()
    t = shard.cursor if case.ts_ms is None else case.ts_ms * 1000
    members = event(shard, event_id, shard.cursor - 7)
    plain = {"accounting_date": None, "due_at": None, "reverses": None, "revenue_fen": "100", "attempt": None, "agri": None}
    plain |= ({"event_type": '"accepted"'} if shard.contract == "parcel"
              else {"txn_type": '"deposit"', "product": '"savings"', "amount_fen": "5000"})
    no_time = rng.random() < 0.05 and not case.needs_ts and not case.kcat_only
    shard.add(case.make(put(members, **plain), t), None if no_time else t // 1000, case.label, event_id)


def canonical(shard):
    """Cases 7, 8, 9 and 11 of DOMAIN.md, in cells of their own."""
    noon, borders = 1_625_025_600_000_000, 1_625_068_800_000_000  # 30 June 12:00 and 1 July 00:00 in UTC+08:00

    def one(name, occurred, t=None, **change):
        base = put([], event_id=f'"canonical-{name}"', prefecture=f'"{CANONICAL_PREFECTURE}"', occurred_at=at(occurred), **change)
        shard.add(render(base), (t or occurred) // 1000)
    if shard.contract == "parcel":
        parcel = {"product": '"economy"', "revenue_fen": "500", "weight_g": "1200"}
        for _ in range(3):
            one("8a", noon, event_type='"accepted"', **parcel)
        one("8b", noon, event_type='"returned"', product='"economy"')
        one("8c", noon, event_type='"voided"', **parcel)
        one("9b", borders, event_type='"accepted"', product='"express"', revenue_fen="0")
        one("9a", borders - 1_000_000, borders + 2 * DAY_US, event_type='"accepted"', product='"express"', revenue_fen="0")
        return
    sale = {"product": '"fund"', "amount_fen": "1000000", "revenue_fen": "12000"}
    one("7a", noon, txn_type='"purchase"', **sale)
    one("11a", noon, txn_type='"deposit"', product='"savings"', amount_fen="500000000")
    one("11b", noon, txn_type='"withdrawal"', product='"savings"', amount_fen="300000000")
    one("11c", noon, txn_type='"reversal"', product='"savings"', amount_fen="20000000", reverses='{"txn_type":"deposit"}')
    one("7b", borders + HOUR_US, txn_type='"reversal"', reverses='{"txn_type":"purchase"}', **sale)


def fill(shard, count, cases, hostile, ndjson):
    """Writes one partition: the canonical cases first, then `count` records with the given cases strewn in."""
    rng, barren = shard.rng, (shard.topic, shard.partition) == BARREN
    pool = [case for case in catalogue(shard.contract) if not case.once]
    pool = [case for case in pool if case.label != VALID] if barren else pool
    if ndjson:
        pool = [case for case in pool if case.one_line and not case.kcat_only and not case.needs_ts]
    fill_ins = max(0, round(count * hostile) - len(cases))
    plan = list(cases) + [rng.choice(pool) for _ in range(fill_ins)]
    kinds = {good: 830, resend: 70, boundary: 50, without_time: 15, astray: 1 if shard.partition else 0, "tombstone": 8, "again": 4}
    if barren:
        kinds = {"tombstone": 1}
    plan += rng.choices(list(kinds), kinds.values(), k=max(0, count - len(plan)))
    rng.shuffle(plan)
    if shard.partition == 0 and not barren:
        canonical(shard)
    for entry in plan:
        shard.step(min(8 * 60_000_000, SPAN_US // (len(plan) + 1)))
        if entry == "tombstone":
            shard.add(None, shard.cursor // 1000)
        elif entry == "again" and shard.records:
            shard.records += [rng.choice(shard.records[-50:]) | {"label": None} for _ in range(rng.randrange(1, 4))]
        elif callable(entry):
            entry(shard)
        elif entry != "again":
            nasty(shard, entry)


def generate(records, hostile, seed, ndjson=False):
    """All partitions of both topics: (topic, partition) → its records in order; and every id."""
    parts, ids = {}, []
    for topic, offsets in PARTITIONS.items():
        offsets = {0: 0} if ndjson else offsets
        usable = [p for p in offsets if (topic, p) != BARREN]
        cases = [c for c in catalogue("parcel" if topic == "parcel.events" else "finance")
                 if not ndjson or (c.one_line and not c.kcat_only and not c.needs_ts)]
        random.Random(f"{seed} {topic}").shuffle(cases)
        share = {p: cases[i::len(usable)] for i, p in enumerate(usable)}
        for partition, offset in offsets.items():
            shard = Shard(topic, partition, offset, random.Random(f"{seed} {topic} {partition}"))
            barren = (topic, partition) == BARREN
            count = records // 100 + 20 if barren else records // 2 // len(usable)
            fill(shard, count, share.get(partition, []), 0.5 if barren else hostile, ndjson)
            parts[topic, partition] = shard.records
            ids += shard.ids
    return parts, ids


def kcat_string(data):
    """Bytes as kcat prints them inside a JSON string: quotes and control characters escaped, the rest untouched."""
    return b'"' + ESCAPE.sub(lambda m: SHORT_ESCAPES.get(m[0]) or b"\\u%04X" % m[0][0], data) + b'"'


def envelope(record):
    """One line of `kcat -J`."""
    style, key, extra = record["style"], b"null", b""
    if style < 0.3:
        key = kcat_string(b"key-%d" % int(style * 1000)) if style > 0.01 else kcat_string(b'\xff\x00"\\\n')
    if 0.3 < style < 0.32:
        extra = b'"headers":["trace","a\\"b","none",null],'
    kind = b"logappend" if style > 0.9 else b"create"
    time = b"" if record["ts"] is None else b'"tstype":"%s","ts":%d,' % (kind if record["ts"] >= 0 else b"unknown", record["ts"])
    payload = b"null" if record["value"] is None else kcat_string(record["value"])
    return b'{"topic":"%s","partition":%d,"offset":%d,%s"broker":0,%s"key":%s,"payload":%s}\n' % (
        record["topic"].encode(), record["partition"], record["offset"], time, extra, key, payload)


def interleave(parts, rng):
    """The records of some partitions in a random order that keeps each partition's own."""
    turns = [key for key, records in parts.items() for _ in records]
    rng.shuffle(turns)
    streams = {key: iter(records) for key, records in parts.items()}
    return [next(streams[key]) for key in turns]


def write_kcat(folder, records, files):
    """Writes records over `files` files; the last line of the last one has no line end. Returns the paths."""
    os.makedirs(folder, exist_ok=True)
    paths, cuts = [], [len(records) * i // files for i in range(files + 1)]
    for number in range(files):
        path = os.path.join(folder, f"events-{number:02d}.json")
        text = b"".join(envelope(record) for record in records[cuts[number]:cuts[number + 1]])
        with open(path, "wb") as file:
            file.write(text[:-1] if number == files - 1 else text)
        paths.append(path)
    return paths


def write_layout(out, parts, layout, chunks, seed):
    """Writes the records in one layout and returns the paths in the order in which they are to be read."""
    rng = random.Random(f"{seed} {layout}")
    if layout == "one":
        return write_kcat(os.path.join(out, layout), interleave(parts, rng), 1)
    if layout == "chunks":
        return write_kcat(os.path.join(out, layout), interleave(parts, rng), chunks)
    names = list(parts)
    rng.shuffle(names)
    if layout == "permuted":  # one partition after the other, cut without regard to where one ends
        return write_kcat(os.path.join(out, layout), [record for name in names for record in parts[name]], chunks)
    paths = []
    for number, name in enumerate(names):  # "partitions": a file each, cut in two
        paths += write_kcat(os.path.join(out, layout, f"{number}-{name[0]}-{name[1]}"), parts[name], 2)
    return paths


def write_ndjson(out, parts, seed):
    """Writes a file of bare values for each topic, with blank lines strewn in; returns contract → path."""
    rng, paths = random.Random(f"{seed} ndjson"), {}
    os.makedirs(os.path.join(out, "ndjson"), exist_ok=True)
    for (topic, _), records in parts.items():
        contract = "parcel" if topic == "parcel.events" else "finance"
        paths[contract] = os.path.join(out, "ndjson", f"{contract}-values.ndjson")
        with open(paths[contract], "wb") as file:
            for record in records:
                value = record["value"]
                if value is None or b"\n" in value or not value.strip(b" \t\r"):
                    value = rng.choice((b"", b"", b"", b" \t", b"\r"))
                file.write(value + b"\n")
            file.write(b"\n\n")
    return paths


def main():
    """Writes a corpus and meta.json, which lists its files in reading order and what no table may hold."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--hostile", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    parser.add_argument("--layout", choices=("one", "chunks", "permuted", "partitions", "all"), default="one")
    parser.add_argument("--chunks", type=int, default=5)
    parser.add_argument("--ndjson", action="store_true")
    args = parser.parse_args()
    parts, ids = generate(args.records, args.hostile, args.seed, args.ndjson)
    layouts = ("one", "chunks", "permuted", "partitions") if args.layout == "all" else (args.layout,)
    files = (write_ndjson(args.out, parts, args.seed) if args.ndjson else
             {layout: write_layout(args.out, parts, layout, args.chunks, args.seed) for layout in layouts})
    with open(os.path.join(args.out, "meta.json"), "w", encoding="utf-8") as file:
        json.dump({"seed": args.seed, "files": files, "forbidden": PRIVATE + sorted(set(ids))}, file, ensure_ascii=False, indent=1)
    print(f"seed {args.seed}: {sum(map(len, parts.values()))} records in {args.out}")


if __name__ == "__main__":
    main()
