"""`make sbom` on the real images: valid, complete, the same bytes again, and refused where image and lock differ."""

import io
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.harness import docker, images
from tests.locks_checkout import ROOT, copy_of_locks, locks

SITE = "opt/venv/lib/python3.13/site-packages/"
RECORDS = "var/lib/dpkg/status.d/"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our locks and the image lock, and the bills of all images below .cache/sbom."""
    root = copy_of_locks(tmp_path_factory.mktemp("sbom"))
    (root / "dags").mkdir()
    shutil.copy(ROOT / "dags/images.lock.json", root / "dags")
    done = locks("--root", str(root), "sbom")
    assert done.returncode == 0, done.stderr
    return root


def bill(checkout: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((checkout / f".cache/sbom/{name}.cdx.json").read_text())
    return found


def files_of(image: str) -> list[str]:
    """Every file of an image, as the engine exports it; no program of the image runs."""
    container = docker("create", image).stdout.strip()
    try:
        done = subprocess.run(["docker", "export", container], capture_output=True, check=True)
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return archive.getnames()


@pytest.mark.parametrize("name", list(images()))
def test_bill_is_valid_and_names_all_that_the_image_s_files_show(checkout: Path, name: str) -> None:
    text = (checkout / f".cache/sbom/{name}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom, files = json.loads(text), files_of(images()[name])
    folders = {match[1] for file in files if (match := re.match(rf"{SITE}([^/]+)\.dist-info/METADATA$", file))}
    python = {
        f"{re.sub('[-_.]+', '-', folder.rpartition('-')[0]).lower()}=={folder.rpartition('-')[2]}" for folder in folders
    }
    debian = {file.removeprefix(RECORDS) for file in files if file.startswith(RECORDS)} - {""}
    by_kind: dict[str, list[Any]] = {"pypi": [], "deb": []}
    for item in bom["components"]:
        if match := re.match("pkg:([a-z]+)/", item.get("purl", "")):
            by_kind[match[1]].append(item)
    assert {f"{item['name']}=={item['version']}" for item in by_kind["pypi"]} == python
    assert {item["name"] for item in by_kind["deb"]} == debian
    assert len(debian) > 10
    assert all(item["version"] for item in by_kind["deb"])
    assert bom["metadata"]["component"]["version"] == images()[name].rpartition(":")[2]


@pytest.mark.parametrize("name", ["generator", "preprocessing", "training", "prediction", "airflow", "engine-proxy"])
def test_python_packages_have_the_hash_of_the_installed_wheel_and_a_licence(checkout: Path, name: str) -> None:
    (lock,) = [path for path in checkout.glob(f"*/{name}/requirements.txt") if path.parent.parent.name != "tests"]
    hashes = set(re.findall("sha256:([0-9a-f]{64})", lock.read_text()))
    python = [item for item in bill(checkout, name)["components"] if item.get("purl", "").startswith("pkg:pypi/")]
    assert python
    assert [item["name"] for item in python if not item.get("licenses")] == []
    for item in python:
        (found,) = item["hashes"]
        assert (found["alg"], found["content"] in hashes) == ("SHA-256", True)


def test_made_again_it_is_the_same_bytes(checkout: Path) -> None:
    before = {path.name: path.read_bytes() for path in (checkout / ".cache/sbom").iterdir()}
    assert set(before) == {f"{name}.cdx.json" for name in images()}
    assert locks("--root", str(checkout), "sbom").returncode == 0
    assert {path.name: path.read_bytes() for path in (checkout / ".cache/sbom").iterdir()} == before


def test_image_that_is_not_what_its_lock_says_is_refused(checkout: Path) -> None:
    path = checkout / "stages/training/sbom.cdx.json"
    old = path.read_text()
    bom = json.loads(old)
    bom["components"] = [item for item in bom["components"] if item["name"] != "narwhals"]
    path.write_text(json.dumps(bom))
    try:
        done = locks("--root", str(checkout), "sbom", "training")
    finally:
        path.write_text(old)
    assert done.returncode == 1
    assert re.search(
        r"holds, beyond stages/training/requirements.txt: pkg:pypi/narwhals@\S+; not: nothing", done.stderr
    )


def test_image_that_nobody_built_is_refused(checkout: Path) -> None:
    assert "no image is named nowhere; expected: of airflow, base," in (
        locks("--root", str(checkout), "sbom", "nowhere").stderr
    )
