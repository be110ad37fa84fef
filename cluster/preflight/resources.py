"""Preflight: what a run asks of the cluster against what the cluster has, before anything starts.

Ray waits for ever where a request can never be met, so a run that does not fit must be refused with
a reason. What counts is not the sum but the packing: a worker's bundle lies on one node.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dalr.cluster.preflight.cards import GIB, NODE_ID, avoiding, card_sizes, with_card_sizes
from dalr.cluster.preflight.memory import MemoryEstimate, encoder_config, estimate_memory
from dalr.config.schema import RunConfig
from dalr.data.features.needs import needs_of
from dalr.errors import InputError, NotEnoughResources, argument

Resources = Mapping[str, float]
"""Ray's names and amounts: `{"CPU": 4, "GPU": 0.5, "memory": 8e9}`; memory is in bytes."""

AUTOSCALES_TO = "DALR_AUTOSCALES_TO"
"""The environment variable in which a cluster that grows on demand says which workers it may start:
a JSON list such as `[{"count": 8, "CPU": 7, "GPU": 1, "memory": 30000000000}]`. Ray itself only knows
the nodes that run now."""

UNKNOWN = float(2**60)  # bytes; a node that does not say how much memory it has is not held against a run

RESOURCE_RESOLUTION = 10_000  # Ray counts resources in ten-thousandths; so do we: as floats, 0.9 / 0.3 is less than 3


@dataclass(frozen=True)
class Shortage:
    """One resource of which the cluster has too little. `asked` and `available` are totals in Ray's
    units; `reason` says how they compare, node by node where that matters; `remedy` what would fit."""

    resource: str
    asked: float
    available: float
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"not enough {self.resource}: {self.reason}; {self.remedy}"


def _units(amount: float) -> int:
    return round(amount * RESOURCE_RESOLUTION)


def _needs(bundle: Resources) -> dict[str, float]:
    return {name: amount for name, amount in bundle.items() if _units(amount) > 0}


def bundles_on(node: Resources, bundle: Resources, limit: int) -> int:
    """How many of `bundle` one node holds, at most `limit`."""
    return min([limit, *(_room(node.get(name, 0.0), name, amount) for name, amount in _needs(bundle).items())])


def _room(there: float, name: str, amount: float) -> int:
    """How often an amount fits into what is there. A fraction of a GPU lies on one card."""
    if name == "GPU" and amount < 1:
        return int(there) * (_units(1.0) // _units(amount)) + _units(there - int(there)) // _units(amount)
    return _units(there) // _units(amount)


def most_workers(bundle: Resources, nodes: Sequence[Resources], driver: Resources, limit: int) -> int:
    """How many worker bundles fit beside one driver bundle, at most `limit`; -1 where not even the
    driver fits. Exact: all workers are alike, and the one driver is tried on every node."""
    room = [bundles_on(node, bundle, limit) for node in nodes]
    if not _needs(driver):
        return min(limit, sum(room))
    best = -1
    for place, node in enumerate(nodes):
        if bundles_on(node, driver, 1):
            left = {name: amount - driver.get(name, 0.0) for name, amount in node.items()}
            best = max(best, sum(room) - room[place] + bundles_on(left, bundle, limit))
    return min(limit, best)


def missing_resources(
    bundle: Resources, workers: int, nodes: Sequence[Resources], driver: Resources | None = None
) -> Shortage | None:
    """Whether `workers` bundles and a driver's bundle fit on nodes with these totals.

    Args:
        bundle: what one worker asks; it must lie on one node.
        nodes: each node's total resources.
        driver: what the driver (a trial's own process, a controller) reserves besides; None: nothing.

    Returns:
        None where everything fits, else the first resource that is short: in sum; in whole bundles,
        node by node; or only in combination with another one.
    """
    driver = driver or {}
    fitting = most_workers(bundle, nodes, driver, workers)
    if fitting >= workers:
        return None
    remedy = _remedy(bundle, nodes, fitting)
    names = sorted({*_needs(bundle), *_needs(driver)}, key=lambda name: (name != "GPU", name))
    for name in names:
        asked = workers * bundle.get(name, 0.0) + driver.get(name, 0.0)
        total = sum(node.get(name, 0.0) for node in nodes)
        if _units(total) < _units(asked):
            reason = f"{_request(bundle, workers, driver, name)}, and the cluster has {amount(name, total)} in all"
            return Shortage(name, asked, total, reason, remedy)
    for name in names:
        one, alone = {name: bundle.get(name, 0.0)}, {name: driver.get(name, 0.0)}
        usable = most_workers(one, nodes, alone, workers)
        if usable < workers:
            asked = workers * one[name] + alone[name]
            each = ", ".join(amount(name, node.get(name, 0.0)) for node in nodes)
            reason = (
                f"{_request(bundle, workers, driver, name)}; a worker lies on one node, and the nodes have {each}, "
                f"room for {max(usable, 0)} of {workers} workers"
            )
            return Shortage(name, asked, max(usable, 0) * one[name], reason, remedy)
    together = " and ".join(amount(name, bundle.get(name, 0.0)) for name in _needs(bundle))
    reason = (
        f"each resource suffices by itself, but only {max(fitting, 0)} of {workers} workers find {together} on one node"
    )
    return Shortage(" + ".join(names), workers, max(fitting, 0), reason, remedy)


def _request(bundle: Resources, workers: int, driver: Resources, name: str) -> str:
    one, own = bundle.get(name, 0.0), driver.get(name, 0.0)
    parts = [f"{workers} worker{'s' * (workers > 1)} of {amount(name, one)}"] if one else []
    parts += [f"the driver's {amount(name, own)}"] if own else []
    return f"{' and '.join(parts)} make {amount(name, workers * one + own)}"


def _remedy(bundle: Resources, nodes: Sequence[Resources], fitting: int) -> str:
    if fitting > 0:
        return f"ask for at most {fitting} worker{'s' * (fitting > 1)} of this size, or add nodes"
    largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in _needs(bundle)}
    short = [name for name, wanted in _needs(bundle).items() if largest[name] < wanted]
    if short:
        return "one worker may ask for at most " + " and ".join(amount(name, largest[name]) for name in short)
    return "ask for less a worker, or add nodes"


