"""Drawing, thinly: from a figure's data to a Vega-Lite specification. What is shown is chosen elsewhere.

Colours are Okabe and Ito's, told apart by colour-blind eyes; dashes and shapes repeat what colours
say, so that a print in grey is still readable.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl
import polars.selectors as cs

Spec = dict[str, Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 1], [12, 2, 4, 2])
WIDTH, HEIGHT = 560, 300
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MOST_POINTS_MARKED = 25
NO_ZERO: Spec = {"zero": False}
DECADES = 1.5
LOGARITHMIC: Spec = {
    "scale": {"type": "log"},
    "axis": {"labelExpr": "format(datum.value, '~g')", "tickCount": 5, "labelOverlap": "greedy", "labelSeparation": 4},
}
STATES = ["complete", "pruned"]
STATE_LEGEND: Spec = {"orient": "bottom", "title": "Trial"}


def whole(data: pl.DataFrame, body: Spec) -> Spec:
    """A specification that holds the frame's rows itself, in their order."""
    return {"$schema": SCHEMA, "data": {"values": rows_of(data)}, **body}


def rows_of(data: pl.DataFrame) -> list[Spec]:
    """The rows in plain values, rounded to 7 digits, with null where a number is not finite."""
    numbers = cs.float()
    finite = data.with_columns(pl.when(numbers.is_finite()).then(numbers.round_sig_figs(7)))
    return finite.to_dicts()


