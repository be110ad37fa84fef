"""From any tree of runs, sweeps and results to one long frame: a row per model, task, seed, metric."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from dalr.errors import InputError
from dalr.progress import track
from dalr.reports.load.discover import Discovery, Problem, discover
from dalr.reports.load.link import RunFinder
from dalr.reports.load.names import Names, absolute, shortened
from dalr.reports.load.runs import Run, disambiguate
from dalr.reports.load.sweeps import points_of_arms, read_sweep, trial_of
from dalr.results import GROUPS, Result, read_result

SCHEMA: dict[str, Any] = {
    "row": pl.String,  # identity of a table's row: setting, pooler and protocol, apart from the seed
    "model": pl.String,  # as the result names it
    "recipe": pl.String,
    "setting": pl.String,  # fingerprint of the settings without the seed, or the model's own identity
    "pooler": pl.String,
    "protocol": pl.String,
    "seed": pl.Int64,
    "task": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "n": pl.Int64,
    "split": pl.String,
    "official_data": pl.Boolean,  # false for a user's own tasks, too
    "source": pl.String,  # the result file, from the given folder's name on
    "run": pl.String,
    "config_fingerprint": pl.String,
    "code_version": pl.String,
    "created": pl.String,
}
FRACTIONS = ("spearman", "pearson", "mean", "weighted_mean")
PERCENT = ("score", "acc", "devacc", "f1")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One result file that was read, and the run it belongs to, where there is one, with the run's name; `arm`
    is the setting of a sweep's comparison that the run is of: its arm's name, and the values searched beside it."""

    name: str
    path: Path
    result: Result
    run: Run | None
    run_name: str | None
    setting: str
    row: str
    seed: int | None
    arm: str | None = None


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """All that a report is made of. `scores` has the columns of `SCHEMA`; `sources` maps the names in
    its `source` column to files; `sweeps` and `runs` are folders, `unscored` the
    names of those runs, of no sweep, that no result belongs to."""

    scores: pl.LazyFrame
    sources: dict[str, Source]
    runs: tuple[Path, ...]
    sweeps: tuple[Path, ...]
    unscored: tuple[str, ...]
    problems: tuple[Problem, ...]
    names: Names


def load(places: Sequence[Path], *, display_names: Sequence[str] | None = None, quiet: bool = True) -> Loaded:
    """Reads every result under `places`. Files that cannot be used are listed in `problems`. `display_names`
    are the names of the places in an earlier report.

    Raises:
        InputError: a place does not exist, or there is nothing in any of them.
    """
    places = [absolute(place) for place in places]
    names = Names(places, display_names)
    discovery = discover(places)
    problems: list[Problem] = []
    read: list[tuple[Path, Result, Run | None]] = []
    finder = RunFinder(discovery.runs, names)
    for path in track(discovery.results, "Reading results", quiet=quiet):
        try:
            result = read_result(path)
        except InputError as error:
            problems.append(Problem(path=names.of(path), message=_without_path(error, path)))
            continue
        read.append((path, result, finder.run_of(path, result)))
    problems += finder.problems
    problems += [
        Problem(path=names.of(folder), message=f"cannot be looked into: {why}") for folder, why in discovery.closed
    ]
    if not read and not problems and discovery.empty:
        listed = ", ".join(str(place) for place in places)
        raise InputError(f"report: nothing to report in {listed}: expected runs, sweeps or result files (*.json)")
    kept, conflicts = _without_conflicts(_with_arms(_sources(read, names), discovery.sweeps))
    problems += conflicts
    problems += _other_data(kept)
    problems += [problem for source in kept for problem in _inconsistent(source)]
    rows = [row for source in kept for row in _rows(source)]
    return Loaded(
        scores=pl.DataFrame(rows, schema=SCHEMA, orient="row").lazy(),
        sources={source.name: source for source in kept},
        runs=tuple(discovery.runs),
        sweeps=tuple(discovery.sweeps),
        unscored=tuple(_unscored(discovery, {run.folder for _, _, run in read if run}, names)),
        problems=tuple(problems),
        names=names,
    )


def _unscored(discovery: Discovery, scored: set[Path], names: Names) -> Iterator[str]:
    for run in discovery.runs:
        if run not in scored and not any(run.is_relative_to(sweep) for sweep in discovery.sweeps):
            yield names.of(run)


