"""What people ask of a sweep while it runs, in its database: asked for from any shell, node or job; answered by the
one process that runs the sweep. A request is written before it is obeyed, and its answer is written after.
"""

import getpass
import socket
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import optuna

Action = Literal["stop", "pause", "resume", "skip", "add", "extend", "set"]
RequestState = Literal["asked", "obeyed", "refused"]
PREFIX = "request "


@dataclass(frozen=True)
class Request:
    """One request: `trial` is the trial's number (None: the whole sweep), `values` what `add`, `extend` and `set`
    take. `id` begins with the time, so that requests sort by it. `answer` says what was done, or why nothing was;
    `extended` has what `extend` has made of each seed's run (`ExtendedRun`)."""

    id: str
    action: Action
    trial: int | None = None
    values: dict[str, Any] = field(default_factory=dict)
    by: str = ""
    state: RequestState = "asked"
    answer: str = ""
    extended: list[dict[str, Any]] = field(default_factory=list)

    @property
    def words(self) -> str:
        """The request as it was typed: `stop 3`, `set budget.trials=60`."""
        trial = () if self.trial is None else (str(self.trial),)
        return " ".join([self.action, *trial, *(f"{key}={value}" for key, value in self.values.items())])

    @property
    def asked_at(self) -> str:
        """When it was asked, in UTC, to the second."""
        return self.id[:19].replace("T", " ")


@dataclass(frozen=True)
class ExtendedRun:
    """What a seed's run of an ended trial has come to since it was trained on to `steps`: `value` is its best score of
    the first metric, None where it was never evaluated."""

    seed: int
    steps: int
    value: float | None


def extensions_in(requests: Iterable[Request]) -> dict[int, tuple[ExtendedRun, ...]]:
    """By trial, the runs that `extend` has made longer, as the last such request has left them."""
    return {
        request.trial: tuple(ExtendedRun(**run) for run in request.extended)
        for request in requests
        if request.trial is not None and request.extended
    }


def new_request(action: Action, trial: int | None = None, values: Mapping[str, Any] | None = None) -> Request:
    """A request by this process, now."""
    stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {uuid.uuid4().hex[:6]}"
    return Request(stamp, action, trial, dict(values or {}), by=f"{_user()}@{socket.gethostname()}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


class RequestLog:
    """The requests in the study that holds what belongs to the sweep as a whole."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def ask(self, request: Request) -> None:
        """Writes a request down."""
        self._write(request)

    def answer(self, request: Request, state: RequestState, text: str, extended: Sequence[ExtendedRun] = ()) -> None:
        """Writes down what became of a request."""
        runs = [asdict(run) for run in extended]
        self._write(replace(request, state=state, answer=text, extended=runs))

    def all(self) -> list[Request]:
        """Every request, in the order of their times."""
        return requests_in(self._study.user_attrs)

    def pending(self) -> list[Request]:
        """The requests that nobody has answered yet."""
        return [request for request in self.all() if request.state == "asked"]

    def get(self, request: Request) -> Request:
        """A request as it stands now."""
        return Request(**self._study.user_attrs[PREFIX + request.id])

    def _write(self, request: Request) -> None:
        self._study.set_user_attr(PREFIX + request.id, asdict(request))


def requests_in(attrs: Mapping[str, Any]) -> list[Request]:
    """The requests among a study's attributes, in the order of their times."""
    return [Request(**attrs[key]) for key in sorted(attrs) if key.startswith(PREFIX)]
