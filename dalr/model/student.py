"""The encoder being trained, with its projection head, and how it is exported."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput

from dalr.config.schema import ModelConfig, StudentPooler
from dalr.data.batches import Views, rounded_up, shape_step, to_device
from dalr.errors import InputError
from dalr.files import atomic_write
from dalr.model.attention import attention_mask_for
from dalr.model.compiled import compile_layers
from dalr.model.loading import layer_stack, load_encoder, position_limit, quiet_transformers
from dalr.model.packing import Packing, encode_packed, first_position, pack
from dalr.model.pooling import pool
from dalr.model.warm_start import start_from

Groups = int | Literal["packed"]
"""How a batch's rows are encoded: in so many groups of like length, or their tokens packed."""

UNLIMITED = 10**9
"""A tokenizer that knows no limit says a larger number."""


class Student(nn.Module):
    """An encoder, a pooler and the projection head (Linear + tanh, as in SimCSE).

    The encoder's own pooler layer, if it has one, takes no part in training and stays as it was.
    """

    def __init__(self, encoder: PreTrainedModel, pooler: StudentPooler) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooler = pooler
        width = encoder.config.hidden_size
        self.head = nn.Sequential(nn.Linear(width, width), nn.Tanh())
        own_pooler = getattr(encoder, "pooler", None)
        if isinstance(own_pooler, nn.Module):
            own_pooler.requires_grad_(False)

    @property
    def width(self) -> int:
        """D, the width of the sentence vectors."""
        return self.encoder.config.hidden_size

    def checkpoint_activations(self) -> None:
        """Keeps, from now on, of each layer its input alone; the backward pass computes the rest again,
        with the same dropout.

        Raises:
            InputError: the encoder cannot.
        """
        encoder = self.encoder
        # transformers 5.23 renamed the method; its first argument goes to torch.utils.checkpoint.
        enable = getattr(encoder, "activation_checkpointing_enable", None) or encoder.gradient_checkpointing_enable
        try:
            enable({"use_reentrant": False})
        except ValueError as error:
            raise InputError(f"train.activation_checkpointing: {error} Set it to false.") from error

    def compile_layers(self) -> None:
        """Has torch compile the encoder, layer by layer, when it is first used: layers are alike, so that one graph
        serves them all, of any number of rows and tokens."""
        compile_layers(layer_stack(self.encoder) or [self.encoder])

    def pack_tokens(self) -> None:
        """Prepares for being called with `groups="packed"`, too.

        Raises:
            InputError: the encoder does not suit.
        """
        pack(self.encoder)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, *, groups: Groups = 1, lengths: Sequence[int] | None = None
    ) -> Views:
        """Two passes with independent dropout over int64 [B, L]: `Views` of [B, 2, D], float32.

        The rows are encoded in `groups` groups of like length, each cut to its own longest row, so that
        little is computed for padding; both passes of a group run as one batch. Or all at once, `packed`, and
        nothing but attention is computed for padding. The word vectors are
        looked up once for all: their gradient is a matrix as tall as the vocabulary, made once then.

        Args:
            input_ids: the token ids.
            attention_mask: 1 where a token is.
            groups: how many; more than B are B.
            lengths: of each row, the place after its last token. None reads them from the mask, which
                waits for the device.
        """
        lengths = _ends(attention_mask) if lengths is None else lengths
        if groups == "packed":
            both = self._packed(input_ids, attention_mask, lengths)
        else:
            both = self._in_groups(input_ids, attention_mask, lengths, groups)
        both = both.transpose(0, 1)
        return Views(pooled=both.float(), projected=self.head(both).float())

    def _packed(self, input_ids: Tensor, attention_mask: Tensor, lengths: Sequence[int]) -> Tensor:
        """Both passes over the tokens alone: [2, B, D]."""
        device, width = input_ids.device, input_ids.shape[1]
        longest = rounded_up(max(lengths), shape_step(device), width)
        if min(lengths) == longest:
            return self._in_groups(input_ids, attention_mask, lengths, 1)
        packing = Packing.of([*lengths, *lengths], longest, first=first_position(self.encoder), device=device)
        ids = input_ids[:, :longest].flatten().index_select(0, packing.places[: sum(lengths)])
        words = self.encoder.get_input_embeddings()(ids).repeat(2, 1)
        mask = attention_mask[:, :longest].repeat(2, 1)
        states = encode_packed(self.encoder, words, mask, packing)
        return pool(BaseModelOutput(last_hidden_state=states), mask, self.pooler).unflatten(0, (2, -1))

    def _in_groups(self, input_ids: Tensor, attention_mask: Tensor, lengths: Sequence[int], groups: int) -> Tensor:
        """Both passes over the rows in groups of like length: [2, B, D]."""
        device, (size, width) = input_ids.device, input_ids.shape
        order = list(range(size))
        if min(groups, size) > 1:
            order.sort(key=lambda row: -lengths[row])
            longest_first = to_device(torch.tensor(order), device)
            input_ids, attention_mask = input_ids[longest_first], attention_mask[longest_first]
        words = self.encoder.get_input_embeddings()(input_ids)
        pooled: list[Tensor] = []
        rows_each = -(-size // min(groups, size))
        for start in range(0, size, rows_each):
            rows = slice(start, start + rows_each)
            here = [lengths[row] for row in order[rows]]
            longest = rounded_up(max(here), shape_step(device), width)
            pooled.append(self._pooled(words[rows, :longest], attention_mask[rows, :longest], min(here) < longest))
        both = pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)
        if min(groups, size) > 1:
            both = both[:, to_device(torch.tensor(order).argsort(), device)]
        return both

    def _pooled(self, words: Tensor, mask: Tensor, padded: bool) -> Tensor:
        """Both passes over one group's word vectors [b, L, D]: [2, b, D]."""
        mask = mask.repeat(2, 1)
        attention_mask = attention_mask_for(self.encoder, mask, padded=padded)
        outputs = self.encoder(inputs_embeds=words.repeat(2, 1, 1), attention_mask=attention_mask)
        return pool(outputs, mask, self.pooler).unflatten(0, (2, -1))


