"""Writes bills of materials in CycloneDX 1.6: the same content gives the same bytes, no clock and no chance in it."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
PROPERTY = "airflow-ml:"


def document(
    component: Mapping[str, Any],
    components: Iterable[Json],
    needs: Mapping[str, Iterable[str]],
    properties: Iterable[Json],
    phase: str,
) -> Json:
    """A bill of materials.

    `needs` is the graph by bom-ref; `phase` is CycloneDX's word for when it was made: pre-build, post-build.
    """
    bom: Json = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": dict(component),
            "lifecycles": [{"phase": phase}],
            "properties": sorted(properties, key=lambda item: (item["name"], item["value"])),
        },
        "components": sorted(components, key=lambda item: str(item["bom-ref"])),
        "dependencies": [{"ref": ref, "dependsOn": sorted(set(needs[ref]))} for ref in sorted(needs)],
    }
    return {**bom, "serialNumber": serial_number(bom)}


def serial_number(bom: Json) -> str:
    """A number that names the content."""
    content = {key: value for key, value in bom.items() if key != "serialNumber"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=5).urn


def text_of(bom: Json) -> str:
    return json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def own(name: str, value: str) -> Json:
    """A property of ours."""
    return {"name": f"{PROPERTY}{name}", "value": value}


def owned(holder: Json, name: str) -> list[str]:
    """The values of a property of ours."""
    return [item["value"] for item in holder.get("properties", []) if item["name"] == f"{PROPERTY}{name}"]


# What packages that still use the old field call a licence that SPDX has under this very identifier.
SPDX = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "LGPL-3.0-only", "LGPL-3.0-or-later", "MIT",
    "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense", "ZPL-2.1", "Zlib",
}  # fmt: skip
LONGEST_NAME = 80


def licences(expression: str | None, licence: str | None, classifiers: Sequence[str]) -> list[Json]:
    """What a package's metadata says of its licence; empty where it says nothing. A whole text is not a name."""
    declared = {"acknowledgement": "declared"}
    if expression:
        return [{"expression": expression.strip(), **declared}]
    name = (licence or "").strip()
    if name and "\n" not in name and len(name) <= LONGEST_NAME and name.upper() != "UNKNOWN":
        return [{"license": {"id" if name in SPDX else "name": name, **declared}}]
    names = [text.split(" :: ")[-1] for text in classifiers if text.startswith("License :: ")]
    return [{"license": {"name": text, **declared}} for text in sorted(set(names))]


def sha256(digest: str) -> Json:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}
