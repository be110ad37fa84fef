"""Who may import whom: four packages in one direction, rooms downward inside each, no circle of files; and
the help page imports nothing heavy."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests import ROOT

FOLDERS = {"dalr": "dalr", "dalr.cluster": "cluster", "dalr.sweeps": "sweeps", "dalr.reports": "reports"}
"""The packages, by import name, with their folders."""

MAY_IMPORT = {
    "dalr": {"dalr"},
    "dalr.cluster": {"dalr.cluster", "dalr"},
    "dalr.sweeps": {"dalr.sweeps", "dalr.cluster", "dalr"},
    "dalr.reports": {"dalr.reports", "dalr"},
}
REPORTS_MAY_USE = {
    "results",
    "metrics_log",
    "statistics",
    "errors",
    "extras",
    "files",
    "progress",
    "yaml_text",
    "validation",
    "reading",
    "losses.terms",
}
FOREIGN = {
    "dalr": {"ray", "optuna", "polars", "altair", "matplotlib", "plotly"},
    "dalr.reports": {"torch", "ray", "transformers"},
}
DOOR = "dalr.__main__"
"""Mounts the commands of all four packages by name. Nothing imports it."""

FLOORS = {
    "dalr": """
        __main__
        quickstart
        datasets
        tracking
        training
        identity
        evaluation
        data.mixing
        data.features
        data.corpora
        data.saved
        data.store data.rows data.schedule data.pairing
        model losses
        data.batches data.names
        statistics
        results
        datasets.embedded
        data.manifest
        config
        extensions
        losses.terms
        distributed progress provenance logs checksums
        metrics_log
        yaml_text reading
        files
        validation extras help_pages command_table
        errors
    """,
    "dalr.cluster": """
        commands
        api.training
        api.run
        api
        evaluate features
        pool
        train
        session signals failures devices
        jobs
        storage
        preflight
        probe ray_internals driver_node
    """,
    "dalr.sweeps": """
        commands
        api
        display
        execution
        analysis
        search
        spec
    """,
    "dalr.reports": """
        commands
        api watch
        notebook check hub
        write
        build
        page
        arms reproduction
        answer
        tables.ablation tables.finals tables.leaderboard
        options
        tables.contrasts
        tables.arms
        figures
        examples significance
        tables
        load
    """,
}
"""For each package its rooms, from the top floor down. A room imports rooms of lower floors only. A module
belongs to the room whose name fits most of its own, so `data.batches` may lie lower than `data`."""


def modules() -> dict[str, Path]:
    """Every module of the packages by import name."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def names_imported(path: Path) -> set[str]:
    """Every name that a file imports, with its module, also inside functions and under `if TYPE_CHECKING`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by full name"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(name: str, known: Mapping[str, object]) -> str | None:
    """The module that `name` is, or lies in; None for names of other projects."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def package_of(module: str) -> str:
    return max((package for package in FOLDERS if f"{module}.".startswith(f"{package}.")), key=len)


def floor_of(module: str) -> int | None:
    """The number of a module's floor, 0 the highest; None for a package itself."""
    package = package_of(module)
    inside = f"{module[len(package) + 1 :]}."
    rooms = {
        room: number
        for number, line in enumerate(FLOORS[package].split("\n"))
        for room in line.split()
        if inside.startswith(f"{room}.")
    }
    if not rooms and inside != ".":
        pytest.fail(f"{module} is in no room of FLOORS[{package!r}]")
    return rooms[max(rooms, key=len)] if rooms else None


def room_of(module: str) -> str:
    package = package_of(module)
    rooms = [room for room in FLOORS[package].split() if f"{module[len(package) + 1 :]}.".startswith(f"{room}.")]
    return f"{package}.{max(rooms, key=len, default='')}"


MODULES = modules()
IMPORTS: dict[str, set[str]] = {module: names_imported(path) for module, path in MODULES.items()}


