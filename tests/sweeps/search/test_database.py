"""Where a sweep's study lies: in its folder, whatever that is called."""

from pathlib import Path

import optuna
import pytest

from dalr.sweeps.search.database import close_storage, database_url, open_storage
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
