"""What made a number says so wherever the code lies."""

from importlib import metadata

import pytest

import dalr
from dalr import extras, provenance
from tests import ROOT


def test_a_source_tree_that_nobody_installed_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", none)
    assert f'\nversion = "{extras.version()}"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert dalr.__version__ == extras.version()
    assert provenance.code_version.__wrapped__().startswith(extras.version())
