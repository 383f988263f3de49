"""Lists what a finished image holds, in CycloneDX: Python packages as installed, and the Debian packages of its base.

The image itself is asked. What it says is held to its lock: a package more, less or other is an error.
"""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from airflow_ml.common import AirflowMlError as Failure
from airflow_ml.common import image_lock as read_lock
from locks.bom import Json, document, licences, own, text_of
from locks.files import Lock, normal

# Run in the image, by its own Python; prints what is installed.
ASK = """
import importlib.metadata, json, pathlib, platform
distributions = [{
    "name": d.metadata["Name"], "version": d.version, "expression": d.metadata["License-Expression"],
    "licence": d.metadata["License"], "classifiers": d.metadata.get_all("Classifier") or [],
    "tags": [line[5:] for line in (d.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: ")],
} for d in importlib.metadata.distributions()]
records = [path.read_text() for path in sorted(pathlib.Path("/var/lib/dpkg/status.d").iterdir())]
release = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
print(json.dumps({"distributions": distributions, "packages": records, "python": platform.python_version(),
                  "release": {key: value.strip('"') for key, value in release.items()}}))
"""
CONFINED = ("--rm", "--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges")


def write_image_boms(root: Path, names: Sequence[str]) -> int:
    """Write .cache/sbom/NAME.cdx.json for each image, or those that are named; says what is in each."""
    entries = read_lock(root)
    if not entries:
        raise Failure("there is no image lock; expected: dags/images.lock.json; do: ./build_images.sh")
    if unknown := sorted(set(names) - set(entries)):
        raise Failure(f"no image is named {', '.join(unknown)}; expected: of {', '.join(sorted(entries))}")
    target = root / ".cache" / "sbom"
    target.mkdir(parents=True, exist_ok=True)
    for name in sorted(names or entries):
        bom = image_bom(entries[name], lock_of(root, name))
        path = target / f"{name}.cdx.json"
        path.write_text(text_of(bom), encoding="utf-8")
        kinds = [component["purl"].split("/")[0] for component in bom["components"] if "purl" in component]
        print(
            f"{path.relative_to(root)}: {entries[name]['image']}, "
            f"{kinds.count('pkg:pypi')} Python packages, {kinds.count('pkg:deb')} Debian packages"
        )
    return 0


def lock_of(root: Path, name: str) -> Lock | None:
    """The lock that an image installs; None for the base, which installs none."""
    folders = [folder for folder in (root / "stages" / name, root / "services" / name) if folder.is_dir()]
    return Lock(root, folders[0]) if folders else None


def image_bom(entry: dict[str, Any], lock: Lock | None) -> Json:
    """What an image holds.

    Errors: Failure if that is not what its lock says.
    """
    found = ask(entry["image"])
    recorded = json.loads(lock.bom.read_text(encoding="utf-8")) if lock else {"components": [], "dependencies": []}
    known = {component["bom-ref"]: component for component in recorded["components"]}
    python = [python_component(told, known) for told in found["distributions"]]
    hold_to_lock(entry["image"], lock, {item["bom-ref"] for item in python}, known)
    system = f"{found['release']['ID']}-{found['release']['VERSION_ID']}"
    debian = [debian_component(record, system) for record in found["packages"]]
    me = {"type": "container", "bom-ref": entry["image"], "name": entry["name"], "version": entry["tag"]}
    release = {
        "type": "operating-system", "bom-ref": f"os:{system}", "name": found["release"]["ID"],
        "version": found["release"]["VERSION_ID"], "description": found["release"]["PRETTY_NAME"],
    }  # fmt: skip
    return document(
        me,
        [*python, *debian, release],
        graph(me["bom-ref"], recorded, python, debian, release["bom-ref"]),
        [own("image:id", entry["id"]), own("python", found["python"])],
        "post-build",
    )


def ask(image: str) -> dict[str, Any]:
    """What the image says of itself, started as confined as a stage is."""
    command = ["docker", "run", *CONFINED, "--entrypoint=python", image, "-c", ASK]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Failure("docker is not installed; expected: a Docker engine; do: setup/ensure_engine.sh") from error
    if done.returncode:
        raise Failure(
            f"{image} could not be asked: {done.stderr.strip()}; expected: the image on this engine; "
            "do: ./build_images.sh"
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def python_component(told: dict[str, Any], known: dict[str, Json]) -> Json:
    """An installed package: from its lock the hashes of the very file, from itself the licence."""
    name, version = normal(told["name"]), told["version"]
    purl = f"pkg:pypi/{name}@{version.replace('+', '%2B')}"
    files = [
        item
        for item in known.get(purl, {}).get("externalReferences", [])
        if item["type"] == "distribution" and tags_of(item["url"]) & set(told["tags"])
    ]
    licence = licences(told["expression"], told["licence"], told["classifiers"])
    return {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": name,
        "version": version,
        **({"licenses": licence} if licence else {}),
        **({"hashes": files[0]["hashes"], "externalReferences": files} if len(files) == 1 else {}),
    }


def tags_of(wheel: str) -> set[str]:
    """The tags in a wheel's name, one by one, as its WHEEL file lists them."""
    pythons, abis, platforms = wheel.removesuffix(".whl").split("-")[-3:]
    return {f"{p}-{a}-{s}" for p in pythons.split(".") for a in abis.split(".") for s in platforms.split(".")}


def hold_to_lock(image: str, lock: Lock | None, installed: set[str], known: dict[str, Json]) -> None:
    locked = {ref for ref, component in known.items() if component.get("scope") != "excluded"}
    if installed != locked:
        more, less = ", ".join(sorted(installed - locked)), ", ".join(sorted(locked - installed))
        where = lock.path.relative_to(lock.root) if lock else "no lock"
        raise Failure(
            f"{image} holds, beyond {where}: {more or 'nothing'}; not: {less or 'nothing'}; expected: what its lock "
            "says; do: ./build_images.sh"
        )


def debian_component(record: str, system: str) -> Json:
    """A Debian package, from its paragraph in the package records."""
    fields = {
        key: value.strip() for key, colon, value in (line.partition(":") for line in record.splitlines())
        if colon and not key.startswith(" ")
    }  # fmt: skip
    name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
    escaped = version.replace("+", "%2B").replace(":", "%3A")
    purl = f"pkg:deb/debian/{name}@{escaped}?arch={architecture}&distro={system}"
    return {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": name,
        "version": version,
        "supplier": {"name": fields["Maintainer"].partition(" <")[0]},
        "properties": [own("deb:source", fields.get("Source", name)), own("deb:architecture", architecture)],
    }


def graph(
    me: str, recorded: Json, python: Iterable[Json], debian: Iterable[Json], release: str
) -> dict[str, list[str]]:
    """What needs what: the image its requirements, the system and its packages; packages what the lock says."""
    installed = {component["bom-ref"] for component in python}
    packages = [component["bom-ref"] for component in debian]
    needs: dict[str, list[str]] = {me: [release], release: packages} | {ref: [] for ref in [*installed, *packages]}
    mine = recorded.get("metadata", {}).get("component", {}).get("bom-ref")
    for item in recorded["dependencies"]:
        ref = me if item["ref"] == mine else item["ref"]
        if ref in needs:
            needs[ref] += [other for other in item["dependsOn"] if other in installed]
    return needs
