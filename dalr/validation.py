"""pydantic's report of what is wrong with a value, as one line."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError


def problems(
    error: ValidationError,
    *,
    root: str = "",
    expected: Callable[[str], str | None] = lambda key: None,
    unknown: Callable[[str], str] = lambda key: f"unknown key {key}",
) -> str:
    """Every problem that pydantic found, each once, joined by semicolons.

    Args:
        root: the key that holds the value, put before each key.
        expected: what a dotted key's value may be (`expected a number >= 0`); None where pydantic's words serve.
        unknown: the sentence for a key that does not exist.
    """
    return "; ".join(dict.fromkeys(_problems(error, root, expected, unknown)))


def _problems(
    error: ValidationError, root: str, expected: Callable[[str], str | None], unknown: Callable[[str], str]
) -> Iterator[str]:
    for detail in error.errors():
        key = ".".join([*([root] if root else []), *(str(step) for step in detail["loc"])])
        prefix = f"{key}: " if key else ""
        if detail["type"] == "extra_forbidden":
            yield unknown(key)
        elif detail["type"] == "missing":
            yield f"{key} is missing"
        elif detail["type"] == "value_error":
            yield f"{prefix}{detail['ctx']['error']}"
        else:
            known = _longest_known(key, expected)
            allowed = expected(known) or _in_lower_case(detail["msg"])
            if detail["type"] in ("model_type", "dict_type"):
                allowed = "expected keys and values"
            if detail["type"] == "string_type" and isinstance(detail["input"], int | float):
                allowed += f"; to mean text, write it in quotes: '{as_written(detail['input'])}'"
            yield f"{known + ': ' if known else ''}{as_written(detail['input'])} is not allowed; {allowed}"


def _longest_known(key: str, expected: Callable[[str], str | None]) -> str:
    """The part of a path that is a key: below it pydantic names the member of a union that it tried."""
    steps = key.split(".")
    for length in range(len(steps), 0, -1):
        if expected(".".join(steps[:length])) is not None:
            return ".".join(steps[:length])
    return key


def _in_lower_case(message: str) -> str:
    return message[:1].lower() + message[1:]


def as_written(value: Any) -> str:
    """A value as a user writes it (`true`, `null`, `0.5`, `'text'`), shortened."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."
