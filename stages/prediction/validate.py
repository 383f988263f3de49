"""`validate`: publishes what is measured of a trained model on its validation rows, and a model card. No library."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from stagekit import Publication, publish, read_partition
from stagekit.contract import read_encoder

from model_partition import ENCODER_FILE, MODEL_FILE, REFERENCE_FILE, check_trained_beside
from rules import CARD, DECISION, read_rules


def validate(args: Namespace) -> Mapping[str, Any]:
    """Publish metrics.json, curves.json, baseline.json and model_card.md of models/{ds}."""
    rules = read_rules(args.rules_json, DECISION)
    card = read_rules(args.card_json, CARD, "--card-json")
    model = read_partition(args.data_dir, f"models/{args.ds}", [MODEL_FILE, ENCODER_FILE, REFERENCE_FILE])
    processed = read_partition(args.data_dir, f"processed/{args.ds}", ["val.csv"])
    check_trained_beside(model, processed)
    encoder = read_encoder(model)

    def work(publication: Publication) -> dict[str, Any]:
        from validation import validate_model

        return validate_model(model, encoder, processed, rules, card, publication)

    return publish(args, model.name, "validate", work, inputs=[model, processed])
