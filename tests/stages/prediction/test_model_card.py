"""The model card that `validate` writes: what the model is for, its data, its figures with intervals, its limits."""

import json
from typing import Any

import pytest
from conftest import DAY, World, load_fixture


def card_json(**given: Any) -> str:
    return f"--card-json={json.dumps(given)}"


def card(world: World) -> str:
    return (world.root / "models" / DAY / "model_card.md").read_text(encoding="utf-8")


def test_card_says_purpose_owner_data_figures_and_limits(world: World) -> None:
    world.train()
    said = {"purpose": "Parcels that come back.", "owner": "The returns team", "limits": "Not for gifts."}
    assert world.run("validate", "--ds", DAY, card_json(**said)).code == 0
    text, metrics = card(world), world.json(f"models/{DAY}/metrics.json")
    for title, content in zip(("Purpose", "Owner", "Limits"), said.values(), strict=True):
        assert f"## {title}\n\n{content}\n" in text
    assert f"The window is {DAY}" in text
    assert f"measured on {metrics['rows']:,} rows that it has not learned from" in text
    assert f"`processed/{DAY}/val.csv`" in text
    for feature in world.fixture.features:
        assert f"`{feature}`" in text
    line = next(line for line in text.splitlines() if line.startswith("| roc_auc |"))
    _, _, value, bounds, _ = line.split("|")
    low, high = map(float, bounds.split(" to "))
    assert float(value) == pytest.approx(metrics["roc_auc"], abs=5e-5)
    assert low < float(value) < high
    assert f"from the score {metrics['threshold']:.4f} on" in text


def test_card_says_what_was_not_said(world: World) -> None:
    world.fixture = load_fixture("multiclass")
    world.validated()
    assert card(world).count("Not said; `card` of dags/rules.json has a place for it.") == 3
    assert "There are 3 classes" in card(world)
    assert "second class" not in card(world)
    assert "## Segments\n\nNo category has few enough values" in card(world)


def test_card_has_the_cost_and_the_capacity(world: World) -> None:
    world.train()
    rules = json.dumps({"costs": {"false_positive": 1, "false_negative": 9}, "capacity": 30})
    assert world.run("validate", "--ds", DAY, f"--rules-json={rules}").code == 0
    metrics = world.json(f"models/{DAY}/metrics.json")
    assert (
        "The second class is predicted for at most 30 rows a day, those with the highest scores. "
        f"Their scores are {metrics['threshold']:.4f} or more. A row costs {metrics['cost']:.4f}; "
        f"with the threshold of the greatest F1 and no capacity, {metrics['default_cost']:.4f}."
    ) in card(world)


def test_card_of_a_capacity_alone_says_where_it_ended_in_validation(world: World) -> None:
    world.train()
    assert world.run("validate", "--ds", DAY, f"--rules-json={json.dumps({'capacity': 30})}").code == 0
    score = world.json(f"models/{DAY}/metrics.json")["threshold"]
    assert f"the highest scores. Their scores are {score:.4f} or more in validation." in card(world)


def test_names_are_no_markdown(world: World) -> None:
    encoder = world.fixture.encoder
    encoder["target"]["name"] = "re`turned|\n# x"
    header, *rows = world.val().splitlines()
    val = "\n".join([header.replace("returned", '"re`turned|\n# x"'), *rows]) + "\n"
    world.train(encoder=json.dumps(encoder), val=val)
    result = world.run("validate", "--ds", DAY)
    assert result.code == 0, result.errors
    assert "It predicts `re'turned¦ # x`." in card(world)


@pytest.mark.parametrize("given", [{"team": "x"}, {"owner": 3}, {"owner": "x" * 1001}])
def test_what_the_card_is_given_is_checked(world: World, given: dict[str, Any]) -> None:
    world.train()
    result = world.run("validate", "--ds", DAY, card_json(**given))
    assert result.code == 2
    assert "--card-json" in result.errors
