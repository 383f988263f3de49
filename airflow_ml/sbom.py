"""Lists what is in each image, as CycloneDX in .cache/sbom/NAME.cdx.json: Python packages and Debian packages.

Reads the files of the image as the engine exports them; no program of the image runs. cyclonedx-py lists the Python
packages; Debian's packages are in the records that the base keeps. The same image gives the same bytes.
Exit codes: 0 done; 1 an image is missing; 2 wrong usage.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_ml.common import ROOT, WRONG_USAGE, AirflowMlError, docker, image_lock, write_atomic

FOLDER = ".cache/sbom"
CYCLONEDX = ROOT / ".venv" / "bin" / "cyclonedx-py"
# What is read of an image: the metadata of Python packages, the records of Debian packages, the name of the system.
PYTHON = re.compile(r"opt/venv/lib/python[\d.]+/site-packages/([^/]+\.dist-info/[^/]+)")
DEBIAN = re.compile(r"var/lib/dpkg/status\.d/([^/]+)")
SYSTEM = "usr/lib/os-release"
Json = dict[str, Any]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("images", nargs="*", metavar="NAME", help="an image of the image lock (default: every one)")


def run(arguments: argparse.Namespace) -> int:
    """Write the bill of materials of each image, and print a line for each."""
    for path, bom in write_boms(ROOT, arguments.images):
        kinds = [component.get("purl", "").partition("/")[0] for component in bom["components"]]
        print(f"{path}: {kinds.count('pkg:pypi')} Python packages, {kinds.count('pkg:deb')} Debian packages")
    return 0


def write_boms(root: Path, names: Sequence[str] = ()) -> Iterator[tuple[Path, Json]]:
    """Write the bills of materials of the named images, or of all; yields each with its path below the root.

    Errors: AirflowMlError for an image that the image lock does not name, or that the engine does not have.
    """
    entries = image_lock(root)
    if not entries:
        raise AirflowMlError("there is no image lock", expected="dags/images.lock.json", do="./airflow-ml build")
    if unknown := sorted(set(names) - set(entries)):
        raise AirflowMlError(
            f"the image lock does not name {', '.join(unknown)}",
            expected=f"one of {', '.join(sorted(entries))}",
            exit_code=WRONG_USAGE,
        )
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    for name in sorted(names or entries):
        path, bom = Path(FOLDER, f"{name}.cdx.json"), bill_of_materials(entries[name])
        write_atomic(root / path, json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        yield path, bom


def bill_of_materials(entry: Json) -> Json:
    """What an image holds; `entry` is its entry in the image lock."""
    with tempfile.TemporaryDirectory(prefix="airflow-ml-sbom-") as folder:
        python, records = Path(folder, "python"), Path(folder, "debian")
        system = read_image(entry["image"], python, records)
        bom = python_packages(python)
        release = f"{system['ID']}-{system['VERSION_ID']}"
        debian = [debian_package(path.read_text(encoding="utf-8"), release) for path in sorted(records.iterdir())]
    bom["components"] = [*bom.get("components", []), *debian, _operating_system(system)]
    bom["metadata"]["component"] = {
        "type": "container", "bom-ref": entry["image"], "name": entry["name"], "version": entry["tag"],
        "properties": [{"name": "airflow-ml:image:id", "value": entry["id"]}],
    }  # fmt: skip
    return bom


def read_image(image: str, python: Path, records: Path) -> dict[str, str]:
    """Copy the packages' metadata from an image into two folders; returns the fields of its os-release."""
    container = docker("create", image).strip()
    system: dict[str, str] = {}
    try:
        with (
            subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export,
            tarfile.open(fileobj=export.stdout, mode="r|") as files,
        ):
            for member in files:
                places = ((PYTHON, python), (DEBIAN, records))
                target = next((folder / m[1] for p, folder in places if (m := p.fullmatch(member.name))), None)
                if not member.isfile() or not (target or member.name == SYSTEM):
                    continue
                content = files.extractfile(member).read()  # type: ignore[union-attr]
                if target:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content)
                else:
                    pairs = (line.partition("=") for line in content.decode().splitlines())
                    system = {name: value.strip('"') for name, _, value in pairs}
    finally:
        docker("rm", container)
    return system


def python_packages(folder: Path) -> Json:
    """The bill of materials of the Python packages whose metadata is in a folder."""
    # -S: nothing is on the path but the standard library and the folder.
    command: list[str | Path] = [
        CYCLONEDX,
        "environment",
        "-S",
        "--spec-version=1.6",
        "--output-reproducible",
        # Its validation takes nine tenths of its time; the tests validate the whole bill, Debian's packages too.
        "--no-validate",
        sys.executable,
    ]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise AirflowMlError(f"cyclonedx-py failed: {done.stderr.strip()}")
    bom: Json = json.loads(done.stdout)
    return bom


def debian_package(record: str, release: str) -> Json:
    """A Debian package as a component, from its record; `release` is the system's, such as debian-13."""
    fields = dict(line.split(": ", 1) for line in record.splitlines() if re.match(r"[A-Za-z-]+: ", line))
    name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
    escaped = version.replace("+", "%2B").replace(":", "%3A")
    purl = f"pkg:deb/debian/{name}@{escaped}?arch={architecture}&distro={release}"
    return {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": name,
        "version": version,
        "supplier": {"name": fields["Maintainer"].partition(" <")[0]},
        "properties": [{"name": "airflow-ml:deb:source", "value": fields.get("Source", name)}],
    }


def _operating_system(system: dict[str, str]) -> Json:
    return {
        "type": "operating-system", "bom-ref": f"os:{system['ID']}-{system['VERSION_ID']}", "name": system["ID"],
        "version": system["VERSION_ID"], "description": system["PRETTY_NAME"],
    }  # fmt: skip