def number(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel with a quantity."""
    return {"field": field, "type": "quantitative", **({} if title is None else {"title": title}), **more}


def name(field: str, title: str | None = None, **more: Any) -> Spec:
    """A channel with a name."""
    return {"field": field, "type": "nominal", "title": title, **more}


def tips(names: Sequence[str], **formats: str) -> list[Spec]:
    """A tooltip of names and of numbers with their formats."""
    return [name(field, field) for field in names] + [
        number(field, field, format=text) for field, text in formats.items()
    ]


def series(field: str, title: str, names: Sequence[str]) -> Spec:
    """Colour and dash by `field`, in the order of `names`."""
    legend = {"title": title, "orient": "bottom", "columns": 2, "labelLimit": 340, "symbolType": "stroke"}
    legend |= {"symbolOpacity": 1, "symbolStrokeWidth": 2.5, "symbolSize": 300}
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(names))]
    # Names beyond the colours take them again, with another dash.
    dashes = [DASHES[(index + index // len(COLOURS)) % len(DASHES)] for index in range(len(names))]
    return {
        "color": name(field, scale={"domain": list(names), "range": colours}, legend=legend),
        "strokeDash": name(field, scale={"domain": list(names), "range": dashes}, legend=legend),
    }


def picked(field: str, opacity: float = 1.0) -> tuple[list[Spec], Spec]:
    """A click on the legend lifts out one name of `field`: the selection, and the opacity that it gives."""
    params = [{"name": "picked", "select": {"type": "point", "fields": [field]}, "bind": "legend"}]
    return params, {"condition": {"param": "picked", "value": opacity}, "value": 0.08}


def line_with_band(data: pl.DataFrame, *, group: Spec, x: Spec, mean: Spec, low: str, high: str, tooltip: Any) -> Spec:
    """Lines over a lighter band around each; of few places on the x axis, each with a point."""
    params, opacity = picked(group["color"]["field"])
    band = {"x": x, "y": {**mean, "field": low}, "y2": {"field": high}, "color": group["color"]}
    band["fillOpacity"] = picked(group["color"]["field"], 0.17)[1]
    line = {"x": x, "y": mean, "tooltip": tooltip, "opacity": opacity, **group}
    few = data[x["field"]].n_unique() <= MOST_POINTS_MARKED
    mark = {"type": "line", "strokeWidth": 2, "point": {"size": 28, "strokeWidth": 0} if few else False}
    return whole(
        data,
        {
            "width": WIDTH,
            "height": HEIGHT,
            "layer": [
                {"mark": {"type": "area"}, "encoding": band},
                {"params": params, "mark": mark, "encoding": line},
            ],
        },
    )


def curves(data: pl.DataFrame, *, value: str, order: Sequence[str], title: str = "Model") -> Spec:
    """Mean over seeds with the seeds' range behind it, over optimizer steps; names in the order given. The
    scale is logarithmic where values above 0 span more than `DECADES`."""
    present = set(data["label"])
    least, greatest = (getattr(data[column], which)() or 0.0 for column, which in (("low", "min"), ("high", "max")))
    wide = least > 0 and greatest > 10**DECADES * least
    return line_with_band(
        data,
        group=series("label", title, [label for label in order if label in present]),
        x=number("step", "optimizer steps"),
        mean=number("mean", value, **(LOGARITHMIC if wide else {"scale": NO_ZERO})),
        low="low",
        high="high",
        tooltip=tips(["label"], step=",", mean=".3f", low=".3f", high=".3f", seeds=""),
    )


def contributions(data: pl.DataFrame, *, order: Sequence[str]) -> Spec:
    """Each term's weighted value over steps, a panel for each model, on a logarithmic scale: terms differ
    by orders of magnitude. A term without weight contributes nothing and is left out."""
    data = data.filter(pl.col("value") > 0)
    encoding = {
        "x": number("step", "optimizer steps", axis={"tickCount": 5}),
        "y": number("value", "contribution to the loss", **LOGARITHMIC),
        "tooltip": tips(["term"], step=",", value=".4g"),
        **series("term", "Term", data["term"].unique(maintain_order=True).to_list()),
    }
    return panels(data, "label", {"mark": {"type": "line", "strokeWidth": 2}, "encoding": encoding}, order=order)


def panels(data: pl.DataFrame, by: str, inner: Spec, *, order: Sequence[str]) -> Spec:
    """`inner` for each value of `by`, in the order given, two in a line."""
    if data[by].n_unique() == 1:
        return whole(data, {**inner, "width": WIDTH, "height": HEIGHT, "title": data[by][0]})
    size = {"width": WIDTH // 2 - 20, "height": HEIGHT // 2 + 20}
    return whole(
        data, {"facet": name(by, header={"title": None}, sort=list(order)), "columns": 2, "spec": {**size, **inner}}
    )


def parallel(data: pl.DataFrame, ends: pl.DataFrame, *, value: str) -> Spec:
    """One line a trial over the searched paths, better values brighter, the `best` ones thick and on top;
    `ends` say what the least and the greatest value on each axis are."""
    paths = data["path"].unique(maintain_order=True).to_list()
    x = name("path", None, sort=paths, axis={"labelAngle": -20, "labelLimit": 260, "grid": True})
    quiet = {"labels": False, "ticks": False, "grid": False}
    y = number("position", "least … greatest tried", axis=quiet, scale={"domain": [0, 1], "padding": 16})
    encoding = {
        "x": x,
        "y": y,
        "detail": name("trial"),
        "color": number("value", value, scale={"scheme": {"name": "viridis", "extent": [0, 0.88]}}),
        "tooltip": tips(["trial", "path", "text"], value=".2f"),
    }
    thin = {"type": "line", "strokeOpacity": 0.45, "strokeWidth": 1}
    thick = {"type": "line", "strokeOpacity": 1, "strokeWidth": 3}
    words = {"x": x, "y": y, "text": {"field": "text", "type": "nominal"}}
    layers = [
        {"transform": [{"filter": "!datum.best"}], "mark": thin, "encoding": encoding},
        {"transform": [{"filter": "datum.best"}], "mark": thick, "encoding": encoding},
        *(
            {
                "data": {"values": rows_of(ends.filter(pl.col("position") == place))},
                "mark": {"type": "text", "fontSize": 11, "dy": offset},
                "encoding": words,
            }
            for place, offset in ((0, 9), (1, -9))
        ),
    ]
    return whole(data, {"width": WIDTH, "height": HEIGHT, "layer": layers})


def importances(data: pl.DataFrame) -> Spec:
    """A bar for each searched path with its interval."""
    y = name("path", None, sort=data["path"].to_list(), axis={"labelLimit": 320})
    share = number("importance", "share, with 90 % interval")
    tooltip = tips(["path"], importance=".2f", low=".2f", high=".2f")
    interval = {"y": y, "x": number("low"), "x2": {"field": "high"}, "tooltip": tooltip}
    bar = {"type": "bar", "color": COLOURS[0], "height": {"band": 0.6}}
    return whole(
        data,
        {
            "width": WIDTH - 160,
            "height": max(60, 26 * data.height),
            "layer": [
                {"mark": bar, "encoding": {"y": y, "x": share, "tooltip": tooltip}},
                {"mark": {"type": "rule", "strokeWidth": 3, "color": COLOURS[1]}, "encoding": interval},
            ],
        },
    )


def slice_plots(parts: dict[str, pl.DataFrame], *, value: str, logarithmic: set[str]) -> Spec:
    """A panel for each searched path: value over the path; binned cells show how many trials."""
    plots = []
    for path, data in parts.items():
        numeric = data["x"].dtype.is_numeric()
        scale = {"type": "log"} if path in logarithmic else {"type": "linear", **NO_ZERO}
        scale |= {"nice": False, "padding": 8}
        axis: Spec = {"tickCount": 5, "labelOverlap": "greedy", "labelSeparation": 8}
        if data["x"].dtype.is_integer():
            axis |= {"tickMinStep": 1, "format": "d"}
        elif path in logarithmic:
            axis |= {"labelExpr": "format(datum.value, '~g')"}
        x = number("x", path, scale=scale, axis=axis) if numeric else name("x", path)
        encoding = {
            "x": x,
            "color": name("state", scale={"domain": STATES, "range": [COLOURS[0], COLOURS[1]]}, legend=STATE_LEGEND),
            "shape": name("state", scale={"domain": STATES, "range": ["circle", "cross"]}, legend=STATE_LEGEND),
            "y": number("value", value, scale=NO_ZERO),
            **({"size": number("count", scale={"range": [18, 160]}, legend=None)} if data["count"].max() != 1 else {}),
            "tooltip": [*tips(["trial", "state"]), number("x", path), *tips([], value=".2f", count="")],
        }
        mark = {"type": "point", "filled": True, "opacity": 0.7}
        size = {"width": WIDTH // 2 - 50, "height": HEIGHT // 2}
        plots.append({"data": {"values": rows_of(data)}, "mark": mark, "encoding": encoding, **size})
    return {"$schema": SCHEMA, "concat": plots, "columns": 2}


def pareto(data: pl.DataFrame, *, value: str, cost: str) -> Spec:
    """All trials, and the line of those that no other beats in both."""
    encoding = {
        "x": number("cost", cost, scale=NO_ZERO),
        "y": number("value", value, scale=NO_ZERO),
        "tooltip": tips(["recipe", "trial"], cost=".1f", value=".2f"),
    }
    front = {"encoding": encoding, "transform": [{"filter": "datum.front"}]}
    line = {"type": "line", "color": COLOURS[1], "interpolate": "step-after", "strokeWidth": 2}
    diamond = {"type": "point", "color": COLOURS[1], "filled": True, "size": 70, "shape": "diamond", "opacity": 1}
    return whole(
        data,
        {
            "width": WIDTH,
            "height": HEIGHT,
            "layer": [
                {
                    "mark": {"type": "circle", "fillOpacity": 0.6, "color": COLOURS[6], "size": 30},
                    "encoding": encoding,
                },
                {"mark": line, **front},
                {"mark": diamond, **front},
            ],
        },
    )


def expected(data: pl.DataFrame, *, value: str) -> Spec:
    """Mean of the best of n trials with one standard deviation around it, by recipe."""
    bounds = data.with_columns(
        (pl.col("expected") - pl.col("deviation")).alias("low"),
        (pl.col("expected") + pl.col("deviation")).alias("high"),
    )
    return line_with_band(
        bounds,
        group=series("recipe", "Recipe", data["recipe"].unique(maintain_order=True).to_list()),
        x=number("trials", "trials"),
        mean=number("expected", f"expected best {value}", scale=NO_ZERO),
        low="low",
        high="high",
        tooltip=tips(["recipe"], trials=",", expected=".2f", deviation=".2f"),
    )
