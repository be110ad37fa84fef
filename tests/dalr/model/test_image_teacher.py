"""The image teacher is open_clip's model, frozen; its weights come by tag, by file or by seed."""

import logging
from pathlib import Path

import open_clip
import pytest
import torch

from dalr.errors import InputError
from dalr.model.image_teacher import ImageTeacherEncoder, weights_fingerprint
from tests.dalr.model.tiny_clip import register_tiny_clip


@pytest.fixture(scope="module")
def arch(tmp_path_factory: pytest.TempPathFactory) -> str:
    return register_tiny_clip(tmp_path_factory.mktemp("arch"))


def test_random_weights_are_drawn_by_seed(arch: str) -> None:
    state, handlers = torch.get_rng_state(), list(logging.getLogger().handlers)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, again, other = (
        ImageTeacherEncoder(arch, weights).images(pixels) for weights in ("random", "random:0", "random:1")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first.shape, first.dtype, first.requires_grad) == ((2, 16), torch.float32, False)
    assert torch.equal(torch.get_rng_state(), state)  # the run's own draws are not disturbed
    assert logging.getLogger().handlers == handlers
    assert len({weights_fingerprint(arch, weights) for weights in ("random:0", "random", "random:1")}) == 2


def test_a_checkpoint_file_gives_its_weights(arch: str, tmp_path: Path) -> None:
    drawn = ImageTeacherEncoder(arch, "random:3")
    torch.save(drawn.model.state_dict(), tmp_path / "weights.pt")
    loaded = ImageTeacherEncoder(arch, str(tmp_path / "weights.pt"))
    captions = ["a dog", "two men"]
    assert torch.equal(loaded.captions(captions, "cpu"), drawn.captions(captions, "cpu"))
    reference = loaded.model.encode_text(open_clip.get_tokenizer(arch)(captions))
    torch.testing.assert_close(loaded.captions(captions, "cpu"), reference.detach())
    before = weights_fingerprint(arch, str(tmp_path / "weights.pt"))
    torch.save(ImageTeacherEncoder(arch, "random:4").model.state_dict(), tmp_path / "weights.pt")
    assert weights_fingerprint(arch, str(tmp_path / "weights.pt")) != before


def test_it_stays_in_eval_mode(arch: str) -> None:
    teacher = ImageTeacherEncoder(arch, "random").train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize(
    ("model", "weights", "expected"),
    [
        ("ViT-B-23", "random", "did you mean ViT-B-32"),
        ("ViT-B-32", "openay", "did you mean openai"),
        ("ViT-B-32", "random:x", "nor random"),
    ],
)
def test_unknown_names_are_named(model: str, weights: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        ImageTeacherEncoder(model, weights)


def test_weights_of_another_model_are_one_line(arch: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "weights.pt")
    with pytest.raises(InputError, match="cannot be loaded") as error:
        ImageTeacherEncoder(arch, str(tmp_path / "weights.pt"))
    assert "\n" not in str(error.value)
