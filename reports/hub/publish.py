"""What a push of a model to the Hub would send: its files, their sizes, and what is still missing."""

import json
from dataclasses import dataclass
from pathlib import Path

from dalr.errors import InputError
from dalr.files import write_text
from dalr.reports.hub.card import model_card
from dalr.reports.load.discover import is_run
from dalr.reports.load.names import counted

CARD = "README.md"
NEEDED = ("config.json", "model.safetensors", "modules.json", "tokenizer_config.json")
# Beside weights in safetensors a Hub folder holds text; anything else was put there by accident.
SENT = (".json", ".safetensors", ".txt", ".md", ".model")


@dataclass(frozen=True)
class PlannedFile:
    """A file to be sent, by its name in the model's folder; `size` in bytes."""

    name: str
    size: int
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything that a push would send from `folder`, with the card's text."""

    folder: Path
    name: str
    card: str
    files: tuple[PlannedFile, ...]

    @property
    def total(self) -> int:
        """The sum of sizes in bytes."""
        return sum(file.size for file in self.files)

    def text(self) -> str:
        """The plan for a terminal."""
        lines = [f"{size_text(file.size):>10}  {file.name}{file.note}" for file in self.files]
        lines.append(f"{size_text(self.total):>10}  in all, {counted(len(self.files), 'file')}, to {self.name}")
        return "\n".join(lines)


def plan(model: Path, name: str | None = None) -> Plan:
    """What would be sent of `model`: a run's folder, or the `model` folder in it.

    Raises:
        InputError: no run, results or weights; a file that is needed is missing; a file that must not
            be sent lies between them. The message names all of them.
    """
    run = next((folder for folder in (model, model.absolute().parent) if is_run(folder)), None)
    if run is None:
        raise InputError(f"publish: {model} is not a run's folder, nor the model in one (it needs config.yaml)")
    folder = run / "model"
    if not folder.is_dir():
        raise InputError(f"publish: {run} has no model/ yet; the training has to end first")
    display_name = name or run.absolute().name
    card = model_card(run, display_name)
    present = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path.stat().st_size for path in present}
    _refuse(folder, names)
    names.pop(CARD, None)
    files = [PlannedFile(file, size) for file, size in names.items()]
    files.append(PlannedFile(CARD, len(card.encode()), "  (the model card)"))
    return Plan(folder=folder, name=display_name, card=card, files=tuple(sorted(files, key=lambda file: file.name)))


def _refuse(folder: Path, names: dict[str, int]) -> None:
    missing = [file for file in NEEDED if file not in names]
    if "modules.json" in names:
        missing += [f"{place}/config.json" for place in _modules(folder) if f"{place}/config.json" not in names]
    if "tokenizer.json" not in names and not {"vocab.txt", "vocab.json"} & set(names):
        missing.append("tokenizer.json")
    empty = [file for file, size in names.items() if size == 0]
    strange = [file for file in names if not file.endswith(SENT) or file.rsplit("/", 1)[-1].startswith(".")]
    said = [
        f"{what}: {', '.join(files)}"
        for what, files in (("missing", missing), ("empty", empty), ("not to be sent", strange))
        if files
    ]
    if said:
        raise InputError(f"publish: {folder} is not fit to be sent; {'; '.join(said)}")


def _modules(folder: Path) -> list[str]:
    """The sub-folders that modules.json names."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        return [str(module["path"]) for module in modules if module["path"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"publish: {folder / 'modules.json'}: not a list of modules") from error


def write_card(made: Plan) -> Path:
    """Writes the card into the model's folder, aside and renamed."""
    path = made.folder / CARD
    write_text(path, made.card)
    return path


def size_text(size: int) -> str:
    """Bytes in the unit that a reader takes in: `512 B`, `87.4 MB`."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
