"""Serves /metrics and /metrics/business as a Postroad that publishes would, with one prefecture that lags.

`python3 fake_exporter.py --listen 127.0.0.1:9464 --planted 210300`. Every series that rules or dashboards ask for is
there, of plausible size and moving with the clock; nothing is computed the way Postroad does it. It stands in for the
binary where rules and dashboards are tested by themselves.
"""

import argparse
import contextlib
import datetime
import http.server

SHANGHAI = datetime.timezone(datetime.timedelta(hours=8))
PREFECTURES = {  # name, Chinese name, part of the province in per cent
    "210100": ("Shenyang", "沈阳市", 38),
    "210200": ("Dalian", "大连市", 22),
    "210300": ("Anshan", "鞍山市", 7),
    "210400": ("Fushun", "抚顺市", 2.5),
    "210500": ("Benxi", "本溪市", 1.5),
    "210600": ("Dandong", "丹东市", 4),
    "210700": ("Jinzhou", "锦州市", 5),
    "210800": ("Yingkou", "营口市", 4),
    "210900": ("Fuxin", "阜新市", 1.5),
    "211000": ("Liaoyang", "辽阳市", 2),
    "211100": ("Panjin", "盘锦市", 2),
    "211200": ("Tieling", "铁岭市", 2.5),
    "211300": ("Chaoyang", "朝阳市", 3),
    "211400": ("Huludao", "葫芦岛市", 5),
}
PRODUCTS = {  # line, volume of a day in the province, yuan a piece
    "economy": ("parcel", 312_000, 4.5),
    "express": ("parcel", 56_000, 18),
    "standard": ("parcel", 20_000, 9),
    "international": ("parcel", 4_000, 80),
    "logistics": ("parcel", 8_000, 20),
    "savings": ("finance", 880_000, 2),
    "insurance": ("finance", 5_000, 300),
    "wealth": ("finance", 40_000, 8),
    "letter": ("basic", 9_000, 3),
    "distribution": ("retail", 3_000, 25),
}
TOPICS = {"parcel.events": 4, "finance.transactions": 2}
GROWTH = 0.08
LAG = 0.12  # of the planted prefecture, in growth


class Page:
    """Prometheus' text format, family by family."""

    def __init__(self):
        self.families = {}

    def add(self, name, value, kind="gauge", /, **labels):
        """Adds one series."""
        text = ",".join(f'{label}="{labelled}"' for label, labelled in labels.items())
        family = name.rsplit("_", 1)[0] if kind == "histogram" else name
        self.families.setdefault((family, kind), []).append(f"{name}{{{text}}} {value}")

    def histogram(self, name, count):
        """Adds a histogram whose every value was a tenth of a second."""
        for bound in ("0.05", "0.1", "0.5", "1", "+Inf"):
            self.add(f"{name}_bucket", 0 if bound == "0.05" else count, "histogram", le=bound)
        self.add(f"{name}_sum", count / 10, "histogram")
        self.add(f"{name}_count", count, "histogram")

    def text(self):
        """The whole page."""
        return "".join(
            f"# HELP {name} Made up.\n# TYPE {name} {kind}\n" + "\n".join(series) + "\n"
            for (name, kind), series in self.families.items()
        )


