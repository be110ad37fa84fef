"""Every tensor of an encoder comes from its file, or the model is refused: never random weights in silence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertModel

from dalr.config.schema import ModelConfig
from dalr.errors import InputError
from dalr.evaluation import SentenceEncoder
from dalr.model.loading import load_encoder
from dalr.model.student import make_student
from dalr.model.teachers import TextTeacherEncoder

Rename = Callable[[str], str]


def write_weights(folder: Path, tensors: dict[str, Tensor], form: str) -> None:
    """Weights alone, in one of the forms in which people have them."""
    for old in (*folder.glob("*.safetensors"), *folder.glob("*.bin")):
        old.unlink()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    if form == "safetensors":
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    elif form == "bin":
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save, suffix = {"shards": (save_file, "safetensors"), "bin shards": (torch.save, "bin")}[form]
        stem = "model" if suffix == "safetensors" else "pytorch_model"
        names, index = list(tensors), {}
        for number, part in enumerate((names[::2], names[1::2]), 1):
            file = f"{stem}-{number:05d}-of-00002.{suffix}"
            shard = {name: tensors[name] for name in part}
            options = {"metadata": {"format": "pt"}} if suffix == "safetensors" else {}
            save(shard, folder / file, **options)
            index |= dict.fromkeys(part, file)
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


FORMS = ["safetensors", "bin", "shards", "bin shards"]


@pytest.fixture
def renamed(tiny_bert: Path, tmp_path: Path) -> Callable[..., Path]:
    """Makes a copy of the tiny encoder whose tensors have other names; None for a name leaves it out."""

    def make(rename: Callable[[str], str | None], form: str = "safetensors", **more: Tensor) -> Path:
        folder = tmp_path / "renamed"
        shutil.copytree(tiny_bert, folder)
        tensors = {rename(name): tensor for name, tensor in load_file(tiny_bert / "model.safetensors").items()}
        write_weights(folder, {name: t for name, t in tensors.items() if name is not None} | more, form)
        return folder

    return make


def compiled_layers(name: str) -> str:
    """As torch.compile on each layer, inside FSDP, leaves names."""
    return name.replace(".layer.", ".layer._fsdp_wrapped_module.").replace(".attention.", "._orig_mod.attention.")


RENAMINGS: dict[str, Rename] = {
    "distributed": lambda name: f"module.{name}",
    "compiled": lambda name: f"_orig_mod.{name}",
    "compiled and distributed": lambda name: f"module._orig_mod.{name}",
    "a head's attribute": lambda name: f"bert.{name}",
    "a distributed model with a head": lambda name: f"module.bert.{name}",
    "an attribute that is also the first of the encoder's own names": lambda name: f"encoder.{name}",
    "lightning": lambda name: f"model.encoder.{name}",
    "lightning, with a head": lambda name: f"model.bert.{name}",
    "sentence-transformers": lambda name: f"0.auto_model.{name}",
    "inside names": compiled_layers,
    "inside names and before them": lambda name: f"module.{compiled_layers(name)}",
    "old names of layer norms": lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma"),
}


@pytest.mark.parametrize("rename", RENAMINGS.values(), ids=RENAMINGS.keys())
def test_names_behind_known_wrappers_are_read(tiny_bert: Path, renamed: Callable[..., Path], rename: Rename) -> None:
    expected = BertModel.from_pretrained(tiny_bert).state_dict()
    encoder, _ = load_encoder(str(renamed(rename)))
    read = encoder.state_dict()
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], expected[name]) for name in expected)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_weights_is_read_alike(tiny_bert: Path, renamed: Callable[..., Path], form: str) -> None:
    vectors = SentenceEncoder.load(str(tiny_bert), "cls").encode(["a dog runs"])
    behind = SentenceEncoder.load(str(renamed(lambda name: f"module.{name}", form)), "cls").encode(["a dog runs"])
    assert (vectors == behind).all()


def test_what_is_saved_again_has_the_encoders_own_names(renamed: Callable[..., Path], tmp_path: Path) -> None:
    from dalr.model.student import export

    student, tokenizer = make_student(ModelConfig(student=str(renamed(lambda name: f"module.{name}")), pooler="avg"))
    export(student, tokenizer, tmp_path / "model")
    assert load_file(tmp_path / "model" / "model.safetensors").keys() == student.encoder.state_dict().keys()


REFUSED: dict[str, tuple[Callable[[str], str | None], str]] = {
    "a prefix that says which of several": (lambda name: f"encoder_q.{name}", r"have instead: encoder_q\.emb"),
    "one tensor less": (lambda name: None if name.endswith("1.output.dense.weight") else name, "lack 1 of"),
    "no embeddings": (lambda name: None if name.startswith("embeddings.") else name, r"embeddings\.LayerNorm\.bias"),
    "a layer less": (lambda name: None if ".layer.1." in name else name, r"lack 16 of .*encoder\.layer\.1\."),
    "half of it behind a wrapper": (
        lambda name: f"module.{name}" if ".layer.1." in name else f"other.{name}",
        "have instead",
    ),
    "other names": (lambda name: name.replace("query", "q_proj"), r"attention\.self\.q_proj"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rename", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_missing_is_named(renamed: Callable[..., Path], rename: Rename, message: str, form: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_encoder(str(renamed(rename, form)))
    assert "\n" not in str(error.value)


def test_it_is_refused_as_student_as_teacher_and_in_evaluation(renamed: Callable[..., Path]) -> None:
    folder = str(renamed(lambda name: f"encoder_q.{name}"))
    opened = [
        lambda: make_student(ModelConfig(student=folder)),
        lambda: TextTeacherEncoder(folder, "avg"),
        lambda: SentenceEncoder.load(folder),
    ]
    for door in opened:
        with pytest.raises(InputError, match="lack 37 of the encoder's 37 tensors"):
            door()


def test_two_encoders_in_one_file_are_named(tiny_bert: Path, renamed: Callable[..., Path]) -> None:
    second = {f"student.{name}": tensor for name, tensor in load_file(tiny_bert / "model.safetensors").items()}
    with pytest.raises(InputError, match=r"several encoders \(module\.emb.*student\.emb"):
        load_encoder(str(renamed(lambda name: f"module.{name}", **second)))


def test_layers_that_the_config_does_not_count_are_named(tiny_bert: Path, renamed: Callable[..., Path]) -> None:
    for prefix in ("", "bert."):
        folder = renamed(lambda name, prefix=prefix: prefix + name)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
        with pytest.raises(InputError, match=r"layers that config\.json does not count .*layer\.1\."):
            load_encoder(str(folder))
        shutil.rmtree(folder)


def test_a_shape_that_is_not_the_configs_is_named(renamed: Callable[..., Path]) -> None:
    folder = renamed(lambda name: name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 65}))
    with pytest.raises(InputError, match=r"intermediate\.dense\.bias is \[64\] in its weights, but \[65\]"):
        load_encoder(str(folder))


@pytest.mark.parametrize("form", FORMS)
def test_a_pooler_that_the_file_lacks_is_none_and_cannot_be_asked_for(renamed: Callable[..., Path], form: str) -> None:
    folder = str(renamed(lambda name: None if name.startswith("pooler.") else f"module.{name}", form))
    assert load_encoder(folder)[0].pooler is None
    fingerprints = {SentenceEncoder.load(folder).fingerprint() for _ in range(2)}
    assert len(fingerprints) == 1  # a random pooler would change it with each loading
    with pytest.raises(InputError, match="pooler cls: this model has no pooler layer, or no weights for one"):
        SentenceEncoder.load(folder, "cls")
    with pytest.raises(InputError, match=r"teachers\.text: .* no weights for one"):
        TextTeacherEncoder(folder, "cls")


def test_half_a_pooler_is_refused(renamed: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"lack 1 of .*\(pooler\.dense\.bias\)"):
        load_encoder(str(renamed(lambda name: None if name == "pooler.dense.bias" else name)))


def test_heads_beside_the_encoder_are_left_out(tiny_bert: Path, renamed: Callable[..., Path]) -> None:
    heads = {"mlp.dense.weight": torch.zeros(2, 2), "lm_head.decoder.weight": torch.zeros(3, 2)}
    encoder, _ = load_encoder(str(renamed(lambda name: f"bert.{name}", **heads)))
    assert encoder.state_dict().keys() == load_file(tiny_bert / "model.safetensors").keys()
