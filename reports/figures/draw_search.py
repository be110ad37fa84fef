"""Drawing of a search's figures; the rules are those of `dalr.reports.figures.draw`."""

from typing import Any, Literal

import altair as alt
import polars as pl

from dalr.reports.figures.draw import COLOURS, HEIGHT, NO_ZERO, ROWS, WIDTH, Spec, specification, tips

STATES = ["complete", "pruned", "stopped"]
"""The states of trials with a value; the last, by hand, stands in a legend where there is one."""


def parallel(data: pl.DataFrame, ends: pl.DataFrame, *, value: str) -> Spec:
    """One line a trial over the searched paths, better values brighter, the `best` ones thick and on top;
    `ends` say what the least and the greatest value on each axis are."""
    paths = data["path"].unique(maintain_order=True).to_list()
    x = alt.X("path", type="nominal", title=None, sort=paths, axis=alt.Axis(labelAngle=-20, labelLimit=260, grid=True))
    y = alt.Y(
        "position",
        type="quantitative",
        title="least … greatest tried",
        axis=alt.Axis(labels=False, ticks=False, grid=False),
        scale=alt.Scale(domain=[0, 1], padding=16),
    )
    brightness = alt.Scale(scheme=alt.SchemeParams(name="viridis", extent=[0, 0.88]))
    lines = alt.Chart().encode(
        x=x,
        y=y,
        detail=alt.Detail("trial", type="nominal"),
        color=alt.Color("value", type="quantitative", title=value, scale=brightness),
        tooltip=tips(["trial", "path", "text"], value=".2f"),
    )
    words = alt.Chart().encode(x=x, y=y, text=alt.Text("text", type="nominal"))
    layers = [
        lines.mark_line(strokeOpacity=0.45, strokeWidth=1).transform_filter("!datum.best"),
        lines.mark_line(strokeOpacity=1, strokeWidth=3).transform_filter("datum.best"),
        words.mark_text(fontSize=11, dy=9).properties(data=alt.NamedData("least")),
        words.mark_text(fontSize=11, dy=-9).properties(data=alt.NamedData("greatest")),
    ]
    frames = {"rows": data} | {
        name: ends.filter(pl.col("position") == place) for place, name in ((0, "least"), (1, "greatest"))
    }
    return specification(alt.layer(*layers, data=ROWS, width=WIDTH, height=HEIGHT), frames)


def importances(data: pl.DataFrame) -> Spec:
    """A bar for each searched path with its interval."""
    y = alt.Y("path", type="nominal", title=None, sort=data["path"].to_list(), axis=alt.Axis(labelLimit=320))
    chart = alt.Chart().encode(y=y, tooltip=tips(["path"], importance=".2f", low=".2f", high=".2f"))
    bars = chart.mark_bar(color=COLOURS[0], height=alt.RelativeBandSize(0.6))
    share = alt.X("importance", type="quantitative", title="share, with 90 % interval")
    rules = chart.mark_rule(strokeWidth=3, color=COLOURS[1]).encode(x=alt.X("low", type="quantitative"), x2="high")
    size = {"width": WIDTH - 160, "height": max(60, 26 * data.height)}
    return specification(alt.layer(bars.encode(x=share), rules, data=ROWS, **size), data)


def slice_plots(parts: dict[str, pl.DataFrame], *, value: str, logarithmic: set[str]) -> Spec:
    """A panel for each searched path: value over the path; binned cells show how many trials."""
    plots = [_slice(path, data, value, logarithmic=path in logarithmic) for path, data in parts.items()]
    return specification(alt.concat(*plots, columns=2), parts)


def _slice(path: str, data: pl.DataFrame, value: str, *, logarithmic: bool) -> alt.Chart:
    axis = alt.Axis(tickCount=5, labelOverlap="greedy", labelSeparation=8)
    if data["x"].dtype.is_integer():
        axis.tickMinStep, axis.format = 1, "d"
    elif logarithmic:
        axis.labelExpr = "format(datum.value, '~g')"
    scale = alt.Scale(type="log") if logarithmic else alt.Scale(type="linear", zero=False)
    scale.nice, scale.padding = False, 8
    numeric = data["x"].dtype.is_numeric()
    kind: Literal["quantitative", "nominal"] = "quantitative" if numeric else "nominal"
    more: dict[str, Any] = {"scale": scale, "axis": axis} if numeric else {}
    point = alt.Tooltip("x", type=kind, title=path)
    legend = alt.Legend(orient="bottom", title="Trial")
    states = STATES if (data["state"] == "stopped").any() else STATES[:2]
    colours = alt.Scale(domain=states, range=list(COLOURS[: len(states)]))
    shapes = alt.Scale(domain=states, range=["circle", "cross", "square"][: len(states)])
    chart = (
        alt.Chart(alt.NamedData(path))
        .mark_point(filled=True, opacity=0.7)
        .encode(
            x=alt.X("x", type=kind, title=path, **more),
            y=alt.Y("value", type="quantitative", title=value, scale=NO_ZERO),
            color=alt.Color("state", type="nominal", scale=colours, legend=legend),
            shape=alt.Shape("state", type="nominal", scale=shapes, legend=legend),
            tooltip=[
                *tips(["trial", "state"]),
                point,
                *tips([], value=".2f", count=""),
            ],
        )
        .properties(width=WIDTH // 2 - 50, height=HEIGHT // 2)
    )
    if data["count"].max() == 1:
        return chart
    return chart.encode(size=alt.Size("count", type="quantitative", scale=alt.Scale(range=[18, 160]), legend=None))


def pareto(data: pl.DataFrame, *, value: str, cost: str) -> Spec:
    """All trials, and the line of those that no other beats in both."""
    chart = alt.Chart().encode(
        x=alt.X("cost", type="quantitative", title=cost, scale=NO_ZERO),
        y=alt.Y("value", type="quantitative", title=value, scale=NO_ZERO),
        tooltip=tips(["recipe", "trial"], cost=".1f", value=".2f"),
    )
    front = chart.transform_filter("datum.front")
    layers = [
        chart.mark_circle(fillOpacity=0.6, color=COLOURS[6], size=30),
        front.mark_line(color=COLOURS[1], interpolate="step-after", strokeWidth=2),
        front.mark_point(color=COLOURS[1], filled=True, size=70, shape="diamond", opacity=1),
    ]
    return specification(alt.layer(*layers, data=ROWS, width=WIDTH, height=HEIGHT), data)
