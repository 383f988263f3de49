"""`late-labels`: the evaluated days whose labels have changed since, so that they can be evaluated again.

Reads marks, and the counts of a shard, never rows: whether a label has come is what the marks of two partitions say.
"""

import hashlib
import json
import logging
from argparse import Namespace
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from stagekit import META, BadInput, NotReady, Partition, read_partition
from stagekit.shards import Shard

from day_shards import COUNTS_FILE
from deliveries import DELIVERY, targets_of
from row_shards import hash_sample

# Labels that come later than this are for a person to look at.
LOOK_BACK = timedelta(days=366)
EVALUATION, LABELS = "evaluation.json", "labels.csv"
SHORT = 12

log = logging.getLogger(__name__)


def late_labels(args: Namespace) -> Mapping[str, Any]:
    """The newest days up to --ds whose evaluation lacks labels that are in raw/{day}, the oldest first.

    Each has `ds`, and `labels`: a text that is another one after another delivery; `shards`, if it was scored in some.
    `more` counts days beyond --most.
    """
    late = [
        {"ds": ds, "labels": labels, **_shards(args.data_dir, ds)}
        for ds in _evaluated(args.data_dir, args.ds)
        if (labels := _late(args.data_dir, ds))
    ]
    for day in late[: args.most]:
        log.info("%s has labels that its evaluation lacks", day["ds"])
    more = len(late) - min(len(late), args.most)
    if more:
        log.warning("%d more days, before %s, have such labels too", more, late[args.most - 1]["ds"])
    return {"days": late[: args.most][::-1], "more": more}


def _evaluated(root: Path, ds: str) -> list[str]:
    """The days with a report, up to `ds`, the newest first."""
    first = (date.fromisoformat(ds) - LOOK_BACK).isoformat()
    found = (mark.parent.name for mark in (root / "reports").glob(f"????-??-??/{META}"))
    return sorted((day for day in found if first < day <= ds), reverse=True)


def _late(root: Path, ds: str) -> str:
    """What names the labels of a day if its evaluation lacks some of them, and can be made again; otherwise empty."""
    try:
        report, raw = (read_partition(root, f"{kind}/{ds}", []) for kind in ("reports", "raw"))
        delivered = {f"{raw.name}/{file}": raw.meta["outputs"][file]["sha256"] for file in targets_of(raw)}
        if not delivered or EVALUATION not in report.meta["outputs"] or _has(root, report, delivered):
            return ""
        return _named(delivered) if _can_be_evaluated(root, ds, raw) else ""
    except NotReady:
        return ""
    except BadInput as error:
        log.warning("%s is left out: %s", ds, error)
        return ""


def _has(root: Path, report: Partition, delivered: Mapping[str, str]) -> bool:
    """Whether an evaluation was made from these labels, or from those of a past time, as somebody asked for."""
    name = report.name.replace("reports/", "labels/")
    try:
        labels = read_partition(root, name, [])
    except NotReady:
        return False
    if ((labels.step(LABELS).get("call") or {}).get("arguments") or {}).get("as_of"):
        return True
    read = {path: digest for path, digest in labels.inputs(LABELS).items() if _is_delivery(path)}
    used = report.inputs(EVALUATION).get(f"{name}/{LABELS}")
    return read == delivered and used == labels.meta["outputs"].get(LABELS, {}).get("sha256")


def _is_delivery(path: str) -> bool:
    folder, _, file = path.rpartition("/")
    return folder.startswith("raw/") and DELIVERY.fullmatch(file) is not None


def _can_be_evaluated(root: Path, ds: str, raw: Partition) -> bool:
    """Whether what was scored is still there, and was made from the data that is there."""
    predictions, features = (read_partition(root, f"{kind}/{ds}", []) for kind in ("predictions", "features"))
    files = {"predictions.csv": predictions, "features.csv": features}
    if gone := [name for name, of in files.items() if of.meta["outputs"].get(name, {"removed": True}).get("removed")]:
        log.warning("%s has labels that its evaluation lacks, but no %s any more", ds, gone[0])
        return False
    data = f"{raw.name}/data.csv"
    made_from = features.inputs("features.csv").get(data)
    if made_from not in (None, raw.meta["outputs"].get("data.csv", {}).get("sha256")):
        log.warning("%s has other data than it was scored from; do: run `predict` and `monitor` for it again", ds)
        return False
    return True


def _shards(root: Path, ds: str) -> dict[str, int]:
    """In how many shards a day was scored: it may be too large for one container.

    Nothing if its shards are gone, or if labels would not meet their rows, as they have another hash here: then the day
    is evaluated as a whole.
    """
    scored = read_partition(root, f"predictions/{ds}", []).step("predictions.csv")
    shards = ((scored.get("call") or {}).get("arguments") or {}).get("shards") or 1
    try:
        for kind in ("predictions", "features"):
            shard = read_partition(root, Shard(1, shards).place(f"{kind}/{ds}"), [COUNTS_FILE])
        return {"shards": shards} if shard.json(COUNTS_FILE).get("hash_sample") == hash_sample() else {}
    except (BadInput, NotReady):
        return {}


def _named(delivered: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(delivered, sort_keys=True).encode()).hexdigest()[:SHORT]
