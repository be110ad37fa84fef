"""Drawing of the figures over models; the rules are those of `dalr.reports.figures.draw`."""

from collections.abc import Sequence

import polars as pl

from dalr.reports.figures.draw import COLOURS, HEIGHT, WIDTH, Spec, name, number, panels, picked, tips, whole

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left")


def plane(data: pl.DataFrame, *, order: Sequence[str]) -> Spec:
    """Alignment against uniformity; the lower left is better on both. Models in `order` have a colour and
    a shape of their own, the others are grey."""
    names = list(order)
    data = data.with_columns(pl.col("label").is_in(names).alias("named"))
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(names))]
    # Names beyond the colours take them again, with another shape.
    shapes = [SHAPES[(index + index // len(COLOURS)) % len(SHAPES)] for index in range(len(names))]
    place = {
        "x": number("uniformity", "uniformity (lower is better)", scale={"zero": False, "padding": 40}),
        "y": number("alignment", "alignment (lower is better)", scale={"zero": False, "padding": 25}),
    }
    # Names go below: models lie close together where they are alike, and words would cover each other.
    legend = {"title": "Model", "orient": "bottom", "columns": 2, "labelLimit": 340, "symbolSize": 110}
    params, opacity = picked("label")
    marks = {
        "color": name("label", legend=legend, scale={"domain": names, "range": colours}),
        "shape": name("label", legend=legend, scale={"domain": names, "range": shapes}),
        "opacity": opacity,
        "tooltip": tips(["label"], alignment=".3f", uniformity=".3f", score=".2f"),
    }
    point = {"type": "point", "size": 110, "filled": True}
    grey = {"type": "circle", "size": 60, "color": COLOURS[6], "opacity": 0.45}
    layers: list[Spec] = [
        {
            "transform": [{"filter": "!datum.named"}],
            "mark": grey,
            "encoding": {**place, "tooltip": marks["tooltip"]},
        },
        {
            "transform": [{"filter": "datum.named"}],
            "params": params,
            "mark": point,
            "encoding": {**place, **marks},
        },
    ]
    return whole(data, {"width": WIDTH, "height": HEIGHT, "layer": layers})


def correlation(data: pl.DataFrame, *, order: list[str]) -> Spec:
    """Rank correlation of every two tasks as colour and as number."""
    size = 46 * data["a"].n_unique()
    place = {
        "x": name("a", None, sort=order, axis={"labelAngle": -40}),
        "y": name("b", None, sort=order),
    }
    scale = {"scheme": "blueorange", "domain": [-1, 1], "reverse": True}
    tooltip = tips(["a", "b"], correlation=".2f", models="")
    dark = {"test": "abs(datum.correlation) > 0.75", "value": "white"}
    text = {"text": number("correlation", format=".2f"), "color": {"condition": dark, "value": "black"}}
    cells = {"color": number("correlation", "ρ", scale=scale), "tooltip": tooltip}
    layers = [
        {"mark": "rect", "encoding": {**place, **cells}},
        {"mark": {"type": "text", "fontSize": 10}, "encoding": {**place, **text}},
    ]
    return whole(data, {"width": size, "height": size, "layer": layers})


def similarities(data: pl.DataFrame, *, order: Sequence[str]) -> Spec:
    """Distribution of cosine similarity in each range of gold scores, a panel for each `label`."""
    ranges = data["gold"].unique().sort().to_list()
    encoding = {
        "x": number("similarity", "cosine similarity"),
        "y": {**number("density"), "stack": None},
        "color": {
            "field": "gold",
            "type": "ordinal",
            "sort": ranges,
            "title": "gold score",
            "scale": {"scheme": {"name": "viridis", "extent": [0.12, 0.88]}},
            "legend": {"orient": "bottom", "columns": 5},
        },
        "tooltip": tips(["gold"], similarity=".2f", density=".2f", pairs=""),
    }
    mark = {"type": "area", "opacity": 0.3, "line": True, "interpolate": "monotone"}
    return panels(data, "label", {"mark": mark, "encoding": encoding}, order=order)
