"""Runs `postroad backfill` over hostile corpora and compares every published cell with the oracle.

`python run_backfill.py --postroad PATH`. One line per check; the differences stand below the check that found them; ends
with 1 when there is any.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import check_tables
import corpus
import oracle

LAYOUTS = ("one", "chunks", "permuted", "partitions")
CANONICAL = {  # DOMAIN.md, cases 7, 8, 9 and 11, by hand
    ("2021-06-30", "fund"): {"volume": 1, "revenue_yuan": "120.00", "turnover_yuan": "10000.00", "balance_yuan": "10000.00",
                             "reversals": 0, "events": 1},
    ("2021-07-01", "fund"): {"volume": 0, "revenue_yuan": "-120.00", "turnover_yuan": "0.00", "balance_yuan": "-10000.00",
                             "reversals": 1, "events": 1},
    ("2021-06-30", "economy"): {"volume": 0, "revenue_yuan": "0.00", "weight_g": 0, "returned": 1, "voided": 1, "events": 3},
    ("2021-06-30", "express"): {"volume": 1, "events": 1, "late_events": 1, "restated_events": 0},
    ("2021-07-01", "express"): {"volume": 1, "events": 1, "late_events": 0, "restated_events": 0},
    ("2021-06-30", "savings"): {"volume": 2, "balance_yuan": "1800000.00", "turnover_yuan": "8000000.00", "reversals": 1, "events": 3},
}
BAD_LINE = 1037  # no other number in a message is likely to be this one
NO_ENVELOPES = {
    "text": b"not json", "a cut line": b'{"topic":"parcel.events","partition":0,"offs', "an array": b"[1,2]", "a number": b"7",
    "a bare event": b'{"event_id":"x","event_type":"arrived"}', "no topic": b'{"partition":0,"offset":99999,"ts":1,"payload":"x"}',
    "no offset": b'{"topic":"parcel.events","partition":0,"ts":1,"payload":"x"}',
    "no partition": b'{"topic":"parcel.events","offset":99999,"ts":1,"payload":"x"}',
    "partition as text": b'{"topic":"parcel.events","partition":"0","offset":99999,"ts":1,"payload":"x"}',
    "payload as number": b'{"topic":"parcel.events","partition":0,"offset":99999,"ts":1,"payload":7}',
    "two on a line": b'{"topic":"parcel.events","partition":0,"offset":99999,"ts":1,"payload":"x"}' * 2,
}


class Bench:
    """The binary, a working folder, what must not leak, and the outcome so far."""

    def __init__(self, postroad, work):
        self.postroad, self.work = os.path.abspath(postroad), pathlib.Path(work)
        self.forbidden, self.failed, self.stores = [], 0, 0

    def new_store(self, name):
        """The path of a store that does not exist yet."""
        self.stores += 1
        return self.work / "stores" / f"{self.stores:02d}-{name}"

    def backfill(self, store, files, *options):
        """Runs the command; returns (exit code, all that it said)."""
        store.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([self.postroad, "backfill", "--store", str(store), *options, *map(str, files)], capture_output=True,
                              timeout=1800, check=False, cwd=self.work)
        return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")

    def tell(self, name, problems):
        """Prints the outcome of one check."""
        print(f"{'FAIL' if problems else 'ok  '} {name}", flush=True)
        for problem in problems[:20]:
            print(f"       {problem}", flush=True)
        self.failed += bool(problems)

    def expect(self, name, store, expected, run):
        """Tells whether a run ended well, kept silent about payloads, and left the expected tables."""
        code, said = run
        problems = [f"exit code {code}: {said[-2000:]}"] if code else []
        problems += [f"it prints {word!r}" for word in self.forbidden if len(word) >= 8 and word in said][:3]
        if not code:
            report = check_tables.check_store(store, expected, self.forbidden)
            problems += report.differences
            counts = {table: len(rows) for table, rows in expected.items()} | {"restatements": report.restatements}
            name += " (" + ", ".join(f"{table} {count}" for table, count in counts.items()) + ")"
        self.tell(name, problems)


def listing(folder):
    """Path → SHA-256 of every file below a folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(pathlib.Path(folder).glob("**/*")) if path.is_file()}


def changes(before, after):
    """What differs between two listings."""
    return ([f"{path} is gone" for path in before if path not in after] + [f"{path} is new" for path in after if path not in before]
            + [f"{path} has changed" for path in before if path in after and before[path] != after[path]])


def again(bench, name, store, runs):
    """Runs the same commands over the same files once more: not one byte of the store may change."""
    before, problems = listing(store), []
    for files, options in runs:
        code, said = bench.backfill(store, files, *options)
        problems += [f"exit code {code}: {said[-2000:]}"] if code else []
    bench.tell(name, problems + changes(before, listing(store)))


