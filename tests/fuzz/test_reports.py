"""Damaged files of a report, drawn at random: it is made of the rest, or one line says what is wrong. The short version
of each test runs with the others; the long one takes `DALR_FUZZ_SECONDS` (default 20)."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import hypothesis
import polars as pl
import pytest
import yaml
from hypothesis import strategies as st

from tests.fuzz.test_readers import SECONDS, run_for
from tests.reports.damage import RUN, assert_reported, with_change, write_project

pytestmark = pytest.mark.medium

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, float("nan"), float("inf"), -0.0, 1e308]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["two\nlines", "\ud800", "\0", "/etc/x", "2026-01-01"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


TEXTS = [
    f"{RUN}/results/sts.json",
    f"{RUN}/provenance.json",
    f"{RUN}/config.yaml",
    "all/s/sweep.yaml",
    "out/report.json",
]
TABLES = ["all/s/trials.parquet", "all/s/finals.parquet", "all/s/importance.parquet"]
SHORT = hypothesis.settings(
    deadline=None,
    max_examples=6,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
LONG = hypothesis.settings(SHORT, max_examples=40, derandomize=False)


CONTENTS = [b"", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b"[" * 100_000, b"null", b"{}", b"PAR1PAR1"]


def something_else(project: Path, path: str, content: bytes) -> None:
    with_change(project, path, lambda file: file.write_bytes(content) and None)


def another_value(project: Path, data: st.DataObject, path: str, value: Any) -> None:
    file = project / path
    is_yaml = path.endswith(".yaml")
    values = yaml.safe_load(file.read_text()) if is_yaml else json.loads(file.read_text())
    changed = copy.deepcopy(values)
    node, depth = changed, data.draw(st.integers(1, 5))
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if depth == 1 or not isinstance(node[key], dict | list) or not node[key]:
            break
        node, depth = node[key], depth - 1
    node[key] = value
    text = yaml.dump(changed, allow_unicode=False) if is_yaml else json.dumps(changed)
    with_change(project, path, lambda file: file.write_text(text, errors="replace") and None)


def another_column(project: Path, data: st.DataObject, path: str, kind: str) -> None:
    frame = pl.read_parquet(project / path)
    column = data.draw(st.sampled_from(frame.columns))
    changes = {
        "text": lambda: frame.with_columns(pl.lit("x").alias(column)),
        "null": lambda: frame.with_columns(pl.lit(None).alias(column)),
        "nan": lambda: frame.with_columns(pl.lit(float("nan")).alias(column)),
        "drop": lambda: frame.drop(column),
        "empty": lambda: frame.head(0),
    }
    with_change(project, path, lambda file: changes[kind]().write_parquet(file))


FILES = st.sampled_from([*TEXTS, *TABLES, f"{RUN}/metrics.jsonl"])
KINDS = st.sampled_from(["text", "null", "nan", "drop", "empty"])


@SHORT
@hypothesis.given(path=FILES, content=st.sampled_from(CONTENTS))
def test_a_file_of_something_else(project: Path, path: str, content: bytes) -> None:
    something_else(project, path, content)


@SHORT
@hypothesis.given(data=st.data(), path=st.sampled_from(TEXTS), value=VALUES)
def test_a_value_of_something_else(project: Path, data: st.DataObject, path: str, value: Any) -> None:
    another_value(project, data, path, value)


@SHORT
@hypothesis.given(data=st.data(), path=st.sampled_from(TABLES), kind=KINDS)
def test_a_column_of_something_else(project: Path, data: st.DataObject, path: str, kind: str) -> None:
    another_column(project, data, path, kind)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 2 + 600)
@pytest.mark.parametrize("kind", ["file", "value", "column"])
def test_whatever_is_damaged(project: Path, kind: str) -> None:
    @LONG
    @hypothesis.given(st.data())
    def check(data: st.DataObject) -> None:
        if kind == "file":
            something_else(project, data.draw(FILES), data.draw(st.sampled_from(CONTENTS)))
        elif kind == "value":
            another_value(project, data, data.draw(st.sampled_from(TEXTS)), data.draw(VALUES))
        else:
            another_column(project, data, data.draw(st.sampled_from(TABLES)), data.draw(KINDS))

    run_for(SECONDS, check)


def test_details_of_something_else_cost_a_test_alone(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "p")
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY"):
        for task in ("STS12", "STSBenchmark"):
            path = tmp_path / "p" / RUN / "results" / "sts.details" / f"{task}.npz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        assert_reported(tmp_path / "p")
