"""The launch files against the schemas of what reads them, and against each other."""

import copy
import json
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from dalr.cluster.jobs.credentials import rsync_excludes
from dalr.cluster.jobs.package import NEVER_NEEDED
from dalr.cluster.jobs.submit import packaged_runtime_env
from dalr.cluster.preflight.resources import AUTOSCALES_TO, autoscaled_nodes, missing_resources
from tests import ROOT
from tests.conftest import data_folder

MANIFESTS = ROOT / "cluster" / "manifests"
KUBERAY = MANIFESTS / "kuberay"
RAY_UP = sorted((MANIFESTS / "ray-up").glob("*.yaml"))
RAY_RESOURCES = {
    "rayjob-train.yaml": "ray.io_rayjobs.yaml",
    "rayjob-sweep.yaml": "ray.io_rayjobs.yaml",
    "raycluster-dev.yaml": "ray.io_rayclusters.yaml",
}


@pytest.fixture(scope="session")
def kuberay_crds() -> Path:
    """The folder of KubeRay's custom resource definitions, beside the folder of real data."""
    data = data_folder()
    folder = data.parent / "kuberay-crds" if data else None
    if folder is None or not folder.is_dir():
        pytest.skip("no kuberay-crds folder beside the real data (DALR_DATA)")
    return folder


