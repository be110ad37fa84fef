"""Where a sweep's study lies: in its folder, whatever that is called."""

import re
from pathlib import Path

import optuna
import pytest

from dalr.sweeps.search.database import close_storage, database_url, open_storage, storage_advice
from tests.sweeps.make import spec


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%20b", "a%b", "a b", "a:b", "ä 中", "a&b=c", "a+b", "a{b}", "a@b"])
def test_the_study_lies_in_the_sweeps_folder(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    out.mkdir()
    for count in (1, 2):  # opened again, it is the same
        storage = open_storage(database_url(spec(), out))
        study = optuna.create_study(study_name="x", storage=storage, load_if_exists=True)
        study.tell(study.ask(), 1.0)
        assert len(study.trials) == count
        close_storage(storage)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        f"{name}/study.db"
    ]


@pytest.mark.parametrize(
    ("kind", "nodes", "storage", "advice"),
    [
        ("nfs4", 1, None, r"study\.db is SQLite on a disk of the network \(nfs4\).*give storage=postgresql://"),
        ("lustre", 8, None, r"on a disk of the network \(lustre\)"),
        ("ext4", 8, None, r"8 nodes and the study in SQLite: .*postgresql://"),
        ("ext4", 1, None, None),
        (None, 1, None, None),
        ("nfs4", 8, "postgresql://dalr@db/sweeps", None),
    ],
)
def test_where_a_study_lies_badly_the_preflight_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str | None,
    nodes: int,
    storage: str | None,
    advice: str | None,
) -> None:
    monkeypatch.setattr("dalr.sweeps.search.database.file_system", lambda path: kind)
    sentence = storage_advice(spec(storage=storage), tmp_path, nodes)
    assert (sentence is None) == (advice is None)
    assert advice is None or re.search(advice, str(sentence))
