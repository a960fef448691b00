"""Whether the recording rules have the growth of the table `indicators`: of every prefecture, of the province, of each line.

`python3 growth_agrees.py --target HOST:PORT --postroad PATH --store STORE`. A real Prometheus scrapes a Postroad with the
rules of deploy/, and what it records is compared with what `postroad report` reads from the tables, period by period. A
publish may come in between, so they have a minute to agree.
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile

import alerts_end_to_end

PERIODS = ("mtd", "qtd", "ytd")
MEASURES = ("revenue", "volume")


def in_table(postroad, store):
    """Growth in per cent by (place, line, measure, period), as the report has it; None where it is unknown."""
    command = [postroad, "report", "--store", store, "--period", "month", "--format", "json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    growth = {}
    for province in report["provinces"]:
        places = [(province["code"], province["figures"])]
        places += [(prefecture["code"], prefecture["figures"]) for prefecture in province["prefectures"]]
        for code, rows in places:
            for row in rows:
                line, measure, period = row["line_code"] or "total", row["measure"], row["period"]
                if not row["product_code"] and measure in MEASURES and period in PERIODS:
                    growth[code, line, measure, period] = row["own_growth"]
    return growth


def recorded(port):
    """The same as the rules have it."""
    growth = {}
    for level in ("prefecture_line_measure_period", "prefecture_measure_period"):
        for query in (level, level.replace("prefecture", "province")):
            for one in alerts_end_to_end.asked(port, "query", query=f"{query}:postroad_complete:growth")["result"]:
                labels = one["metric"]
                code = labels.get("prefecture", labels["province"])
                of = code, labels.get("line", "total"), labels["measure"], labels["period"]
                growth[of] = float(one["value"][1]) * 100
    return growth


def differences(table, rules):
    """What of the table the rules do not have, or have otherwise."""
    for of, growth in sorted(table.items()):
        found = rules.get(of)
        same = found == growth if None in (found, growth) else abs(found - growth) < 1e-6 * (1 + abs(growth))
        if not same:
            yield f"{' '.join(of)}: {found} is recorded, {growth} stands in the table"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--target", required=True, help="HOST:PORT of the Postroad that publishes")
    parser.add_argument("--postroad", required=True, help="path of the program")
    parser.add_argument("--store", required=True, help="the store that it publishes to")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = alerts_end_to_end.free_port()
        alerts_end_to_end.configure(folder, given.target, webhook=9, alertmanager=9)
        stack.enter_context(
            alerts_end_to_end.running(
                folder,
                alerts_end_to_end.program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            )
        )
        wrong = ["nothing was compared"]

        def agreed():
            nonlocal wrong
            with contextlib.suppress(OSError):  # Prometheus may not listen yet
                table = in_table(given.postroad, given.store)
                wrong = [*differences(table, recorded(port))] or ([] if any(table.values()) else wrong)
                return table if not wrong else None
            return None

        table = alerts_end_to_end.wait_for("the growth of the table", agreed, 60)
    print("".join(f"{fault}\n" for fault in wrong), end="")
    if table:
        places = {code for code, *_ in table}
        print(f"{len(table)} growths of {len(places)} places are recorded as they stand in the table")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
