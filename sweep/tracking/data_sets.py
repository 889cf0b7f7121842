"""Splits of the data as MLflow's data sets, which its page shows beside the runs that used them."""

from __future__ import annotations

import json

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

from sweep.tracking.port import DataSet

_LONGEST_NAME, _DIGEST = 500, 16
"""Characters of a data set's name and of its digest."""
_ROW = json.dumps(
    {"mlflow_colspec": [{"type": "string", "name": name, "required": True} for name in ("prompt", "completion")]}
)


def data_set_input(data: DataSet) -> DatasetInput:
    """The use of a split by a run; its context is the split."""
    profile = {"num_rows": data.rows, "sha256": data.sha256, **({"kinds": dict(data.kinds)} if data.kinds else {})}
    entity = Dataset(
        name=data.name[:_LONGEST_NAME],
        digest=data.sha256[:_DIGEST],
        source_type=data.source_kind,
        source=data.source,
        schema=_ROW,
        profile=json.dumps(profile),
    )
    return DatasetInput(entity, [InputTag(MLFLOW_DATASET_CONTEXT, data.split)])
