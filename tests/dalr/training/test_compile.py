"""A compiled encoder: few graphs, and two passes over a batch that drop the same units."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from dalr.errors import Failed
from dalr.model.compiled import compile_layers, compiled_graphs
from dalr.model.student import Groups
from dalr.training import grad_cache, trainer
from dalr.training.grad_cache import compute_gradients
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.dalr.training.objectives import config_for
from tests.tiny import write_tiny_bert

pytestmark = pytest.mark.medium

CPU = torch.device("cpu")
GRAPHS = 6
"""With gradient, without, and in evaluation; each for batches with padding and without."""


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Graphs are made as always, and run by torch's own operations: compiling them would take a minute."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo looks at it
@pytest.mark.parametrize("groups", [2, "packed"])
def test_layers_share_their_graphs_over_shapes_parts_and_evaluation(
    groups: Groups, without_compiler: None, corpora: Path, tmp_path: Path
) -> None:
    """Six layers, batches of pairs and of sentences of many lengths, in parts and groups, and an evaluation: the two
    passes are compared, and equal."""
    write_tiny_bert(tmp_path / "bert", layers=6, dropout=0.1)
    changes = {"train__compile": True, "train__accumulate": 2, "train__length_groups": groups, "train__batch_size": 7}
    run = Run.start(config_for("dalr", corpora, tmp_path / "bert", **changes), RunFolder(tmp_path), CPU)
    assert run.validation is not None
    for _ in range(4):
        run.step()
    assert 0 <= run.validation.score() <= 100
    run.step()
    _, failure = run.read()
    run.close()
    assert failure is None
    assert 1 <= counters["stats"]["unique_graphs"] <= GRAPHS
    assert not counters["graph_break"]


def test_a_second_pass_that_drops_otherwise_is_refused(corpora: Path, tiny_bert: Path, tmp_path: Path) -> None:
    """As if the compiled graph with gradient drew in another order."""
    run = Run.start(config_for("simcse", corpora, tiny_bert, model__dropout=0.3), RunFolder(tmp_path), CPU)
    run.student.train()
    batch = run.prepared_batch(1)
    gradient: Any = partial(
        compute_gradients, run.student, run.objective, batch, run.gradients, parts=2, groups=1, autocast=run.autocast
    )
    with pytest.raises(Failed, match=r"^train\.compile with train\.accumulate > 1: .* is \d+% off the one without"):
        gradient(seed=lambda part: None, compare_passes=lambda: True)
    gradient(seed=torch.manual_seed, compare_passes=lambda: True)
    gradient(seed=lambda part: None, compare_passes=lambda: False)
    gradient(seed=lambda part: None)
    run.close()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_passes_are_compared_whenever_a_step_has_compiled(
    without_compiler: None, corpora: Path, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the first steps alone: another graph comes with the first batch without padding, say."""
    changes = {"train__compile": True, "train__accumulate": 2}
    run = Run.start(config_for("simcse", corpora, tiny_bert, **changes), RunFolder(tmp_path), CPU)
    compared: list[int] = []
    monkeypatch.setattr(grad_cache, "_apart", lambda again, first: compared.append(run.progress.step))
    graphs = [1]
    monkeypatch.setattr(trainer, "compiled_graphs", lambda: graphs[0])
    encode = run.student.forward

    def forward(*words: Any, **options: Any) -> Any:
        if run.progress.step == 4:
            graphs[0] = 2
        return encode(*words, **options)

    monkeypatch.setattr(run.student, "forward", forward)
    for _ in range(6):
        run.step()
    run.close()
    assert compared == [0, 0, 1, 1, 4, 4]


def test_the_settings_of_many_trials_are_compiled_in_one_process(without_compiler: None) -> None:
    """Torch would compute those after the 8th graph of a layer uncompiled, without a word."""

    class Layer(torch.nn.Module):
        def __init__(self, dropout: float) -> None:
            super().__init__()
            self.dropout = dropout

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.dropout(rows, self.dropout)

    for trial in range(12):
        layer = Layer(trial / 20)
        compile_layers([layer])
        layer(torch.ones(2, 3))
    assert compiled_graphs() >= 12