def canonical_problems(expected):
    """Whether the oracle itself agrees with the cases computed by hand."""
    rows = {(row["business_date"], row["product_code"]): row for row in expected["daily_rollups"]
            if row["prefecture_code"] == corpus.CANONICAL_PREFECTURE}
    problems = [] if set(rows) == set(CANONICAL) else [f"cells {sorted(rows)}"]
    for key, want in CANONICAL.items():
        row = rows.get(key, {})
        problems += [f"{key} {name}: {row.get(name)!r}, by hand {value!r}" for name, value in want.items() if row.get(name) != value]
    return problems


def check_kcat(bench, args):
    """The same records in every layout; twice; and in two goes."""
    parts, ids = corpus.generate(args.records, args.hostile, args.seed)
    bench.forbidden = corpus.PRIVATE + ids
    files = {layout: corpus.write_layout(bench.work / "kcat", parts, layout, 5, args.seed) for layout in LAYOUTS}
    expected = oracle.compute(oracle.kcat_records(files["one"]))
    bench.tell("oracle against the canonical cases", canonical_problems(expected))
    for layout in LAYOUTS:
        store = bench.new_store(layout)
        bench.expect(f"kcat, {layout}", store, expected, bench.backfill(store, files[layout], "--input", "kcat"))
        if layout in ("one", "permuted") and store.exists():
            again(bench, f"kcat, {layout}, again: nothing changes", store, [(files[layout], ("--input", "kcat"))])
    store, first = bench.new_store("resumed"), files["chunks"][:2]
    bench.expect("kcat, the first two chunks", store, oracle.compute(oracle.kcat_records(first)), bench.backfill(store, first, "--input", "kcat"))
    bench.expect("kcat, then all of them", store, expected, bench.backfill(store, files["chunks"], "--input", "kcat"))
    store = bench.new_store("piecemeal")
    for path in files["chunks"][:-1]:
        bench.backfill(store, [path], "--input", "kcat")
    bench.expect("kcat, one chunk a run", store, expected, bench.backfill(store, files["chunks"][-1:], "--input", "kcat"))


def check_ndjson(bench, args):
    """Bare values: one contract, then the other into the same store; twice."""
    parts, ids = corpus.generate(args.records // 2, args.hostile, args.seed, ndjson=True)
    bench.forbidden = corpus.PRIVATE + ids
    paths, store, runs, records = corpus.write_ndjson(bench.work, parts, args.seed), bench.new_store("ndjson"), [], []
    for contract, path in paths.items():
        options = ("--input", "ndjson", "--contract", contract)
        records += oracle.ndjson_records([path], contract)
        bench.expect(f"ndjson, {contract}", store, oracle.compute(records), bench.backfill(store, [path], *options))
        runs.append(([path], options))
    if store.exists():
        again(bench, "ndjson, again: nothing changes", store, runs)


def check_bad_lines(bench, args):
    """A line that is no envelope ends the run with file and line; the mended file then gives what it should."""
    parts, ids = corpus.generate(40, 0, args.seed)
    bench.forbidden = corpus.PRIVATE + ids
    good = corpus.write_layout(bench.work / "bad", parts, "one", 1, args.seed)[0]
    lines = pathlib.Path(good).read_bytes().splitlines(keepends=True)
    lines = [line for line in lines if len(line) < 10_000]
    mended = bench.work / "bad" / "mended.json"
    mended.write_bytes(b"".join(lines))
    expected = oracle.compute(oracle.kcat_records([mended]))
    for name, bad in NO_ENVELOPES.items():
        store, path = bench.new_store("bad"), bench.work / "bad" / "faulty-events.json"
        path.write_bytes(b"".join(lines[:BAD_LINE - 1]) + bad + b"\n" + b"".join(lines[BAD_LINE - 1:]))
        code, said = bench.backfill(store, [path], "--input", "kcat")
        problems = [] if code > 0 and code != 101 else [f"exit code {code}"]
        rest = said.replace(str(path), "").replace(path.name, "")
        if path.name not in said or not re.search(rf"(?<!\d){BAD_LINE}(?!\d)", rest):
            problems.append(f"the message does not name file and line {BAD_LINE}: {said[-500:]!r}")
        bench.tell(f"no envelope: {name}", problems)
    bench.expect("the mended file into the store of the last failure", store, expected, bench.backfill(store, [mended], "--input", "kcat"))


def main():
    """Runs every check against one binary."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--postroad", required=True, help="path of the binary")
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--hostile", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", help="a folder to keep files and stores in, instead of a temporary one")
    args = parser.parse_args()
    print(json.dumps({"records": args.records, "hostile": args.hostile, "seed": args.seed}))
    with tempfile.TemporaryDirectory(prefix="postroad-readers-") as scratch:
        bench = Bench(args.postroad, os.path.abspath(args.work) if args.work else scratch)
        bench.work.mkdir(parents=True, exist_ok=True)
        for check in (check_kcat, check_ndjson, check_bad_lines):
            check(bench, args)
    print(f"{bench.failed} checks failed" if bench.failed else "all checks passed")
    sys.exit(1 if bench.failed else 0)


if __name__ == "__main__":
    main()