def amount(name: str, value: float) -> str:
    """An amount as a person writes it: `2 GPU`, `0.5 CPU`, `7.5 GiB memory`."""
    if name.endswith("memory"):
        return f"{value / GIB:.1f} GiB {name}"
    return f"{value:g} {name}"


def cluster_nodes() -> list[dict[str, float]]:
    """The total resources of every live node of the connected cluster, and of the workers that it may
    start on demand (`DALR_AUTOSCALES_TO`), which then stand for the live workers.

    Raises:
        InputError: the environment variable is not what it should be.
    """
    import ray

    live = [{**node["Resources"], f"{NODE_ID}{node['NodeID']}": 1.0} for node in ray.nodes() if node["Alive"]]
    declared = autoscaled_nodes(os.environ.get(AUTOSCALES_TO, ""))
    if not declared:
        return live
    return [node for node in live if "node:__internal_head__" in node] + declared


def default_gpus(workers: int) -> float:
    """One GPU a worker where the connected cluster has that many, or may start them; none otherwise."""
    return 1.0 if sum(int(node.get("GPU", 0)) for node in cluster_nodes()) >= workers else 0.0


def autoscaled_nodes(text: str) -> list[dict[str, float]]:
    """The nodes that `DALR_AUTOSCALES_TO` declares, one entry a node; none for an empty text."""
    if not text.strip():
        return []
    expected = f'{AUTOSCALES_TO}: expected a JSON list such as [{{"count": 8, "CPU": 7, "GPU": 1}}], not {text!r}'
    try:
        kinds = json.loads(text)
        counts = [(int(kind["count"]), {k: float(v) for k, v in kind.items() if k != "count"}) for kind in kinds]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(expected) from error
    return [dict(resources) for count, resources in counts for _ in range(count)]


def check(
    bundle: Resources,
    workers: int,
    *,
    driver: Resources | None = None,
    memory: MemoryEstimate | None = None,
    nodes: Sequence[Resources] | None = None,
) -> None:
    """Refuses a run that the cluster can never start, or that would run out of memory.

    Args:
        bundle: what one worker asks, for example `{"CPU": 2, "GPU": 1}`.
        workers: how many of them.
        driver: what the driver reserves besides.
        memory: what a worker is expected to take; its share on the host is packed like any other
            resource, its share on the GPU is compared with the GPU's own memory where that is known.
        nodes: each node's total resources; None asks the connected cluster.

    Raises:
        NotEnoughResources: the message names the missing resource, what is asked, what there is, and
            what would fit.
    """
    nodes = cluster_nodes() if nodes is None else nodes
    shortage = missing_resources(bundle, workers, nodes, driver)
    if shortage is not None:
        raise NotEnoughResources(str(shortage))
    if memory is None:
        return
    if bundle.get("GPU", 0.0) > 0:
        large_enough(bundle, workers, nodes, driver, memory)
    host = max(bundle.get("memory", 0.0), memory.host)
    shortage = missing_resources(
        {**bundle, "memory": host}, workers, [{"memory": UNKNOWN, **node} for node in nodes], driver
    )
    if shortage is not None:
        raise NotEnoughResources(f"{shortage} ({memory.explain()})")


