"""`resolve` and `offer`: which model serves, and what a new one brings."""

import hashlib
import json

import pytest
from conftest import DAY, EARLIER_DAY, World, load_fixture

OLDEST_DAY = "2026-11-07"


def test_resolve_takes_the_newest_validated_model(world: World) -> None:
    world.validated(EARLIER_DAY)
    world.train(DAY)
    result = world.run("resolve")
    assert result.code == 0, result.errors
    assert result.result["model"] == f"models/{EARLIER_DAY}"
    assert result.result["source"] == "newest validated"
    assert f"passed over: models/{DAY} is not validated" in result.errors
    world.validated(DAY)
    assert world.run("resolve", "--model", "").result["model"] == f"models/{DAY}"


@pytest.mark.parametrize("absolute", [False, True])
def test_resolve_takes_the_model_that_was_named(world: World, absolute: bool) -> None:
    world.validated(EARLIER_DAY)
    world.validated(DAY)
    name = f"models/{EARLIER_DAY}"
    result = world.run("resolve", "--ds", DAY, "--model", str(world.root / name) if absolute else name).result
    assert (result["model"], result["source"]) == (name, "variable")
    assert result["model_sha256"] == hashlib.sha256((world.root / name / "model.txt").read_bytes()).hexdigest()
    metrics = json.loads((world.root / name / "metrics.json").read_text())
    assert result["metrics"]["roc_auc"] == metrics["roc_auc"]


def test_resolve_passes_over_a_damaged_model(world: World) -> None:
    world.validated(EARLIER_DAY)
    name = world.validated(DAY)
    with (world.root / name / "encoder.json").open("a") as file:
        file.write(" ")
    result = world.run("resolve")
    assert result.result["model"] == f"models/{EARLIER_DAY}"
    assert f"passed over: {name}/encoder.json" in result.errors


def test_resolve_fails_for_a_named_model_that_is_damaged(world: World) -> None:
    world.validated(EARLIER_DAY)
    name = world.validated(DAY)
    (world.root / name / "reference_scores.csv").unlink()
    result = world.run("resolve", "--model", name)
    assert result.code == 3
    assert "reference_scores.csv is gone" in result.errors


@pytest.mark.parametrize("trained", [False, True])
def test_resolve_without_a_validated_model_says_what_to_do(world: World, trained: bool) -> None:
    if trained:
        world.train()
    result = world.run("resolve")
    assert result.code == 4
    assert "run the Dag train_model, or set the Airflow Variable model_path" in result.errors


def test_resolve_of_a_named_model_waits_until_it_is_validated(world: World) -> None:
    world.train()
    assert world.run("resolve", "--model", f"models/{DAY}").code == 4
    assert world.run("resolve", "--model", "raw/x").code == 2


def test_offer_compares_with_the_validated_model_before(world: World) -> None:
    world.validated(OLDEST_DAY)
    world.train(EARLIER_DAY)  # not validated: passed over
    world.fixture = load_fixture("steep")
    world.validated(DAY)
    before = world.tree()
    result = world.run("offer", "--ds", DAY)
    assert result.code == 0, result.errors
    old, new = (json.loads((world.root / f"models/{ds}/metrics.json").read_text()) for ds in (OLDEST_DAY, DAY))
    assert (result.result["candidate"], result.result["previous"]) == (f"models/{DAY}", f"models/{OLDEST_DAY}")
    assert result.result["metrics"]["log_loss"] == new["log_loss"]
    assert result.result["difference"]["log_loss"] == pytest.approx(new["log_loss"] - old["log_loss"])
    assert result.result["difference"]["log_loss"] != 0
    assert "model_path" in result.errors
    assert "roc_auc" in result.errors
    assert world.tree() == before


def test_offer_of_the_first_model_has_nothing_to_compare(world: World) -> None:
    world.validated(DAY)
    result = world.run("offer", "--ds", DAY).result
    assert (result["previous"], result["difference"]) == (None, {})


def test_offer_does_not_compare_with_a_later_model(world: World) -> None:
    world.validated(EARLIER_DAY)
    world.validated(DAY)
    assert world.run("offer", "--ds", EARLIER_DAY).result["previous"] is None


def test_offer_waits_for_validation(world: World) -> None:
    assert world.run("offer", "--ds", DAY).code == 4
    world.train()
    assert world.run("offer", "--ds", DAY).code == 4


@pytest.mark.parametrize("file", ["model.txt", "encoder.json", "reference_scores.csv", "metrics.json"])
def test_offer_verifies_every_file(world: World, file: str) -> None:
    name = world.validated()
    path = world.root / name / file
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    result = world.run("offer", "--ds", DAY)
    assert result.code == 3
    assert file in result.errors
