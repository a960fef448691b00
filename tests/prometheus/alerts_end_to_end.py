"""From a page to a branch manager: a real Prometheus scrapes Postroad, a real Alertmanager routes, a webhook receives.

`python3 alerts_end_to_end.py --target HOST:PORT --expect LaggingRed --prefecture 210300` waits until that alert of that
prefecture has arrived at the receiver that its team ought to have, and prints what arrived. Without `--target` a fake
exporter is scraped; with `--stop` as well it is stopped then, and the engineers have to be told, and no manager that
the lag is over.

The configuration and the rules are those of deploy/, with the days in them made seconds by the tables below; each of
their lines has to find something, so that a rule which has changed is not quietly tested at its full length. Needs
`prometheus` and `alertmanager`. Everything listens on 127.0.0.1 only, and only what was started here is ended.
"""

import argparse
import contextlib
import http.server
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import fake_exporter

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
QUIET_SECONDS = 6  # some of Alertmanager's shortened group_interval, for news that must not come
RECEIVERS = {"business": ("branch-managers", "province-office"), "pipeline": ("engineers-page", "engineers-ticket")}
# What becomes of the rules: (regular expression, what stands there instead).
SHORTER = {
    "recording": [
        (r"interval: (30s|1m|1h)", "interval: 1s"),
        (r"\[15m\]", "[15s]"),
        (r"6 \* 3600\)", "1e12)"),  # a test's log may be of any year
        (r"48 \* 3600\)", "1e12)"),
    ],
    "business": [
        (r"interval: 1m", "interval: 1s"),
        (r"\[15m\]", "[15s]"),
        (r"\[3d\]", "[8s]"),
        (r">= 66\b", ">= 5"),
        (r"\[7d\]", "[12s]"),
        (r">= 162\b", ">= 8"),
        (r">= 18\b", ">= 9"),
        (r"\[1d\]", "[10s]"),
        (r"(as_of_month:max\[15s\]\)) > 2", r"\1 > 0"),
    ],
    "pipeline": [
        (r"for: \d+m", "for: 2s"),
        (r"\[30m:1m\]", "[10s:1s]"),
        (r"\[(5m|10m|15m|30m|1h|6h|2h)\]", "[10s]"),
        (r"hour\(\) >= 2 and hour\(\) < 9", "hour() >= 0"),
    ],
}


def rewritten(text, table, of):
    """A text with a table's replacements, each of which finds something."""
    for pattern, replacement in table:
        text, count = re.subn(pattern, replacement, text)
        if not count:
            raise SystemExit(f"{of} has no {pattern} any more: correct the table in {pathlib.Path(__file__).name}")
    return text


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def configure(folder, target, webhook, alertmanager):
    """Writes the configurations of deploy/ with other addresses and shorter times."""
    for name, table in SHORTER.items():
        path = DEPLOY / "prometheus" / f"{name}.rules.yml"
        (folder / path.name).write_text(rewritten(path.read_text(encoding="utf-8"), table, path.name), encoding="utf-8")
    path = DEPLOY / "prometheus" / "prometheus.yml"
    table = [
        (r"127\.0\.0\.1:9464", target),
        (r"127\.0\.0\.1:9093", f"127.0.0.1:{alertmanager}"),
        (r"interval: 15s", "interval: 1s"),
    ]
    (folder / path.name).write_text(rewritten(path.read_text(encoding="utf-8"), table, path.name), encoding="utf-8")
    path = DEPLOY / "alertmanager" / "alertmanager.yml"
    table = [(r"127\.0\.0\.1:9095", f"127.0.0.1:{webhook}"), (r"group_(wait|interval): \w+", r"group_\1: 1s")]
    (folder / path.name).write_text(rewritten(path.read_text(encoding="utf-8"), table, path.name), encoding="utf-8")


