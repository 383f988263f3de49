"""`./airflow-ml sbom` on the real images: valid, complete, and the same bytes again."""

import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_ml.common import AirflowMlError
from airflow_ml.lock import normal, pins, read_locks, versions
from airflow_ml.sbom import debian_package, write_boms
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from packaging.markers import Marker

from tests.harness import ROOT, images
from tests.images.probe import facts

LINUX = {"sys_platform": "linux", "platform_system": "Linux", "python_version": "3.13", "python_full_version": "3.13.0"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image lock, and the bills of all images below .cache/sbom."""
    root = tmp_path_factory.mktemp("sbom")
    (root / "dags").mkdir()
    shutil.copy(ROOT / "dags/images.lock.json", root / "dags")
    assert len(list(write_boms(root))) == len(images())
    return root


def components(checkout: Path, name: str, kind: str) -> list[dict[str, Any]]:
    bom = json.loads((checkout / f".cache/sbom/{name}.cdx.json").read_text())
    return [item for item in bom["components"] if item.get("purl", "").startswith(f"pkg:{kind}/")]


@pytest.fixture(scope="module")
def validator() -> Iterator[JsonStrictValidator]:
    """Parses each address once: that takes 0.03 s, and the bills of several images have the same addresses."""
    checkers = Draft7Validator.FORMAT_CHECKER.checkers
    check, raises = checkers["iri-reference"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(checkers, "iri-reference", (functools.cache(check), raises))
        yield JsonStrictValidator(SchemaVersion.V1_6)


@pytest.mark.parametrize("name", list(images()))
def test_bill_is_valid_and_names_every_package_of_the_image(
    checkout: Path, validator: JsonStrictValidator, name: str
) -> None:
    text = (checkout / f".cache/sbom/{name}.cdx.json").read_text()
    assert validator.validate_str(text) is None
    image = images()[name]
    reported = facts(image)
    versions_there = {package: one["version"] for package, one in reported["packages"].items()}
    assert {item["name"]: item["version"] for item in components(checkout, name, "pypi")} == versions_there
    assert {item["name"] for item in components(checkout, name, "deb")} == set(reported["debian"])
    assert len(reported["debian"]) > 10
    assert json.loads(text)["metadata"]["component"]["version"] == image.rpartition(":")[2]


@pytest.mark.parametrize("folder", [name for name in read_locks(ROOT) if name.startswith(("stages/", "services/"))])
def test_image_holds_what_its_lock_says(checkout: Path, folder: str) -> None:
    locked = pins((ROOT / folder / "requirements.txt").read_text())
    here = {
        package: versions(line for line in lines if " ; " not in line or Marker(line.split(" ; ")[1]).evaluate(LINUX))
        for package, lines in locked.items()
    }
    installed = {normal(item["name"]): item["version"] for item in components(checkout, Path(folder).name, "pypi")}
    assert installed == {package: version for package, version in here.items() if version}


@pytest.mark.parametrize("name", ["base", "prediction", "airflow"])
def test_same_image_gives_the_same_bytes(checkout: Path, name: str) -> None:
    """The base, a stage and a service: a bill is made in the same way for each image."""
    path = checkout / f".cache/sbom/{name}.cdx.json"
    before = path.read_bytes()
    path.unlink()
    list(write_boms(checkout, [name]))
    assert path.read_bytes() == before


def test_image_that_nobody_built_is_refused(checkout: Path) -> None:
    with pytest.raises(AirflowMlError, match=r"does not name nowhere\n +expected: one of airflow, base,"):
        list(write_boms(checkout, ["nowhere"]))


def test_debian_package_has_version_source_and_architecture() -> None:
    record = "Package: libc6\nSource: glibc\nVersion: 1:2.41-12+deb13u1\nArchitecture: amd64\nMaintainer: A B <a@b>\n"
    component = debian_package(record, "debian-13")
    assert component["purl"] == "pkg:deb/debian/libc6@1%3A2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13"
    assert component["version"] == "1:2.41-12+deb13u1"
    assert component["properties"] == [{"name": "airflow-ml:deb:source", "value": "glibc"}]
    assert component["supplier"] == {"name": "A B"}
