"""Makes the two dashboards, *Province* and *Pipeline*.

`python3 dashboards.py` writes dashboards/province.json and dashboards/pipeline.json; `--check` writes nothing, and ends
with 1 where a file is not what would be written. Every panel is one call below: its title, what it says, its queries. A
figure is asked of the recording rules where they have it; a raw gauge loses its instance first, as they do.
"""

import argparse
import json
import pathlib
import sys

from panels import (
    GAP,
    HALF,
    LIGHT,
    LIGHTS,
    NONE_IS_WELL,
    POINTS,
    RATIO,
    YUAN,
    bars,
    choice,
    dashboard,
    now,
    places,
    query,
    series,
    stat,
    table,
    timeline,
    variable,
)

HERE = pathlib.Path(__file__).resolve().parent / "dashboards"
INFO = "prefecture:postroad_prefecture_info:max"
VERSUS = {"local": "economy", "industry": "industry", "peer": "peers", "plan": "plan"}
PLAINLY = {"id": "color", "value": {"mode": "fixed", "fixedColor": "text"}}  # a number that is neither good nor bad

# The province.


NAME = "{{name}} {{prefecture}}"  # cities share names, not codes


def named(expr):
    """A figure of prefectures, with their names."""
    return f"({expr}) * on (prefecture) group_left (name) {INFO}"


def in_province(expr):
    """A figure of provinces, with their names."""
    return f"({expr}) * on (province) group_left (province_name) province:postroad_prefecture_info:max"


def growth(level, measure, *selectors, period="$period"):
    """Growth that is recorded at a level, of a measure."""
    labels = ", ".join((f'measure="{measure}"', f'period="{period}"', *selectors))
    return f"{level}_measure_period:postroad_complete:growth{{{labels}}}".removeprefix("_")


def of_line(lines, total):
    """Figures of the chosen line, of which `total` stands for all of them together."""
    return (
        f'{lines} or (label_replace({total}, "line", "total", "", "") and on (line)'
        ' label_replace(vector(1), "line", "$line", "", ""))'
    )


def complete(measure, *selectors, baseline=""):
    """Sums of the year up to the last complete day."""
    labels = ", ".join((f'measure="{measure}"', 'period="ytd"', *selectors))
    return f"prefecture_line_product_measure_period:postroad_complete{baseline}:max{{{labels}}}"


def held(name, *selectors, by="prefecture", level=""):
    """A gauge of the chosen line and measure that is held against a benchmark, without its instance."""
    labels = ", ".join(('line="$line"', 'measure="$measure"', *selectors))
    return f"max by ({by}) (postroad_{level}{name}{{{labels}}})"


def gap(*selectors, by="prefecture"):
    """Gaps of the chosen line and measure."""
    return held("gap_percentage_points", *selectors, by=by)


def per_parcel(by, *selectors, baseline=""):
    """Parcel revenue ÷ parcel volume."""
    revenue, volume = (
        f"sum by ({by}) ({complete(measure, PARCEL, *selectors, baseline=baseline)})"
        for measure in ("revenue", "volume")
    )
    return f"{revenue} / {volume}"


def three(own, apart):
    """Columns of an own figure, its benchmark and the gap between them."""
    return [("own", own, PERCENT), ("benchmark", f"{own} - {apart}", PERCENT), ("gap", apart, POINTS)]


PERCENT = "percent"
TOTAL_PLAN = 'line="total", measure="revenue", versus="plan"'
PLANNED = (
    "sum by (province) (prefecture_line:postroad_{}_plan_revenue_yuan:max * on (prefecture) group_left (province) {})"
)
EXPECTED = (
    f"(max by (province) (postroad_province_own_growth_percent{{{TOTAL_PLAN}}})"
    f" - max by (province) (postroad_province_gap_percentage_points{{{TOTAL_PLAN}}})) / 100"
    f" or {PLANNED.format('ytd', INFO)} / {PLANNED.format('annual', INFO)}"
)
WORST_LIGHT = held("light")
CHOSEN = 'prefecture=~"$prefecture"'
LAGGING = "max by (versus) (postroad_lagging_prefectures)"
PARCEL, FINANCE, SAVINGS = 'line="parcel"', 'line="finance"', 'product="savings"'
GROWTH_OF_LINE = of_line(growth("prefecture_line", "$measure", 'line="$line"'), growth("prefecture", "$measure"))


