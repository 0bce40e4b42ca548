"""What is known of a run, in the words of MLflow."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnexp.tracking.environment import user
from nnexp.tracking.tracker import RunFacts

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Param

MAX_METRICS = 1000
"""Metrics in one call, the most that MLflow takes."""
MAX_TAG_LENGTH = 8000
"""Characters of a tag."""


def cut(text: str) -> str:
    """Return as much of a text as MLflow keeps in a tag; of more it warns."""
    return text if len(text) <= MAX_TAG_LENGTH else f"{text[: MAX_TAG_LENGTH - 4]} ..."


def source_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags with those that MLflow itself shows."""
    return {**tags, "mlflow.user": user(), "mlflow.source.name": "nnexp"}


def child_tags(parent: str) -> dict[str, str]:
    """Return the tags of a run that a sweep trained."""
    return {"mlflow.parentRunId": parent, "sweep": parent, **membership(parent)}


def membership(sweep: str) -> dict[str, str]:
    """Return the tag of all runs of a sweep, also of those that another one trained."""
    return {f"sweep.{sweep}": "yes"}


def params_of(facts: RunFacts) -> list["Param"]:
    """Return the resolved config as MLflow keeps it."""
    from mlflow.entities import Param

    return [Param(key, str(value)) for key, value in facts.parameters.items()]


def inputs_of(facts: RunFacts) -> list["DatasetInput"]:
    """Return the data set as MLflow keeps it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = facts.dataset
    dataset = Dataset(data.name, data.digest, "code", data.source, schema=json.dumps(data.schema))
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