def preflight(config: RunConfig, bundle: Resources, workers: int, *, driver: Resources | None = None) -> dict[str, str]:
    """`check` for a training run on the connected cluster, with the memory that its config asks for.

    Returns:
        A label selector of Ray's that keeps workers off cards that are too small; empty where all will do.

    Raises:
        NotEnoughResources: as `check`, or workers that would share a GPU.
        InputError: the student's folder is no model.
    """
    check_whole_gpus(bundle, workers)
    nodes = cluster_nodes()
    check(bundle, workers, driver=driver, nodes=nodes)
    memory = expected_memory(config, workers, on_gpu=bundle.get("GPU", 0.0) > 0)
    if memory is None:
        return {}
    if memory.on_gpu:
        nodes = with_card_sizes(nodes)
    try:
        check(bundle, workers, driver=driver, memory=memory, nodes=nodes)
    except NotEnoughResources as shortage:  # an estimate may be wrong
        raise NotEnoughResources(f"{shortage}; {argument('preflight', False)} starts all the same") from shortage
    return avoiding(nodes, large_enough(bundle, workers, nodes, driver, memory)) if memory.on_gpu else {}


def expected_memory(config: RunConfig, workers: int, *, on_gpu: bool) -> MemoryEstimate | None:
    """What a worker of a run is expected to take; None, with a warning in the log, where a model's size is unknown."""
    student = encoder_config(config.model.student)
    if student is None:
        return None
    online = config.teachers.text if needs_of(config.objective).token_states else []
    teachers = [values for teacher in online if (values := encoder_config(teacher.model)) is not None]
    try:
        return estimate_memory(config, student, teachers=teachers, workers=workers, on_gpu=on_gpu)
    except KeyError as error:
        logging.getLogger(__name__).warning("no estimate of memory: a model's config has %s", error.args[0])
        return None


def check_whole_gpus(bundle: Resources, workers: int) -> None:
    """Refuses workers of one run on fractions of GPUs: two may lie on one, and NCCL takes one rank a device.

    Raises:
        NotEnoughResources: several workers with a part of a GPU each.
    """
    gpus = bundle.get("GPU", 0.0)
    if workers > 1 and gpus > 0 and gpus != int(gpus):
        raise NotEnoughResources(
            f"{workers} workers of {gpus:g} GPU: two of them would lie on one GPU, where NCCL takes one worker each; "
            "give each worker a whole GPU, or train with one worker"
        )


def large_enough(
    bundle: Resources, workers: int, nodes: Sequence[Resources], driver: Resources | None, memory: MemoryEstimate
) -> list[Resources]:
    """The nodes whose GPU share is large enough: surely, if these suffice, else possibly. A GPU of unknown size
    counts as large enough, with a warning.

    Raises:
        NotEnoughResources: no choice of cards suffices.
    """
    share = min(1.0, bundle["GPU"])
    sizes = [(node, card_sizes(node)) for node in nodes]
    sure = [node for node, size in sizes if size is not None and share * size[0] >= memory.device]
    possible = [node for node, size in sizes if size is None or share * size[1] >= memory.device]
    if most_workers(bundle, sure, driver or {}, workers) >= workers:
        return sure
    need = f"a worker on {amount('GPU', bundle['GPU'])} is expected to take {memory.device / GIB:.1f} GiB"
    known = ", ".join(sorted({f"{size[0] / GIB:.0f}" for node, size in sizes if size and node.get("GPU")}))
    if most_workers(bundle, possible, driver or {}, workers) >= workers:
        there = f"at least {known}" if known else "of unknown size"
        logging.getLogger(__name__).warning("%s, and the cluster's GPUs are not known to be so large (%s)", need, there)
        return possible
    largest = ", ".join(sorted({f"{size[1] / GIB:.0f}" for node, size in sizes if size and node.get("GPU")}))
    raise NotEnoughResources(
        f"not enough GPU memory: {need}, and the cluster's GPUs have {largest} GiB; raise train.accumulate, set "
        "train.activation_checkpointing, lower train.batch_size, or ask for larger GPUs "
        f"({memory.explain()}"
    )
