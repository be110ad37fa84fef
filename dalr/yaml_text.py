"""The one reader and writer of YAML: numbers as YAML 1.2 has them, no key twice, errors in one line.

PyYAML follows YAML 1.1, which reads `1e-4` as text, `010` as eight, `1:30` as ninety and `no` as false.
Here plain scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema):
`null`, `true`, `false`, decimal integers (leading zeros mean nothing), `0o17`, `0x1f`, decimal numbers
with or without an exponent, `.inf`, `.nan`; all else is text. The merge key `<<` is kept from YAML 1.1.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from dalr.errors import InputError
from dalr.files import read_utf8

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SafeDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_MERGE = "tag:yaml.org,2002:merge"
_CORE_SCHEMA = [
    ("tag:yaml.org,2002:null", r"null|Null|NULL|~|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    (_MERGE, r"<<", ["<"]),
]
"""Tag, pattern and possible first characters of every plain scalar that is not text; `int` before `float`."""


_CORE = {tag: pattern for tag, pattern, _ in _CORE_SCHEMA}
"""A tag that is written out must fit its scalar too: `!!int x` is an error."""


class _Loader(_SafeLoader):
    """PyYAML's safe loader with the core schema of YAML 1.2, for the types that JSON has."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's interface
    yaml_constructors = {  # noqa: RUF012 - PyYAML's interface
        tag: construct
        for tag, construct in _SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }

    def get_single_node(self) -> yaml.Node | None:
        """The document's tree of nodes, checked before anything is made of it."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _check_nodes(node, set(), set())
        return node


def _check_nodes(node: yaml.Node, above: set[int], done: set[int]) -> None:
    """Refuses keys that are not text, keys that stand twice in a mapping, and a node that contains itself."""
    if id(node) in above:
        raise _error(node, "an alias refers to what it is a part of")
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _CORE and not re.fullmatch(_CORE[node.tag], node.value):
            raise _error(node, f"{node.value[:40]!r} is no value of {node.tag.rpartition(':')[2]}")
        return
    if id(node) in done:
        return
    above.add(id(node))
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        children = [value for _, value in node.value]
    else:
        children = node.value
    for child in children:
        _check_nodes(child, above, done)
    above.remove(id(node))
    done.add(id(node))


def _check_keys(node: yaml.MappingNode) -> None:
    first_lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == _MERGE:
            continue
        if not isinstance(key, yaml.ScalarNode):
            raise _error(key, "a key must be text, not a list or a mapping")
        if key.tag != "tag:yaml.org,2002:str":
            kind = key.tag.rpartition(":")[2]
            raise _error(key, f"the key {key.value} is read as {kind}; keys are text, so write it in quotes")
        if key.value in first_lines:
            raise _error(key, f"the key {key.value!r} stands twice, first in line {first_lines[key.value]}")
        first_lines[key.value] = key.start_mark.line + 1


def _error(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _construct_int(loader: Any, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    try:
        return int(text[2:] if base != 10 else text, base)
    except ValueError as error:
        raise _error(node, f"{text[:20]}... has more digits than an integer may have") from error


def _construct_float(loader: Any, node: yaml.ScalarNode) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


class _Dumper(_SafeDumper):
    """PyYAML's safe dumper, quoting text that YAML 1.1 or 1.2 would read as something else."""


for _tag, _pattern, _first in _CORE_SCHEMA:
    _regex = re.compile(rf"(?:{_pattern})\Z")
    _Loader.add_implicit_resolver(_tag, _regex, _first)
    _Dumper.add_implicit_resolver(_tag, _regex, _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def parse_yaml(text: str, what: str) -> Any:
    """The plain values of one YAML document.

    Raises:
        InputError: not YAML, several documents, a tag that is not plain, or a key that stands twice; in one line that
            begins with `what`.
    """
    if _brackets(text) > DEEPEST:
        raise InputError(f"{what}: not valid YAML: exceeded a nesting of {DEEPEST} brackets")
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{what}: not valid YAML: {_in_one_line(error)}") from error


DEEPEST = 1000
"""Brackets, one inside the other. The parser takes quadratic time for them, and a person writes a dozen."""


def _brackets(text: str) -> int:
    """The depth of brackets that are opened before anything is closed, in the deepest place. Brackets in quotes and
    comments count too: they seldom stand open a thousand times in a row."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def read_yaml(path: Path, what: str = "") -> Any:
    """The plain values of a YAML file; `what` names its purpose in errors.

    Raises:
        InputError: no such file, not UTF-8, or as `parse_yaml`.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{what + ': ' if what else ''}no such file: {path}")
    if path.stat().st_size == 0:
        return None
    return parse_yaml(read_utf8(path, what or "YAML"), f"{what + ': ' if what else ''}{path}")


def dump_yaml(values: Any, *, width: int = 100) -> str:
    """Plain values as YAML, keys in their order; `parse_yaml` gives the same values back."""
    return str(
        yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=False)
    )


def _in_one_line(error: Exception) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character {error.character!r} at position {error.position} is not allowed"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark or error.context_mark
        return f"line {mark.line + 1}: {error.problem}" if mark else str(error.problem)
    return " ".join(str(error).split())[:200] or type(error).__name__
