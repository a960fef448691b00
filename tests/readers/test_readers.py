"""Tests of the checks themselves: `python -m unittest`.

The oracle must agree with what the authors of the corpus read in the contract and with cases worked out by hand; the corpus
must notice every small change of a rule; check_tables must pass on right tables and fail on every kind of wrong one.
"""

import copy
import pathlib
import random
import tempfile
import types
import unittest

import check_tables
import corpus
import fake_postroad
import naive_json
import oracle
import run_backfill
from hostile import VALID, put, render
from hostile_rules import catalogue, stamp

RECORDS, SEED = 12_000, 7
NOW_US = 1_800_000_000_000_000
JULY_US = 1_625_068_800_000_000  # the first moment of 1 July 2021 in UTC+08:00
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000

# A rule in the oracle's own words, and the same a hair wrong: the corpus must tell them apart.
MUTATIONS = [
    ("hour - seen <= DEDUPE_WINDOW_H", "hour - seen < DEDUPE_WINDOW_H"),
    ("hour - seen <= DEDUPE_WINDOW_H", "hour - seen <= DEDUPE_WINDOW_H + 1"),
    ("hour - seen <= DEDUPE_WINDOW_H", "now - shard.setdefault('last_us', {}).get(event_id, 0) <= DAY_US"),
    ('now = min(times[3], times[0] + DAY_US)', 'now = times[3]'),
    ('now = min(times[3], times[0] + DAY_US)', 'now = times[0]'),
    ('now = min(times[3], times[0] + DAY_US)', 'now = min(times[3], times[0] + DAY_US - 1)'),
    ('now = max(now, shard["watermark"])', 'now = now'),
    ('shard["last_seen"][event_id] = hour', 'shard["last_seen"].setdefault(event_id, hour)'),
    ('shard["last_seen"][event_id] = hour', 'shard["last_seen"][event_id] = times[3] // HOUR_US'),
    ('t >= end_of_day + LATE_AFTER_H', 't > end_of_day + LATE_AFTER_H'),
    ('t >= end_of_day + LATE_AFTER_H * HOUR_US', 't >= end_of_day + LATE_AFTER_H * HOUR_US - 1'),
    ('t >= end_of_day + FINAL_AFTER_H', 't > end_of_day + FINAL_AFTER_H'),
    ('t >= end_of_day + FINAL_AFTER_H * HOUR_US', 't >= end_of_day + FINAL_AFTER_H * HOUR_US - 1'),
    ('occurred > t + 10 * MINUTE_US', 'occurred >= t + 10 * MINUTE_US'),
    ('occurred > t + 10 * MINUTE_US', 'occurred > t + 10 * MINUTE_US + 1'),
    ('abs(booked - day) > 31', 'abs(booked - day) > 30'), ('abs(booked - day) > 31', 'abs(booked - day) > 32'),
    ('if day < DAY_2000', 'if day <= DAY_2000'), ('if day < DAY_2000', 'if local_day(occurred) < DAY_2000'),
    ('occurred <= due', 'occurred < due'), ('len(value) > VALUE_BYTES_MAX', 'len(value) >= VALUE_BYTES_MAX'),
    ('read_document(value, 32)', 'read_document(value, 31)'), ('read_document(value, 32)', 'read_document(value, 33)'),
    ('[:6])', '[:6]) + ((match[7] or "") + "0000000" > "0000005")'), ('hour > 23', 'hour > 24'), ('second > 59', 'second > 60'),
    ('int(match[9]) > 23', 'int(match[9]) > 24'), ('- offset', '+ offset'), ('[Tt ]', '[Tt]'), ('[Zz]', 'Z'),
    ('year % 100 != 0 or year % 400 == 0', 'year % 400 == 0 or year > 0'),
    ('content == b"-0"', 'False'), ('-2**63 <= number < 2**63', '-2**63 < number < 2**64'),
    ('        if key in seen:', '        if key in seen and fields[key] is not None:'),
    ('        if lone:', '        if lone and False:'), ('found != "string" or content[1]', 'found != "string"'),
    ('<= 64:', '<= 65:'), ('.encode("utf-8")) <= 64', ') <= 64'), ('if "event_id" in fields and', 'if False and'),
    ('"revenue_fen", 10**12', '"revenue_fen", 10**12 - 1'), ('"amount_fen", 10**12', '"amount_fen", 10**12 + 1'),
    ('"weight_g", 10**9', '"weight_g", 10**9 - 1'), ('fields.get("attempt", 1) < 1', 'fields.get("attempt", 1) < 0'),
    ('== 1 else {}', '>= 1 else {}'), ('"volume": -1, "revenue": -revenue, "weight_g": -weight', '"volume": -1, "revenue": -revenue'),
    ('return {"returned": 1, "revenue": revenue}', 'return {"returned": 1}'),
    ('return {"returned": 1, "revenue": revenue}', 'return {"returned": 1, "revenue": revenue, "volume": -1}'),
    ('return {"revenue": -revenue, "reversals": 1}', 'return {"revenue": -revenue}'),
    ('("balance", "revenue", "accounts_opened")', '("balance", "revenue")'),
    ('("balance", "revenue", "accounts_opened")', '("balance", "revenue", "accounts_opened", "volume")'),
    ('effect["agri_revenue"] = effect.get("revenue", 0)', 'effect["agri_revenue"] = fields.get("revenue_fen", 0)'),
    ('if offset < shard["next_offset"]:', 'if False:'),
    ('if t is None and "occurred_at" in fields:', 'if False:'), ('ts * 1000 if ts >= 0', 'ts * 1000 if ts > 0'),
    ('ts * 1000 if ts >= 0', 'ts * 1000 if "ts" in fields'), ('raise Rejected("clock_ahead")', 'pass'),
    ('kind = fields["reverses"]["txn_type"]\n    known', 'kind = "reversal"\n    known'),
    ('    times = check_times(fields, contract, t)\n    check_amounts(fields)',
     '    check_amounts(fields)\n    times = check_times(fields, contract, t)'),
]