def pipeline(now, begun):
    """/metrics, of an instance that has run since `begun`."""
    page, seconds = Page(), now - begun
    for topic, partitions in TOPICS.items():
        for partition in range(partitions):
            shard = {"topic": topic, "partition": partition}
            for outcome, rate in (("applied", 12), ("duplicate", 0.06), ("rejected", 0.006), ("ignored", 0)):
                page.add("postroad_records_total", int(seconds * rate), "counter", **shard, outcome=outcome)
            page.add("postroad_consumer_lag_records", 40 + partition, **shard)
            page.add("postroad_offset_gaps_total", 0, "counter", **shard)
            page.add("postroad_watermark_timestamp_seconds", now - 1 - partition, **shard)
        page.add("postroad_records_rejected_total", int(seconds * 0.006), "counter", topic=topic, reason="malformed")
    for state, count in (("loading", 0), ("running", sum(TOPICS.values())), ("stalled", 0)):
        page.add("postroad_shards", count, state=state)
    for outcome in ("committed", "unresolved", "fenced", "unconfirmed", "recreated"):
        page.add(
            "postroad_checkpoints_total", int(seconds) if outcome == "committed" else 0, "counter", outcome=outcome
        )
    for outcome in ("committed", "unchanged", "superseded", "failed"):
        page.add(
            "postroad_publishes_total", int(seconds / 5) if outcome == "committed" else 0, "counter", outcome=outcome
        )
    for operation in ("checkpoint", "publish"):
        page.add("postroad_store_errors_total", 0, "counter", operation=operation)
    for name in ("rebalances", "fenced", "restatements", "restatements_unknown"):
        page.add(f"postroad_{name}_total", 0, "counter")
    page.histogram("postroad_checkpoint_duration_seconds", int(seconds))
    page.histogram("postroad_publish_duration_seconds", int(seconds / 5))
    for name, value in (
        ("checkpoint_last_success_timestamp_seconds", now - 2),
        ("publish_last_success_timestamp_seconds", now - 2),
        ("publisher", 1),
        ("queue_bytes", 65_536),
        ("state_cells", 2_380),
        ("dedupe_ids", 400_000),
        ("reference_last_reload_successful", 1),
        ("reference_last_reload_success_timestamp_seconds", begun),
    ):
        page.add(f"postroad_{name}", value)
    page.add("postroad_build_info", 1, version="0.0.0", revision="fake")
    page.add("postroad_reference_info", 1, version="fake")
    return page.text()


def starts(day):
    """The first day of each period that ends with a day."""
    return {
        "day": day,
        "mtd": day.replace(day=1),
        "qtd": day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
        "ytd": day.replace(month=1, day=1),
    }


