"""The same folders give the same images, bit for bit, on an engine that has nothing cached."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from maintain import reproduce

from tests.harness import ROOT, docker


def test_every_file_of_our_layers_is_dated_the_same(image: str, tmp_path: Path) -> None:
    dates = {
        text.split("time ")[1].split(",")[0]
        for layer in reproduce.files_of_layers(image, tmp_path)
        for text in layer.values()
    }
    assert dates <= {"0"}


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
    ("other", "told"),
    [
        (layer({"a": b"1"}), []),
        (layer({"a": b"2"}), ["layer 1, a: "]),
        (layer({"a": b"1"}, mtime=5), ["layer 1, a: "]),
        (layer({"a": b"1", "b": b""}), ["layer 1, b: not there | mode"]),
        (layer({}), ["layer 1, a: mode"]),
    ],
)
def test_what_differs_is_told_by_file(other: tarfile.TarFile, told: list[str]) -> None:
    ours = layer({"a": b"1"})
    described = [{m.name: reproduce.describe(archive, m) for m in archive} for archive in (ours, other)]
    lines = reproduce.differences([described[0]], [described[1]])
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


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