def _ends(attention_mask: Tensor) -> list[int]:
    """The place after each row's last token."""
    places = torch.arange(1, attention_mask.shape[1] + 1, device=attention_mask.device)
    return (attention_mask * places).amax(1).tolist()


def make_student(config: ModelConfig) -> tuple[Student, PreTrainedTokenizerBase]:
    """The student of a config and its tokenizer. The head's weights are drawn from torch's generator.

    Raises:
        InputError: the model cannot be loaded or cut as asked, or `config.init` is of another architecture.
    """
    encoder, tokenizer = load_encoder(config.student, layers=config.layers, dropout=config.dropout)
    if config.init is not None:
        encoder = start_from(config.init, encoder, tokenizer, dropout=config.dropout)
    return Student(encoder, config.pooler), tokenizer


HEADS = "heads.safetensors"
"""An exported model's file of the objective's heads, which retrieval needs and encoding does not."""


def export(
    student: Student, tokenizer: PreTrainedTokenizerBase, folder: Path, heads: Mapping[str, Tensor] | None = None
) -> None:
    """Writes the encoder, in safetensors, as a folder that `transformers` and `sentence-transformers`
    both open; the latter finds the pooler, and the most tokens that the model takes, in its modules.
    `heads` go into a file of their own, which neither of them reads.

    The modules' files are written here, not by sentence-transformers: importing it costs every run
    5 seconds and 140 MB, and its older releases cannot read what its newest writes. A test holds these
    files against what it makes of them.
    """
    limits = [limit for limit in (position_limit(student.encoder), tokenizer.model_max_length) if limit]
    limit = min(limits) if min(limits) < UNLIMITED else None
    cut = copy.deepcopy(tokenizer)
    cut.model_max_length = limit or tokenizer.model_max_length
    pooling = {
        "word_embedding_dimension": student.width,
        "pooling_mode_cls_token": student.pooler == "cls_before_pooler",
        "pooling_mode_mean_tokens": student.pooler == "avg",
    }
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    with atomic_write(folder) as aside, quiet_transformers():
        # The encoder's own names: those of the file that it was read from may have had a prefix.
        student.encoder.save_pretrained(aside, save_original_format=False)
        cut.save_pretrained(aside)
        if heads:
            save_file({name: value.detach().cpu().contiguous() for name, value in heads.items()}, aside / HEADS)
        (aside / "1_Pooling").mkdir()
        _write(aside / "modules.json", modules)
        _write(aside / "1_Pooling" / "config.json", pooling)
        _write(aside / "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": False})


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
