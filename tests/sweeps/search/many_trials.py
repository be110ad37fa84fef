"""Studies of many trials, made without running one; and a driver's loop that costs nothing but the sweep's own work."""

import json
import random
from datetime import datetime

import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState

from dalr.sweeps.search.coordinator import Coordinator
from dalr.sweeps.search.records import Report, RunRecord
from dalr.sweeps.search.samplers import distribution
from dalr.sweeps.search.study import RecipeStudy

STEPS = (3, 6, 9)
Value = models.TrialValueModel
Intermediate = models.TrialIntermediateValueModel


def insert_trials(study: RecipeStudy, engine: sqlalchemy.Engine, count: int, *, seed: int = 0) -> None:
    """Writes complete trials of one seed into the empty study of a space of floats, as the sweep would have."""
    rng, now = random.Random(seed), datetime(2026, 1, 1)
    space = {path: distribution(dimension) for path, dimension in study.spec.searched.items()}
    kinds = {path: distribution_to_json(kind) for path, kind in space.items()}
    with engine.begin() as connection:
        query = sqlalchemy.select(models.StudyModel.study_id).where(
            models.StudyModel.study_name == study.study.study_name
        )
        study_id = connection.execute(query).scalar_one()
        first = (
            connection.execute(sqlalchemy.select(sqlalchemy.func.max(models.TrialModel.trial_id))).scalar() or 0
        ) + 1
        tables: dict[type, list[dict]] = {
            models.TrialModel: [], models.TrialParamModel: [], models.TrialUserAttributeModel: [],
            Value: [], Intermediate: [],
        }  # fmt: skip
        for number in range(count):
            mine = {"trial_id": first + number}
            tables[models.TrialModel].append(
                {**mine, "number": number, "study_id": study_id, "state": TrialState.COMPLETE,
                 "datetime_start": now, "datetime_complete": now}
            )  # fmt: skip
            point = {path: rng.uniform(kind.low, kind.high) for path, kind in space.items()}  # type: ignore[attr-defined]
            for path, value in point.items():
                tables[models.TrialParamModel].append(
                    {**mine, "param_name": path, "param_value": value, "distribution_json": kinds[path]}
                )
            score = rng.gauss(60.0, 5.0)
            run = RunRecord(study.base.train.seed, f"{number:016x}", "complete", None, score, (score,), 9, 1.0, "a")
            attributes = {"trial": number, "values": point, "point_id": f"{number:016x}", "runs": [run.dump()]}
            tables[models.TrialUserAttributeModel] += [
                {**mine, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()
            ]
            tables[Value].append({**mine, "objective": 0, "value": score, "value_type": Value.TrialValueType.FINITE})
            finite = Intermediate.TrialIntermediateValueType.FINITE
            tables[Intermediate] += [
                {**mine, "step": step, "intermediate_value": score - 9 + step, "intermediate_value_type": finite}
                for step in STEPS
            ]
        for table, rows in tables.items():
            connection.execute(sqlalchemy.insert(table), rows)


def drive(coordinator: Coordinator, count: int) -> None:
    """Runs so many trials from start to end: each begins, reports two scores, and is complete."""
    for _ in range(count):
        key = f"key-{next(iter(coordinator.studies.values())).size()}"
        task = coordinator.next_task(key)
        assert task is not None
        seed = task.runs[0]["seed"]
        value = 50.0 + 10 * random.Random(key).random()
        reports = (
            Report(seed, key, 0, 1.0, total=9),
            Report(seed, key, 3, 1.0, score=value - 6, best=value - 6, total=9),
            Report(seed, key, 9, 2.0, "complete", value, value, (value,), total=9, last=True),
        )
        for report in reports:
            if coordinator.on_report(key, report):
                break
