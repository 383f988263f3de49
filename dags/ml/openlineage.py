"""What OpenLineage's events say of a stage's task: which data it read and wrote. They are off by default."""

from collections.abc import Iterable, Mapping
from typing import Any

from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.sdk import Asset
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import dataset_version_dataset

from ml.settings import setting


def lineage_of(uses: Iterable[Asset], makes: Iterable[Asset], result: Mapping[str, Any]) -> OperatorLineage[Any, Any]:
    """The data sets of a task: a data set is a kind of partition, in the namespace that ML_DATA names.

    :param uses: what the task reads
    :param makes: what is complete once it is done
    :param result: of its container, empty if it failed. The partition that it names is written; its day is the data
        set's version
    """
    namespace = setting("ML_DATA")
    kind, _, version = str(result.get("partition", "")).partition("/")
    written = {asset.name for asset in makes} | {kind} - {""} if result else set()
    outputs = []
    for name in sorted(written):
        output = OutputDataset(namespace, name)
        if name == kind:
            output.facets = {"version": dataset_version_dataset.DatasetVersionDatasetFacet(version)}
        outputs.append(output)
    return OperatorLineage(inputs=[InputDataset(namespace, asset.name) for asset in uses], outputs=outputs)
