"""A stand-in for the binary, for the tests of these checks: `backfill`, with the oracle for a core and pyarrow for hands.

It proves that right tables pass; `write_store` with altered figures or habits proves that wrong ones do not.
"""

import argparse
import datetime
import pathlib
import pickle
import sys
import zlib
from decimal import Decimal

import pyarrow
import pyarrow.parquet

import check_tables
import oracle

ARROW = {"VARCHAR": pyarrow.string(), "BIGINT": pyarrow.int64(), "INTEGER": pyarrow.int32(), "DATE": pyarrow.date32(),
         "BLOB": pyarrow.binary(), "DECIMAL(18,2)": pyarrow.decimal128(18, 2),
         "TIMESTAMP WITH TIME ZONE": pyarrow.timestamp("us", "UTC")}
OWN = {"daily_rollups": {"status": "open"}, "ledger": {"digest": "00", "state": "running", "reason": None},
       "dead_letters": {"field": None, "payload": None}}


def column(rows, name, kind):
    """One Arrow column of rows of the oracle."""
    values = [row[name] for row in rows]
    if kind == "DATE":
        values = [datetime.date.fromisoformat(value) for value in values]
    if kind == "DECIMAL(18,2)":
        yuan = pyarrow.array([value and Decimal(value) for value in values], pyarrow.decimal128(18, 2))
        return yuan.cast(ARROW[kind])
    return pyarrow.array(values, ARROW[kind])


def write_table(path, rows, columns, compression="zstd", row_group_size=None, metadata=None):
    """Writes one Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pyarrow.schema([(name, ARROW[kind]) for name, kind in columns], metadata=metadata)
    table = pyarrow.Table.from_arrays([column(rows, name, kind) for name, kind in columns], schema=schema)
    pyarrow.parquet.write_table(table, path, compression=compression, row_group_size=row_group_size)


def full_rows(table, rows):
    """Rows of the oracle with the columns that it leaves to the product."""
    if table == "daily_rollups":
        return [row | OWN[table] | {"product_name": row["product_code"].title()} for row in rows]
    return [row | OWN[table] for row in rows]


def write_store(store, tables, columns=None, month=check_tables.month_of, **habits):
    """Writes the tables (full rows) as the contract has them; `columns`, `month` and `habits` allow for lapses."""
    for table, rows in tables.items():
        folder, files = pathlib.Path(store) / "tables" / table, {}
        for row in rows:
            files.setdefault("" if table == "ledger" else month(table, row), []).append(row)
        for name, some in files.items():
            write_table(folder / name / "data.parquet", some, (columns or check_tables.COLUMNS_OF)[table], **habits)


def main():
    """backfill --store DIR [--input kcat|ndjson] [--contract NAME] FILE…"""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("command", choices=("backfill",))
    parser.add_argument("--store", required=True)
    parser.add_argument("--input", choices=("kcat", "ndjson"), default="kcat")
    parser.add_argument("--contract")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    try:
        records = list(oracle.kcat_records(args.files) if args.input == "kcat"
                       else oracle.ndjson_records(args.files, args.contract))
    except oracle.NotAnEnvelope as error:
        sys.exit(f"error: {error}")
    state = pathlib.Path(args.store) / "state.bin"
    state.parent.mkdir(parents=True, exist_ok=True)
    known = pickle.loads(zlib.decompress(state.read_bytes())) if state.exists() else []
    reached = {record[:3]: record[3] for record in known}
    records = known + [r for r in records if r[3] > reached.get(r[:3], -1)]
    state.write_bytes(zlib.compress(pickle.dumps(records), 1))
    write_store(args.store, {table: full_rows(table, rows) for table, rows in oracle.compute(records).items()})


if __name__ == "__main__":
    main()
