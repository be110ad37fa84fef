"""Drawing, thinly: from a figure's data to a Vega-Lite specification, by Altair. What is shown is chosen elsewhere.

Colours are Okabe and Ito's, told apart by colour-blind eyes; dashes and shapes repeat what colours
say, so that a print in grey is still readable.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl
import polars.selectors as cs

Spec = dict[str, Any]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 1], [12, 2, 4, 2])
WIDTH, HEIGHT = 560, 300
MOST_POINTS_MARKED = 25
DECADES = 1.5
ROWS = alt.NamedData("rows")
"""Stands for a figure's data while Altair checks the chart: rows need no check, and there are many."""
NO_ZERO = alt.Scale(zero=False)
LOGARITHMIC: dict[str, Any] = {
    "scale": alt.Scale(type="log"),
    "axis": alt.Axis(labelExpr="format(datum.value, '~g')", tickCount=5, labelOverlap="greedy", labelSeparation=4),
}


def specification(chart: alt.TopLevelMixin, data: pl.DataFrame | Mapping[str, pl.DataFrame]) -> Spec:
    """The chart in Vega-Lite's JSON with the rows themselves, in their order, in the place of `ROWS`, or of the
    named data that `data` maps to frames."""
    frames = {"rows": data} if isinstance(data, pl.DataFrame) else data
    spec = chart.to_dict()
    del spec["config"]  # Altair's theme: the page and the files for papers have their own

    def fill(node: Any) -> None:
        for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            fill(inner)
        if isinstance(node, dict) and isinstance(node.get("data"), dict):
            node["data"] = {"values": rows_of(frames[node["data"]["name"]])}

    fill(spec)
    return spec


def rows_of(data: pl.DataFrame) -> list[Spec]:
    """The rows in plain values, rounded to 7 digits, with null where a number is not finite."""
    numbers = cs.float()
    finite = data.with_columns(pl.when(numbers.is_finite()).then(numbers.round_sig_figs(7)))
    return finite.to_dicts()


def tips(names: Sequence[str], **formats: str) -> list[alt.Tooltip]:
    """A tooltip of names and of numbers with their formats."""
    numbers = [alt.Tooltip(field, type="quantitative", format=text) for field, text in formats.items()]
    return [*(alt.Tooltip(field, type="nominal") for field in names), *numbers]


