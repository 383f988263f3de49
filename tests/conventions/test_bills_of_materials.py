"""Every committed bill of materials, against CycloneDX's own schema, and what its parts say."""

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from locks.bom import licences
from locks.files import find_locks
from locks.image_bom import debian_component, tags_of

BOMS = [lock.bom for lock in find_locks()]


@pytest.mark.parametrize("path", BOMS, ids=lambda path: path.parent.name)
def test_bill_of_materials_is_valid_and_has_each_package_once(path: Path) -> None:
    text = path.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    refs = [item["bom-ref"] for item in bom["components"]]
    assert len(refs) == len(set(refs))
    assert {item["ref"] for item in bom["dependencies"]} == {*refs, bom["metadata"]["component"]["bom-ref"]}
    assert {ref for item in bom["dependencies"] for ref in item["dependsOn"]} <= set(refs)
    assert all(item["externalReferences"] for item in bom["components"])


def test_validator_sees_what_is_wrong() -> None:
    bom = json.loads(BOMS[0].read_text())
    bom["components"][0]["type"] = "package"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("MIT OR Apache-2.0", "MIT", []), [{"expression": "MIT OR Apache-2.0"}]),
        ((None, "BSD-3-Clause", ["License :: OSI Approved :: BSD License"]), [{"license": {"id": "BSD-3-Clause"}}]),
        ((None, "New BSD", []), [{"license": {"name": "New BSD"}}]),
        ((None, "A whole\ntext", ["License :: OSI Approved :: MIT License"]), [{"license": {"name": "MIT License"}}]),
        ((None, "UNKNOWN", ["Topic :: Office"]), []),
        ((None, None, []), []),
    ],
)
def test_licence_is_what_the_metadata_declares(told: tuple[str, str, list[str]], expected: list[object]) -> None:
    found = json.loads(json.dumps(licences(*told)).replace(', "acknowledgement": "declared"', ""))
    assert found == expected


def test_wheel_s_name_has_the_tags_of_its_wheel_file() -> None:
    name = "lightgbm-4.7.0-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    assert tags_of(name) == {"py3-none-manylinux_2_27_x86_64", "py3-none-manylinux_2_28_x86_64"}


def test_debian_package_has_version_source_and_architecture() -> None:
    record = "Package: libc6\nSource: glibc\nVersion: 1:2.41-12+deb13u1\nArchitecture: amd64\nMaintainer: A B <a@b>\n"
    component = debian_component(record, "debian-13")
    assert component["purl"] == "pkg:deb/debian/libc6@1%3A2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13"
    assert component["version"] == "1:2.41-12+deb13u1"
    assert {"name": "airflow-ml:deb:source", "value": "glibc"} in component["properties"]
    assert component["supplier"] == {"name": "A B"}
