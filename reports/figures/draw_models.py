"""Drawing of the figures over models; the rules are those of `dalr.reports.figures.draw`."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from dalr.reports.figures.draw import (
    COLOURS,
    HEIGHT,
    ROWS,
    WIDTH,
    Spec,
    dimmed,
    panels,
    picked,
    repeated,
    specification,
    tips,
)

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left")


def plane(data: pl.DataFrame, *, order: Sequence[str]) -> Spec:
    """Alignment against uniformity; the lower left is better on both. Models in `order` have a colour and
    a shape of their own, the others are grey."""
    names = list(order)
    x, y = alt.Scale(zero=False, padding=40), alt.Scale(zero=False, padding=25)
    chart = alt.Chart().encode(
        x=alt.X("uniformity", type="quantitative", title="uniformity (lower is better)", scale=x),
        y=alt.Y("alignment", type="quantitative", title="alignment (lower is better)", scale=y),
        tooltip=tips(["label"], alignment=".3f", uniformity=".3f", score=".2f"),
    )
    # Names go below: models lie close together where they are alike, and words would cover each other.
    legend = alt.Legend(title="Model", orient="bottom", columns=2, labelLimit=340, symbolSize=110)
    colours = alt.Scale(domain=names, range=repeated(COLOURS, len(names)))
    shapes = alt.Scale(domain=names, range=repeated(SHAPES, len(names), step=1))
    selection = picked("label")
    others = chart.mark_circle(size=60, color=COLOURS[6], opacity=0.45).transform_filter("!datum.named")
    named = (
        chart.properties(name="models")
        .mark_point(size=110, filled=True)
        .transform_filter("datum.named")
        .encode(
            color=alt.Color("label", type="nominal", legend=legend, scale=colours),
            shape=alt.Shape("label", type="nominal", legend=legend, scale=shapes),
            opacity=dimmed(selection),
        )
        .add_params(selection)
    )
    data = data.with_columns(pl.col("label").is_in(names).alias("named"))
    return specification(alt.layer(others, named, data=ROWS, width=WIDTH, height=HEIGHT), data)


def correlation(data: pl.DataFrame, *, order: list[str]) -> Spec:
    """Rank correlation of every two tasks as colour and as number."""
    chart = alt.Chart().encode(
        x=alt.X("a", type="nominal", title=None, sort=order, axis=alt.Axis(labelAngle=-40)),
        y=alt.Y("b", type="nominal", title=None, sort=order),
    )
    scale = alt.Scale(scheme="blueorange", domain=[-1, 1], reverse=True)
    cells = chart.mark_rect().encode(
        color=alt.Color("correlation", type="quantitative", title="ρ", scale=scale),
        tooltip=tips(["a", "b"], correlation=".2f", models=""),
    )
    dark = alt.when("abs(datum.correlation) > 0.75")
    numbers = chart.mark_text(fontSize=10).encode(
        text=alt.Text("correlation", type="quantitative", format=".2f"),
        color=dark.then(alt.value("white")).otherwise(alt.value("black")),
    )
    size = 46 * data["a"].n_unique()
    return specification(alt.layer(cells, numbers, data=ROWS, width=size, height=size), data)


def similarities(data: pl.DataFrame, *, order: Sequence[str]) -> Spec:
    """Distribution of cosine similarity in each range of gold scores, a panel for each `label`."""
    ranges = data["gold"].unique().sort().to_list()
    brightness = alt.Scale(scheme=alt.SchemeParams(name="viridis", extent=[0.12, 0.88]))
    legend = alt.Legend(orient="bottom", columns=5)
    chart = (
        alt.Chart()
        .mark_area(opacity=0.3, line=True, interpolate="monotone")
        .encode(
            x=alt.X("similarity", type="quantitative", title="cosine similarity"),
            y=alt.Y("density", type="quantitative", stack=None),
            color=alt.Color("gold", type="ordinal", sort=ranges, title="gold score", scale=brightness, legend=legend),
            tooltip=tips(["gold"], similarity=".2f", density=".2f", pairs=""),
        )
    )
    return panels(data, "label", chart, order=order)
