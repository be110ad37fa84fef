"""A run that is made longer: exact where the rate is constant, another run that says so where it is not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dalr.config.loading import read_config
from dalr.config.overrides import with_overrides
from dalr.config.schema import RunConfig
from dalr.errors import InputError
from dalr.identity import identity_of
from dalr.training.checkpoint_files import steps_saved
from dalr.training.extension import continues
from dalr.training.loop import Outcome, train
from tests.dalr.training.test_loop import DieAfter, StopAfter, losses, same, weights

pytestmark = pytest.mark.medium


def of_length(config: RunConfig, steps: int, **changes: object) -> RunConfig:
    return with_overrides(config, {"train.steps": steps, **{key.replace("__", "."): v for key, v in changes.items()}})


def extend(config: RunConfig, out: Path, **options: object) -> Outcome:
    return train(config, out, quiet=True, extend=True, **options)  # type: ignore[arg-type]


def rates(out: Path) -> list[float]:
    return [json.loads(line)["learning_rate"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def notes(out: Path) -> dict[str, object]:
    return json.loads((out / "provenance.json").read_text())


@pytest.fixture
def constant(small: RunConfig) -> RunConfig:
    """Dropout, a warm-up, and a rate that stays."""
    return with_overrides(small, {"optim.schedule": "constant", "optim.warmup_steps": 2, "model.dropout": 0.1})


@pytest.mark.parametrize("done", [3, 5, 6])
def test_a_constant_rate_extended_is_the_run_made_at_once(done: int, constant: RunConfig, tmp_path: Path) -> None:
    """Finished at 6, or stopped before; all ends are evaluated anyway, every 3 steps."""
    at_once, longer = tmp_path / "at-once", tmp_path / "longer"
    train(of_length(constant, 9), at_once, quiet=True)
    train(of_length(constant, 6), longer, callbacks=[StopAfter(done)] if done < 6 else [], quiet=True)
    outcome = extend(of_length(constant, 9), longer)
    assert (outcome.steps, outcome.finished) == (9, True)
    assert losses(longer) == losses(at_once)
    assert same(weights(longer, 9), weights(at_once, 9))
    assert same(load_file(longer / "model/model.safetensors"), load_file(at_once / "model/model.safetensors"))
    assert read_config(longer / "config.yaml") == of_length(constant, 9)
    assert notes(longer)["config_fingerprint"] == notes(at_once)["config_fingerprint"]
    (extension,) = notes(longer)["extensions"]  # type: ignore[misc]
    assert extension == {
        "step": done,
        "from": {"train.steps": 6},
        "to": {"train.steps": 9},
        "schedule": "constant, as of a run made at once",
        "config_fingerprint": identity_of(of_length(constant, 6)).fingerprint,
    }


def test_an_end_that_was_evaluated_for_itself_stays_in_the_settings(constant: RunConfig, tmp_path: Path) -> None:
    """Step 8 is evaluated because it was the last, so its weights may be the best: a run made at once has no such
    score. The config that says so makes the same run again."""
    train(of_length(constant, 8), tmp_path / "longer", quiet=True)
    extend(of_length(constant, 10), tmp_path / "longer")
    config = read_config(tmp_path / "longer/config.yaml")
    assert [stage.model_dump() for stage in config.train.stages] == [{"until": 8, "steps": 8, "epochs": None}]
    train(config, tmp_path / "again", quiet=True)
    assert (tmp_path / "again/metrics.jsonl").read_text().count("STSBenchmark.dev") == 5  # 3, 6, 8, 9, 10
    assert losses(tmp_path / "again") == losses(tmp_path / "longer")


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("done", [4, 6])
def test_a_falling_rate_is_stretched_from_there_on(schedule: str, done: int, small: RunConfig, tmp_path: Path) -> None:
    config = with_overrides(small, {"optim.schedule": schedule, "model.dropout": 0.1})
    longer, at_once, again = tmp_path / "longer", tmp_path / "at-once", tmp_path / "again"
    train(of_length(config, 6), longer, callbacks=[StopAfter(done)] if done < 6 else [], quiet=True)
    before = rates(longer)
    extend(of_length(config, 9), longer)
    train(of_length(config, 9), at_once, quiet=True)
    assert rates(longer)[:done] == before
    assert rates(longer)[done:] == rates(at_once)[done:]
    assert rates(longer)[:done] != rates(at_once)[:done]
    written = read_config(longer / "config.yaml")
    assert [stage.model_dump() for stage in written.train.stages] == [{"until": done, "steps": 6, "epochs": None}]
    assert notes(longer)["config_fingerprint"] not in (notes(at_once)["config_fingerprint"], None)
    # The config alone makes the same run: what happened is in its settings.
    train(written, again, quiet=True)
    assert losses(again) == losses(longer)
    assert same(weights(again, 9), weights(longer, 9))
    assert notes(again)["config_fingerprint"] == notes(longer)["config_fingerprint"]


def test_epochs_are_extended_likewise_and_twice(small: RunConfig, tmp_path: Path) -> None:
    epochs = with_overrides(small, {"train.epochs": 1, "data.pair_every": None, "objective.cross_modal": 0,
                                    "objective.intra_modal": 0})  # fmt: skip
    first = train(epochs, tmp_path, quiet=True)
    second = extend(with_overrides(epochs, {"train.epochs": 2}), tmp_path)
    third = extend(with_overrides(epochs, {"train.epochs": 3}), tmp_path)
    assert (first.steps, second.steps, third.steps) == (10, 20, 30)
    stages = [stage.model_dump() for stage in read_config(tmp_path / "config.yaml").train.stages]
    assert stages == [{"until": 10, "steps": None, "epochs": 1}, {"until": 20, "steps": None, "epochs": 2}]
    assert len(rates(tmp_path)) == 30
    assert np.argmin(rates(tmp_path)[:10]) == 9
    with pytest.raises(InputError, match=r"30 steps are done; train\.steps=25 asks for no more"):
        extend(with_overrides(epochs, {"train.steps": 25}), tmp_path)
    assert read_config(tmp_path / "config.yaml").train.epochs == 3


def test_a_killed_extension_goes_on_by_the_same_command(small: RunConfig, tmp_path: Path) -> None:
    config = with_overrides(small, {"model.dropout": 0.1})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for out in (whole, killed):
        train(of_length(config, 6), out, quiet=True)
    extend(of_length(config, 12), whole)
    for step in (7, 11):
        with pytest.raises(RuntimeError, match="killed"):
            extend(of_length(config, 12), killed, callbacks=[DieAfter(step)])
    assert extend(of_length(config, 12), killed).finished
    assert losses(killed) == losses(whole)
    assert same(weights(killed, 12), weights(whole, 12))
    assert len(notes(killed)["extensions"]) == 1  # type: ignore[arg-type]
    before = (killed / "metrics.jsonl").read_text()
    assert extend(of_length(config, 12), killed).finished  # nothing is left to do
    assert (killed / "metrics.jsonl").read_text() == before


def test_what_the_shorter_run_came_to_is_kept_aside(small: RunConfig, tmp_path: Path) -> None:
    """Its results are of another model: none may be taken for the longer run's."""
    train(of_length(small, 6), tmp_path, quiet=True)
    (tmp_path / "results").mkdir(exist_ok=True)
    (tmp_path / "results/sts.json").write_text("{}")
    model = load_file(tmp_path / "model/model.safetensors")
    with pytest.raises(RuntimeError, match="killed"):
        extend(of_length(small, 12), tmp_path, callbacks=[DieAfter(7)])
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "results").exists()
    aside = tmp_path / "checkpoints/before-extension-1"
    assert same(load_file(aside / "model/model.safetensors"), model)
    assert (aside / "results/sts.json").is_file()
    assert "finished" not in notes(tmp_path)
    assert notes(tmp_path)["former_fingerprints"] == []
    assert steps_saved(tmp_path / "checkpoints")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.steps": 4}, r"train\.steps was 6, is 4: extend=True makes a run longer, never shorter"),
        ({"train.steps": 9, "train.seed": 2}, r"another run; train\.seed was 1, is 2; choose"),
        ({"train.steps": 9, "optim.schedule": "constant"}, r"optim\.schedule was 'linear', is 'constant'"),
        ({"train.steps": 9, "train.stages": [{"until": 2, "steps": 3}]}, r"train\.stages is what extend=True writes"),
    ],
)
def test_another_run_is_refused(changes: dict[str, object], words: str, small: RunConfig, tmp_path: Path) -> None:
    train(of_length(small, 6), tmp_path, quiet=True)
    files = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}
    with pytest.raises(InputError, match=words):
        extend(with_overrides(small, changes), tmp_path)
    assert {path: path.read_bytes() for path in files} == files


