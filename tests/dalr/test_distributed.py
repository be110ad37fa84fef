"""Several gloo processes against one: the same loss, the same gradient of every parameter."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from dalr.distributed import (
    barrier,
    broadcast,
    first_reason,
    gather_constant,
    gather_rows,
    rank,
    run_on_all_ranks,
    shard,
    world_size,
)
from tests.dalr.distributed_workers import SIZES, run, worker
from tests.processes import run_workers

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def single() -> dict[str, Tensor]:
    """The answers of one process with the whole batch."""
    return run()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answers of 2 and of 3 workers."""
    folder = tmp_path_factory.mktemp("workers")
    run_workers(worker, (2, 3), str(folder), count=3)
    return folder


@pytest.fixture(params=[2, 3])
def workers(request: pytest.FixtureRequest, folder: Path) -> list[dict[str, Tensor]]:
    """The answers of each worker."""
    return [load_file(folder / f"{request.param}-{number}.safetensors") for number in range(request.param)]


@pytest.mark.parametrize("sizes", ["sized", "asked", "shared"])
def test_loss_and_every_gradient_equal_one_process(
    workers: list[dict[str, Tensor]], single: dict[str, Tensor], sizes: str
) -> None:
    for answers in workers:
        prefix = f"{sizes}."
        ours = {name.removeprefix(prefix): value for name, value in answers.items() if name.startswith(prefix)}
        assert ours.keys() == single.keys()
        for name, expected in single.items():
            assert torch.allclose(ours[name], expected, rtol=1e-6, atol=1e-9), name


def test_the_comparison_covers_every_parameter(single: dict[str, Tensor]) -> None:
    for size in SIZES[:3]:
        gradients = {name.split("grad.")[1] for name in single if name.startswith(f"{size}.paired.grad.")}
        heads = {name.split(".")[0] for name in gradients}
        assert heads == {
            *("body", "head"),
            *("ground_text", "ground_image", "ground_caption"),
            *("align_text", "align_image", "map_image", "map_tokens"),
        }
        assert single[f"{size}.paired.grad.body.0.weight"].abs().max() > 1e-3


def test_collectives(workers: list[dict[str, Tensor]]) -> None:
    own_rows = torch.cat([torch.full((k, 2), float(k)) for k in range(len(workers))])
    for answers in workers:
        assert torch.equal(answers["collective.rows"], own_rows)
        assert torch.equal(answers["collective.constant"], own_rows.long())
        assert answers["collective.mask"].tolist() == [True, False] * (len(own_rows))
        assert answers["collective.nothing"].shape == (0, 2)
        assert answers["collective.shared"].item() == 10
        assert answers["collective.first_reason"].item() == 1
        assert answers["collective.disagreed"].item() == 1
        assert answers["collective.failed"].item() == 1
    assert [answers["collective.each"].item() for answers in workers] == [3 * k for k in range(len(workers))]
    for answers in workers:
        assert answers["collective.refused"].item() == 1


def test_without_a_group_everything_is_the_identity() -> None:
    tensor = torch.ones(3, 2, requires_grad=True)
    barrier()
    assert (rank(), world_size()) == (0, 1)
    assert gather_rows(tensor) is tensor
    assert torch.equal(gather_constant(tensor), tensor)
    assert not gather_constant(tensor).requires_grad
    assert broadcast("x") == "x"
    assert first_reason("stop") == "stop"
    assert run_on_all_ranks(lambda: 5) == 5


@given(n=st.integers(0, 200), world=st.integers(1, 20))
def test_shards_are_contiguous_balanced_and_longer_ones_first(n: int, world: int) -> None:
    parts = [range(n)[shard(n, worker, world)] for worker in range(world)]
    assert [row for part in parts for row in part] == list(range(n))
    sizes = [len(part) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1
