"""The packages may import each other in one direction only, and the help page imports nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dalr", "cluster", "sweeps", "reports")
MAY_IMPORT = {
    "dalr": {"dalr"},
    "cluster": {"cluster", "dalr"},
    "sweeps": {"sweeps", "cluster", "dalr"},
    "reports": {"reports", "dalr"},
}
REPORTS_MAY_USE = {"dalr.results", "dalr.statistics", "dalr.errors", "dalr.files", "dalr.progress"}
FOREIGN = {
    "dalr": {"ray", "optuna", "polars", "altair", "matplotlib", "plotly"},
    "reports": {"torch", "ray", "transformers"},
}
KNOWS_ALL = Path("dalr/__main__.py")


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions and under `if TYPE_CHECKING`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by full name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found


def files() -> list[Path]:
    return [path.relative_to(ROOT) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", files(), ids=str)
def test_imports_follow_the_arrows(path: Path) -> None:
    package = path.parts[0]
    modules = imports_of(ROOT / path)
    tops = {module.split(".")[0] for module in modules}
    if path != KNOWS_ALL:
        assert tops & set(PACKAGES) <= MAY_IMPORT[package]
        assert "dalr.__main__" not in modules
    assert not tops & FOREIGN.get(package, set())
    if package == "reports":
        from_dalr = {".".join(module.split(".")[:2]) for module in modules if module.startswith("dalr.")}
        assert from_dalr <= REPORTS_MAY_USE


def test_a_wrong_import_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from dalr.sweeps.spec.schema import SweepSpec\n    import ray.tune\n")
    assert {"dalr.sweeps.spec.schema", "ray.tune"} <= imports_of(wrong)


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are loaded after `code` ran in a fresh interpreter."""
    lines = f"import sys\n{code}\nprint(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_help_page_imports_nothing_heavy() -> None:
    code = "sys.argv = ['dalr', '--help']\nfrom dalr.__main__ import main\ntry:\n    main()\nexcept SystemExit: pass"
    assert not loaded_by(code) & {"torch", "ray", "transformers", "optuna", "polars", "numpy", "scipy"}


def test_reading_results_needs_no_torch() -> None:
    assert not loaded_by("import dalr.results, dalr.errors, dalr.files") & {"torch", "ray", "transformers"}