def repeated(values: Sequence[Any], count: int, *, step: int = 0) -> list[Any]:
    """`count` of the values; beyond their number again from the first, each time `step` places further on."""
    return [values[(index + step * (index // len(COLOURS))) % len(values)] for index in range(count)]


def series(field: str, title: str, names: Sequence[str]) -> dict[str, Any]:
    """Colour and dash by `field`, in the order of `names`. Names beyond the colours take them again, with
    another dash."""
    legend = alt.Legend(
        title=title,
        orient="bottom",
        columns=2,
        labelLimit=340,
        symbolType="stroke",
        symbolOpacity=1,
        symbolStrokeWidth=2.5,
        symbolSize=300,
    )
    colours = alt.Scale(domain=list(names), range=repeated(COLOURS, len(names)))
    dashes = alt.Scale(domain=list(names), range=repeated(DASHES, len(names), step=1))
    return {
        "color": alt.Color(field, type="nominal", scale=colours, legend=legend),
        "strokeDash": alt.StrokeDash(field, type="nominal", scale=dashes, legend=legend),
    }


def picked(field: str) -> alt.Parameter:
    """A click on the legend lifts out one name of `field`."""
    return alt.selection_point(name="picked", fields=[field], bind="legend")


def dimmed(selection: alt.Parameter, opacity: float = 1.0) -> Any:
    """`opacity` for what is selected, and next to nothing for the rest."""
    return alt.when(selection).then(alt.value(opacity)).otherwise(alt.value(0.08))


def line_with_band(
    data: pl.DataFrame, *, x: alt.X, mean: str, y: dict[str, Any], colours: dict[str, Any], few: bool, tooltip: Any
) -> Spec:
    """Lines of the column `mean` over a lighter band around each, from the column `low` to `high`; `y` says more of
    their axis. Where the places on the x axis are `few`, each has a point."""
    selection = picked(colours["color"].shorthand)
    band = (
        alt.Chart().mark_area().encode(x=x, y=alt.Y("low", type="quantitative", **y), y2="high", color=colours["color"])
    )
    line = alt.Chart(name="lines").mark_line(
        strokeWidth=2, point=alt.OverlayMarkDef(size=28, strokeWidth=0) if few else False
    )
    layers = (
        band.encode(fillOpacity=dimmed(selection, 0.17)),
        line.encode(
            x=x, y=alt.Y(mean, type="quantitative", **y), tooltip=tooltip, opacity=dimmed(selection), **colours
        ).add_params(selection),
    )
    return specification(alt.layer(*layers, data=ROWS, width=WIDTH, height=HEIGHT), data)


def curves(data: pl.DataFrame, *, value: str, order: Sequence[str], title: str = "Model") -> Spec:
    """Mean over seeds with the seeds' range behind it, over optimizer steps; names in the order given. The
    scale is logarithmic where values above 0 span more than `DECADES`."""
    present = set(data["label"])
    least, greatest = (getattr(data[column], which)() or 0.0 for column, which in (("low", "min"), ("high", "max")))
    wide = least > 0 and greatest > 10**DECADES * least
    return line_with_band(
        data,
        x=alt.X("step", type="quantitative", title="optimizer steps"),
        mean="mean",
        y={"title": value, **(LOGARITHMIC if wide else {"scale": NO_ZERO})},
        colours=series("label", title, [label for label in order if label in present]),
        few=data["step"].n_unique() <= MOST_POINTS_MARKED,
        tooltip=tips(["label"], step=",", mean=".3f", low=".3f", high=".3f", seeds=""),
    )


def expected(data: pl.DataFrame, *, value: str) -> Spec:
    """Mean of the best of n trials with one standard deviation around it, by recipe."""
    spread = {"low": pl.col("expected") - pl.col("deviation"), "high": pl.col("expected") + pl.col("deviation")}
    return line_with_band(
        data.with_columns(**spread),
        x=alt.X("trials", type="quantitative", title="trials"),
        mean="expected",
        y={"title": f"expected best {value}", "scale": NO_ZERO},
        colours=series("recipe", "Recipe", data["recipe"].unique(maintain_order=True).to_list()),
        few=data["trials"].n_unique() <= MOST_POINTS_MARKED,
        tooltip=tips(["recipe"], trials=",", expected=".2f", deviation=".2f"),
    )


def contributions(data: pl.DataFrame, *, order: Sequence[str]) -> Spec:
    """Each term's weighted value over steps, a panel for each model, on a logarithmic scale: terms differ
    by orders of magnitude. A term without weight contributes nothing and is left out."""
    data = data.filter(pl.col("value") > 0)
    chart = (
        alt.Chart()
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("step", type="quantitative", title="optimizer steps", axis=alt.Axis(tickCount=5)),
            y=alt.Y("value", type="quantitative", title="contribution to the loss", **LOGARITHMIC),
            tooltip=tips(["term"], step=",", value=".4g"),
            **series("term", "Term", data["term"].unique(maintain_order=True).to_list()),
        )
    )
    return panels(data, "label", chart, order=order)


def panels(data: pl.DataFrame, by: str, chart: alt.Chart, *, order: Sequence[str]) -> Spec:
    """The chart for each value of `by`, in the order given, two in a line."""
    if data[by].n_unique() == 1:
        return specification(chart.properties(data=ROWS, width=WIDTH, height=HEIGHT, title=str(data[by][0])), data)
    facet = alt.Facet(by, type="nominal", header=alt.Header(title=None), sort=list(order))
    small = chart.properties(width=WIDTH // 2 - 20, height=HEIGHT // 2 + 20)
    return specification(small.facet(facet, data=ROWS, columns=2), data)
