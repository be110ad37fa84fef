"""Damaged files: whatever stands in them, a report is made of the rest, or one line says what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.reports.damage import RUN, with_change, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


JSON = [f"{RUN}/results/sts.json", f"{RUN}/provenance.json", "out/report.json"]


@pytest.mark.parametrize("path", JSON)
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 5_000])
def test_a_file_of_something_else(project: Path, path: str, content: bytes) -> None:
    with_change(project, path, lambda file: file.write_bytes(content) and None)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("config.yaml", "train", "fast"),
        ("config.yaml", "data", None),
        ("config.yaml", "objective", {"weights": 3}),
        ("provenance.json", "attempts", 5),
        ("provenance.json", "attempts", ["a"]),
        ("provenance.json", "data", ["x"]),
        ("provenance.json", "overrides", "none"),
        ("provenance.json", "former_fingerprints", 7),
    ],
)
def test_a_part_of_another_kind(project: Path, name: str, key: str, value: Any) -> None:
    def change(file: Path) -> None:
        values = yaml.safe_load(file.read_text())
        file.write_text(json.dumps(values | {key: value}))

    with_change(project, f"{RUN}/{name}", change)


@pytest.mark.parametrize("key", ["metric", "direction"])
@pytest.mark.parametrize("value", [None, [], 3, [None], {"a": 1}, [["x"]]])
def test_a_sweep_without_a_metric_or_a_direction_is_left_out(project: Path, key: str, value: Any) -> None:
    def change(file: Path) -> None:
        file.write_text(json.dumps(yaml.safe_load(file.read_text()) | {key: value}))

    with_change(project, "all/s/sweep.yaml", change)
