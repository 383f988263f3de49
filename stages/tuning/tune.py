"""The command `tune`: searches on a day's training rows, publishes all trials and the best parameters."""

import hashlib
import json
import logging
import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Partition, Publication, available_cpus, publish, read_partition
from stagekit.as_of import check_as_of
from stagekit.contract import read_encoder, write_document

from journal import JOURNAL_FILE, Journal

# Not val.csv: its rows judge the model that is trained later, so the search must not see them.
INPUTS = ("train.csv", "encoder.json")
TRIALS_FILE, BEST_FILE = "trials.jsonl", "best.json"

log = logging.getLogger("tuning")


def tune(args: Namespace) -> Mapping[str, Any]:
    """Search on processed/{ds}, publish tuning/{ds}; returns rows, trials, and the best one beside the defaults."""
    processed = read_partition(args.data_dir, f"processed/{args.ds}", INPUTS)
    check_as_of(processed, "train.csv", args.as_of, "preprocessing split")
    encoder = read_encoder(processed)
    parameters = {"seed": args.seed, "val_fraction": args.val_fraction}

    def work(publication: Publication) -> Mapping[str, Any]:
        # LightGBM and Optuna take seconds to load, and a search that is up to date is found without them.
        import lightgbm

        from search import NativeLog, search
        from search_rows import load_rows

        lightgbm.register_logger(NativeLog())
        threads = available_cpus()
        rows = load_rows(processed, publication.scratch, encoder, args.val_fraction, args.seed, threads)
        with Journal(publication.folder, _fingerprint(processed, parameters)) as journal:
            found = search(rows, len(encoder.classes), journal, args.trials, args.minutes, args.seed, threads)
            publication.path(TRIALS_FILE).write_bytes(journal.text(found.trials))
        publication.rows[TRIALS_FILE] = found.trials
        document = {
            "version": 1,
            "metric": found.metric,
            "trial": found.best.number,
            "value": found.best.value,
            "defaults": found.defaults.value,
            "parameters": found.best.parameters,
            "best_iteration": found.best.best_iteration,
            "trials": found.trials,
            "rows": rows.counts,
            "validated_on": rows.chosen,
        }
        write_document(publication.path(BEST_FILE), document)
        warnings = _warnings(found.trials, args.trials, args.minutes)
        return {
            **{name: value for name, value in document.items() if name != "version"},
            "pruned": found.pruned,
            **({"warnings": warnings} if warnings else {}),
        }

    target = f"tuning/{args.ds}"
    result = publish(args, target, "tune", work, inputs=[processed], parameters=parameters, seed=args.seed)
    if "best_iteration" in result and "cached" not in result:
        # Only now: until the result is published, a search that is killed continues from the journal.
        (args.data_dir / target / JOURNAL_FILE).unlink(missing_ok=True)
    return result


def _warnings(done: int, wanted: int, minutes: float | None) -> list[str]:
    if done < wanted:
        return [f"{minutes:g} minutes were enough for {done} of {wanted} trials; --trials {done} gives the same result"]
    return []


def _fingerprint(processed: Partition, parameters: Mapping[str, Any]) -> str:
    """What decides a trial, in addition to the trials before it, as a sha256."""
    known = [os.environ.get("ML_IMAGE"), processed.hashes, dict(parameters)]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
