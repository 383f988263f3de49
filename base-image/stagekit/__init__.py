"""What every stage shares: command line frame, logs, partitions, errors. Standard library only."""

from stagekit.cli import Command, run_stage
from stagekit.errors import BadInput, NotReady, StageError, UsageError
from stagekit.partition import META, Partition, Publication, partition_name, read_partition
from stagekit.process import available_cpus, heartbeat

__all__ = [
    "META",
    "BadInput",
    "Command",
    "NotReady",
    "Partition",
    "Publication",
    "StageError",
    "UsageError",
    "available_cpus",
    "heartbeat",
    "partition_name",
    "read_partition",
    "run_stage",
]
