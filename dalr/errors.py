"""The exceptions whose message is the whole story: one line, no traceback."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input: a file, a config value, a name. The message is one line that says what is wrong,
    where, and what would be right. The command line prints it without a traceback and exits with 2.

    Line breaks of what the user gave (a key, a header, a name) become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class NotEnoughResources(InputError):
    """The cluster has less than what is asked for; the message names the missing resource."""


class Failed(Exception):
    """The input is right, and yet it did not work: a disk, a machine, a loss. The message is one line that
    says what happened, where, and how to go on. The command line prints it and exits with 1.
    """


class Interrupted(Exception):
    """A person pressed Ctrl-C. The message is one line that says what became of the work. The command line prints it
    with the command that continues, and exits with 130.
    """


_on_command_line = False


@contextmanager
def command_line() -> Iterator[None]:
    """Inside the block messages name arguments as the command line writes them; elsewhere, as Python does. It holds
    for all threads of the process, since a command may work in several."""
    global _on_command_line
    before, _on_command_line = _on_command_line, True
    try:
        yield
    finally:
        _on_command_line = before


def argument(name: str, value: bool | None = None, *, option: str | None = None) -> str:
    """An argument of the public functions, as whoever reads the message has written it: `image_features` in Python,
    `--image-features` on the command line. A flag has its `value`: `extend=True` and `--extend`, `preflight=False`
    and `--no-preflight`. `option`: the option's own name where it differs, without dashes."""
    if _on_command_line:
        return ("--no-" if value is False else "--") + (option or name).replace("_", "-")
    return name if value is None else f"{name}={value}"


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """`; did you mean KNOWN?` for the known name nearest to `name`, to be put behind an error's first half; empty
    where none is similar by at least `cutoff` (0 to 1, difflib's ratio)."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]}?" if near else ""
