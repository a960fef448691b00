"""Compares the published tables of a store with the oracle, as DuckDB reads them and as Polars reads them.

`python check_tables.py STORE ORACLE_JSON [--meta META_JSON]` prints one line per table and the first differences, and
ends with 1 when there is any. Columns that the contract leaves to the product (digest, state, reason, field, status) are
checked for their range only; every other cell must be equal. Restatements depend on when the product published, so the oracle
cannot know them: they must be of one piece, and end with what the rollups show.
"""

import argparse
import datetime
import json
import pathlib
import re
import sys

import duckdb
import polars

VARCHAR, BIGINT, INTEGER, DATE, MONEY = "VARCHAR", "BIGINT", "INTEGER", "DATE", "DECIMAL(18,2)"
TIMESTAMP, BLOB = "TIMESTAMP WITH TIME ZONE", "BLOB"
POLARS_TYPES = {VARCHAR: polars.String, BIGINT: polars.Int64, INTEGER: polars.Int32, DATE: polars.Date, BLOB: polars.Binary,
                MONEY: polars.Decimal(18, 2), TIMESTAMP: polars.Datetime("us", "UTC")}
COLUMNS = {
    "daily_rollups": [
        ("business_date", DATE), ("prefecture_code", VARCHAR), ("prefecture_name", VARCHAR), ("province_code", VARCHAR),
        ("line_code", VARCHAR), ("product_code", VARCHAR), ("product_name", VARCHAR), ("volume", BIGINT), ("revenue_yuan", MONEY),
        ("weight_g", BIGINT), ("scans", BIGINT), ("due", BIGINT), ("delivered", BIGINT), ("on_time", BIGINT),
        ("failed_attempts", BIGINT), ("returned", BIGINT), ("voided", BIGINT), ("balance_yuan", MONEY), ("turnover_yuan", MONEY),
        ("accounts_opened", BIGINT), ("reversals", BIGINT), ("agri_volume", BIGINT), ("agri_revenue_yuan", MONEY),
        ("events", BIGINT), ("late_events", BIGINT), ("restated_events", BIGINT), ("status", VARCHAR)],
    "ledger": [
        ("source", VARCHAR), ("topic", VARCHAR), ("partition", INTEGER), ("incarnation", INTEGER), ("first_offset", BIGINT),
        ("next_offset", BIGINT), ("consumed", BIGINT), ("applied", BIGINT), ("duplicates", BIGINT), ("rejected", BIGINT),
        ("ignored", BIGINT), ("gaps", BIGINT), ("lost", BIGINT), ("digest", VARCHAR), ("watermark", TIMESTAMP),
        ("state", VARCHAR), ("reason", VARCHAR)],
    "dead_letters": [
        ("topic", VARCHAR), ("partition", INTEGER), ("incarnation", INTEGER), ("offset", BIGINT), ("record_timestamp", TIMESTAMP),
        ("reason", VARCHAR), ("field", VARCHAR), ("payload", BLOB)],
}
MEASURES = COLUMNS["daily_rollups"][7:-1]
COLUMNS_OF = COLUMNS | {"restatements": [
    ("publish", BIGINT), ("published_at", TIMESTAMP), ("business_date", DATE), ("prefecture_code", VARCHAR), ("product_code", VARCHAR),
    *((name + side, kind) for name, kind in MEASURES for side in ("_before", "_after"))]}
KEYS = {"restatements": ("business_date", "prefecture_code", "product_code", "publish"), "daily_rollups": ("business_date", "prefecture_code", "product_code"), "ledger": ("source", "topic", "partition", "incarnation"),
        "dead_letters": ("topic", "partition", "incarnation", "offset")}
STATUSES = ("open", "complete", "final", "complete_without")
FIELDS = (None, "event_id", "event_type", "txn_type", "product", "prefecture", "occurred_at", "accounting_date", "amount_fen",
          "revenue_fen", "weight_g", "attempt", "due_at", "agri", "reverses", "reverses.txn_type")
UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NO_MONTH = "__HIVE_DEFAULT_PARTITION__"


