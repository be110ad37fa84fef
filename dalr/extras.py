"""The parts of an installation that a lean one leaves out, and what to do where one is missing.

The distribution `dalr` requires everything. `dalr-lean` holds the same code and requires what encoding, evaluation and
reports without figures need; each of its extras below adds what one more thing needs.
"""

import importlib.util
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dalr.errors import InputError

DISTRIBUTIONS = ("dalr", "dalr-lean")


@dataclass(frozen=True)
class Extra:
    """What an extra is for, and the modules that it brings."""

    purpose: str
    modules: tuple[str, ...]


EXTRAS: dict[str, Extra] = {
    "cluster": Extra("Ray: training, features and evaluation on workers, jobs", ("ray", "pathspec")),
    "search": Extra("sweeps, with the extra cluster", ("optuna", "cmaes", "sqlalchemy")),
    "images": Extra(
        "training: the image teacher, feature files, the embedded data",
        ("open_clip", "torchvision", "PIL", "h5py"),
    ),
    "figures": Extra("figures in reports", ("altair", "vl_convert")),
}


class MissingPackage(InputError, ImportError):
    """A package is not installed that an extra brings; the message says which, and how to install it."""


@contextmanager
def explained() -> Iterator[None]:
    """Inside the block, or the function that it decorates, a package that an extra brings and that is not installed
    is named in one line, with the extra.

    Raises:
        MissingPackage: in place of ModuleNotFoundError.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        extra = next((name for name, extra in EXTRAS.items() if module in extra.modules), None)
        if extra is None:
            raise
        raise MissingPackage(install(module, extra)) from error


def install(module: str, extra: str) -> str:
    """The line that says what is missing, what it is for, and how to install it."""
    return (
        f"{module} is not installed, which this needs ({EXTRAS[extra].purpose}): pip install 'dalr-lean[{extra}]', or "
        "dalr, which has everything"
    )


def missing(extra: str) -> str | None:
    """The first module of an extra that is not installed."""
    return next((module for module in EXTRAS[extra].modules if not _is_there(module)), None)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def version() -> str:
    """The version of the distribution that is installed; of a source tree that nobody installed, its own."""
    for name in DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if not project.is_file():
        raise metadata.PackageNotFoundError(DISTRIBUTIONS[0])
    return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
