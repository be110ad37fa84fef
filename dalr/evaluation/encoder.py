"""`SentenceEncoder`: from sentences to vectors, for evaluation. It trains nothing."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dalr.config.fields import poolers
from dalr.errors import InputError
from dalr.evaluation.st_folder import SentenceModules, read_head
from dalr.evaluation.vectors import check_finite
from dalr.extensions import added
from dalr.model.attention import attention_mask_for
from dalr.model.folder import model_path
from dalr.model.loading import load_encoder, position_limit
from dalr.model.pooling import needs_all_layers, pool

TOKENS_A_BATCH = {"cpu": 2048, "cuda": 32768}
"""Padded tokens in one batch. On the CPU larger batches leave the cache, on a GPU smaller ones leave
it idle."""

TOKENISED_AT_ONCE = 8192

HELD_ROWS = 65536
"""Vectors that stay on the device before they are copied, together: each copy waits for the device."""


class TokenBatch(NamedTuple):
    """A batch on the encoder's device: token ids and mask (1 where a token is), int64 [n, L], padded on the
    right; `padded` says whether anything is."""

    input_ids: Tensor
    mask: Tensor
    padded: bool


def _is_text(value: object) -> bool:
    """Whether a value is text that can be written as UTF-8: words of a command line that are not have halves of
    surrogate pairs in them."""
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


_SURROGATE = re.compile("[\ud800-\udfff]")


class SentenceEncoder:
    """A transformer, its tokenizer and a pooler.

    The model stays where it is unless `device` is given, and is not copied: the training loop hands
    in its live student. `pooler` is one of `dalr.config.fields.poolers`, or the modules of a
    sentence-transformers folder. `max_tokens` cuts sentences below the model's own limit (None: only
    there). `normalize` divides each vector by its length. `prompt` stands before every sentence; `lower`
    turns it to lower case.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        pooler: str | SentenceModules = "cls_before_pooler",
        max_tokens: int | None = None,
        device: str | torch.device | None = None,
        normalize: bool = False,
        prompt: str = "",
        lower: bool = False,
        name: str = "",
    ) -> None:
        if isinstance(pooler, str):
            _check_pooler(model, pooler)
        if max_tokens is not None and max_tokens < 2:
            raise InputError(f"max_tokens: {max_tokens} is too few; at least 2")
        self.model = model if device is None else model.to(device)  # type: ignore[arg-type]
        self.tokenizer = tokenizer
        self.normalize, self.prompt, self.lower = normalize, prompt, lower
        self.name = name
        limits = [n for n in (max_tokens, position_limit(model)) if n is not None]
        self.max_tokens = min(limits) if limits else None
        self._pooler = pooler
        if isinstance(pooler, SentenceModules):
            pooler.to(self.device)

    @classmethod
    def load(
        cls,
        name: str,
        pooler: str | None = None,
        *,
        device: str | torch.device | None = None,
        max_tokens: int | None = None,
    ) -> Self:
        """Opens a run's folder, a model folder, a hub name or the packaged small encoder.

        Without `pooler`, a sentence-transformers folder is pooled and normalised as its modules say, with
        its default prompt; another folder by `cls_before_pooler`. `device` defaults to the GPU where there is one.

        Raises:
            InputError: the model cannot be found or read, or the pooler does not fit it.
        """
        name = str(name)
        head = read_head(model_path(name)) if pooler is None and name not in added("text_teacher") else None
        model, tokenizer = load_encoder(name)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        options: dict[str, Any] = {"pooler": pooler or "cls_before_pooler"}
        if head is not None:
            options = {
                "pooler": head.pooler,
                "normalize": head.normalize,
                "prompt": head.prompt,
                "lower": head.lower,
            }
        return cls(model, tokenizer, max_tokens=max_tokens, device=device, name=name, **options)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def pooler(self) -> str:
        """The pooler's name."""
        return self._pooler if isinstance(self._pooler, str) else self._pooler.name

    @property
    def dimension(self) -> int:
        """D, the width of a vector."""
        width = self.model.config.hidden_size
        return self._pooler.width(width) if isinstance(self._pooler, SentenceModules) else width

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """The sentences' vectors, float32 [n, D], rows in the order given.

        Each distinct sentence is encoded once, in batches of about equal token counts, the longest
        first. Modules are in eval mode meanwhile; random generators are left alone.

        Raises:
            InputError: a sentence that is no text; a vector that is not finite.
        """
        if isinstance(sentences, str):
            raise InputError("encode: expected a list of sentences, not one string")
        distinct = list(dict.fromkeys(sentences))
        if others := [text for text in distinct if not _is_text(text)]:
            raise InputError(f"encode: {others[0]!r:.80} is no text, or has bytes in it that are not UTF-8")
        vectors = torch.empty(len(distinct), self.dimension, dtype=torch.float32)
        rows: list[int] = []
        held: list[Tensor] = []
        with evaluating(self.model), torch.inference_mode():
            for places, ids in self.batches(distinct):
                rows += places
                held.append(self.vectors(self.on_device(ids)))
                if len(rows) >= HELD_ROWS:
                    vectors[rows] = torch.cat(held).to("cpu", torch.float32)
                    rows, held = [], []
            if held:
                vectors[rows] = torch.cat(held).to("cpu", torch.float32)
        check_finite(vectors.numpy(), distinct, f"model {self.name}" if self.name else "encoder")
        place = {sentence: row for row, sentence in enumerate(distinct)}
        return vectors.numpy()[[place[sentence] for sentence in sentences]]

    def batches(self, sentences: list[str], budget: int | None = None) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Yields rows and their token ids, longest first, at most `budget` padded tokens each (default:
        what suits the device)."""
        ids: list[list[int]] = []
        for start in range(0, len(sentences), TOKENISED_AT_ONCE):
            ids += self._tokens(sentences[start : start + TOKENISED_AT_ONCE])
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        budget = budget or TOKENS_A_BATCH.get(self.device.type, TOKENS_A_BATCH["cpu"])
        start = 0
        while start < len(order):
            size = max(1, budget // len(ids[order[start]]))
            rows = order[start : start + size]
            yield rows, [ids[row] for row in rows]
            start += size

    def _tokens(self, sentences: list[str]) -> list[list[int]]:
        if self.lower:
            sentences = [sentence.lower() for sentence in sentences]
        if self.prompt:
            sentences = [self.prompt + sentence for sentence in sentences]
        limit = {} if self.max_tokens is None else {"truncation": True, "max_length": self.max_tokens}
        encoded = self.tokenizer(sentences, padding=False, return_attention_mask=False, verbose=False, **limit)
        return encoded["input_ids"]

    def on_device(self, ids: list[list[int]]) -> TokenBatch:
        """The token ids of one batch, longest first, as tensors where the model is."""
        longest = max(1, len(ids[0]))
        padding = self.tokenizer.pad_token_id or 0
        input_ids = torch.full((len(ids), longest), padding, dtype=torch.long)
        mask = torch.zeros(len(ids), longest, dtype=torch.long)
        for row, tokens in enumerate(ids):
            input_ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            mask[row, : len(tokens)] = 1
        return TokenBatch(input_ids.to(self.device), mask.to(self.device), padded=len(ids[-1]) < longest)

    def vectors(self, batch: TokenBatch) -> Tensor:
        """The vectors [n, D] of one batch, on its device, in the mode that the modules are in."""
        every_layer = isinstance(self._pooler, str) and needs_all_layers(self._pooler)
        mask = attention_mask_for(self.model, batch.mask, padded=batch.padded)
        outputs = self.model(input_ids=batch.input_ids, attention_mask=mask, output_hidden_states=every_layer)
        if isinstance(self._pooler, SentenceModules):
            vectors = self._pooler(outputs.last_hidden_state, batch.mask)
        else:
            vectors = pool(outputs, batch.mask, self._pooler)
        return nn.functional.normalize(vectors, dim=-1) if self.normalize else vectors

    def fingerprint(self) -> str:
        """16 hex digits that change with the weights, the tokenizer, the pooler, the token limit, or what is
        done to the text."""
        digest = hashlib.sha256()
        text = [self.prompt, self.lower] if self.prompt or self.lower else []
        modules = [self._pooler.settings] if isinstance(self._pooler, SentenceModules) else []
        digest.update(json.dumps([self.pooler, self.normalize, self.max_tokens, *text, *modules]).encode())
        digest.update(json.dumps(_architecture(self.model), sort_keys=True, default=str).encode())
        digest.update(_tokenizer_state(self.tokenizer).encode())
        states = [self.model.state_dict()]
        if isinstance(self._pooler, SentenceModules):
            states.append(self._pooler.state_dict())
        for state in states:
            for key in sorted(state):
                digest.update(f"{key}{tuple(state[key].shape)}".encode())
                digest.update(state[key].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards every module is in the mode it was in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _check_pooler(model: PreTrainedModel, pooler: str) -> None:
    if pooler not in poolers():
        raise InputError(f"unknown pooler {pooler!r}; known: {', '.join(poolers())}")
    if pooler == "cls" and getattr(model, "pooler", None) is None:
        raise InputError("pooler cls: this model has no pooler layer, or no weights for one; use cls_before_pooler")


def _architecture(model: PreTrainedModel) -> dict[str, Any]:
    """The config's values that can change a vector."""
    values = model.config.to_dict()
    for key in ("transformers_version", "_name_or_path", "dtype", "torch_dtype", "use_cache"):
        values.pop(key, None)
    return values


def _tokenizer_state(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tokenizer as text, without the truncation and padding that calls leave behind in it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps(sorted(tokenizer.get_vocab().items()))
    state = json.loads(backend.to_str())
    state.pop("truncation", None)
    state.pop("padding", None)
    return json.dumps(state, sort_keys=True)