class Report:
    """Differences found so far, and a line for each table."""

    def __init__(self):
        self.differences, self.lines, self.restatements = [], [], 0

    def differ(self, where, text):
        """Notes one difference."""
        self.differences.append(f"{where}: {text}")

    def show(self, stream=sys.stdout):
        """Prints the lines and the first 20 differences; returns the exit code."""
        for line in self.lines:
            print(line, file=stream)
        for difference in self.differences[:20]:
            print("  DIFFERENCE " + difference, file=stream)
        if len(self.differences) > 20:
            print(f"  … and {len(self.differences) - 20} more", file=stream)
        return 1 if self.differences else 0


def table_files(store, table):
    """Every Parquet file of a table."""
    return sorted((pathlib.Path(store) / "tables" / table).glob("**/*.parquet"))


def named(columns):
    """A quoted select list in which timestamps are microseconds, dates text and payloads a yes or no."""
    casts = {TIMESTAMP: "epoch_us({})", DATE: "CAST({} AS VARCHAR)", MONEY: "CAST({} AS VARCHAR)", BLOB: "{} IS NOT NULL"}
    return ", ".join(casts.get(kind, "{}").format(f'"{name}"') for name, kind in columns)


def duckdb_rows(files, columns):
    """The rows of some files as DuckDB reads them."""
    names = [name for name, _ in columns]
    query = f"SELECT {named(columns)} FROM read_parquet($files, hive_partitioning = false, union_by_name = false)"
    return [dict(zip(names, row)) for row in duckdb.execute(query, {"files": [str(f) for f in files]}).fetchall()]


def polars_rows(files, columns):
    """The rows of some files as Polars reads them."""
    rows = []
    for file in files:
        frame = polars.read_parquet(file, hive_partitioning=False)
        for name, kind in columns:
            column = polars.col(name)
            if kind == TIMESTAMP:
                frame = frame.with_columns(column.dt.timestamp("us"))
            elif kind == BLOB:
                frame = frame.with_columns(column.is_not_null())
        for row in frame.to_dicts():
            rows.append({name: (str(row[name]) if kind in (DATE, MONEY) and row[name] is not None else row[name])
                         for name, kind in columns})
    return rows


def check_schema(report, file, table):
    """Names, order and types of the columns, by both readers; one row group; ZSTD everywhere."""
    columns = COLUMNS_OF[table]
    described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet($file, hive_partitioning = false)", {"file": str(file)}).fetchall()
    found = [(row[0], row[1]) for row in described]
    good = found == columns
    if not good:
        report.differ(file, "DuckDB sees the columns " + differing(columns, found))
    found = list(polars.read_parquet_schema(file).items())
    if found != [(name, POLARS_TYPES[kind]) for name, kind in columns]:
        good = False
        report.differ(file, "Polars sees the columns " + differing([(n, POLARS_TYPES[k]) for n, k in columns], found))
    meta = duckdb.execute("SELECT DISTINCT row_group_id, compression FROM parquet_metadata($file)", {"file": str(file)}).fetchall()
    groups, codecs = {row[0] for row in meta}, {row[1] for row in meta}
    if len(groups) > 1:
        report.differ(file, f"{len(groups)} row groups instead of one")
    if codecs - {"ZSTD"}:
        report.differ(file, f"compression {sorted(codecs)} instead of ZSTD")
    return good


def differing(expected, found):
    """What differs between two lists of columns, shortly."""
    wrong = [f"{f} instead of {e}" for e, f in zip(expected, found) if e != f]
    return "; ".join(wrong[:3]) if wrong else f"{[n for n, _ in found]} instead of {[n for n, _ in expected]}"


def month_of(table, row):
    """The month folder in which a row belongs."""
    if table in ("daily_rollups", "restatements"):
        return "business_month=" + row["business_date"][:7] + "-01"
    if row["record_timestamp"] is None:
        return "business_month=" + NO_MONTH
    local = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=row["record_timestamp"], hours=8)
    return f"business_month={local.year:04d}-{local.month:02d}-01"


