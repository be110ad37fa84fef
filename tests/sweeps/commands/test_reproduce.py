"""A trial run again: real trainings of a tiny student, in this process."""

import json
from pathlib import Path

import pytest
from typer import Exit

from dalr.errors import InputError
from dalr.sweeps.analysis.outcome import write_outcome
from dalr.sweeps.commands import questions
from dalr.sweeps.commands.explain import folder_of, reproduce
from dalr.sweeps.execution.trial import train_here
from dalr.sweeps.search.snapshot import SweepState, read_state, state_of
from dalr.sweeps.search.spec_file import save_spec
from dalr.sweeps.spec.loading import base_configs, parse_spec
from tests.sweeps.make import coordinator, small_recipe
from tests.sweeps.search import fakes

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> SweepState:
    """Three trials, at least one of them stopped early."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = small_recipe(folder, tiny_bert, steps=12, eval_every=4)
    chosen = parse_spec(
        {
            "recipe": str(recipe),
            "space": {"optim.learning_rate": {"choice": [1e-5, 1e-4, 1e-3]}},
            "sampler": {"name": "grid"},
            "scheduler": {"name": "asha", "grace_steps": 4},
        }
    )
    out = folder / "sweep"
    out.mkdir()
    save_spec(chosen, out)
    search = coordinator(chosen, out, touch=False)
    fakes.work(search, trainer=train_here)
    write_outcome(state_of(search), base_configs(chosen))
    return read_state(out)


def test_every_trial_goes_the_same_way_again(trained: SweepState) -> None:
    assert {trial.state for trial in trained.trials} == {"complete", "pruned"}
    for trial in trained.trials:
        lines, same = reproduce(trained, trial.number, quiet=True)
        assert same, lines
        assert f"{trial.runs[0].steps} steps: the same" in lines[-1]
        assert len(lines) == 1, "no version differs"


def test_it_is_run_and_not_only_read_again(trained: SweepState) -> None:
    reproduce(trained, 0, quiet=True)
    again = trained.out / "reproduced" / "trial-0000-seed-1" / "metrics.jsonl"
    again.write_text("")
    _, same = reproduce(trained, 0, quiet=True)
    assert same
    assert again.read_text()


def test_differences_are_named(trained: SweepState, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(trained, trained.trial(0), trained.trial(0).runs[0])
    notes = json.loads((folder.path / "provenance.json").read_text())
    notes["packages"]["torch"] = "1.0"
    (folder.path / "provenance.json").write_text(json.dumps(notes))
    lines = folder.metrics.read_text().splitlines()
    last = {**json.loads(lines[-1]), "STSBenchmark.dev": 99.0}
    folder.metrics.write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    with pytest.raises(Exit):
        questions.reproduce(trained.out, 0)
    text = capsys.readouterr().out
    assert "torch: 1.0 then, " in text
    assert "NOT the same" in text


def test_a_changed_config_is_refused(trained: SweepState) -> None:
    folder = folder_of(trained, trained.trial(1), trained.trial(1).runs[0])
    text = (folder.path / "config.yaml").read_text()
    (folder.path / "config.yaml").write_text(text.replace("batch_size: 16", "batch_size: 8"))
    with pytest.raises(InputError, match="it was changed"):
        reproduce(trained, 1, quiet=True)
