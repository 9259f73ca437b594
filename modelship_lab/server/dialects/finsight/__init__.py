"""The API of FinSight's model builder, as its documentation has it.

- A training is a job of the project that has its experiment's name; `mlflow_run_id` is the id of its run, and once
  that is mirrored to an MLflow server, MLflow's. A model is registered by either.
- Paths are those of the lab's workspace. A model is the folder `model` that a training has written.
- A version `1` is `1.0.0` in a listing.
- An export is answered when it is done, or after `EXPORT_WAIT_S`, when it is asked for or heard of.
- A file that cannot be learned from is `valid: false` where it is validated, and a VALIDATION_ERROR where it is
  to be trained on; one that cannot be read at all is a DATA_ERROR.
"""

from modelship_lab.server.dialects.finsight import data, models, service, training
from modelship_lab.server.dialects.finsight.dialect import FINSIGHT

__all__ = ["FINSIGHT", "data", "models", "service", "training"]
