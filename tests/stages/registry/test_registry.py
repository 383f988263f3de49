"""The command line, and what needs no server: a model that was named, the last champion, refusals before any call."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import DAY, MODEL, NOWHERE, Answering, World
from stagekit import Publication, read_partition

import bundle

COMMANDS = {
    "register": ("register", "--ds", DAY),
    "decide": ("decide", "--ds", DAY, "--promote", "manual"),
    "promote": ("promote", "--version", "1", "--by", "me", "--reason", "why"),
    "roll-back": ("roll-back", "--by", "me", "--reason", "why"),
    "resolve": ("resolve",),
    "list": ("list",),
    "log-evaluation": ("log-evaluation", "--ds", DAY),
}
RUN = """
import sys, registry
try:
    code = registry.main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(code, "mlflow" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [("--help",), ("resolve", "--help"), ("promote", "--version", "x"), ("resolve",)])
def test_help_wrong_usage_and_a_server_that_is_down_do_not_wait_for_mlflow(world: World, arguments: list[str]) -> None:
    folder = () if "--help" in arguments else ("--data-dir", str(world.root))
    done = subprocess.run([sys.executable, "-c", RUN, *arguments, *folder], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1].endswith(" False"), done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_server_that_is_down_fails_every_command_and_is_named(world: World, command: str) -> None:
    model = world.publish_model()
    world.publish(f"comparisons/{DAY}", "compare", {"comparison.json": COMPARISON}, model)
    world.publish(f"reports/{DAY}", "evaluate", {"evaluation.json": EVALUATION, "index.html": "<html>"}, model)
    result = world.run(*COMMANDS[command])
    assert result.code == 1
    assert f"the MLflow server at {NOWHERE} is out of reach" in result.log
    assert "docker compose up -d mlflow" in result.log


COMPARISON = json.dumps({"version": 1, "champion": None, "passed": True, "reasons": ["good"]})
EVALUATION = json.dumps({"version": 1, "metrics": None, "drift": {"score": {"psi": 0.1}, "features": []}})


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"Invalid Host header", "--allowed-hosts"),
        (500, b"boom", "HTTP status 500: boom"),
        (503, b"", "HTTP status 503: nothing"),
        (404, b"<html>no such page</html>", "something else than MLflow"),
        (200, b'{"hello": 1}', "something else than MLflow"),
        (200, b"[]", "something else than MLflow"),
    ],
)
def test_answer_that_is_not_mlflows_is_shown(
    world: World, answering: Answering, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, said: str
) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    answering.status, answering.body = status, body
    result = world.run("resolve")
    assert result.code == 1
    assert said in result.log
    assert answering.address in result.log


def test_server_that_takes_the_call_and_is_silent_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("ML_MLFLOW_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        result = world.run("list")
        assert time.monotonic() - started < 20
    assert result.code == 1
    assert "out of reach (timed out)" in result.log


def test_address_that_is_none_is_wrong_usage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_MLFLOW_URI", "mlflow:5000")
    assert world.run("resolve").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("promote", "--version", "0", "--by", "me", "--reason", "why"),
        ("promote", "--version", "1", "--by", " ", "--reason", "why"),
        ("promote", "--version", "1", "--by", "me"),
        ("roll-back", "--by", "me", "--reason", ""),
        ("decide", "--ds", DAY, "--promote", "perhaps"),
    ],
)
def test_promotion_without_a_record_is_wrong_usage(world: World, arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        world.run(*arguments)


@pytest.mark.parametrize("text", [MODEL, "{root}/" + MODEL])
def test_named_model_needs_no_server(world: World, text: str) -> None:
    model = world.publish_model()
    result = world.run("resolve", "--model", text.format(root=world.root), "--or-last", "--or-none")
    head = {"stage": "registry", "command": "resolve", "seconds": result.line["seconds"]}
    told = {"model": MODEL, "model_sha256": bundle.model_hash(model)}
    assert result.line == {**head, **told, "version": None, "run_id": None, "source": "variable"}
    assert not (world.root / "registry").exists(), "a choice is not the champion"


def test_named_model_must_be_whole_and_validated(world: World) -> None:
    assert world.run("resolve", "--model", MODEL).code == 4
    assert world.run("resolve", "--model", "raw/2026-11-15").code == 2
    model = world.publish_model()
    (model / "params.json").write_text("{}")
    damaged = world.run("resolve", "--model", MODEL)
    assert damaged.code == 3
    assert "params.json" in damaged.log


@pytest.mark.parametrize("command", ["register", "decide"])
def test_model_that_is_not_validated_is_refused_before_the_server_is_asked(world: World, command: str) -> None:
    model = world.publish(MODEL, "train", {"model.txt": "tree", "encoder.json": "{}"})
    world.publish(f"comparisons/{DAY}", "compare", {"comparison.json": COMPARISON}, model)
    result = world.run(*COMMANDS[command])
    assert result.code == 4
    assert "is not validated" in result.log


def test_comparison_of_another_model_is_refused(world: World) -> None:
    world.publish(f"comparisons/{DAY}", "compare", {"comparison.json": COMPARISON}, world.publish_model(trees="old"))
    world.publish_model(trees="new")
    result = world.run(*COMMANDS["decide"])
    assert result.code == 3
    assert f"run `prediction compare --ds {DAY}` again" in result.log


@pytest.mark.parametrize("text", ["[]", "{}", '{"passed": true, "reasons": [], "champion": 3}'])
def test_comparison_that_is_not_understood_is_refused(world: World, text: str) -> None:
    world.publish(f"comparisons/{DAY}", "compare", {"comparison.json": text}, world.publish_model())
    assert world.run(*COMMANDS["decide"]).code == 3


@pytest.mark.parametrize("text", ["[]", "{}", '{"metrics": null, "drift": {"score": 1, "features": []}}'])
def test_evaluation_that_is_not_understood_is_refused(world: World, text: str) -> None:
    world.publish(f"reports/{DAY}", "evaluate", {"evaluation.json": text, "index.html": "<html>"})
    assert world.run(*COMMANDS["log-evaluation"]).code == 3


def remember(world: World, sha256: str, model: str = MODEL) -> str:
    """What `resolve` leaves; returns when."""
    kept = {"version": "3", "run_id": "r", "model": model, "model_sha256": sha256, "name": "airflow-ml"}
    with Publication(world.root, "registry/production", "resolve", reuse=False) as publication:
        publication.path("resolved.json").write_text(json.dumps(kept))
    return str(read_partition(world.root, "registry/production", []).meta["steps"]["resolve"]["started"])


def test_last_champion_is_used_with_a_warning_that_says_since_when(world: World) -> None:
    digest = bundle.model_hash(world.publish_model())
    since = remember(world, digest)
    result = world.run("resolve", "--or-last")
    assert result.line.items() >= {"model": MODEL, "version": "3", "run_id": "r", "source": "last resolved"}.items()
    assert "WARNING" in result.log
    assert f"resolved last, at {since}" in result.log


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
