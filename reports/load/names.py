"""Short names for files, the same wherever the report is made from, and never a machine's own paths."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

CUT = "…"
# Controls, marks of writing direction, halves of surrogate pairs: what has no shape, or changes its neighbours'.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HOMES = re.compile(r"^(?:~|/(?:home|Users|var/home)/[^/]+|/root)(?=/|$)")
# An absolute path of two or more parts inside other text. What stands before it tells it from the
# inside of a relative path, of an address, or of a path that was shortened before.
_INSIDE = re.compile(rf"(?<![\w/.{CUT}~:])~?/(?:[^\s/'\"`,;:()<>|\[\]{{}}]+/)+[^\s/'\"`,;:()<>|\[\]{{}}]+/?")


class Names:
    """Names files from the given folder's own name on: `runs/a/results/sts.json` for a file under
    `/home/me/runs`. Two given folders of one name are told apart by their parents' names. `display_names`
    gives the places other names, those under which an earlier report knew them."""

    def __init__(self, places: Sequence[Path], display_names: Sequence[str] | None = None) -> None:
        self.places = tuple(place.absolute() for place in places)
        self._roots: dict[str, Path] = {}
        roots = [place if place.is_dir() else place.parent for place in self.places]
        if display_names is None:
            for root in roots:
                self._roots[self._free_name(root)] = root
        else:
            self._roots = dict(zip(display_names, roots, strict=True))

    def _free_name(self, root: Path) -> str:
        parts = root.parts
        depth = 1
        while self._roots.get("/".join(parts[-depth:]), root) != root and depth < len(parts) - 1:
            depth += 1
        return _visible("/".join(parts[-depth:]))

    def of_places(self) -> list[str]:
        """The names of the places, in the order given; of a file's, its folder's."""
        by_root = {root: name for name, root in self._roots.items()}
        return [by_root[place if place.is_dir() else place.parent] for place in self.places]

    def of(self, path: Path) -> str:
        """The name of a file or folder; its last parts where it lies under no given folder."""
        absolute = path.absolute()
        for name, root in self._roots.items():
            if absolute.is_relative_to(root):
                inside = absolute.relative_to(root).as_posix()
                return name if inside == "." else _visible(f"{name}/{inside}")
        return _visible(shortened(absolute.as_posix()))


def absolute(path: Path) -> Path:
    """The absolute path without `.` and `..`. A link keeps its name, unless `..` leads out of its target."""
    place = Path("/")
    for part in path.absolute().parts:
        place = Path(os.path.realpath(place)).parent if part == ".." else place / part
    return place


def shortened(path: str) -> str:
    """The last two parts of an absolute path, marked as cut, without the name of a home folder:
    `…/flickr8k/captions.csv`. Other text as it is."""
    if not path.startswith(("/", "~")):
        return path
    return "/".join([CUT, *parts_of(path)[-2:]])


def parts_of(path: str) -> list[str]:
    """The parts of a path that a report may show: without the name of a home folder, and without the mark
    of a path that was shortened before."""
    return [part for part in _HOMES.sub("", path).split("/") if part not in ("", ".", CUT)]


def _visible(path: str) -> str:
    """A path in text that every file can hold: bytes that are no UTF-8, and controls, as `\\x0a`."""
    text = os.fsencode(path).decode("utf-8", errors="backslashreplace")
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def counted(number: int, noun: str) -> str:
    """A number of things: `1 trial`, `2 trials`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str) -> str:
    """The text on one line: every run of spaces, control characters and line or paragraph marks is a space."""
    return " ".join(_CONTROLS.sub(" ", text).split())


def without_paths(value: Any) -> Any:
    """Plain values with every absolute path shortened, also inside of sentences."""
    if isinstance(value, Mapping):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(inner) for inner in value]
    if not isinstance(value, str):
        return value
    if value.startswith(("/", "~/")) and "\n" not in value and ": " not in value:
        return shortened(value)
    return _INSIDE.sub(lambda match: shortened(match[0]), value)


def relative_place(place: Path, out: Path) -> str | None:
    """How `place` is reached from the folder `out`, whichever links led to `out`. None where the way is no text,
    or would lead over the root of the file system or the folder of all homes, and so name the machine's own
    folders."""
    place, out = absolute(place), Path(os.path.realpath(out))
    target = Path(os.path.realpath(place.parent)) / place.name
    path = Path(os.path.relpath(target, out)).as_posix()
    if os.path.commonpath([target, out]) in (os.sep, str(Path.home().parent)) or path != _visible(path):
        return None
    return path


def addresses(names: Names, out: Path) -> dict[str, str | None]:
    """Where each place's folder lies, seen from a page in `out`; None where that cannot be said."""
    folders = [place if place.is_dir() else place.parent for place in names.places]
    return {name: relative_place(folder, out) for name, folder in zip(names.of_places(), folders, strict=True)}


def link(name: str, places: Mapping[str, str | None]) -> str | None:
    """The relative address (a URL) of the file called `name`; `places` are those of `addresses`."""
    for place, address in places.items():
        if address is not None and name.startswith(place + "/"):
            return quote(f"{address}/{name.removeprefix(place + '/')}")
    return None


def plain(value: Any) -> str:
    """A setting's value as one would write it: `0`, `5e-05`, `null`, a path's last part."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:g}"
    return Path(value).name if isinstance(value, str) and "/" in value else str(value)
