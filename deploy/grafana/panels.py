"""The pieces that dashboards.py puts together: queries, panels, variables, and their places on a page.

They write the JSON of Grafana 11 (schema 39), which later versions read. A panel's place comes last, from its size and
from what stands before it.
"""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# A gap in percentage points lags or does not. How far below it is red is a setting, so red is told by lights.
GAP = (("yellow", None), ("green", 0))
LIGHT = (("green", None), ("yellow", 1), ("red", 2))
LIGHTS = [
    {"type": "value", "options": {str(value): {"text": text, "color": text, "index": value}}}
    for value, text in enumerate(("green", "yellow", "red"))
]
# A part of the prefectures, red from half on, where ManyPrefecturesLagging begins.
HALF = (("green", None), ("yellow", 0.0001), ("red", 0.5))
PLAIN = (("blue", None),)
NONE_IS_WELL = (("green", None), ("red", 1))
RATIO = "percentunit"
POINTS = "suffix: pp"
YUAN = "currencyCNY"


def steps(thresholds):
    """Thresholds as Grafana writes them."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in thresholds]}


def query(expr, legend="", table=False):
    """One target; a table is of the present moment."""
    kind = (
        {"instant": True, "range": False, "format": "table"}
        if table
        else {"instant": False, "range": True, "format": "time_series"}
    )
    return {"datasource": DATASOURCE, "expr": expr, "legendFormat": legend, **kind}


def now(expr, legend=""):
    """One target of the present moment, a series a value."""
    return query(expr, legend) | {"instant": True, "range": False}


def panel(
    kind,
    title,
    description,
    queries,
    *,
    unit="short",
    thresholds=PLAIN,
    size=(12, 8),
    decimals=None,
    mappings=(),
    custom=None,
    options=None,
    overrides=(),
    **more,
):
    """A panel; its place comes later."""
    color = "palette-classic" if thresholds == PLAIN and kind in ("timeseries", "barchart") else "thresholds"
    defaults = {
        "unit": unit,
        "color": {"mode": color},
        "thresholds": steps(thresholds),
        "mappings": list(mappings),
        "custom": custom or {},
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    targets = [target | {"refId": chr(ord("A") + index)} for index, target in enumerate(queries)]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": targets,
        "size": size,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options or {},
        **more,
    }


def stat(title, description, *queries, size=(4, 4), **more):
    """Numbers of the present moment."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
        "orientation": "auto",
        "justifyMode": "auto",
    }
    return panel("stat", title, description, queries, size=size, options=options, **more)


