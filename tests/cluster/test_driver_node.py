"""Where the actors lie through which a run's processes talk."""

from typing import Any

import pytest
import ray

from dalr.cluster.driver_node import actor_beside_driver
from dalr.cluster.failures import open_note
from dalr.cluster.signals import request_to_stop


class _Stand:
    """Stands in for a remote class, and keeps the options of the actor."""

    def __init__(self) -> None:
        self.options_given: dict[str, Any] = {}

    def options(self, **options: Any) -> "_Stand":
        self.options_given = options
        return self

    def remote(self) -> "_Stand":
        return self


@pytest.mark.parametrize(
    "make",
    [lambda: actor_beside_driver(object, "a"), lambda: open_note("a"), lambda: request_to_stop("a")],
    ids=["any", "the reason to give up", "the request to stop"],
)
def test_they_stay_on_the_drivers_node(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anywhere else they would be lost with a worker's node, and every attempt after it."""
    node = "ab" * 28
    monkeypatch.setattr(ray, "remote", lambda kind: _Stand())
    monkeypatch.setattr(ray, "get_runtime_context", lambda: type("Context", (), {"get_node_id": lambda self: node})())
    given = make().options_given
    strategy = given["scheduling_strategy"]
    assert (strategy.node_id, strategy.soft, given["num_cpus"]) == (node, False, 0)
