"""`validate`: reads a trained model and its validation rows, publishes what was measured. Standard library only."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish, read_partition
from stagekit.contract import read_encoder

from model_partition import ENCODER_FILE, MODEL_FILE, REFERENCE_FILE, check_trained_beside
from rules import DECISION, read_rules


def validate(args: Namespace) -> Mapping[str, Any]:
    """Publish metrics.json, curves.json and baseline.json of models/{ds}."""
    rules = read_rules(args.rules_json, DECISION)
    model = read_partition(args.data_dir, f"models/{args.ds}", [MODEL_FILE, ENCODER_FILE, REFERENCE_FILE])
    processed = read_partition(args.data_dir, f"processed/{args.ds}", ["val.csv"])
    check_trained_beside(model, processed)
    encoder = read_encoder(model)

    def work(publication: Publication) -> dict[str, Any]:
        from validation import validate_model

        return validate_model(model, encoder, processed, rules, publication)

    return publish(args, model.name, "validate", work, inputs=[model, processed])
