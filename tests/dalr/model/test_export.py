"""What a run exports is opened by sentence-transformers, with its pooler and the length that the model takes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoModel,
    BertConfig,
    CamembertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ErnieConfig,
    LongformerConfig,
    ModernBertConfig,
    MPNetConfig,
    NystromformerConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

from dalr.evaluation import SentenceEncoder
from dalr.model.loading import position_limit
from dalr.model.student import Student, export

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
WORDS = ["a", "dog", "man", "park", "runs", "sits", "in", "the"]
LENGTH = 40
"""The most tokens that each of the models can take."""

FROM_ZERO = [AlbertConfig, BertConfig, DebertaConfig, DebertaV2Config, ElectraConfig, ErnieConfig, ModernBertConfig]
BEHIND_PADDING = [CamembertConfig, MPNetConfig, RobertaConfig, XLMRobertaConfig]
RELATIVE = {DebertaConfig, DebertaV2Config, ModernBertConfig}
"""Those whose positions are not looked up in a table that ends."""


def configs() -> list[PretrainedConfig]:
    common = {"vocab_size": 5 + len(WORDS), "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    from_zero = [kind(**SIZES, **common, max_position_embeddings=LENGTH) for kind in FROM_ZERO]
    behind = [kind(**SIZES, **common, max_position_embeddings=LENGTH + 2) for kind in BEHIND_PADDING]
    distilbert = DistilBertConfig(
        dim=16, n_layers=1, n_heads=2, hidden_dim=16, **common, max_position_embeddings=LENGTH
    )
    longformer = LongformerConfig(**SIZES, **common, max_position_embeddings=LENGTH + 2, attention_window=8)
    nystromformer = NystromformerConfig(
        **SIZES, **common, max_position_embeddings=LENGTH, segment_means_seq_len=LENGTH, num_landmarks=LENGTH
    )
    return [*from_zero, *behind, distilbert, longformer, nystromformer]


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words, with the padding token where RoBERTa has it, and without a limit of its own."""
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    special = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", mask_token="<mask>", **special)


@pytest.mark.parametrize("config", configs(), ids=lambda config: config.model_type)
def test_sentence_transformers_cuts_where_the_model_ends(config: PretrainedConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    assert position_limit(model) == LENGTH
    if type(config) not in RELATIVE and config.model_type not in ("longformer", "nystromformer"):
        ids = torch.full((1, LENGTH), 6)
        model(input_ids=ids, attention_mask=torch.ones_like(ids))
        longer = torch.full((1, LENGTH + 1), 6)
        with pytest.raises((IndexError, RuntimeError)):  # the limit is no lower than it must be
            model(input_ids=longer, attention_mask=torch.ones_like(longer))
    export(Student(model, "avg"), word_tokenizer(), tmp_path / "model")
    theirs = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert theirs.max_seq_length == LENGTH
    sentences = ["the dog runs in the park " * 40, "a man sits"]
    ours = SentenceEncoder.load(str(tmp_path / "model"), device="cpu")
    assert ours.max_tokens == LENGTH
    np.testing.assert_allclose(ours.encode(sentences), theirs.encode(sentences, show_progress_bar=False), atol=1e-5)


@pytest.mark.parametrize("pooler", ["avg", "cls_before_pooler"])
def test_its_modules_are_those_that_sentence_transformers_makes_of_them(pooler, tmp_path: Path) -> None:
    """Written again by sentence-transformers, the modules mean the same: nothing was lost in reading them."""
    torch.manual_seed(0)
    model = AutoModel.from_config(configs()[1]).eval()
    export(Student(model, pooler), word_tokenizer(), tmp_path / "ours")
    read = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    read.save_pretrained(str(tmp_path / "theirs"), create_model_card=False)
    kinds = [[m["type"].rpartition(".")[2] for m in json.loads((tmp_path / side / "modules.json").read_text())]
             for side in ("ours", "theirs")]  # fmt: skip
    assert kinds[0] == kinds[1] == ["Transformer", "Pooling"]
    pooling = json.loads((tmp_path / "theirs" / "1_Pooling" / "config.json").read_text())
    assert pooling["pooling_mode"] == {"avg": "mean", "cls_before_pooler": "cls"}[pooler]
    assert pooling["embedding_dimension"] == 16
    again = SentenceEncoder.load(str(tmp_path / "theirs"), device="cpu")
    assert (again.pooler, again.max_tokens) == (pooler, LENGTH)
    np.testing.assert_array_equal(
        again.encode(["a dog runs"]), SentenceEncoder.load(str(tmp_path / "ours"), device="cpu").encode(["a dog runs"])
    )


def test_a_tokenizers_own_limit_is_kept_where_it_is_lower(tmp_path: Path) -> None:
    tokenizer = word_tokenizer()
    tokenizer.model_max_length = 16
    export(Student(AutoModel.from_config(configs()[1]), "avg"), tokenizer, tmp_path / "model")
    assert SentenceTransformer(str(tmp_path / "model"), device="cpu").max_seq_length == 16
