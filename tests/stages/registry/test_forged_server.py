"""What an MLflow server returns may be forged: each command refuses it with exit code 3, and writes nothing of it."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DAY, METRICS, MODEL, Answering, World, encoder

import rest
from registered_model import SIGNATURE
from signature import sign

API, ARTIFACTS = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"
KEY = "champion.2026-11-15T02:00:00.000000Z"
EVENT = {"version": "1", "kind": "promote", "by": "me", "reason": "why", "run": None}
BAD_INPUT = 3


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def as_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


class Mlflow:
    """Version 1 is registered and promoted. A test changes a part, then lets a server answer it."""

    def __init__(self) -> None:
        self.files = {
            "model.txt": b"tree",
            "metrics.json": json.dumps(METRICS).encode(),
            "encoder.json": json.dumps(encoder()).encode(),
        }
        outputs = {name: {"sha256": sha256(content)} for name, content in self.files.items()}
        self.files |= {"_meta.json": json.dumps({"outputs": outputs}).encode(), "MLmodel": b"flavors: {}"}
        self.tags = {
            "airflow_ml.ds": DAY,
            "airflow_ml.model": MODEL,
            "airflow_ml.model_sha256": sha256(b"tree"),
            "airflow_ml.files": json.dumps({name: sha256(content) for name, content in self.files.items()}),
        }
        self.events = {KEY: json.dumps(EVENT)}
        self.version: dict[str, Any] = {"name": "airflow-ml", "version": "1", "run_id": "r"}
        self.run: dict[str, Any] = {"run_id": "r", "artifact_uri": "mlflow-artifacts:/1/r/artifacts"}
        self.aliases = [{"alias": "champion", "version": "1"}]

    def list_file(self, name: str, content: bytes) -> None:
        """Put a file into the bundle, and into the record of it."""
        self.files[name] = content
        listed = {**json.loads(self.tags["airflow_ml.files"]), name: sha256(content)}
        self.tags["airflow_ml.files"] = json.dumps(listed)

    def answer(self, server: Answering) -> None:
        model = {"name": "airflow-ml", "tags": as_tags(self.events), "aliases": self.aliases}
        version = {**self.version, "tags": as_tags(self.tags)}
        bodies: dict[str, Any] = {
            "experiments/get-by-name": {"experiment": {"experiment_id": "1", "lifecycle_stage": "active"}},
            "registered-models/get": {"registered_model": model},
            "model-versions/get": {"model_version": version},
            "model-versions/search": {"model_versions": [version]},
            "runs/get": {"run": {"info": self.run, "data": {}}},
        }
        server.bodies = {f"{API}/{path}": json.dumps(body).encode() for path, body in bodies.items()}
        server.bodies[ARTIFACTS] = b'{"files": []}'
        for name, content in self.files.items():
            server.bodies[f"{ARTIFACTS}/1/r/artifacts/model/{name}"] = content


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch, answering: Answering) -> Mlflow:
    monkeypatch.setenv("ML_MLFLOW_URI", answering.address)
    return Mlflow()


def files_below(world: World) -> set[str]:
    """The files of the whole test but locks, also those beside the data folder."""
    top = world.root.parent
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and path.name != ".lock"}


def test_genuine_version_is_restored(world: World, mlflow: Mlflow, answering: Answering) -> None:
    mlflow.answer(answering)
    result = world.run("resolve")
    assert result.line.items() >= {"model": f"{MODEL}-v1", "version": "1", "source": "champion"}.items(), result.log
    folder = f"data/{MODEL}-v1"
    kept = ("model.txt", "metrics.json", "encoder.json", "_meta.json")
    assert {name for name in files_below(world) if name.startswith(folder)} == {f"{folder}/{name}" for name in kept}


def event(**changed: object) -> str:
    return json.dumps({**EVENT, **changed})


FORGED_EVENTS = {
    "no JSON": (KEY, "no JSON"),
    "list": (KEY, "[]"),
    "number": (KEY, "3"),
    "nested": (KEY, "[" * 3000),
    "NaN": (KEY, event(version=float("nan"))),
    "infinite": (KEY, event(version=float("inf"))),
    "number of a version": (KEY, event(version=1)),
    "true": (KEY, event(version=True)),
    "version 0": (KEY, event(version="0")),
    "negative": (KEY, event(version="-1")),
    "underscore": (KEY, event(version="1_0")),
    "digits of others": (KEY, event(version="１")),
    "long": (KEY, event(version="1" * 4400)),
    "path": (KEY, event(version="../1")),
    "kind": (KEY, event(kind="demote")),
    "list of kinds": (KEY, event(kind=["promote"])),
    "run": (KEY, event(run={})),
    "reason": (KEY, event(reason=3)),
    "no who": (KEY, json.dumps({key: value for key, value in EVENT.items() if key != "by"})),
    "unknown member": (KEY, event(signature="x")),
    "member twice": (KEY, event()[:-1] + ', "version": "2"}'),
    "no time": ("champion.yesterday", event()),
    "last moment": ("champion.9999-12-31T23:59:59.999999Z", event()),
    "before the first moment": ("champion.0001-01-01T00:00:00.000000+09:00", event()),
    "other text of the moment": ("champion.2026-11-15T02:00:00.0Z", event()),
    "day": ("champion.2026-11-15", event()),
}
COMMANDS = {
    "resolve": ("resolve",),
    "list": ("list",),
    "check": ("sign", "--check"),
    "tidy": ("tidy", "--before", "2999-01-01"),
    "promote": ("promote", "--version", "1", "--by", "me", "--reason", "why"),
    "roll-back": ("roll-back", "--by", "me", "--reason", "why"),
}


@pytest.mark.parametrize("case", FORGED_EVENTS)
def test_forged_event_is_refused_and_named(world: World, mlflow: Mlflow, answering: Answering, case: str) -> None:
    key, value = FORGED_EVENTS[case]
    mlflow.events[key] = value
    mlflow.answer(answering)
    before = files_below(world)
    result = world.run("resolve")
    assert result.code == BAD_INPUT, result.log
    assert f"the tag '{key}' is no event" in result.log
    assert "Traceback" not in result.log
    assert files_below(world) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_the_events_refuses_a_forged_one(
    world: World, mlflow: Mlflow, answering: Answering, command: str
) -> None:
    mlflow.events["champion.yesterday"] = "{}"
    mlflow.answer(answering)
    result = world.run(*COMMANDS[command])
    assert result.code == BAD_INPUT, result.log
    assert "correct or remove that tag in MLflow" in result.log


def forge_number(mlflow: Mlflow) -> None:
    mlflow.version["version"] = "first"


def forge_alias(mlflow: Mlflow) -> None:
    mlflow.aliases = [{"alias": "challenger", "version": "newest"}]


def forge_unknown_tag(mlflow: Mlflow) -> None:
    mlflow.tags["airflow_ml.owner"] = "me"


def forge_no_files(mlflow: Mlflow) -> None:
    del mlflow.tags["airflow_ml.files"]


def forge_no_mark(mlflow: Mlflow) -> None:
    listed = json.loads(mlflow.tags["airflow_ml.files"])
    del listed["_meta.json"]
    mlflow.tags["airflow_ml.files"] = json.dumps(listed)


def forge_path(mlflow: Mlflow) -> None:
    mlflow.list_file("../../escaped", b"out")


def forge_partition(mlflow: Mlflow) -> None:
    mlflow.tags["airflow_ml.model"] = "models/../../2026-11-15"


def forge_mark(mlflow: Mlflow) -> None:
    mlflow.list_file("_meta.json", b"[]")


def forge_rows(mlflow: Mlflow) -> None:
    outputs = {name: {"sha256": sha256(content), "rows": "x"} for name, content in mlflow.files.items()}
    mlflow.list_file("_meta.json", json.dumps({"outputs": outputs}).encode())


def forge_bytes(mlflow: Mlflow) -> None:
    mlflow.files["model.txt"] = b"another tree"


def forge_missing_file(mlflow: Mlflow) -> None:
    del mlflow.files["model.txt"]


def forge_place(mlflow: Mlflow) -> None:
    mlflow.run["artifact_uri"] = "file:///etc"


def forge_cloud(mlflow: Mlflow) -> None:
    mlflow.run["artifact_uri"] = "s3://bucket/artifacts"


def forge_way_out(mlflow: Mlflow) -> None:
    mlflow.run["artifact_uri"] = "mlflow-artifacts:/1/../../../../2.0/mlflow"


FORGED_VERSIONS: dict[Callable[[Mlflow], None], str] = {
    forge_number: "is not understood",
    forge_alias: "the alias challenger",
    forge_unknown_tag: "airflow_ml.owner is unknown",
    forge_no_files: "has no tag airflow_ml.files",
    forge_no_mark: "does not name _meta.json",
    forge_path: "not the name of a file",
    forge_partition: "not models/YYYY-MM-DD",
    forge_mark: "_meta.json that is registered",
    forge_rows: "_meta.json that is registered",
    forge_bytes: "model.txt has sha256",
    forge_missing_file: "model.txt is gone",
    forge_place: "keeps its artifacts at 'file:///etc'",
    forge_way_out: "keeps its artifacts at 'mlflow-artifacts:/1/../../../../2.0/mlflow'",
    forge_cloud: "keeps its artifacts at 's3://bucket/artifacts'",
}


@pytest.mark.parametrize("forge", FORGED_VERSIONS, ids=lambda forge: forge.__name__)
def test_forged_version_is_refused_and_nothing_is_written(
    world: World, mlflow: Mlflow, answering: Answering, forge: Callable[[Mlflow], None]
) -> None:
    forge(mlflow)
    mlflow.answer(answering)
    before = files_below(world)
    result = world.run("resolve")
    assert result.code == BAD_INPUT, result.log
    assert FORGED_VERSIONS[forge] in result.log
    assert "Traceback" not in result.log
    assert files_below(world) == before


def test_champion_that_was_deleted_is_bad_input_not_wrong_usage(
    world: World, mlflow: Mlflow, answering: Answering
) -> None:
    mlflow.answer(answering)
    missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such version"}
    answering.bodies[f"{API}/model-versions/get"] = json.dumps(missing).encode()
    answering.missing.add(f"{API}/model-versions/get")
    result = world.run("resolve")
    assert result.code == BAD_INPUT, result.log
    assert "names version 1, which does not exist" in result.log


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b"3", b"[" * 3000, b'{"registered_model": 3}', b'{"registered_model": {"tags": 3}}'),
        *(b'{"registered_model": {"tags": [{"key": "a", "value": "\\ud800"}]}}', b'{"registered_model": NaN}'),
    ],
)
def test_answer_that_is_not_understood_is_no_crash(
    world: World, mlflow: Mlflow, answering: Answering, body: bytes
) -> None:
    mlflow.answer(answering)
    answering.bodies[f"{API}/registered-models/get"] = body
    result = world.run("resolve")
    assert result.code in (1, BAD_INPUT, 4), result.log
    assert "Traceback" not in result.log
    assert "unexpected" not in result.log


def test_file_that_would_fill_the_disk_is_refused_and_nothing_is_kept(
    world: World, mlflow: Mlflow, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "MOST_FILE_BYTES", 1000)
    mlflow.list_file("model.txt", b"x" * 1001)
    mlflow.tags["airflow_ml.model_sha256"] = sha256(b"x" * 1001)
    outputs = {name: {"sha256": sha256(content)} for name, content in mlflow.files.items()}
    mlflow.list_file("_meta.json", json.dumps({"outputs": outputs}).encode())
    mlflow.answer(answering)
    before = files_below(world)
    for command in ("resolve", "promote"):
        result = world.run(*COMMANDS[command])
        assert result.code == BAD_INPUT, result.log
        assert "cannot be loaded: model.txt is larger than 1,000 bytes" in result.log
    assert files_below(world) == before


def test_answer_that_would_fill_the_memory_is_refused(
    world: World, mlflow: Mlflow, answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "MOST_ANSWER_BYTES", 1000)
    mlflow.tags["airflow_ml.warnings"] = "x" * 1000
    mlflow.answer(answering)
    result = world.run("resolve")
    assert result.code == BAD_INPUT, result.log
    assert "it is longer than 1,000 bytes" in result.log


class Signed:
    """A login with a key, and what is signed with it."""

    KEY = "of-the-stage"

    def __init__(self, mlflow: Mlflow) -> None:
        self.mlflow = mlflow
        self.has_key(self.KEY)
        self.sign_event(KEY)
        self.sign_bundle("1")

    def sign_event(self, key: str, name: str = "airflow-ml", signer: str = KEY) -> None:
        texts = ("event", name, key, self.mlflow.events[key])
        self.mlflow.events[SIGNATURE + key] = sign(signer, *texts)

    def sign_bundle(self, *number: str, key: str = KEY) -> None:
        """For the version of a number; without one, as releases of before signed."""
        texts = [self.mlflow.tags[f"airflow_ml.{tag}"] for tag in ("model", "files")]
        self.mlflow.tags["airflow_ml.signature"] = sign(key, "bundle", "airflow-ml", *number, *texts)

    def has_key(self, key: str) -> None:
        login = {"login": "registry", "password": "x", "key": key}
        (Path(os.environ["ML_CONNECTIONS"]) / "mlflow.json").write_text(json.dumps(login))


@pytest.fixture
def signed(mlflow: Mlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Signed:
    monkeypatch.setenv("ML_CONNECTIONS", str(tmp_path))
    return Signed(mlflow)


def test_signed_version_is_restored(world: World, signed: Signed, answering: Answering) -> None:
    signed.mlflow.answer(answering)
    result = world.run("resolve")
    assert (result.code, result.line["model"]) == (0, f"{MODEL}-v1"), result.log


LATER = "champion.2026-11-16T02:00:00.000000Z"


def forge_unsigned(signed: Signed) -> None:
    signed.mlflow.events[LATER] = event()


def forge_with_a_copy(signed: Signed) -> None:
    signed.mlflow.events |= {LATER: event(), SIGNATURE + LATER: signed.mlflow.events[SIGNATURE + KEY]}


def forge_with_another_key(signed: Signed) -> None:
    signed.mlflow.events[LATER] = event()
    signed.sign_event(LATER, signer="of-mallory")


def forge_from_another_model(signed: Signed) -> None:
    signed.mlflow.events[LATER] = event()
    signed.sign_event(LATER, name="another")


def forge_reason(signed: Signed) -> None:
    signed.mlflow.events[KEY] = event(reason="another")


def forge_odd_signature(signed: Signed) -> None:
    signed.mlflow.events[SIGNATURE + KEY] = "\u00e9" * 64


FORGED_SIGNATURES = {
    forge_unsigned: LATER,
    forge_with_a_copy: LATER,
    forge_with_another_key: LATER,
    forge_from_another_model: LATER,
    forge_reason: KEY,
    forge_odd_signature: KEY,
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("forge", FORGED_SIGNATURES, ids=lambda forge: forge.__name__)
def test_event_that_the_stage_did_not_sign_is_refused(
    world: World, signed: Signed, answering: Answering, forge: Callable[[Signed], None], command: str
) -> None:
    forge(signed)
    signed.mlflow.answer(answering)
    before = files_below(world)
    result = world.run(*COMMANDS[command])
    assert result.code == BAD_INPUT, result.log
    assert f"the tag '{FORGED_SIGNATURES[forge]}' is not signed with the key of this installation" in result.log
    assert files_below(world) == before


def forge_tree(signed: Signed) -> None:
    tree = b"a tree of mallory"
    signed.mlflow.list_file("model.txt", tree)
    signed.mlflow.tags["airflow_ml.model_sha256"] = sha256(tree)
    outputs = {name: {"sha256": sha256(content)} for name, content in signed.mlflow.files.items()}
    signed.mlflow.list_file("_meta.json", json.dumps({"outputs": outputs}).encode())


def forge_day(signed: Signed) -> None:
    signed.mlflow.tags |= {"airflow_ml.ds": "2026-11-14", "airflow_ml.model": "models/2026-11-14"}


def forge_no_signature(signed: Signed) -> None:
    del signed.mlflow.tags["airflow_ml.signature"]


def forge_tags_of_another_version(signed: Signed) -> None:
    """Files of a version that was rejected, with its signature: they once became the champion's."""
    forge_tree(signed)
    signed.sign_bundle("2")


