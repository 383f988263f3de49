"""Lineage, diff and rerun on real stages: a day from the generator to its evaluation, then what can happen to it."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.harness import CONFINED, PATIENCE_S, ROOT, Data, copy_of, data_volume, docker, images, wait_until

DAY, NEXT = "2026-11-21", "2026-11-22"
PREDICTIONS = f"predictions/{DAY}/predictions.csv"
EVALUATION = f"reports/{DAY}/evaluation.json"
SPLIT = ("--val-fraction=0.3", "--seed=5")
FILES = 24
Done = subprocess.CompletedProcess[str]


def publish(data: Data, folder: Path) -> None:
    """A day by hand; training as a Dag starts it, with parameters from a file outside of the data."""
    (folder / "params.json").write_text(json.dumps({"num_leaves": 7, "learning_rate": 0.1}))
    folder.chmod(0o755)
    image_id = docker("image", "inspect", "--format", "{{.Id}}", images()["training"]).stdout.strip()
    environ = {
        "ML_IMAGE_ID": image_id,
        "ML_REVISION": "abc1234",
        "ML_DAG_ID": "train_model",
        "ML_RUN_ID": "manual__1",
    }
    environment = [f"--env={name}={value}" for name, value in environ.items()]
    data.generate(DAY)
    data.prepare(DAY)
    data.split(DAY, *SPLIT)
    own = replace(data, options=(f"--volume={folder}:/own:ro", *environment))
    own.train(DAY, "--params=/own/params.json", "--param=num_iterations=15")
    data.validate(DAY)
    data.score(DAY, f"/data/models/{DAY}")
    data.evaluate(DAY, {})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    """Published data that every test here leaves as it is."""
    with data_volume("lineage") as data:
        publish(data, tmp_path_factory.mktemp("own"))
        before = data.inodes()
        yield data
        assert data.inodes() == before, "no command may touch published data"


@pytest.fixture
def damaged(published: Data) -> Iterator[Data]:
    """A copy of the published data, for the test to change."""
    with copy_of(published, "lineage") as data:
        yield data


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    assert leftovers() == ""


def leftovers() -> str:
    """Containers and volumes of reruns that are still there."""
    label = ["--quiet", "--filter", "label=airflow-ml.rerun"]
    return docker("ps", "--all", *label).stdout + docker("volume", "ls", *label).stdout


def running() -> str:
    return docker("ps", "--quiet", "--filter", "label=airflow-ml.rerun").stdout


def command(data: Data | Path, *arguments: str, **environment: str) -> Done:
    """`./airflow-ml` on this data."""
    where = data.source if isinstance(data, Data) else str(data)
    environ = {**os.environ, "ML_DATA": where, "ML_UID": "10001", "ML_GID": "10001", **environment}
    line = [str(ROOT / "airflow-ml"), *arguments]
    return subprocess.run(line, env=environ, text=True, capture_output=True, check=False, timeout=PATIENCE_S)


def make(data: Data, *words: str) -> Done:
    environ = {**os.environ, "ML_DATA": data.source, "ML_UID": "10001", "ML_GID": "10001"}
    line = ["make", "--silent", *words]
    return subprocess.run(line, cwd=ROOT, env=environ, text=True, capture_output=True, check=False, timeout=PATIENCE_S)


def shown(data: Data | Path, target: str, **environment: str) -> dict[str, Any]:
    done = command(data, "lineage", target, "--format", "json", **environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_marks_name_the_image_and_how_it_was_called(published: Data) -> None:
    steps = shown(published, PREDICTIONS)["steps"]
    stages = {"generate": "generator", "train": "training", "validate": "prediction", "predict": "prediction"}
    for name, step in steps.items():
        stage = stages.get(name.partition("#")[2], "preprocessing")
        assert step["call"]["stage"] == stage
        assert step["image"]["name"] == images()[stage]
        assert step["image"]["on_engine"].startswith("sha256:")
        by_hand = stage != "training"
        assert (step["image"]["id"] is None) is (step["image"]["revision"] is None) is by_hand
        assert (step["run"]["dag_id"] is None) is by_hand
    assert steps[f"processed/{DAY}#split"]["call"]["arguments"] == {
        "as_of": None, "days": 1, "ds": DAY, "max_categories": 255, "min_days": 1, "seed": 5, "val_fraction": 0.3
    }  # fmt: skip
    train = steps[f"models/{DAY}#train"]
    assert {"num_leaves": 7, "learning_rate": 0.1, "num_iterations": 15}.items() <= train["parameters"].items()
    assert "lightgbm" in train["versions"]
    assert "lightgbm" not in steps[f"predictions/{DAY}#predict"]["versions"]


def test_make_lineage_walks_back_to_the_raw_data_and_the_images(published: Data) -> None:
    done = make(published, "lineage", f"FILE={PREDICTIONS}", "CHECK=1")
    assert done.returncode == 0, done.stderr
    for stage in ("generator", "preprocessing", "training", "prediction"):
        assert images()[stage] in done.stdout
    assert f"raw/{DAY}/target.csv" in done.stdout
    assert done.stdout.endswith("13 files, 7 steps, 4 images: no file has changed since it was published or read.\n")


def test_make_lineage_draws_a_graph(published: Data) -> None:
    done = make(published, "lineage", f"FILE=models/{DAY}", "FORMAT=mermaid")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("flowchart LR\n")


@pytest.fixture
def folder(published: Data, tmp_path: Path) -> Path:
    """The published data in a host folder."""
    tmp_path.chmod(0o777)
    copy = "import shutil; shutil.copytree('/data', '/copy/data')"
    published.python(copy, f"--volume={tmp_path}:/copy")
    return tmp_path / "data"


def test_host_folder_is_read_as_a_volume_is(published: Data, folder: Path) -> None:
    assert shown(folder, PREDICTIONS) == shown(published, PREDICTIONS)
    assert shown(folder, str(folder / PREDICTIONS)) == shown(published, f"/data/{PREDICTIONS}")


def test_host_folder_is_made_again_as_whoever_it_belongs_to(folder: Path) -> None:
    done = command(folder, "rerun", f"processed/{DAY}", ML_UID="12345", ML_GID="12345")
    assert done.stdout.endswith("\nThe same bytes: 6 of 6 files.\n"), done.stderr


# A seed alone; parameters from a file outside of the data; three partitions. The other steps: the test of everything.
@pytest.mark.parametrize(("target", "files"), [(f"raw/{DAY}", 3), (f"models/{DAY}", 9), (EVALUATION, 1)])
def test_rerun_of_a_step_gives_the_same_bytes(published: Data, target: str, files: int) -> None:
    done = make(published, "rerun", f"FILE={target}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"The same bytes: {files} of {files} files.\n")
    assert done.stdout.count("   the same bytes\n") == files


def test_rerun_of_everything_from_the_raw_data_on_gives_the_same_bytes(published: Data) -> None:
    done = command(published, "rerun", EVALUATION, "--depth", "all", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    files = {path: file for step in found["steps"] for path, file in step["files"].items()}
    assert found["same_bytes"] is True
    assert len(files) == FILES
    assert all(file["made"] == file["published"] for file in files.values())


def test_day_in_shards_is_made_again_in_shards() -> None:
    with data_volume("lineage") as data:
        data.generate(DAY)
        for shard in ("--shard=1", "--shard=2"):
            data.prepare(DAY, "--shards=2", shard)
        data.prepare(DAY, "--shards=2")
        done = command(data, "rerun", f"processed/{DAY}", "--depth", "all", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    made = {path.rpartition("/")[0] for step in found["steps"] for path in step["files"]}
    shards = {f"shards/{DAY}-processed-{number}of2" for number in (1, 2)}
    assert (found["same_bytes"], made) == (True, {f"raw/{DAY}", f"processed/{DAY}", *shards})


def test_imported_data_is_copied_and_all_else_made_again(damaged: Data) -> None:
    damaged.python(f"import shutil; shutil.copytree('/data/raw/{DAY}', '/data/own')")
    files = [
        f"--{name}=/data/own/{name}.{end}" for name, end in (("data", "csv"), ("target", "csv"), ("schema", "json"))
    ]
    damaged.stage("preprocessing", "import", f"--ds={NEXT}", *files)
    damaged.prepare(NEXT)
    done = command(damaged, "rerun", f"processed/{NEXT}/train_data.csv", "--depth", "all")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "The same bytes: 2 of 2 files."), done.stderr
    refused = command(damaged, "rerun", f"raw/{NEXT}")
    assert (refused.returncode, "it was imported" in refused.stderr) == (3, True)


def test_edited_file_is_found_refused_and_made_again_from_the_generator(damaged: Data) -> None:
    path = f"raw/{DAY}/data.csv"
    damaged.rewrite(path, lambda text: text.replace("chip", "CHIP"))
    done = make(damaged, "lineage", f"FILE={PREDICTIONS}", "CHECK=1")
    assert done.returncode != 0
    assert f"  {path} was edited: its sha256 is " in done.stdout
    refused = command(damaged, "rerun", f"processed/{DAY}")
    assert refused.returncode == 3
    assert f"{path} was edited" in refused.stderr
    assert "DEPTH=all" in refused.stderr
    again = command(damaged, "rerun", f"processed/{DAY}", "--depth", "all")
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"Note: {path} was edited" in again.stderr


def test_forged_lineage_is_uncovered_by_running_it_again(damaged: Data) -> None:
    """File and marks changed together, so that every hash fits: only doing the work again shows it."""
    path = f"raw/{DAY}/data.csv"
    damaged.rewrite(path, lambda text: "".join(text.splitlines(keepends=True)[:2900]))
    forge = (
        "import hashlib, json, os\n"
        f"data = open('/data/{path}', 'rb').read(); sha = hashlib.sha256(data).hexdigest()\n"
        f"for partition in ('raw', 'processed', 'features'):\n"
        f"    name = f'/data/{{partition}}/{DAY}/_meta.json'; mark = json.load(open(name))\n"
        "    if partition == 'raw': mark['outputs']['data.csv'].update(sha256=sha, size=len(data))\n"
        f"    for step in mark['steps'].values():\n"
        f"        if '{path}' in step['inputs']: step['inputs']['{path}'] = sha\n"
        "    json.dump(mark, open(name, 'w'))\n"
    )
    damaged.python(forge)
    assert make(damaged, "lineage", f"FILE={PREDICTIONS}", "CHECK=1").returncode == 0
    done = command(damaged, "rerun", f"processed/{DAY}/train_data.csv")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"processed/{DAY}/train_data.csv" in done.stdout
    assert "DIFFERS" in done.stdout
    assert "The first to differ: prepare" in done.stdout
    assert make(damaged, "rerun", f"FILE={path}").returncode != 0


@pytest.fixture
def other_generator(tmp_path: Path) -> Iterator[str]:
    """An image that differs from the generator's in a title that it gives the schema."""
    image = images()["generator"]
    entry = json.loads(docker("image", "inspect", image).stdout)[0]["Config"]["Entrypoint"]
    (tmp_path / "wrapper.py").write_text(
        "import sys\nimport generate\nimport generator\n"
        "generate.SCHEMA = {'title': 'another', **generate.SCHEMA}\nsys.exit(generator.main())\n"
    )
    name = f"airflow-ml-test-generator:{uuid4().hex[:12]}"
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image}\nCOPY --chmod=444 wrapper.py /opt/stage/wrapper.py\n"
        f"ENTRYPOINT {json.dumps([*entry[:-1], '/opt/stage/wrapper.py'])}\nENV ML_IMAGE={name}\n"
    )
    docker("build", "--quiet", "--tag", name, str(tmp_path))
    yield name
    docker("image", "rm", "--force", name)


