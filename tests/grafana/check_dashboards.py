"""Whether every panel of the dashboards shows something, and every metric that they and the rules name is documented.

`python3 check_dashboards.py [--prometheus URL | --target HOST:PORT]` looks at the files first: what dashboards.py
makes, ids, places, units, descriptions, names. With an address it executes every expression of every panel and variable
on a real Prometheus, which has to answer each with data: on the one at URL, or on one of its own that scrapes a
Postroad (or the fake exporter, with `--target fake`) with the rules of deploy/. Names the panel that fails, and ends
with 1.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "prometheus"))

import alerts_end_to_end
import fake_exporter

RULES = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
# Panels that are right to show nothing, and when.
MAY_BE_EMPTY = {
    "Alerts to the business": "nobody lags",
    "Alerts to the engineers": "nothing is wrong",
    "Pace of today": "at night",
    "Rejects by reason": "no record was rejected since the start",
    "Store errors": "no operation failed since the start",
}
EMPTY_OF_FAKE = ("Alerts to the business", "Alerts to the engineers")  # the fake exporter has all else
RECORDED = re.compile(r"\b[a-z_]+:[a-z_]+:[a-z0-9_]+\b")
EXPORTED = re.compile(r"(?<![:\w])postroad_\w*[a-z](?![:\w])")
PATTERN = re.compile(r'__name__=~"([^"]+)"')
BY = re.compile(r"\bby \(([\w, ]*)\)")
OTHERS = {"line": ["total"]}  # beside what is chosen at first; these may be empty, and may not err
BUILT_IN = {"$__rate_interval": "1m", "$__range": "1h"}


def dashboards():
    """Each dashboard by the name of its file."""
    return {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((GRAFANA / "dashboards").glob("*.json"))
    }


def panels(dashboard):
    """The panels that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def faults_of_form(name, dashboard):
    """What can be seen without data."""
    for what, values in (
        ("id", [panel["id"] for panel in dashboard["panels"]]),
        ("title", [panel["title"] for panel in dashboard["panels"]]),
    ):
        twice = [value for value, count in collections.Counter(values).items() if count > 1]
        if twice:
            yield f"{name}: the {what} {twice} is there twice"
    taken = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for cell in (
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ):
            if cell[0] >= 24 or taken.setdefault(cell, panel["title"]) != panel["title"]:
                yield f"{name}: {panel['title']} lies over {taken.get(cell, 'the edge')}"
                break
    for panel in panels(dashboard):
        if len(panel.get("description", "")) < 20:
            yield f"{name}: {panel['title']} does not say what it shows"
        if not panel["fieldConfig"]["defaults"].get("unit"):
            yield f"{name}: {panel['title']} has no unit"
        for expr in (target["expr"] for target in panel["targets"]):
            for labels in (set(found.split(", ")) for found in BY.findall(expr)):
                if "name" in labels and not labels & {"prefecture", "alertname"}:
                    yield f"{name}: {panel['title']} takes two prefectures of one name for one: {expr}"
            if "$measure" in json.dumps(panel["targets"]) and "growth{" in expr and "$measure" not in expr:
                yield f"{name}: {panel['title']} shows another measure than the chosen one: {expr}"
        if any(step["value"] == -2 for step in steps(panel)):
            yield f"{name}: {panel['title']} takes for red what a setting decides"
        if any(step["value"] and step["value"] > 1 and step["color"] == "red" for step in steps(panel)) and any(
            "postroad_lagg" in target["expr"] for target in panel["targets"]
        ):
            yield f"{name}: {panel['title']} has a number of prefectures for half of them"
        if not panel["targets"] or any(target["datasource"]["uid"] != "${datasource}" for target in panel["targets"]):
            yield f"{name}: {panel['title']} does not ask the chosen Prometheus"


def steps(panel):
    """The steps of every threshold of a panel."""
    fields = panel["fieldConfig"]
    every = [one["value"] for of in fields["overrides"] for one in of["properties"] if one["id"] == "thresholds"]
    return [step for thresholds in (fields["defaults"]["thresholds"], *every) for step in thresholds["steps"]]


