"""What the sweep uses of Optuna beyond what Optuna promises."""

import optuna
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models

from dalr.sweeps.search import study_storage


def test_an_upgrade_of_optuna_reads_them_again() -> None:
    assert optuna.__version__ == study_storage.TESTED, "read what study_storage.TESTED names beside this release"


def test_optuna_has_the_names() -> None:
    storage = _CachedStorage(optuna.storages.RDBStorage("sqlite://"))
    assert {"_read_trials_from_remote_storage", "_studies", "_lock", "_trial_id_to_study_id_and_number"} <= set(
        dir(storage)
    )
    assert {"trial_id", "number", "state", "study_id"} <= set(dir(models.TrialModel))
    assert {"intermediate_value_type", "stored_repr_to_intermediate_value"} <= set(
        dir(models.TrialIntermediateValueModel)
    )
    for table in (models.StudyUserAttributeModel, models.TrialUserAttributeModel, models.TrialSystemAttributeModel):
        assert {"key", "value_json"} <= set(dir(table))
