"""The command `train`: fits a model to a day's encoded data and publishes it."""

import json
import logging
import os
from argparse import Namespace
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from stagekit import LATER, Partition, Publication, available_cpus, progress, publish, read_partition
from stagekit.as_of import check_as_of
from stagekit.contract import Encoder, read_encoder
from stagekit.workspace import Workspace

from ranks import Ranks, meet
from tuned import find_tuned

INPUTS = ("train.csv", "val.csv", "encoder.json")

log = logging.getLogger("training")


def train(args: Namespace) -> Mapping[str, Any]:
    """Train on processed/{ds}, publish models/{ds}; returns rows, classes, best iteration and metrics.

    With --check-parameters, read no data and return the parameters that were given.
    """
    if args.check_parameters:
        return check_parameters(args)
    processed = read_partition(args.data_dir, f"processed/{args.ds}", INPUTS)
    check_as_of(processed, "train.csv", args.as_of, "preprocessing split")
    encoder = read_encoder(processed)
    what = {"ranks": args.ranks, "image": os.environ.get("ML_IMAGE"), "inputs": dict(processed.hashes)}
    # Whether a model is up to date is known to any one rank.
    with meet(1 if args.explain else args.ranks, what) as ranks:
        if ranks.number:
            return _assist(args, processed, encoder, ranks)
        result = _lead(args, processed, encoder, ranks)
        ranks.finish(result)
        return result


def _lead(args: Namespace, processed: Partition, encoder: Encoder, ranks: Ranks) -> Mapping[str, Any]:
    """What rank 0 does, or the only one: it publishes."""
    tuned = find_tuned(args.data_dir, args.ds, processed, args.tuned_max_age, args.as_of)

    def work(publication: Publication) -> Mapping[str, Any]:
        # LightGBM takes a second to load, and a model that is up to date is found without it.
        import lightgbm

        from fitting import NativeLog, fit, load_tables, shown
        from lightgbm_parameters import complete, gather, try_out
        from model_files import write_model
        from warn import find_warnings

        given = gather(args.params, args.params_json, args.param)
        found = tuned.parameters if tuned else {}
        used = {"tuned": tuned.used(given)} if tuned else {}
        parameters = complete({**found, **given}, len(encoder.classes), available_cpus())
        try_out(parameters, len(encoder.features), len(encoder.classes))
        parameters.update(ranks.parameters)
        publication.set_parameters(parameters, seed=parameters["seed"])
        lightgbm.register_logger(NativeLog())
        ranks.begin(parameters)
        tables = load_tables(processed, publication.scratch, encoder, parameters, ranks)
        threads, changed = parameters["num_threads"], json.dumps(given) if given else "the defaults"
        if tuned:
            log.info("from %s, trial %d: %s", tuned.partition.name, tuned.trial, json.dumps(dict(found)))
            changed = f"{json.dumps(given)} over these" if given else "these"
        log.info("training, objective %s, %d threads, parameters: %s", parameters["objective"], threads, changed)
        most = parameters["num_iterations"]
        with progress("training", most, "iterations") as advance:

            def each(iteration: int, values: Mapping[str, float]) -> None:
                advance(1)
                if iteration % args.log_every == 0:
                    log.info("iteration %d of at most %d: %s", iteration, most, shown(values))

            fitted = fit(tables, parameters, each, ranks)
        ranks.send(stop=True)
        log.info("best iteration %d: %s", fitted.best_iteration, shown(fitted.validation))
        warnings = find_warnings(tables.rows, encoder.features, fitted)
        return {
            "model": publication.name,
            "rows": tables.rows,
            "features": len(encoder.features),
            "classes": list(encoder.classes),
            "best_iteration": fitted.best_iteration,
            "validation": fitted.validation,
            "top_features": write_model(publication, processed, encoder, fitted, tables.rows, used),
            **used,
            **({"warnings": warnings} if warnings else {}),
        }

    # The parameters follow from the command line, the target's classes and the image: LightGBM completes them.
    inputs = [processed, *([tuned.partition] if tuned else [])]
    return publish(args, f"models/{args.ds}", "train", work, inputs=inputs, parameters=LATER)


def _assist(args: Namespace, processed: Partition, encoder: Encoder, ranks: Ranks) -> Mapping[str, Any]:
    """What another rank does: it trains with rank 0, and returns its result."""
    if parameters := ranks.join():
        import lightgbm

        from fitting import NativeLog, fit, load_tables

        lightgbm.register_logger(NativeLog())
        parameters["num_threads"] = available_cpus()
        with closing(Workspace(args.data_dir / f"models/{args.ds}", "train")) as workspace:
            tables = load_tables(processed, workspace.scratch, encoder, parameters, ranks)
            fit(tables, parameters, lambda _iteration, _values: None, ranks)
    return ranks.result()


def check_parameters(args: Namespace) -> Mapping[str, Any]:
    """Refuse parameters that no training would take; which values fit, LightGBM itself checks on the data.

    Errors: UsageError with the names that come closest.
    """
    from lightgbm_parameters import check, gather

    given = gather(args.params, args.params_json, args.param)
    check(given)
    log.info("these parameters can be used: %s", json.dumps(given) if given else "the defaults")
    return {"parameters": given}
