"""Turns the facts about a run into tags, params and data sets of MLflow."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnexp.tracking.environment import user
from nnexp.tracking.tracker import RunRecord

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Param

MAX_METRICS = 1000
"""The most metrics that MLflow takes in one call."""
MAX_TAG_LENGTH = 8000
"""The most characters of a tag."""


def cut(text: str, length: int = MAX_TAG_LENGTH) -> str:
    """Return a text, cut to a length, or to what MLflow keeps in a tag without a warning."""
    return text if len(text) <= length else f"{text[: length - 4]} ..."


def source_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags together with the user and source that MLflow shows."""
    return {**tags, "mlflow.user": user(), "mlflow.source.name": "nnexp"}


def child_tags(parent: str, *, fresh: bool = False) -> dict[str, str]:
    """Return the tags of a run that a sweep trained."""
    return {"mlflow.parentRunId": parent, "sweep": parent, **membership(parent, fresh=fresh)}


def membership(sweep: str, *, fresh: bool = False) -> dict[str, str]:
    """Return the tag of all runs of a sweep, including reused ones of another sweep.

    Those with fresh seeds chose nothing, so its value is another one for them.
    """
    return {f"sweep.{sweep}": "fresh seed" if fresh else "yes"}


def params_of(record: RunRecord) -> list["Param"]:
    """Return the resolved config as params of MLflow."""
    from mlflow.entities import Param

    return [Param(key, str(value)) for key, value in record.parameters.items()]


def inputs_of(record: RunRecord) -> list["DatasetInput"]:
    """Return the data set as an input of MLflow."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = record.dataset
    dataset = Dataset(data.name, data.digest, "code", data.source, schema=json.dumps(data.schema))
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
