"""The Dockerfile, as far as it can be followed without building an image."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import ray

from tests import ROOT

CONSTRAINTS = ROOT / "cluster" / "image-constraints.txt"


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) in order, continued lines joined, comments left out."""
    lines = (ROOT / "cluster" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    found = (line.split(None, 1) for line in text.replace("\\\n", " ").splitlines() if line.strip())
    return [(word.upper(), rest.strip()) for word, rest in found]


def arguments(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


def pins() -> dict[str, str]:
    lines = (line.split("#")[0].strip() for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==") for line in lines if line)


def direct_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["postgres"], *extras["quickstart"]]
    return {re.match(r"[\w.-]+", text)[0].lower() for text in named}  # type: ignore[index]


def install_line() -> str:
    (line,) = [rest for rest in arguments("RUN") if "pip install" in rest]
    return line


def test_every_instruction_is_dockers():
    known = {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "ENV", "USER"}
    assert {word for word, _ in instructions()} == known
    assert instructions()[0] == ("FROM", "python:3.11-slim-bookworm")


def test_every_copied_source_exists_and_no_package_is_forgotten():
    sources = [source for rest in arguments("COPY") for source in rest.split()[:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = ["dalr", *(link.name for link in (ROOT / "dalr").iterdir() if link.is_symlink())]
    assert {*packages, "pyproject.toml", *project["project"]["license-files"]} <= set(sources)


def test_the_pins_are_the_tested_versions():
    installed = {name: metadata.version(name).split("+")[0] for name in pins()}
    assert pins() == installed, f"`make test` installs {CONSTRAINTS.name}"
    assert pins()["ray"] == ray.__version__


def test_every_direct_dependency_is_pinned():
    assert direct_dependencies() <= set(pins())


def test_the_image_wants_a_token_and_does_not_run_as_root():
    assert any("RAY_AUTH_MODE=token" in rest for rest in arguments("ENV"))
    assert arguments("USER") == ["ray"]
    assert any("--uid 1000" in rest for rest in arguments("RUN"))
    assert "auth_token" not in str(instructions())


@pytest.mark.parametrize(
    ("device", "index"), [("cpu", ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]), ("cuda", [])]
)
def test_the_device_chooses_where_torch_comes_from(device, index, tmp_path):
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\nfor word; do echo "$word"; done\n', encoding="utf-8")
    pip.chmod(0o755)
    env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "DEVICE": device}
    done = subprocess.run(["sh", "-c", install_line()], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == [
        "install",
        "--no-cache-dir",
        *index,
        "--constraint",
        "cluster/image-constraints.txt",
        ".[postgres,quickstart]",
    ]


def test_an_unknown_device_is_refused():
    done = subprocess.run(["sh", "-c", install_line()], env={"DEVICE": "tpu"}, capture_output=True, text=True)
    assert done.returncode == 2
    assert "expected cpu or cuda" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_install_line_works_in_a_fresh_environment(tmp_path):
    """Follows WORKDIR, COPY and RUN in a folder and a venv, then runs the image's own last check."""
    image = tmp_path / "image"
    image.mkdir()
    for rest in arguments("COPY"):
        *sources, target = rest.split()
        for source in sources:
            place = image / target if len(sources) == 1 else image / target / Path(source).name
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    env = {**os.environ, "PATH": f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}", "DEVICE": "cuda"}
    subprocess.run(["sh", "-c", install_line()], cwd=image, env=env, check=True)
    for name, version in pins().items():
        shown = subprocess.run(["pip", "show", name], env=env, capture_output=True, text=True, check=True).stdout
        assert re.search(rf"^Version: {re.escape(version)}(\+\w+)?$", shown, re.MULTILINE), name
    shutil.rmtree(image)  # what runs is what was installed
    subprocess.run(["sh", "-c", arguments("RUN")[-1]], cwd=tmp_path, env=env, check=True)
    found = (
        "from importlib.resources import files;"
        "print((files('dalr.cluster') / 'manifests' / 'runtime_env.yaml').is_file())"
    )
    done = subprocess.run(["python", "-c", found], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
