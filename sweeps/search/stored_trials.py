"""Reads trials out of the database, all of them by a few statements: Optuna's own objects would take most of a
millisecond each, and a question about ten thousand trials several seconds."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from optuna.storages._rdb import models
from optuna.trial import TrialState

from dalr.sweeps.search.finals import FinalRecord, final_record
from dalr.sweeps.search.records import TrialRecord
from dalr.sweeps.search.study_schema import stored_record
from dalr.sweeps.spec.schema import SweepSpec

CONSTRAINT = "constraints:"
"""What the names of Optuna's attributes for constraints begin with."""


FIXED = "fixed_params"
"""Optuna's attribute for the values that an enqueued trial must have."""


@dataclass(frozen=True)
class StoredTrial:
    """A trial's row and its attributes."""

    trial_id: int
    number: int
    state: TrialState
    user_attrs: Mapping[str, Any]
    system_attrs: Mapping[str, Any]

    @property
    def params(self) -> Mapping[str, Any]:
        """Its point; empty until all of it is drawn."""
        return self.user_attrs.get("values", {})

    @property
    def violation(self) -> float:
        """How far it breaks the constraints, in all."""
        return sum(max(0.0, v) for key, v in self.system_attrs.items() if key.startswith(CONSTRAINT))


class StoredStudies:
    """The studies of a database by name, as they are when they are asked for."""

    def __init__(self, engine: sqlalchemy.Engine) -> None:
        self._connection = engine.connect()
        rows = self._connection.execute(sqlalchemy.select(models.StudyModel.study_name, models.StudyModel.study_id))
        self._ids: dict[str, int] = {row.study_name: row.study_id for row in rows}

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def close(self) -> None:
        """Gives the connection back."""
        self._connection.close()

    def attributes(self, name: str) -> dict[str, Any]:
        """The attributes of a study."""
        model = models.StudyUserAttributeModel
        query = sqlalchemy.select(model.key, model.value_json).where(model.study_id == self._ids[name])
        return {key: json.loads(value) for key, value in self._connection.execute(query)}

    def rows(self, name: str) -> "list[StoredTrial]":
        """Every trial of a study, in the order of their numbers."""
        model = models.TrialModel
        query = sqlalchemy.select(model.trial_id, model.number, model.state)
        query = query.where(model.study_id == self._ids[name]).order_by(model.trial_id)
        attributes, system = self._attributes(name), self._system_attributes(name)
        return [
            StoredTrial(row.trial_id, row.number, row.state, attributes[row.trial_id], system[row.trial_id])
            for row in self._connection.execute(query)
        ]

    def trials(
        self, name: str, rows: "Iterable[StoredTrial]", recipe: str, *, index: int, count: int, scores: bool = True
    ) -> list[TrialRecord]:
        """Those of a study's trials that have begun; `index` of `count` recipes decides the numbers, as in
        `RecipeStudy`. Without `scores` the evaluations by step are left out."""
        by_step = self._scores(name) if scores else {}
        return [
            stored_record(
                row.number * count + index, recipe, row.state, row.user_attrs, row.violation, by_step.get(row.trial_id)
            )
            for row in rows
            if row.state != TrialState.WAITING
        ]

    def finals(self, name: str, spec: SweepSpec, recipe: str) -> list[FinalRecord]:
        """The final runs in the study `name`, planned, running or done."""
        return [final_record(row, spec, recipe) for row in self.rows(name)]

    def _of(self, name: str, model: Any, *columns: Any) -> Any:
        """The rows of a table that belong to a study's trials."""
        query = sqlalchemy.select(model.trial_id, *columns).join(models.TrialModel)
        return query.where(models.TrialModel.study_id == self._ids[name])

    def _attributes(self, name: str) -> dict[int, dict[str, Any]]:
        model = models.TrialUserAttributeModel
        values: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for trial_id, key, value in self._connection.execute(self._of(name, model, model.key, model.value_json)):
            values[trial_id][key] = json.loads(value)
        return values

    def _system_attributes(self, name: str) -> dict[int, dict[str, Any]]:
        """Those of Optuna's own that say something here: given values, and how far each constraint is broken."""
        model = models.TrialSystemAttributeModel
        wanted = sqlalchemy.or_(model.key == FIXED, model.key.startswith(CONSTRAINT))
        query = self._of(name, model, model.key, model.value_json).where(wanted)
        values: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for trial_id, key, value in self._connection.execute(query):
            values[trial_id][key] = json.loads(value)
        return values

    def _scores(self, name: str) -> dict[int, dict[int, float]]:
        model = models.TrialIntermediateValueModel
        query = self._of(name, model, model.step, model.intermediate_value, model.intermediate_value_type)
        scores: defaultdict[int, dict[int, float]] = defaultdict(dict)
        for trial_id, step, value, kind in self._connection.execute(query.order_by(model.trial_intermediate_value_id)):
            scores[trial_id][step] = model.stored_repr_to_intermediate_value(value, kind)
        return scores
