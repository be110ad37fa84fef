"""The documentation as a site: it builds without a warning and without network, names everything that the code has,
and the tutorial's commands do what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dalr.__main__ import COMMANDS, DATA_COMMANDS
from dalr.config.keys import field_at, known_keys, part_of
from dalr.config.recipes import RECIPES
from tests import ROOT

pytestmark = pytest.mark.medium

FENCE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FETCHED = re.compile(r"<(?:script|link|img)[^>]*\s(?:src|href)=\"?https?://")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    built = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return out


def test_the_reference_has_every_key_command_and_recipe(site: Path) -> None:
    keys, commands, recipes = (
        (site / "reference" / f"{name}.html").read_text() for name in ("config", "commands", "recipes")
    )
    values = [key for key in known_keys() if (field := field_at(key)) is not None and part_of(field) is None]
    assert [key for key in values if f"<code>{key}</code>" not in keys] == []
    names = [*(f"dalr {name}" for name in COMMANDS), *(f"dalr data {name}" for name in DATA_COMMANDS)]
    assert [name for name in names if not re.search(rf"<h2[^>]*>{name}<", commands)] == []
    assert [name for name in RECIPES if not re.search(rf"<h2[^>]*>{name}<", recipes)] == []
    assert str(Path.home()) not in recipes, "a page names no folder of the machine that built it"


def test_no_page_asks_another_server_for_anything(site: Path) -> None:
    pages = [page for page in site.rglob("*.html") if "example-report" not in page.parts]
    assert len(pages) > 15
    assert [page.name for page in pages if FETCHED.search(page.read_text())] == []


def test_every_page_that_the_readme_names_is_there() -> None:
    for text in ((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (ROOT / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_tutorial_s_commands_make_its_table(tmp_path: Path) -> None:
    blocks = FENCE.findall((ROOT / "docs" / "tutorial.md").read_text())
    script = "set -euo pipefail\n" + "".join(block for block in blocks if not block.startswith("pip "))
    bin_folder = Path(sys.executable).parent
    environment = {key: value for key, value in ENVIRONMENT.items() if key != "DALR_DATA"}
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "report" / "tables" / "sts.md").read_text()
    plain = re.sub(r"</?u>|\*", "", table)  # the best is bold, the second underlined
    rows = dict(re.findall(r"^\| (DALR|SimCSE) \| 1 \|.*\| ([\d.]+) \|$", plain, re.MULTILINE))
    assert set(rows) == {"DALR", "SimCSE"}, table
    assert all(0 < float(average) < 100 for average in rows.values())
    assert (tmp_path / "report" / "index.html").is_file()
