"""A data folder's `manifest.json`: which files belong to it, their row counts and checksums."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dalr.errors import InputError
from dalr.files import sha256_of, write_json
from dalr.reading import read_json
from dalr.validation import problems

SCHEMA = 1
MANIFEST = "manifest.json"


class FileEntry(BaseModel):
    """One file: its number of text lines (line feeds, of whatever file), and the hex sha256 of its bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Origin(BaseModel):
    """A download: its address, size in bytes and hex sha256, as they were when it was fetched.

    `verified` says against what: `pinned` (a checksum this version knows), `published` (one that the
    server named), or `first use` (none was known; later fetches are held against this one).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    verified: str = "first use"


class Manifest(BaseModel):
    """The content of `manifest.json`. `files` maps each path, relative to the folder and with forward
    slashes, to its entry; `seed` is the maker's, `sources` the fetched downloads by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    schema_version: int = Field(default=SCHEMA, alias="schema")
    name: str
    seed: int | None = None
    files: dict[str, FileEntry]
    sources: dict[str, Origin] = {}

    def write(self, folder: Path) -> None:
        """Writes `<folder>/manifest.json` atomically. Keys that do not apply are left out."""
        absent = {key for key, given in (("seed", self.seed is not None), ("sources", bool(self.sources))) if not given}
        write_json(Path(folder) / MANIFEST, self.model_dump(exclude=absent))

    @field_validator("files")
    @classmethod
    def _inside_the_folder(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for path in files:
            if path.startswith("/") or "\\" in path or ".." in path.split("/"):
                raise ValueError(f"path {path!r} is not inside the folder")
        return files


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest; None where it has none.

    Raises:
        InputError: not JSON, not a manifest, or of a newer schema; the message names the file.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        return None
    values = read_json(path, "manifest")
    version = values.get("schema") if isinstance(values, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise InputError(f"{path}: schema {version} is newer than this version reads ({SCHEMA}); update dalr")
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: not a valid manifest: {problems(error)}") from error


def write_manifest(
    folder: Path,
    name: str,
    *,
    files: Iterable[Path] | None = None,
    seed: int | None = None,
    sources: dict[str, Origin] | None = None,
) -> Manifest:
    """Hashes and counts `files` (default: every file below `folder` but hidden ones and manifests),
    writes `manifest.json` atomically and returns what it wrote.
    """
    folder = Path(folder)
    chosen = sorted(files) if files is not None else sorted(_files_below(folder))
    entries = {path.relative_to(folder).as_posix(): file_entry(path) for path in chosen}
    manifest = Manifest(name=name, seed=seed, files=entries, sources=sources or {})
    manifest.write(folder)
    return manifest


def file_entry(path: Path) -> FileEntry:
    """Counts and hashes one file."""
    return FileEntry(rows=count_lines(path), sha256=sha256_of(path))


def count_lines(path: Path) -> int:
    """The number of lines, by line feeds alone; a last line without one counts too.

    Other separators (U+2028, NEL, a carriage return) occur inside sentences of the real corpora.
    """
    lines, last = 0, b"\n"
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")


def _files_below(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.name != MANIFEST
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