def check_places(report, store, table, files):
    """Every file where it belongs, every row in the file of its month, rollups sorted."""
    for file in files:
        place = file.relative_to(pathlib.Path(store) / "tables" / table).parts
        if table == "ledger":
            if place != ("data.parquet",):
                report.differ(file, "not the one data.parquet of the ledger")
            continue
        if len(place) != 2 or place[1] != "data.parquet":
            report.differ(file, "not a data.parquet of a month")
            continue
        rows = duckdb_rows([file], COLUMNS_OF[table])
        astray = [row for row in rows if month_of(table, row) != place[0]]
        if astray:
            report.differ(file, f"{len(astray)} rows of another month, such as {month_of(table, astray[0])}")
        order = [tuple(row[name] for name in KEYS[table]) for row in rows]
        if table != "dead_letters" and order != sorted(order):
            report.differ(file, "not sorted by " + ", ".join(KEYS[table]))


def check_hive(report, store, table):
    """DuckDB's own reading of the month folders agrees with the rows."""
    if table == "ledger":
        return
    instant = "business_date" if table != "dead_letters" else "make_timestamp(epoch_us(record_timestamp) + 28800000000)"
    pattern = str(pathlib.Path(store) / "tables" / table / "*" / "*.parquet")
    try:
        wrong = duckdb.execute(
            "SELECT count(*) FROM read_parquet($pattern, hive_partitioning = true, hive_types = {'business_month': DATE}) "
            f"WHERE business_month IS DISTINCT FROM CAST(date_trunc('month', {instant}) AS DATE)", {"pattern": pattern}).fetchone()[0]
    except duckdb.Error as error:
        report.differ(table, f"DuckDB cannot read the month folders: {error}")
        return
    if wrong:
        report.differ(table, f"{wrong} rows whose business_month DuckDB reads differently")


def compare(report, table, reader, found, expected):
    """Every cell that both sides name; missing, unexpected and repeated rows."""
    def key_of(row):
        return tuple(row[name] for name in KEYS[table])
    wanted = {key_of(row): row for row in expected}
    seen = set()
    for row in found:
        key = key_of(row)
        if key in seen:
            report.differ(table, f"{key} twice ({reader})")
        seen.add(key)
        if key not in wanted:
            report.differ(table, f"{key} unexpected ({reader})")
            continue
        for name, value in wanted[key].items():
            if row[name] != value or type(row[name]) is not type(value):
                report.differ(table, f"{key} {name}: expected {value!r}, {reader} reads {row[name]!r}")
    for key in sorted(set(wanted) - seen, key=str):
        report.differ(table, f"{key} missing ({reader})")


def check_ranges(report, table, rows):
    """The columns that the oracle does not judge."""
    names_of = {}
    for row in rows:
        key = tuple(row[name] for name in KEYS[table])
        if table == "daily_rollups":
            if row["status"] not in STATUSES:
                report.differ(table, f"{key} status {row['status']!r}")
            name = row["product_name"]
            if not name or not name.isascii() or names_of.setdefault(row["product_code"], name) != name:
                report.differ(table, f"{key} product_name {name!r}")
        elif table == "ledger":
            if row["state"] not in ("running", "stalled", "closed"):
                report.differ(table, f"{key} state {row['state']!r}")
            counts = [row[name] for name, kind in COLUMNS[table] if kind == BIGINT]
            if None in counts or (row["consumed"] != row["applied"] + row["duplicates"] + row["rejected"] + row["ignored"]
                    or row["consumed"] + row["gaps"] + row["lost"] != row["next_offset"] - row["first_offset"]):
                report.differ(table, f"{key} does not add up")
        elif row["field"] not in FIELDS or row["payload"]:
            report.differ(table, f"{key} field {row['field']!r}" if row["field"] not in FIELDS else f"{key} keeps a payload")


