"""What a run records: where its model comes from, and figures that MLflow can draw."""

import pytest
from conftest import DAY, MODEL, World
from stagekit import read_partition

from runs import describe, figures, read_origins, run_tags
from server import Settings


def test_origins_lead_back_to_the_raw_data(world: World) -> None:
    data = read_origins(world.root, world.publish_model()).files
    raw = read_partition(world.root, f"raw/{DAY}", ["data.csv", "schema.json"])
    assert data.items() >= raw.hashes.items()
    assert set(data) == {
        *raw.hashes, *(f"processed/{DAY}/{file}" for file in ("train_data.csv", "train.csv", "val.csv")),
    }  # fmt: skip


def test_origins_end_with_a_warning_where_the_data_was_published_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    model = world.publish_model()
    world.publish(f"processed/{DAY}", "prepare", {"train_data.csv": "id\n2\n"})
    data = read_origins(world.root, model).files
    assert data == model.inputs("model.txt"), "what the training read is known, what that was made from is not"
    assert "not recorded" in caplog.text


def test_warnings_of_all_steps_are_a_tag_and_in_the_text_of_the_version(world: World) -> None:
    model = world.publish_model(warnings={"split": ["a key has a date"], "validate": ["x equals the target", "more"]})
    origins = read_origins(world.root, model)
    tags = run_tags(DAY, model, origins)
    said = ["split: a key has a date", "validate: x equals the target", "validate: more"]
    assert tags["airflow_ml.warnings"].splitlines() == said
    text = describe(Settings("", "", "", ""), DAY, model, origins.warnings)
    assert "\n".join(f"- {one}" for one in said) in text


def test_model_without_warnings_has_no_tag_of_them(world: World) -> None:
    model = world.publish_model()
    assert "airflow_ml.warnings" not in run_tags(DAY, model, read_origins(world.root, model))


def test_model_card_is_in_the_text_of_the_version_and_fits(world: World) -> None:
    model = world.publish_model()
    text = describe(Settings("", "", "", ""), DAY, model, "")
    assert "Model card" not in text
    card = "# Model card\n\n## Purpose\n\nStops fraud.\n"
    metrics = (model / "metrics.json").read_text(encoding="utf-8")
    world.publish(MODEL, "validate", {"metrics.json": metrics, "model_card.md": card})
    model = read_partition(world.root, MODEL, sorted(read_partition(world.root, MODEL, []).meta["outputs"]))
    assert describe(Settings("", "", "", ""), DAY, model, "") == f"{text}\n\n{card.strip()}"
    world.publish(MODEL, "validate", {"metrics.json": metrics, "model_card.md": card * 100})
    model = read_partition(world.root, MODEL, ["metrics.json", "model_card.md"])
    assert describe(Settings("", "", "", ""), DAY, model, "").endswith(" [...cut]")


@pytest.mark.parametrize("lines", [2, 40, 200])
def test_card_and_link_stay_where_many_warnings_have_no_room(world: World, lines: int) -> None:
    metrics = (world.publish_model() / "metrics.json").read_text(encoding="utf-8")
    card = "# Model card\n\n" + "One line of the card, no more.\n" * lines
    world.publish(MODEL, "validate", {"metrics.json": metrics, "model_card.md": card})
    model = read_partition(world.root, MODEL, ["metrics.json", "model_card.md"])
    warnings = [f"validate: the feature number {number} decides the target alone" for number in range(100)]
    text = describe(Settings("", "", "http://reports", ""), DAY, model, "\n".join(warnings))
    assert len(text) <= 4000
    assert f"(http://reports/{DAY}/)" in text
    assert text.count("One line of the card, no more.") >= min(lines, 100)
    shown = text.count(" decides the target alone")
    assert text.endswith(f"- {100 - shown} more in the tag `airflow_ml.warnings`")
    assert (shown > 30) == (lines < 200)


def test_figures_are_what_mlflow_can_draw() -> None:
    found = {
        "huge": 10**400,
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": None,
        "e": float("nan"),
        "f": float("inf"),
        "g": [1],
        "h": "1",
    }
    assert figures(found) == {"a": 1.0, "b": 0.5}
