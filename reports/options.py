"""What a reader of a report may choose, and what these choices mean for what was loaded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from dalr.errors import InputError, argument, did_you_mean
from dalr.reports.figures.export import FORMATS
from dalr.reports.load.frame import Loaded
from dalr.reports.tables.contrasts import read_plan
from dalr.reports.tables.labels import labels
from dalr.reports.tables.naming import listed, rows_called
from dalr.reports.tables.scores import AGGREGATIONS, OF_MTEB, OWN, SHORT, Aggregation, Averaging
from dalr.results import GROUPS, MTEB


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a report's reader may choose: names of rows, the row that others are tested against, the rows
    whose ablations are shown, the only rows and the only tasks to show (all, where there are none), published
    rows or not, how averages are formed and tasks with subsets scored, figures or none, the formats of their files,
    and the contrasts to test between a sweep's arms (as `read_plan` gives them; empty: those of its specification).
    Rows are given as `rows_called` understands them."""

    names: Mapping[str, str] = field(default_factory=dict)
    baseline: str | None = None
    ablate: Sequence[str] = ()
    only: Sequence[str] = ()
    tasks: Sequence[str] = ()
    hide_published: bool = False
    average: Averaging = "unrounded"
    aggregation: Aggregation = "all"
    with_figures: bool = True
    formats: Sequence[str] = FORMATS
    contrasts: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def checked(
        *,
        names: Mapping[str, str],
        baseline: str | None,
        ablate: Sequence[str],
        average: str,
        aggregation: str,
        with_figures: bool,
        formats: Sequence[str],
        only: Sequence[str] = (),
        tasks: Sequence[str] = (),
        hide_published: bool = False,
        contrasts: Path | None = None,
    ) -> "Options":
        """Options from a user's words.

        Raises:
            InputError: a word that means nothing, or a file without contrasts.
        """
        if average not in ("unrounded", "mean-of-rounded"):
            raise InputError(f"{argument('average')} {average}: expected unrounded or mean-of-rounded")
        kind: Averaging = "unrounded" if average == "unrounded" else "mean-of-rounded"
        scored = next((known for known in AGGREGATIONS if known == aggregation), None)
        if scored is None:
            raise InputError(f"{argument('sts_aggregation')} {aggregation}: expected one of {', '.join(AGGREGATIONS)}")
        files = _listed(formats)
        if not set(files) <= set(FORMATS):
            raise InputError(f"{argument('formats')} {','.join(files)}: expected some of {','.join(FORMATS)}")
        return Options(
            names=dict(names),
            baseline=baseline,
            ablate=_listed(ablate),
            only=_listed(only),
            tasks=_listed(tasks),
            hide_published=hide_published,
            average=kind,
            aggregation=scored,
            with_figures=with_figures,
            formats=[known for known in FORMATS if known in files],
            contrasts=read_plan(contrasts) if contrasts else {},
        )

    @property
    def references(self) -> list[str]:
        """The rows that an ablation table is made for."""
        return list(self.ablate) or ([self.baseline] if self.baseline else [])

    def dump(self) -> dict[str, Any]:
        """Plain values, from which `Options(**values)` makes the same options."""
        return asdict(self)


def _listed(words: str | Sequence[str]) -> list[str]:
    """Each word once; one word by itself is a list of one."""
    return list(dict.fromkeys([words] if isinstance(words, str) else words))


def apply(options: Options, loaded: Loaded) -> tuple[Options, Loaded, dict[str, str]]:
    """The options with rows by their labels (`only`: by their identities) and tasks by their names; what `only`
    leaves of the results; and the labels of its rows.

    Raises:
        InputError: a word of an option fits no row or no task, or several rows where it should be one.
    """
    everything = loaded.sources.values()
    named = labels(everything, options.names)
    shown = named
    if options.only:
        only = list(dict.fromkeys(row for word in options.only for row in _rows(argument("only"), word, named, loaded)))
        loaded = replace(
            loaded,
            sources={name: source for name, source in loaded.sources.items() if source.row in only},
            scores=loaded.scores.filter(pl.col("row").is_in(only)),
        )
        own = labels(everything) if options.names else named
        shown = labels(loaded.sources.values(), {row: named[row] for row in only if named[row] != own[row]})
        options = replace(options, only=only)

    def label(option: str, word: str) -> str:
        """The label of the one row that is called `word`; unknown words as they are, for they are refused later."""
        rows = rows_called(word, shown, loaded.sources.values()) or rows_called(word, named, loaded.sources.values())
        if len(rows) > 1:
            raise InputError(f"{option} {word}: fits several rows; give one of {listed(shown[row] for row in rows)}")
        return shown.get(rows[0], word) if rows else word

    baseline = label(argument("baseline"), options.baseline) if options.baseline else None
    ablate = list(dict.fromkeys(label(argument("ablate"), word) for word in options.ablate))
    return replace(options, baseline=baseline, ablate=ablate, tasks=_tasks(options.tasks, loaded)), loaded, shown


def _rows(option: str, word: str, named: Mapping[str, str], loaded: Loaded) -> list[str]:
    rows = rows_called(word, named, loaded.sources.values())
    if not rows:
        hint = did_you_mean(word, named.values())
        raise InputError(f"{option} {word}: no row has this name{hint} ({listed(named.values())})")
    return rows


def _tasks(words: Iterable[str], loaded: Loaded) -> list[str]:
    """The tasks that words mean: groups, tasks by their names or headings, a user's own and MTEB's."""
    scored = [task for source in loaded.sources.values() for task in source.result.tasks]
    others = [task for task in dict.fromkeys(scored) if task not in GROUPS["all"]]
    groups = {
        OWN: tuple(task for task in others if not task.startswith(MTEB)),
        OF_MTEB: tuple(task for task in others if task.startswith(MTEB)),
    }
    meanings: dict[str, tuple[str, ...]] = {SHORT.get(task, task): (task,) for task in GROUPS["all"]}
    meanings |= {task: (task,) for task in (*GROUPS["all"], *others)} | groups | GROUPS
    for word in words:
        if word not in meanings:
            raise InputError(
                f"{argument('tasks')} {word}: no such task{did_you_mean(word, meanings)}; known: {', '.join(meanings)}"
            )
    return list(dict.fromkeys(task for word in words for task in meanings[word]))
