"""What every stage shares: command line frame, logs, partitions, errors. Standard library only."""

from stagekit.cli import Command, run_stage
from stagekit.errors import BadInput, NotReady, StageError, UsageError
from stagekit.mark import META
from stagekit.options import option
from stagekit.partition import Partition, partition_name, read_partition
from stagekit.process import available_cpus
from stagekit.progress import progress, track
from stagekit.publication import LATER, Publication, publish

__all__ = [
    "LATER",
    "META",
    "BadInput",
    "Command",
    "NotReady",
    "Partition",
    "Publication",
    "StageError",
    "UsageError",
    "available_cpus",
    "option",
    "partition_name",
    "progress",
    "publish",
    "read_partition",
    "run_stage",
    "track",
]
