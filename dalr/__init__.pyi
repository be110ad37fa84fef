from . import extensions as extensions
from . import losses as losses
from .cluster.api.run import Run as Run
from .cluster.api.scoring import Result as Result
from .cluster.api.scoring import evaluate as evaluate
from .cluster.api.training import train as train
from .config.schema import RunConfig as RunConfig
from .errors import Failed as Failed
from .errors import InputError as InputError
from .evaluation.encode import encode as encode
from .evaluation.encoder import SentenceEncoder as SentenceEncoder
from .reports.api import Report as Report
from .reports.api import report as report
from .sweeps.api import Sweep as Sweep
from .sweeps.api import sweep as sweep
from .training.callbacks import Callback as Callback
from .training.recipe import recipe as recipe

__version__: str
MOUNTED: dict[str, str]