def faults_of_names():
    """Metrics that docs/METRICS.md does not list, and recording rules that do not exist or that nobody reads."""
    documented = set(
        re.findall(r"^\| `(postroad_\w+)` \|", (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    recorded, read = {}, set()
    texts = {path.name: path.read_text(encoding="utf-8") for path in RULES.glob("*.rules.yml")}
    records = set(re.findall(r"- record: (\S+)", "".join(texts.values())))
    for name, text in texts.items():
        for pattern in PATTERN.findall(text):
            if not any(re.fullmatch(pattern, metric) for metric in documented):
                yield f"docs/METRICS.md lists nothing that is called {pattern} ({name})"
        for line in text.splitlines():
            line = line.split(" # ")[0].strip()
            if not line.startswith(("#", "- record:", "- name:")):
                read.update((found, name) for found in RECORDED.findall(line))
                recorded.update((found, name) for found in EXPORTED.findall(line))
    for name, dashboard in dashboards().items():
        for _, expr in expressions(dashboard):
            for text in substituted(expr, dashboard):
                read.update((found, name) for found in RECORDED.findall(text))
                recorded.update((found, name) for found in EXPORTED.findall(text))
    for metric, name in sorted(recorded.items()):
        if re.sub(r"_bucket$", "", metric) not in documented:
            yield f"docs/METRICS.md does not list {metric} ({name})"
    asked = {series for series, _ in read}
    yield from (
        f"{name} reads {series}, which is not recorded" for series, name in sorted(read) if series not in records
    )
    yield from (f"nobody reads {series}" for series in sorted(records - asked))


def expressions(dashboard):
    """(panel or variable, expression), of all."""
    for panel in panels(dashboard):
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            inner = re.fullmatch(r"query_result\((.+)\)|label_values\((.+), (\w+)\)", variable["query"]["query"])
            yield f"variable {variable['name']}", inner[1] or f"count by ({inner[3]}) ({inner[2]})"


def substituted(expr, dashboard):
    """The expression as Grafana sends it: with what is chosen at first, then with each other choice of each variable."""
    choices = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "custom":
            choices[variable["name"]] = [option["value"] for option in variable["options"]]
        elif variable["type"] == "query":
            value = variable["current"]["value"]
            choices[variable["name"]] = (
                [variable["allValue"]] if value == ["$__all"] else [value, *OTHERS[variable["name"]]]
            )
    first = {name: values[0] for name, values in choices.items()}
    for chosen in [first, *({**first, name: value} for name, values in choices.items() for value in values[1:])]:
        text = expr
        for name, value in {**{name.lstrip("$"): value for name, value in BUILT_IN.items()}, **chosen}.items():
            text = text.replace(f"${{{name}}}", value)
            text = re.sub(rf"\${name}\b", lambda _, value=value: value, text)
        if "$" in text:
            raise SystemExit(f"nobody knows the variable in {text}")
        yield text


def asked(url, expr):
    """The series that Prometheus answers with; an error is a ValueError."""
    try:
        with urllib.request.urlopen(
            f"{url}/api/v1/query", urllib.parse.urlencode({"query": expr}).encode(), timeout=30
        ) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        # An error of a query is told as JSON; a server that is not ready yet tells it as text.
        raise ValueError(error.read().decode(errors="replace").strip()) from error


def faults_of_data(url, may_be_empty=MAY_BE_EMPTY):
    """What errs on a real Prometheus, or shows nothing there though it ought to."""
    count = 0
    for name, dashboard in dashboards().items():
        for place, expr in expressions(dashboard):
            for index, text in enumerate(substituted(expr, dashboard)):
                count += 1
                try:
                    numbers = [one for one in asked(url, text) if one["value"][1] != "NaN"]
                except ValueError as error:
                    yield f"{name}: {place}: {error}: {text}"
                    break
                if not numbers and index == 0 and place not in may_be_empty:
                    yield f"{name}: {place} shows nothing: {text}"
    print(f"{count} expressions were executed")


@contextlib.contextmanager
def prometheus_of(target):
    """A Prometheus that scrapes a Postroad for as long as the rules need, and is ended afterwards."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if target == "fake":
            fake = stack.enter_context(alerts_end_to_end.serving(fake_exporter.server(("127.0.0.1", 0), "210300")))
            target = f"127.0.0.1:{fake.server_port}"
        port = alerts_end_to_end.free_port()
        alerts_end_to_end.configure(folder, target, webhook=9, alertmanager=9)
        stack.enter_context(
            alerts_end_to_end.running(
                folder,
                alerts_end_to_end.program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            )
        )
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
        # The last rules of each chain have been evaluated, and what happens least often has happened twice.
        ready = (
            "count(province_measure_period:postroad_complete:growth) and"
            " count(province:postroad_complete:attainment) and"
            " count(prefecture_line:postroad_own_growth_percent:fulfilment) and"
            " sum(rate(postroad_publish_duration_seconds_count[1m])) > 0"
        )
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                if asked(url, ready):
                    break
            time.sleep(0.5)
        yield url


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--prometheus", help="address of a Prometheus that has scraped Postroad, with the rules loaded")
    parser.add_argument("--target", help="HOST:PORT of a Postroad, or `fake`, for a Prometheus of its own")
    given = parser.parse_args()
    wrong = []
    if subprocess.run([sys.executable, GRAFANA / "dashboards.py", "--check"], check=False).returncode:
        wrong.append("the dashboards are not what dashboards.py makes")
    for name, dashboard in dashboards().items():
        print(f"{name}: {len(panels(dashboard))} panels")
        wrong += faults_of_form(name, dashboard)
    wrong += faults_of_names()
    if given.prometheus:
        wrong += faults_of_data(given.prometheus.rstrip("/"))
    elif given.target:
        with prometheus_of(given.target) as url:
            wrong += faults_of_data(url, EMPTY_OF_FAKE if given.target == "fake" else MAY_BE_EMPTY)
    print("".join(f"{fault}\n" for fault in wrong), end="")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
