"""Tests of run_backfill: a stand-in that behaves passes, and one that lapses in any promised way does not."""

import argparse
import contextlib
import io
import pathlib
import stat
import sys
import tempfile
import unittest

import corpus
import run_backfill

HERE = pathlib.Path(__file__).resolve().parent
ARGS = argparse.Namespace(records=60, hostile=0.0, seed=5)
LAPSES = {  # what goes wrong → (Python run before the stand-in, the check that must find it)
    "other bytes on every run": ("""
import time
old = fake_postroad.write_store
def write_store(store, *rest, **more):
    old(store, *rest, **more)
    (fake_postroad.pathlib.Path(store) / "stamp").write_text(str(time.time_ns()))
fake_postroad.write_store = write_store""", run_backfill.check_kcat, "again"),
    "a second run counts twice": ("""
old = oracle.compute
def compute(records, *rest):
    tables = old(records, *rest)
    tables["ledger"][0]["consumed"] += 1
    return tables
oracle.compute = compute""", run_backfill.check_ndjson, "ndjson"),
    "offsets are not resumed": ("""
state = fake_postroad.pathlib.Path(sys.argv[sys.argv.index("--store") + 1]) / "state.bin"
state.unlink(missing_ok=True)""", run_backfill.check_kcat, "one chunk a run"),
    "a leak on the terminal": (f"print({corpus.PRIVATE[1]!r})", run_backfill.check_kcat, "kcat, one"),
    "bad lines are skipped": ("""
old = oracle.envelope
def kcat_records(paths):
    for path in paths:
        for line in open(path, "rb").read().split(b"\\n"):
            try:
                yield old(line, "")
            except (oracle.NotAnEnvelope, KeyError):
                pass
oracle.kcat_records = kcat_records""", run_backfill.check_bad_lines, "no envelope: text"),
    "no line number": ("""
oracle_error = oracle.NotAnEnvelope
oracle.NotAnEnvelope = lambda text: oracle_error(text.split(":")[0])""", run_backfill.check_bad_lines, "no envelope: an array"),
    "a panic": ("sys.exit(101)", run_backfill.check_bad_lines, "no envelope: a number"),
    "a failing command": ("sys.exit(1)", run_backfill.check_ndjson, "ndjson"),
}


def outcome(lapse, check):
    """What a check prints about the stand-in with a lapse."""
    with tempfile.TemporaryDirectory(prefix="postroad-readers-test-") as work:
        script = pathlib.Path(work) / "postroad"
        script.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(HERE)!r})\n"
                          f"import oracle, fake_postroad\n{lapse}\nfake_postroad.main()\n", encoding="utf-8")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        said, bench = io.StringIO(), run_backfill.Bench(script, work)
        with contextlib.redirect_stdout(said):
            check(bench, ARGS)
        return bench.failed, said.getvalue()


class RunBackfillTest(unittest.TestCase):
    """Each promise of the command, kept and broken."""

    def test_good(self):
        for check in (run_backfill.check_kcat, run_backfill.check_ndjson, run_backfill.check_bad_lines):
            failed, said = outcome("", check)
            self.assertEqual(failed, 0, said)

    def test_lapses(self):
        for name, (lapse, check, where) in LAPSES.items():
            with self.subTest(lapse=name):
                failed, said = outcome(lapse, check)
                self.assertGreater(failed, 0)
                self.assertTrue(any(line.startswith("FAIL") and where in line for line in said.splitlines()), said)


if __name__ == "__main__":
    unittest.main()
