"""Which model is in production, as far as it takes no server: a model that was named, the last champion."""

import json
from pathlib import Path

import pytest
from conftest import MODEL, World
from stagekit import Publication, read_partition

import bundle


@pytest.mark.parametrize("text", [MODEL, "{root}/" + MODEL])
def test_named_model_needs_no_server(world: World, text: str) -> None:
    model = world.publish_model()
    result = world.run("resolve", "--model", text.format(root=world.root), "--or-last", "--or-none")
    head = {"stage": "registry", "command": "resolve", "seconds": result.line["seconds"]}
    named = {"model": MODEL, "model_sha256": bundle.model_hash(model)}
    assert result.line == {**head, **named, "version": None, "run_id": None, "source": "variable"}
    assert not (world.root / "registry").exists(), "a choice is not the champion"


def test_named_model_must_be_whole_and_validated(world: World) -> None:
    assert world.run("resolve", "--model", MODEL).code == 4
    assert world.run("resolve", "--model", "raw/2026-11-15").code == 2
    model = world.publish_model()
    (model / "params.json").write_text("{}")
    damaged = world.run("resolve", "--model", MODEL)
    assert damaged.code == 3
    assert "params.json" in damaged.log


def remember(world: World, sha256: str, model: str = MODEL) -> str:
    """What `resolve` leaves; returns when."""
    kept = {"version": "3", "run_id": "r", "model": model, "model_sha256": sha256, "name": "airflow-ml"}
    with Publication(world.root, "registry/production", "resolve") as publication:
        publication.path("resolved.json").write_text(json.dumps(kept))
    return str(read_partition(world.root, "registry/production", []).meta["steps"]["resolve"]["started"])


def test_last_champion_is_used_with_a_warning_that_says_since_when(world: World) -> None:
    digest = bundle.model_hash(world.publish_model())
    since = remember(world, digest)
    result = world.run("resolve", "--or-last")
    assert result.line.items() >= {"model": MODEL, "version": "3", "run_id": "r", "source": "last resolved"}.items()
    assert "WARNING" in result.log
    assert f"resolved last, at {since}" in result.log
    # What makes Airflow send an alert.
    (reason,) = result.line["breaches"]
    assert "is out of reach" in reason
    assert reason.endswith(f"used {MODEL}, version 3: the champion when it was resolved last, at {since}")


def test_last_champion_that_was_replaced_is_found_restored_or_refused(world: World) -> None:
    remember(world, bundle.model_hash(world.publish_model(trees="old")))
    world.publish_model(trees="new")
    refused = world.run("resolve", "--or-last")
    assert refused.code == 1
    assert "is out of reach" in refused.log
    assert f"{MODEL} and {MODEL}-v3 are not the model that was resolved last" in refused.log
    world.publish_model(f"{MODEL}-v3", trees="old")
    assert world.run("resolve", "--or-last").line["model"] == f"{MODEL}-v3"


def test_last_champion_of_another_registered_model_is_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(world, bundle.model_hash(world.publish_model()))
    monkeypatch.setenv("ML_MODEL_NAME", "another")
    result = world.run("resolve", "--or-last")
    assert result.code == 1
    assert "resolved.json is of airflow-ml; expected: the champion of another" in result.log


def test_without_a_last_champion_the_server_is_what_failed(world: World) -> None:
    result = world.run("resolve", "--or-last", "--or-none")
    assert result.code == 1
    assert "is out of reach" in result.log


def test_last_champion_does_not_stand_in_for_one_of_the_past(world: World) -> None:
    remember(world, bundle.model_hash(world.publish_model()))
    assert world.run("resolve", "--or-last", "--as-of", "2026-11-14").code == 1
    assert world.run("resolve", "--as-of", "soon").code == 2


def test_empty_arguments_count_as_not_given(world: World) -> None:
    remember(world, bundle.model_hash(world.publish_model()))
    result = world.run("resolve", "--model", "", "--as-of", "", "--or-last")
    assert result.line["source"] == "last resolved"


def test_nothing_is_written_where_nothing_is_resolved(world: World) -> None:
    world.publish_model()
    before = sorted(Path(path) for path in world.root.rglob("*"))
    world.run("resolve")
    assert sorted(world.root.rglob("*")) == before


@pytest.mark.parametrize(
    "content", [{}, {"version": 3}, {"version": "3", "run_id": "r", "model": MODEL, "model_sha256": "0", "name": None}]
)
def test_last_champion_that_is_not_understood_is_refused(world: World, content: dict[str, object]) -> None:
    world.publish("registry/production", "resolve", {"resolved.json": json.dumps(content)})
    result = world.run("resolve", "--or-last")
    assert result.code == 1
    assert "resolved.json has no" in result.log
