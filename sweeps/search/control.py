"""Obeys people's requests in the process that runs a sweep."""

import time
from collections.abc import Callable, Sequence

from dalr.errors import InputError
from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.in_force import remember, respecified
from dalr.sweeps.search.request_checks import added_point, check_request
from dalr.sweeps.search.requests import Request, RequestLog, extensions_in
from dalr.sweeps.search.snapshot import state_of
from dalr.sweeps.spec.schema import SweepSpec

LOOK_EVERY = 1.0
"""Seconds between two looks into the database."""

NOT_RUNNING = "the sweep was not running, or ended before it obeyed"


class Control:
    """Looks for requests, obeys each once, and answers it.

    What a request changes is in the database before the request is answered, and changing it again changes
    nothing, so one that a kill left unanswered is simply obeyed again. `given` is the specification as the command
    that runs the sweep gave it; `respecified` is called with one that came into force instead.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        given: SweepSpec,
        respecified: Callable[[SweepSpec], object] = lambda spec: None,
        *,
        every: float = LOOK_EVERY,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._coordinator = coordinator
        self._given = given
        self._respecified = respecified
        self._log = RequestLog(coordinator.record_study)
        self._every, self._now = every, now
        self._looked = -float("inf")
        for request in self._log.pending():
            if request.action == "stop" and request.trial is None:
                self._log.answer(request, "refused", NOT_RUNNING)

    def look(self) -> None:
        """Obeys what was asked since the last look; at most every second."""
        if self._now() - self._looked < self._every:
            return
        self._looked = self._now()
        self._take_note(self._log.all())
        for request in self._coordinator.requests:
            if request.state != "asked" or request.action == "extend":
                continue  # whoever asks for an extension makes it
            try:
                answer = self._already(request) or self._checked(request)
            except InputError as error:
                self._log.answer(request, "refused", str(error))
            else:
                self._log.answer(request, "obeyed", answer)

    def _take_note(self, requests: Sequence[Request]) -> None:
        """Keeps what was asked for, and lets the sweep's files say which trials were extended since."""
        before = extensions_in(self._coordinator.requests)
        self._coordinator.requests = tuple(requests)
        if extensions_in(requests) != before:
            self._coordinator.changed()

    def _already(self, request: Request) -> str | None:
        """The answer to a request that was obeyed before a kill and not answered."""
        if request.action == "add":
            for study in self._coordinator.studies.values():
                if (number := study.added_by(request.id)) is not None:
                    return f"trial {number} has this point"
        if request.trial is None or request.action not in ("stop", "pause", "skip"):
            return None
        study = self._coordinator.study_of(request.trial)
        record = study.find(request.trial)
        if request.action == "skip":
            return _will_skip(request.trial) if study.is_skipped(request.trial) else None
        if record is not None and record.intent == {"stop": "stopped", "pause": "paused"}[request.action]:
            return f"trial {request.trial} saves and leaves"
        return None

    def _checked(self, request: Request) -> str:
        check_request(state_of(self._coordinator), request)
        return self._obey(request)

    def _obey(self, request: Request) -> str:
        coordinator = self._coordinator
        match request.action, request.trial:
            case "stop", None:
                coordinator.ending = True
                coordinator.all_leave()
                return "all trials save and leave, and the sweep ends; the same command continues it"
            case "pause", None:
                coordinator.set_paused(True)
                return "all trials save and leave; dalr sweep resume lets the sweep go on"
            case "resume", None:
                coordinator.set_paused(False)
                return "the sweep goes on"
            case "stop" | "pause" as action, int(number):
                coordinator.intend(number, "stopped" if action == "stop" else "paused")
                return f"trial {number} saves and leaves"
            case "resume", int(number):
                coordinator.intend(number, None)
                return f"trial {number} goes on when there is room"
            case "skip", int(number):
                coordinator.study_of(number).skip(number)
                return _will_skip(number)
            case "add", _:
                recipe, point = added_point(coordinator.spec, request.values)
                return f"trial {coordinator.studies[recipe].add(point, request.id)} has this point"
            case "set", _:
                return self._set(request)
        raise InputError(f"this version of the code knows no request {request.action!r}")

    def _set(self, request: Request) -> str:
        spec = respecified(self._coordinator.spec, request.values)
        remember(self._coordinator.record_study, self._given, request.values)
        self._respecified(spec)
        self._coordinator.respecify(spec)
        return "in force"


def _will_skip(number: int) -> str:
    return f"trial {number} is left out when its turn comes"
