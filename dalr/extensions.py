"""What a module of the user's own adds to the package: loss terms, evaluation tasks, teachers, poolers, samplers.

The module calls the `add_…` functions below when `load` imports it, by a file's path or by the name of an installed
module. Installed packages may name modules of theirs by the entry points `dalr.terms` and
`dalr.tasks`: `load_installed` finds those. Nothing is ever imported because a config or a run's folder names it: a
run that somebody else made executes no code.

Workers on other machines get the files' text with their work (`carried`, `load_carried`), so that no machine need see
the file. What a module added is named in provenance with the module's sha256, and belongs to the identity of every
run that uses it.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from dalr.errors import InputError, argument
from dalr.losses.terms import TERMS, Term

Kind = Literal["term", "task", "text_teacher", "image_teacher", "pooler", "sampler"]

ENTRY_POINTS = ("dalr.terms", "dalr.tasks")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True)
class Module:
    """An imported module: `name` as provenance has it, `origin` the file's path or the installed module's name,
    `text` the file's content (None: installed, found by name on every machine)."""

    name: str
    origin: str
    sha256: str
    text: str | None


Carried = tuple[tuple[str, str | None], ...]
"""Modules for another process: origin and text of each."""

_modules: dict[str, Module] = {}
_loading: list[Module] = []
_added: dict[tuple[Kind, str], tuple[Any, Module]] = {}


def add_term(name: str, term: Term) -> None:
    """A summand of the objective (`dalr.losses.terms.Term`). It gets the config keys `objective.weights.NAME` and
    `objective.soft.NAME.…`, may be searched, and is logged and drawn as the package's own are.

    Raises:
        InputError: the name is taken, or is none.
    """
    taken = {part for known in TERMS.values() for part in known.parts} | set(TERMS) | {"text"}
    for part in (name, *term.parts):
        if part in taken:
            raise InputError(f"add_term: the name {part} is taken; choose another")
    _add("term", name, term)
    TERMS[name] = term


def add_task(name: str, task: Any) -> None:
    """An evaluation task: a `dalr.evaluation.tasks.StsTask` or `TransferTask` whose files have absolute paths, or
    the mapping that a YAML file of tasks holds for it, with `folder`, which its files' paths are relative to. It is
    scored where `--tasks`, `evaluation.tasks` or `evaluation.metric` names it, or the group `custom`."""
    _add("task", name, task)


def add_text_teacher(name: str, load: Callable[[], tuple[Any, Any]]) -> None:
    """A text teacher for `teachers.text.N.model=NAME`. `load()` returns an encoder, called and pooled as a
    transformers model is, and its tokenizer."""
    _add("text_teacher", name, load)


def add_image_teacher(name: str, load: Callable[[str], Any]) -> None:
    """An image teacher for `teachers.image.model=NAME`. `load(weights)` gets `teachers.image.weights` and returns a
    torch module with `preprocess(picture) -> float32 [3, H, W]`, `images(float32 [n, 3, H, W]) -> [n, V]` and
    `captions(sentences, device) -> [n, C]`."""
    _add("image_teacher", name, load)


def add_pooler(name: str, pool: Callable[[Any, Any], Any], *, every_layer: bool = False) -> None:
    """A pooler for teachers and for evaluation. `pool(outputs, attention_mask)` gets a transformers model's outputs
    for B sentences, with `hidden_states` where `every_layer`, and returns vectors [B, D]. The student's pooler is
    one of the package's own: the exported model must say to sentence-transformers what it is."""
    _add("pooler", name, (pool, every_layer))


def add_sampler(name: str, make: Callable[[int], Any]) -> None:
    """A sampler of sweeps, `sampler: {name: NAME, seed: N}`. `make(seed)` returns an `optuna.samplers.BaseSampler`."""
    _add("sampler", name, make)


def added(kind: Kind) -> dict[str, Any]:
    """What was added of a kind, by name."""
    return {name: value for (known, name), (value, _) in _added.items() if known == kind}


def module_of(kind: Kind, name: str) -> Module | None:
    """The module that added a name; None for what is the package's own."""
    return _added.get((kind, name), (None, None))[1]


