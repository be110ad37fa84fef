"""Small actors by which a run's processes tell each other things, where no loss of a worker's node takes them."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def actor_beside_driver(kind: type, name: str) -> Any:
    """An actor of `kind` without resources on the node of this process, found by its name while its handle lives. Ray
    would place it anywhere, and with a worker's node the run would be lost."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(kind).options(name=name, num_cpus=0, scheduling_strategy=here).remote()
