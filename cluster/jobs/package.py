"""What a job takes along: the files of a folder, without what is ignored and without credentials.

The package is a zip whose bytes depend on nothing but paths, contents and executable bits, so that the
same folder always makes the same package.

Ray could package the folder itself (`working_dir` with `excludes`), but it would read the files again after
they were judged, so that what was sent need not be what was searched for credentials and named by its
content; and it follows links out of the folder. The zip is handed to Ray's `working_dir`, which uploads it.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from dalr.cluster.jobs import credentials
from dalr.errors import InputError

MIB = 2**20
IGNORE_FILES = (".gitignore", ".rayignore")
NEVER_NEEDED = frozenset(
    {".git", ".venv", "venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules"}
)
"""Folders that no job needs, whatever the ignore files say."""


@dataclass(frozen=True)
class PackedFile:
    """A file to be sent: its POSIX path inside the folder, its size in bytes, its sha256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that stays behind although no ignore file says so, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Package:
    """The files of `root` that a job takes along, sorted by path; `left_out` says what stays behind."""

    root: Path
    entries: tuple[PackedFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together, before compression."""
        return sum(entry.size for entry in self.entries)

    def largest(self, count: int = 5) -> list[PackedFile]:
        """The largest files, the largest first; one that is sent under several names by one of them."""
        by_content = {entry.sha256: entry for entry in sorted(self.entries, key=lambda entry: entry.path, reverse=True)}
        return sorted(by_content.values(), key=lambda entry: (-entry.size, entry.path))[:count]

    def digest(self) -> str:
        """A hex sha256 of all paths and contents."""
        lines = [f"{entry.path}\0{entry.sha256}\n" for entry in self.entries]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Writes the zip, with fixed dates.

        Raises:
            InputError: a file changed since it was collected.
        """
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in self.entries:
                source = self.root / entry.path
                content = source.read_bytes()
                if hashlib.sha256(content).hexdigest() != entry.sha256:
                    raise InputError(f"{source} changed while it was being packaged; submit again")
                info = zipfile.ZipInfo(entry.path, date_time=(1980, 1, 1, 0, 0, 0))
                info.external_attr = (0o755 if os.access(source, os.X_OK) else 0o644) << 16
                archive.writestr(info, content, compress_type=zipfile.ZIP_DEFLATED)


def collect(root: Path, *, limit: int) -> Package:
    """The files of `root` that a job may take along.

    Left out without mention: what a .gitignore or .rayignore, of the folder or of one below, names;
    caches and virtual environments. Left out with a reason: credentials, by name or by content, links
    that lead out of `root` or to a folder that holds them, and what cannot be read.

    Raises:
        InputError: `root` is no folder, or its files exceed `limit` bytes.
    """
    if not root.is_dir():
        raise InputError(f"working directory: no such folder: {root}")
    root = root.resolve()
    listed = list(_walk(root, root, []))
    _check_size(root, [path for path, reason in listed if reason is None], limit)
    entries: list[PackedFile] = []
    left_out: list[LeftOut] = []
    for path, reason in listed:
        inside = path.relative_to(root).as_posix()
        entry = _packed(path, inside) if reason is None else LeftOut(inside, reason)
        (entries if isinstance(entry, PackedFile) else left_out).append(entry)  # type: ignore[arg-type]
    return Package(root, tuple(sorted(entries, key=lambda entry: entry.path)), _each_once(root, left_out))


def _each_once(root: Path, left_out: list[LeftOut]) -> tuple[LeftOut, ...]:
    """What stays behind, each file by the name of its own folder, not also by those of links to that."""
    places: dict[Path, LeftOut] = {}
    for item in left_out:
        path = root / item.path
        real = path.parent.resolve() / path.name
        if real not in places or path == real:
            places[real] = item
    return tuple(sorted(places.values(), key=lambda item: item.path))


def _packed(path: Path, inside: str) -> PackedFile | LeftOut:
    try:
        content = path.read_bytes()
    except OSError as error:
        return LeftOut(inside, f"cannot be read: {error.strerror}")
    kind = credentials.in_content(content, path)
    if kind is not None:
        return LeftOut(inside, f"contains {kind}")
    return PackedFile(inside, len(content), hashlib.sha256(content).hexdigest())


def _check_size(root: Path, paths: list[Path], limit: int) -> None:
    """Before anything is read: a folder of data must not be hashed to be refused."""
    sizes = {path: path.stat().st_size for path in paths}
    total = sum(sizes.values())
    if total > limit:
        largest = sorted(paths, key=lambda path: -sizes[path])[:5]
        raise InputError(
            f"{root}: {mib(total)} in {len(paths)} files to send, more than the limit of {mib(limit)}; largest: "
            f"{', '.join(f'{path.relative_to(root).as_posix()} {mib(sizes[path])}' for path in largest)}; "
            "name what the job does not need in .rayignore, or raise --limit-mib"
        )


Ignores = list[tuple[Path, str, GitIgnoreSpec]]
"""Ignore files from the root downwards: their folder, their name, their patterns."""


def _walk(folder: Path, root: Path, ignores: Ignores) -> Iterator[tuple[Path, str | None]]:
    """Every file that no ignore file names, with the reason for leaving it out, or None to send it."""
    ignores = [*ignores, *_ignore_files(folder)]
    for path in sorted(folder.iterdir()):
        is_folder = path.is_dir()
        if is_folder and path.name in NEVER_NEEDED:
            continue
        # Credentials come first: that they stay behind is worth a line even where they are ignored.
        if is_folder and path.name.lower() in credentials.FOLDERS:
            yield path, f"credentials ({path.name}/)"
        elif not is_folder and (pattern := credentials.in_name(path)):
            yield path, f"credentials ({pattern})"
        elif _ignored(path, is_folder, ignores):
            continue
        elif path.is_symlink() and not (is_folder and _leads_further_down(path, root)):
            yield path, _reason_against_link(path, root)
        elif is_folder:
            yield from _walk(path, root, ignores)
        elif path.is_file():
            yield path, None


def _ignore_files(folder: Path) -> Ignores:
    files = [folder / name for name in IGNORE_FILES if (folder / name).is_file()]
    return [
        (folder, file.name, GitIgnoreSpec.from_lines(file.read_text(encoding="utf-8").splitlines())) for file in files
    ]


def _ignored(path: Path, is_folder: bool, ignores: Ignores) -> bool:
    """Git's rule: among files of one name the deepest that mentions a path decides. What either name
    ignores is ignored."""
    verdicts: dict[str, bool] = {}
    for folder, name, spec in ignores:
        inside = path.relative_to(folder).as_posix() + ("/" if is_folder else "")
        verdict = spec.check_file(inside).include
        if verdict is not None:
            verdicts[name] = verdict
    return any(verdicts.values())


def _leads_further_down(link: Path, root: Path) -> bool:
    """A folder link to another place inside `root` is followed, as dalr's own links to its packages must be;
    a link to a folder that holds the link would have no end."""
    target = link.resolve()
    return target.is_relative_to(root) and not link.parent.resolve().is_relative_to(target)


def _reason_against_link(path: Path, root: Path) -> str | None:
    target = path.resolve()
    if not target.is_file():
        return "a link to a folder that holds it or lies elsewhere" if target.is_dir() else "a link to nothing"
    if not target.is_relative_to(root):
        return "a link out of the folder"
    pattern = credentials.in_name(target)
    return f"a link to credentials ({pattern})" if pattern else None


def mib(size: int) -> str:
    """A size as a person reads it: `3.2 MiB`, `14 KiB`."""
    return f"{size / MIB:.1f} MiB" if size >= MIB / 10 else f"{size / 1024:.0f} KiB"
