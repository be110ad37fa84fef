"""`sweep.yaml`: the specification in a sweep's folder, with its hash and the code that worked on it."""

from pathlib import Path

from pydantic import ValidationError

from dalr.errors import InputError, argument
from dalr.files import write_text
from dalr.provenance import code_version
from dalr.sweeps.spec.database_url import refuse_password, without_password
from dalr.sweeps.spec.schema import SweepSpec
from dalr.sweeps.spec.study_key import FREE_PARTS, differing_keys, without_places
from dalr.validation import problems
from dalr.yaml_text import dump_yaml, read_yaml


def save_spec(spec: SweepSpec, out: Path) -> None:
    """Writes `sweep.yaml`, with the specification's hash and the version of the code (each version, where
    several have worked on the sweep); refuses a folder that holds another search."""
    refuse_password(spec.storage)
    path = out / "sweep.yaml"
    if path.is_file():
        _check_same_search(saved_spec(out), spec, out)
    versions = dict.fromkeys([*code_versions(out), code_version()])
    header = f"# study_key: {spec.study_key()}\n" + "".join(f"# code_version: {version}\n" for version in versions)
    write_text(path, header + dump_yaml(spec.dump()))


def _check_same_search(saved: SweepSpec, spec: SweepSpec, out: Path) -> None:
    if saved.study_key() != spec.study_key():
        keys = [
            k for k in differing_keys(without_places(saved.dump()), without_places(spec.dump())) if k not in FREE_PARTS
        ]
        raise InputError(
            f"{out}: this folder holds another sweep; they differ in {', '.join(keys)}; "
            f"choose another {argument('out')} (only budget, stop, resources, keep_models, contrasts and final reruns "
            "may change)"
        )
    if saved.storage != spec.storage:
        # A second database would begin the search anew, over the first one's runs.
        raise InputError(
            f"{out}: this sweep's trials lie in another database (storage: {without_password(saved.storage)}); "
            f"give the same storage, or choose another {argument('out')}"
        )


def code_versions(out: Path) -> list[str]:
    """The versions of the code that have worked on the sweep in a folder, in their order."""
    path = Path(out) / "sweep.yaml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.removeprefix("# code_version: ") for line in lines if line.startswith("# code_version: ")]


def saved_spec(out: Path) -> SweepSpec:
    """The specification that a sweep's folder holds.

    Raises:
        InputError: the folder holds no sweep.
    """
    path = Path(out) / "sweep.yaml"
    if not path.is_file():
        raise InputError(f"{out}: not a sweep's folder (it has no sweep.yaml)")
    try:
        return SweepSpec.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: not a valid sweep specification: {problems(error)}") from error