def check_restatements(report, store):
    """Every row moves a cell of a final day; the rows of a cell are one chain, which ends with what the rollups show."""
    files, table, columns = table_files(store, "restatements"), "restatements", COLUMNS_OF["restatements"]
    if not all([check_schema(report, file, table) for file in files]):
        return 0
    rows = duckdb_rows(files, columns) if files else []
    if rows != polars_rows(files, columns):
        report.differ(table, "DuckDB and Polars read different rows")
    rollups = {tuple(row[name] for name in KEYS["daily_rollups"]): row
               for row in duckdb_rows(table_files(store, "daily_rollups"), COLUMNS["daily_rollups"])} if rows else {}
    made, chains = {}, {}
    for row in sorted(rows, key=lambda row: row["publish"]):
        if made.setdefault(row["publish"], row["published_at"]) != row["published_at"]:
            report.differ(table, f"publish {row['publish']} was made at two times")
        chains.setdefault(tuple(row[name] for name in KEYS["daily_rollups"]), []).append(row)
    for key, chain in chains.items():
        shown = rollups.get(key, {})
        if shown.get("status") != "final":
            report.differ(table, f"{key} is {shown.get('status')}, not final")
        sides = [tuple(row[name + side] for name, _ in MEASURES) for row in chain for side in ("_before", "_after")]
        if None in sum(sides, ()) or any(before == after for before, after in zip(sides[::2], sides[1::2])):
            report.differ(table, f"{key} has a row that moves nothing")
        if any(after != before for after, before in zip(sides[1::2], sides[2::2])) or sides[-1] != tuple(shown.get(name) for name, _ in MEASURES):
            report.differ(table, f"{key} is no chain that ends with what the rollups show")
    if files:
        check_places(report, store, table, files)
        check_hive(report, store, table)
    return len(rows)


def check_privacy(report, store, forbidden):
    """No id and no payload text in a string of any table, nor as plain bytes in any file of the store."""
    texts = set()
    for file in sorted((pathlib.Path(store) / "tables").glob("**/*.parquet")):
        frame = polars.read_parquet(file, hive_partitioning=False)
        for name, kind in frame.schema.items():
            if kind in (polars.String, polars.Binary):
                texts |= {v.encode() if isinstance(v, str) else v for v in frame[name].unique().to_list() if v}
    everything = b"\n".join(texts)
    words = {word.encode() for word in forbidden if len(word) >= 8}
    shown = [word for word in words if word in everything]
    for word in shown[:3]:
        report.differ("privacy", f"a string column holds {word.decode()!r}")
    plain = {word for word in words if not UUID.fullmatch(word)}
    for file in sorted(path for path in pathlib.Path(store).glob("**/*") if path.is_file()):
        data = file.read_bytes()
        if words.intersection(UUID.findall(data)) or any(word in data for word in plain if b" " in word or b"WAYBILL" in word):
            report.differ("privacy", f"{file} holds an id or text of a payload")
    report.lines.append(f"privacy: {len(words)} ids and texts sought in {len(texts)} distinct strings")


def check_table(report, store, table, expected):
    """Every check of one table."""
    files, columns = table_files(store, table), COLUMNS[table]
    if not files and expected:
        report.differ(table, f"no file, {len(expected)} rows expected")
    if not files or not all([check_schema(report, file, table) for file in files]):
        return
    by_duckdb = duckdb_rows(files, columns)
    compare(report, table, "DuckDB", by_duckdb, expected)
    compare(report, table, "Polars", polars_rows(files, columns), expected)
    check_ranges(report, table, by_duckdb)
    check_places(report, store, table, files)
    check_hive(report, store, table)


def check_store(store, expected, forbidden=()):
    """Checks the tables of a store and returns the report."""
    report = Report()
    for table in COLUMNS:
        before = len(report.differences)
        try:
            check_table(report, store, table, expected[table])
        except (duckdb.Error, polars.exceptions.PolarsError, OSError) as error:
            report.differ(table, f"cannot be read: {error}")
        found = len(report.differences) - before
        report.lines.append(f"{table}: {len(expected[table])} rows expected, {len(table_files(store, table))} files, {found} differences")
    try:
        report.restatements = check_restatements(report, store)
        report.lines.append(f"restatements: {report.restatements} rows")
    except (duckdb.Error, polars.exceptions.PolarsError, OSError) as error:
        report.differ("restatements", f"cannot be read: {error}")
    try:
        check_privacy(report, store, list(forbidden))
    except (polars.exceptions.PolarsError, OSError) as error:
        report.differ("privacy", f"cannot be read: {error}")
    return report


def main():
    """Compares STORE with what oracle.py printed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("store")
    parser.add_argument("oracle_json")
    parser.add_argument("--meta", help="meta.json of the corpus: what no table may hold")
    args = parser.parse_args()
    with open(args.oracle_json, encoding="utf-8") as file:
        expected = json.load(file)
    forbidden = []
    if args.meta:
        with open(args.meta, encoding="utf-8") as file:
            forbidden = json.load(file)["forbidden"]
    sys.exit(check_store(args.store, expected, forbidden).show())


if __name__ == "__main__":
    main()
