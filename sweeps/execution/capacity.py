"""Where trials go: how many run at once, what each reserves, and on which nodes."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dalr.cluster.preflight.memory import MemoryEstimate
from dalr.config.schema import RunConfig
from dalr.errors import NotEnoughResources
from dalr.sweeps.spec.parts import ResourceSpec

ACCELERATOR_LABEL = "ray.io/accelerator-type"

MIN_RESERVATION = {"memory": 1.0}
"""What Tune reserves for the process of a trial whose workers do the work: a byte. It refuses to reserve
nothing, and any share of a CPU could be the one that the last worker lacks."""

Nodes = list[dict[str, float]]


@dataclass(frozen=True)
class Capacity:
    """How many trials run at once, the GPUs of one worker, what Tune reserves for each trial, and Ray's label
    selector for the nodes that take its workers (empty: every node)."""

    concurrent: int
    gpus: float
    bundle: dict[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


def capacity_for(resources: ResourceSpec, bases: Collection[RunConfig] = ()) -> Capacity:
    """Checks the cluster before anything starts: that a trial fits, and each of the configs `bases` with its memory.

    Several-worker trials cannot wait for each other: no more are started than fit with all their workers on the nodes
    that the cluster has or may start, and Ray gives a trial all its workers' places at once or none.

    Raises:
        NotEnoughResources: not even one trial fits.
    """
    from dalr.cluster.preflight.cards import avoiding, with_card_sizes
    from dalr.cluster.preflight.resources import (
        UNKNOWN,
        bundles_on,
        check,
        check_whole_gpus,
        cluster_nodes,
        expected_memory,
        large_enough,
    )

    every_node = cluster_nodes()
    nodes = with_accelerator(every_node, resources.accelerator)
    wanted = 1.0 if resources.accelerator else min(1.0, sum(node.get("GPU", 0.0) for node in nodes))
    gpus = resources.gpus if resources.gpus is not None else wanted
    worker = {"CPU": resources.cpus, **({"GPU": gpus} if gpus else {})}
    check_whole_gpus(worker, resources.workers)
    check(worker, resources.workers, nodes=nodes)
    if bases and gpus:
        nodes = with_card_sizes(nodes)
    estimates = [expected_memory(base, resources.workers, on_gpu=gpus > 0) for base in bases]
    needed: list[MemoryEstimate] = [memory for memory in estimates if memory is not None]
    labels = {ACCELERATOR_LABEL: resources.accelerator} if resources.accelerator else {}
    for memory in needed:
        check(worker, resources.workers, memory=memory, nodes=nodes)
        if gpus:
            large = large_enough(worker, resources.workers, nodes, None, memory)
            labels = {**avoiding(nodes, large), **labels}
            nodes = [node for node in nodes if node in large or not node.get("GPU")]
    # Tune does not reserve main memory: no more trials run at once than the nodes have memory for.
    bundle = {**worker, "memory": max((float(memory.host) for memory in needed), default=0.0)}
    limit = resources.concurrent or 10_000
    room = sum(bundles_on({"memory": UNKNOWN, **node}, bundle, limit * resources.workers) for node in nodes)
    most = room // resources.workers
    alone = resources.workers == 1
    return Capacity(max(1, min(limit, most)), gpus, worker if alone else MIN_RESERVATION, labels)


def with_accelerator(nodes: Nodes, accelerator: str | None) -> Nodes:
    """The nodes that have this type of GPU; all of them where none is asked for.

    Raises:
        NotEnoughResources: no node has it.
    """
    if accelerator is None:
        return nodes
    prefix = "accelerator_type:"
    there = [node for node in nodes if f"{prefix}{accelerator}" in node]
    if there:
        return there
    kinds = sorted({name.removeprefix(prefix) for node in nodes for name in node if name.startswith(prefix)})
    known = f"the cluster's GPUs are {', '.join(kinds)}" if kinds else "the cluster has no GPU of a known type"
    raise NotEnoughResources(f"not enough GPU: resources.accelerator is {accelerator}, and {known}")
