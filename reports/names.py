"""Short names for files, the same wherever the report is made from."""

from collections.abc import Sequence
from pathlib import Path


class Names:
    """Names files from the given folder's own name on: `runs/a/results/sts.json` for a file under
    `/home/me/runs`. Two given folders of one name are told apart by their parents' names."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._roots: dict[str, Path] = {}
        for place in places:
            absolute = place.absolute()
            root = absolute if absolute.is_dir() else absolute.parent
            parts = root.parts
            depth = 1
            while self._roots.get("/".join(parts[-depth:]), root) != root and depth < len(parts):
                depth += 1
            self._roots["/".join(parts[-depth:])] = root

    def of(self, path: Path) -> str:
        """The name of a file or folder; its absolute path where it lies under no given folder."""
        absolute = path.absolute()
        for name, root in self._roots.items():
            if absolute.is_relative_to(root):
                inside = absolute.relative_to(root).as_posix()
                return name if inside == "." else f"{name}/{inside}"
        return absolute.as_posix()

    def path(self, name: str) -> Path:
        """The file that `of` named."""
        for root_name, root in self._roots.items():
            if name == root_name:
                return root
            if name.startswith(root_name + "/"):
                return root / name.removeprefix(root_name + "/")
        return Path(name)