def _without_path(error: InputError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")


def _sources(read: Sequence[tuple[Path, Result, Run | None]], names: Names) -> list[Source]:
    runs = {run.folder: run for _, _, run in read if run is not None}
    settled = {run.folder: run for run in disambiguate(list(runs.values()))}
    sources = [_source(path, result, settled[run.folder] if run else None, names) for path, result, run in read]
    seeds: dict[str, set[int | None]] = defaultdict(set)
    for source in sources:
        seeds[source.row].add(source.seed)
    # No step has changed an untrained model: it is the same under every seed, so it is compared with all of them.
    return [
        replace(one, seed=None) if one.run and one.run.untrained and len(seeds[one.row]) == 1 else one
        for one in sources
    ]


def _with_arms(sources: Sequence[Source], sweeps: Sequence[Path]) -> list[Source]:
    """The sources with the arms that their runs are of. A sweep that cannot be read names none, and is named where
    it is reported on."""
    points = {}
    for folder in sweeps:
        with suppress(InputError):
            points[folder] = points_of_arms(read_sweep(folder, folder.name))

    def arm(source: Source) -> str | None:
        found = trial_of(source.run.folder) if source.run else None
        point = points.get(found[0], {}).get(found[1]) if found else None
        return ", ".join(part for part in point if part) if point else None

    return [replace(source, arm=arm(source)) for source in sources]


def _source(path: Path, result: Result, run: Run | None, names: Names) -> Source:
    setting = run.fingerprint if run else _model_identity(result)
    return Source(
        name=names.of(path),
        path=path,
        result=result,
        run=run,
        run_name=names.of(run.folder) if run else None,
        setting=setting,
        row="|".join((setting, result.pooler or "", result.protocol)),
        seed=run.seed if run and run.seed is not None else result.provenance.seed,
    )


def _model_identity(result: Result) -> str:
    """What tells a model that no run made from others: its name, and its fingerprint, or else the
    digits of its whole path, so that two folders of one name stay apart."""
    digits = result.provenance.model_fingerprint
    if digits is None:
        digits = hashlib.sha256(result.model.encode()).hexdigest()[:12] if result.model.startswith(("/", "~")) else ""
    return f"{shortened(result.model)}@{digits}"


def _other_data(sources: Sequence[Source]) -> Iterator[Problem]:
    """Results that were scored on another version of a file than the first one was."""
    first: dict[tuple[bool, str], tuple[str, str]] = {}
    for source in sources:
        made = source.result.provenance
        other = ""
        for file, checksum in made.data.items():
            known, name = first.setdefault((made.official_data, file), (checksum, source.name))
            if known != checksum and not other:
                other = f"scored on another {file} (sha256 {checksum[:12]}…) than {name}; their scores do not compare"
        if other:
            yield Problem(path=source.name, message=other)


def _without_conflicts(sources: list[Source]) -> tuple[list[Source], list[Problem]]:
    """Of several results that score the same task of the same run, the newest (by its own time, then
    by name) counts; the others are named as problems, whether they agree or not."""
    newest_first = sorted(sources, key=lambda one: (one.result.provenance.created or "", one.name), reverse=True)
    taken: dict[tuple[str, int | None, str], Source] = {}
    problems: list[Problem] = []
    dropped: set[str] = set()
    for source in newest_first:
        claims = [(source.row, source.seed, task) for task in source.result.tasks]
        rivals = {taken[claim].name: taken[claim] for claim in claims if claim in taken}
        for rival in rivals.values():
            problems.append(_conflict(source, rival))
        if rivals:
            dropped.add(source.name)
        else:
            taken.update(dict.fromkeys(claims, source))
    return [source for source in sources if source.name not in dropped], problems


def _conflict(source: Source, rival: Source) -> Problem:
    both = set(source.result.tasks) & set(rival.result.tasks)
    differ = [t for t in sorted(both) if source.result.tasks[t].score != rival.result.tasks[t].score]
    what = f"different scores for {', '.join(differ)}" if differ else "the same scores"
    run = source.run.folder.name if source.run else shortened(source.result.model)
    return Problem(
        path=source.name,
        message=f"claims the same run ({run}, seed {source.seed}) as {rival.name}, with {what}; "
        f"only {rival.name} (the newer) is used",
    )


def _inconsistent(source: Source) -> Iterator[Problem]:
    result = source.result
    expected = result.with_averages()
    for name in ("sts_avg", "transfer_avg"):
        stored, computed = getattr(result, name), getattr(expected, name)
        if stored is not None and (computed is None or abs(stored - computed) > 1e-6):
            shown = "tasks are missing" if computed is None else f"its tasks' mean is {computed:.4f}"
            yield Problem(path=source.name, message=f"{name} is {stored:.4f}, but {shown}; the tasks are used")


def _rows(source: Source) -> Iterator[tuple[Any, ...]]:
    result, run = source.result, source.run
    made = result.provenance
    head = (
        source.row,
        shortened(result.model),
        shortened(recipe) if (recipe := (run.recipe if run else None) or made.recipe) else None,
        source.setting,
        result.pooler,
        result.protocol,
        source.seed,
    )
    tail = (
        source.name,
        source.run_name,
        made.config_fingerprint,
        made.code_version,
        made.created,
    )
    own = [task for task in result.tasks if task not in GROUPS["all"]]
    for task in (*GROUPS["all"], *own):
        score = result.tasks.get(task)
        if score is None:
            continue
        official = made.official_data and task not in own
        for metric in (*PERCENT, *FRACTIONS):
            value = getattr(score, metric)
            if value is not None:
                yield (*head, task, metric, value, score.n, score.split, official, *tail)
        for subset, part in (score.subsets or {}).items():
            yield (*head, f"{task}/{subset}", "spearman", part.spearman, part.n, score.split, official, *tail)
    for kind, variants in (("alignment", result.alignment), ("uniformity", result.uniformity)):
        for variant, geometry in variants.items():
            for task, value in {"all": geometry.value, **geometry.tasks}.items():
                yield (*head, task, f"{kind}/{variant}", value, None, None, made.official_data, *tail)