def modules_of(names: Mapping[Kind, Iterable[str]]) -> dict[str, Module]:
    """The modules that added some names, by their own names."""
    modules = [module_of(kind, name) for kind, some in names.items() for name in some]
    return {module.name: module for module in modules if module is not None}


def checksums() -> dict[str, str]:
    """The imported modules' sha256 by name, for provenance."""
    return {module.name: module.sha256 for module in _modules.values()}


def _add(kind: Kind, name: str, value: Any) -> None:
    if not NAME.fullmatch(name):
        raise InputError(f"add_{kind}: {name!r} is no name; expected a letter, then letters, digits, _ and -")
    if (kind, name) in _added:
        raise InputError(f"add_{kind}: the name {name} is taken; choose another")
    if not _loading:
        raise InputError(
            f"add_{kind} {name}: call it in a module of its own and load that, dalr.extensions.load('my_terms.py'): "
            "workers must be able to import it, and provenance to name its content"
        )
    _added[kind, name] = (value, _loading[-1])


def load(origin: str | Path) -> None:
    """Imports a module: the path of a Python file, or the name of an installed module. A file that has changed since
    is imported anew in place of what it was.

    Raises:
        InputError: there is no such module, or it fails; the message names the file and the line.
    """
    path = Path(origin).expanduser()
    if path.suffix == ".py":
        if not path.is_file():
            raise InputError(f"{argument('load', option='import')} {origin}: no such file")
        _execute(str(path.absolute()), path.read_text(encoding="utf-8"))
    else:
        _import_installed(str(origin))


def load_installed() -> None:
    """Imports what installed packages name by the entry points `dalr.terms` and `dalr.tasks`: a module, or a function
    of it that adds."""
    for group in ENTRY_POINTS:
        for point in metadata.entry_points(group=group):
            _import_installed(point.module)


def carried() -> Carried:
    """The imported modules, for a process on another machine."""
    return tuple((module.origin, module.text) for module in _modules.values())


def load_carried(modules: Sequence[Sequence[str | None]]) -> None:
    """Imports what `carried` gave, in a process that need not see the files."""
    for origin, text in modules:
        assert origin is not None
        if text is None:
            _import_installed(origin)
        else:
            _execute(origin, text)


def _execute(origin: str, text: str) -> None:
    """Runs a file's text as a module, once for each content."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    known = _modules.get(origin)
    if known is not None and known.sha256 == digest:
        return
    name = Path(origin).stem
    if known is None and name in checksums():
        name = f"{name}-{digest[:8]}"
    if known is not None:
        _forget(known)
    # As a module of that name pickle finds its functions again.
    module = ModuleType(f"dalr_imported_{Path(origin).stem}_{digest[:8]}")
    module.__file__ = origin
    sys.modules[module.__name__] = module
    with _recorded(Module(known.name if known is not None else name, origin, digest, text)):
        exec(compile(text, origin, "exec"), module.__dict__)


def _import_installed(name: str) -> None:
    if name in _modules:
        return
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise InputError(
            f"{argument('load', option='import')} {name}: neither a file that ends in .py nor an installed module"
        )
    digest = hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()
    with _recorded(Module(name, name, digest, None)):
        importlib.import_module(name)


@contextmanager
def _recorded(module: Module) -> Iterator[None]:
    """Inside the block what is added is the module's. A module that fails adds nothing."""
    _loading.append(module)
    _modules[module.origin] = module
    try:
        yield
    except InputError as error:
        _forget(module)
        raise InputError(f"{argument('load', option='import')} {module.origin}: {error}") from error
    except Exception as error:
        _forget(module)
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == module.origin]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        where = f", line {line}" if line else ""
        raise InputError(
            f"{argument('load', option='import')} {module.origin}{where}: {type(error).__name__}: {error}"
        ) from error
    finally:
        _loading.pop()


def forget() -> None:
    """Takes back what every module added."""
    for module in list(_modules.values()):
        _forget(module)


def _forget(module: Module) -> None:
    """Takes back what a module added."""
    for kind, name in [key for key, (_, owner) in _added.items() if owner == module]:
        del _added[kind, name]
        if kind == "term":
            del TERMS[name]
    _modules.pop(module.origin, None)
