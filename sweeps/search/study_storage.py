"""Optuna's storage for the only writer of a database: one commit for each event, and costs that do not grow with the
trials so far.

Optuna commits each value by itself: a report would wait for the disk, or for a database elsewhere, several times, and
a kill between two commits would leave half an event behind. It also looks through all trials for those that wait.
"""

import sys
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy.orm
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

TESTED = "5.0.0"
"""The release of Optuna whose private names are used by this module, `stored_trials`, `study`, `finals`, the analysis's
`importance` and the command's `dashboard`. A test fails on any other, so that an upgrade reads them again."""

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class EventSession(sqlalchemy.orm.Session):
    """A session whose commits wait, while an event is written, for the end of the event."""

    writing = False
    broken = False

    def commit(self) -> None:
        if self.writing:
            self.flush()
        else:
            super().commit()

    def rollback(self) -> None:
        if self.writing and not isinstance(sys.exc_info()[1], SQLAlchemyError):
            # Optuna asks for what is not there (the best of no trial), and does without: nothing was written.
            self.expunge_all()
            return
        self.broken = self.writing
        super().rollback()

    def close(self) -> None:
        if self.writing:
            self.expunge_all()  # so that the next call reads what this one wrote
        else:
            super().close()


class SweepStorage(_CachedStorage):
    """Optuna's cache in front of a database, with `event`. Trials are created in the order of their numbers, by this
    object alone."""

    def __init__(self, backend: RDBStorage) -> None:
        super().__init__(backend)
        self._sessions = sqlalchemy.orm.scoped_session(
            sqlalchemy.orm.sessionmaker(bind=backend.engine, class_=EventSession)
        )
        # A server may end a connection in the middle of an event, and half of one cannot be done again. There each
        # call keeps a transaction of its own, and the next one a connection of its own.
        self._batches = backend.engine.dialect.name == "sqlite"
        if self._batches:
            backend.scoped_session = self._sessions  # type: ignore[assignment]

    def __getstate__(self) -> dict[Any, Any]:
        """Tune writes a copy of its searcher and scheduler to disk, which nobody reads: without sessions."""
        return {key: value for key, value in super().__getstate__().items() if key != "_sessions"}

    @contextmanager
    def event(self) -> Iterator[None]:
        """Commits what the block writes to a file at its end, all or nothing; a block inside another belongs to that
        one. A server's database commits each of Optuna's calls.

        Raises:
            StorageInternalError: the database refused a part of it; nothing of the block was written.
        """
        if not self._batches:
            yield
            return
        session = self._sessions()
        assert isinstance(session, EventSession)
        if session.writing:
            yield
            return
        session.writing, session.broken = True, False
        try:
            yield
            if session.broken:
                raise StorageInternalError("the database undid a part of what an event of the sweep wrote")
            session.writing = False
            session.commit()
        finally:
            session.writing = False
            session.rollback()
            session.close()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As Optuna's, without sorting what is in order, nor looking through ended trials for others."""
        if deepcopy:
            return super().get_all_trials(study_id, deepcopy, states)
        self._read_trials_from_remote_storage(study_id)
        with self._lock:
            study = self._studies[study_id]
            if states is None:
                return list(study.trials.values())
            if any(state in states for state in FINISHED):
                return [trial for trial in study.trials.values() if trial.state in states]
            numbers = [self._trial_id_to_study_id_and_number[trial_id][1] for trial_id in study.unfinished_trial_ids]
            unfinished = [study.trials[number] for number in sorted(numbers)]
            return [trial for trial in unfinished if trial.state in states]


class HasStorage(Protocol):
    """What writes to a sweep's database."""

    storage: SweepStorage


P = ParamSpec("P")
T = TypeVar("T")
Owner = TypeVar("Owner", bound=HasStorage)


def one_event(method: Callable[Concatenate[Owner, P], T]) -> Callable[Concatenate[Owner, P], T]:
    """Lets a method write all that it writes in one commit, which is made before it returns."""

    @wraps(method)
    def event(self: Owner, *args: P.args, **kwargs: P.kwargs) -> T:
        with self.storage.event():
            return method(self, *args, **kwargs)

    return event