def bars(title, description, *queries, size=(8, 10), **more):
    """One bar a series, of the present moment."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
        "showUnfilled": True,
        "valueMode": "color",
        "minVizWidth": 8,
        "minVizHeight": 12,
    }
    return panel("bargauge", title, description, queries, size=size, options=options, **more)


def series(title, description, *queries, stacked=False, limits=False, **more):
    """Lines over time; `limits` draws the thresholds."""
    custom = {
        "lineWidth": 1,
        "fillOpacity": 10 if stacked else 0,
        "showPoints": "never",
        "spanNulls": 900_000,
        "stacking": {"mode": "normal" if stacked else "none"},
    }
    if limits:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {
        "legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel("timeseries", title, description, queries, custom=custom, options=options, **more)


def timeline(title, description, *queries, **more):
    """One lane a series, in the colors of the lights."""
    options = {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.85,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single"},
    }
    return panel(
        "state-timeline",
        title,
        description,
        queries,
        thresholds=LIGHT,
        mappings=LIGHTS,
        custom={"fillOpacity": 80, "lineWidth": 0, "spanNulls": 900_000},
        options=options,
        **more,
    )


def table(title, description, columns, *, key, sort, colored=None, hidden=(), **more):
    """A row for each `key`; columns are (name, query, unit). `colored` has the thresholds of a column by its name."""
    colored = colored or {}
    queries = [query(expr, table=True) for _, expr, _ in columns]
    names = {
        f"Value #{chr(ord('A') + index)}" if len(columns) > 1 else "Value": name
        for index, (name, _, _) in enumerate(columns)
    }
    overrides = []
    for name, _, unit in columns:
        properties = [{"id": "unit", "value": unit}, {"id": "decimals", "value": 0 if unit == "none" else 2}]
        if name in colored:
            properties += [
                {"id": "thresholds", "value": steps(colored[name])},
                {"id": "mappings", "value": LIGHTS if colored[name] == LIGHT else []},
                {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}},
            ]
        overrides.append({"matcher": {"id": "byName", "options": name}, "properties": properties})
    shape = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True, **dict.fromkeys(hidden, True)},
                "renameByName": names,
                "indexByName": {key: 0},
            },
        },
    ]
    options = {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": sort, "desc": False}]}
    return panel(
        "table",
        title,
        description,
        queries,
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False},
        options=options,
        overrides=overrides,
        transformations=shape,
        **more,
    )


def places(title, description, expr, **more):
    """A marker on each prefecture, in the color of its value."""
    style = {
        "color": {"field": "Value", "fixed": "dark-green"},
        "opacity": 0.85,
        "size": {"fixed": 14, "min": 8, "max": 20},
        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
        "symbolAlign": {"horizontal": "center", "vertical": "center"},
        "text": {"mode": "field", "field": "name", "fixed": ""},
        "textConfig": {"fontSize": 11, "offsetX": 0, "offsetY": 18, "textAlign": "center", "textBaseline": "middle"},
        "rotation": {"fixed": 0, "min": -360, "max": 360, "mode": "mod"},
    }
    layer = {
        "type": "markers",
        "name": "Prefectures",
        "tooltip": True,
        "config": {"showLegend": False, "style": style},
        "location": {"mode": "lookup", "lookup": "prefecture", "gazetteer": "public/gazetteer/liaoning.json"},
    }
    options = {
        "view": {"id": "coords", "lat": 41.0, "lon": 122.6, "zoom": 6.6, "allLayers": True},
        "basemap": {"type": "default", "name": "Map", "config": {}},
        "controls": {
            "showZoom": True,
            "mouseWheelZoom": False,
            "showAttribution": True,
            "showScale": False,
            "showMeasure": False,
            "showDebug": False,
        },
        "tooltip": {"mode": "details"},
        "layers": [layer],
    }
    return panel("geomap", title, description, [query(expr, table=True)], options=options, **more)


def variable(name, label, definition, **more):
    """A variable that is asked of Prometheus."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "definition": definition,
        "query": {"query": definition, "refId": name},
        "refresh": 2,
        "sort": 1,
        "includeAll": False,
        "multi": False,
        "regex": "",
        **more,
    }


def choice(name, label, *values):
    """A variable of fixed values, the first of which is chosen."""
    options = [{"text": value, "value": value, "selected": index == 0} for index, value in enumerate(values)]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "options": options,
        "current": options[0],
        "includeAll": False,
        "multi": False,
    }


def placed(rows):
    """The panels of titled rows with ids and places, from left to right and from top to bottom."""
    panels, top = [], 0
    for title, row in rows:
        panels.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "id": len(panels) + 1,
                "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
            }
        )
        top, left, deepest = top + 1, 0, 0
        for one in row:
            width, height = one["size"]
            if left + width > 24:
                top, left, deepest = top + deepest, 0, 0
            place = {"x": left, "y": top, "w": width, "h": height}
            panels.append(
                {key: value for key, value in one.items() if key != "size"} | {"id": len(panels) + 1, "gridPos": place}
            )
            left, deepest = left + width, max(deepest, height)
        top += deepest
    return panels


def dashboard(uid, title, description, span, variables, rows):
    """A whole dashboard."""
    datasource = {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "includeAll": False,
        "multi": False,
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["postroad"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "Asia/Shanghai",
        "weekStart": "monday",
        "refresh": "1m",
        "time": {"from": span, "to": "now"},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "title": "Postroad",
                "tags": ["postroad"],
                "asDropdown": False,
                "includeVars": False,
                "keepTime": False,
            }
        ],
        "templating": {"list": [datasource, *variables]},
        "panels": placed(rows),
    }
