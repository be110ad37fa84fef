"""Preflight: shortages are found by packing bundles on nodes, and named."""

import itertools
import random

import pytest

from dalr.cluster.preflight import resources
from dalr.cluster.preflight.cards import CARD_BYTES, GIB, NODE_ID, avoiding, card_sizes
from dalr.cluster.preflight.memory import MemoryEstimate
from dalr.cluster.preflight.resources import (
    AUTOSCALES_TO,
    autoscaled_nodes,
    check,
    check_whole_gpus,
    default_gpus,
    large_enough,
    missing_resources,
    most_workers,
)
from dalr.errors import InputError, NotEnoughResources


def test_what_fits_is_not_missing():
    assert missing_resources({"CPU": 2, "GPU": 1}, 4, [{"CPU": 8, "GPU": 4}]) is None
    assert missing_resources({"CPU": 1}, 0, []) is None
    assert missing_resources({}, 3, [{"CPU": 1}]) is None


def test_a_shortage_in_sum_names_the_resource_asked_and_available():
    shortage = missing_resources({"CPU": 1, "GPU": 1}, 4, [{"CPU": 8, "GPU": 2}, {"CPU": 8}])
    assert shortage is not None
    assert (shortage.resource, shortage.asked, shortage.available) == ("GPU", 4, 2)
    assert str(shortage) == (
        "not enough GPU: 4 workers of 1 GPU make 4 GPU, and the cluster has 2 GPU in all; "
        "ask for at most 2 workers of this size, or add nodes"
    )


def test_a_bundle_does_not_spread_over_two_nodes():
    shortage = missing_resources({"GPU": 2}, 1, [{"GPU": 1}, {"GPU": 1}])
    assert shortage is not None
    assert shortage.resource == "GPU"
    assert "nodes have 1 GPU, 1 GPU" in str(shortage)
    assert str(shortage).endswith("one worker may ask for at most 1 GPU")


def test_resources_on_different_nodes_do_not_help_each_other():
    shortage = missing_resources({"CPU": 4, "GPU": 1}, 1, [{"CPU": 8}, {"CPU": 1, "GPU": 1}])
    assert shortage is not None
    assert shortage.resource == "GPU + CPU"
    assert "only 0 of 1 workers find" in str(shortage)


def test_fractions_are_counted_as_ray_counts_them():
    assert missing_resources({"GPU": 0.3}, 3, [{"GPU": 0.9}]) is None
    assert missing_resources({"GPU": 1 / 3}, 3, [{"GPU": 1}]) is None
    assert missing_resources({"GPU": 0.5}, 3, [{"GPU": 1}]) is not None


def test_the_driver_takes_its_place_where_it_disturbs_least():
    nodes = [{"CPU": 2}, {"CPU": 3}]
    assert missing_resources({"CPU": 2}, 2, nodes, driver={"CPU": 1}) is None
    assert missing_resources({"CPU": 2}, 2, [{"CPU": 2}, {"CPU": 2}], driver={"CPU": 1}) is not None


def test_packing_agrees_with_trying_every_placement():
    """Against brute force: every assignment of driver and workers to nodes."""
    chance = random.Random(0)
    for _ in range(150):
        nodes = [{"CPU": chance.randint(0, 4), "GPU": chance.randint(0, 2)} for _ in range(chance.randint(1, 3))]
        bundle = {"CPU": chance.randint(0, 2), "GPU": chance.choice([0, 0.5, 1, 2])}
        driver = chance.choice([{}, {"CPU": 1}, {"CPU": 2}])
        workers = chance.randint(1, 3)
        possible = any(
            _holds(nodes, [driver, *[bundle] * workers], places)
            for places in itertools.product(range(len(nodes)), repeat=workers + 1)
        )
        assert (missing_resources(bundle, workers, nodes, driver) is None) == possible


def _holds(nodes, bundles, places):
    left = [dict(node) for node in nodes]
    for bundle, place in zip(bundles, places, strict=True):
        for name, asked in bundle.items():
            left[place][name] -= asked
    return all(value >= 0 for node in left for value in node.values())


def test_most_workers_says_when_even_the_driver_does_not_fit():
    assert most_workers({"CPU": 1}, [{"CPU": 4}], {"CPU": 5}, 9) == -1
    assert most_workers({"CPU": 1}, [{"CPU": 4}], {"CPU": 1}, 9) == 3


def _estimate(*, host_gib: float = 0.0, device_gib: float = 0.0) -> MemoryEstimate:
    """An estimate whose host or device share is about that large."""
    size = int(max(host_gib, device_gib) * GIB)
    return MemoryEstimate(0, 0, 0, activations=size, objective=0, on_gpu=device_gib > 0)


def test_memory_is_packed_like_any_resource():
    nodes = [{"CPU": 8, "memory": 10 * GIB}, {"CPU": 8, "memory": 10 * GIB}]
    check({"CPU": 1}, 2, memory=_estimate(host_gib=5), nodes=nodes)
    with pytest.raises(NotEnoughResources, match=r"not enough memory: 3 workers of 6\.2 GiB memory .* activations 5"):
        check({"CPU": 1}, 3, memory=_estimate(host_gib=5), nodes=nodes)