def business(now, planted):
    """/metrics/business, of the moment `now`, where one prefecture grows by LAG less than the others."""
    page = Page()
    local = datetime.datetime.fromtimestamp(now, SHANGHAI)
    today = local.date()
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    part = (now - midnight) / 86_400
    yesterday = today - datetime.timedelta(1)
    days = {period: (today - start).days for period, start in starts(today).items()}
    complete = {period: (today - start).days for period, start in starts(yesterday).items() if period != "day"}
    growths = {}
    for rank, (code, (name, name_zh, weight)) in enumerate(PREFECTURES.items()):
        growth = GROWTH + 0.001 * (len(PREFECTURES) - rank) - (LAG if code == planted else 0)
        growths[code] = growth
        of_province = {"province": "210000", "province_name": "Liaoning", "province_name_zh": "辽宁省"}
        page.add("postroad_prefecture_info", 1, prefecture=code, name=name, name_zh=name_zh, **of_province)
        page.add("postroad_peak_ratio", 1.1, prefecture=code)
        for line in dict.fromkeys(line for line, _, _ in PRODUCTS.values()):
            own = {"prefecture": code, "line": line}
            year = sum(weight / 100 * volume * price * 365 for of, volume, price in PRODUCTS.values() if of == line)
            page.add("postroad_annual_plan_revenue_yuan", year * 1.09, **own)
            page.add("postroad_ytd_plan_revenue_yuan", year * 1.09 * days["ytd"] / 365, **own)
            page.add("postroad_annual_plan_volume", year / 5, **own)
            page.add("postroad_ytd_plan_volume", year / 5 * days["ytd"] / 365, **own)
            page.add("postroad_pace_ratio", 1 + growth, **own)
        for product, (line, volume, price) in PRODUCTS.items():
            cell = {"prefecture": code, "line": line, "product": product}
            base = weight / 100 * volume
            for period, elapsed in days.items():
                page.add(f"postroad_{period}_volume", round(base * (elapsed + part) * (1 + growth)), **cell)
                page.add(
                    f"postroad_{period}_revenue_yuan", round(base * price * (elapsed + part) * (1 + growth), 2), **cell
                )
                page.add(f"postroad_{period}_volume_baseline", round(base * (elapsed + 1)), **cell)
                page.add(f"postroad_{period}_revenue_yuan_baseline", round(base * price * (elapsed + 1), 2), **cell)
            for period, elapsed in complete.items():
                for suffix, factor in (("", 1 + growth), ("_baseline", 1)):
                    figure = base * elapsed * factor
                    page.add(f"postroad_complete_{period}_volume{suffix}", round(figure), **cell)
                    page.add(f"postroad_complete_{period}_revenue_yuan{suffix}", round(figure * price, 2), **cell)
            events = round(base * part * (10 if line == "parcel" else 1) * 86_400)  # moves at every scrape
            for name, value in (("events", events), ("late_events", 0), ("reversals", events // 500)):
                page.add(f"postroad_day_{name}", value, **cell)
            if line == "finance":
                for period in ("mtd", "ytd"):
                    page.add(f"postroad_{period}_balance_yuan", round(base * 500 * days[period]), **cell)
    ranks = {code: 1 + sum(other > growth for other in growths.values()) for code, growth in growths.items()}
    for level, figures in (("", growths), ("province_", {"210000": GROWTH})):
        for code, growth in figures.items():
            unit = {"province" if level else "prefecture": code}
            for line, measure, versus, benchmark in INDICATORS:
                gap = (growth - benchmark) * 100
                of = {**unit, "line": line, "measure": measure, "versus": versus}
                page.add(f"postroad_{level}own_growth_percent", round(growth * 100, 4), **of)
                page.add(f"postroad_{level}gap_percentage_points", round(gap, 4), **of)
                page.add(f"postroad_{level}light", 2 if gap < -2 else 1 if gap < 0 else 0, **of)
            if not level:
                for line, measure in dict.fromkeys((line, measure) for line, measure, _, _ in INDICATORS):
                    page.add("postroad_rank", ranks[code], prefecture=code, line=line, measure=measure)
    for line, measure in dict.fromkeys((line, measure) for line, measure, _, _ in INDICATORS):
        page.add(
            "postroad_growth_spread_percentage_points",
            (max(growths.values()) - min(growths.values())) * 100,
            province="210000",
            line=line,
            measure=measure,
        )
    for versus in ("local", "industry", "peer", "plan"):
        page.add("postroad_lagging_prefectures", 1, versus=versus)
        for why in ("figure_missing", "base_not_positive", "base_incomplete", "benchmark_missing", "benchmark_stale", "overflow"):
            page.add("postroad_unknown_lights", 0, versus=versus, why=why)
    for name, value in (
        ("laggards", 1),
        ("prefectures", len(PREFECTURES)),
        ("as_of_timestamp_seconds", now - 1),
        ("indicators_as_of_timestamp_seconds", midnight),
        ("ledger_difference_records", 0),
    ):
        page.add(f"postroad_{name}", value)
    return page.text()


INDICATORS = [  # line, measure, versus, benchmark
    *((line, "revenue", "local", 0.058) for line in ("total", "finance", "parcel")),
    ("parcel", "volume", "industry", 0.07),
    ("parcel", "revenue", "industry", 0.06),
    ("finance", "share", "industry", 0.079),
    *((line, "revenue", "peer", 0.05) for line in ("total", "finance", "parcel")),
    *((line, "revenue", "plan", 0.04) for line in ("total", "parcel", "finance")),
]


def server(address, planted):
    """An HTTP server of both pages, which is not running yet."""
    begun = datetime.datetime.now(SHANGHAI).timestamp()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            now = datetime.datetime.now(SHANGHAI).timestamp()
            pages = {
                "/metrics": lambda: pipeline(now, begun - 3600),
                "/metrics/business": lambda: business(now, planted),
            }
            if self.path not in pages:
                self.send_error(404)
                return
            body = pages[self.path]().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # who asked is ended in the middle of a scrape
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    return http.server.ThreadingHTTPServer(address, Handler)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--listen", default="127.0.0.1:9464")
    parser.add_argument("--planted", default="210300", choices=PREFECTURES, help="the prefecture that lags")
    given = parser.parse_args()
    host, port = given.listen.rsplit(":", 1)
    server((host, int(port)), given.planted).serve_forever()


if __name__ == "__main__":
    main()
