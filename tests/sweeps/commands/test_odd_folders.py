"""Every question and every request, of folders that hold no sweep, none that has begun, or half of one: a clear line
(an InputError, exit code 2) or the right effect, never anything else."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dalr.errors import InputError
from dalr.sweeps.commands import control
from dalr.sweeps.commands.extend import extend
from dalr.sweeps.commands.questions import best, reproduce, status, why
from dalr.sweeps.search.database import close_storage, database_url, open_storage
from dalr.sweeps.search.snapshot import read_state
from dalr.sweeps.search.spec_file import save_spec
from tests.sweeps.make import coordinator, spec
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium

QUESTIONS: Mapping[str, Callable[[Path], object]] = {
    "status": status,
    "best": best,
    "why": lambda folder: why(folder, 0),
    "reproduce": lambda folder: reproduce(folder, 0),
    "stop": lambda folder: control.stop(folder, 0),
    "pause": lambda folder: control.pause(folder, 0),
    "pause all": control.pause,
    "resume": lambda folder: control.resume(folder, 0),
    "skip": lambda folder: control.skip(folder, 0),
    "add": lambda folder: control.add(folder, ["optim.learning_rate=1e-3"]),
    "set": lambda folder: control.set_values(folder, ["budget.trials=9"]),
    "extend": lambda folder: extend(folder, 0, ["train.steps=20"]),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of two trials."""
    out = tmp_path_factory.mktemp("whole") / "sweep"
    chosen = spec(budget={"trials": 2})
    out.mkdir()
    save_spec(chosen, out)
    storage = open_storage(database_url(chosen, out))
    fakes.work(coordinator(chosen, out, touch=False, storage=storage))
    close_storage(storage)
    return out


def nothing(sweep: Path) -> None:
    shutil.rmtree(sweep)


def no_sweep(sweep: Path) -> None:
    (sweep / "sweep.yaml").unlink()


def broken_spec(sweep: Path) -> None:
    (sweep / "sweep.yaml").write_text("recipe: [")


def other_spec(sweep: Path) -> None:
    (sweep / "sweep.yaml").write_text("recipe: quickstart\nspaec: {}\n")


def never_begun(sweep: Path) -> None:
    (sweep / "study.db").unlink()


def empty_database(sweep: Path) -> None:
    (sweep / "study.db").write_bytes(b"")


def cut_database(sweep: Path) -> None:
    data = (sweep / "study.db").read_bytes()
    (sweep / "study.db").write_bytes(data[: len(data) // 2])


def no_database(sweep: Path) -> None:
    (sweep / "study.db").write_text("not a database, but a text of some length " * 99)


def no_runs(sweep: Path) -> None:
    shutil.rmtree(sweep / "runs")


ANSWERS = {
    nothing: dict.fromkeys(QUESTIONS, "not a sweep's folder"),
    no_sweep: dict.fromkeys(QUESTIONS, "not a sweep's folder"),
    broken_spec: dict.fromkeys(QUESTIONS, "sweep.yaml"),
    other_spec: dict.fromkeys(QUESTIONS, "not a valid sweep specification: unknown key spaec"),
    never_begun: {"pause all": "the sweep has not begun", "add": "the sweep has not begun", "why": "no trial 0"},
    empty_database: {"pause all": "the sweep has not begun", "set": "the sweep has not begun", "extend": "no trial 0"},
    cut_database: dict.fromkeys(QUESTIONS, "storage: cannot "),
    no_database: dict.fromkeys(QUESTIONS, "storage: cannot open"),
    no_runs: {
        "reproduce": "trial 0",
        "stop": "trial 0 has ended (complete): there is nothing to stop",
        "skip": "there is nothing to skip",
        "add": "the budget of 2 trials is used up",
        "extend": "has no checkpoint any more",
    },
}


@pytest.mark.parametrize("damage", ANSWERS, ids=lambda damage: damage.__name__)
def test_a_clear_line_or_the_right_effect(
    damage: Callable[[Path], None], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "WAIT_SECONDS", 0.0)
    told: dict[str, str] = {}
    for question, ask in QUESTIONS.items():
        folder = tmp_path / question.replace(" ", "-")
        shutil.copytree(whole, folder)
        damage(folder)
        try:
            ask(folder)
        except InputError as error:
            told[question] = str(error)
        assert "\n" not in told.get(question, "")
    for question, message in ANSWERS[damage].items():
        assert message in told.get(question, ""), (question, told)


def test_a_lost_specification_lets_no_other_search_in(whole: Path, tmp_path: Path) -> None:
    """The study itself knows which search it belongs to."""
    out = tmp_path / "sweep"
    shutil.copytree(whole, out)
    (out / "sweep.yaml").unlink()
    other = spec(space={"optim.learning_rate": {"log": [1e-6, 1e-2]}}, budget={"trials": 4})
    with pytest.raises(InputError, match="the trials of another search than this specification's"):
        coordinator(other, out, touch=False)
    save_spec(spec(budget={"trials": 4}), out)
    fakes.work(coordinator(spec(budget={"trials": 4}), out, touch=False))
    assert len(read_state(out).trials) == 4, "the same search goes on, with another budget too"
