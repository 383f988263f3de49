"""What makes an image the same, bit for bit, when the same folders are built elsewhere."""

import io
import json
import subprocess
import tarfile

import pytest
from maintain import reproduce

from tests.harness import ROOT, docker, images


@pytest.fixture(scope="module")
def times(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[float]]:
    """The times of all files of each image; the engine writes every layer once."""
    archive = tmp_path_factory.mktemp("saved") / "images.tar"
    docker("save", f"--output={archive}", *images().values())
    by_layer: dict[str, set[float]] = {}
    with tarfile.open(archive) as saved:
        manifest = json.loads(saved.extractfile("manifest.json").read())  # type: ignore[union-attr]
        for name in {name for entry in manifest for name in entry["Layers"]}:
            with tarfile.open(fileobj=saved.extractfile(name)) as layer_of_image:
                by_layer[name] = {member.mtime for member in layer_of_image}
    archive.unlink()
    return {
        tag: set().union(*(by_layer[name] for name in entry["Layers"]))
        for entry in manifest
        for tag in entry["RepoTags"]
    }


def test_every_file_of_our_layers_has_the_same_time(image: str, times: dict[str, set[float]]) -> None:
    assert times[image] == {0}


def layer(files: dict[str, bytes], mtime: int = 0) -> tarfile.TarFile:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), mtime
            archive.addfile(member, io.BytesIO(content))
    buffer.seek(0)
    return tarfile.open(fileobj=buffer)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (layer({"a": b"1"}), []),
        (layer({"a": b"2"}), ["layer 1, a: "]),
        (layer({"a": b"1"}, mtime=5), ["layer 1, a: "]),
        (layer({"a": b"1", "b": b""}), ["layer 1, b: not there | mode"]),
        (layer({}), ["layer 1, a: mode"]),
    ],
)
def test_difference_is_named_by_file(other: tarfile.TarFile, expected: list[str]) -> None:
    ours = layer({"a": b"1"})
    described = [{m.name: reproduce.describe(archive, m) for m in archive} for archive in (ours, other)]
    lines = reproduce.differences([described[0]], [described[1]])
    assert len(lines) == len(expected)
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True))


def test_another_engine_that_is_not_there_is_named() -> None:
    done = subprocess.run(
        [ROOT / "airflow-ml", "reproduce", "--host=unix:///nowhere.sock"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "nowhere.sock" in done.stderr


def test_image_tells_no_time_of_its_build(image: str) -> None:
    found = json.loads(docker("image", "inspect", image).stdout)[0]
    assert found["Created"].startswith("1970-01-01T00:00:00")