def wrong_imports(module: str, names: set[str]) -> Iterator[str]:
    """What is wrong with a module's imports, a line each."""
    package = package_of(module)
    for name in sorted(names):
        if name.split(".")[0] in FOREIGN.get(package, ()):
            yield f"{module} imports {name}, which is not for {package}"
        target = module_of(name, MODULES)
        if target is None or target in FOLDERS:
            continue
        if target == DOOR:
            yield f"{module} imports {DOOR}"
        if package_of(target) not in MAY_IMPORT[package]:
            yield f"{module} imports {target}, against the packages' arrows"
        elif package_of(target) != package:
            if package == "dalr.reports" and not REPORTS_MAY_USE & {target.split(".")[1], target[len("dalr.") :]}:
                yield f"{module} imports {target}; reports may use {sorted(REPORTS_MAY_USE)}"
        elif room_of(target) != room_of(module):
            own, other = floor_of(module), floor_of(target)
            if own is not None and other is not None and other <= own:
                yield f"{module} imports {target}, which is not below it"


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_follow_the_arrows_and_go_down(package: str) -> None:
    own = {module: names for module, names in IMPORTS.items() if package_of(module) == package}
    assert [line for module, names in own.items() for line in wrong_imports(module, names)] == []


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """One circle of modules that import each other, if there is any."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module, names in imports.items():
        graph[module] = {target for name in names if (target := module_of(name, imports))} - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(IMPORTS) == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("dalr.losses.ranking", "dalr.training.loop.train"),
        ("dalr.model.student", "dalr.evaluation.encoder"),
        ("dalr.results", "dalr.sweeps.spec.schema"),
        ("dalr.cluster.storage.mirror", "dalr.cluster.train.train_on_ray"),
        ("dalr.cluster.train", "dalr.sweeps.spec.schema.SweepSpec"),
        ("dalr.sweeps.spec.space", "dalr.sweeps.search.study"),
        ("dalr.reports.load.names", "dalr.reports.tables.scores"),
        ("dalr.reports.build", "dalr.config.schema.RunConfig"),
        ("dalr.reports.build", "torch.nn"),
        ("dalr.losses.ranking", "ray.tune"),
        ("dalr.sweeps.commands.sweep", "dalr.__main__.main"),
    ],
)
def test_an_import_that_is_turned_upward_is_seen(module: str, name: str) -> None:
    assert len(list(wrong_imports(module, {name}))) == 1


def test_a_circle_is_seen() -> None:
    turned = {**IMPORTS, "dalr.files": IMPORTS["dalr.files"] | {"dalr.results.Result"}}
    assert {"dalr.files", "dalr.results"} <= set(circle(turned))


def test_imports_inside_functions_count(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from dalr.sweeps.spec.schema import SweepSpec\n    import ray.tune\n")
    assert names_imported(wrong) == {"dalr.sweeps.spec.schema.SweepSpec", "ray.tune"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are loaded after `code` ran in a fresh interpreter."""
    lines = f"import sys\n{code}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_help_page_imports_nothing_heavy() -> None:
    code = "sys.argv = ['dalr', '--help']\nfrom dalr.__main__ import main\ntry:\n    main()\nexcept SystemExit: pass"
    assert not loaded_by(code) & {"torch", "ray", "transformers", "optuna", "polars", "numpy", "scipy"}


def test_reading_results_needs_no_torch() -> None:
    modules = "dalr.results, dalr.errors, dalr.files, dalr.statistics, dalr.statistics.finals"
    assert not loaded_by(f"import {modules}") & {"torch", "ray", "transformers"}


def test_yaml_is_read_and_written_by_one_module() -> None:
    """PyYAML's own rules are those of YAML 1.1, where `no` is false and `1e-4` is text."""
    users = {module for module, names in IMPORTS.items() if any(name.split(".")[0] == "yaml" for name in names)}
    assert users == {"dalr.yaml_text"}
