"""`evaluate` refuses what does not belong together, is torn, or was not made by us, and publishes nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import DAY, EARLIER_DAY, World, load_fixture
from scored import MODEL, scored, targets_of
from stagekit import Publication, read_partition


def train_again(world: World) -> None:
    world.fixture = load_fixture("binary_complete")
    world.validated(EARLIER_DAY)


def prepare_again(world: World) -> None:
    world.prepare(MODEL, world.features(2))


def deliver_other_data(world: World) -> None:
    """The features were made from data that is no longer there."""
    world.publish(f"raw/{DAY}", "deliver", {"data.csv": "order\n1\n"})
    made = [read_partition(world.root, f"raw/{DAY}", ["data.csv"]), read_partition(world.root, MODEL, ["encoder.json"])]
    world.publish(f"features/{DAY}", "features", {"features.csv": world.features()}, made)
    assert world.run("predict", "--ds", DAY, "--model", MODEL).code == 0
    world.publish(f"raw/{DAY}", "deliver", {"data.csv": "order\n2\n"})


def tear(name: str) -> Callable[[World], None]:
    def cut(world: World) -> None:
        path = world.root / name
        path.write_bytes(path.read_bytes()[:-20])

    return cut


def deliver_other_target(world: World) -> None:
    world.publish(f"raw/{DAY}", "deliver", {"target.csv": "order,line,returned\n1,1,0\n"})


def label_for_another_model(world: World) -> None:
    target = read_partition(world.root, f"raw/{DAY}", ["target.csv"])
    files = {file: (world.root / "labels" / DAY / file).read_bytes() for file in ("labels.csv", "rejected.csv")}
    world.publish(f"labels/{DAY}", "label", files, [target])


def remove_labels(world: World) -> None:
    (world.root / "labels" / DAY / "_meta.json").unlink()


def label_as(text: str) -> Callable[[World], None]:
    return lambda world: world.label([], labels=text)


def label_without_counts(world: World) -> None:
    inputs = [
        read_partition(world.root, f"raw/{DAY}", ["target.csv"]),
        read_partition(world.root, MODEL, ["encoder.json"]),
    ]
    files = {file: (world.root / "labels" / DAY / file).read_bytes() for file in ("labels.csv", "rejected.csv")}
    world.publish(f"labels/{DAY}", "label", files, inputs)


def change_predictions(old: str, new: str) -> Callable[[World], None]:
    """Predictions that nothing of ours wrote, under a mark that says it did."""

    def change(world: World) -> None:
        partition = read_partition(world.root, f"predictions/{DAY}", ["predictions.csv"])
        text = (partition / "predictions.csv").read_text().replace(old, new, 1)
        inputs = [
            read_partition(world.root, f"features/{DAY}", ["features.csv"]),
            read_partition(world.root, MODEL, ["model.txt", "encoder.json", "metrics.json"]),
        ]
        with Publication(
            world.root, f"predictions/{DAY}", "predict", inputs=inputs, parameters={"model": MODEL}
        ) as publication:
            publication.path("predictions.csv").write_text(text)

    return change


FAULTS: dict[str, tuple[Callable[[World], None], int, str]] = {
    "model_replaced": (train_again, 3, f"predictions/{DAY} was made with another {MODEL}/model.txt"),
    "features_replaced": (prepare_again, 3, f"predictions/{DAY} was made with another features/{DAY}/features.csv"),
    "data_replaced": (deliver_other_data, 3, f"features/{DAY} was made from another raw/{DAY}/data.csv"),
    "torn_predictions": (tear(f"predictions/{DAY}/predictions.csv"), 3, "as its mark says"),
    "torn_features": (tear(f"features/{DAY}/features.csv"), 3, "as its mark says"),
    "torn_labels": (tear(f"labels/{DAY}/labels.csv"), 3, "as its mark says"),
    "no_labels": (remove_labels, 4, f"raw/{DAY}/target.csv is there, its labels are not"),
    "labels_of_another_target": (deliver_other_target, 4, f"do: run `preprocessing label --ds {DAY}`"),
    "labels_of_another_model": (label_for_another_model, 4, f"was made from another {MODEL}/encoder.json"),
    "labels_without_counts": (label_without_counts, 3, f"the mark of labels/{DAY} does not count the rows"),
    "labels_of_an_earlier_release": (label_as("order,line,code,class\n00000,1,1,1\n"), 3, "missing columns: returned"),
    "label_columns": (label_as("order,returned\n00000,1\n"), 3, "labels.csv: missing columns: line"),
    "torn_baseline": (tear(f"{MODEL}/baseline.json"), 3, "as its mark says"),
    "other_class": (change_predictions("00000,0,", "00000,0,x"), 3, "row 1: the prediction is 'x"),
    "no_number": (change_predictions("00000,0,0,", "00000,0,0,x"), 3, "predictions.csv: row 1: probability_0 is 'x"),
}


@pytest.mark.parametrize(("spoil", "code", "said"), FAULTS.values(), ids=FAULTS)
def test_evaluate_refuses_what_does_not_belong_together(
    world: World, spoil: Callable[[World], None], code: int, said: str
) -> None:
    scored(world)
    world.target(targets_of(world))
    spoil(world)
    before = world.tree()
    result = world.run("evaluate", "--ds", DAY)
    assert (result.code, said in result.errors) == (code, True), result.errors
    assert world.tree() == before
    assert not (world.root / "reports" / DAY).exists()


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"version": 2}, "baseline.json: version is 2; expected: 1"),
        ({"version": 1, "rows": 1, "features": []}, "baseline.json: the whole file has no score"),
        (
            {"version": 1, "rows": 1, "features": [], "score": {"labels": ["any value"], "edges": [], "counts": [1]}},
            "its features are not those of the encoder",
        ),
    ],
)
def test_evaluate_refuses_a_damaged_baseline(world: World, document: dict[str, Any], said: str) -> None:
    scored(world)
    model = read_partition(world.root, MODEL, ["model.txt"])
    metrics = (world.root / MODEL / "metrics.json").read_bytes()
    with Publication(world.root, MODEL, "validate", inputs=[model]) as publication:
        publication.path("metrics.json").write_bytes(metrics)
        publication.path("baseline.json").write_text(json.dumps(document))
    result = world.run("evaluate", "--ds", DAY)
    assert result.code == 3
    assert said in result.errors


def test_evaluate_waits_for_predictions(world: World) -> None:
    world.validated()
    assert world.run("evaluate", "--ds", DAY).code == 4


def test_evaluate_refuses_rules_it_does_not_know(world: World) -> None:
    result = world.run("evaluate", "--ds", DAY, "--rules-json", '{"drop": 1}')
    assert result.code == 2
    assert "unknown key 'drop'; expected: only feature_psi, score_psi" in result.errors
