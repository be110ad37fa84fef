"""A tiny random BERT, written as a model folder, for tests that need a real encoder but no meaning."""

import string
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast, RobertaConfig, RobertaModel

WORDS = (
    "a the two man woman dog cat child girl boy plays runs sits sees red blue green big small ball "
    "park in on with and of is are"
).split()


def write_tiny_bert(folder: Path, *, width: int = 32, layers: int = 2, dropout: float = 0.0, seed: int = 0) -> None:
    """Writes config, weights and tokenizer; `layers` of `width`, 2 heads, at most 64 positions."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = list(string.ascii_lowercase + string.digits + string.punctuation)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *[x for x in letters if x not in WORDS]]
    pieces += [f"##{letter}" for letter in letters]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64)
    config = BertConfig(max_position_embeddings=64, **_shape(len(pieces), width, layers, dropout))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_tiny_roberta(folder: Path, *, width: int = 32, layers: int = 2, dropout: float = 0.0, seed: int = 0) -> None:
    """As `write_tiny_bert`, of RoBERTa's kind: positions are counted from behind the padding's index. Its tokenizer
    is the same."""
    write_tiny_bert(folder)
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    shape = _shape(len(tokenizer), width, layers, dropout)
    config = RobertaConfig(max_position_embeddings=65, pad_token_id=tokenizer.pad_token_id, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = RobertaModel(config)
    model.save_pretrained(folder)


def _shape(words: int, width: int, layers: int, dropout: float) -> dict[str, Any]:
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 2 * width,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