def test_another_image_is_named_by_rerun_lineage_and_diff(damaged: Data, other_generator: str) -> None:
    """The mark's image replaced: the same inputs and parameters, and yet other bytes, at a place that is named."""
    damaged.edit_mark(f"raw/{DAY}", lambda m: m["steps"]["generate"]["image"].update(name=other_generator))
    done = command(damaged, "rerun", f"raw/{DAY}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"generate of raw/{DAY}, in {other_generator}" in done.stdout
    assert "from byte 6 in line 2 on" in done.stdout
    assert '      made         "title": "another",' in done.stdout
    assert "NOT the same bytes: 2 of 3 files are. The first to differ: generate, raw" in done.stdout
    locked = command(damaged, "rerun", f"raw/{DAY}", "--images", "locked")
    assert (locked.returncode, images()["generator"] in locked.stdout) == (0, True)


def test_diff_names_the_image_that_ran(damaged: Data, other_generator: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(damaged.read(f"raw/{DAY}/_meta.json"))
    docker("run", *CONFINED, damaged.mount, other_generator, f"--ds={DAY}", "--rows=3000")
    done = make(damaged, "diff", f"A={kept}", f"B=raw/{DAY}")
    assert done.returncode == 0, done.stderr
    assert f"image       {images()['generator']} | {other_generator}" in done.stdout
    assert "The difference begins in generate:" in done.stdout
    assert "the same: raw/{ds}/data.csv, raw/{ds}/target.csv" in done.stdout


def test_image_that_is_gone_is_named_with_its_revision(damaged: Data) -> None:
    gone = {"name": "airflow-ml-training:000000000000", "id": "sha256:" + "0" * 64}
    damaged.edit_mark(f"models/{DAY}", lambda m: m["steps"]["train"]["image"].update(gone))
    done = command(damaged, "rerun", f"models/{DAY}/model.txt")
    assert done.returncode == 3
    assert "airflow-ml-training:000000000000, id 000000000000, is not on this engine" in done.stderr
    assert "build revision abc1234" in done.stderr
    tree = command(damaged, "lineage", f"models/{DAY}/model.txt").stdout
    assert "Note: airflow-ml-training:000000000000 is not on this engine, or has another id" in tree


def test_upstream_that_was_published_again_is_named(damaged: Data, tmp_path: Path) -> None:
    damaged.generate(DAY, "--rows=3000", "--seed=7")
    tree = command(damaged, "lineage", PREDICTIONS, "--check")
    assert tree.returncode == 1
    assert f"  raw/{DAY}/data.csv was published again with other bytes: this step read " in tree.stdout
    damaged.prepare(DAY)
    tree = command(damaged, "lineage", PREDICTIONS, "--check")
    assert f"processed/{DAY}/train.csv is on disk, but the mark of processed/{DAY} does not name it" in tree.stdout


def test_partition_that_is_gone_is_named(damaged: Data) -> None:
    damaged.remove(f"processed/{DAY}")
    tree = command(damaged, "lineage", PREDICTIONS, "--check")
    assert tree.returncode == 1
    assert f"processed/{DAY}/val.csv there is no processed/{DAY}/_meta.json" in tree.stdout


def test_make_diff_says_where_two_days_begin_to_differ(damaged: Data) -> None:
    damaged.generate(NEXT, "--rows=3000", "--seed=7")
    damaged.prepare(NEXT)
    damaged.split(NEXT, "--val-fraction=0.3", "--seed=6")
    done = make(damaged, "diff", f"A=processed/{DAY}/train.csv", f"B=processed/{NEXT}/train.csv")
    assert done.returncode == 0, done.stderr
    assert "The difference begins in generate:" in done.stdout
    assert f"ds: {DAY} | {NEXT}" in done.stdout
    assert "seed: 42 | 7" in done.stdout
    assert "seed: 5 | 6" in done.stdout
    found = json.loads(make(damaged, "diff", f"A=raw/{DAY}", f"B=raw/{NEXT}", "FORMAT=json").stdout)
    assert found["begins_in"] == [[f"raw/{DAY}#generate", f"raw/{NEXT}#generate"]]


def test_diff_by_a_parameter_names_it(damaged: Data, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(damaged.read(f"models/{DAY}/_meta.json"))
    damaged.train(DAY, "--param=num_leaves=9", "--param=num_iterations=15")
    done = make(damaged, "diff", f"A={kept}", f"B=models/{DAY}/model.txt")
    assert "num_leaves: 7 | 9" in done.stdout
    assert "The difference begins in train:" in done.stdout


def test_volume_that_is_not_there_is_not_made(published: Data) -> None:
    name = f"{published.source}-none"
    done = command(published, "lineage", PREDICTIONS, ML_DATA=name)
    assert done.returncode == 3
    assert f"there is no volume '{name}'" in done.stderr
    assert name not in docker("volume", "ls", "--quiet").stdout.split()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_rerun_that_is_stopped_leaves_nothing(published: Data, number: int) -> None:
    environ = {**os.environ, "ML_DATA": published.source, "ML_UID": "10001", "ML_GID": "10001"}
    line = [str(ROOT / "airflow-ml"), "rerun", PREDICTIONS, "--depth=all"]
    with subprocess.Popen(line, env=environ, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("==> generate")
        wait_until(running, "the stage's container runs")
        process.send_signal(number)
        process.wait(PATIENCE_S)
    assert process.returncode != 0
    assert leftovers() == ""


def test_folder_of_the_data_may_be_copied_and_still_be_read(folder: Path) -> None:
    shutil.rmtree(folder / "features")
    done = command(folder, "lineage", f"models/{DAY}", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_engine_that_does_not_answer_is_no_finding(folder: Path) -> None:
    done = command(folder, "lineage", f"models/{DAY}", "--check", DOCKER_HOST="unix:///none.sock")
    assert (done.returncode, done.stdout) == (3, "")
    assert "do: ./airflow-ml engine" in done.stderr
