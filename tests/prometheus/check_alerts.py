"""Whether every alert has a team that somebody is told of, a row in docs/ALERTS.md and an entry in its runbook.

`python3 check_alerts.py`; names what is missing and ends with 1.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEVERITIES = {"business": ("red", "yellow"), "pipeline": ("page", "ticket")}
ALERT = re.compile(
    r"- alert: (?P<name>\w+)\n(?P<rule>.*?)\n +labels: \{ severity: (?P<severity>\w+), team: (?P<team>\w+) \}"
    r"\n.*?\n +runbook: (?P<page>[\w/.]+)#(?P<anchor>\S+)",
    re.DOTALL,
)


def anchors(page):
    """The anchors that a renderer makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def faults():
    """What is missing, one line each."""
    documented = set()
    for line in (ROOT / "docs" / "ALERTS.md").read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| `([A-Z]\w+)` \|", line)
        if row:
            documented.add(
                (row[1], next(cell for cell in line.split(" | ") if cell in ("red", "yellow", "page", "ticket")))
            )
    found = set()
    for path in sorted((ROOT / "deploy" / "prometheus").glob("*.rules.yml")):
        text = path.read_text(encoding="utf-8")
        alerts = list(ALERT.finditer(text))
        if len(alerts) != text.count("- alert: "):
            yield f"{path.name} has an alert without severity, team or runbook"
        for alert in alerts:
            found.add((alert["name"], alert["severity"]))
            if alert["severity"] not in SEVERITIES.get(alert["team"], ()):
                yield f"{alert['name']}: nobody is told of severity {alert['severity']} of team {alert['team']}"
            if alert["anchor"] not in anchors(ROOT / alert["page"]):
                yield f"{alert['name']}: {alert['page']} has no #{alert['anchor']}"
        print(f"{path.name}: {len(alerts)} alerts")
    yield from (f"docs/ALERTS.md does not list {name} ({severity})" for name, severity in sorted(found - documented))
    yield from (
        f"docs/ALERTS.md lists {name} ({severity}), which there is not" for name, severity in sorted(documented - found)
    )


def main():
    wrong = list(faults())
    print("".join(f"{fault}\n" for fault in wrong), end="")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