def test_without_the_option_the_error_names_it(small: RunConfig, tmp_path: Path) -> None:
    train(of_length(small, 6), tmp_path, quiet=True)
    with pytest.raises(InputError, match=r"train\.steps was 6, is 9; add extend=True to train it on"):
        train(of_length(small, 9), tmp_path, quiet=True)


def test_a_sweeps_run_is_extended_in_a_copy_only(small: RunConfig, tmp_path: Path) -> None:
    run = tmp_path / "sweep/runs/trial-0000-seed-1"
    train(of_length(small, 3), run, quiet=True)
    (tmp_path / "sweep/sweep.yaml").write_text("recipe: dalr\n")
    with pytest.raises(InputError, match="copy the folder, and extend the copy"):
        extend(of_length(small, 6), run)


def test_which_checkpoints_a_longer_run_goes_on_from(small: RunConfig) -> None:
    short, stages = of_length(small, 6), [{"until": 6, "steps": 6}]
    longer = of_length(small, 9, train__stages=stages)
    longest = of_length(small, 20, train__stages=[*stages, {"until": 9, "steps": 9}])
    for step in (1, 3, 6):
        assert continues(short, longer, step)
        assert continues(short, longest, step)
    assert continues(longer, longest, 9)
    assert not continues(of_length(small, 9), longer, 3)
    assert not continues(short, of_length(small, 9, train__stages=[{"until": 3, "steps": 6}]), 6)
    still = [with_overrides(config, {"optim.schedule": "constant"}) for config in (of_length(small, 9), longer)]
    assert continues(*still, 9)


def test_a_moments_state_is_restored(constant: RunConfig, tmp_path: Path) -> None:
    """Adam's moments and step counts are those of the longer run, not those of a new optimizer."""
    train(of_length(constant, 6), tmp_path, quiet=True)
    extend(of_length(constant, 9), tmp_path)
    state = torch.load(tmp_path / "checkpoints/step-000009/optimizer.pt", weights_only=True)
    assert {int(entry["step"]) for entry in state["state"].values()} == {5, 9}  # some take part in paired steps alone
