"""What torch compiles of an encoder, and how much it has. Torch's compiler is imported when it is asked for."""

from collections.abc import Iterable

from torch import nn

GRAPHS = 64
"""Graphs of a layer that a process may compile: six a setting at most, for the settings of its trials. Torch's own
limit is 8, and what comes after it computes uncompiled without a word."""


def compile_layers(layers: Iterable[nn.Module]) -> None:
    """Has torch compile each layer when it is first used, for any number of rows and tokens."""
    import torch._dynamo

    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, GRAPHS)
    for layer in layers:
        layer.compile(dynamic=True)


def compiled_graphs() -> int:
    """How many graphs this process has compiled."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