FORGED_BUNDLES = (forge_tree, forge_day, forge_no_signature, forge_tags_of_another_version)


@pytest.mark.parametrize("command", ["resolve", "promote", "check"])
@pytest.mark.parametrize("forge", FORGED_BUNDLES, ids=lambda forge: forge.__name__)
def test_bundle_that_the_stage_did_not_sign_is_refused(
    world: World, signed: Signed, answering: Answering, forge: Callable[[Signed], None], command: str
) -> None:
    forge(signed)
    signed.mlflow.answer(answering)
    before = files_below(world)
    result = world.run(*COMMANDS[command])
    assert result.code == BAD_INPUT, result.log
    assert "is not signed with the key of this installation" in result.log
    assert files_below(world) == before


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("of-before", 0),
        ("v2.new,of-before", 0),  # as `rotate` has it while it signs
        ("v2.new", BAD_INPUT),
        ("v2.of-before", BAD_INPUT),
    ],
)
def test_bundle_that_an_older_release_signed_is_valid_until_its_key_is_replaced(
    world: World, signed: Signed, answering: Answering, key: str, code: int
) -> None:
    signed.has_key(key)
    signed.sign_event(KEY, signer=key.split(",")[0])
    signed.sign_bundle(key=key.rpartition(",")[2])
    signed.mlflow.answer(answering)
    assert world.run("resolve").code == code


def test_register_does_not_sign_a_forged_version_that_was_promoted(
    world: World, signed: Signed, answering: Answering
) -> None:
    """Whoever gave the champion the record of a new model had it signed by the model's own registration."""
    model = world.publish_model()
    added = {name: sha256(signed.mlflow.files[name]) for name in ("_meta.json", "MLmodel")}
    hashes = {file: model.hashes[f"{MODEL}/{file}"] for file in model.files}
    signed.mlflow.tags |= {"airflow_ml.files": json.dumps(hashes | added), "airflow_ml.model_sha256": sha256(b"tree")}
    signed.mlflow.run["lifecycle_stage"] = "active"
    signed.mlflow.answer(answering)
    result = world.run("register", "--ds", DAY)
    assert result.code == BAD_INPUT, result.log
    assert f"version 1 ({MODEL}) is not signed with the key of this installation" in result.log


def test_sign_needs_a_key(world: World, mlflow: Mlflow, answering: Answering) -> None:
    mlflow.answer(answering)
    result = world.run("sign")
    assert (result.code, "there is no key to sign with" in result.log) == (2, True)