def strict(schema: Any) -> Any:
    """A CRD's schema as JSON Schema, refusing unknown fields: the API server drops them in silence."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        result["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    return result


@cache
def _schema(crds: Path, name: str) -> dict[str, Any]:
    definition = yaml.load((crds / RAY_RESOURCES[name]).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    version = next(v for v in definition["spec"]["versions"] if v["name"] == "v1")
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _load(name: str) -> dict[str, Any]:
    return yaml.safe_load((KUBERAY / name).read_text(encoding="utf-8"))


def cluster_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"]["rayClusterSpec"] if manifest["kind"] == "RayJob" else manifest["spec"]


@pytest.mark.parametrize("name", RAY_RESOURCES)
def test_kuberay_accepts_it(name, kuberay_crds):
    validator = jsonschema.Draft202012Validator(_schema(kuberay_crds, name))
    assert [error.message for error in validator.iter_errors(_load(name))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "rayClusterSpec", "authOptions", "mode"), "none"),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "imagee"), "x"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"), "many"),
        (("spec", "backofLimit"), 3),
    ],
)
def test_the_check_would_find_a_mistake(path, value, kuberay_crds):
    manifest = copy.deepcopy(_load("rayjob-train.yaml"))
    node = manifest
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    assert not jsonschema.Draft202012Validator(_schema(kuberay_crds, "rayjob-train.yaml")).is_valid(manifest)


@pytest.mark.parametrize("name", RAY_RESOURCES)
def test_kuberay_clusters_want_a_token_and_expose_nothing(name):
    cluster = cluster_of(_load(name))
    secret = _load("secret-auth.yaml")
    assert cluster["authOptions"] == {"mode": "token", "secretName": secret["metadata"]["name"]}
    assert list(secret["data"]) == ["auth_token"]
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster["headGroupSpec"]["enableIngress"] is False
    assert "ports" not in cluster["headGroupSpec"]["template"]["spec"]["containers"][0]


def test_the_secret_is_refused_unless_it_is_filled_in():
    """Its value is no base64 as long as it is the placeholder."""
    value = _load("secret-auth.yaml")["data"]["auth_token"]
    assert value == "${RAY_AUTH_TOKEN_BASE64}"


@pytest.mark.parametrize("name", RAY_RESOURCES)
def test_pods_share_the_volume_and_are_reached_by_the_network_policy(name):
    cluster = cluster_of(_load(name))
    selected = _load("network-policy.yaml")["spec"]["podSelector"]["matchLabels"]
    claim = _load("pvc-results.yaml")["metadata"]["name"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        template = group["template"]
        assert selected.items() <= template["metadata"]["labels"].items()
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert volumes["results"]["persistentVolumeClaim"]["claimName"] == claim
        mounts = {mount["name"]: mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["results"] == "/nfs"


def test_only_our_own_pods_and_the_operator_are_let_in():
    spec = _load("network-policy.yaml")["spec"]
    ours = spec["podSelector"]["matchLabels"]
    ((own, operator),) = (rule["from"] for rule in spec["ingress"])
    assert own == {"podSelector": {"matchLabels": ours}}
    assert operator["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}
    for name in ("rayjob-train.yaml", "rayjob-sweep.yaml"):
        assert ours.items() <= _load(name)["spec"]["submitterPodTemplate"]["metadata"]["labels"].items()


def _pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(manifest)
    templates = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    submitter = manifest["spec"].get("submitterPodTemplate")
    return [template["spec"] for template in [*templates, *([submitter] if submitter else [])]]


@pytest.mark.parametrize("name", RAY_RESOURCES)
def test_no_pod_can_gain_rights(name):
    """What the `restricted` Pod Security Standard asks."""
    for pod in _pods(_load(name)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            expected = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == expected
        if "fsGroup" in pod["securityContext"]:
            assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_workers_that_speak_to_each_other_share_a_pod_and_its_memory():
    """NCCL finds NVLink and shared memory inside a pod only."""
    (group,) = cluster_of(_load("rayjob-train.yaml"))["workerGroupSpecs"]
    words = _load("rayjob-train.yaml")["spec"]["entrypoint"].split()
    (node,) = _nodes(group)
    assert node["GPU"] == int(words[words.index("--workers") + 1])
    volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
    assert float(volumes["shm"]["emptyDir"]["sizeLimit"].removesuffix("Gi")) >= 8 * node["GPU"]


def test_the_head_may_keep_its_tables_elsewhere(kuberay_crds):
    manifest = _load("raycluster-dev.yaml")
    manifest["spec"] |= _load("gcs-fault-tolerance.yaml")["spec"]
    validator = jsonschema.Draft202012Validator(_schema(kuberay_crds, "raycluster-dev.yaml"))
    assert [error.message for error in validator.iter_errors(manifest)] == []
    assert "valueFrom" in manifest["spec"]["gcsFaultToleranceOptions"]["redisPassword"]


@pytest.mark.parametrize("name", RAY_RESOURCES)
def test_the_ray_version_is_the_installed_one(name):
    assert cluster_of(_load(name))["rayVersion"] == ray.__version__
    version = metadata.version("dalr")
    for line in (KUBERAY / name).read_text(encoding="utf-8").splitlines():
        if "image:" in line:
            assert line.split("image:")[1].strip() == f"REGISTRY/dalr:{version}-cuda"


@pytest.mark.parametrize("name", ["rayjob-train.yaml", "rayjob-sweep.yaml"])
def test_jobs_write_to_the_volume_resume_and_take_no_gpu_for_themselves(name):
    spec = _load(name)["spec"]
    words = spec["entrypoint"].split()
    assert words[:3] == ["python", "-m", "dalr"]
    assert words[words.index("--out") + 1].startswith("/nfs/")
    assert spec["entrypointNumGpus"] == 0
    assert spec["backoffLimit"] > 0
    assert yaml.safe_load(spec["runtimeEnvYAML"]) == packaged_runtime_env()


def test_the_training_job_fits_its_own_cluster():
    spec = _load("rayjob-train.yaml")["spec"]
    words = spec["entrypoint"].split()
    bundle = {"CPU": float(words[words.index("--cpus") + 1]), "GPU": float(words[words.index("--gpus") + 1])}
    nodes = [node for group in spec["rayClusterSpec"]["workerGroupSpecs"] for node in _nodes(group)]
    assert missing_resources(bundle, int(words[words.index("--workers") + 1]), nodes) is None


def _nodes(group: dict[str, Any]) -> list[dict[str, float]]:
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    memory = float(limits["memory"].removesuffix("Gi")) * 2**30
    node = {"CPU": float(limits["cpu"]), "GPU": float(limits["nvidia.com/gpu"]), "memory": memory}
    return [node] * group["maxReplicas"]


@pytest.mark.parametrize("name", ["rayjob-sweep.yaml", "raycluster-dev.yaml"])
def test_a_growing_cluster_declares_just_what_it_may_start(name):
    cluster = cluster_of(_load(name))
    assert cluster["enableInTreeAutoscaling"] is True
    env = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    declared = next(item["value"] for item in env if item["name"] == AUTOSCALES_TO)
    assert autoscaled_nodes(declared) == [node for group in cluster["workerGroupSpecs"] for node in _nodes(group)]


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.stem)
def test_ray_up_accepts_it(path):
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "min_worker": 1}, schema)


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.stem)
def test_rays_own_preparation_of_the_file_succeeds(path):
    """What `ray up` does before it talks to the provider: defaults, node types, validation."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(yaml.safe_load(path.read_text(encoding="utf-8")))
    validate_config(config)
    if config["provider"]["type"] == "local":
        (only,) = config["available_node_types"].values()
        assert only["max_workers"] == len(config["provider"]["worker_ips"])
    else:
        assert config["head_node_type"] in config["available_node_types"]


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.stem)
def test_ray_up_wants_a_token_everywhere_and_hides_the_dashboard(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in config["setup_commands"]
    head = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    workers = [command for command in config["worker_start_ray_commands"] if "ray start" in command]
    assert len(head) == len(workers) == 1
    assert "RAY_AUTH_MODE=token" in head[0]
    assert "RAY_AUTH_MODE=token" in workers[0]
    assert "--dashboard-host=127.0.0.1" in head[0]
    assert "0.0.0.0" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.stem)
