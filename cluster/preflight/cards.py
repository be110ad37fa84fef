"""How much memory a cluster's GPUs have: asked of the cards where they are, else guessed from their type."""

import logging
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

GIB = 2**30
CARD_BYTES = "card_bytes"
"""The entry of a node's resources that holds the memory of its smallest card, where it was asked."""
NODE_ID = "node_id:"
"""The prefix of the entry that names a live node by Ray's id."""

GPU_GIB: dict[str, tuple[float, float]] = {
    "T4": (15, 15), "P100": (11.9, 16), "V100": (15.7, 31.7), "L4": (22, 22), "A10G": (22, 22), "A10": (22, 22),
    "A40": (44, 44), "L40S": (44, 44), "A100": (39, 79), "A100-40G": (39, 39), "A100-80G": (79, 79),
    "H100": (79, 93), "H200": (140, 140), "B200": (178, 178),
}  # fmt: skip
"""Usable GiB of the smallest and the largest card that Ray detects as this type."""
PATIENCE = 30.0
"""Seconds in which cards must answer."""


def card_sizes(node: Mapping[str, float]) -> tuple[int, int] | None:
    """The least and the most bytes that a GPU of a node may have; None where nothing is known of it."""
    if CARD_BYTES in node:
        return int(node[CARD_BYTES]), int(node[CARD_BYTES])
    sizes = [GPU_GIB[kind] for kind in _kinds(node) if kind in GPU_GIB]
    if not sizes:
        return None
    return int(min(least for least, _ in sizes) * GIB), int(max(most for _, most in sizes) * GIB)


def avoiding(nodes: Sequence[Mapping[str, float]], chosen: Sequence[Mapping[str, float]]) -> dict[str, str]:
    """A label selector of Ray's for which of the GPU nodes only those `chosen` are left; empty where none is to be
    avoided, or nothing tells them apart."""
    others = [node for node in nodes if node.get("GPU", 0.0) > 0 and node not in chosen]
    kinds = {kind for node in others for kind in _kinds(node)}
    if not others:
        return {}
    if kinds and not kinds & {kind for node in chosen for kind in _kinds(node)}:
        return {"ray.io/accelerator-type": f"!in({', '.join(sorted(kinds))})"}
    ids = [name.removeprefix(NODE_ID) for node in others for name in node if name.startswith(NODE_ID)]
    return {"ray.io/node-id": f"!in({', '.join(sorted(ids))})"} if ids else {}


def _kinds(node: Mapping[str, float]) -> list[str]:
    return [name.removeprefix("accelerator_type:") for name in node if name.startswith("accelerator_type:")]


def with_card_sizes(nodes: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """The nodes of the connected cluster, each live one that has GPUs with what its cards say."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0)(_smallest_card)
    asked: dict[Any, int] = {}
    for place, node in enumerate(nodes):
        name = next((name for name in node if name.startswith(NODE_ID)), None)
        if name is not None and node.get("GPU", 0.0) > 0:
            strategy = NodeAffinitySchedulingStrategy(name.removeprefix(NODE_ID), soft=False)
            asked[ask.options(scheduling_strategy=strategy).remote()] = place
    result = [dict(node) for node in nodes]
    there, late = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE) if asked else ([], [])
    for reference in late:
        ray.cancel(reference)
    for reference in there:
        try:
            size = ray.get(reference)
        except ray.exceptions.RayError as error:
            logging.getLogger(__name__).warning("a node does not say how large its GPU is: %s", error)
            continue
        if size is not None:
            result[asked[reference]][CARD_BYTES] = float(size)
    return result


def _smallest_card() -> int | None:
    """The memory of this machine's smallest card in bytes, by the driver's own tool: without a CUDA context."""
    words = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, check=True, timeout=20)
        return min(int(line) for line in answer.stdout.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