def mutated(before, after):
    """The oracle with one rule changed."""
    source = pathlib.Path(oracle.__file__).read_text(encoding="utf-8")
    if "last_us" in after:
        source = source.replace('    shard["last_seen"][event_id] = hour',
                                '    shard["last_seen"][event_id] = hour\n    shard.setdefault("last_us", {})[event_id] = now')
    if before not in source:
        raise AssertionError(f"the oracle no longer says {before!r}")
    module = types.ModuleType("mutated_oracle")
    exec(compile(source.replace(before, after), "mutated_oracle", "exec"), module.__dict__)  # pylint: disable=exec-used
    return module


class Materials:
    """One corpus and what it leads to, made once for all tests."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="postroad-readers-test-")
        self.parts, self.ids = corpus.generate(RECORDS, 0.03, SEED)
        self.files = {layout: corpus.write_layout(self.folder.name, self.parts, layout, 4, SEED)
                      for layout in ("one", "chunks", "permuted", "partitions")}
        self.records = list(oracle.kcat_records(self.files["one"]))
        self.tables = oracle.compute(self.records, NOW_US)


def setUpModule():
    """Makes the corpus."""
    global MADE  # pylint: disable=global-statement
    MADE = Materials()


def tearDownModule():
    """Removes the files."""
    MADE.folder.cleanup()


def parcel(event_id, occurred, **change):
    """An acceptance."""
    return render(put([], event_id=f'"{event_id}"', event_type='"accepted"', product='"express"', prefecture='"210100"',
                      occurred_at=f'"{stamp(occurred)}"', revenue_fen="100", **change))


def fold(*records):
    """The tables of one shard of parcel.events; records are (t or None, value or None), offsets from 0."""
    return oracle.compute([("kafka", "parcel.events", 0, i, t, value, "parcel") for i, (t, value) in enumerate(records)], NOW_US)


class OracleTest(unittest.TestCase):
    """The oracle against labels and hand-made cases."""

    def test_every_case_of_the_catalogue(self):
        for contract in ("parcel", "finance"):
            names = [case.name for case in catalogue(contract)]
            self.assertEqual(len(set(names)), len(names), [name for name in names if names.count(name) > 1])
            for case in catalogue(contract):
                shard = corpus.Shard("parcel.events" if contract == "parcel" else "finance.transactions", 0, 0, random.Random(1))
                corpus.nasty(shard, case)
                record = shard.records[0]
                t = None if record["ts"] is None else record["ts"] * 1000
                with self.subTest(contract=contract, case=case.name):
                    tables = oracle.compute([("kafka", "x", 0, 0, t, record["value"], contract)], NOW_US)
                    found = tables["dead_letters"][0]["reason"] if tables["dead_letters"] else VALID
                    self.assertEqual(found, case.label)

    def test_every_label_of_the_corpus(self):
        dead = {(d["topic"], d["partition"], d["offset"]): d["reason"] for d in MADE.tables["dead_letters"]}
        labels = {(r["topic"], r["partition"], r["offset"]): r["label"] for records in MADE.parts.values() for r in records if r["label"]}
        for key, label in labels.items():
            self.assertEqual(dead.get(key, VALID), label, key)
        self.assertEqual(set(dead), {key for key, label in labels.items() if label != VALID})

    def test_layouts_agree(self):
        for layout, files in MADE.files.items():
            tables = oracle.compute(oracle.kcat_records(files), NOW_US)
            for table, rows in MADE.tables.items():
                order = [sorted(some, key=repr) for some in (rows, tables[table])]
                self.assertEqual(order[0], order[1], (layout, table))

    def test_kcat_strings_keep_every_byte(self):
        for data in (bytes(range(256)), b"", b'\\"\x00\x7f\xff', "驿\u2028".encode()):
            text, _, end = naive_json.read_string(corpus.kcat_string(data), 0)
            self.assertEqual((text, end), (data, len(corpus.kcat_string(data))))

    def test_window(self):
        for hours, applied in ((0, 1), (24, 1), (25, 2)):
            later = JULY_US + HOUR_US - 1000 + (hours - 1) * HOUR_US + 1000  # the first moment of that hour
            ledger = fold((JULY_US + HOUR_US - 1000, parcel("a", JULY_US)), (later, parcel("b", later)),
                          (later, parcel("a", JULY_US)))["ledger"][0]
            self.assertEqual(ledger["applied"], applied + 1, hours)

    def test_window_is_refreshed_by_duplicates_only(self):
        day = [(JULY_US + i * DAY_US, parcel("a", JULY_US + i * DAY_US)) for i in range(4)]
        self.assertEqual(fold(*day)["ledger"][0]["duplicates"], 3)
        self.assertEqual(fold(day[0], day[2])["ledger"][0]["duplicates"], 0)
        bad = (JULY_US, parcel("a", JULY_US, weight_g="-1"))
        ledger = fold(bad, (JULY_US, parcel("a", JULY_US)), (JULY_US, None))["ledger"][0]
        self.assertEqual((ledger["applied"], ledger["rejected"], ledger["ignored"], ledger["consumed"]), (1, 1, 1, 3))

    def test_shard_time(self):
        for t, occurred, now in ((JULY_US, JULY_US - 5, JULY_US), (JULY_US + 9 * DAY_US, JULY_US, JULY_US + DAY_US), (None, JULY_US + 3, JULY_US + 3)):
            self.assertEqual(fold((t, parcel("a", occurred)))["ledger"][0]["watermark"], now)
        self.assertIsNone(fold((JULY_US, b"x"), (JULY_US, None))["ledger"][0]["watermark"])
        self.assertEqual(fold((NOW_US + DAY_US + 1, parcel("a", JULY_US)))["dead_letters"][0]["reason"], "clock_ahead")
        self.assertEqual(fold((NOW_US + DAY_US, parcel("a", JULY_US)))["dead_letters"], [])

    def test_late(self):
        for t, late, restated in ((JULY_US, 0, 0), (JULY_US + HOUR_US - 1000, 0, 0), (JULY_US + HOUR_US, 1, 0),
                                  (JULY_US + 72 * HOUR_US - 1000, 1, 0), (JULY_US + 72 * HOUR_US, 1, 1)):
            row = fold((t, parcel("a", JULY_US - 1)))["daily_rollups"][0]
            self.assertEqual((row["business_date"], row["late_events"], row["restated_events"]), ("2021-06-30", late, restated))

    def test_offsets(self):
        records = [("kafka", "parcel.events", 0, i, JULY_US, parcel(i, JULY_US), "parcel") for i in (7, 9, 8, 9, 12)]
        ledger = oracle.compute(records, NOW_US)["ledger"][0]
        self.assertEqual([ledger[n] for n in ("first_offset", "next_offset", "consumed", "gaps")], [7, 13, 3, 3])

    def test_canonical_cases(self):
        self.assertEqual(run_backfill.canonical_problems(MADE.tables), [])


class CorpusTest(unittest.TestCase):
    """The corpus notices a rule that is a hair wrong."""

    def test_every_mutation_shows(self):
        for before, after in MUTATIONS:
            with self.subTest(before=before, after=after):
                module = mutated(before, after)
                # Envelopes are read again only where the mutation may be in their reading.
                records = module.kcat_records(MADE.files["one"]) if "ts" in before.split() else MADE.records
                try:
                    tables = module.compute(records, NOW_US)
                except UnicodeDecodeError:
                    continue  # a lone surrogate that got further than it may shows, too
                self.assertNotEqual(tables, MADE.tables)

    def test_same_seed_same_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            parts, _ = corpus.generate(RECORDS, 0.03, SEED)
            path = corpus.write_layout(folder, parts, "one", 1, SEED)[0]
            self.assertEqual(pathlib.Path(path).read_bytes(), pathlib.Path(MADE.files["one"][0]).read_bytes())


class CheckTablesTest(unittest.TestCase):
    """Right tables pass; each kind of wrong one does not."""

    def setUp(self):
        self.tables = {table: fake_postroad.full_rows(table, rows) for table, rows in MADE.tables.items()}
        self.tables = copy.deepcopy({table: rows[::7] if table != "ledger" else rows for table, rows in self.tables.items()})
        self.expected = {table: [{k: row[k] for k in MADE.tables[table][0]} for row in rows] for table, rows in copy.deepcopy(self.tables).items()}

    def differences(self, after=None, **habits):
        """What the check says of the tables as they stand, when `after(store)` has had its way with the files."""
        with tempfile.TemporaryDirectory() as store:
            fake_postroad.write_store(store, self.tables, **habits)
            if after:
                after(pathlib.Path(store))
            return check_tables.check_store(store, self.expected, corpus.PRIVATE + MADE.ids).differences

    def test_right_tables_pass(self):
        self.assertEqual(self.differences(), [])

    def test_every_judged_cell(self):
        for table, rows in self.tables.items():
            row = rows[len(rows) // 2]
            for name, kind in check_tables.COLUMNS[table]:
                if name in ("status", "product_name", "digest", "state", "field", "payload") or (table, name) == ("ledger", "reason"):
                    continue
                old = row[name]
                row[name] = {"VARCHAR": "other", "DATE": "2021-07-19", "DECIMAL(18,2)": "0.01"}.get(kind) or (old or 0) + 1
                with self.subTest(table=table, column=name):
                    self.assertTrue(self.differences())
                row[name] = old
        self.assertEqual(self.differences(), [])

    def test_nulls(self):
        for table, name in (("daily_rollups", "volume"), ("daily_rollups", "revenue_yuan"), ("ledger", "gaps"), ("ledger", "watermark"),
                            ("dead_letters", "record_timestamp"), ("dead_letters", "reason"), ("daily_rollups", "product_name")):
            row = next(row for row in self.tables[table] if row[name] is not None)
            row[name], old = None, row[name]
            with self.subTest(table=table, column=name):
                self.assertTrue(self.differences())
            row[name] = old

    def test_ranges(self):
        for table, name, value in (("daily_rollups", "status", "done"), ("daily_rollups", "product_name", "特快"), ("ledger", "state", "idle"),
                                   ("dead_letters", "field", "address"), ("dead_letters", "payload", b"x"), ("daily_rollups", "product_name", "x")):
            row = self.tables[table][3]
            row[name], old = value, row[name]
            with self.subTest(table=table, column=name):
                self.assertTrue(self.differences())
            row[name] = old

    def test_rows(self):
        for table, rows in self.tables.items():
            for name, wrong in (("missing", rows[:-1]), ("twice", rows + [rows[-1]]), ("none", [])):
                self.tables[table] = wrong
                with self.subTest(table=table, rows=name):
                    self.assertTrue(self.differences())
            self.tables[table] = rows
        self.tables["daily_rollups"] = self.tables["daily_rollups"][::-1]
        self.assertIn("not sorted", str(self.differences()))

    def test_months(self):
        def in_utc(table, row):
            moved = dict(row, record_timestamp=row.get("record_timestamp") and row["record_timestamp"] - 8 * HOUR_US)
            return check_tables.month_of(table, moved)
        self.tables = {table: fake_postroad.full_rows(table, rows) for table, rows in MADE.tables.items()}
        self.expected = MADE.tables
        self.assertIn("another month", str(self.differences(month=in_utc)))
        self.assertTrue(self.differences(month=lambda table, row: "business_month=2021-07-01"))
        self.assertTrue(self.differences(month=lambda table, row: ""))
        self.assertTrue(self.differences(month=lambda table, row: check_tables.month_of(table, row).replace("business_", "")))
        self.assertTrue(self.differences(month=lambda table, row: check_tables.month_of(table, row).replace("-01", "")))

    def test_file_habits(self):
        self.assertIn("compression", str(self.differences(compression="snappy")))
        self.assertIn("compression", str(self.differences(compression="none")))
        self.assertIn("row groups", str(self.differences(row_group_size=50)))
        self.assertIn("privacy", str(self.differences(metadata={"note": corpus.PRIVATE[0]})))

    def test_columns(self):
        for table, columns in check_tables.COLUMNS.items():
            swaps = {"BIGINT": "INTEGER", "INTEGER": "BIGINT", "VARCHAR": "BLOB", "BLOB": "VARCHAR", "DATE": "VARCHAR"}
            for at, (name, kind) in enumerate(columns):
                wrongs = [columns[:at] + [(name + "_x", kind)] + columns[at + 1:], columns[:at] + columns[at + 1:]]
                if kind in swaps and not (kind == "BIGINT" and name in ("first_offset", "next_offset", "offset")):
                    wrongs.append(columns[:at] + [(name, swaps[kind])] + columns[at + 1:])
                for wrong in wrongs + [columns[::-1], columns + [("more", "BIGINT")]]:
                    with self.subTest(table=table, columns=name):
                        self.check_columns(table, wrong)

    def check_columns(self, table, wrong):
        """One row is enough to see that the columns are wrong."""
        row = {key.removesuffix("_x"): value for key, value in self.tables[table][0].items()}
        row = {name: row.get(name.removesuffix("_x"), 0) for name, _ in wrong}
        kinds = dict(wrong)
        for name, value in row.items():
            if value is not None and kinds[name] == "BLOB":
                row[name] = str(value).encode()
            elif value is not None and kinds[name] == "INTEGER":
                row[name] = value % 1000
        with tempfile.TemporaryDirectory() as store:
            file = pathlib.Path(store) / "data.parquet"
            fake_postroad.write_table(file, [row], wrong)
            report = check_tables.Report()
            self.assertFalse(check_tables.check_schema(report, file, table))

    def test_wrong_scale_and_zone(self):
        arrow = fake_postroad.ARROW
        pyarrow = fake_postroad.pyarrow
        for kind, wrong in (("DECIMAL(18,2)", pyarrow.decimal128(19, 2)), ("DECIMAL(18,2)", pyarrow.decimal128(18, 3)),
                            ("TIMESTAMP WITH TIME ZONE", pyarrow.timestamp("us")), ("DECIMAL(18,2)", pyarrow.float64()),
                            ("TIMESTAMP WITH TIME ZONE", pyarrow.timestamp("ns", "UTC"))):
            old, arrow[kind] = arrow[kind], wrong
            try:
                with self.subTest(wrong=wrong):
                    self.assertIn("sees the columns", str(self.differences()))
            finally:
                arrow[kind] = old

    def test_privacy(self):
        self.tables["ledger"][0]["digest"] = "see " + MADE.ids[5]
        self.assertIn("privacy", str(self.differences()))
        self.tables["ledger"][0]["digest"] = corpus.PRIVATE[0]
        self.assertIn("privacy", str(self.differences()))
        self.tables["ledger"][0]["digest"] = "00"
        uuids = [word for word in MADE.ids if check_tables.UUID.fullmatch(word.encode())]
        self.assertIn("privacy", str(self.differences(lambda store: (store / "checkpoint").write_text("id=" + uuids[3]))))
        self.assertEqual(self.differences(lambda store: (store / "checkpoint").write_text("id=none")), [])

    def test_stray_files(self):
        def stray(store):
            (store / "tables" / "ledger" / "more.parquet").write_bytes((store / "tables" / "ledger" / "data.parquet").read_bytes())
        self.assertTrue(self.differences(stray))

    def test_broken_files(self):
        for table in check_tables.COLUMNS:
            def cut(store, table=table):
                file = next((store / "tables" / table).glob("**/*.parquet"))
                file.write_bytes(file.read_bytes()[:-9])
            with self.subTest(table=table):
                self.assertIn("cannot be read", str(self.differences(cut)))


class CheckRestatementsTest(unittest.TestCase):
    """A chain of rows that ends with what the rollups show passes; whatever is wrong with it does not."""

    def setUp(self):
        rollups = copy.deepcopy(fake_postroad.full_rows("daily_rollups", MADE.tables["daily_rollups"])[::7])
        self.rollups = [row | {"status": "final"} for row in rollups]
        often, once = self.rollups[0], self.rollups[-1]
        self.rows = [self.row(2, often, 3, 2), self.row(4, often, 2, 0), self.row(4, once, 1, 0)]

    def row(self, publish, rollup, less_before, less_after):
        """A row whose sides show so many events less than the rollup."""
        row = {"publish": publish, "published_at": JULY_US + publish}
        row |= {name: rollup[name] for name in ("business_date", "prefecture_code", "product_code")}
        for side, less in (("_before", less_before), ("_after", less_after)):
            row |= {name + side: rollup[name] - less if name == "events" else rollup[name] for name, _ in check_tables.MEASURES}
        return row

    def differences(self):
        """What the check says of the two tables as they stand."""
        with tempfile.TemporaryDirectory() as store:
            fake_postroad.write_store(store, {"daily_rollups": self.rollups, "restatements": self.rows})
            report = check_tables.Report()
            report.restatements = check_tables.check_restatements(report, store)
            self.assertEqual(report.restatements, len(self.rows))
            return report.differences

    def test_right_rows_pass(self):
        self.assertEqual(self.differences(), [])
        self.rows = []
        self.assertEqual(self.differences(), [])

    def test_wrong_rows(self):
        for name, at, change, said in (
                ("a gap in the chain", 0, {"events_after": 0}, "no chain"), ("an end that is not shown", 1, {"volume_after": -9}, "no chain"),
                ("nothing moved", 2, {"events_before": self.rows[2]["events_after"]}, "moves nothing"),
                ("no such cell", 2, {"product_code": "other"}, "not final"), ("two times", 2, {"published_at": JULY_US}, "at two times"),
                ("out of order", 0, {"publish": 5}, "not sorted"), ("another month", 0, {"business_date": "2031-01-01"}, "not final")):
            kept, self.rows[at] = self.rows[at], self.rows[at] | change
            with self.subTest(name):
                self.assertIn(said, str(self.differences()))
            self.rows[at] = kept
        self.assertEqual(self.differences(), [])

    def test_lost_and_doubled_rows(self):
        rows = self.rows
        for wrong in (rows[1:] + rows[1:2], rows[:1] + rows[2:], rows + rows[:1]):
            self.rows = wrong
            self.assertTrue(self.differences())

    def test_a_day_that_is_not_final(self):
        for status in ("open", "complete_without", "complete"):
            self.rollups[0]["status"] = status
            self.assertIn("not final", str(self.differences()))


if __name__ == "__main__":
    unittest.main()
