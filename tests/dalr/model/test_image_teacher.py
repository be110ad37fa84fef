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
    with pytest.raises(InputError, match=r"and has instead: a$") as error:
        ImageTeacherEncoder(arch, str(tmp_path / "weights.pt"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.model."])
def test_names_behind_wrappers_are_read(arch: str, tmp_path: Path, prefix: str) -> None:
    drawn = ImageTeacherEncoder(arch, "random:3")
    file = tmp_path / "weights.pt"
    torch.save({f"{prefix}{name}": tensor for name, tensor in drawn.model.state_dict().items()}, file)
    read = ImageTeacherEncoder(arch, str(file))
    captions, pixels = ["a dog", "two men"], torch.rand(2, 3, 32, 32)
    assert torch.equal(read.captions(captions, "cpu"), drawn.captions(captions, "cpu"))
    assert torch.equal(read.images(pixels), drawn.images(pixels))


@pytest.mark.parametrize("prefix", ["", "momentum.", "module."])
def test_a_file_that_lacks_tensors_or_has_others_is_refused(arch: str, tmp_path: Path, prefix: str) -> None:
    tensors = ImageTeacherEncoder(arch, "random:3").model.state_dict()
    file = tmp_path / "weights.pt"
    for changed in (
        {name: tensor for name, tensor in tensors.items() if not name.startswith("visual.proj")},
        tensors | {"visual.transformer.resblocks.1.ln_1.weight": torch.zeros(64)},
    ):
        torch.save({f"{prefix}{name}": tensor for name, tensor in changed.items()}, file)
        with pytest.raises(InputError, match="lacks tensors of tiny-clip") as error:
            ImageTeacherEncoder(arch, str(file))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", b"PK\x03\x04cut"]
)
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_file_that_is_none_is_one_line(arch: str, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as error:
        ImageTeacherEncoder(arch, str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("quick", [True, False])
def test_a_tag_brings_the_activation_that_its_weights_were_trained_with(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    """OpenAI's weights of ViT-L-14, the recipes' image teacher, were trained with QuickGELU; open_clip 3
    builds that architecture with GELU and warns."""
    drawn = ImageTeacherEncoder(arch, "random:3")
    torch.save(drawn.model.state_dict(), tmp_path / "weights.pt")
    tag = {"file": str(tmp_path / "weights.pt"), "url": "https://example.org/weights.pt", "quick_gelu": quick}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, arch, {"trained": tag})
    read = ImageTeacherEncoder(arch, "trained")
    reference = open_clip.create_model(arch, pretrained=str(tmp_path / "weights.pt"), force_quick_gelu=quick)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(read.images(pixels), reference.eval().encode_image(pixels))
    assert torch.allclose(read.images(pixels), drawn.images(pixels), atol=1e-3) != quick
    assert ("quick_gelu" in weights_fingerprint(arch, "trained")) == quick


def test_the_recipes_image_teacher_has_the_published_activation() -> None:
    from dalr.config.schema import ImageTeacher

    published = ImageTeacher()
    assert open_clip.get_pretrained_cfg(published.model, published.weights)["quick_gelu"]
    assert "quick_gelu" in weights_fingerprint(published.model, published.weights)