def test_ray_up_copies_what_is_installed_and_leaves_out_what_a_job_leaves_out(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config["rsync_exclude"] == rsync_excludes(NEVER_NEEDED)
    mounts = {target: source for target, source in config["file_mounts"].items() if "dalr-source" in target}
    assert all(target == f"~/dalr-source/{source}" for target, source in mounts.items())
    build = {"pyproject.toml", "README.md", "LICENSE"}
    assert set(mounts.values()) == build | {"dalr", "cluster", "sweeps", "reports"}
    tracked = subprocess.run(
        ["git", "ls-files", *mounts.values()], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.split():
        assert not [p for p in config["rsync_exclude"] for part in Path(name).parts if fnmatchcase(part, p)], name
    for secret in ("cluster/.env", "cluster/.aws", "dalr/id_rsa", "sweeps/hf_token.txt", "dalr/my-credentials.json"):
        assert [p for p in config["rsync_exclude"] if fnmatchcase(Path(secret).name, p)], secret


def test_spot_machines_are_workers_only():
    types = {path.stem: yaml.safe_load(path.read_text())["available_node_types"] for path in RAY_UP[:2]}
    assert types["aws-spot"]["spot-gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in types["aws-spot"]["head"]["node_config"]
    assert {"preemptible": True} in types["gcp-spot"]["spot-gpu"]["node_config"]["scheduling"]
    assert "scheduling" not in types["gcp-spot"]["head"]["node_config"]


@pytest.mark.parametrize("path", RAY_UP[:2], ids=lambda path: path.stem)
def test_a_growing_ray_up_cluster_declares_its_workers(path):
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    command = next(command for command in config["head_start_ray_commands"] if "ray start" in command)
    nodes = autoscaled_nodes(command.split(f"{AUTOSCALES_TO}='")[1].split("'")[0])
    worker = config["available_node_types"]["spot-gpu"]
    assert len(nodes) == worker["max_workers"]
    assert {name: nodes[0][name] for name in worker["resources"]} == worker["resources"]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    else:
        yield str(value)


def test_the_packaged_runtime_env_holds_no_secrets():
    env = packaged_runtime_env()
    assert set(env) == {"env_vars"}
    assert all(isinstance(value, str) for value in env["env_vars"].values())
    assert not [text for text in _strings(env) if any(word in text.upper() for word in ("SECRET", "PASSWORD", "_KEY"))]
    assert not [text for text in env["env_vars"] if "AUTH" in text]
