"""What the update of all word vectors costs a step on the CPU, of which a batch touches a thousand.

AdamW moves and decays every row at every step. The same run as in `test_length_groups`, in processor time, which other
work on the machine disturbs least.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dalr.config.overrides import with_overrides
from dalr.training.optim import make_optimizer, step_unless
from dalr.training.run_folder import RunFolder
from dalr.training.trainer import Run
from tests.benchmarks.test_cached_teachers import config_of

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

ROUNDS = 8


@pytest.mark.parametrize("layers", [2, 6])
def test_the_share_of_a_step(layers: int, real_data: Path, tmp_path: Path) -> None:
    config = with_overrides(
        config_of(real_data, tmp_path, 1),
        {
            "objective.cross_modal": 0,
            "objective.intra_modal": 0,
            "model.max_tokens": 32,
            "model.layers": layers,
            "train.batch_size": 64,
        },
    )
    run = Run.start(config, RunFolder(tmp_path), torch.device("cpu"))
    words = run.student.encoder.get_input_embeddings()
    of_words, kept = make_optimizer([words], config.optim), torch.tensor(False)
    parts: dict[str, Callable[[], object]] = {
        "the step": run.step,
        "clipping": run.clip,
        "AdamW": lambda: step_unless(run.optimizer, kept),
        "AdamW of the word vectors": lambda: step_unless(of_words, kept),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(ROUNDS + 1):
        for name, work in parts.items():
            began = time.process_time()
            work()
            seconds[name].append(time.process_time() - began)
    run.close()
    whole, *others = (statistics.median(values[1:]) for values in seconds.values())
    print(f"\n{layers} layers: a step {whole * 1e3:.0f} ms", end="")
    for name, value in zip(list(parts)[1:], others, strict=True):
        print(f"; {name} {value * 1e3:.1f} ms, {value / whole:.1%}", end="")
    print(f"; {words.num_embeddings:,} word vectors")
    assert others[-1] < 0.15 * whole