def province():
    """What a manager of the province looks at in the morning."""
    headline = [
        stat(
            "Lag in anything",
            "Prefectures with at least one indicator below its benchmark, of all prefectures. Red from half of them on,"
            " where ManyPrefecturesLagging begins.",
            now("max(postroad_laggards)", "lag"),
            now("max(postroad_prefectures)", "of"),
            now("postroad:laggards:ratio", "part"),
            unit="none",
            thresholds=HALF,
            overrides=[
                *({"matcher": {"id": "byName", "options": name}, "properties": [PLAINLY]} for name in ("lag", "of")),
                {"matcher": {"id": "byName", "options": "part"}, "properties": [{"id": "unit", "value": RATIO}]},
            ],
            size=(5, 6),
        ),
        table(
            "Lag by commensurate",
            "Prefectures that lag against the local economy, the industry, the peer provinces and the plan, of all"
            " prefectures. Red from half of them on.",
            [
                ("lag", LAGGING, "none"),
                ("of", f"{LAGGING} * 0 + on () group_left () max(postroad_prefectures)", "none"),
                ("part", f"{LAGGING} / on () group_left () max(postroad_prefectures)", RATIO),
            ],
            key="versus",
            sort="versus",
            colored={"part": HALF},
            size=(7, 6),
        ),
        stat(
            "Growth",
            "Revenue of the province, and of all that are reported, in the chosen period through the last complete day,"
            " against the same days a year before: a division of sums.",
            now(in_province(growth("province", "revenue")), "{{province_name}}"),
            now(growth("", "revenue"), "all"),
            unit=RATIO,
            decimals=1,
            thresholds=(("red", None), ("green", 0)),
            size=(3, 6),
        ),
        stat(
            "Plan",
            "Attainment: revenue of the year through the last complete day ÷ the year's plan; and what the plan expects"
            " by then.",
            now(in_province("province:postroad_complete:attainment"), "{{province_name}} attained"),
            now(in_province(EXPECTED), "{{province_name}} expected"),
            unit=RATIO,
            decimals=1,
            size=(4, 6),
        ),
        stat(
            "Unknown lights",
            "Lights that nobody can show: a base that is nothing or incomplete, a benchmark that is missing or stale."
            " Not 0 is a gap in the reference data or in last year's records.",
            now("sum(versus_why:postroad_unknown_lights:max)"),
            unit="none",
            thresholds=(("green", None), ("yellow", 1)),
            size=(2, 6),
        ),
        stat(
            "Figures of",
            "The log's own clock; and the end of the last complete day, which gaps, lights and ranks are of.",
            now("max(postroad_as_of_timestamp_seconds) * 1000", "sums"),
            now("max(postroad_indicators_as_of_timestamp_seconds) * 1000", "indicators"),
            unit="dateTimeAsIso",
            size=(3, 6),
        ),
        table(
            "The province against its benchmarks",
            "The whole province: growth over the benchmark's own period, attainment or share; the benchmark; and the gap"
            " in percentage points, green from 0. Its lights stand beside it.",
            three(
                "max by (province, line, measure, versus) (postroad_province_own_growth_percent)",
                "max by (province, line, measure, versus) (postroad_province_gap_percentage_points)",
            ),
            key="line",
            sort="gap",
            colored={"gap": GAP},
            size=(8, 10),
        ),
        timeline(
            "The province's lights",
            "The lights of the whole province over time.",
            query(
                "max by (province, line, measure, versus) (postroad_province_light)",
                "{{province}} {{line}} {{measure}} ‖ {{versus}}",
            ),
            size=(8, 10),
        ),
        table(
            "Alerts to the business",
            "What the branch has been told and is not over. Empty is well.",
            [
                (
                    "on",
                    (
                        'count by (alertname, prefecture, name_zh, line, versus, severity) (ALERTS{team="business",'
                        ' alertstate="firing"})'
                    ),
                    "none",
                )
            ],
            key="severity",
            sort="severity",
            hidden=("on",),
            size=(8, 10),
        ),
    ]
    league = [
        table(
            "League table",
            "Growth of the chosen line and measure in the chosen period, through the last complete day; rank by growth of"
            " the year; the worst light, and the gap to each benchmark in percentage points. An empty cell is unknown,"
            " not 0; volume has no total.",
            [
                ("code", f"max by (prefecture, name, name_zh) ({INFO})", "none"),
                ("growth", f"max by (prefecture) ({GROWTH_OF_LINE})", RATIO),
                ("rank", held("rank"), "none"),
                ("light", WORST_LIGHT, "none"),
                *((f"against {name}", gap(f'versus="{versus}"'), POINTS) for versus, name in VERSUS.items()),
            ],
            key="name_zh",
            sort="rank",
            colored={"light": LIGHT, **{f"against {name}": GAP for name in VERSUS.values()}},
            hidden=("code",),
            size=(14, 14),
        ),
        places(
            "Where it lags",
            "Each prefecture in the color of its worst light of the chosen line and measure.",
            named(WORST_LIGHT),
            unit="none",
            decimals=0,
            thresholds=LIGHT,
            mappings=LIGHTS,
            size=(10, 14),
        ),
        timeline(
            "Lights by prefecture",
            "The worst light of each prefecture in the chosen line and measure, over all four commensurates.",
            query(named(WORST_LIGHT), NAME),
            size=(24, 11),
        ),
    ]
    benchmarks = [
        table(
            "Against the four benchmarks",
            "The chosen prefectures in the chosen line and measure: growth over the benchmark's own period (against the"
            " plan: attainment), the benchmark, and the gap in percentage points, green from 0.",
            three(
                named(held("own_growth_percent", CHOSEN, by="prefecture, versus")),
                named(gap(CHOSEN, by="prefecture, versus")),
            ),
            key="name",
            sort="gap",
            colored={"gap": GAP},
            size=(12, 10),
        ),
        series(
            "Gaps over time",
            "The chosen prefectures' gaps in the chosen line and measure. The dashed line is 0: below lags.",
            query(named(gap(CHOSEN, by="prefecture, versus")), NAME + " ‖ {{versus}}"),
            unit=POINTS,
            decimals=2,
            thresholds=GAP,
            limits=True,
            size=(12, 10),
        ),
        series(
            "Growth of the line",
            "Growth of the chosen line and measure in the chosen period through the last complete day, of the chosen"
            " prefectures. Volume has no total.",
            query(named(f"({GROWTH_OF_LINE}) and on (prefecture) {INFO}" + "{" + CHOSEN + "}"), NAME),
            unit=RATIO,
            decimals=1,
        ),
        series(
            "Volume growth",
            "Growth of accepted volume of each line in the chosen period through the last complete day. Volume is not"
            " added up over lines.",
            query(named(growth("prefecture_line", "volume", CHOSEN)), NAME + " {{line}}"),
            query(in_province(growth("province_line", "volume")), "{{province_name}} {{line}}"),
            query(growth("line", "volume"), "all {{line}}"),
            unit=RATIO,
            decimals=1,
        ),
        bars(
            "Growth by line and product",
            "Revenue of the province: lines in the chosen period, products in the year, through the last complete day."
            " Premium express is the one to watch.",
            now(in_province(growth("province_line", "revenue")), "{{province_name}} {{line}}"),
            now(
                in_province(growth("province_line_product", "revenue", period="ytd")),
                "{{province_name}} {{line}} {{product}}",
            ),
            unit=RATIO,
            decimals=1,
            thresholds=(("red", None), ("green", 0)),
            size=(12, 8),
        ),
        bars(
            "Fulfilment of the plan",
            "Revenue of the year ÷ what the plan expects of it by now, of each plan: of a line or of the total. PlanBehind"
            " begins below 95 %.",
            now(named("prefecture_line:postroad_own_growth_percent:fulfilment{" + CHOSEN + "}"), NAME + " {{line}}"),
            unit=RATIO,
            decimals=1,
            thresholds=(("red", None), ("yellow", 0.95), ("green", 1)),
            size=(12, 10),
        ),
        bars(
            "Attainment of the plan",
            "Revenue of the year through the last complete day ÷ the year's plan: the prefecture, and each plan of a line"
            " or of the total.",
            now(named("prefecture:postroad_complete:attainment{" + CHOSEN + "}"), NAME),
            now(named("prefecture_line:postroad_own_growth_percent:attainment{" + CHOSEN + "}"), NAME + " {{line}}"),
            unit=RATIO,
            decimals=1,
            size=(12, 10),
        ),
    ]
    catching_up = [
        series(
            "Rank",
            "Place by growth of the year among the prefectures; 1 is best. A line that goes down catches up.",
            query(named(held("rank", CHOSEN)), NAME),
            unit="none",
            decimals=0,
        ),
        series(
            "Spread of growth",
            "From the fastest to the slowest prefecture, in percentage points: narrowing is catching up."
            " GrowthImbalance begins above 15 for revenue.",
            query(
                in_province("province_line_measure:postroad_growth_spread_percentage_points:max"),
                "{{province_name}} {{line}} {{measure}}",
            ),
            unit=POINTS,
            decimals=1,
            thresholds=(("green", None), ("red", 15)),
            limits=True,
        ),
    ]
    today = [
        bars(
            "Pace of today",
            "Volume of today so far ÷ what the same weekday of the last four weeks had at this hour. Absent at night.",
            now(
                named('max by (prefecture, line) (postroad_pace_ratio{line=~"parcel|finance", ' + CHOSEN + "})"),
                NAME + " {{line}}",
            ),
            unit=RATIO,
            decimals=0,
            thresholds=(("red", None), ("yellow", 0.8), ("green", 1)),
            size=(12, 10),
        ),
        series(
            "Peak season",
            "Parcels of the last complete day ÷ the mean day of the year to date. PeakOverload begins above 2.",
            query(named("prefecture:postroad_peak_ratio:max{" + CHOSEN + "}"), NAME),
            unit="none",
            decimals=2,
            thresholds=(("green", None), ("red", 2)),
            limits=True,
            size=(12, 10),
        ),
    ]
    structure = [
        series(
            "Yield of a parcel",
            "Parcel revenue ÷ parcel volume of the year through the last complete day: the chosen prefectures, the"
            " province, and the province a year before.",
            query(named(per_parcel("prefecture", CHOSEN)), NAME),
            query(in_province(per_parcel("province")), "{{province_name}}"),
            query(in_province(per_parcel("province", baseline="_baseline")), "{{province_name}}, a year before"),
            unit=YUAN,
            decimals=2,
        ),
        bars(
            "Income by line",
            "Revenue of the year through the last complete day.",
            now(f"sum by (line) ({complete('revenue')})", "{{line}}"),
            unit=YUAN,
            decimals=0,
            size=(6, 8),
        ),
        bars(
            "Income beside deposits",
            "Part of finance revenue that does not come from savings, of the year through the last complete day: how"
            " diversified agency finance is.",
            now(
                named(
                    f"1 - sum by (prefecture) ({complete('revenue', FINANCE, SAVINGS)})"
                    f" / sum by (prefecture) ({complete('revenue', FINANCE)})"
                ),
                NAME,
            ),
            unit=RATIO,
            decimals=1,
            size=(6, 8),
        ),
        series(
            "Balances of the month",
            "Net movement of all finance products since the first of the month, today so far included. BalanceOutflow"
            " begins when it is below 0 for a week.",
            query(named("prefecture_line:postroad_mtd_balance_yuan:sum{" + CHOSEN + "}"), NAME),
            unit=YUAN,
            decimals=0,
            thresholds=(("red", None), ("green", 0)),
            limits=True,
        ),
        bars(
            "Balances of the year",
            "Net movement of balances since last year's end.",
            now(named("sum by (prefecture) (max by (prefecture, product) (postroad_ytd_balance_yuan))"), NAME),
            unit=YUAN,
            decimals=0,
            thresholds=(("red", None), ("green", 0)),
            size=(12, 8),
        ),
    ]
    variables = [
        variable(
            "prefecture",
            "Prefecture",
            f"query_result({INFO})",
            regex='/name="(?<text>[^"]+)".*prefecture="(?<value>[^"]+)"/',
            multi=True,
            includeAll=True,
            allValue=".+",
            current={"text": ["All"], "value": ["$__all"]},
        ),
        variable(
            "line",
            "Line",
            "label_values(postroad_gap_percentage_points, line)",
            current={"text": "parcel", "value": "parcel"},
        ),
        choice("measure", "Measure", "revenue", "volume"),
        choice("period", "Growth of", "ytd", "qtd", "mtd"),
    ]
    rows = [
        ("How many lag", headline),
        ("Who lags", league),
        ("Against what", benchmarks),
        ("Do they catch up", catching_up),
        ("Today", today),
        ("What the income is made of", structure),
    ]
    return dashboard(
        "postroad-province",
        "Postroad: province",
        "Which prefectures lag, in what, against what, and whether they catch up.",
        "now-30d",
        variables,
        rows,
    )