def test_a_node_that_does_not_say_its_memory_is_not_refused():
    check({"CPU": 1}, 2, memory=_estimate(host_gib=500), nodes=[{"CPU": 8}])


def test_gpu_memory_is_checked_where_the_type_is_known():
    small, unknown = {"CPU": 8, "GPU": 1, "accelerator_type:T4": 1}, {"CPU": 8, "GPU": 1}
    check({"GPU": 1}, 1, memory=_estimate(device_gib=10), nodes=[small])
    check({"GPU": 1}, 1, memory=_estimate(device_gib=100), nodes=[unknown])
    with pytest.raises(NotEnoughResources, match=r"not enough GPU memory: a worker on 0\.5 GPU .* 15 GiB"):
        check({"GPU": 0.5}, 1, memory=_estimate(device_gib=10), nodes=[small])


A100 = {"CPU": 8, "GPU": 1, "accelerator_type:A100": 1}
SMALL_A100, LARGE_A100 = ({**A100, CARD_BYTES: size * GIB, f"{NODE_ID}{size}": 1} for size in (39, 79))
T4 = {"CPU": 8, "GPU": 1, "accelerator_type:T4": 1}
H100 = {"CPU": 8, "GPU": 1, "accelerator_type:H100": 1}


def test_a_type_of_two_sizes_is_not_refused_but_named(caplog):
    """Ray says A100 for cards of 40 and of 80 GB."""
    check({"GPU": 1}, 1, memory=_estimate(device_gib=60), nodes=[A100])
    assert "not known to be so large (at least 39)" in caplog.text
    with pytest.raises(NotEnoughResources, match="GPUs have 79 GiB"):
        check({"GPU": 1}, 1, memory=_estimate(device_gib=90), nodes=[A100])


def test_what_a_card_says_of_itself_counts(caplog):
    check({"GPU": 1}, 1, memory=_estimate(device_gib=60), nodes=[LARGE_A100])
    assert not caplog.text
    with pytest.raises(NotEnoughResources, match="GPUs have 39 GiB"):
        check({"GPU": 1}, 1, memory=_estimate(device_gib=60), nodes=[SMALL_A100])


@pytest.mark.parametrize(
    ("nodes", "chosen", "selector"),
    [
        ([H100, T4], [H100], {"ray.io/accelerator-type": "!in(T4)"}),
        ([SMALL_A100, LARGE_A100], [LARGE_A100], {"ray.io/node-id": "!in(39)"}),
        ([LARGE_A100, LARGE_A100], [LARGE_A100], {}),
        ([H100, {"CPU": 64}], [H100], {}),
        ([A100, A100 | {"CPU": 2}], [A100], {}),
    ],
)
def test_cards_that_are_too_small_are_kept_out(nodes, chosen, selector):
    assert avoiding(nodes, chosen) == selector


def test_enough_large_cards_leave_the_doubtful_ones_out():
    memory = _estimate(device_gib=60)
    assert large_enough({"GPU": 1}, 1, [A100, LARGE_A100, T4], None, memory) == [LARGE_A100]
    assert large_enough({"GPU": 1}, 2, [A100, LARGE_A100, T4], None, memory) == [A100, LARGE_A100]


def test_sizes_by_type():
    assert card_sizes(T4) == (15 * GIB, 15 * GIB)
    assert card_sizes(A100) == (39 * GIB, 79 * GIB)
    assert card_sizes(SMALL_A100) == (39 * GIB, 39 * GIB)
    assert card_sizes({"GPU": 1}) is None
    assert card_sizes({"accelerator_type:unheard-of": 1}) is None


def test_workers_of_a_run_do_not_share_a_gpu():
    check_whole_gpus({"GPU": 0.5}, 1)
    check_whole_gpus({"GPU": 2}, 2)
    check_whole_gpus({"CPU": 1}, 2)
    with pytest.raises(NotEnoughResources, match="NCCL takes one worker each"):
        check_whole_gpus({"GPU": 0.5}, 2)


def test_gpus_that_the_autoscaler_may_start_are_used(monkeypatch):
    nodes: list[dict[str, float]] = [{"CPU": 8}]
    monkeypatch.setattr(resources, "cluster_nodes", lambda: nodes)
    assert default_gpus(2) == 0
    nodes += autoscaled_nodes('[{"count": 2, "CPU": 7, "GPU": 1}]')
    assert default_gpus(2) == 1
    assert default_gpus(3) == 0


def test_nothing_is_asked_of_a_cluster_without_nodes():
    with pytest.raises(NotEnoughResources, match="0 CPU in all"):
        check({"CPU": 1}, 1, nodes=[])


def test_a_cluster_that_grows_declares_what_it_may_start():
    nodes = autoscaled_nodes('[{"count": 2, "CPU": 7, "GPU": 1}, {"count": 1, "CPU": 3}]')
    assert nodes == [{"CPU": 7, "GPU": 1}, {"CPU": 7, "GPU": 1}, {"CPU": 3}]
    assert autoscaled_nodes("") == []
    for wrong in ("8 nodes", '{"CPU": 1}', '[{"CPU": 1}]', '[{"count": 1, "CPU": "many"}]', "[3]"):
        with pytest.raises(InputError, match=AUTOSCALES_TO):
            autoscaled_nodes(wrong)