class Webhook(http.server.ThreadingHTTPServer):
    """Keeps every notification: the path that it came to, and its body."""

    def __init__(self, port):
        self.notifications = []
        super().__init__(("127.0.0.1", port), self.Handler)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.notifications.append((self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    def alerts(self):
        """(path, receiver, alert) of each alert that has arrived."""
        return [(path, body["receiver"], alert) for path, body in [*self.notifications] for alert in body["alerts"]]


@contextlib.contextmanager
def serving(server):
    """A server in a thread of its own."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def running(folder, *command):
    """A process with a log in the folder, ended afterwards by its own handle."""
    with open(folder / f"{pathlib.Path(command[0]).name}.log", "wb") as log, subprocess.Popen(
        command, stdout=log, stderr=log
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def program(*names):
    """The path of the first of these programs that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or sys.exit(f"none of {', '.join(names)} is installed")


def asked(port, path, **parameters):
    """What Prometheus' API says."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def faulty_rules(port):
    """The rules that Prometheus could not evaluate, each with its error."""
    rules = [rule for group in asked(port, "rules")["groups"] for rule in group["rules"]]
    return len(rules), [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] == "err"]


def explain(port, webhook, folder):
    """Prints why nothing may have arrived."""
    with contextlib.suppress(urllib.error.URLError):
        for query in ("up", "postroad:data_fresh:max15m", "ALERTS"):
            result = asked(port, "query", query=query)["result"]
            print(
                f"{query}: {json.dumps([[one['metric'], one['value'][1]] for one in result], ensure_ascii=False)}",
                file=sys.stderr,
            )
        print("faulty rules:", faulty_rules(port), file=sys.stderr)
    print("arrived:", [(path, alert["labels"]) for path, _, alert in webhook.alerts()], file=sys.stderr)
    for log in folder.glob("*.log"):
        print(f"{log.name}:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}", file=sys.stderr)


def complaints(path, receiver, alert):
    """What is wrong with an alert that has arrived."""
    labels, said = alert["labels"], alert["annotations"]
    if receiver not in RECEIVERS.get(labels.get("team"), ()):
        yield f"the team {labels.get('team')} is not that of {receiver}"
    if path != f"/{receiver}":
        yield f"{receiver} was told at {path}"
    if labels.get("team") == "business" and not (
        labels.get("name") and labels.get("name_zh") and labels["name_zh"] in said["summary"]
    ):
        yield "it does not say the prefecture's name"
    page, _, anchor = said.get("runbook", "").partition("#")
    runbook = DEPLOY.parent / page
    headings = re.findall(r"^## (.+)$", runbook.read_text(encoding="utf-8"), re.MULTILINE) if runbook.is_file() else []
    if anchor not in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]:
        yield f"its runbook {said.get('runbook')} is not there"


def wait_for(what, holds, timeout):
    """What `holds` returns, as soon as that is something."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.2)
    if what:
        print(f"{what}: not within {timeout:g} s", file=sys.stderr)
    return None


def stopped(fake, webhook, port, timeout):
    """What is wrong when the only publisher goes away: a page has to come, and no news for the business."""
    before = len(webhook.alerts())
    fake.shutdown()
    fake.server_close()
    paged = wait_for(
        "a page for NoPublisher",
        lambda: [
            one
            for one in webhook.alerts()
            if one[1] == "engineers-page" and one[2]["labels"]["alertname"] == "NoPublisher"
        ],
        timeout,
    )
    silent = wait_for(
        "silence of the business rules",
        lambda: not asked(port, "query", query='ALERTS{team="business"}')["result"],
        timeout,
    )
    told = (
        wait_for(
            "",
            lambda: [
                one
                for one in webhook.alerts()[before:]
                if one[2]["labels"]["team"] == "business" and one[2]["status"] == "resolved"
            ],
            QUIET_SECONDS,
        )
        if silent
        else None
    )
    if not paged:
        yield "nobody was paged for NoPublisher"
    if not silent:
        yield "business alerts are still on without data"
    for _, receiver, alert in told or ():
        yield f"{receiver} was told that {alert['labels']['alertname']} is over"
    print(
        "the publisher was stopped: engineers were paged, the rules fell silent, and no manager was told that a lag is"
        " over"
        if paged and silent and not told
        else ""
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--target", help="where /metrics and /metrics/business are served; a fake one by default")
    parser.add_argument("--expect", default="LaggingRed", help="name of the alert")
    parser.add_argument("--prefecture", default="210300", help="code of the prefecture that lags")
    parser.add_argument("--stop", action="store_true", help="stop the fake exporter when the alert has arrived")
    parser.add_argument("--timeout", type=float, default=120, help="seconds until it has to have arrived")
    given = parser.parse_args()
    if given.stop and given.target:
        parser.error("only the fake exporter can be stopped")
    webhook_port, alertmanager_port, prometheus_port = free_port(), free_port(), free_port()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = given.target
        if target is None:
            fake = stack.enter_context(serving(fake_exporter.server(("127.0.0.1", 0), given.prefecture)))
            target = f"127.0.0.1:{fake.server_port}"
        configure(folder, target, webhook_port, alertmanager_port)
        webhook = stack.enter_context(serving(Webhook(webhook_port)))
        stack.enter_context(
            running(
                folder,
                program("alertmanager", "prometheus-alertmanager"),
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/alertmanager",
                f"--web.listen-address=127.0.0.1:{alertmanager_port}",
                "--cluster.listen-address=",
            )
        )
        stack.enter_context(
            running(
                folder,
                program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{prometheus_port}",
            )
        )

        begun = time.monotonic()
        wanted = {"alertname": given.expect, "prefecture": given.prefecture}.items()
        found = wait_for(
            f"{given.expect} of {given.prefecture}",
            lambda: next(
                (
                    one
                    for one in webhook.alerts()
                    if one[2]["status"] == "firing" and wanted <= one[2]["labels"].items()
                ),
                None,
            ),
            given.timeout,
        )
        if found is None:
            explain(prometheus_port, webhook, folder)
            return f"{given.expect} of {given.prefecture} has not arrived"
        path, receiver, alert = found
        print(f"after {time.monotonic() - begun:.0f} s {receiver} was told:")
        print(
            json.dumps({"labels": alert["labels"], "annotations": alert["annotations"]}, ensure_ascii=False, indent=2)
        )
        count, faulty = faulty_rules(prometheus_port)
        wrong = [*complaints(path, receiver, alert), *faulty]
        told = sorted(
            {
                (receiver, one["labels"]["alertname"], one["labels"].get("prefecture", ""))
                for _, receiver, one in webhook.alerts()
            }
        )
        print(f"{count} rules, {len(faulty)} of them faulty; told in all:")
        print("".join(f"  {' '.join(one)}\n" for one in told), end="")
        if given.stop:
            wrong += stopped(fake, webhook, prometheus_port, given.timeout)
        return "; ".join(wrong) or 0


if __name__ == "__main__":
    sys.exit(main())