# The pipeline.


def rates(metric, by):
    """What happens a second, by some labels, over all instances."""
    return query(
        f"sum by ({by}) (rate({metric}[$__rate_interval]))", " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    )


def quantiles(metric):
    """The median and the slowest hundredth of a histogram."""
    return [
        query(f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket[$__rate_interval])))", name)
        for q, name in ((0.5, "half are faster"), (0.99, "99 % are faster"))
    ]


def pipeline():
    """What an engineer looks at when paged."""
    health = [
        stat(
            "Fresh",
            "1 while the last publish is under 2 minutes old, the log's clock under 6 hours, and the last complete"
            " day's end under 48 hours. DataStale burns its budget.",
            now("postroad:data_fresh:bool"),
            unit="bool_yes_no",
            thresholds=(("red", None), ("green", 1)),
            size=(3, 4),
        ),
        stat(
            "Publishers",
            "Instances that publish: 1, but for a moment of a hand-over.",
            now("sum(postroad_publisher)"),
            unit="none",
            thresholds=(("red", None), ("green", 1), ("yellow", 2)),
            size=(3, 4),
        ),
        stat(
            "Ledger difference",
            "Events in the published table less applied records in the ledger: 0, or the figures cannot be relied on.",
            now("max(postroad_ledger_difference_records)"),
            unit="none",
            thresholds=(("red", None), ("green", 0), ("red", 1)),
            size=(3, 4),
        ),
        stat(
            "Shards",
            "Partitions and files by state, over all instances.",
            now("sum by (state) (postroad_shards)", "{{state}}"),
            unit="none",
            size=(5, 4),
        ),
        stat(
            "Stalled",
            "Shards that wait for an operator's decision.",
            now('sum(postroad_shards{state="stalled"})'),
            unit="none",
            thresholds=NONE_IS_WELL,
            size=(3, 4),
        ),
        stat(
            "Reference data",
            "Whether the last reload succeeded, on the worst instance; and when that was.",
            now("min(postroad_reference_last_reload_successful)", "reloaded"),
            unit="bool_yes_no",
            thresholds=(("red", None), ("green", 1)),
            size=(3, 4),
        ),
        stat(
            "Instances",
            "Instances that Prometheus reaches.",
            now('sum(up{job="postroad"})'),
            unit="none",
            thresholds=(("red", None), ("green", 1)),
            size=(4, 4),
        ),
        series(
            "Freshness",
            "Age of the last publish, of the log's clock, and of the last complete day's end. Their limits are 2"
            " minutes, 6 hours and 48 hours.",
            query("time() - max(postroad_publish_last_success_timestamp_seconds)", "publish"),
            query("time() - max(postroad_as_of_timestamp_seconds)", "log's clock"),
            query("time() - max(postroad_indicators_as_of_timestamp_seconds)", "last complete day"),
            unit="s",
        ),
        table(
            "Alerts to the engineers",
            "What they have been told and is not over. Empty is well.",
            [
                (
                    "on",
                    (
                        "count by (alertname, severity, instance, topic, partition, reason, name)"
                        ' (ALERTS{team="pipeline", alertstate="firing"})'
                    ),
                    "none",
                )
            ],
            key="severity",
            sort="severity",
            hidden=("on",),
            size=(12, 8),
        ),
    ]
    reading = [
        series(
            "Records",
            "Records judged a second, by topic and outcome. What is judged again after a crash counts again here; the"
            " ledger is the account.",
            rates("postroad_records_total", "topic, outcome"),
            unit="cps",
            stacked=True,
        ),
        series(
            "Lag",
            "Offsets between each shard and the end of its log.",
            query("max by (topic, partition) (postroad_consumer_lag_records)", "{{topic}} {{partition}}"),
            unit="none",
            decimals=0,
        ),
        series(
            "Lag in time",
            "How long what waits takes at the present speed. ConsumerLagGrowing begins above 10 minutes, if it grows.",
            query(
                "max by (topic, partition) (postroad_consumer_lag_records) / (sum by (topic, partition)"
                " (rate(postroad_records_total[$__rate_interval])) > 0)",
                "{{topic}} {{partition}}",
            ),
            unit="s",
            thresholds=(("green", None), ("red", 600)),
            limits=True,
        ),
        series(
            "Rejects by reason",
            "Records a second that cannot be used. RejectsHigh begins above 0.5 % of a topic.",
            rates("postroad_records_rejected_total", "topic, reason"),
            unit="cps",
        ),
        series(
            "Age of watermarks",
            "How far each shard's clock is behind the wall's: at night nothing is sent, and it rises.",
            query(
                "time() - max by (topic, partition) (postroad_watermark_timestamp_seconds)", "{{topic}} {{partition}}"
            ),
            unit="s",
        ),
        series(
            "Held in memory",
            "Bytes read and not folded; reading pauses at 64 MiB on an instance.",
            query("max by (instance) (postroad_queue_bytes)", "{{instance}}"),
            unit="bytes",
            thresholds=(("green", None), ("red", 67_108_864)),
            limits=True,
        ),
        series(
            "State",
            "Rollup cells, and event ids in dedupe windows, over all instances.",
            query("sum(postroad_state_cells)", "cells"),
            query("sum(postroad_dedupe_ids)", "event ids"),
            unit="short",
        ),
        series(
            "The group",
            "Rebalances, shards that were fenced, and offsets that the log does not deliver, a second.",
            query("sum(rate(postroad_rebalances_total[$__rate_interval]))", "rebalances"),
            query("sum(rate(postroad_fenced_total[$__rate_interval]))", "fenced"),
            query("sum(rate(postroad_offset_gaps_total[$__rate_interval]))", "offset gaps"),
            unit="cps",
        ),
    ]
    writing = [
        series(
            "Duration of a checkpoint",
            "One try, whatever came of it.",
            *quantiles("postroad_checkpoint_duration_seconds"),
            unit="s",
        ),
        series(
            "Checkpoints by outcome",
            "`unresolved` and `unconfirmed` stop reading until they are over; CheckpointFailing begins above 3 in 5"
            " minutes.",
            rates("postroad_checkpoints_total", "outcome"),
            unit="cps",
        ),
        series(
            "Duration of a publish",
            "One turn of the publisher that did not fail.",
            *quantiles("postroad_publish_duration_seconds"),
            unit="s",
        ),
        series(
            "Publishes by outcome",
            "`superseded`: another instance was faster. `failed`: its log says why.",
            rates("postroad_publishes_total", "outcome"),
            unit="cps",
        ),
        series(
            "Store errors",
            "Operations on the store that failed, or whose result is unknown.",
            rates("postroad_store_errors_total", "operation"),
            unit="cps",
        ),
        series(
            "Restatements",
            "Cells of final days that were moved, and months of which it is not known what moved, in an hour.",
            query("sum(increase(postroad_restatements_total[1h]))", "cells"),
            query("sum(increase(postroad_restatements_unknown_total[1h]))", "months unknown"),
            unit="none",
        ),
        table(
            "Versions",
            "What runs, and since when its last checkpoint landed.",
            [
                ("running", "max by (instance, version, revision) (postroad_build_info)", "none"),
                (
                    "age of the last checkpoint",
                    "time() - max by (instance) (postroad_checkpoint_last_success_timestamp_seconds)",
                    "s",
                ),
                (
                    "age of the reference data",
                    "time() - max by (instance) (postroad_reference_last_reload_success_timestamp_seconds)",
                    "s",
                ),
            ],
            key="instance",
            sort="instance",
            hidden=("running",),
            size=(24, 6),
        ),
    ]
    rows = [("Is it well", health), ("Reading", reading), ("Writing", writing)]
    return dashboard(
        "postroad-pipeline",
        "Postroad: pipeline",
        "Whether the pipeline reads, checkpoints and publishes.",
        "now-6h",
        [],
        rows,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a file differs")
    check = parser.parse_args().check
    differ = 0
    for name, made in (("province", province()), ("pipeline", pipeline())):
        path = HERE / f"{name}.json"
        text = json.dumps(made, ensure_ascii=False, indent=1) + "\n"
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path.name} is not what dashboards.py makes: run it")
            differ = 1
    return differ


if __name__ == "__main__":
    sys.exit(main())
